#!/usr/bin/env bash
# A program whose host sleeps, or whose network is silent: nothing is refused, nothing is answered. Short, its sessions live on;
# long, they end, and new ones can be opened.
set -uo pipefail
# The network is this script's own, so that it can be silenced.
[ -n "${P11GATE_OWN_NETWORK:-}" ] || P11GATE_OWN_NETWORK=1 exec unshare --net "$0"
ip link set lo up || exit 1
# shellcheck source=tests/support/clients.sh
. "$(dirname "$0")/../support/clients.sh"
sandbox_start TOKEN=demo PIN=1234 LIMITS='lease_ttl_s: 5'

silence() { iptables -A INPUT -i lo -j DROP; }
speech() { iptables -F; }
ask() { # ask COMMAND …: the program's answer
	local answer=
	echo "$*" >&4
	read -r -t 60 answer <&5
	echo "$answer"
}
answers() { # answers EXPECTED COMMAND …
	local answer
	answer=$(ask "${@:2}")
	[ "$answer" = "$1" ] || { echo "${*:2}: $answer instead of $1"; return 1; }
}
soon() { # soon COMMAND …: within a minute
	local deadline=$((SECONDS + 60))
	until "$@"; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.2
	done
}
nobody_is_connected() { "$P11GATE_TOOL" status --config "$P11GATE_CONFIG" | grep -q ' connections=0 '; }
logged_out() { # as a new program with the same ID sees it
	[ "$(printf '%s\n' 'set 3 4' init open info finalize | as_client "$BUILD/tests/application" "$P11GATE_MODULE" | tr '\n' ,)" = \
		'0x0,0x0,0x0,0x0 public,0x0,' ]
}
fails_in_time() {
	local before=$SECONDS
	fails answers 0x0 digest && [ $((SECONDS - before)) -le 10 ]
}

mkfifo "$work/in" "$work/out"
as_client "$BUILD/tests/application" "$P11GATE_MODULE" < "$work/in" > "$work/out" 2> "$work/err" &
exec 4> "$work/in" 5< "$work/out"
for command in 'set 3 4' init open 'login 1234'; do
	# shellcheck disable=SC2086
	check "the program obeys: ${command% *}" answers 0x0 $command
done

silence
check "C14 a call into silence fails in time" fails_in_time
speech
check "C14 the session goes on after it" soon answers 0x0 digest
check "C14 it is still logged in" answers "0x0 user" info

silence
check "C14 the gateway notices a silent host" soon nobody_is_connected
speech
check "C14 its login ends with its lease" soon logged_out
check "C14 its session is invalid then" answers 0xb3 digest
check "C14 a new session works" answers 0x0 open
check "C14 it is logged out" answers "0x0 public" info
exec 4>&-
wait
exec 5<&-
finish
