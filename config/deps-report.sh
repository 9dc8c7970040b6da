#!/usr/bin/env bash
# Prints each shared library that the given programs name themselves, who links it, and what for.
# usage: config/deps-report.sh PROGRAM …
set -euo pipefail
purpose() {
	case $1 in
	libmicrohttpd*) echo "HTTP of the gateway" ;;
	libgnutls*) echo "TLS of the gateway (libmicrohttpd speaks no other)" ;;
	libcrypto*) echo "digests, certificates, public keys" ;;
	libssl*) echo "TLS of the client module" ;;
	libjansson*) echo "JSON of the resource routes" ;;
	libseccomp*) echo "sandbox of the workers" ;;
	libsqlite3*) echo "the journal of Idempotency-Keys" ;;
	libyaml*) echo "the configuration file" ;;
	libhttp_parser*) echo "HTTP answers in the client module" ;;
	libinih*) echo "the client file" ;;
	libc.so* | ld-linux*) echo "C library" ;;
	*) echo "UNEXPECTED" ;;
	esac
}
for program in "$@"; do
	objdump -p "$program" | awk -v p="$(basename "$program")" '$1 == "NEEDED" { print $2, p }'
done | sort | awk '{ who[$1] = who[$1] (who[$1] == "" ? "" : ", ") $2 } END { for (l in who) print l "\t" who[l] }' | sort |
	while IFS=$'\t' read -r library who; do
		printf '%-24s %-55s %s\n' "$library" "$who" "$(purpose "$library")"
	done
