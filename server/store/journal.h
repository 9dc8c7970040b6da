/*
 * Idempotency-Keys: what makes or destroys something is carried out once, however often its request arrives
 * (draft-ietf-httpapi-idempotency-key-header). README.md says how.
 *
 * Thread-safe; a journal_use belongs to the thread that serves its request.
 */
#ifndef P11GATE_STORE_JOURNAL_H
#define P11GATE_STORE_JOURNAL_H

#include <stdbool.h>
#include <sys/types.h>

#include "api/arena.h"
#include "api/limits.h"
#include "server/common/message.h"
#include "server/common/status.h"

enum {
	JOURNAL_KEY_MAX = 255, /* bytes of an Idempotency-Key */
	JOURNAL_HASH_LEN = 32,
};

struct journal;

/* `file` may grow to `size_max` bytes. On failure `ret_error` holds one sentence: what is wrong, and what to do. As store_open. */
enum status journal_open(
	const char *file, uint64_t size_max, struct journal **ret_journal, char *ret_error, size_t error_size) MUST_USE;
/* No use may be left. NULL is allowed. */
void journal_close(struct journal *journal);

/* Whose key it is, and of which request. The texts outlive the use. */
struct journal_subject {
	const char *identity, *domain, *slot;
	const unsigned char *application; /* APPLICATION_ID_LEN bytes */
	const char *key; /* the header's value */
	const char *route;
	unsigned retention_s, keys_per_identity; /* as configured now */
};

/* One request with an Idempotency-Key. */
struct journal_use {
	struct journal *journal;
	struct journal_subject subject;
	struct journal_use *next; /* of those that are carried out; the journal's lock */
	unsigned char name[JOURNAL_HASH_LEN], request[JOURNAL_HASH_LEN];
	enum {
		JOURNAL_ASKED_NOTHING,
		JOURNAL_REFUSED, /* there is nothing to be done for this request */
		JOURNAL_BEGUN, /* no other request with the key is carried out meanwhile */
		JOURNAL_UNFINISHED, /* the same, and there is an entry without a result */
	} state;
};

/* Before the request goes to a worker; journal_end is due. */
void journal_begin(struct journal *journal, const struct journal_subject *subject, struct journal_use *ret_use);

/*
 * Answers the process `worker`, which serves the request, in memory of `arena`. STATUS_MALFORMED: it asks out of turn. What cannot be
 * looked up or recorded is a verdict.
 */
enum status journal_answer(struct journal_use *use, pid_t worker, const struct intent *question, struct arena *arena,
	struct intent_answer *ret_answer) MUST_USE;

/*
 * The request is over. `answered`: the worker is done with it, else it may still be at it. `response`: what the client is going to get and
 * to get again; NULL: something else.
 */
void journal_end(struct journal_use *use, bool answered, const struct worker_response *response);

#endif
