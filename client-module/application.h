/*
 * Under which application ID a process opens sessions (requirements C1 to C5).
 */
#ifndef P11GATE_CLIENT_MODULE_APPLICATION_H
#define P11GATE_CLIENT_MODULE_APPLICATION_H

#include <stdbool.h>

#include "api/cryptoki.h"
#include "client-module/config.h"
#include "client-module/include/p11gate/ca.h"

/*
 * The ID of a process that chooses none: the configured one; else 8 random bytes, 4 bytes of a hash of machine, boot and process
 * namespace, and the process ID big-endian, so that no two processes, hosts or containers share one by accident.
 */
CK_RV application_default(const struct client_config *config, CK_APPLICATION_ID *ret_id)
	__attribute__((warn_unused_result));

/* The 64-bit form: two numbers of 32 bits, bits above are dropped (requirement C1). */
CK_APPLICATION_ID application_of_parts(CK_ULONG high, CK_ULONG low);
void application_parts(const CK_APPLICATION_ID *id, CK_ULONG *ret_high, CK_ULONG *ret_low);

/*
 * Remembers what the program chose, initialised or not. `own`: for this process alone; otherwise forked children have chosen it
 * too. Any thread.
 */
void application_choose(const CK_APPLICATION_ID *id, bool own);

/* False if the program has chosen none. Any thread. */
bool application_chosen(CK_APPLICATION_ID *ret_id) __attribute__((warn_unused_result));

#endif
