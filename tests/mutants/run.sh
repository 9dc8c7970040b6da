#!/usr/bin/env bash
# A test's name is no proof: each patch here breaks one requirement on purpose, and a test that carries its ID must turn red.
#
# tests/mutants/run.sh [ID …]: without arguments all. ID.patch, or ID-what.patch where a requirement has several. A mutant is *killed*
# when a test of that ID fails; one that survives, that does not apply, does not compile, or whose tests were red or missing
# without it counts as failed. Works on a copy under $BUILD/mutants; a verdict is kept for the commit, so that an interrupted run goes
# on where it stopped. The last line is "N passed, N failed".
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
place=$BUILD/mutants
tree=$place/tree
verdicts=$place/verdicts-$(git rev-parse HEAD)
passed=0 failed=0

copy() { # the commit's files, and a whole build of them
	rm -rf "$tree"
	mkdir -p "$tree" "$verdicts"
	git archive HEAD | tar -x -C "$tree" -m || return 1
	make -C "$tree" BUILD="$place/build" tests > "$place/log" 2>&1 || { tail -n 20 "$place/log"; return 1; }
}

# The test programs and client scripts with a test of that ID.
suites() { # suites ID
	local file
	grep -rlE "Test\([a-z_]+, *([A-Za-z0-9_]*_)?$1_" "$tree"/tests/unit "$tree"/tests/integration --include='*.c' |
		while read -r file; do
			file=${file#"$tree/tests/"}
			case $file in
			unit/*) file=${file#unit/}; echo "unit-${file%%/*}" ;;
			*) echo integration ;;
			esac
		done | sort -u
	grep -lE "^check \"([A-F0-9X, ]* )?$1[ :,]" "$tree"/tests/clients/*.sh 2> /dev/null
}

# True if the tests of the ID pass; with none of them it is false too.
tests_pass() { # tests_pass ID
	local suite some=false
	for suite in $(suites "$1"); do
		some=true
		case $suite in
		*.sh) ! BUILD=$place/build "$suite" 2>&1 | grep -qE "^FAILED: ([A-F0-9X, ]* )?$1[ :,]" || return 1 ;;
		*) FILTER="*/?(*_)$1_*" BUILD=$place/build "$tree/tests/run.sh" "$suite" > "$place/log" 2>&1 || return 1 ;;
		esac
	done
	$some
}

verdict() { # verdict PATCH: one line, "killed" or why not
	local id
	id=$(basename "$1" .patch)
	id=${id%%-*}
	if ! grep -qx "$id" "$place/green" 2> /dev/null; then
		tests_pass "$id" || { echo "its tests are missing or red without it"; return; }
		echo "$id" >> "$place/green"
	fi
	patch -s -p1 -d "$tree" < "$1" > "$place/log" 2>&1 || { echo "it does not apply"; copy; return; }
	if ! make -C "$tree" BUILD="$place/build" tests > "$place/log" 2>&1; then
		echo "it does not compile"
	elif tests_pass "$id"; then
		echo "it survives"
	else
		echo killed
	fi
	patch -s -R -p1 -d "$tree" < "$1" > /dev/null
}

[ $# -gt 0 ] || set -- "$root"/tests/mutants/*.patch
rm -f "$place/green"
copy || { echo "0 passed, 1 failed"; exit 1; }
for mutant in "$@"; do
	name=$(basename "$mutant" .patch)
	[ -s "$verdicts/$name" ] || verdict "$root/tests/mutants/$name.patch" > "$verdicts/$name"
	printf '%-24s %s\n' "$name" "$(cat "$verdicts/$name")"
	if [ "$(cat "$verdicts/$name")" = killed ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		rm -f "$verdicts/$name"
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
