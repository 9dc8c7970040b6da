#!/usr/bin/env bash
# The long tests, in parts of at most an hour. A part that passed on this very commit is not run again, so an interrupted run goes on
# where it stopped: tests/acceptance.sh [PART …]; without arguments all. The last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
export BUILD
done=$BUILD/acceptance/$(git rev-parse HEAD 2> /dev/null || echo no-commit)
mkdir -p "$done"
# shellcheck source=tests/support/checks.sh
. tests/support/checks.sh

part_check() { make check; }
part_repeat() { # what races would show: the suites that race most, twenty times
	make tests || return 1
	for _ in $(seq 20); do tests/run.sh integration || return 1; done
}
part_race() { # sixty-four threads at one key that asks for its PIN each time
	make tests && P11GATE_RACE_ATTEMPTS=100000 FILTER='race/*' tests/run.sh integration
}
part_handles() { # a million guesses at other applications' handles
	make tests && P11GATE_HANDLES=1000000 "$BUILD/tests/integration" --filter 'matrix*/*guessed'
}
part_journal() { # a thousand keys of which each is made once, though answers are lost
	make tests && P11GATE_JOURNAL_KEYS=1000 FILTER='idempotency/*' tests/run.sh integration
}
part_tpm() { config/deps.sh build test demo tpm && make tests && tests/tpm/run.sh; }
part_asan() { make asan; }
part_fuzz() { make -j2 --output-sync fuzz SECONDS=420; }
part_bench() { make bench; }
part_mutants() { tests/mutants/run.sh; }
part_docker() { make docker-test && tests/docker/fresh.sh; }
parts=(check repeat handles race journal tpm asan mutants fuzz bench docker)

for part in "${@:-${parts[@]}}"; do
	start=$SECONDS
	if [ -e "$done/$part" ]; then
		echo "$part: passed before on this commit"
		count 1 0
	elif "part_$part" > "$done/$part.log" 2>&1; then
		mv "$done/$part.log" "$done/$part"
		count 1 0
		tail -n 12 "$done/$part" | sed 's/^/    /'
		echo "$part: passed in $((SECONDS - start)) s"
	else
		count 0 1
		tail -n 60 "$done/$part.log"
		echo "$part: FAILED after $((SECONDS - start)) s, all of it in $done/$part.log"
	fi
done
finish
