/*
 * Two applications on one SoftHSM token: the first one's worker with rules for its logins, and a second one that plays the others.
 */
#ifndef P11GATE_TESTS_UNIT_WORKER_TWO_APPLICATIONS_H
#define P11GATE_TESTS_UNIT_WORKER_TWO_APPLICATIONS_H

#include "tests/unit/worker/resource_fixture.h"

#define SIGN_LENGTH "{\"Sign\":{\"session\":%lld,\"data\":\"" DIGEST "\",\"signature\":null}}"
#define SIGN_SHORT "{\"Sign\":{\"session\":%lld,\"data\":\"" DIGEST "\",\"signature\":1}}"
#define INFO "{\"GetSessionInfo\":{\"session\":%lld}}"
#define SEARCH \
	"{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"%s\"}]}},{\"FindObjects\":{" \
	"\"session\":%lld,\"objects\":10}}"
#define SEARCH_END "{\"FindObjectsFinal\":{\"session\":%lld}}"
/* Needs a login, whatever became of handles. */
#define MAKE_PRIVATE \
	"{\"GenerateKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_KEY_GEN\"},\"attributes\":[{" \
	"\"CKA_VALUE_LEN\":16},{\"CKA_PRIVATE\":true},{\"CKA_TOKEN\":%s}]}}"

#define GET_LABEL "{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":null}]}}"

enum { HOUR_MS = 3600000 };

extern struct token_fixture token;
extern struct worker_fixture one, two;
extern struct client first, second, other_instance; /* the last one is another process of the first application */
extern json_int_t session, key; /* of the first application */

struct login_policy rules(bool cache, enum logout_after after);

/* Both workers; a session of the first application, and the private key "release" on the token. Nobody is logged in. */
void start_with(const struct worker_options *options);
/* The first application logs in. */
void log_in(void);
/* Both, under these rules. */
void start(bool cache, enum logout_after after);

/* What the gateway knows of the worker after a call that changes nothing. */
struct answer state_of(const struct client *client);
void expect_state(const struct client *client, unsigned login, unsigned native);
void expect_session(const struct client *client, json_int_t handle, const char *state);
/* Nobody is logged in: not as the application sees it, nor as the module does, and nothing private can be had. */
void expect_logged_out(const struct client *client, json_int_t in);

json_int_t find_private(const struct client *client, json_int_t in);
void sign(const struct client *client, json_int_t in, json_int_t with);
/* The second application logs in, finds its key, signs and logs out. */
void second_signs(void);

#endif
