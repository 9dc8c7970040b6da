/*
 * Operations that wait for a PIN (requirements A24–A27): a request to use an always-authenticate key is held here, byte
 * for byte, until its PIN comes, its time is over, it is cancelled, or the application logs out (X4). Nothing is begun
 * in the module meanwhile.
 *
 * One store per worker process, so per application; bounded by operations_max of worker_start. Thread-safe.
 */
#ifndef P11GATE_WORKER_OPERATION_H
#define P11GATE_WORKER_OPERATION_H

#include <time.h>

#include "server/worker/worker.h"

enum { OPERATION_ID_TEXT = 33 }; /* 128 random bits in hexadecimal, and a NUL */

enum operation_opening { OPERATION_OPENED, OPERATION_TOO_MANY, OPERATION_NO_MEMORY };

/*
 * Holds the request that is being served, for the key `object`. The request's reply gets operation_opened.
 * `ret_expires` is wall-clock time, for people; the store itself uses a clock that nobody can set.
 */
enum operation_opening operation_open(
	struct request *request, CK_OBJECT_HANDLE object, char ret_id[OPERATION_ID_TEXT], time_t *ret_expires) MUST_USE;

enum operation_state {
	OPERATION_TAKEN, /* it is the caller's until operation_put_back or operation_end */
	OPERATION_UNKNOWN, /* never was, or belongs to another identity */
	OPERATION_BUSY, /* another request has it right now */
	OPERATION_EXPIRED,
	OPERATION_FINISHED, /* completed or cancelled */
};

/*
 * Takes the operation of message->operation for its identity. Only for OPERATION_TAKEN: `ret_held` is the held request
 * in the arena (with identity, trace and deadline of the present one), `ret_object` its key.
 */
enum operation_state operation_take(
	struct request *request, struct worker_request *ret_held, CK_OBJECT_HANDLE *ret_object) MUST_USE;

/* Returns a taken operation to wait for another PIN. */
void operation_put_back(struct request *request);

/* Ends a taken operation; its bytes are wiped, its id is remembered as finished. The reply gets operation_closed. */
void operation_end(struct request *request);

#endif
