/*
 * Challenge-response: which key answers, and the answer (section D of the requirements).
 */
#ifndef P11GATE_WORKER_RESOURCES_CHALLENGE_H
#define P11GATE_WORKER_RESOURCES_CHALLENGE_H

#include "server/worker/resources/method.h"

enum { CHALLENGE_MAX = 4096, RESPONSE_LEN = 32 }; /* bytes (D7, D2) */

/* What a request says about key and method. */
struct challenge_choice {
	bool named; /* `query` names the key; else it is found automatically */
	struct key_query query;
	const struct method *method; /* NULL: the best that the key allows */
	bool allow_nondeterministic;
};

/* A key that can answer challenges. */
struct challenge_key {
	struct key key;
	unsigned mask;
};

/*
 * Finds the key and the method (D6): by name, else the one key of the best method. False: the reply says why – nothing
 * found, several of the best, or only methods whose response changes.
 */
bool challenge_select(struct request *request, CK_SESSION_HANDLE session, const struct challenge_choice *choice,
	struct key *ret_key, const struct method **ret_method) __attribute__((warn_unused_result));

/* All keys that have a method, in no order; memory of the arena. */
CK_RV challenge_candidates(struct request *request, CK_SESSION_HANDLE session, struct challenge_key **ret_keys,
	size_t *ret_count) __attribute__((warn_unused_result));

/*
 * The response of the key to `challenge`. On success 32 bytes; CKR_DEVICE_ERROR if the token gives something else.
 * *ret_withheld as in signer_sign.
 */
CK_RV challenge_respond(struct use *use, const struct key *key, const struct method *method, struct bytes challenge,
	unsigned char ret_response[RESPONSE_LEN], bool *ret_withheld) __attribute__((warn_unused_result));

/*
 * Whether a random challenge gets the same response twice (D3). False: the reply says that it does not, or what failed.
 */
bool challenge_is_stable(struct use *use, const struct key *key, const struct method *method)
	__attribute__((warn_unused_result));

/*
 * challenge_is_stable at the first use of a signing key by this process; later uses rely on it. A key that asks for its
 * PIN at every use is not tested: the PIN authorises one use.
 */
bool challenge_self_test(struct use *use, const struct key *key, const struct method *method)
	__attribute__((warn_unused_result));

#endif
