#!/usr/bin/env bash
# Prints the requirement IDs of tests/REQUIREMENTS.md that no test names. Fails if one is among them that is not planned only: neither
# its bold title nor the "## " heading of its section is followed by "(planned)"; a clause that is marked so further on is no excuse.
#
# tests/requirements.sh [DIRECTORY]: of the tests in DIRECTORY.
set -euo pipefail
cd "${1:-$(dirname "$0")}"

# "ID built" or "ID planned", a line each.
requirements() {
	awk '/^## / { section = /\(planned\)/ }
		{
			for (line = $0; match(line, /(^- \*\*|\| )[A-FX][0-9]+/); line = substr(line, RSTART + RLENGTH)) {
				id = substr(line, RSTART, RLENGTH)
				sub(/.*[^A-FX0-9]/, "", id)
				print id, section || /^- \*\*[^*]*\*\* \(planned\)/ ? "planned" : "built"
			}
		}' REQUIREMENTS.md | sort -u
}

named_by_tests() {
	{ grep -rhoE 'Test\(([a-z_]+, *)?[A-Za-z0-9_]+|^\s*check "[^"]+"' . --include='*.c' --include='*.sh' || true; } |
		tr '_' ' ' | grep -oE '\b[A-FX][0-9]+\b' | sort -u
}

list() { sort -V | tr '\n' ' ' | sed 's/ $//'; }

all=$(requirements)
unnamed=$(join -v 1 <(printf '%s\n' "$all") <(named_by_tests))
missing=$(sed -n 's/ built$//p' <<< "$unnamed" | list)
planned=$(sed -n 's/ planned$//p' <<< "$unnamed" | list)
count=$(wc -l <<< "$all")
printf 'requirements: %d in all, %d named by a test; without one: %s; planned: %s\n' \
	"$count" $((count - $(grep -c . <<< "$unnamed" || true))) "${missing:-none}" "${planned:-none}"
[ -z "$missing" ] || { echo "FAILED: each of these needs a test with its ID in its name, or the mark (planned): $missing"; exit 1; }
