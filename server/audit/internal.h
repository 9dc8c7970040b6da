/*
 * What the files of server/audit/ share.
 */
#ifndef P11GATE_AUDIT_INTERNAL_H
#define P11GATE_AUDIT_INTERNAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "api/buffer.h"
#include "server/audit/audit.h"

enum {
	AUDIT_BOOT_ID = 37, /* bytes of a boot id with its NUL */
	AUDIT_TIME = 32, /* bytes of an RFC 3339 time with its NUL */
	AUDIT_LINE_MAX = 1 << 20, /* bytes of a record that is read back */
	AUDIT_BATCH_MAX = 64 << 20, /* bytes of the lines of one batch */
};

/* The end of the log as it is on disk. */
struct audit_tail {
	uint64_t last_seq; /* 0: no record yet */
	off_t complete; /* bytes up to and with the last line break */
	off_t size; /* bytes in all: more than `complete` when the last line is torn */
};

/*
 * Finds the last complete line of `fd`. STATUS_IO with errno; STATUS_MALFORMED when that line is no record;
 * STATUS_NO_MEMORY.
 */
enum status tail_read(int fd, struct audit_tail *ret_tail) MUST_USE;

/* Moves what follows the last complete line to `torn_file` (appended, mode 0600). STATUS_IO with errno. */
enum status tail_cut(int fd, const struct audit_tail *tail, const char *torn_file) MUST_USE;

/* NULL if the event may become part of a record, else why not: static memory. */
const char *record_problem(const struct bytes *event) MUST_USE;

/* Appends one record and its line break; an event that may not become part of it is replaced by one that says so. `subject` may be NULL for the log's own records; `time` and `boot` as in the record. */
void record_write(struct buffer *out, uint64_t seq, const char *time, const char *boot,
	const struct audit_subject *subject, const struct bytes *event);

/* The time now in UTC with microseconds (RFC 3339). */
void record_time(char ret_time[AUDIT_TIME]);

/* This boot's id as the kernel gives it; empty when /proc has none. */
void record_boot(char ret_boot[AUDIT_BOOT_ID]);

/* A member of an event: text. */
struct event_member {
	const char *name, *value; /* name NULL: the end of the list */
};

/* Appends an event of these members. */
void event_write(struct buffer *out, const struct event_member *members);

/*
 * Writes the record of an event that the gateway made itself. As audit_write. `last`: nobody writes after this, also if it could
 * not be written.
 */
enum status record_own(
	struct audit *audit, const struct audit_subject *subject, const struct bytes *event, bool last) MUST_USE;

#endif
