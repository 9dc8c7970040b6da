#!/usr/bin/env bash
# Makes a certificate authority, a server certificate and client certificates for trying things out:
#   config/pki.sh DIR [CLIENT ...]
# DIR gets ca.crt, server.crt and CLIENT.crt with their keys (.key, mode 0600). What is there and valid
# for another day stays. The server is localhost, 127.0.0.1, ::1 and what SERVER_NAMES adds ("DNS:gateway,IP:10.0.0.1");
# a real installation has its own authority.
set -euo pipefail
umask 077

if [ $# -lt 1 ]; then
	echo "usage: config/pki.sh DIR [CLIENT ...]" >&2
	exit 2
fi
dir=$1
shift
days=825
mkdir -p "$dir"

fresh() { # fresh NAME: the certificate is there, lasts another day and has its key
	[ -s "$dir/$1.key" ] && [ -s "$dir/$1.crt" ] && openssl x509 -in "$dir/$1.crt" -noout -checkend 86400 >/dev/null 2>&1
}

new_key() { # new_key NAME
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$dir/$1.key"
}

authority() {
	new_key ca
	openssl req -x509 -new -config /dev/null -key "$dir/ca.key" -sha256 -days "$days" -subj "/O=p11gate demo/CN=demo authority" \
		-addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign \
		-addext subjectKeyIdentifier=hash -out "$dir/ca.crt.new"
	mv "$dir/ca.crt.new" "$dir/ca.crt"
}

leaf() { # leaf NAME COMMON-NAME USAGE ALTERNATIVE-NAMES
	new_key "$1"
	openssl req -new -config /dev/null -key "$dir/$1.key" -subj "/O=p11gate demo/CN=$2" -out "$dir/$1.csr"
	printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature "extendedKeyUsage=$3" \
		subjectKeyIdentifier=hash authorityKeyIdentifier=keyid "subjectAltName=$4" >"$dir/$1.ext"
	# openssl tells on standard error what went well, too.
	openssl x509 -req -in "$dir/$1.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -set_serial "0x$(openssl rand -hex 16)" \
		-sha256 -days "$days" -extfile "$dir/$1.ext" -out "$dir/$1.crt.new" 2>"$dir/$1.log" || {
		cat "$dir/$1.log" >&2
		exit 1
	}
	rm -f "$dir/$1.csr" "$dir/$1.ext" "$dir/$1.log"
	mv "$dir/$1.crt.new" "$dir/$1.crt"
}

signed() { # signed NAME: its certificate is of this authority
	fresh "$1" && openssl verify -CAfile "$dir/ca.crt" "$dir/$1.crt" >/dev/null 2>&1
}

fresh ca || authority
signed server || leaf server localhost serverAuth "DNS:localhost,IP:127.0.0.1,IP:::1${SERVER_NAMES:+,$SERVER_NAMES}"
for client in "$@"; do
	signed "$client" || leaf "$client" "$client" clientAuth "URI:urn:p11gate:demo:$client"
done
