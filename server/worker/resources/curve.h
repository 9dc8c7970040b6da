/*
 * The table of curves (curve.def) as data.
 */
#ifndef P11GATE_WORKER_RESOURCES_CURVE_H
#define P11GATE_WORKER_RESOURCES_CURVE_H

#include "api/cryptoki.h"
#include "server/common/message.h"

struct curve {
	const char *name; /* "P-256" */
	CK_KEY_TYPE type;
	CK_MECHANISM_TYPE generate;
	const char *openssl; /* group or key type */
	const char *ssh; /* type of SSH keys (RFC 5656, RFC 8709), or NULL */
	unsigned bits;
	struct bytes params; /* CKA_EC_PARAMS */
};

/* The curve of a key's CKA_EC_PARAMS, or NULL if it has no row. */
const struct curve *curve_of_params(struct bytes params);

/* The curve of that name, or NULL. */
const struct curve *curve_by_name(const char *name);

/* The curve that OpenSSL has under that name, or NULL. */
const struct curve *curve_by_openssl(const char *name);

#endif
