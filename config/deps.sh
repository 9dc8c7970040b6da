#!/usr/bin/env bash
# Installs the packages of the named lists that are missing: config/deps.sh LIST ...
# A list is config/packages/LIST.txt. Nothing missing: says nothing and is done at once.
# As root it installs them; otherwise it prints the one line to type and fails.
set -euo pipefail
lists=$(cd "$(dirname "$0")" && pwd)/packages

if [ $# -eq 0 ]; then
	echo "usage: config/deps.sh LIST ... (lists: $(cd "$lists" && echo ./*.txt | sed 's|\./||g; s|\.txt||g'))" >&2
	exit 2
fi
if ! command -v dpkg-query >/dev/null; then
	echo "config/deps.sh: the package lists are Debian's; on other systems docker/README.md shows how to run p11gate" >&2
	exit 1
fi

wanted=()
for list in "$@"; do
	if [ ! -r "$lists/$list.txt" ]; then
		echo "config/deps.sh: there is no list $lists/$list.txt" >&2
		exit 2
	fi
	while read -r package _; do
		case $package in '' | \#*) ;; *) wanted+=("$package") ;; esac
	done <"$lists/$list.txt"
done

# A package counts as installed if it is, or if an installed one provides it (as other vendors' nodejs provides npm).
# dpkg-query fails when it does not know one of the names, and still tells about the others.
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)
missing=()
for package in "${wanted[@]}"; do
	grep -qxF "installed $package" <<<"$installed" || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
	provided=$(dpkg-query -W -f '${db:Status-Status}, ${Provides}\n' | sed -n 's/^installed, //p' | sed 's/ ([^)]*)//g' || true)
	wanted=("${missing[@]}") missing=()
	for package in "${wanted[@]}"; do
		grep -qE "(^|, )${package//+/\\+}(,|$)" <<<"$provided" || missing+=("$package")
	done
fi
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "p11gate needs packages that are not installed. Type this, then try again:" >&2
	echo "sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
	exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# The package index is fetched only when the one at hand does not do.
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
