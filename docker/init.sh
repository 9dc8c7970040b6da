#!/bin/sh
# Prepares the gateway container's volumes once: `init`. Nothing that exists is changed, so a later start with another PIN file
# leaves the token as it is. `health` asks the running gateway whether it is ready.
set -eu

base=/var/lib/p11gate
pki=$base/pki client=$base/client

random_pin() { openssl rand -hex 8; }

once() { # once FILE: the file's content comes from standard input, mode 0600, unless it exists
	if [ ! -e "$1" ]; then
		(umask 077; cat > "$1.new")
		mv "$1.new" "$1"
	fi
}

init() {
	SERVER_NAMES=DNS:gateway /usr/lib/p11gate/pki.sh "$pki" alice bob health
	for name in ca.crt alice.crt alice.key bob.crt bob.key; do
		once "$client/$name" < "$pki/$name"
	done
	random_pin | once "$client/pin"
	random_pin | once "$pki/so-pin"
	if softhsm2-util --show-slots | grep -q 'Label: *demo *$'; then
		echo "init: the token is there; nothing to do"
	else
		softhsm2-util --init-token --free --label demo --pin "$(cat "$client/pin")" --so-pin "$(cat "$pki/so-pin")" > /dev/null
		echo "init: made the token 'demo'; its PIN is in the volume 'client', file pin"
	fi
	echo "init: these are demo credentials; make your own before anything depends on them"
}

health() {
	curl --silent --fail --max-time 2 --output /dev/null --cacert "$pki/ca.crt" --cert "$pki/health.crt" --key "$pki/health.key" \
		--resolve gateway:8443:127.0.0.1 https://gateway:8443/readyz
}

case ${1:-} in
init) init ;;
health) health ;;
*) echo "usage: init.sh init|health" >&2; exit 2 ;;
esac
