/*
 * Gateways of a test's own with one more slot, "card", whose token is the mock module's: label "mock", PIN 1234. It is the first slot of
 * client modules.
 */
#ifndef P11GATE_TESTS_INTEGRATION_CARD_H
#define P11GATE_TESTS_INTEGRATION_CARD_H

#include "tests/integration/fixture.h"
#include "tests/support/lib/mock.h"

struct card_options {
	const char *class_name; /* of the slot; NULL: "card" */
	const char *control; /* what the mock module's control file says; NULL: nothing */
	const char *rules; /* of Alice's and Bob's logins there, as in the configuration; NULL: the defaults */
	unsigned wait_s; /* slot_lock_wait_s; 0: 1 */
};

/* Waits until the token is there. */
void card_start(struct gateway *ret_gateway, struct mock *ret_mock, const struct card_options *options);

#endif
