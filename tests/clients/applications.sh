#!/usr/bin/env bash
# Application IDs from outside: set-up, children and take-down with p11gate alone, programs on two hosts, and a binding in another
# language.
set -uo pipefail
# shellcheck source=tests/support/clients.sh
. "$(dirname "$0")/../support/clients.sh"
sandbox_start TOKEN=demo PIN=1234

# As another vendor's client file has it, behind the section that is ours.
for file in "$P11GATE_CONF" "$P11GATE_CONF2"; do
	cat >> "$file" <<-END

		[Chrystoki2]
		LibUNIX64 = /usr/lib/libvendor.so
		[Misc]
		AppIdMajor=2
		AppIdMinor=4
	END
done

app() { as_client "$P11GATE_TOOL" app "$@" --module "$P11GATE_MODULE"; }
login() { app login demo "$1" --pin-fd 3 3<<< "$2"; }
# pkcs11-tool logs in before --sign by itself where the token wants logins, and not before --derive.
child_derives() {
	as_client pkcs11-tool --module "$P11GATE_MODULE" --token-label demo --derive --mechanism ECDH1-DERIVE --id 01 \
		--input-file "$files/peer.der" --output-file /dev/null
}
child_signs() { # says nothing of an application ID nor of a PIN
	local answers
	answers=$(printf '%s\n' init open 'find key' sign finalize | as_client "$BUILD/tests/application" "$P11GATE_MODULE" | tr '\n' ,)
	echo "$answers"
	[ "$answers" = '0x0,0x0,0x0 1,0x0,0x0,' ]
}
children_sign() { # several at once
	local children=() pid
	for _ in 1 2 3; do
		child_signs & children+=($!)
	done
	for pid in "${children[@]}"; do wait "$pid" || return 1; done
	child_derives
}
bobs_child_signs() { P11GATE_AS=bob child_signs; }
logged_out() { ! child_signs && ! child_derives; }

says() { # says TEXT COMMAND …: the command fails and says so
	local text=$1
	shift
	if "$@" > "$work/says" 2>&1; then
		return 1
	fi
	cat "$work/says"
	grep -qF "$text" "$work/says"
}

files=$work/files
mkdir "$files"
openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$files/peer.pem"
openssl pkey -in "$files/peer.pem" -pubout -outform DER -out "$files/peer.der"
chmod 755 "$files"
chmod 644 "$files"/*
check "a key is there" pkcs11-tool --module "$P11GATE_DIRECT_MODULE" --token-label demo --login --pin 1234 \
	--keypairgen --key-type EC:prime256v1 --id 01 --label key --usage-sign --usage-derive

check "C15 a child of nobody is not logged in" logged_out
check "C15 a login that nothing keeps is said to have ended" says "not held open" login 8-8 1234
check "C15 closing what is neither held nor open fails" says 0x80000068 app close demo 8-8
check "C8 the tool holds an application open" app hold demo 2-4
check "C10 holding it twice fails" says 0x80000069 app hold demo 2-4
check "C15 a wrong PIN is refused" says CKR_PIN_INCORRECT login 2-4 9999
check "C15 the tool logs it in" login 2-4 1234
check "C15 logging in twice fails" says CKR_USER_ALREADY_LOGGED_IN login 2-4 1234
check "C3 C8 children with that ID in their client file sign without login" children_sign
check "C12 the child of another identity does not" fails bobs_child_signs
check "C15 the tool logs it out" app logout demo 2-4
check "C15 logging out twice fails" says CKR_USER_NOT_LOGGED_IN app logout demo 2-4
check "C15 a child is logged out then" logged_out
check "C15 the tool logs it in again" login 00000002000000040000000000000000 1234
check "C15 a child signs again" child_signs
check "C9 the tool closes it" app close demo 2-4
check "C10 the second close fails" says 0x80000068 app close demo 2-4
check "C9 a child is logged out after it" logged_out
check "C10 an unknown slot is refused" says "no slot" app hold other 2-4

for file in "$P11GATE_CONF" "$P11GATE_CONF2"; do
	sed -i '/^\[Chrystoki2\]/,$d' "$file"
done

# What the client file asks for beyond the gateway's rules.
wish() { # wish LINE …: these lines are the section [PKCS11] of the client file
	sed -i '/^\[PKCS11\]/,$d' "$P11GATE_CONF"
	printf '%s\n' '[PKCS11]' "$@" >> "$P11GATE_CONF"
}
program_gets() { # program_gets ANSWERS COMMAND …
	local answers
	answers=$(printf '%s\n' "${@:2}" | as_client "$BUILD/tests/application" "$P11GATE_MODULE" | tr '\n' ,)
	echo "$answers"
	[ "$answers" = "$1" ]
}
signs_twice=('set 6 6' init open 'login 1234' 'find key' sign info sign finalize)
wish 'P11_LogoutAfterSign = 0' 'P11_EnableCachePIN = 1'
check "B1 a client file that asks for nothing changes nothing" program_gets '0x0,0x0,0x0,0x0,0x0 1,0x0,0x0 user,0x0,0x0,' "${signs_twice[@]}"
wish 'P11_LogoutAfterSign = 1' 'P11_EnableCachePIN = 0'
check "B1 B5 a client file can ask for a logout after each signature" program_gets '0x0,0x0,0x0,0x0,0x0 1,0x0,0x0 public,0x101,0x0,' "${signs_twice[@]}"
wish 'ForceLoginBeforeSignKeyUsage = 0x80'
check "B2 another mask is refused by C_Initialize" program_gets 0x7, init
wish 'P11_EnableCachePin = 1'
check "B0 an unknown key is refused by C_Initialize" program_gets 0x7, init
sed -i '/^\[PKCS11\]/,$d' "$P11GATE_CONF"

# Two hosts: processes of their own process and host name spaces with their own copies of the client's files.
host_start() { # host_start NAME: reads $work/NAME.in, writes $work/NAME.out
	mkfifo "$work/$1.in" "$work/$1.out"
	# shellcheck disable=SC2016
	unshare --uts --pid --fork --mount-proc sh -c 'hostname "$1"; shift; exec "$@"' sh "$1" \
		tests/support/as-client.sh "$work/sandbox" "$BUILD/tests/application" "$P11GATE_MODULE" \
		< "$work/$1.in" > "$work/$1.out" 2> "$work/$1.err" &
}
ask() { # ask HOST COMMAND …: the answer
	local answer
	case $1 in
	one) echo "${*:2}" >&4 && read -r -t 60 answer <&5 ;;
	two) echo "${*:2}" >&6 && read -r -t 60 answer <&7 ;;
	esac
	echo "$answer"
}
answers() { # answers EXPECTED HOST COMMAND …
	local answer
	answer=$(ask "${@:2}")
	[ "$answer" = "$1" ] || { echo "${*:2}: $answer instead of $1"; return 1; }
}
defaults_differ() {
	local one two
	one=$(ask one get) two=$(ask two get)
	echo "$one, $two"
	[[ $one == 0x0\ * && $two == 0x0\ * && $one != "$two" ]]
}

for name in one two; do host_start $name; done
exec 4> "$work/one.in" 5< "$work/one.out" 6> "$work/two.in" 7< "$work/two.out"
for name in one two; do
	check "a program runs on host $name" answers 0x0 $name init
done
check "C2 programs on two hosts have different IDs by default" defaults_differ
for name in one two; do
	check "C13 host $name sets the ID" answers 0x0 $name set 5 6
	check "C13 host $name opens a session" answers 0x0 $name open
done
check "C13 one logs in" answers 0x0 one login 1234
check "C13 the other is logged in" answers "0x0 user" two info
check "C13 the other logs out" answers 0x0 two logout
check "C13 the one is logged out" answers "0x0 public" one info
exec 4>&- 6>&-
wait
exec 5<&- 7<&-

check "C4 a binding by ctypes calls every function" as_client env PATH=/usr/bin:/bin python3 - 1234 < tests/support/ca_binding.py
finish
