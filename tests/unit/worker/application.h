/*
 * An application on a token: its worker, a client of it, and what tests do with it and expect of it. Another one beside it, where a test
 * starts its worker too.
 */
#ifndef P11GATE_TESTS_UNIT_WORKER_APPLICATION_H
#define P11GATE_TESTS_UNIT_WORKER_APPLICATION_H

#include "tests/unit/worker/resource_fixture.h"

#define SIGN_LENGTH "{\"Sign\":{\"session\":%lld,\"data\":\"" DIGEST "\",\"signature\":null}}"
#define SIGN_SHORT "{\"Sign\":{\"session\":%lld,\"data\":\"" DIGEST "\",\"signature\":1}}"
#define INFO "{\"GetSessionInfo\":{\"session\":%lld}}"
#define CLOSE "{\"CloseSession\":{\"session\":%lld}}"
#define DESTROY "{\"DestroyObject\":{\"session\":%lld,\"object\":%lld}}"
#define SEARCH \
	"{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"%s\"}]}},{\"FindObjects\":{" \
	"\"session\":%lld,\"objects\":10}}"
#define SEARCH_END "{\"FindObjectsFinal\":{\"session\":%lld}}"
/* A private key that decrypts. */
#define MAKE_SECRET \
	"{\"GenerateKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_KEY_GEN\"},\"attributes\":[{" \
	"\"CKA_VALUE_LEN\":16},{\"CKA_PRIVATE\":true},{\"CKA_DECRYPT\":true},{\"CKA_TOKEN\":true}]}}"
#define DECRYPT_INIT \
	"{\"DecryptInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_CBC_PAD\",\"parameter\":" \
	"\"AAECAwQFBgcICQoLDA0ODw\"},\"key\":%lld}}"
#define DECRYPT_PART "{\"DecryptUpdate\":{\"session\":%lld,\"encrypted\":\"AAECAwQFBgcICQoLDA0ODw\",\"part\":64}}"
#define DECRYPT_FINAL "{\"DecryptFinal\":{\"session\":%lld,\"part\":64}}"
/* Needs a login, whatever became of handles. */
#define MAKE_PRIVATE \
	"{\"GenerateKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_KEY_GEN\"},\"attributes\":[{" \
	"\"CKA_VALUE_LEN\":16},{\"CKA_PRIVATE\":true},{\"CKA_TOKEN\":%s}]}}"

#define GET_LABEL "{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":null}]}}"

extern struct token_fixture token;
extern struct worker_fixture one, two;
extern struct client first, second;
extern json_int_t session, key; /* of the first one */

/* Rules under which no kept PIN grows too old within a test. */
struct login_policy rules(bool cache, enum logout_after after);

/* The application logs in, in `session`. */
void log_in(void);

/* What the gateway knows of the worker after a call that changes nothing. */
struct answer state_of(const struct client *client);
void expect_state(const struct client *client, unsigned login, unsigned native);
void expect_session(const struct client *client, json_int_t handle, const char *state);
/* Nobody is logged in: not as the application sees it, nor as the module does, and nothing private can be had. */
void expect_logged_out(const struct client *client, json_int_t in);

/* The handle of the first private key that is found. */
json_int_t find_private(const struct client *client, json_int_t in);
void sign(const struct client *client, json_int_t in, json_int_t with);

#endif
