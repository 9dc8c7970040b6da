/*
 * A key that asks for its PIN at each use by policy alone: its certificate is for non-repudiation (B18).
 */
#ifndef P11GATE_TESTS_INTEGRATION_POLICY_KEY_H
#define P11GATE_TESTS_INTEGRATION_POLICY_KEY_H

#include "tests/integration/fixture.h"

/* What the configuration of such a gateway says; `more` are further members of the rule for alice, with a comma before each. */
#define POLICY_KEY_RULE(more) \
	"login: [{identities: [alice], slots: ['*'], force_login_before_sign_key_usage: 0x40" more "}]"

/* Makes the EC key "policy" as alice, and its certificate beside the gateway. Its application is left without a worker. */
void policy_key_make(const struct gateway *g);

/* Its handle, for who is logged in: it is the only private key. */
CK_OBJECT_HANDLE policy_key_find(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session);

#endif
