/*
 * Methods of challenge-response (method.def) and which of them a key can do.
 */
#ifndef P11GATE_WORKER_RESOURCES_METHOD_H
#define P11GATE_WORKER_RESOURCES_METHOD_H

#include "server/worker/resources/signer.h"

struct method {
	const char *name;
	const char *algorithm;
	bool deterministic, signature;
};

/* The rows in order of preference. */
extern const struct method methods[];
extern const size_t methods_count;

/* The method of that name, or NULL. */
const struct method *method_by_name(const char *name);

/* Whether `name` is of a method that is refused because its result is random (requirement D3). */
bool method_is_randomised(const char *name);

/* The signer of a method; with ECDSA, SHA-256 goes with every curve. */
void method_signer(struct request *request, const struct method *method, struct signer *ret_signer);

/*
 * Bit i of *ret_mask: the key can do methods[i] – the token has the mechanism, the key has CKA_SIGN and fits in type
 * and size (an HMAC key is at least as long as the hash, D7). *ret_why is the reason where the mask is 0.
 */
CK_RV method_mask(struct request *request, CK_SESSION_HANDLE session, const struct key *key, unsigned *ret_mask,
	CK_RV *ret_why) __attribute__((warn_unused_result));

/* The preferred method of a mask, or NULL for 0. */
const struct method *method_best(unsigned mask);

#endif
