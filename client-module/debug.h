/*
 * The one line on stderr that says why a call failed (requirement F2).
 */
#ifndef P11GATE_CLIENT_MODULE_DEBUG_H
#define P11GATE_CLIENT_MODULE_DEBUG_H

/* Writes "p11gate-client: …" as one line to stderr if P11GATE_DEBUG is set in the environment; otherwise nothing. Any thread. */
void debug_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
