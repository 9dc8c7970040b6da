/*
 * Whether a request with an Idempotency-Key that was interrupted has made its key (once.h, ONCE_AGAIN).
 */
#ifndef P11GATE_WORKER_RESOURCES_KEY_MADE_H
#define P11GATE_WORKER_RESOURCES_KEY_MADE_H

#include "server/worker/resources/key_plan.h"

/*
 * Looks for the plan's key by its label and the CKA_ID of the interrupted request. *ret_made: it is there, and the reply is what that
 * request's would have been; the event names `function`, which has made it. Else it can be made: a public key alone, which an interrupted
 * C_GenerateKeyPair has left, is destroyed. Any CKR of the token; CKR_USER_NOT_LOGGED_IN where it could be there unseen. Under the lock of names.
 */
CK_RV key_made_look(struct request *request, CK_SESSION_HANDLE session, const struct key_plan *plan,
	const char *function, bool *ret_made) __attribute__((warn_unused_result));

#endif
