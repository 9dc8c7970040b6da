/* C_Initialize and C_Finalize (PKCS#11 2.40, section 5.4). */
#include <string.h>

#include "client-module/call.h"
#include "client-module/export.h"
#include "client-module/state.h"

/* C_Finalize takes at most a second: calls inside get the first part, saying goodbye to the gateway the second, then all is cut. */
enum { DRAIN_MS = 400, GOODBYE_MS = 800, FINALIZE_MS = 1000 };

/*
 * What the application says about threads. The library creates none and is always safe to call from many, so it needs no
 * more than to know whose mutexes to use.
 */
static CK_RV initialize_locking(const CK_C_INITIALIZE_ARGS *arguments, struct locking *ret_locking)
{
	*ret_locking = (struct locking){0};
	if (arguments == NULL) {
		return CKR_OK;
	}
	unsigned given = (arguments->CreateMutex != NULL) + (arguments->DestroyMutex != NULL) +
			 (arguments->LockMutex != NULL) + (arguments->UnlockMutex != NULL);
	/* The header at hand calls the standard's pReserved LibraryParameters. */
	if (arguments->LibraryParameters != NULL || (given != 0 && given != 4)) {
		return CKR_ARGUMENTS_BAD;
	}
	if (given == 4 && (arguments->flags & CKF_OS_LOCKING_OK) == 0) {
		*ret_locking = (struct locking){
			.create = arguments->CreateMutex,
			.destroy = arguments->DestroyMutex,
			.lock = arguments->LockMutex,
			.unlock = arguments->UnlockMutex,
		};
	}
	return CKR_OK;
}

EXPORT CK_RV C_Initialize(CK_VOID_PTR arguments)
{
	struct locking locking;
	CK_RV rv = initialize_locking(arguments, &locking);
	if (rv != CKR_OK) {
		return rv;
	}
	rv = state_start();
	if (rv != CKR_OK) {
		return rv;
	}
	struct client *client = NULL;
	rv = client_new(&locking, &client);
	state_started(client);
	return rv;
}

EXPORT CK_RV C_Finalize(CK_VOID_PTR reserved)
{
	struct client *client;
	if (reserved != NULL) {
		CK_RV rv = state_enter(&client);
		if (rv != CKR_OK) {
			return rv;
		}
		state_leave(client);
		return CKR_ARGUMENTS_BAD;
	}
	CK_RV rv = state_stop(&client);
	if (rv != CKR_OK) {
		return rv;
	}
	uint64_t now = connection_clock();
	sockets_interrupt(&client->pool.sockets, SOCKETS_WAITING);
	bool drained = state_drain(now + DRAIN_MS);
	client_end_sessions(client, now + GOODBYE_MS);
	if (!drained) {
		sockets_interrupt(&client->pool.sockets, SOCKETS_ALL);
		(void)state_drain(now + FINALIZE_MS);
	}
	state_stopped(client);
	return CKR_OK;
}
