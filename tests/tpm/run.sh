#!/usr/bin/env bash
# tpm2-pkcs11 on a software TPM behind a gateway: a slow token that locks for real, and whose refused operations stay active.
# The sequences of keys that ask for their PIN at each use, and what a lock-out does (A16). The last line is "N passed, N failed".
# The TPM's ports are fixed, so all of it runs in a network of its own.
set -uo pipefail
if [ -z "${P11GATE_TPM_INSIDE:-}" ]; then
	exec env P11GATE_TPM_INSIDE=1 unshare -n dbus-run-session -- "$0"
fi
ip link set lo up
# shellcheck source=tests/support/clients.sh
. "$(dirname "$0")/../support/clients.sh"
module=$(find /usr/lib -name 'libtpm2_pkcs11.so.1' 2> /dev/null | head -n 1)
export TPM2TOOLS_TCTI=tabrmd:bus_type=session TPM2_PKCS11_TCTI=tabrmd:bus_type=session TPM2_PKCS11_STORE=$work/store TPM2_PKCS11_LOG_LEVEL=0
chip=$work/chip

tpm_stop() {
	[ -z "${manager:-}" ] || kill "$manager"
	[ ! -s "$chip/pid" ] || kill "$(cat "$chip/pid")"
	wait
}
trap 'sandbox_stop; tpm_stop 2> /dev/null; rm -rf "$work"' EXIT

tpm_start() {
	mkdir -p "$chip" "$TPM2_PKCS11_STORE"
	swtpm socket --tpm2 --tpmstate "dir=$chip" --server type=tcp,port=2321 --ctrl type=tcp,port=2322 \
		--flags not-need-init,startup-clear --daemon --pid "file=$chip/pid" || return 1
	tpm2-abrmd --session --allow-root --tcti=swtpm:host=127.0.0.1,port=2321 --flush-all > "$work/manager.log" 2>&1 &
	manager=$!
	for _ in $(seq 100); do
		tpm2_getcap properties-fixed > /dev/null 2>&1 && return
		sleep 0.1
	done
	return 1
}

token_make() {
	tpm2_ptool init --path "$TPM2_PKCS11_STORE" && tpm2_ptool addtoken --pid 1 --label tpm --sopin 12345678 --userpin 1234 --path "$TPM2_PKCS11_STORE"
}

through() { "$BUILD/tests/sequence" "$P11GATE_MODULE" tpm 1234 "$@"; }

check "the software TPM runs" tpm_start
check "it has a token" token_make
variable() { printf "{name: %s, value: '%s'}" "$1" "${!1}"; }
sandbox_start TOKEN=tpm PIN=1234 SO_PIN=12345678 MODULE="$module" \
	MODULE_ENVIRONMENT="$(variable TPM2_PKCS11_TCTI), $(variable TPM2_PKCS11_STORE), $(variable TPM2_PKCS11_LOG_LEVEL), $(variable DBUS_SESSION_BUS_ADDRESS)" \
	MORE='login: [{identities: [alice], slots: ["*"], max_pin_failures: 0, may_use_last_tries: true}]'
check "A1 to A15 as the table has them, on a token that sees some of it otherwise" through
check "A16 a token that locks logs the application out" through lock
finish
