#!/bin/sh
# A program on another host: it has a certificate and the PIN, and neither SoftHSM nor the token.
#   client.sh [demo]       log in, make the key "release" if there is none, sign twice (curl, pkcs11-tool), verify both
#   client.sh public-key   the key's public half as PEM
#   client.sh COMMAND …    anything else, with the environment set
set -eu

home=/var/lib/p11gate/client
url=${P11GATE_URL:-https://gateway:8443}
slot=${P11GATE_SLOT:-demo}
module=/usr/lib/p11gate/p11gate-client.so
export P11GATE_CONF="${P11GATE_CONF:-/etc/p11gate/client.conf}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

request() { # request METHOD PATH [BODY FILE]
	curl --silent --show-error --fail-with-body --max-time 30 --cacert "$home/ca.crt" --cert "$home/alice.crt" \
		--key "$home/alice.key" --request "$1" ${3:+--header "Content-Type: application/json" --data-binary "@$3"} "$url$2"
}

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

login() {
	printf '{"pin":"%s"}' "$(cat "$home/pin")" > "$work/login"
	# 409: another program with this certificate, and no application ID of its own, has logged in already.
	if ! request POST "/v1/slots/$slot/applications/current/login" "$work/login" > "$work/answer" 2>&1; then
		grep -q CKR_USER_ALREADY_LOGGED_IN "$work/answer" || { cat "$work/answer" >&2; exit 1; }
	fi
}

public_key() {
	curl --silent --show-error --fail-with-body --max-time 30 --cacert "$home/ca.crt" --cert "$home/alice.crt" \
		--key "$home/alice.key" --header "Accept: application/x-pem-file" "$url/v1/slots/$slot/keys/release/public-key"
}

make_key() {
	if ! request GET "/v1/slots/$slot/keys/release" > /dev/null 2>&1; then
		printf '{"type":"EC","curve":"P-256","label":"release"}' > "$work/key"
		request POST "/v1/slots/$slot/keys" "$work/key" > /dev/null
	fi
}

demo() {
	login
	make_key
	public_key > "$work/release.pem"
	printf 'a release\n' > "$work/data"

	printf '{"mechanism":"CKM_ECDSA","format":"der","digest":"%s"}' \
		"$(openssl dgst -sha256 -binary "$work/data" | base64url)" > "$work/sign"
	request POST "/v1/slots/$slot/keys/release/sign" "$work/sign" | jq -r .signature | tr -- '-_' '+/' > "$work/base64"
	while [ $(($(tr -d '\n' < "$work/base64" | wc -c) % 4)) -ne 0 ]; do
		printf '%s=' "$(tr -d '\n' < "$work/base64")" > "$work/padded"
		mv "$work/padded" "$work/base64"
	done
	openssl base64 -d -A < "$work/base64" > "$work/rest.sig"
	printf 'REST: '
	openssl dgst -sha256 -verify "$work/release.pem" -signature "$work/rest.sig" "$work/data"

	openssl dgst -sha256 -binary "$work/data" > "$work/digest"
	PIN=$(cat "$home/pin") pkcs11-tool --module "$module" --login --pin env:PIN --sign --mechanism ECDSA --label release \
		--signature-format openssl --input-file "$work/digest" --output-file "$work/module.sig" 2> "$work/errors" ||
		{ cat "$work/errors" >&2; exit 1; }
	printf 'PKCS#11 module: '
	openssl dgst -sha256 -verify "$work/release.pem" -signature "$work/module.sig" "$work/data"
}

case ${1:-demo} in
demo) demo ;;
public-key) login; public_key ;;
*) "$@" ;;
esac
