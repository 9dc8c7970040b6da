/*
 * A key that is to be changed or destroyed: all its objects, the state that they are in, and whether the caller has seen it.
 */
#ifndef P11GATE_WORKER_RESOURCES_KEY_STATE_H
#define P11GATE_WORKER_RESOURCES_KEY_STATE_H

#include "server/worker/resources/key.h"
#include "server/worker/resources/precondition.h"

/* The entity-tag of the key: it changes with every attribute that the routes show, of either half, and with the key itself. */
CK_RV key_etag(struct request *request, CK_SESSION_HANDLE session, const struct key *key, char ret_etag[ETAG_SIZE])
	__attribute__((warn_unused_result));

/* Writes the key object (schema Key) as the whole answer, with its ETag. The public half has been looked for. */
CK_RV key_answer(struct request *request, CK_SESSION_HANDLE session, unsigned status, struct key *key,
	enum key_reference reference) __attribute__((warn_unused_result));

/*
 * Runs `work` with the one key of the path, both halves, if the user is logged in – otherwise a private half would stay unseen – and
 * the request's If-Match names its state. In all other cases the reply says why. Names of keys are locked meanwhile. What `work`
 * returns is the reply if it is not CKR_OK, with `failure` as the detail.
 */
void key_state_with(struct request *request,
	CK_RV (*work)(struct request *request, CK_SESSION_HANDLE session, struct key *key, void *context),
	void *context, const char *failure);

#endif
