/*
 * The resource routes with two keys, "guarded", which asks for its PIN at every use, and "plain", which does not.
 */
#ifndef P11GATE_TESTS_UNIT_WORKER_GUARDED_KEY_H
#define P11GATE_TESTS_UNIT_WORKER_GUARDED_KEY_H

#include "tests/unit/worker/application.h"

/* Signatures over GUARDED_DATA. */
#define SIGN_BODY "{\"algorithm\":\"ES256\",\"data\":\"d2hhdCBpcyBzaWduZWQ\",\"format\":\"der\"}"
#define SIGN_BODY_PIN(pin) \
	"{\"algorithm\":\"ES256\",\"data\":\"d2hhdCBpcyBzaWduZWQ\",\"format\":\"der\",\"pin\":\"" pin "\"}"
#define GUARDED_DATA "what is signed"

/* For .init and .fini: the worker `one`, logged in, with the keys, three operations at most and four threads. */
void guarded_key_setup(void);
void guarded_key_teardown(void);

/* Another worker instead, logged in; the keys stay. The second one has a module with these faults (shim_module.c). */
void restart_with(const struct worker_options *options);
void restart_with_shim(const char *faults);

/* Asks for a signature without the PIN; the id of the operation, in memory of the turns. */
const char *open_operation(void);

/* The answer has a signature of that key. */
void expect_verified(const struct rest *rest, const char *signer);

#endif
