#!/usr/bin/env bash
# Makes a client certificate that the sandbox's gateway does not know.
# usage: tests/support/certificate.sh stranger|foreigner SANDBOX_DIR CERTIFICATE KEY
#   stranger    of the sandbox's CA, but of no configured identity
#   foreigner   of a CA of its own
set -euo pipefail
kind=$1 sandbox=$2 certificate=$3 key=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pki=$(dirname "$(sed -n "s/^export P11GATE_CA=//p" "$sandbox/env" | tr -d "'\"")")
openssl ecparam -name prime256v1 -genkey -noout -out "$key"
openssl req -new -key "$key" -subj "/CN=$kind" -out "$work/request"
printf 'extendedKeyUsage = clientAuth\nsubjectAltName = URI:urn:p11gate:test:%s\n' "$kind" > "$work/extensions"
if [ "$kind" = stranger ]; then
	ca=$pki/ca.crt ca_key=$pki/ca.key
else
	ca=$work/ca.crt ca_key=$work/ca.key
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$ca_key" -subj /CN=foreign -days 2 -out "$ca" 2> /dev/null
fi
openssl x509 -req -in "$work/request" -CA "$ca" -CAkey "$ca_key" -CAcreateserial -CAserial "$work/serial" -days 2 \
	-extfile "$work/extensions" -out "$work/certificate" 2> /dev/null
mv "$work/certificate" "$certificate"
