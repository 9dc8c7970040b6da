/*
 * Challenge-response: which key answers, and the answer (section D of the requirements).
 */
#ifndef P11GATE_WORKER_RESOURCES_CHALLENGE_H
#define P11GATE_WORKER_RESOURCES_CHALLENGE_H

#include "server/worker/resources/method.h"
#include "server/worker/resources/profile.h"

enum {
	CHALLENGE_MAX = 4096, /* bytes (D7) */
	RESPONSE_MAX = 64, /* bytes: two HMACs (D4) */
};

/* Serves request->message, which is a challenge, as key_use_serve does. */
void challenge_serve(struct request *request, struct held_pin *held);

/* What a request says about key and method. */
struct challenge_choice {
	bool named; /* `query` names the key; else it is found automatically */
	struct key_query query;
	const struct method *method; /* NULL: the best that the key allows */
	size_t key_len; /* bytes that a secret key has to have; 0: as the method says */
	bool allow_nondeterministic;
};

/* A key that can answer challenges. */
struct challenge_key {
	struct key key;
	unsigned mask;
};

struct challenge_keys {
	struct challenge_key *items;
	size_t count;
};

struct response {
	unsigned char bytes[RESPONSE_MAX];
	size_t len;
};

/*
 * Finds the key and the method (D6): by name, else the one key of the best method. False: the reply says why – nothing
 * found, several of the best, or only methods whose response changes.
 */
bool challenge_select(struct request *request, CK_SESSION_HANDLE session, const struct challenge_choice *choice,
	struct key *ret_key, const struct method **ret_method) __attribute__((warn_unused_result));

/* All keys that have a method, in no order; memory of the arena. `key_len` as in a choice. */
CK_RV challenge_candidates(struct request *request, CK_SESSION_HANDLE session, size_t key_len,
	struct challenge_keys *ret_keys) __attribute__((warn_unused_result));

/*
 * The response of the key to `challenge`, which may be empty. CKR_DEVICE_ERROR if the token gives something of another length.
 * *ret_withheld as in signer_sign.
 */
CK_RV challenge_respond(struct use *use, const struct key *key, const struct method *method, struct bytes challenge,
	struct response *ret_response, bool *ret_withheld) __attribute__((warn_unused_result));

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

/* --- challenge_derive.c: methods that derive a key whose value is the result --- */

/*
 * Whether `challenge` is one for this key: with METHOD_AGREE the SubjectPublicKeyInfo (RFC 5280, DER) of a key on the same curve. False: the
 * reply is a 422 problem. Other methods take every challenge.
 */
bool challenge_fits(struct request *request, const struct key *key, const struct method *method, struct bytes challenge)
	__attribute__((warn_unused_result));

/*
 * Derives with a challenge that fits, reads the value, and destroys the derived session object. A key that asks for its PIN at every use
 * has it verified before (A18). The value is in the arena; audit event and *ret_withheld as in signer_sign.
 */
CK_RV challenge_derive(struct use *use, const struct key *key, const struct method *method, struct bytes challenge,
	struct bytes *ret_value, bool *ret_withheld) __attribute__((warn_unused_result));

/* A random challenge for the method: bytes, or the public key of a new peer. Memory of the arena; {NULL, 0} without any. */
struct bytes challenge_random(struct request *request, const struct key *key, const struct method *method);

#endif
