/*
 * The tables of algorithms (algorithm.def) as data.
 */
#ifndef P11GATE_WORKER_RESOURCES_ALGORITHM_H
#define P11GATE_WORKER_RESOURCES_ALGORITHM_H

#include "api/cryptoki.h"

enum algorithm_prepare { PREPARE_DATA, PREPARE_DIGEST, PREPARE_DIGEST_INFO, PREPARE_PSS };
enum algorithm_form { FORM_OPAQUE, FORM_ECDSA, FORM_MAC };

struct algorithm {
	const char *name; /* "ES256" */
	const char *curve; /* or NULL */
	const char *hash; /* OpenSSL's name, or NULL */
	enum algorithm_prepare prepare;
	CK_MECHANISM_TYPE mechanism, combined;
	enum algorithm_form form;
};

/* The algorithm of that name, or NULL. */
const struct algorithm *algorithm_by_name(const char *name);

/* The first algorithm whose combined mechanism this is and whose own mechanism is another, or NULL. */
const struct algorithm *algorithm_by_combined(CK_MECHANISM_TYPE mechanism);

/* The first algorithm whose own or combined mechanism this is, or NULL. */
const struct algorithm *algorithm_by_mechanism(CK_MECHANISM_TYPE mechanism);

/* The parameters of a PSS algorithm: salt as long as the hash, MGF1 with the same hash (RFC 7518, section 3.5). */
CK_RSA_PKCS_PSS_PARAMS algorithm_pss(const struct algorithm *algorithm);

enum cipher_parameter { PARAMETER_OF_NONE, PARAMETER_OF_GCM, PARAMETER_OF_IV, PARAMETER_OF_OAEP };
enum cipher_uses { CIPHER_ENCRYPTS = 1, CIPHER_WRAPS = 2, CIPHER_BOTH = 3 };

struct cipher_row {
	const char *name; /* "A256GCM" */
	unsigned bits; /* of the key, or 0 */
	CK_MECHANISM_TYPE mechanism;
	enum cipher_parameter parameter;
	const char *hash; /* for algorithm_hash, or NULL */
	enum cipher_uses uses;
};

/* The row of that name that has the use, or NULL. */
const struct cipher_row *algorithm_cipher(const char *name, enum cipher_uses use);

struct hash_row {
	const char *openssl, *name; /* "SHA256", "SHA-256" */
	CK_MECHANISM_TYPE mechanism;
	CK_RSA_PKCS_MGF_TYPE mgf;
};

/* The row of that name, OpenSSL's or the one on the wire; or NULL. */
const struct hash_row *algorithm_hash(const char *name);

#endif
