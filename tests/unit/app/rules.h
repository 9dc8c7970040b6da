/*
 * A registry with a login rule for Alice and one for Bob, and what tests have its workers do with the token.
 */
#ifndef P11GATE_TESTS_APP_RULES_H
#define P11GATE_TESTS_APP_RULES_H

#include "api/cryptoki.h"
#include "tests/unit/app/fixture.h"

#define USER_LOGIN "acquire=1,1;release=0,1"
#define SO_LOGIN "acquire=1,0;release=0,2"
#define KEPT_LOGIN "acquire=1,1;release=0,1,0"
#define WRONG_PIN "acquire=1,1;release=0xA0"
#define WRONG_SO_PIN "acquire=1,0;release=0xA0"
#define WRONG_CONTEXT_PIN "acquire=1,2;release=0xA0"
#define LOGOUT "acquire=2;release=0,0"
#define PRIVATE_USE "acquire=6;release=0,1,0"

extern struct fixture ruled;
extern struct config_login_rule rules[2]; /* of alice and of bob; change them before fixture_start */

/* For .init and .fini: three wrong PINs of an identity, five of a token, a second of waiting for others' logins. */
void rules_set_up(void);
void rules_tear_down(void);

/* The query on slot "demo" as that identity, in its application `id`; the second gives the "rv" of the answer. */
struct asked ask_of(const char *identity, char id, const char *query);
unsigned long long rv_of(const char *identity, char id, const char *query);

/* So many wrong PINs of the user, each of which is sent to the token. */
void fail(const char *identity, char id, unsigned times);

/* What the guard has counted on slot "demo": of two identities, and of the token. */
struct counts {
	unsigned alice, bob, user, so;
};
struct counts counts_now(void);

#endif
