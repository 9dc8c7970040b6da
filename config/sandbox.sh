#!/usr/bin/env bash
# A private gateway over a SoftHSM token of its own, for tests and trials; any number side by side.
#
#   config/sandbox.sh start DIR   BUILD=build PORT=0 TOKEN=demo PIN=… SO_PIN=…  (random PINs if none are given)
#                                 LIMITS='lease_ttl_s: 5'   (members of the configuration's limits)
#                                 MORE='login: [{…}]'   (more of the configuration)
#                                 MODULE=…   (another module than SoftHSM, whose token TOKEN has PIN and SO_PIN already)
#                                 MODULE_ENVIRONMENT='{name: …, value: …}'   (variables for it)
#   config/sandbox.sh status DIR      succeeds while its gateway runs
#   config/sandbox.sh stop DIR
#
# DIR gets certificates (pki/), the token (softhsm/), the gateway's files and env: exports that tell how to use it all.
# Identities alice and bob may read, log in, use and write on the slot; alice is its administrator too.
# start on a running sandbox changes nothing; on a stopped one it starts the gateway again. stop keeps the files.
set -euo pipefail
umask 077

die() {
	echo "sandbox: $*" >&2
	exit 1
}

if [ $# -ne 2 ] || [ -z "$2" ] || [[ $1 != start && $1 != status && $1 != stop ]]; then
	echo "usage: config/sandbox.sh start|status|stop DIR" >&2
	exit 2
fi
config=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$config")

# The start time tells a process from a later one with the same number.
start_time() { # start_time PID
	local stat
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
	# The program's name, in parentheses, may hold blanks; the start time is the 20th field behind it.
	read -r -a fields <<<"${stat##*) }"
	[ "${fields[0]}" != Z ] || return 1
	echo "${fields[19]}"
}

running() { # running: pid is the gateway of this sandbox
	local began now
	[ -s "$dir/pid" ] || return 1
	read -r pid began <"$dir/pid"
	now=$(start_time "$pid") && [ "$now" = "$began" ]
}

stop() {
	running || { rm -f "$dir/pid"; return 0; }
	kill -TERM "$pid"
	# It finishes what is in flight first.
	local deadline=$((SECONDS + 30))
	while running; do
		[ $SECONDS -lt $deadline ] || die "the gateway (process $pid) does not end; see $dir/gateway.log"
		sleep 0.02
	done
	rm -f "$dir/pid"
}

# keep NAME VALUE [DEFAULT-COMMAND …]: the value of a sandbox stays what it was first; sets $kept.
keep() {
	local file=$dir/$1 value=$2
	shift 2
	if [ -s "$file" ]; then
		kept=$(cat "$file")
		[ -z "$value" ] || [ "$value" = "$kept" ] || die "$file says otherwise; give the same value, or another DIR"
		return
	fi
	kept=${value:-$("$@")}
	printf '%s\n' "$kept" >"$file"
}

random_pin() {
	printf '%08u\n' $(($(od -An -N4 -tu4 /dev/urandom) % 100000000))
}

find_softhsm() {
	local file
	for file in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so /usr/lib64/pkcs11/libsofthsm2.so \
		/usr/lib/*/pkcs11/libsofthsm2.so /usr/local/lib/softhsm/libsofthsm2.so; do
		[ -r "$file" ] && echo "$file" && return
	done
	die "SoftHSM is not installed; config/deps.sh demo installs it"
}

make_token() {
	mkdir -p "$dir/softhsm/tokens" "$dir/client/tokens"
	printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$dir/softhsm/tokens" >"$dir/softhsm/softhsm2.conf"
	# GnuTLS, p11-kit and others load SoftHSM by themselves: with this one they find no token behind the gateway's back.
	printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$dir/client/tokens" >"$dir/client/softhsm2.conf"
	[ -n "$(ls -A "$dir/softhsm/tokens")" ] ||
		SOFTHSM2_CONF=$dir/softhsm/softhsm2.conf softhsm2-util --init-token --free --label "$token" --pin "$pin_user" \
			--so-pin "$pin_so" >"$dir/token.log" 2>&1 || die "the token cannot be made: $(tail -n 1 "$dir/token.log")"
}

fingerprint() { # fingerprint NAME
	openssl x509 -in "$dir/pki/$1.crt" -noout -fingerprint -sha256 | cut -d= -f2
}

yaml() { # yaml TEXT: quoted
	printf "'%s'" "${1//\'/\'\'}"
}

write_gateway_config() {
	cat >"$dir/p11gated.yaml" <<-END
		listen: {address: 127.0.0.1, port: $port}
		tls: {certificate: pki/server.crt, key: pki/server.key, client_ca: pki/ca.crt}
		state_directory: state
		runtime_directory: run
		worker_program: $(yaml "$build/p11gate-worker")
		modules:
		  - name: softhsm
		    path: $(yaml "${MODULE:-$softhsm}")
		    environment: [${MODULE_ENVIRONMENT:-{name: SOFTHSM2_CONF, value: $(yaml "$dir/softhsm/softhsm2.conf")\}}]
		slots:
		  - {name: $(yaml "$slot"), module: softhsm, token: {label: $(yaml "$token")}}
		identities:
		  - {name: alice, certificate: {sha256: '$(fingerprint alice)'}}
		  - {name: bob, certificate: {sha256: '$(fingerprint bob)'}}
		policy:
		  - {identities: [alice, bob], slots: [$(yaml "$slot")], allow: [read, login, use, write]}
		  - {identities: [alice], slots: [$(yaml "$slot")], allow: [admin]}
		${LIMITS:+limits: {$LIMITS\}}
		${MORE:-}
	END
}

write_client_config() { # write_client_config FILE IDENTITY
	cat >"$1" <<-END
		[Gateway]
		URL = https://127.0.0.1:$port
		CA = $dir/pki/ca.crt
		Certificate = $dir/pki/$2.crt
		Key = $dir/pki/$2.key
	END
}

# await CONDITION …: until the command succeeds, at most 20 s, no longer than the gateway lives.
await() {
	local deadline=$((SECONDS + 20))
	until "$@"; do
		if ! running || [ $SECONDS -ge $deadline ]; then
			tail -n 5 "$dir/gateway.log" >&2
			stop
			die "the gateway did not become ready; $dir/gateway.log has more"
		fi
		sleep 0.02
	done
}

ready() {
	curl -sS -o /dev/null --fail --max-time 5 --cacert "$dir/pki/ca.crt" --cert "$dir/pki/alice.crt" --key "$dir/pki/alice.key" \
		"https://127.0.0.1:$port/readyz" 2>/dev/null
}

start_gateway() {
	mkdir -p "$dir/state" "$dir/run"
	rm -f "$dir/run/port"
	# PINs do not belong in the gateway's environment, nor does the token's configuration, which is for the workers.
	env -u PIN -u SO_PIN -u P11GATE_PIN -u P11GATE_SO_PIN -u SOFTHSM2_CONF -u MAKEFLAGS -u MAKEOVERRIDES -u MFLAGS \
		setsid "$build/p11gated" --config "$dir/p11gated.yaml" </dev/null >>"$dir/gateway.log" 2>&1 &
	local started=$! began
	began=$(start_time "$started") || die "the gateway ended at once: $(tail -n 1 "$dir/gateway.log")"
	echo "$started $began" >"$dir/pid"
	await test -s "$dir/run/port"
	port=$(cat "$dir/run/port")
	await ready
	running
}

write_env() {
	local name
	declare -A value=(
		[P11GATE_URL]=https://127.0.0.1:$port [P11GATE_CA]=$dir/pki/ca.crt
		[P11GATE_CERT]=$dir/pki/alice.crt [P11GATE_KEY]=$dir/pki/alice.key
		[P11GATE_CERT2]=$dir/pki/bob.crt [P11GATE_KEY2]=$dir/pki/bob.key
		[P11GATE_MODULE]=$build/p11gate-client.so [P11GATE_CONF]=$dir/client.conf [P11GATE_CONF2]=$dir/client-bob.conf
		[P11GATE_SLOT]=$slot [P11GATE_TOKEN]=$token [P11GATE_PIN]=$pin_user [P11GATE_SO_PIN]=$pin_so [P11GATE_PID]=$pid
		[P11GATE_TOOL]=$build/p11gate [P11GATE_CONFIG]=$dir/p11gated.yaml [P11GATE_AUDIT_LOG]=$dir/state/audit.log
		[SOFTHSM2_CONF]=$dir/softhsm/softhsm2.conf [P11GATE_DIRECT_MODULE]=$softhsm
		[P11GATE_EMPTY_SOFTHSM2_CONF]=$dir/client/softhsm2.conf
	)
	for name in "${!value[@]}"; do
		printf "export %s='%s'\n" "$name" "${value[$name]//\'/\'\\\'\'}"
	done | sort >"$dir/env.new"
	mv "$dir/env.new" "$dir/env"
}

start() {
	build=$(realpath "${BUILD:-$root/build}")
	[ -x "$build/p11gated" ] || die "$build/p11gated is not built; type make"
	if running; then
		echo "sandbox: already running; . $dir/env"
		return
	fi
	for program in curl openssl softhsm2-util; do
		command -v "$program" >/dev/null || die "$program is not installed; config/deps.sh demo installs it"
	done
	softhsm=$(find_softhsm)
	keep token "${TOKEN:-}" echo demo && token=$kept
	keep pin "${PIN:-}" random_pin && pin_user=$kept
	keep so-pin "${SO_PIN:-}" random_pin && pin_so=$kept
	# The token's label may hold what a name in a URL may not.
	slot=$(printf '%s' "$token" | LC_ALL=C tr -c 'A-Za-z0-9._-' - | sed 's/^\./-/')
	port=${PORT:-0}
	"$config/pki.sh" "$dir/pki" alice bob
	make_token
	write_gateway_config
	start_gateway
	write_client_config "$dir/client.conf" alice
	write_client_config "$dir/client-bob.conf" bob
	write_env
	echo "sandbox: https://127.0.0.1:$port, slot $slot; . $dir/env"
}

if [ "$1" = start ]; then
	mkdir -p "$2"
	dir=$(realpath "$2")
	# Two starts at once on one DIR: the second waits and finds it running.
	exec 9>"$dir/lock"
	flock 9
	start 9>&-
else
	dir=$(realpath -m "$2")
	if [ "$1" = status ]; then running; else stop; fi
fi
