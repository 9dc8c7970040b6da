/*
 * The two routes whose request can be held until its PIN comes, as the reauthenticate route runs them again.
 */
#ifndef P11GATE_WORKER_RESOURCES_SIGN_H
#define P11GATE_WORKER_RESOURCES_SIGN_H

#include "server/worker/worker.h"

/* A PIN that came for a held request, and what became of it. */
struct held_pin {
	const char *pin; /* NUL-terminated */
	CK_OBJECT_HANDLE object; /* the key that the operation was opened for */
	CK_RV rv; /* out: how the token took the PIN; CKR_OK too if it was not asked */
};

/*
 * Serve request->message, which is a request to sign or a challenge; `held` is NULL for one that comes from the client
 * itself.
 */
void sign_serve(struct request *request, struct held_pin *held);
void challenge_serve(struct request *request, struct held_pin *held);

#endif
