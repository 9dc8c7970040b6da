/*
 * One application on the mock token, with two clients.
 */
#ifndef P11GATE_TESTS_UNIT_WORKER_MOCK_APPLICATION_H
#define P11GATE_TESTS_UNIT_WORKER_MOCK_APPLICATION_H

#include "tests/unit/worker/application.h"

extern struct mock mock;
extern struct client guest; /* another process of the application */
extern json_int_t other; /* a session of it, where the test has one */

/* A second of waiting for other private uses. */
struct worker_options mock_options(bool cache, enum logout_after after);

/* The worker with these options, and a session of the first client, logged in. */
void start_on_mock(const struct worker_options *options);

#endif
