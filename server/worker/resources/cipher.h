/*
 * Encryption and decryption with a key of the token: which mechanism, and its parameter.
 */
#ifndef P11GATE_WORKER_RESOURCES_CIPHER_H
#define P11GATE_WORKER_RESOURCES_CIPHER_H

#include <jansson.h>

#include "server/worker/resources/algorithm.h"
#include "server/worker/resources/use.h"

enum { CIPHER_TAG_LEN = 16 }; /* bytes of a GCM tag (RFC 7518, section 5.3) */

/* How a request wants to encrypt, decrypt, wrap or unwrap. */
struct cipher {
	const struct cipher_row *row; /* NULL: `mechanism` alone, with its parameter */
	CK_MECHANISM mechanism; /* if there is no row */
};

/* What goes with one item, and stays with what was encrypted. */
struct cipher_input {
	struct bytes iv, aad, tag;
};

/* The parameter of a mechanism; to outlive it. */
union cipher_parameter_value {
	CK_GCM_PARAMS_V3 gcm;
	CK_RSA_PKCS_OAEP_PARAMS oaep;
};

/* Bytes of the iv of a row; 0: it takes none. */
size_t cipher_iv_len(const struct cipher *cipher);

/* Whether what was encrypted has a tag. */
bool cipher_has_tag(const struct cipher *cipher);

/* The mechanism with its parameter, in `value`. */
CK_MECHANISM cipher_mechanism(
	const struct cipher *cipher, const struct cipher_input *input, union cipher_parameter_value *value);

/*
 * Whether type and size of the key fit, as far as the tables know; beyond them the token judges. CKR_KEY_TYPE_INCONSISTENT,
 * CKR_KEY_SIZE_RANGE, or that of reading the size.
 */
CK_RV cipher_fits(struct use *use, const struct cipher *cipher, const struct key *key)
	__attribute__((warn_unused_result));

/* What the token says where it knows the mechanism but not the hash of the row; otherwise `rv`. */
CK_RV cipher_refusal(const struct cipher *cipher, CK_RV rv);

#endif
