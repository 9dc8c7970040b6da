/*
 * Requests that make or destroy something, and are carried out once however often they are sent with the same Idempotency-Key
 * (draft-ietf-httpapi-idempotency-key-header). The handler of a WORKER_ONCE route (routes.def)
 *
 *   1. checks its body, and asks once_begin;
 *   2. for ONCE_AGAIN looks whether the object of that CKA_ID is there (or, to be destroyed, is not), and if so answers as the first
 *      request would have been answered; else it goes on with that CKA_ID;
 *   3. checks what the token has to say, such as a name that is taken;
 *   4. calls once_record with the CKA_ID, and then at once the module.
 *
 * What it answers with a status of success is the answer to every further request with the key. Any other answer is none: before
 * once_record the key is forgotten, after it the next request is ONCE_AGAIN. Answers of such a route must hold no secret.
 */
#ifndef P11GATE_WORKER_RESOURCES_ONCE_H
#define P11GATE_WORKER_RESOURCES_ONCE_H

#include <jansson.h>

#include "api/schema.h"
#include "server/worker/worker.h"

enum once {
	ONCE_FIRST, /* or the request has no Idempotency-Key */
	ONCE_AGAIN, /* a request with the key may have been carried out, and its worker is gone */
	ONCE_ANSWERED, /* the reply is complete: the first request's answer, or a problem */
};

/*
 * `body`: checked, NULL for a route without; its PINs are not among what tells one request from another. *ret_object is written for ONCE_AGAIN:
 * what that request gave to once_record; memory of the request's arena.
 */
enum once once_begin(struct request *request, enum schema_id schema, const json_t *body, struct bytes *ret_object)
	__attribute__((warn_unused_result));

/* The module is going to be called. False: that could not be recorded, nothing is to be done, and the reply says so. */
bool once_record(struct request *request, struct bytes object) __attribute__((warn_unused_result));

#endif
