#!/usr/bin/env bash
# Runs the built test suites and counts: tests/run.sh [unit | unit-ROOM] [integration] [parity] [clients] [requirements]
# Without arguments all of them. BUILD names the build directory; FILTER, Criterion's pattern of SUITE/TEST, picks single tests of
# unit-ROOM and integration; LANES says how many suites run at a time. The last line is "N passed, N failed".
# A suite that runs no test, crashes, leaves a sanitizer's report, or leaves a gateway or a worker running has failed.
# Those are ended, and counted: nothing outlives this script, also when a signal ends it.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
BUILD=$(realpath "${BUILD:-build}")
export BUILD
# shellcheck source=tests/support/checks.sh
. tests/support/checks.sh
# shellcheck source=tests/support/processes.sh
. tests/support/processes.sh
logs=$(mktemp -d)
# Tests wait more than they compute: one suite more than there are processors.
lanes=${LANES:-$(($(nproc) + 1))}
suites=0
declare -A places=() # of the suites that run, by their process
place='' # in a suite's process: its directory
running='' # and the process group of what it runs
trap interrupted EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 711 "$logs"
# libcriterion leaves 48 bytes of its own behind now and then.
printf 'leak:libcriterion\n' > "$logs/suppressions"
export LSAN_OPTIONS="suppressions=$logs/suppressions:print_suppressions=0"

interrupted() { # on every way out; on the ordinary one there is nothing left to end
	trap '' INT TERM
	if [ ${#places[@]} -gt 0 ]; then
		kill -TERM "${!places[@]}" 2> /dev/null
		wait "${!places[@]}"
	fi
	stop_left "$logs"
	rm -rf "$logs"
}

suite() { # suite COMMAND …: in a process and a directory of its own, which gets its report and its counts
	running='' passed=0 failed=0
	trap suite_interrupted TERM
	# Where its tests make their directories; a short path, since sockets live there.
	export TMPDIR=$place/t
	mkdir -m 711 "$place" "$TMPDIR"
	export ASAN_OPTIONS="handle_segv=0:handle_abort=0:detect_leaks=1:log_path=$place/sanitizer"
	export UBSAN_OPTIONS="print_stacktrace=1:log_path=$place/sanitizer"
	"$@" > "$place/report" 2>&1
	echo "$passed $failed" > "$place/counts"
}

suite_interrupted() {
	trap '' TERM
	if [ -n "$running" ]; then
		kill -TERM -- "-$running" 2> /dev/null || kill -TERM "$running" 2> /dev/null
		wait "$running"
	fi
	exit 143
}

start() { # start COMMAND …: beside those that run, as soon as a lane is free
	await "$lanes"
	suites=$((suites + 1))
	place=$logs/$suites
	suite "$@" &
	places[$!]=$place
}

await() { # await COUNT: until fewer than COUNT suites run
	local pid
	while [ ${#places[@]} -ge "$1" ]; do
		# It may miss one that has ended before: what counts is who is still there.
		wait -n "${!places[@]}"
		for pid in "${!places[@]}"; do
			kill -0 "$pid" 2> /dev/null || ended "$pid"
		done
	done
}

ended() { # ended PROCESS: reports its suite, as a whole
	local good=0 bad=1
	cat "${places[$1]}/report"
	if [ -s "${places[$1]}/counts" ]; then read -r good bad < "${places[$1]}/counts"; fi
	count "$good" "$bad"
	rm -rf "${places[$1]}"
	unset "places[$1]"
}

stop_left() { # stop_left DIR: ends the processes of DIR and says how many; fails if there were any
	local stopped
	stopped=$(processes_stop "$1")
	[ "$stopped" -eq 0 ] && return
	echo "stopped $stopped gateways and workers that were left running"
	return 1
}

run() { # run PROGRAM [ARG ...]: in a process group of its own, its output in a file; a signal to the suite ends it
	local status
	setsid "$@" < /dev/null > "$place/out" 2>&1 &
	running=$!
	wait "$running"
	status=$?
	running=''
	return "$status"
}

judge() { # judge NAME PASSED FAILED: counts a suite, which must have ended what it started
	local failures=$3
	# A worker whose gateway was killed ends by itself, a moment later.
	processes_end "$TMPDIR" 5
	stop_left "$TMPDIR" || [ "$failures" -gt 0 ] || failures=1
	count "$2" "$failures"
	printf '%-28s %5d passed %3d failed\n' "$1" "$2" "$failures"
}

criterion() { # criterion PROGRAM [ARG ...]: counts by Criterion's summary line
	local name tested bad report
	name=$(basename "$1")
	run "$@" --jobs 4 --timeout 240
	local status=$?
	read -r tested bad < <(sed 's/\x1b\[[0-9;]*m//g' "$place/out" |
		sed -n 's/.*Synthesis: Tested: \([0-9]*\) | Passing: [0-9]* | Failing: \([0-9]*\) | Crashing: \([0-9]*\).*/\1 \2/p' | tail -n 1)
	tested=${tested:-0} bad=${bad:-0}
	if [ "$status" -ne 0 ] || [ "$bad" -ne 0 ] || [ "$tested" -eq 0 ]; then
		# Criterion's own lines first: what the tests' processes say may be long.
		sed 's/\x1b\[[0-9;]*m//g' "$place/out" > "$place/plain"
		grep -E '^\[(FAIL|CRASH|ERR |----)' "$place/plain" | head -n 60
		grep -vE '^\[(PASS|RUN |SKIP|FAIL|CRASH|ERR |----)' "$place/plain" | tail -n 40
		[ "$bad" -gt 0 ] || bad=1
	fi
	for report in "$place"/sanitizer*; do
		[ -e "$report" ] || continue
		cat "$report"; rm -f "$report"; bad=$((bad + 1))
	done
	[ "$tested" -ge "$bad" ] || tested=$bad
	judge "$name" $((tested - bad)) "$bad"
}

script() { # script FILE: counts by its last line "N passed, N failed"
	local name last good bad
	name=$(basename "$1" .sh)
	run "$@"
	local status=$?
	last=$(tail -n 1 "$place/out")
	if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
		good=${BASH_REMATCH[1]} bad=${BASH_REMATCH[2]}
	else
		good=0 bad=1
	fi
	if [ "$status" -ne 0 ] || [ "$bad" -ne 0 ] || [ "$good" -eq 0 ]; then
		tail -n 80 "$place/out"
		[ "$bad" -gt 0 ] || bad=1
	else
		grep '^figure: ' "$place/out" | sed 's/^figure: /    /' || true
	fi
	judge "$name" "$good" "$bad"
}

integration() { # integration FILTER: with a gateway for all its tests
	local sandbox=$place/sandbox before=$failed
	# Outside TMPDIR, where none may be left.
	if ! TMPDIR=$place TOKEN=demo config/sandbox.sh start "$sandbox" > "$place/start" 2>&1; then
		cat "$place/start"
		judge integration 0 1
		return
	fi
	P11GATE_SANDBOX=$sandbox criterion "$BUILD/tests/integration" --filter "$1"
	[ "$failed" -eq "$before" ] || grep -E '"level":"(warning|error)"' "$sandbox/gateway.log" | tail -n 30
	config/sandbox.sh stop "$sandbox" > /dev/null
}

requirements() { if tests/requirements.sh; then count 1 0; else count 0 1; fi; }

suite_unit() { for t in "$BUILD"/tests/unit-*; do [ -x "$t" ] && start criterion "$t"; done; }
suite_integration() { start integration "${FILTER:-!(crowd)/*}"; }
suite_parity() { start script tests/conformance/run.sh; }
suite_clients() { for t in tests/clients/*.sh; do start script "$t"; done; }
suite_requirements() { start requirements; }

read -r -a wanted <<< "${*:-integration unit parity clients requirements}"
# Two hundred programs at once want the machine for themselves.
if [ -z "${FILTER:-}" ] && [[ " ${wanted[*]} " = *" integration "* ]]; then
	start integration 'crowd/*'
	await 1
fi
for s in "${wanted[@]}"; do
	case $s in
	unit-*) start criterion "$BUILD/tests/$s" ${FILTER:+--filter "$FILTER"} ;;
	*) "suite_$s" ;;
	esac
done
await 1
stop_left "$logs" || count 0 1
finish
