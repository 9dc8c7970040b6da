/*
 * Holding an application open at the gateway, and ending it (requirements C8 to C10).
 */
#ifndef P11GATE_CLIENT_MODULE_HOLD_H
#define P11GATE_CLIENT_MODULE_HOLD_H

#include "client-module/client.h"

/* CA_OpenApplicationIDV2 and CA_CloseApplicationIDV2 with what they return, for a call that has entered. */
CK_RV hold_open(struct client *client, CK_SLOT_ID slot, const CK_APPLICATION_ID *application)
	__attribute__((warn_unused_result));
CK_RV hold_close(struct client *client, CK_SLOT_ID slot, const CK_APPLICATION_ID *application)
	__attribute__((warn_unused_result));

#endif
