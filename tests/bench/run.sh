#!/usr/bin/env bash
# Latency and throughput of the client module as ratios to the vendor module, both on the same token, interleaved in the same run.
# usage: tests/bench/run.sh [ROUNDS=5]
set -euo pipefail
# shellcheck source=tests/support/clients.sh
. "$(dirname "$0")/../support/clients.sh"
sandbox_start TOKEN=bench
bench() { "$BUILD/tests/bench" "$@"; }
bench "$P11GATE_DIRECT_MODULE" bench "$P11GATE_PIN" setup
for round in $(seq "${ROUNDS:-5}"); do
	for threads in 1 8; do
		for operation in ecdsa-p256 rsa-2048 hmac-sha256 find+attribute random; do
			for side in direct through; do
				module=$P11GATE_DIRECT_MODULE
				[ $side = direct ] || module=$P11GATE_MODULE
				printf '%s %s ' "$round" "$side"
				bench "$module" bench "$P11GATE_PIN" "$operation" "$threads" 0.5
			done
		done
	done
done > "$work/figures"
# Medians over the rounds; latency ratio below 1 and throughput ratio above 1 are better.
awk '
	{ key = $3 " " $4; if (!(key in seen)) { seen[key] = 1; order[++keys] = key }
	  p50[key, $2, $1] = $5; rate[key, $2, $1] = $6; if ($1 > rounds) rounds = $1 }
	function median(table, key, side,   i, n, v, k, t) {
		n = 0
		for (i = 1; i <= rounds; i++) v[++n] = table[key, side, i]
		for (i = 1; i <= n; i++) for (k = i + 1; k <= n; k++) if (v[k] < v[i]) { t = v[i]; v[i] = v[k]; v[k] = t }
		return v[int((n + 1) / 2)]
	}
	END {
		printf "%-16s %7s %12s %12s %8s %12s %12s %8s\n", "operation", "threads", "direct p50", "through p50", "ratio", "direct /s", "through /s", "ratio"
		for (i = 1; i <= keys; i++) {
			split(order[i], part, " ")
			a = median(p50, order[i], "direct"); b = median(p50, order[i], "through")
			c = median(rate, order[i], "direct"); d = median(rate, order[i], "through")
			printf "%-16s %7s %9.1f us %9.1f us %8.2f %12d %12d %8.2f\n", part[1], part[2], a, b, b / a, c, d, d / c
		}
	}' "$work/figures"
