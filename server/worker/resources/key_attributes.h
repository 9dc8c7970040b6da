/*
 * Attributes of keys by name, for those who want to know more than the key object shows.
 */
#ifndef P11GATE_WORKER_RESOURCES_KEY_ATTRIBUTES_H
#define P11GATE_WORKER_RESOURCES_KEY_ATTRIBUTES_H

#include "server/worker/resources/key.h"

enum { KEY_ATTRIBUTES_MAX = 64 }; /* that one request can name */

/* What is asked for; `types` NULL: every attribute of attributes.def that the token tells and that is no key material. */
struct key_attributes {
	CK_ATTRIBUTE_TYPE *types;
	size_t count;
};

/*
 * Reads names with commas between them ("CKA_SIGN,CKA_LABEL"; "0x80000001" for a vendor's). False: the reply is a 400 problem that
 * names the one that is none.
 */
bool key_attributes_read(struct request *request, const char *text, struct key_attributes *ret_attributes)
	__attribute__((warn_unused_result));

/*
 * Adds the members `attributes` and, for a pair, `public_attributes` to the open key object: each attribute as attribute_encode
 * (api/codec.h) writes it; null where the object has none; {"sensitive":true} where the token does not reveal it. Key material
 * (secret rows of attributes.def) is never read: where the token would reveal it, its length is told. CKA_ALWAYS_AUTHENTICATE is the
 * effective value (A30).
 */
CK_RV key_attributes_write(struct request *request, CK_SESSION_HANDLE session, const struct key *key,
	const struct key_attributes *attributes, struct json_writer *writer) __attribute__((warn_unused_result));

#endif
