#!/usr/bin/env bash
# `make demo`: the two command lines it prints are parsed, run on a random file, and verified with the public key read from the
# token directly; the same lines fail after `make demo-stop`, without the certificate, and with an unknown identity's.
set -uo pipefail
# shellcheck source=tests/support/clients.sh
. "$(dirname "$0")/../support/clients.sh"
mkdir "$work/build"
# The demo builds into BUILD; what is built already need not be built twice.
cp "$BUILD"/p11gate* "$work/build/"
export BUILD=$work/build
demo() { make --no-print-directory "$@" BUILD="$BUILD" PORT="$port"; }
demo_stop() { make --no-print-directory demo-stop BUILD="$BUILD"; }
trap 'demo_stop > /dev/null 2>&1; rm -rf "$work"' EXIT
port=$((20000 + RANDOM % 20000))

check "make demo" demo demo
demo demo > "$work/again" 2>&1
check "a second make demo changes nothing" grep -q 'DEMO CREDENTIALS' "$work/again"
curl_line=$(grep '^curl ' "$work/again")
module_line=$(grep 'pkcs11-tool --module' "$work/again")
check "it prints a curl line" test -n "$curl_line"
check "it prints a pkcs11-tool line" test -n "$module_line"
check "it says how to stop" grep -qF "make demo-stop BUILD=$BUILD ends the gateway" "$work/again"
check "it prints exports to go on with" grep -q '^export P11GATE_CONF=' "$work/again"

# shellcheck disable=SC1091
. "$BUILD/demo/env"
head -c 1000 /dev/urandom > "$work/message"
openssl dgst -sha256 -binary "$work/message" > "$work/message.sha256"
base64url() { openssl base64 -A | tr '/+' '_-' | tr -d '='; }
our_curl=$(sed -E "s|\"data\":\"[^\"]*\"|\"data\":\"$(base64url < "$work/message")\"|" <<< "$curl_line")
our_module=$(sed -E "s|--input-file [^ ]+|--input-file $work/message.sha256|; s|--output-file [^ ]+|--output-file $work/module.sig|" <<< "$module_line")

pkcs11-tool --module "$P11GATE_DIRECT_MODULE" --token-label "$P11GATE_TOKEN" --login --pin "$P11GATE_PIN" --read-object \
	--type pubkey --label release --output-file "$work/public.der" > /dev/null 2>&1
verified() { openssl dgst -sha256 -keyform DER -verify "$work/public.der" -signature "$1" "$work/message"; }
with_curl() {
	local signature
	rm -f "$work/curl.sig"
	bash -c "$1" > "$work/answer.json" || return 1
	signature=$(jq -r .signature "$work/answer.json" | tr '_-' '/+')
	while [ $((${#signature} % 4)) -ne 0 ]; do signature+='='; done
	openssl base64 -d -A <<< "$signature" > "$work/curl.sig"
	verified "$work/curl.sig"
}
with_module() {
	rm -f "$work/module.sig"
	bash -c "$1" > /dev/null 2>&1
	[ -s "$work/module.sig" ] && verified "$work/module.sig"
}
check "the curl line signs a random file" with_curl "$our_curl"
check "the pkcs11-tool line signs a random file" with_module "$our_module"
tests/support/certificate.sh stranger "$BUILD/demo" "$work/stranger.crt" "$work/stranger.key"
check "without the certificate the curl line fails" fails with_curl "$(sed -E 's/--cert [^ ]+ --key [^ ]+//' <<< "$our_curl")"
check "with an unknown identity's certificate the curl line fails" fails with_curl \
	"$(sed -E "s|--cert [^ ]+ --key [^ ]+|--cert $work/stranger.crt --key $work/stranger.key|" <<< "$our_curl")"
stranger_conf=$work/stranger.conf
sed -E "s|^Certificate.*|Certificate = $work/stranger.crt|; s|^Key.*|Key = $work/stranger.key|" "$BUILD/demo/client.conf" > "$stranger_conf"
check "with an unknown identity's certificate the pkcs11-tool line fails" fails with_module \
	"$(sed -E "s|P11GATE_CONF=[^ ]+|P11GATE_CONF=$stranger_conf|" <<< "$our_module")"
sed -E "/^Certificate/d; /^Key/d" "$BUILD/demo/client.conf" > "$work/bare.conf"
check "without the certificate the pkcs11-tool line fails" fails with_module \
	"$(sed -E "s|P11GATE_CONF=[^ ]+|P11GATE_CONF=$work/bare.conf|" <<< "$our_module")"

taken() { # a second demo on the same port, with a directory of its own
	mkdir -p "$work/other"
	cp "$BUILD"/p11gate* "$work/other/"
	! make --no-print-directory demo BUILD="$work/other" PORT="$port" > "$work/taken" 2>&1 &&
		grep -qE "^demo: .* make demo PORT=[0-9]+ BUILD=$work/other\$" "$work/taken" && [ ! -e "$work/other/demo" ]
}
check "a taken port is one line with the command for another, and leaves nothing behind" taken
other_stop() { make --no-print-directory demo-stop BUILD="$work/other" > "$work/stopped" 2>&1; }
says() { [ "$(cat "$work/stopped")" = "$1" ]; }
check "make demo-stop where none runs" other_stop
check "it says that none runs there" says "demo: no demo runs in $work/other/demo"

not_root() { # without root and without the packages: the one apt line
	mkdir -p "$work/bin"
	printf '#!/bin/sh\nexit 1\n' > "$work/bin/dpkg-query"
	printf '#!/bin/sh\necho 1000\n' > "$work/bin/id"
	chmod 755 "$work/bin" "$work/bin"/*
	! PATH=$work/bin:$PATH config/deps.sh build demo > "$work/line" 2>&1 && [ "$(grep -c 'apt-get install' "$work/line")" -eq 1 ]
}
check "without root, missing packages are one apt line to type" not_root
not_debian() {
	mkdir -p "$work/bare"
	ln -sf "$(command -v bash)" "$(command -v dirname)" "$(command -v env)" "$work/bare/"
	! PATH=$work/bare bash config/deps.sh build > "$work/line" 2>&1 && grep -q 'docker/' "$work/line"
}
check "elsewhere than on Debian, it points to docker/" not_debian

# As a user types it: under `make check` it would be a part of that make, and say so.
stop_it() { env -u MAKEFLAGS -u MAKELEVEL bash -c "$(grep -o 'make demo-stop BUILD=[^ ]*' "$work/again")" > "$work/stopped" 2>&1; }
check "the printed make demo-stop" stop_it
check "it says that the demo was stopped" says "demo: stopped"
check "after make demo-stop the curl line fails" fails with_curl "$our_curl"
check "after make demo-stop the pkcs11-tool line fails" fails with_module "$our_module"
finish
