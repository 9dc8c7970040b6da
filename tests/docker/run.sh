#!/usr/bin/env bash
# Builds the images and runs docker/compose.yaml with a private engine. The last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/support/checks.sh
. tests/support/checks.sh
# shellcheck source=tests/docker/engine.sh
. tests/docker/engine.sh
work=$engine
trap engine_stop EXIT

check "a private engine starts" engine_start
[ "$failed" -eq 0 ] || finish
check "a Debian image is made" debian_image
build() { "$DOCKER" build --network host -f docker/Dockerfile --target "$1" -t "$2" .; }
check "the gateway image builds" build gateway p11gate:local
check "the client image builds" build client p11gate-client:local
[ "$failed" -eq 0 ] || finish

export P11GATE_PORT=0
compose() { docker-compose --no-ansi -f docker/compose.yaml -p p11gate "$@"; }
client() { compose run --rm -T client "$@"; }
up() { compose up -d --no-build gateway; }
healthy() {
	local id
	id=$(compose ps -q gateway)
	for _ in $(seq 200); do
		[ "$("$DOCKER" inspect -f '{{.State.Health.Status}}' "$id")" = healthy ] && return
		sleep 0.2
	done
	compose logs
	return 1
}
volume_file() { # volume_file VOLUME FILE: its content
	"$DOCKER" run --rm --user 0 --entrypoint cat -v "p11gate_$1:/volume:ro" p11gate:local "/volume/$2"
}

check "up" up
check "the gateway becomes healthy" healthy
check "the client signs and verifies through curl and through the module" client demo
client public-key > "$engine/before.pem" 2> /dev/null
check "the client has no SoftHSM" fails client sh -c 'find / -name "libsofthsm*" 2>/dev/null | grep .'
check "the client has no token volume" fails client test -e /var/lib/p11gate/tokens
check "the gateway's root is read-only" fails "$DOCKER" exec "$(compose ps -q gateway)" touch /etc/here
check "the gateway runs as an ordinary user" bash -c "[ \"\$('$DOCKER' exec '$(compose ps -q gateway)' id -u)\" = 10001 ]"

check "down" compose down
check "up again" up
check "healthy again" healthy
client public-key > "$engine/after.pem" 2> /dev/null
check "the public key is the same after down and up" bash -c "test -s '$engine/before.pem' && cmp '$engine/before.pem' '$engine/after.pem'"

# Two programs with one certificate, both process 1 of their container: the first logs in and waits, the second must not be logged in.
# shellcheck disable=SC2016
check "two client containers with one certificate do not share a login" bash -c '
	compose() { docker-compose --no-ansi -f docker/compose.yaml -p p11gate "$@"; }
	sees() { compose run --rm -T --entrypoint "" client sh -c "$1"; }
	listing="exec env P11GATE_CONF=/etc/p11gate/client.conf pkcs11-tool --module /usr/lib/p11gate/p11gate-client.so --list-objects --type privkey"
	login="PIN=\$(cat /var/lib/p11gate/client/pin) $listing --login --pin env:PIN"
	[ "$(sees "${login/exec env/env}" 2>/dev/null | grep -c "Private Key Object")" -ge 1 ] || exit 1
	[ "$(sees "$listing" 2>/dev/null | grep -c "Private Key Object")" -eq 0 ]'

canary=$(volume_file client pin)
no_canary() { ! { "$DOCKER" ps -aq | xargs "$DOCKER" inspect; "$DOCKER" history --no-trunc p11gate:local; "$DOCKER" history --no-trunc p11gate-client:local; compose logs --no-color; } 2>&1 | grep -F -e "$canary"; }
check "there is a PIN to look for" test -n "$canary"
check "the PIN is in no inspect, history or log" no_canary

wrong_pin_file() {
	"$DOCKER" run --rm --user 0 --entrypoint sh -v p11gate_client:/volume p11gate:local -c 'cp -p /volume/pin /volume/pin.good; echo wrong-pin > /volume/pin' &&
		compose stop gateway && compose rm -f gateway init && up && healthy &&
		"$DOCKER" run --rm --user 0 --entrypoint sh -v p11gate_client:/volume p11gate:local -c 'mv /volume/pin.good /volume/pin'
}
check "a start with a wrong PIN file" wrong_pin_file
check "leaves the token intact" client demo

compose stop gateway > /dev/null 2>&1
check "the client fails with the gateway stopped" fails compose run --no-deps --rm -T client demo
check "down for good" compose down -v
finish
