# shellcheck shell=bash
# Counting what passed and what failed, for every script whose last line is "N passed, N failed". Source it;
# `check` needs $work, a directory of the script's own.

passed=0 failed=0

count() { # count PASSED FAILED
	passed=$((passed + $1)) failed=$((failed + $2))
}

check() { # check NAME COMMAND …: the command must succeed
	local name=$1
	shift
	# shellcheck disable=SC2154
	if "$@" > "$work/check" 2>&1; then
		count 1 0
	else
		count 0 1
		echo "FAILED: $name"
		sed 's/^/    /' "$work/check" | tail -n 40
	fi
}

fails() { ! "$@"; }

finish() { # the last line; ends the script, with success if something passed and nothing failed
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
	exit
}
