/*
 * What a client asks for beyond the server's rules of logins (requirement B1): the member "login" of a calls document,
 * {"cache_pin":0,"logout_after":"sign","force_login":64}. A member that is absent asks for nothing; none can loosen a rule.
 */
#ifndef P11GATE_API_LOGIN_WISHES_H
#define P11GATE_API_LOGIN_WISHES_H

#include <stdbool.h>

#include "json.h"

/* When an application is logged out by force, the laxest first. */
enum logout_after { LOGOUT_AFTER_NEVER, LOGOUT_AFTER_SIGN, LOGOUT_AFTER_PRIVATE_OP };
enum { LOGOUT_AFTER_COUNT = LOGOUT_AFTER_PRIVATE_OP + 1 };

enum { FORCE_LOGIN_NON_REPUDIATION = 0x40 }; /* the only bit of a force_login mask (B2) */

/* All zero: nothing. */
struct login_wishes {
	bool no_cache; /* "cache_pin":0 */
	enum logout_after logout_after;
	unsigned force_login; /* 0 or FORCE_LOGIN_NON_REPUDIATION */
};

/* "never", "sign", "private-op". */
const char *logout_after_name(enum logout_after value);
/* False if `text` is none of the names. */
bool logout_after_by_name(struct json_text text, enum logout_after *ret_value) __attribute__((warn_unused_result));

bool login_wishes_any(const struct login_wishes *wishes);

/* The stricter of both, rule by rule, in `wishes`. */
void login_wishes_add(struct login_wishes *wishes, const struct login_wishes *more);

/* The value of the member, an object. */
void login_wishes_encode(struct json_writer *w, const struct login_wishes *wishes);
bool login_wishes_decode(struct json_reader *in, struct login_wishes *ret_wishes) __attribute__((warn_unused_result));

#endif
