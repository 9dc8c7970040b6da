#!/usr/bin/env bash
# Checks which folder includes which (floors.txt) and what may stand only in some places (only.txt).
# usage: tests/lint/floors.sh [ROOT]     prints file:line: reason for each violation, exit 1 if any
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$here/../..}"

sources() { find api server client-module -name '*.[ch]' -o -name '*.def' -path '*api*' | sort; }

arrows() {
	sources | xargs grep -nE '^#include "' /dev/null | awk -F: -v floors="$here/floors.txt" '
		BEGIN {
			while ((getline line < floors) > 0)
				if (line !~ /^#/ && split(line, part, ":") == 2) allowed[part[1]] = part[2]
		}
		function folder_of(path,   f) {
			for (f = path; sub(/\/[^\/]*$/, "", f);) if (f in allowed) return f
			return ""
		}
		{
			from = folder_of($1); target = $3
			sub(/^#include "/, "", target); sub(/".*/, "", target)
			if (target !~ /\//) {       # beside the file, or within a table folder
				next
			}
			to = folder_of(target)
			if (to == "") { print $1 ":" $2 ": includes " target ", which no floor holds"; next }
			if (to != from && index(" " allowed[from] " ", " " to " ") == 0)
				print $1 ":" $2 ": " from " may not include " to " (" target ")"
			if (target ~ /internal\.h$/ && to != from)
				print $1 ":" $2 ": " target " is private to its folder"
		}'
}

places() {
	local row reason rest where pattern
	while IFS= read -r row; do
		reason=${row##*|} rest=${row%|*} where=${rest##*|} pattern=${rest%|*}
		sources | xargs grep -nE "$pattern" /dev/null | grep -vE '^[^:]+:[0-9]+:\s*(/?\*|//)' |
			awk -F: -v where="$where" -v reason="$reason" '
				BEGIN { places = split(where, place, " ") }
				{
					for (i = 1; i <= places; i++)
						if ($1 == place[i] || index($1, place[i] "/") == 1) next
					print $1 ":" $2 ": " reason
				}' || true
	done < <(grep -v '^# ' "$here/only.txt" | awk -F'|' 'NF >= 3')
}

found=$(arrows; places)
if [ -n "$found" ]; then
	printf '%s\n' "$found"
	exit 1
fi
