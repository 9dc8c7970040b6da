/*
 * The functions that run in the application's worker: one request with one call each.
 */
#ifndef P11GATE_CLIENT_MODULE_CALL_H
#define P11GATE_CLIENT_MODULE_CALL_H

#include "api/call.h"
#include "client-module/client.h"

/* The whole of C_<name>: `values` are the application's arguments in the order of the row. Returns what the function returns. */
CK_RV client_call(enum call_id id, const union wire_value values[]) __attribute__((warn_unused_result));

/* As client_call; what has no session runs under `application` instead of the process's ID. NULL: as client_call. */
CK_RV client_call_under(const CK_APPLICATION_ID *application, enum call_id id, const union wire_value values[])
	__attribute__((warn_unused_result));

/*
 * Ends this process's sessions at the gateway, before C_Finalize forgets them, on connections that are open already and by
 * `deadline` (connection_clock). What fails is left to the lease.
 */
void client_end_sessions(struct client *client, uint64_t deadline);

#endif
