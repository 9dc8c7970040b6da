#!/usr/bin/env bash
# Shows p11gate at work: config/demo.sh start|stop, with BUILD=build PORT=8443.
# start installs what is missing, builds, starts a gateway over a SoftHSM token, makes a key and two first
# signatures, one with curl and one with pkcs11-tool, and shows the commands. Twice is the same as once.
set -euo pipefail
umask 077
cd "$(dirname "$0")/.."
build=${BUILD:-build}
port=${PORT:-8443}
demo=$build/demo
# What a make command of this demo needs beside its name.
where=
[ "$build" = build ] || where=" BUILD=$(printf %q "$build")"

die() {
	echo "demo: $*" >&2
	exit 1
}

# The process of this demo's gateway, if it runs: the sandbox tells by number and start time.
running() {
	[ -s "$demo/env" ] && [ -s "$demo/summary" ] && config/sandbox.sh status "$demo" >/dev/null
}

listening() { # listening PORT: somebody accepts connections there
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

api() { # api METHOD PATH [JSON]: the answer's body; fails with the problem's text
	local body
	body=$(curl -sS --fail-with-body --max-time 60 -X "$1" --cacert "$P11GATE_CA" --cert "$P11GATE_CERT" --key "$P11GATE_KEY" \
		-H 'Content-Type: application/json' ${3:+--data-binary @-} "$P11GATE_URL$2" <<<"${3:-}") ||
		die "$1 $2 failed: $body"
	printf '%s' "$body"
}

make_key() {
	local keys=/v1/slots/$P11GATE_SLOT/keys
	api POST "/v1/slots/$P11GATE_SLOT/applications/current/login" "{\"pin\":\"$P11GATE_PIN\"}" >/dev/null
	# An answer in a file tells a key that is there from one that has yet to be made.
	api GET "$keys" >"$demo/keys.json"
	grep -q '"label": *"release"' "$demo/keys.json" ||
		api POST "$keys" '{"type":"EC","curve":"P-256","label":"release"}' >/dev/null
	curl -sS --fail --max-time 60 --cacert "$P11GATE_CA" --cert "$P11GATE_CERT" --key "$P11GATE_KEY" \
		-H 'Accept: application/x-pem-file' "$P11GATE_URL$keys/release/public-key" >"$demo/release.pem"
}

verify() { # verify SIGNATURE-FILE
	openssl dgst -sha256 -verify "$demo/release.pem" -signature "$1" "$demo/message" 2>&1 | grep -q '^Verified OK$' ||
		die "the signature in $1 is not valid"
}

# Exactly the lines that are shown are run.
sign_with_curl() {
	local signature
	bash -c "$curl_line" >"$demo/signature.json" || die "this failed: $curl_line"
	signature=$(sed -n 's/.*"signature": *"\([^"]*\)".*/\1/p' "$demo/signature.json" | tr '_-' '/+')
	while [ $((${#signature} % 4)) -ne 0 ]; do signature+='='; done
	openssl base64 -d -A <<<"$signature" >"$demo/curl.sig"
	verify "$demo/curl.sig"
}

sign_with_module() {
	bash -c "$module_line" >"$demo/pkcs11-tool.log" 2>&1 || die "this failed: $module_line ($(tail -n 1 "$demo/pkcs11-tool.log"))"
	verify "$demo/pkcs11-tool.sig"
}

base64url() {
	openssl base64 -A | tr '/+' '_-' | tr -d '='
}

first_signatures() {
	local data
	printf 'hello from p11gate\n' >"$demo/message"
	openssl dgst -sha256 -binary "$demo/message" >"$demo/message.sha256"
	data=$(base64url <"$demo/message")
	curl_line="curl -sS --fail-with-body --cacert $demo/pki/ca.crt --cert $demo/pki/alice.crt --key $demo/pki/alice.key -H 'Content-Type: application/json' -d '{\"algorithm\":\"ES256\",\"format\":\"der\",\"data\":\"$data\",\"pin\":\"$P11GATE_PIN\"}' $P11GATE_URL/v1/slots/$P11GATE_SLOT/keys/release/sign"
	module_line="P11GATE_CONF=$demo/client.conf SOFTHSM2_CONF=$demo/client/softhsm2.conf pkcs11-tool --module $build/p11gate-client.so --token-label $P11GATE_TOKEN --login --pin $P11GATE_PIN --sign --mechanism ECDSA --signature-format openssl --label release --input-file $demo/message.sha256 --output-file $demo/pkcs11-tool.sig"
	sign_with_curl
	sign_with_module
}

write_summary() {
	cat >"$demo/summary.new" <<-END

		The gateway runs at $P11GATE_URL over a token in software that holds a key called release.

		A signature over REST:

		$curl_line

		The same key through the PKCS#11 module:

		$module_line

		Both signatures were verified; the second one again:

		openssl dgst -sha256 -verify $demo/release.pem -signature $demo/pkcs11-tool.sig $demo/message

		To go on with any PKCS#11 application (module: $P11GATE_MODULE, PIN: $P11GATE_PIN):

		export P11GATE_CONF=$P11GATE_CONF SOFTHSM2_CONF=$P11GATE_EMPTY_SOFTHSM2_CONF

		$demo/env has more to export; its SOFTHSM2_CONF opens the token directly, to compare.
		make demo-stop$where ends the gateway.

		*** DEMO CREDENTIALS: the certificates, keys and PINs in $demo are for trials on this machine only. ***

	END
	mv "$demo/summary.new" "$demo/summary"
}

# What this run made goes when it fails; a demo of before keeps its token.
new=no
clean_up() { # clean_up EXIT-STATUS
	[ "$1" -ne 0 ] || return 0
	config/sandbox.sh stop "$demo" || true
	[ $new = no ] || rm -rf "$demo"
}

start() {
	if running; then
		grep -q "URL='.*:$port'" "$demo/env" || echo "demo: already running on another port; for port $port: make demo-stop$where, then again"
		cat "$demo/summary"
		return
	fi
	! listening "$port" || die "port $port is taken by another program; choose one: make demo PORT=$((port + 1))$where"
	config/deps.sh build demo
	make -s -j"$(nproc)" --no-print-directory BUILD="$build" all
	[ -d "$demo" ] || new=yes
	trap 'clean_up $?' EXIT
	BUILD=$build PORT=$port TOKEN=demo config/sandbox.sh start "$demo" >/dev/null
	# shellcheck source=/dev/null
	. "$demo/env"
	make_key
	first_signatures
	write_summary
	cat "$demo/summary"
}

stop() {
	if config/sandbox.sh status "$demo"; then
		config/sandbox.sh stop "$demo"
		echo "demo: stopped"
	else
		echo "demo: no demo runs in $demo"
	fi
	rm -f "$demo/summary"
}

case ${1:-} in
start) start ;;
stop) stop ;;
*)
	echo "usage: config/demo.sh start|stop" >&2
	exit 2
	;;
esac
