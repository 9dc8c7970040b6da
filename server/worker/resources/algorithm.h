/*
 * The table of signature algorithms (algorithm.def) as data.
 */
#ifndef P11GATE_WORKER_RESOURCES_ALGORITHM_H
#define P11GATE_WORKER_RESOURCES_ALGORITHM_H

#include "api/cryptoki.h"

enum algorithm_prepare { PREPARE_DATA, PREPARE_DIGEST, PREPARE_DIGEST_INFO, PREPARE_PSS };
enum algorithm_form { FORM_OPAQUE, FORM_ECDSA };

struct algorithm {
	const char *name; /* "ES256" */
	const char *curve; /* or NULL */
	const char *hash; /* OpenSSL's name, or NULL */
	enum algorithm_prepare prepare;
	CK_MECHANISM_TYPE mechanism, combined;
	enum algorithm_form form;
};

/* The algorithm of that JOSE name, or NULL. */
const struct algorithm *algorithm_by_name(const char *name);

/* The first algorithm whose combined mechanism this is and whose own mechanism is another, or NULL. */
const struct algorithm *algorithm_by_combined(CK_MECHANISM_TYPE mechanism);

/* The first algorithm whose own or combined mechanism this is, or NULL. */
const struct algorithm *algorithm_by_mechanism(CK_MECHANISM_TYPE mechanism);

/* The parameters of a PSS algorithm: salt as long as the hash, MGF1 with the same hash (RFC 7518, section 3.5). */
CK_RSA_PKCS_PSS_PARAMS algorithm_pss(const struct algorithm *algorithm);

#endif
