#!/usr/bin/env bash
# node-webcrypto-p11 over the client module: its always-authenticate flow, 20 cases that must all pass, and the published
# WebCrypto vectors with its storages, case by case as on the vendor module itself. (The package is published without its own
# tests; these are the same steps, written here.)
set -uo pipefail
# shellcheck source=tests/support/clients.sh
. "$(dirname "$0")/../support/clients.sh"
sandbox_start TOKEN=webcrypto PIN=12345678

# The client's user may not be able to read the build directory.
node_directory=$work/node
prepare() {
	mkdir -p "$node_directory"
	cp -r tests/clients/webcrypto/*.js "$packages/node_modules" "$node_directory"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -subj /CN=webcrypto -days 1 \
		-out "$node_directory/certificate.pem"
	chmod -R go+rX "$node_directory"
}

# shellcheck disable=SC2016
through() { # through FILE OUTPUT
	as_client env P11GATE_PIN=12345678 P11GATE_TEST_CERTIFICATE="$node_directory/certificate.pem" \
		sh -c 'P11GATE_TEST_MODULE=$P11GATE_MODULE exec timeout 120 node "$1"' sh "$node_directory/$1" > "$2" 2>> "$work/errors"
}
direct() { # direct FILE OUTPUT
	P11GATE_PIN=12345678 P11GATE_TEST_CERTIFICATE=$node_directory/certificate.pem P11GATE_TEST_MODULE=$P11GATE_DIRECT_MODULE \
		timeout 120 node "$node_directory/$1" > "$2" 2>> "$work/errors"
}

all_pass() { # all_pass OUTPUT COUNT
	[ "$(grep -c '^ok ' "$1")" -eq "$2" ] && ! grep '^not ok ' "$1"
}
the_same() { # the_same DIRECT THROUGH LEAST: no case differs, and at least so many pass
	[ "$(grep -c '^ok ' "$1")" -ge "$3" ] && diff "$1" "$2"
}

check "the packages are there" npm_packages webcrypto
check "the test is ready" prepare
check "always-authenticate, directly" direct always_authenticate.js "$work/always-direct"
check "always-authenticate, through the gateway" through always_authenticate.js "$work/always-through"
check "20 of 20 pass directly" all_pass "$work/always-direct" 20
check "A9 20 of 20 pass through the gateway: each use asks once" all_pass "$work/always-through" 20
check "the suite, directly" direct suite.js "$work/suite-direct"
check "the suite, through the gateway" through suite.js "$work/suite-through"
check "every case of the suite ends as it does directly" the_same "$work/suite-direct" "$work/suite-through" 150
check "nothing is said on standard error" test ! -s "$work/errors"
echo "figure: webcrypto suite: $(grep -c '^ok ' "$work/suite-through") of $(wc -l < "$work/suite-through") pass through the gateway, $(grep -c '^ok ' "$work/suite-direct") directly"
finish
