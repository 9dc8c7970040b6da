#!/usr/bin/env bash
# Runs the parity script on the vendor module directly and through a gateway with a copy of the same token, and compares.
# The last line is "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/../.."
BUILD=$(realpath "${BUILD:-build}")
export BUILD
work=$(mktemp -d)
chmod 755 "$work"
stop() { config/sandbox.sh stop "$work/sandbox" >/dev/null 2>&1 || true; rm -rf "$work"; }
trap stop EXIT
TOKEN=parity PIN=1234 SO_PIN=12345678 config/sandbox.sh start "$work/sandbox" >"$work/log" 2>&1 || { cat "$work/log"; echo "0 passed, 1 failed"; exit 1; }
# shellcheck disable=SC1091
. "$work/sandbox/env"
"$BUILD/tests/parity" import "$P11GATE_DIRECT_MODULE" parity 1234 12345678
tokens=$(sed -n 's/^directories.tokendir *= *//p' "$SOFTHSM2_CONF")
cp -r "$tokens" "$work/direct"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$work/direct" > "$work/direct.conf"
SOFTHSM2_CONF=$work/direct.conf "$BUILD/tests/parity" run "$P11GATE_DIRECT_MODULE" parity 1234 12345678 > "$work/direct.txt"
tests/support/as-client.sh "$work/sandbox" "$BUILD/tests/parity" run "$P11GATE_MODULE" parity 1234 12345678 > "$work/through.txt"
if [ -n "${KEEP:-}" ]; then cp "$work/direct.txt" "$work/through.txt" "$KEEP"; fi
LC_ALL=C.UTF-8 awk -f tests/conformance/compare.awk tests/conformance/exceptions.txt "$work/direct.txt" "$work/through.txt"
