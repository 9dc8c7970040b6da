/*
 * The public half of a key as an OpenSSL key and as JWK (RFC 7517, RFC 8037).
 */
#ifndef P11GATE_WORKER_RESOURCES_PUBLIC_KEY_H
#define P11GATE_WORKER_RESOURCES_PUBLIC_KEY_H

#include <openssl/evp.h>

#include "server/worker/resources/key.h"

/* The numbers of a public key, as the token has them; memory of the arena. */
struct public_key {
	const struct key *key;
	struct bytes modulus, exponent; /* RSA */
	struct bytes point; /* EC: 04 ‖ x ‖ y; Edwards: the 32 or 57 bytes */
};

/*
 * Reads the numbers from the public object, else from the private one. CKR_ATTRIBUTE_TYPE_INVALID if the token does not
 * reveal them, CKR_KEY_TYPE_INCONSISTENT for a key that has no public half or no row in curve.def.
 */
CK_RV public_key_read(struct request *request, CK_SESSION_HANDLE session, const struct key *key,
	struct public_key *ret_public) __attribute__((warn_unused_result));

/* As an OpenSSL key, which the caller frees; NULL if the numbers are not a key. */
EVP_PKEY *public_key_openssl(const struct public_key *public_key);

/*
 * Appends the line that authorized_keys of OpenSSH has for the key (RFC 4253, section 6.6; RFC 5656, section 3.1; RFC 8709, section
 * 4), with the key's label as its comment. False: SSH has no such keys, and nothing was appended.
 */
bool public_key_write_ssh(const struct public_key *public_key, struct buffer *out) __attribute__((warn_unused_result));

/* Writes the JWK object. */
void public_key_write_jwk(const struct public_key *public_key, struct json_writer *writer);

#endif
