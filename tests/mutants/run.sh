#!/usr/bin/env bash
# A test's name is no proof: each patch here breaks one requirement on purpose, and a test that carries its ID must turn red.
#
# tests/mutants/run.sh [ID …]: without arguments all. ID.patch, or ID-what.patch where a requirement has several. A mutant is *killed*
# when a test of that ID fails; one that survives, that does not apply, does not compile, whose tests do not end within $SECONDS_MAX
# seconds, or were red or missing without it counts as failed. Works on a copy under $BUILD/mutants; a verdict is kept for the
# commit, so that an interrupted run goes on where it stopped. The last line is "N passed, N failed".
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
place=$BUILD/mutants
tree=$place/tree
verdicts=$place/verdicts-$(git rev-parse HEAD)
passed=0 failed=0
SECONDS_MAX=${SECONDS_MAX:-600} # of one suite's tests of one ID
running='' # timeout, around a suite
# shellcheck source=tests/support/processes.sh
. tests/support/processes.sh
mkdir -p "$verdicts"
exec {lock}> "$place/lock"
flock -n "$lock" || { echo "another run works in $place"; exit 1; }
scratch=$(mktemp -d) # where suites make their directories
chmod 711 "$scratch"
trap interrupted EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

interrupted() { # on every way out
	trap '' INT TERM
	if [ -n "$running" ]; then
		kill -TERM "$running" 2> /dev/null
		wait "$running"
	fi
	processes_stop "$scratch" > /dev/null
	rm -rf "$scratch" "$place/green"
}

copy() { # the commit's files, and a whole build of them; files that did not change since the last copy keep their age
	[ -d "$tree/.git" ] || { rm -rf "$tree" && git clone -q --shared --no-checkout "$root" "$tree"; } || return 1
	git -C "$tree" checkout -q --force --detach "$(git rev-parse HEAD)" && git -C "$tree" clean -fdq || return 1
	build || { tail -n 20 "$place/log"; return 1; }
}

build() { make -C "$tree" BUILD="$place/build" tests > "$place/log" 2>&1 {lock}>&-; }

# The test programs and client scripts with a test of that ID, the quick ones first. Besides Test(suite, name) there are macros like
# ApplicationTest(name).
suites() { # suites ID
	local test="Test\(([a-z_]+, *)?([A-Za-z0-9_]*_)?$1_"
	grep -rlE "$test" "$tree"/tests/unit --include='*.c' | sed -E 's|.*/tests/unit/([^/]*)/.*|unit-\1|' | sort -u
	! grep -rqE "$test" "$tree"/tests/integration --include='*.c' || echo integration
	grep -lE "^\s*check \"([A-F0-9X, ]* )?$1[ :,]" "$tree"/tests/clients/*.sh
}

# Runs one suite's tests of the ID, the output in $place/log; false if one fails, none passes, or time is up, which makes $late true.
suite_passes() { # suite_passes ID SUITE
	local command=("$tree/tests/run.sh" "$2") status
	[[ $2 != *.sh ]] || command=("$2")
	TMPDIR=$scratch FILTER="*/?(*_)$1_*" BUILD=$place/build setsid timeout --kill-after=60 "$SECONDS_MAX" "${command[@]}" \
		< /dev/null > "$place/log" 2>&1 {lock}>&- &
	running=$!
	wait "$running"
	status=$?
	running=''
	[ "$status" -ne 124 ] && [ "$status" -ne 137 ] || late=true # timeout's
	# A suite that did not end by itself may not have ended its gateway either.
	processes_stop "$scratch" > /dev/null
	# Of a script only the checks of the ID count, all of which have run when its last line is there.
	if [[ $2 == *.sh ]] && tail -n 1 "$place/log" | grep -qE '^[0-9]+ passed, [0-9]+ failed$'; then
		! grep -qE "^FAILED: ([A-F0-9X, ]* )?$1[ :,]" "$place/log"
	else
		[ "$status" -eq 0 ]
	fi
}

# True if the tests of the ID pass; with none of them it is false too.
tests_pass() { # tests_pass ID
	local suite some=false
	late=false
	for suite in $(suites "$1"); do
		some=true
		suite_passes "$1" "$suite" || return 1
	done
	$some
}

verdict() { # verdict PATCH: one line, "killed" or why not
	local id
	id=$(basename "$1" .patch)
	id=${id%%-*}
	if ! grep -qx "$id" "$place/green" 2> /dev/null; then
		# What is built is the mutant before this one.
		if ! build || ! tests_pass "$id"; then
			echo "its tests are missing or red without it"
			return
		fi
		echo "$id" >> "$place/green"
	fi
	if ! patch -s -p1 -r - --no-backup-if-mismatch -d "$tree" < "$1" > "$place/log" 2>&1; then
		echo "it does not apply"
	elif ! build; then
		echo "it does not compile"
	elif tests_pass "$id"; then
		echo "it survives"
	elif $late; then
		echo "its tests do not end"
	else
		echo killed
	fi
	git -C "$tree" checkout -q -- .
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
