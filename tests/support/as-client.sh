#!/usr/bin/env bash
# Runs a command as a program on another host would run: as a user who can read neither the token directory nor the vendor
# module, with a SoftHSM configuration that points to an empty directory.
# usage: tests/support/as-client.sh SANDBOX_DIR COMMAND [ARG ...]
#
# The client's credentials of the sandbox are copied to a directory of that user; the variables of SANDBOX_DIR/env are set,
# with P11GATE_CERT, P11GATE_KEY, P11GATE_CONF and their …2 pointing there. P11GATE_AS=bob makes bob's file the client file.
set -euo pipefail
sandbox=$(realpath "$1")
shift
user=65534
# shellcheck disable=SC1091
. "$sandbox/env"
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir -p "$home/empty"
printf 'directories.tokendir = %s/empty\nobjectstore.backend = file\n' "$home" > "$home/softhsm2.conf"
for name in CA CERT KEY CERT2 KEY2 CONF CONF2; do
	variable=P11GATE_$name
	cp "${!variable}" "$home/$name"
	printf -v "$variable" '%s' "$home/$name"
	export "${variable?}"
done
# The client files name the credentials by path: each copy must name the copies.
rewrite() { # rewrite FILE CERT KEY
	sed -i -e "s|^CA *=.*|CA = $home/CA|" -e "s|^Certificate *=.*|Certificate = $2|" -e "s|^Key *=.*|Key = $3|" "$1"
}
rewrite "$home/CONF" "$home/CERT" "$home/KEY"
rewrite "$home/CONF2" "$home/CERT2" "$home/KEY2"
cp "$P11GATE_MODULE" "$home/p11gate-client.so"
export P11GATE_MODULE=$home/p11gate-client.so SOFTHSM2_CONF=$home/softhsm2.conf HOME=$home
[ "${P11GATE_AS:-alice}" = alice ] || export P11GATE_CONF=$home/CONF2
hidden=$(dirname "$P11GATE_DIRECT_MODULE")
unset P11GATE_DIRECT_MODULE P11GATE_SO_PIN_FILE
chown -R "$user:$user" "$home"
chmod 700 "$home"
args=()
for argument in "$@"; do
	[ "$argument" = "$(sed -n 's/^export P11GATE_MODULE=//p' "$sandbox/env" | tr -d "'\"")" ] && argument=$P11GATE_MODULE
	args+=("$argument")
done
# shellcheck disable=SC2016
unshare -m sh -c '
	hidden=$1 user=$2; shift 2
	mount -t tmpfs -o mode=700 none "$hidden" || exit 125
	for copy in /usr/lib/*/softhsm; do [ -d "$copy" ] && { mount -t tmpfs -o mode=700 none "$copy" || exit 125; }; done
	exec setpriv --reuid "$user" --regid "$user" --clear-groups -- "$@"
' sh "$hidden" "$user" "${args[@]}"
