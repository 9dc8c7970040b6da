#!/usr/bin/env bash
# Runs the parity script on the vendor module directly and through a gateway with a copy of the same token, and compares.
# The last line is "N passed, N failed".
set -euo pipefail
# shellcheck source=tests/support/clients.sh
. "$(dirname "$0")/../support/clients.sh"
# SoftHSM counts no wrong PINs; neither does the gateway here.
sandbox_start TOKEN=parity PIN=1234 SO_PIN=12345678 \
	MORE='login: [{identities: [alice], slots: ["*"], max_pin_failures: 0, may_use_last_tries: true}]'
"$BUILD/tests/parity" import "$P11GATE_DIRECT_MODULE" parity 1234 12345678
tokens=$(sed -n 's/^directories.tokendir *= *//p' "$SOFTHSM2_CONF")
cp -r "$tokens" "$work/direct"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$work/direct" > "$work/direct.conf"
SOFTHSM2_CONF=$work/direct.conf "$BUILD/tests/parity" run "$P11GATE_DIRECT_MODULE" parity 1234 12345678 > "$work/direct.txt"
as_client "$BUILD/tests/parity" run "$P11GATE_MODULE" parity 1234 12345678 > "$work/through.txt"
if [ -n "${KEEP:-}" ]; then cp "$work/direct.txt" "$work/through.txt" "$KEEP"; fi
LC_ALL=C.UTF-8 awk -f tests/conformance/compare.awk tests/conformance/exceptions.txt "$work/direct.txt" "$work/through.txt"
