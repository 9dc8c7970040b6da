/*
 * Whether the library is initialised, in this process, and how many calls are inside (PKCS#11 2.40, section 5.4).
 *
 * One atomic word answers that, so entering a call takes no lock that a fork could leave held.
 */
#ifndef P11GATE_CLIENT_MODULE_STATE_H
#define P11GATE_CLIENT_MODULE_STATE_H

#include "client-module/client.h"

/*
 * Enters a call: CKR_CRYPTOKI_NOT_INITIALIZED before C_Initialize, after C_Finalize has begun, and in a child of the process
 * that initialised. With CKR_OK the client stays until state_leave. Any thread.
 */
CK_RV state_enter(struct client **ret_client) __attribute__((warn_unused_result));
void state_leave(struct client *client);

/* A client that leaves at the end of the block it was entered in; it must start as NULL. */
static inline void state_left(struct client **client)
{
	if (*client != NULL) {
		state_leave(*client);
	}
}
#define STATE_AUTO __attribute__((cleanup(state_left))) struct client

/* For a call inside: true once C_Finalize wants it to end. */
bool state_stopping(const struct client *client);

/*
 * Begins an initialisation: exactly one thread gets CKR_OK and ends it with state_started. Waits while another thread
 * initialises or finalises. CKR_CRYPTOKI_ALREADY_INITIALIZED; CKR_FUNCTION_FAILED for a call from inside C_Initialize itself.
 * Lets go of what a parent process had, and sees to it that children let go of what this one has as soon as they are forked.
 */
CK_RV state_start(void) __attribute__((warn_unused_result));

/* Ends it: `client` is what calls get from now on, or NULL when the initialisation failed. */
void state_started(struct client *client);

/* Begins a finalisation: no call enters any more. CKR_CRYPTOKI_NOT_INITIALIZED. */
CK_RV state_stop(struct client **ret_client) __attribute__((warn_unused_result));

/* Waits until no call is inside, at most until `deadline` (connection_clock). */
bool state_drain(uint64_t deadline);

/* Ends it and frees the client; calls still inside free it when they leave. */
void state_stopped(struct client *client);

#endif
