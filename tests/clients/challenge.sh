#!/usr/bin/env bash
# Challenge-response as programs meet it: a password database of kdbxweb, and the same bytes from openssl, from another client, after a
# restart, and from the client module.
set -uo pipefail
# shellcheck source=tests/support/clients.sh
. "$(dirname "$0")/../support/clients.sh"
sandbox_start TOKEN=challenge PIN=12345678

# --- requests ---

rest() { # rest METHOD PATH [BODY [CURL-OPTION …]]: the answer's body; fails with the status 400 and above
	local method=$1 path=$2 body=${3:-}
	shift $(($# < 3 ? $# : 3))
	curl --silent --show-error --fail-with-body --cacert "$P11GATE_CA" --cert "$P11GATE_CERT" --key "$P11GATE_KEY" --request "$method" \
		"$@" ${body:+--header 'Content-Type: application/json' --data "$body"} "$P11GATE_URL$path"
}
slot=/v1/slots/$P11GATE_SLOT
base64url() { openssl base64 -A | tr '/+' '_-' | tr -d '='; }
bytes_of() { # bytes_of MEMBER: what a member of the answer on standard input holds
	local text
	text=$(jq -r ".$1" | tr '_-' '/+')
	while [ $((${#text} % 4)) -ne 0 ]; do text+='='; done
	openssl base64 -d -A <<< "$text"
}
respond() { # respond CHALLENGE-FILE LABEL [MEMBERS [CURL-OPTION …]]: the response's bytes; MEMBERS begin with a comma
	local body
	body="{\"challenge\":\"$(base64url < "$1")\",\"key\":{\"label\":\"$2\"}${3:-}}"
	shift $(($# < 3 ? $# : 3))
	rest POST "$slot/challenge-response" "$body" "$@" | bytes_of response
}
login() { rest POST "$slot/applications/current/login" "{\"pin\":\"$P11GATE_PIN\"}"; }

# --- keys whose values are known here too ---

import_key() { # import_key ATTRIBUTES
	local op
	op=$(openssl rand -hex 16)
	rest POST "$slot/calls" "{\"groups\":[{\"op\":\"$op\",\"calls\":[{\"OpenSession\":{\"flags\":6}},
		{\"CreateObject\":{\"session\":{\"from\":0},\"attributes\":[{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":true},{\"CKA_SIGN\":true},$1]}}]}]}" \
		--header "X-Client-Instance: $op" > "$work/imported" && [ "$(grep -o CKR_OK "$work/imported" | wc -l)" -eq 2 ]
}
import_hmac() { # import_hmac LABEL FILE
	import_key "{\"CKA_CLASS\":\"CKO_SECRET_KEY\"},{\"CKA_KEY_TYPE\":\"CKK_GENERIC_SECRET\"},{\"CKA_LABEL\":\"$1\"},
		{\"CKA_ID\":\"$(printf %s "$1" | base64url)\"},{\"CKA_VALUE\":\"$(base64url < "$2")\"}"
}
rsa_number() { # rsa_number NAME: a number of the private key, base64url
	openssl rsa -in "$work/rsa.pem" -noout -text | awk -v name="^$1:" '$0 ~ name { on = 1; next } on && /^ / { gsub(/[ :]/, ""); printf "%s", $0; next } on { exit }' |
		sed 's/^00//' | tr a-f A-F | basenc --base16 --decode | base64url
}
import_rsa() { # import_rsa LABEL: the key in rsa.pem
	import_key "{\"CKA_CLASS\":\"CKO_PRIVATE_KEY\"},{\"CKA_KEY_TYPE\":\"CKK_RSA\"},{\"CKA_LABEL\":\"$1\"},{\"CKA_ID\":\"$(printf %s "$1" | base64url)\"},
		{\"CKA_MODULUS\":\"$(rsa_number modulus)\"},{\"CKA_PUBLIC_EXPONENT\":\"AQAB\"},{\"CKA_PRIVATE_EXPONENT\":\"$(rsa_number privateExponent)\"},
		{\"CKA_PRIME_1\":\"$(rsa_number prime1)\"},{\"CKA_PRIME_2\":\"$(rsa_number prime2)\"},{\"CKA_EXPONENT_1\":\"$(rsa_number exponent1)\"},
		{\"CKA_EXPONENT_2\":\"$(rsa_number exponent2)\"},{\"CKA_COEFFICIENT\":\"$(rsa_number coefficient)\"}"
}
openssl rand -out "$work/unlock" 32
openssl rand -out "$work/other" 32
openssl rand -out "$work/yubikey" 20
openssl rand -out "$work/yubikey2" 20
openssl genrsa -out "$work/rsa.pem" 2048 2> /dev/null
openssl rand -out "$work/salt" 32
hex() { od -An -v -tx1 "$1" | tr -d ' \n'; }

check "the user logs in" login
for label in unlock other yubikey yubikey2; do
	check "a known key $label" import_hmac "$label" "$work/$label"
done
check "a known RSA key" import_rsa rsa

# --- openssl agrees ---

is() { # is EXPECTED ACTUAL: files, which are not empty
	[ -s "$1" ] && cmp "$1" "$2"
}
hmac_as_openssl() { # hmac_as_openssl LABEL HASH
	respond "$work/salt" "$1" > "$work/response" && openssl mac -digest "$2" -macopt "hexkey:$(hex "$work/$1")" -binary -in "$work/salt" -out "$work/expected" HMAC &&
		is "$work/expected" "$work/response" &&
		openssl dgst "-$2" -mac HMAC -macopt "hexkey:$(hex "$work/$1")" -binary -out "$work/expected" "$work/salt" && is "$work/expected" "$work/response"
}
check "D1 D2 hmac-sha256 is what openssl mac and openssl dgst compute" hmac_as_openssl unlock sha256
check "D1 D2 hmac-sha1 is what openssl mac and openssl dgst compute" hmac_as_openssl yubikey sha1
rsa_as_openssl() {
	respond "$work/salt" rsa > "$work/response" && openssl dgst -sha256 -sign "$work/rsa.pem" "$work/salt" | openssl dgst -sha256 -binary > "$work/expected" &&
		is "$work/expected" "$work/response"
}
check "D2 rsa-pkcs1 is the SHA-256 of openssl dgst -sha256 -sign" rsa_as_openssl
ecdh_as_openssl() {
	local answer
	answer=$(rest POST "$slot/keys" '{"type":"EC","label":"agree","usage":["derive"]}') || { echo "$answer"; return 1; }
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/peer.pem" && openssl pkey -in "$work/peer.pem" -pubout -outform DER -out "$work/peer.der" &&
		respond "$work/peer.der" agree ',"method":"ecdh"' > "$work/response" &&
		rest GET "$slot/keys/agree/public-key" '' --header 'Accept: application/x-pem-file' > "$work/agree.pem" &&
		openssl pkeyutl -derive -inkey "$work/peer.pem" -peerkey "$work/agree.pem" | openssl dgst -sha256 -binary > "$work/expected" &&
		is "$work/expected" "$work/response"
}
check "D1 D2 ecdh is the SHA-256 of openssl pkeyutl -derive" ecdh_as_openssl

# --- the same from elsewhere ---

restarted() {
	respond "$work/salt" unlock > "$work/hmac" && respond "$work/salt" rsa > "$work/signed" || return 1
	config/sandbox.sh stop "$work/sandbox" && config/sandbox.sh start "$work/sandbox" > "$work/start" || return 1
	# shellcheck disable=SC1091
	. "$work/sandbox/env"
	login && respond "$work/salt" unlock | cmp - "$work/hmac" && respond "$work/salt" rsa | cmp - "$work/signed"
}
check "D3 the responses are the same after a restart of the gateway" restarted
as_bob() {
	# shellcheck disable=SC2153
	local P11GATE_CERT=$P11GATE_CERT2 P11GATE_KEY=$P11GATE_KEY2
	login && respond "$work/salt" unlock | cmp - "$work/hmac" && respond "$work/salt" rsa | cmp - "$work/signed"
}
check "D3 and from another client" as_bob
tool() { as_client pkcs11-tool --module "$P11GATE_MODULE" --token-label challenge --login --pin 12345678 "$@"; }
output=$work/through # where the client's user may write
mkdir "$output" && chmod 777 "$output" && chmod go+r "$work/salt"
id_of() { rest GET "$slot/keys/$1" | jq -r .id; } # pkcs11-tool takes the first key where it is not told an id
through_the_module() { # through_the_module LABEL MECHANISM [MEMBERS]
	rm -f "$output/mac"
	tool --sign --mechanism "$2" --id "$(id_of "$1")" --input-file "$work/salt" --output-file "$output/mac" &&
		respond "$work/salt" "$1" "${3:-}" > "$work/response" && is "$output/mac" "$work/response"
}
check "D11 C_Sign with CKM_SHA256_HMAC through the client module gives the same bytes" through_the_module unlock SHA256-HMAC
check "D11 and with CKM_SHA_1_HMAC" through_the_module yubikey SHA-1-HMAC
decrypted() {
	head -c 32 /dev/urandom > "$work/volume-key"
	openssl pkeyutl -encrypt -pubin -inkey <(openssl rsa -in "$work/rsa.pem" -pubout 2> /dev/null) -in "$work/volume-key" -out "$output/wrapped" && chmod go+r "$output/wrapped" &&
		tool --decrypt --mechanism RSA-PKCS --id "$(id_of rsa)" --input-file "$output/wrapped" --output-file "$output/opened" && is "$work/volume-key" "$output/opened"
}
check "D11 what a disk's enrolment does with RSA: a volume key that openssl has encrypted is decrypted" decrypted
agreed() {
	rm -f "$output/agreed"
	cp "$work/peer.der" "$output/peer.der" && chmod go+r "$output/peer.der" &&
		tool --derive --mechanism ECDH1-DERIVE --id "$(id_of agree)" --input-file "$output/peer.der" --output-file "$output/agreed" &&
		openssl pkeyutl -derive -inkey "$work/peer.pem" -peerkey "$work/agree.pem" -out "$work/expected" && is "$work/expected" "$output/agreed"
}
check "D11 what a disk's enrolment does with ECDH: both sides agree" agreed
by_uri() { # a URI of the token alone, and one that the token is not
	as_client p11tool --provider "$P11GATE_MODULE" --login --set-pin 12345678 --list-all "pkcs11:token=challenge;$1" > "$work/listed" 2>&1
	cat "$work/listed"
	grep -q 'Label: rsa' "$work/listed"
}
check "D11 p11tool finds a key by its PKCS#11 URI" by_uri "object=rsa;type=private"
check "D11 and not by another one" fails by_uri "object=release;type=private"

# --- a password database ---

check "D5 kdbxweb is there" npm_packages kdbx
databases() {
	mkdir -p "$work/node" && cp -r tests/clients/kdbx/*.js "$packages/node_modules" "$work/node" || return 1
	timeout 120 node "$work/node/kdbx.js" '[
		{"name":"32 bytes","request":{"key":{"label":"unlock"}},"other":"other","len":32},
		{"name":"20 bytes","request":{"profile":"yubikey-hmac-sha1","key":{"label":"yubikey"}},"other":"yubikey2","len":20},
		{"name":"fixed64","request":{"profile":"yubikey-hmac-sha1","frame":"fixed64","normalize":"sha256","key":{"label":"yubikey"}},"other":"yubikey2","len":32},
		{"name":"RSA","request":{"key":{"label":"rsa"}},"other":"unlock","len":32}]' > "$work/databases" 2>&1
	cat "$work/databases"
	[ "$(grep -c '^ok ' "$work/databases")" -eq 20 ] && ! grep -v '^ok ' "$work/databases"
}
check "D5 a KDBX database saves, opens again, and with a wrong key is InvalidKey" databases

# --- the example ---

logout() { rest POST "$slot/applications/current/logout"; }
check "a key that asks for its PIN" rest POST "$slot/keys" '{"type":"RSA","label":"careful","always_authenticate":true}'
check "the user logs out" logout
printf salt > "$work/word"
mac_of_word() { openssl mac -digest sha256 -macopt "hexkey:$(hex "$work/unlock")" -in "$work/word" HMAC | tr A-F a-f; }
with_callbacks() {
	PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=api/docs/examples timeout 120 python3 tests/clients/provider/provider.py "$(mac_of_word)" > "$work/callbacks" 2>&1
	cat "$work/callbacks"
	[ "$(grep -c '^ok ' "$work/callbacks")" -eq 7 ] && ! grep -v '^ok ' "$work/callbacks"
}
check "D8 the provider of the examples asks for the PIN where the answer is 401, and for nothing else" with_callbacks
by_command() { # by_command OPTION …: the example as a program
	api/docs/examples/pkcs11_provider.py --gateway "$P11GATE_URL" --ca "$P11GATE_CA" --certificate "$P11GATE_CERT" --key "$P11GATE_KEY" "$@" \
		"$(hex "$work/word")" > "$work/printed"
}
check "the user logs out again" logout
check "D8 as a program it asks the PIN command" by_command --slot "$P11GATE_SLOT" --key-label unlock --pin-command "printf $P11GATE_PIN"
check "and prints the response" test "$(cat "$work/printed")" = "$(mac_of_word)"
check "without a PIN it prints none" fails by_command --slot "$P11GATE_SLOT" --key-label careful --pin-command false

finish
