/*
 * Key material that a client sends to be imported: private keys in PEM, DER and JWK, and secret keys. All of it is secret: nothing is
 * quoted in a problem, numbers are in the request's arena, which is wiped, and OpenSSL wipes what it frees.
 */
#ifndef P11GATE_WORKER_RESOURCES_MATERIAL_H
#define P11GATE_WORKER_RESOURCES_MATERIAL_H

#include <jansson.h>
#include <openssl/evp.h>

#include "server/worker/resources/key_plan.h"

/* Either a pair or the value of a secret key. */
struct material {
	EVP_PKEY *pair; /* owned; or NULL */
	const struct key_kind *kind;
	const struct curve *curve; /* of an EC or Edwards pair */
	struct bytes secret; /* in the arena; data NULL for a pair */
	const char *pointer; /* the member that it came from (RFC 6901), static */
};

/*
 * Reads it from a checked ImportRequest: exactly one of pem, pkcs8, jwk, value. A pair is one whose halves belong together, of a kind
 * that can be imported. False: the reply is a problem that names the member. The caller frees ret_material->pair.
 */
bool material_read(struct request *request, const json_t *body, struct material *ret_material)
	__attribute__((warn_unused_result));

/* --- material_jwk.c --- */

/* The pair of a checked PrivateJwk whose kty is not oct, which the caller frees. NULL: the reply is a problem that names the member. */
EVP_PKEY *material_of_jwk(struct request *request, const json_t *jwk) __attribute__((warn_unused_result));

/*
 * A member of base64url that has to be there; `pointer` is where. False: the reply is a 400 problem.
 */
bool material_bytes(struct request *request, const json_t *object, const char *name, const char *pointer,
	struct bytes *ret_bytes) __attribute__((warn_unused_result));

/* --- material_template.c --- */

/* Adds the attributes that are the key to a template of one half; memory of the arena. CKR_HOST_MEMORY. */
CK_RV material_template(struct request *request, const struct material *material, enum key_half half,
	struct key_template *template) __attribute__((warn_unused_result));

#endif
