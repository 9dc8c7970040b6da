/*
 * Whether a process is still the one that it was: numbers are used again.
 */
#ifndef P11GATE_STORE_PROCESS_H
#define P11GATE_STORE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* When the process started, in clock ticks since the machine did (proc_pid_stat(5), starttime); 0 if that cannot be read. */
uint64_t process_started(pid_t pid);

/* True if there is a process with that number that may have started then (0: whenever), and has not ended. `pid` 0: there is none. */
bool process_exists(pid_t pid, uint64_t started);

#endif
