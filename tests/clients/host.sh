#!/usr/bin/env bash
# The client module as a guest: what it exports and needs, and host programs that end in awkward ways.
set -uo pipefail
# shellcheck source=tests/support/clients.sh
. "$(dirname "$0")/../support/clients.sh"
sandbox_start TOKEN=host PIN=1234

host() { as_client timeout 60 "$BUILD/tests/client_host" "$P11GATE_MODULE" "$@"; }

only_cryptoki_is_exported() {
	nm -D --defined-only "$P11GATE_MODULE" | awk '{ print $3 }' > "$work/exported"
	grep -q '^C_Sign$' "$work/exported" && ! grep -vE '^CA?_[A-Z][A-Za-z0-9]*$' "$work/exported"
}

header=client-module/include/p11gate/ca.h
all_of_the_header_is_exported() {
	grep -oE '^CK_RV CA_[A-Za-z0-9]+' "$header" | cut -d' ' -f2 | sort > "$work/declared"
	nm -D --defined-only "$P11GATE_MODULE" | awk '$3 ~ /^CA_/ { print $3 }' | sort | diff "$work/declared" - && [ -s "$work/declared" ]
}
header_compiles_as() { # header_compiles_as LANGUAGE
	printf '#include <p11gate/ca.h>\nCK_RV set(void);\nCK_RV set(void) { return CA_SetApplicationID(7, 9); }\n' |
		clang -x "$1" -Wall -Wextra -Werror -Iclient-module/include -isystem /usr/include/nss -isystem /usr/include/nspr -fsyntax-only -
}

needs_little() {
	readelf -d "$P11GATE_MODULE" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' > "$work/needed"
	grep -q libssl "$work/needed" && ! grep -vE '^(libssl|libcrypto|libhttp_parser|libinih|libc|ld-linux-[a-z0-9-]*)\.so' "$work/needed"
}

nested() { # nested WAY: OpenSSL's configuration loads the module by way of a provider
	cp "$BUILD/tests/nested_provider.so" "$work/nested_provider.so"
	printf 'openssl_conf = all\n[all]\nproviders = providers\n[providers]\ndefault = standard\nnested = nested\n[standard]\nactivate = 1\n' > "$work/openssl.cnf"
	printf '[nested]\nmodule = %s\nactivate = 1\n' "$work/nested_provider.so" >> "$work/openssl.cnf"
	chmod 644 "$work/openssl.cnf" "$work/nested_provider.so"
	as_client env OPENSSL_CONF="$work/openssl.cnf" timeout 60 "$BUILD/tests/client_host" "$P11GATE_MODULE" "$1"
}

dead_gateway_costs_the_deadline_once() {
	local before=$EPOCHREALTIME
	as_client timeout 60 p11tool --provider "$P11GATE_MODULE" --list-tokens > "$work/tokens" 2>&1
	awk -v a="$before" -v b="$EPOCHREALTIME" 'BEGIN { exit !(b - a < 4) }'
}

check "only C_ and CA_ functions are exported" only_cryptoki_is_exported
check "C4 every function of ca.h is exported" all_of_the_header_is_exported
check "C4 ca.h stands alone in C" header_compiles_as c
check "C4 ca.h stands alone in C++" header_compiles_as c++
check "nothing beyond OpenSSL, http-parser, inih and libc is needed" needs_little
for way in plain unfinalized atexit late-thread openssl again; do
	check "a host program may end this way: $way" host "$way"
done
check "OpenSSL's configuration may load this very module inside C_Initialize" nested within
check "OpenSSL's configuration may have loaded this very module before" nested before
sandbox_stop
check "F1 p11tool --list-tokens with a dead gateway ends within the connect deadline" dead_gateway_costs_the_deadline_once
finish
