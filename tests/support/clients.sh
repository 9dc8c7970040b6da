# shellcheck shell=bash
# What scripts with a gateway of their own share: the gateway, checks that count, and running as a program on another host.
# Source it, call `sandbox_start`, then `check "NAME" COMMAND …` for each behaviour and `finish` at the end.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root" || exit 1
BUILD=$(realpath "${BUILD:-build}")
export BUILD
# shellcheck source=tests/support/checks.sh
. tests/support/checks.sh
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

# The packages of tests/clients/NAME/package-lock.json, once for each build directory, with native parts built against this machine's
# Node.js; in $packages then.
npm_packages() { # npm_packages NAME
	packages=$BUILD/tests/$1
	exec 9> "$packages.lock"
	flock 9
	if ! cmp -s "tests/clients/$1/package-lock.json" "$packages/installed"; then
		mkdir -p "$packages"
		cp "tests/clients/$1"/package*.json "$packages"
		npm_config_nodedir=/usr npm_config_update_notifier=false timeout 240 npm ci --prefix "$packages" --no-audit --no-fund || return 1
		cp "$packages/package-lock.json" "$packages/installed"
	fi
	exec 9>&-
}

as_client() { tests/support/as-client.sh "$work/sandbox" "$@"; }

calls_counted() { # calls_counted FUNCTION: how often the gateway's workers have executed it
	curl --silent --fail --cacert "$P11GATE_CA" --cert "$P11GATE_CERT" --key "$P11GATE_KEY" "$P11GATE_URL/metrics" |
		awk -v f="function=\"$1\"" 'index($0, "p11gate_calls_total{") && index($0, f) { n += $NF } END { print n + 0 }'
}
