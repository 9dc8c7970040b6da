/*
 * The audit log: one JSON line per login, key use, object change and refusal, written before the answer leaves.
 *
 * A record is {"seq","time","boot","trace","identity","certificate","peer","slot","application","event":{…}}; the event
 * object comes from the worker (server/worker/event.h) or from the gateway and is checked to be one JSON
 * object without line breaks before it is written. Thread-safe.
 */
#ifndef P11GATE_AUDIT_AUDIT_H
#define P11GATE_AUDIT_AUDIT_H

#include <stddef.h>
#include <stdint.h>

#include "server/common/message.h"
#include "server/common/status.h"

enum { AUDIT_EVENT_MAX = 64 << 10, AUDIT_EVENTS_MAX = 4096 };

struct audit;

/* Who did it: the same for all records of a request. Text may be empty, not NULL. */
struct audit_subject {
	const char *trace, *identity, *certificate_sha256, *peer, *slot;
	const char *application; /* keyed hash of the application ID (C16) */
};

/*
 * Opens or creates `file` (mode 0600), continues after its last complete line. What follows that line (the machine stopped
 * in the middle of a write) is moved to `file`.torn. The file is locked: a second gateway is refused.
 *
 * STATUS_OK; STATUS_IO, STATUS_BUSY (another process writes it), STATUS_MALFORMED (its last line is no record),
 * STATUS_NO_MEMORY: then `ret_error` holds a sentence.
 */
enum status audit_open(const char *file, struct audit **ret_audit, char *ret_error, size_t error_size) MUST_USE;
void audit_close(struct audit *audit);

/*
 * Writes one line per event, all or none, and gives the sequence number of the last; `subject` is NULL when the gateway
 * itself did it. Blocks until the kernel has the lines. No event: the number of the last record written so far. STATUS_IO
 * when they could not be written, STATUS_CLOSED after audit_finish, STATUS_TOO_LARGE for more than AUDIT_EVENTS_MAX events: then nothing was written and the
 * caller withholds the answer (fail closed). What an event tells has happened already, so one that is not one JSON object on
 * one line of at most AUDIT_EVENT_MAX bytes does not take the others with it: in its place there is
 * {"kind":"unrecordable","reason":"…"}.
 */
enum status audit_write(struct audit *audit, const struct audit_subject *subject, const struct bytes_list *events,
	uint64_t *ret_last_seq) MUST_USE;

/*
 * Writes the record of a login that ended though no client asked for it: {"kind":"login","function":"C_Logout","user":"CKU_…",
 * "reason":"…"}. As audit_write, and STATUS_NO_MEMORY.
 */
enum status audit_logout(
	struct audit *audit, const struct audit_subject *subject, const char *user, const char *reason) MUST_USE;

/*
 * Writes what happened to the gateway itself: {"kind":"configuration","reason":"…","file":"…"}. As audit_write, and
 * STATUS_NO_MEMORY.
 */
enum status audit_configuration(struct audit *audit, const char *reason, const char *file) MUST_USE;

/* Writes that an operator has counts of wrong PINs forgotten; "*": of all. As audit_configuration. */
enum status audit_guard_reset(struct audit *audit, const char *identity, const char *slot) MUST_USE;

/*
 * audit_configuration as the last record: whoever writes later, because requests still run, gets STATUS_CLOSED, and key uses are refused. So it
 * is even if the record could not be written.
 */
enum status audit_finish(struct audit *audit, const char *reason, const char *file) MUST_USE;

/* False after a failed write until a later one succeeds, and after audit_finish. Key uses are refused meanwhile. Any thread, never blocks. */
int audit_healthy(struct audit *audit);

/*
 * Tries again after a failed write: writes one record that tells since when records could not be written. STATUS_OK at once
 * while the log is healthy; STATUS_IO while it is not; STATUS_CLOSED after audit_finish.
 */
enum status audit_probe(struct audit *audit) MUST_USE;

#endif
