/*
 * The structured log of the gateway and its programs: one line per event on standard error.
 *
 *   log_event(LOG_LEVEL_WARNING, "worker ended", "slot", slot, "pid", pid_text, NULL);
 *
 * Fields are pairs of NUL-terminated name and value, ended by NULL. A value is escaped; a PIN or key value has no
 * business here. Thread-safe. Libraries (api/, client-module/) never log.
 */
#ifndef P11GATE_COMMON_LOG_H
#define P11GATE_COMMON_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Sets the lowest level that is written (default info) and the form: JSON lines, or text for terminals. */
void log_setup(enum log_level level, int json);

void log_event(enum log_level level, const char *event, ...) __attribute__((sentinel));

#endif
