/*
 * A worker without a module, for the tests of server/app (test_worker_main.c): what its files share.
 *
 *   script      carries out the commands of a query
 *   gateway     what it asks and tells the gateway
 *   inventory   a token whose label is in a file
 */
#ifndef P11GATE_TESTS_SUPPORT_TEST_WORKER_H
#define P11GATE_TESTS_SUPPORT_TEST_WORKER_H

#include <pthread.h>
#include <stdbool.h>

#include "server/common/frame.h"
#include "server/common/message.h"

enum { CONTROL = 3 };

/* What it says of itself, and what it was told. */
struct test_worker {
	struct worker_start start;
	bool deaf, mute; /* from the start on, as is the next one */
	unsigned char token_serial[16]; /* of the token as it was then */
	pthread_mutex_t mutex; /* guards what follows, but for the two of the inventory, which has one thread */
	pthread_cond_t idle; /* `running` or `staying` has changed */
	unsigned running, sessions, instances_ended;
	unsigned queries, reinits; /* of the inventory */
	enum login_state login, native;
	unsigned held;
	struct login_policy login_rules;
	unsigned uncached;
	uint64_t serial, policy_generation;
	unsigned voided; /* LOGIN_VOIDED: 1 + its cause */
	bool granted; /* the login had the token, as the gateway wants it of one whose end is told */
	unsigned staying; /* who have said "stay" and not been let go */
};

extern struct test_worker self;

/* One request, or the start. */
struct job {
	int fd;
	const struct worker_request *request; /* NULL: the start */
	struct arena *arena;
	struct buffer body;
	unsigned status;
	uint64_t rv, generation;
	unsigned last_tries, busy, tries, retry_after_s;
	struct bytes call;
	const char *opened;
	bool garbage, event;
};

/* A line "key=value" of the answer. */
void line(struct job *job, const char *key, const char *value);
void line_number(struct job *job, const char *key, uint64_t value);

/* Ends the process if it could not be done. */
void must(bool done);

/* Carries out a list of commands. */
void carry_out_all(struct job *job, const char *script);
/* "LOGIN[,NATIVE]"; without the second both are the same. */
void set_login(const char *value);

/* The token: "PURPOSE[,USER]", and "RV[,LOGIN[,NATIVE]]" if the last acquire was granted. */
void acquire(struct job *job, const char *value);
void release(struct job *job, const char *value);
/* Has a PIN verified elsewhere; the answer is the job's rv. */
void ask_to_verify(struct job *job, const char *value);
/*
 * Asked to verify a PIN: as a login would, with the token; 1234 is right, "die" ends the process, "hang" has no answer, "babble" a wrong
 * one.
 */
void verify(int fd, struct arena *arena, struct buffer *payload);
/* The verdict of the journal on the request's Idempotency-Key, if its digest is that letter over and over; then its intent is recorded. */
void intend(struct job *job, const char *value);
/* A wait for another request begins or is over; the second does so for some milliseconds. */
void tell_wait(struct job *job, bool begun);
void wait_for_others(struct job *job, const char *value);
/* News on the control pair: that login has ended. */
void tell_state(enum login_state ended, enum login_end cause);
void respond(struct job *job);

/* The token is looked at when the module is initialised, and not again. */
void find_token(struct arena *arena);
void answer_inventory(struct job *job);

#endif
