/*
 * Methods of challenge-response (method.def) and which of them a key can do.
 */
#ifndef P11GATE_WORKER_RESOURCES_METHOD_H
#define P11GATE_WORKER_RESOURCES_METHOD_H

#include "server/worker/resources/signer.h"

enum method_step { METHOD_SIGN, METHOD_SALT, METHOD_AGREE };

struct method {
	const char *name;
	enum method_step step;
	CK_MECHANISM_TYPE mechanism;
	size_t key_min, raw_len; /* bytes */
	bool deterministic, asked;
};

#define METHOD(...) +1
enum {
	METHODS_COUNT = 0
#include "server/worker/resources/method.def"
};

/* The rows in order of preference. */
extern const struct method methods[METHODS_COUNT];

/* What a key can do. */
struct method_fit {
	unsigned mask; /* bit i: methods[i] */
	CK_RV why; /* where the mask is 0: what speaks against the method that comes nearest */
	CK_RV whys[METHODS_COUNT]; /* … and against each; CKR_OK for those of the mask */
};

/* The method of that name, or NULL. */
const struct method *method_by_name(const char *name);

/* The names of all methods for a message, separated by commas, in static memory. */
const char *method_names(void);

/* Whether `name` is of a method that is refused because its result is random (requirement D3). */
bool method_is_randomised(const char *name);

/* The signer of a method whose step is METHOD_SIGN; with ECDSA, SHA-256 goes with every curve. */
void method_signer(struct request *request, const struct method *method, struct signer *ret_signer);

/* Bit i: the token has the mechanism of methods[i], for signing or for derivation (C_GetMechanismInfo). */
unsigned method_token_mask(struct request *request);

/*
 * Which methods of `token` (method_token_mask) the key can do: it has CKA_SIGN or CKA_DERIVE, and fits in type and size. An HMAC key is
 * at least as long as the hash (D7); with `key_len` not 0 a secret key has exactly so many bytes.
 */
CK_RV method_judge(struct request *request, CK_SESSION_HANDLE session, const struct key *key, unsigned token,
	size_t key_len, struct method_fit *ret_fit) __attribute__((warn_unused_result));

/* The preferred method of a mask, or NULL for 0. */
const struct method *method_best(unsigned mask);

/* The mask of one method. */
unsigned method_bit(const struct method *method);

#endif
