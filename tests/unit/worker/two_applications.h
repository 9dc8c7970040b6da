/*
 * Two applications on one SoftHSM token: the first one's worker with rules for its logins, and a second one that plays the others.
 */
#ifndef P11GATE_TESTS_UNIT_WORKER_TWO_APPLICATIONS_H
#define P11GATE_TESTS_UNIT_WORKER_TWO_APPLICATIONS_H

#include "tests/unit/worker/application.h"

extern struct client other_instance; /* another process of the first application */

/* Both workers; a session of the first application, and the private key "release" on the token. Nobody is logged in. */
void start_with(const struct worker_options *options);
/* Both, under these rules, and the first application logs in. */
void start(bool cache, enum logout_after after);

/* The second application logs in, finds its key, signs and logs out. */
void second_signs(void);

#endif
