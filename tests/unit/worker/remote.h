/*
 * A worker as a PKCS#11 module: the C_ functions of the client module without the way between, so that a test can drive the vendor
 * module and the worker with the same code.
 */
#ifndef P11GATE_TESTS_UNIT_WORKER_REMOTE_H
#define P11GATE_TESTS_UNIT_WORKER_REMOTE_H

#include "tests/unit/worker/fixture.h"

/* Every call goes to the worker of `client`, which stays the caller's; one client at a time, one thread. Slots are not known to it. */
const CK_FUNCTION_LIST *remote_functions(const struct client *client);

/* SoftHSM in this process, initialised, and the slot of the first token of the fixture that was made last. */
const CK_FUNCTION_LIST *softhsm_functions(CK_SLOT_ID *ret_slot);

#endif
