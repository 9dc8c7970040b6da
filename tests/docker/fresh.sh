#!/usr/bin/env bash
# The README's two commands in a fresh minimal Debian: make demo installs what is missing and signs, make demo-stop ends it.
# The last line is "N passed, N failed". Needs root and mmdebstrap.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/support/checks.sh
. tests/support/checks.sh
work=$(mktemp -d)
cleanup() {
	for mount in dev proc; do umount -l "$work/root/$mount" 2> /dev/null; done
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT

inside() { chroot "$work/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive sh -c "cd /p11gate && $1"; }

debian() {
	# git and make are what the README asks for; the rest comes by itself.
	mmdebstrap --quiet --variant=minbase --include=make,ca-certificates bookworm "$work/root" &&
		mount --bind /dev "$work/root/dev" && mount -t proc proc "$work/root/proc" &&
		cp /etc/resolv.conf "$work/root/etc/resolv.conf" &&
		mkdir "$work/root/p11gate" && git archive HEAD | tar -x -C "$work/root/p11gate"
}
port=$((20000 + RANDOM % 20000))
check "a fresh Debian" debian
check "make demo" inside "make demo PORT=$port > /demo.out 2>&1 || { cat /demo.out; exit 1; }"
check "it says how to stop" inside "grep -q 'make demo-stop' /demo.out"
check "it prints the banner" inside "grep -qi 'demo credentials' /demo.out"
check "a second make demo changes nothing" inside "make demo PORT=$port > /demo2.out 2>&1 && grep -q 'make demo-stop' /demo2.out"
check "make demo-stop" inside "make demo-stop"
check "nothing listens afterwards" fails inside "curl -sk --max-time 2 https://127.0.0.1:$port/ -o /dev/null"
check "make demo-stop twice" inside "make demo-stop"
finish
