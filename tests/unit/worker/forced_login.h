/*
 * Keys of non-repudiation certificates, which ask for their PIN at each use by policy (B18–B21).
 */
#ifndef P11GATE_TESTS_UNIT_WORKER_FORCED_LOGIN_H
#define P11GATE_TESTS_UNIT_WORKER_FORCED_LOGIN_H

#include "tests/unit/worker/application.h"

#define CONTEXT(pin) "{\"Login\":{\"session\":%lld,\"user_type\":\"CKU_CONTEXT_SPECIFIC\",\"pin\":\"" pin "\"}}"
#define WITH_ID ",{\"CKA_ID\":\"aWQx\"}"
#define REST_SIGN "{\"algorithm\":\"ES256\",\"data\":\"YQ\"%s}"

/* With the rule; a fifth of a second of waiting for other private uses. */
struct worker_options forced_options(bool cache, bool fresh);
/* A worker with these options, logged in, and `key`, "release", whose attributes `more` says more of. */
void start_forced(const struct worker_options *options, const char *more);

/* Puts a certificate of `subject` (NULL: of a key of its own) into the token; `usage` as in openssl.cnf, or NULL. */
json_int_t add_certificate(EVP_PKEY *subject, const char *usage, const char *id);
json_int_t add_certificate_as(
	const struct client *client, json_int_t on, EVP_PKEY *subject, const char *usage, const char *id);

/* What the key is like to clients. */
void expect_a_pin_per_signature(void);
void expect_no_pin_per_signature(void);

/* The same after a certificate has been added: over REST, and in searches. */
void expect_a_pin_per_signature_over_rest(void);
void expect_searches_by_the_effective_value(void);

#endif
