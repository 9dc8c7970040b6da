# shellcheck shell=bash
# Gateways and workers that tests leave behind. Source it.

processes_of() { # processes_of DIR: the gateways and workers whose command line or environment names DIR
	local pid
	for pid in $(pgrep -x p11gated; pgrep -x p11gate-worker); do
		# One that has ended in the meantime names nothing any more.
		! grep -qsF -e "$1" "/proc/$pid/cmdline" "/proc/$pid/environ" || echo "$pid"
	done
}

processes_end() { # processes_end DIR SECONDS: waits until there is none of them; fails if some live longer
	local deadline=$((SECONDS + $2))
	while [ -n "$(processes_of "$1")" ]; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.05
	done
}

processes_stop() { # processes_stop DIR: ends them, waits for their end, and prints how many there were
	local pids
	mapfile -t pids < <(processes_of "$1")
	echo "${#pids[@]}"
	[ "${#pids[@]}" -gt 0 ] || return 0
	kill -TERM "${pids[@]}" 2> /dev/null
	processes_end "$1" 10 && return
	processes_of "$1" | xargs -r kill -KILL 2> /dev/null
	processes_end "$1" 10
}
