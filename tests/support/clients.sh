# shellcheck shell=bash
# What the client tests share: a gateway of their own, checks that count, and running as a program on another host.
# Source it, call `sandbox_start`, then `check "NAME" COMMAND …` for each behaviour and `finish` at the end.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1
BUILD=$(realpath "${BUILD:-build}")
export BUILD
passed=0 failed=0
work=$(mktemp -d)
chmod 711 "$work"
trap 'sandbox_stop; rm -rf "$work"' EXIT

sandbox_start() { # sandbox_start [VARIABLE=value …]: a gateway in $work/sandbox, its variables in this shell
	if ! env "$@" config/sandbox.sh start "$work/sandbox" > "$work/start" 2>&1; then
		cat "$work/start"
		echo "0 passed, 1 failed"
		exit 1
	fi
	# shellcheck disable=SC1091
	. "$work/sandbox/env"
}

sandbox_stop() {
	[ ! -d "$work/sandbox" ] || config/sandbox.sh stop "$work/sandbox" > /dev/null 2>&1 || true
}

as_client() { tests/support/as-client.sh "$work/sandbox" "$@"; }

# The vendor module without the gateway, on the sandbox's own token.
directly() { env "$@"; }

check() { # check NAME COMMAND …: the command must succeed
	local name=$1
	shift
	if "$@" > "$work/check" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED: $name"
		sed 's/^/    /' "$work/check" | tail -n 25
	fi
}

fails() { ! "$@"; }

calls_counted() { # calls_counted FUNCTION: how often the gateway's workers have executed it
	curl --silent --fail --cacert "$P11GATE_CA" --cert "$P11GATE_CERT" --key "$P11GATE_KEY" "$P11GATE_URL/metrics" |
		awk -v f="function=\"$1\"" 'index($0, "p11gate_calls_total{") && index($0, f) { n += $NF } END { print n + 0 }'
}

finish() {
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
	exit
}
