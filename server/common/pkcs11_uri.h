/*
 * PKCS#11 URIs (RFC 7512) that name a key or a token: parsed strictly, without memory of its own.
 *
 * Known are the attributes that a token or a key has (token, manufacturer, serial, model, object, id, type). Everything
 * else is refused rather than ignored, since an ignored attribute would widen the match; so is a query, which could
 * carry a PIN.
 */
#ifndef P11GATE_COMMON_PKCS11_URI_H
#define P11GATE_COMMON_PKCS11_URI_H

#include <stdbool.h>

#include "api/arena.h"
#include "api/cryptoki.h"
#include "server/common/message.h"

/* ATTRIBUTE(name in the URI, member) */
#define PKCS11_URI_ATTRIBUTES(ATTRIBUTE) \
	ATTRIBUTE("token", token) \
	ATTRIBUTE("manufacturer", manufacturer) \
	ATTRIBUTE("serial", serial) \
	ATTRIBUTE("model", model) \
	ATTRIBUTE("object", object) \
	ATTRIBUTE("id", id) \
	ATTRIBUTE("type", type)

/* The values, decoded; data NULL where the URI says nothing. */
struct pkcs11_uri {
#define ATTRIBUTE(name, member) struct bytes member;
	PKCS11_URI_ATTRIBUTES(ATTRIBUTE)
#undef ATTRIBUTE
};

/*
 * Parses `text` (NUL-terminated, "pkcs11:…") into the arena. False: *ret_error is a static sentence. A URI without
 * object and id is refused: it names no key.
 */
bool pkcs11_uri_parse(struct arena *arena, const char *text, struct pkcs11_uri *ret_uri, const char **ret_error)
	__attribute__((warn_unused_result));

/* The same for a URI that names a token: with at least one of token, manufacturer, serial and model, and nothing else. */
bool pkcs11_uri_parse_token(struct arena *arena, const char *text, struct pkcs11_uri *ret_uri, const char **ret_error)
	__attribute__((warn_unused_result));

/* The name that `type` has for a class of keys. */
const char *pkcs11_uri_type(CK_OBJECT_CLASS class);

/* The object class that `type` names; CK_UNAVAILABLE_INFORMATION where the URI has no type. */
CK_OBJECT_CLASS pkcs11_uri_class(const struct pkcs11_uri *uri);

/*
 * True if the token is the one that the URI names, or the URI names none (blank-padded fields are compared without
 * padding).
 */
bool pkcs11_uri_matches_token(const struct pkcs11_uri *uri, const CK_TOKEN_INFO *token);

#endif
