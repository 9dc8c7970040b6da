#!/usr/bin/env bash
# Prints the requirement IDs of tests/REQUIREMENTS.md that no test names.
set -euo pipefail
cd "$(dirname "$0")/.."
ids=$(grep -oE '(^- \*\*|\| |\*\*|^)[A-FX][0-9]+\b' tests/REQUIREMENTS.md | grep -oE '[A-FX][0-9]+' | sort -Vu)
named=$({ grep -rhoE 'Test\(([a-z_]+, *)?[A-Za-z0-9_]+|^\s*check "[^"]+"' tests --include='*.c' --include='*.sh' || true; } |
	tr '_' ' ' | grep -oE '\b[A-FX][0-9]+\b' | sort -Vu || true)
missing=$(comm -23 <(sort <<<"$ids") <(sort <<<"$named") | sort -V | tr '\n' ' ')
printf 'requirements: %d in all, %d named by a test; without one: %s\n' \
	"$(wc -l <<<"$ids")" "$(comm -12 <(sort <<<"$ids") <(sort <<<"$named") | wc -l)" "${missing:-none}"
