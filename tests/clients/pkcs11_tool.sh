#!/usr/bin/env bash
# OpenSC's pkcs11-tool over the client module: its own tests print what they print on the vendor module, and its verbs work.
set -uo pipefail
# shellcheck source=tests/support/clients.sh
. "$(dirname "$0")/../support/clients.sh"
# pkcs11-tool --change-pin ends without C_Finalize: until its lease ends the user is logged in, and the security officer refused.
sandbox_start TOKEN=tool PIN=1234 SO_PIN=12345678 LIMITS='lease_ttl_s: 5'

files=$work/files
mkdir "$files"
chmod 777 "$files"

tool() { as_client pkcs11-tool --module "$P11GATE_MODULE" --token-label tool "$@"; }
user() { tool --login --pin 1234 "$@"; }
direct() { pkcs11-tool --module "$P11GATE_DIRECT_MODULE" --token-label tool "$@"; }

# Handles, addresses, slot numbers and generated keys differ between two runs on the same module too.
normalised() { sed -E 's/0x[0-9a-f]+/0x/g; s/slot [0-9]+/slot n/; s/(EC_POINT: *)[0-9a-f]+/\1point/; s/(object|handle|Object) [0-9]+/\1 n/'; }

# Objects come in an order of the module's memory: each is put on one line, and the lines are sorted.
same_objects() {
	one_line_each() { normalised | awk '/^[A-Z]/ { if (o != "") print o; o = $0; next } { o = o " " $0 } END { print o }' | sort; }
	direct --login --pin 1234 --list-objects 2> /dev/null | one_line_each > "$work/direct"
	user --list-objects 2> /dev/null | one_line_each > "$work/through"
	[ "$(wc -l < "$work/direct")" -gt 5 ] && diff "$work/direct" "$work/through"
}

same_output() { # same_output ARG …: what pkcs11-tool prints directly and through the module
	direct --login --pin 1234 "$@" 2>&1 | normalised > "$work/direct"
	user "$@" 2>&1 | normalised > "$work/through"
	[ -s "$work/direct" ] && diff "$work/direct" "$work/through"
}

# pkcs11-tool's threads race with its main program, directly too: who initialises first is chance, and it may end before they have
# begun – SoftHSM crashes in about every second run of this – or wait half a minute after they have ended, or finalise under
# them. So each side is run, a few seconds at a time, until both came to their end.
threads_of() { # threads_of OUTPUT COMMAND …
	local output=$1
	shift
	for _ in $(seq 40); do
		"$@" --test-threads ILGISLT0 --test-threads ILGISLT0 2>&1 | grep --line-buffered '^Test thread' | grep -v num_slots | normalised |
			sed -E 's/(C_Initialize +returned) CKR_(OK|CRYPTOKI_ALREADY_INITIALIZED)/\1/' | sort > "$output"
		[ "$(grep -c 'returning rv = 0' "$output")" -lt 2 ] || grep -q CKR_CRYPTOKI_NOT_INITIALIZED "$output" || return 0
	done
	return 1
}
threads_output() {
	threads_of "$work/direct" timeout 5 stdbuf -oL pkcs11-tool --module "$P11GATE_DIRECT_MODULE" --token-label tool &&
		threads_of "$work/through" as_client timeout 5 stdbuf -oL pkcs11-tool --module "$P11GATE_MODULE" --token-label tool &&
		 diff "$work/direct" "$work/through"
}

no_vendor_module_in_the_client() {
	# shellcheck disable=SC2016
	as_client sh -c 'exec 3<>"$1"; LD_PRELOAD="$P11GATE_MODULE" cat /proc/self/maps' sh /dev/null > "$work/maps"
	grep -q p11gate-client "$work/maps" && ! grep -qi softhsm "$work/maps"
}

soon() { # soon COMMAND …: within ten seconds
	local deadline=$((SECONDS + 10))
	until "$@"; do [ "$SECONDS" -lt "$deadline" ] || return 1; done
}

says() { # says TEXT COMMAND …
	local text=$1
	shift
	"$@" > "$work/says" 2>&1
	grep -q "$text" "$work/says" || { cat "$work/says"; return 1; }
}

counted() { # counted FUNCTION EXPECTED COMMAND …: the gateway's counter rises by exactly that
	local function=$1 expected=$2 before
	shift 2
	before=$(calls_counted "$function")
	"$@" || return 1
	[ $(($(calls_counted "$function") - before)) -eq "$expected" ]
}

printf 'thirty-two bytes to be signed ..' > "$files/data"
openssl dgst -sha256 -binary "$files/data" > "$files/digest"
head -c 32 /dev/urandom > "$files/secret"
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -outform DER -out "$files/rsa.der" 2> /dev/null
openssl pkey -in "$files/rsa.der" -inform DER -pubout -outform DER -out "$files/rsa-public.der"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$files/peer.pem"
openssl pkey -in "$files/peer.pem" -pubout -outform DER -out "$files/peer.der"
openssl req -x509 -new -key "$files/peer.pem" -subj /CN=peer -days 1 -outform DER -out "$files/certificate.der"
chmod 644 "$files"/*

check "change PIN" tool --login --pin 1234 --change-pin --new-pin 5678
check "the new PIN works" tool --login --pin 5678 --list-objects
check "init PIN" soon tool --login --login-type so --so-pin 12345678 --init-pin --new-pin 1234
check "the initialised PIN works" user --list-objects
check "X10 the PIN before the last one no longer works" fails tool --login --pin 5678 --list-objects

check "keypairgen RSA" user --keypairgen --key-type rsa:2048 --label rsa --id 01
# With one private key, since several would come in an order of the module's memory.
check "--test prints the same lines" same_output --test
check "keypairgen EC" user --keypairgen --key-type EC:prime256v1 --label ec --id 02 --usage-sign --usage-derive
check "keypairgen Ed25519" user --keypairgen --key-type EC:edwards25519 --label ed --id 06
check "keygen AES" user --keygen --key-type AES:32 --label aes --id 03 --extractable
check "keygen secret" user --keygen --key-type GENERIC:64 --label hmac --id 04 --extractable
check "an always-authenticate key can be made" user --keypairgen --key-type EC:prime256v1 --label careful --id 07 --always-auth
check "write a certificate" user --write-object "$files/certificate.der" --type cert --label peer --id 08
check "write a private key" user --write-object "$files/rsa.der" --type privkey --label imported --id 09
check "write a public key" user --write-object "$files/rsa-public.der" --type pubkey --label imported --id 09
check "write data" user --write-object "$files/data" --type data --label data
check "write a secret key" user --write-object "$files/secret" --type secrkey --key-type AES:32 --label known --id 0a

check "--test-ec prints the same lines" same_output --session-rw --test-ec --key-type EC:prime256v1 --label test-ec --id 0c
check "--test-threads prints the same lines" threads_output
check "--list-mechanisms prints the same lines" same_output --list-mechanisms
check "--list-objects prints the same lines" same_objects
check "--test-fork works" user --test-fork

check "list slots" tool --list-slots
check "sign with RSA" user --sign --mechanism SHA256-RSA-PKCS --id 01 --input-file "$files/data" --output-file "$files/rsa.sig"
check "read the public key" user --read-object --type pubkey --id 01 --output-file "$files/rsa-read.der"
check "the signature verifies outside" openssl dgst -sha256 -keyform DER -verify "$files/rsa-read.der" -signature "$files/rsa.sig" "$files/data"
check "verify with RSA" user --verify --mechanism SHA256-RSA-PKCS --id 01 --input-file "$files/data" --signature-file "$files/rsa.sig"
check "a signature of other data does not verify" says "Invalid signature" user --verify --mechanism SHA256-RSA-PKCS --id 01 --input-file "$files/digest" --signature-file "$files/rsa.sig"
check "sign with EC" user --sign --mechanism ECDSA --id 02 --signature-format openssl --input-file "$files/digest" --output-file "$files/ec.sig"
check "read the EC public key" user --read-object --type pubkey --id 02 --output-file "$files/ec-read.der"
check "the EC signature verifies outside" openssl dgst -sha256 -keyform DER -verify "$files/ec-read.der" -signature "$files/ec.sig" "$files/data"
check "sign with Ed25519" user --sign --mechanism EDDSA --id 06 --input-file "$files/data" --output-file "$files/ed.sig"
check "sign with HMAC" user --sign --mechanism SHA256-HMAC --id 04 --input-file "$files/data" --output-file "$files/hmac.sig"
check "verify with HMAC" says "Signature is valid" user --verify --mechanism SHA256-HMAC --id 04 --input-file "$files/data" --signature-file "$files/hmac.sig"
check "sign with an always-authenticate key asks for the PIN again" user --sign --mechanism ECDSA --id 07 --input-file "$files/digest" --output-file "$files/careful.sig"
check "encrypt with AES" user --encrypt --mechanism AES-CBC-PAD --iv 000102030405060708090a0b0c0d0e0f --id 03 --input-file "$files/data" --output-file "$files/aes.enc"
check "decrypt with AES" user --decrypt --mechanism AES-CBC-PAD --iv 000102030405060708090a0b0c0d0e0f --id 03 --input-file "$files/aes.enc" --output-file "$files/aes.dec"
check "encrypt with the written key" user --encrypt --mechanism AES-CBC-PAD --iv 000102030405060708090a0b0c0d0e0f --id 0a --input-file "$files/data" --output-file "$files/known.enc"
check "OpenSSL decrypts it" bash -c "openssl enc -d -aes-256-cbc -iv 000102030405060708090a0b0c0d0e0f -K \$(od -An -v -tx1 '$files/secret' | tr -d ' \n') -in '$files/known.enc' | cmp - '$files/data'"
check "decryption gives the plain text" cmp "$files/data" "$files/aes.dec"
check "decrypt with RSA" bash -c "openssl pkeyutl -encrypt -pubin -keyform DER -inkey '$files/rsa-read.der' -in '$files/data' -out '$files/rsa.enc' && chmod 644 '$files/rsa.enc'"
check "RSA decryption" user --decrypt --mechanism RSA-PKCS --id 01 --input-file "$files/rsa.enc" --output-file "$files/rsa.dec"
check "RSA decryption gives the plain text" cmp "$files/data" "$files/rsa.dec"
check "wrap" user --wrap --mechanism AES-KEY-WRAP --id 03 --application-id 04 --output-file "$files/wrapped"
check "unwrap" user --unwrap --mechanism AES-KEY-WRAP --id 03 --input-file "$files/wrapped" --key-type GENERIC: --application-id 0b --label unwrapped --extractable
check "derive" user --derive --mechanism ECDH1-DERIVE --id 02 --input-file "$files/peer.der" --output-file "$files/derived"
check "hash" bash -c "[ \"\$($(declare -f as_client user tool); work='$work' P11GATE_MODULE='$P11GATE_MODULE'; user --hash --mechanism SHA256 --input-file '$files/data' | od -An -tx1)\" = \"\$(od -An -tx1 '$files/digest')\" ]"
check "random" user --generate-random 32 --output-file "$files/random"
check "delete" user --delete-object --type data --label data
check "a deleted object is gone" fails user --read-object --type data --label data --output-file "$files/gone"
check "set id" user --set-id 2b --type privkey --id 02

check "the gateway counts each C_Sign once" counted C_Sign 1 user --sign --mechanism SHA256-RSA-PKCS --id 01 --input-file "$files/data" --output-file "$files/again.sig"
check "the gateway counts each C_GenerateRandom once" counted C_GenerateRandom 1 user --generate-random 16 --output-file "$files/random"
check "the client maps no vendor module" no_vendor_module_in_the_client

sandbox_stop
check "with the gateway stopped, listing objects fails" fails user --list-objects
check "with the gateway stopped, signing fails" fails user --sign --mechanism SHA256-RSA-PKCS --id 01 --input-file "$files/data" --output-file "$files/none"
check "with the gateway stopped, random fails" fails user --generate-random 16 --output-file "$files/none"
finish
