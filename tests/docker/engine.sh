# shellcheck shell=bash
# A private Docker engine with a Debian image made here. Source it; engine_start leaves DOCKER_HOST set; engine_stop (on exit)
# removes everything. Needs root, and the packages of config/packages/docker.txt.

engine=$(mktemp -d)
bridge=p11gci$((RANDOM % 1000))
DOCKER=/usr/bin/docker
export DOCKER_HOST=unix://$engine/docker.sock DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=0

engine_stop() {
	local pid
	if pid=$(cat "$engine/docker.pid" 2> /dev/null); then
		"$DOCKER" ps -aq | xargs -r "$DOCKER" rm -f > /dev/null 2>&1
		kill "$pid" 2> /dev/null
		tail --pid="$pid" -f /dev/null
	fi
	ip link del "$bridge" 2> /dev/null
	# Layers may still be mounted for a moment.
	awk -v root="$engine" 'index($2, root) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount 2> /dev/null
	rm -rf "$engine"
}

engine_start() {
	local subnet=10.99.$((RANDOM % 200 + 20)).1/24
	ip link add "$bridge" type bridge && ip addr add "$subnet" dev "$bridge" && ip link set "$bridge" up || return 1
	dockerd --data-root "$engine/root" --exec-root "$engine/exec" -H "$DOCKER_HOST" -p "$engine/docker.pid" --iptables=false \
		--ip6tables=false --ip-forward=false --bridge="$bridge" --storage-driver overlay2 > "$engine/log" 2>&1 &
	local started=$!
	until "$DOCKER" version > /dev/null 2>&1; do
		kill -0 "$started" 2> /dev/null || { tail -n 20 "$engine/log"; return 1; }
		sleep 0.1
	done
}

debian_image() { # debian_image: imports debian:bookworm-slim, made from Debian's packages
	mmdebstrap --quiet --variant=minbase bookworm "$engine/debian.tar" &&
		"$DOCKER" import "$engine/debian.tar" debian:bookworm-slim > /dev/null && rm "$engine/debian.tar"
}
