/*
 * Asking the gateway for its slots.
 */
#ifndef P11GATE_CLIENT_MODULE_INVENTORY_H
#define P11GATE_CLIENT_MODULE_INVENTORY_H

#include "client-module/client.h"

/* Takes in the inventory as it is now. CKR_OK without a gateway in the configuration: then there are no slots. */
CK_RV inventory_fetch(struct client *client) __attribute__((warn_unused_result));

/* As inventory_fetch, but the answer may take `wait_s` seconds until something differs from what is known. C_Finalize ends it. */
CK_RV inventory_await(struct client *client, unsigned wait_s) __attribute__((warn_unused_result));

/* Fetches only if nothing is known yet. */
CK_RV inventory_ensure(struct client *client) __attribute__((warn_unused_result));

#endif
