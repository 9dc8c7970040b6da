#!/usr/bin/env bash
# Plants one violation of each rule in a copy of the tree and expects the check to find it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
# shellcheck source=tests/support/checks.sh
. "$root/tests/support/checks.sh"
work=$(mktemp -d)
copy=$work/copy
mkdir "$copy"
trap 'rm -rf "$work"' EXIT

names() { # names FILE: the floors check names FILE
	"$here/floors.sh" "$copy" > "$work/found" || true
	grep -q "^$1:" "$work/found" || { cat "$work/found"; return 1; }
}

plant() { # plant NAME FILE LINE: the floors check must name FILE
	printf '\n%s\n' "$3" >> "$copy/$2"
	check "$1 ($2: $3)" names "$2"
	cp "$root/$2" "$copy/$2"
}
cp -r "$root"/api "$root"/server "$root"/client-module "$copy"/

# An arrow against each floor.
while IFS=: read -r folder allowed; do
	case $folder in ''|'#'*) continue;; esac
	file=$(cd "$root" && find "$folder" -maxdepth 1 -name '*.c' | sort | head -n 1)
	[ -n "$file" ] || continue
	for target in server/worker/worker.h server/http/listener.h client-module/internal.h; do
		case " $allowed $folder " in *" ${target%/*} "*) continue;; esac
		plant "arrow $folder -> ${target%/*}" "$file" "#include \"$target\""
		break
	done
done < "$here/floors.txt"

# Each thing that has its place, planted elsewhere.
while IFS='|' read -r line example file; do
	plant "$line" "$file" "$example"
done <<'ROWS'
microhttpd|#include <microhttpd.h>|server/app/registry.c
gnutls|#include <gnutls/gnutls.h>|server/app/registry.c
jansson|#include <jansson.h>|api/names.c
pkcs11 header|#include <pkcs11.h>|api/names.c
function pointer|CK_RV x = list->C_Sign (session, 0, 0, 0, 0);|client-module/state.c
seccomp|#include <seccomp.h>|server/app/registry.c
yaml|#include <yaml.h>|server/app/registry.c
stdio in api|#include <stdio.h>|api/names.c
banned function|static void f(char *a) { strcpy (a, "b"); }|api/names.c
printing|static void f(void) { printf ("x"); }|server/app/registry.c
private header|#include "server/worker/internal.h"|server/app/registry.c
ROWS

# A requirement that no test names, and one that is planned only.
requirement() { # requirement LINE: requirements.sh of a project with that one, and a test of X1
	mkdir -p "$work/requirements"
	printf '## Rules\n%s\n' "- **X1** is tested" "$1" > "$work/requirements/REQUIREMENTS.md"
	printf 'Test(suite, X1_is_tested)\n' > "$work/requirements/test.c"
	"$root/tests/requirements.sh" "$work/requirements"
}
check "every requirement has a test" requirement "- **X1** again"
check "a requirement without test is refused" fails requirement "- **X2** nobody tests"
check "a planned requirement needs no test" requirement "- **X2** (planned) is to come"
check "a planned clause is no excuse" fails requirement "- **X2** nobody tests what is (planned)"

# The other checks, each on a file with one mistake.
mkdir -p "$copy/other"
printf 'int  f( int a ){return a;}\n' > "$copy/other/format.c"
cp "$root/.clang-format" "$copy/other/"
check "clang-format refuses bad layout" fails clang-format --dry-run -Werror "$copy/other/format.c"
printf 'int f(void);\nint f(void)\n{\n\tint *p = 0;\n\treturn *p;\n}\n' > "$copy/other/null.c"
cp "$root/.clang-tidy" "$copy/other/"
check "clang-tidy refuses a null dereference" fails clang-tidy --quiet "$copy/other/null.c" -- -std=c11
printf 'int f(void);\nint f(void)\n{\n\tint a[2];\n\ta[0] = 1;\n\treturn a[2];\n}\n' > "$copy/other/bounds.c"
check "cppcheck refuses an index out of bounds" fails cppcheck --quiet --error-exitcode=1 "$copy/other/bounds.c"
finish
