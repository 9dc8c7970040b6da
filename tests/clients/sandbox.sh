#!/usr/bin/env bash
# `config/sandbox.sh`: what it promises to every other test.
set -uo pipefail
# shellcheck source=tests/support/clients.sh
. "$(dirname "$0")/../support/clients.sh"
first=$work/first second="$work/second's place"
trap 'config/sandbox.sh stop "$first"; config/sandbox.sh stop "$second"; rm -rf "$work"' EXIT

variables=(P11GATE_URL P11GATE_CA P11GATE_CERT P11GATE_KEY P11GATE_CERT2 P11GATE_KEY2 P11GATE_MODULE P11GATE_CONF P11GATE_CONF2
	P11GATE_SLOT P11GATE_TOKEN P11GATE_PIN P11GATE_SO_PIN P11GATE_PID P11GATE_TOOL P11GATE_CONFIG P11GATE_AUDIT_LOG SOFTHSM2_CONF
	P11GATE_DIRECT_MODULE)
value() { # value DIR VARIABLE, as a fresh shell sees it
	# shellcheck disable=SC2016
	env -i bash -c '. "$1/env"; printf "%s" "${!2}"' bash "$1" "$2"
}
get() { # get DIR CERT-VARIABLE KEY-VARIABLE PATH: the HTTP status
	curl -sS -o "$work/body" -w '%{http_code}' --max-time 10 --cacert "$(value "$1" P11GATE_CA)" --cert "$(value "$1" "$2")" \
		--key "$(value "$1" "$3")" "$(value "$1" P11GATE_URL)$4"
}
all_set() {
	local name
	for name in "${variables[@]}"; do
		[ -n "$(value "$first" "$name")" ] || { echo "$name is not set"; return 1; }
	done
}
files_named_exist() {
	local name
	for name in CA CERT KEY CERT2 KEY2 MODULE CONF CONF2 TOOL CONFIG AUDIT_LOG DIRECT_MODULE; do
		[ -r "$(value "$first" "P11GATE_$name")" ] || { echo "P11GATE_$name"; return 1; }
	done
}
nothing_for_others() { [ -z "$(find "$first" -perm /077 ! -type l -print)" ] || { find "$first" -perm /077 -ls; return 1; }; }
is() { [ "$1" = "$2" ] || { echo "$1 instead of $2"; return 1; }; }

check "it starts" env TOKEN='a token' config/sandbox.sh start "$first"
check "another one starts beside it" env PIN=4711 SO_PIN=47114711 config/sandbox.sh start "$second"
check "env sets every variable" all_set
check "the files that env names are there" files_named_exist
check "nothing in it is open to other users" nothing_for_others
check "alice gets in" is "$(get "$first" P11GATE_CERT P11GATE_KEY /readyz)" 200
check "bob gets in" is "$(get "$first" P11GATE_CERT2 P11GATE_KEY2 /readyz)" 200
check "alice and bob see the slot" is "$(get "$first" P11GATE_CERT P11GATE_KEY "/v1/slots/$(value "$first" P11GATE_SLOT)")$(
	get "$first" P11GATE_CERT2 P11GATE_KEY2 "/v1/slots/$(value "$first" P11GATE_SLOT)")" 200200
check "the token has the label asked for" is "$(value "$first" P11GATE_TOKEN)" 'a token'
check "PINs asked for are kept" is "$(value "$second" P11GATE_PIN) $(value "$second" P11GATE_SO_PIN)" '4711 47114711'
check "random PINs differ" fails is "$(value "$first" P11GATE_PIN)" "$(value "$first" P11GATE_SO_PIN)"
check "the two have different ports" fails is "$(value "$first" P11GATE_URL)" "$(value "$second" P11GATE_URL)"

sees() { # sees DIR MODULE SOFTHSM2_CONF: the token's label in pkcs11-tool's list
	P11GATE_CONF=$(value "$1" P11GATE_CONF) SOFTHSM2_CONF=$3 pkcs11-tool --module "$2" --list-slots > "$work/slots"
	grep -q "token label *: $(value "$1" P11GATE_TOKEN)\$" "$work/slots"
}
check "the client module sees its token" sees "$first" "$(value "$first" P11GATE_MODULE)" "$first/client/softhsm2.conf"
check "the vendor module sees it directly" sees "$first" "$(value "$first" P11GATE_DIRECT_MODULE)" "$(value "$first" SOFTHSM2_CONF)"
check "the client's SoftHSM configuration hides it" fails sees "$first" "$(value "$first" P11GATE_DIRECT_MODULE)" "$first/client/softhsm2.conf"
check "the tool finds the gateway" "$(value "$first" P11GATE_TOOL)" status --config "$(value "$first" P11GATE_CONFIG)"

no_pin_outside() { # the PIN is in the environment of no process of the gateway
	local pin process
	pin=$(value "$second" P11GATE_PIN)
	for process in $(value "$second" P11GATE_PID) $(pgrep -P "$(value "$second" P11GATE_PID)"); do
		! grep -qz "=$pin\$" "/proc/$process/environ" || return 1
	done
}
check "no process of the gateway has the PIN in its environment" no_pin_outside

before=$(value "$first" P11GATE_PID)
check "starting it again changes nothing" config/sandbox.sh start "$first"
check "the same process goes on" is "$(value "$first" P11GATE_PID)" "$before"

kill -KILL "$(value "$second" P11GATE_PID)"
check "after a crash it starts on the same token" config/sandbox.sh start "$second"
check "and is ready" is "$(get "$second" P11GATE_CERT P11GATE_KEY /readyz)" 200

sleep 1000 &
innocent=$!
mkdir -p "$work/third"
echo "$innocent 1" > "$work/third/pid"
check "stop succeeds on a number that is another process's now" config/sandbox.sh stop "$work/third"
check "and leaves that process alone" kill -0 "$innocent"
kill "$innocent"

check "stop" config/sandbox.sh stop "$first"
check "its gateway is gone" fails config/sandbox.sh status "$first"
check "the other one runs on" is "$(get "$second" P11GATE_CERT P11GATE_KEY /readyz)" 200
check "its files stay" test -s "$first/state/audit.log"
check "another PIN for a token that exists is refused" fails env PIN=999999 config/sandbox.sh start "$first"
check "stopping twice is no mistake" config/sandbox.sh stop "$first"

mkdir "$work/programs"
cp "$(type -P false)" "$work/programs/p11gated"
cp "$(type -P true)" "$work/programs/p11gate-worker"
broken() { ! BUILD=$work/programs config/sandbox.sh start "$work/broken" && [ ! -e "$work/broken/pid" ]; }
check "a gateway that ends at once is an error" broken
finish
