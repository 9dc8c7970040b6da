/* The functions that the inventory answers (PKCS#11 2.40, sections 5.4 and 5.5). */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client-module/export.h"
#include "client-module/inventory.h"
#include "client-module/state.h"

enum {
	EVENT_WAIT_S = 25, /* of one long poll */
	EVENT_RETRY_MS = 5000, /* between two polls of a gateway that cannot be reached */
	EVENT_PAUSE_MS = 20, /* how soon such a pause notices C_Finalize */
};

/*
 * Enters a function that fills `output` from the inventory, made as fresh as `refresh` says. With CKR_OK the caller stays
 * until it leaves the state.
 */
static CK_RV slot_enter(const void *output, CK_RV (*refresh)(struct client *client), struct client **ret_client)
{
	struct client *client;
	CK_RV rv = state_enter(&client);
	if (rv != CKR_OK) {
		return rv;
	}
	rv = output != NULL ? refresh(client) : CKR_ARGUMENTS_BAD;
	if (rv != CKR_OK) {
		state_leave(client);
		return rv;
	}
	*ret_client = client;
	return CKR_OK;
}

/* Text of a fixed length, padded with blanks and without a NUL (section 3.1). */
static void slot_text(CK_UTF8CHAR *field, size_t size, const char *text)
{
	memset(field, ' ', size);
	memcpy(field, text, strnlen(text, size));
}

EXPORT CK_RV C_GetInfo(CK_INFO_PTR info)
{
	struct client *client;
	CK_RV rv = state_enter(&client);
	if (rv != CKR_OK) {
		return rv;
	}
	state_leave(client);
	if (info == NULL) {
		return CKR_ARGUMENTS_BAD;
	}
	char *rest = NULL;
	unsigned long major = strtoul(P11GATE_VERSION, &rest, 10);
	unsigned long minor = *rest == '.' ? strtoul(rest + 1, NULL, 10) : 0;
	*info = (CK_INFO){.cryptokiVersion = {2, 40}};
	info->libraryVersion = (CK_VERSION){(CK_BYTE)major, (CK_BYTE)minor};
	slot_text(info->manufacturerID, sizeof(info->manufacturerID), "p11gate");
	slot_text(info->libraryDescription, sizeof(info->libraryDescription), "p11gate client module");
	return CKR_OK;
}

/* The list is fixed from one query of its length to the next (section 5.5). */
EXPORT CK_RV C_GetSlotList(CK_BBOOL token_present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count)
{
	STATE_AUTO *client = NULL;
	CK_RV rv = slot_enter(count, slots == NULL ? inventory_fetch : inventory_ensure, &client);
	return rv == CKR_OK ? slots_list(&client->slots, token_present, slots, count) : rv;
}

EXPORT CK_RV C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info)
{
	STATE_AUTO *client = NULL;
	CK_RV rv = slot_enter(info, inventory_fetch, &client);
	return rv == CKR_OK ? slots_info(&client->slots, slot, info) : rv;
}

/* The sessions counted are this process's (requirement C11). */
EXPORT CK_RV C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	STATE_AUTO *client = NULL;
	CK_RV rv = slot_enter(info, inventory_fetch, &client);
	if (rv == CKR_OK) {
		rv = slots_token(&client->slots, slot, info);
	}
	if (rv == CKR_OK) {
		info->ulSessionCount = session_count(
			&client->sessions, slots_route(&client->slots, slot), &info->ulRwSessionCount);
	}
	return rv;
}

EXPORT CK_RV C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR mechanisms, CK_ULONG_PTR count)
{
	STATE_AUTO *client = NULL;
	CK_RV rv = slot_enter(count, inventory_ensure, &client);
	return rv == CKR_OK ? slots_mechanisms(&client->slots, slot, mechanisms, count) : rv;
}

EXPORT CK_RV C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info)
{
	STATE_AUTO *client = NULL;
	CK_RV rv = slot_enter(info, inventory_ensure, &client);
	return rv == CKR_OK ? slots_mechanism(&client->slots, slot, type, info) : rv;
}

/* Lets some time pass; false when C_Finalize wants the thread out. */
static bool event_pause(struct client *client)
{
	uint64_t end = connection_clock() + EVENT_RETRY_MS;
	while (connection_clock() < end && !state_stopping(client)) {
		nanosleep(&(struct timespec){.tv_nsec = EVENT_PAUSE_MS * 1000000L}, NULL);
	}
	return !state_stopping(client);
}

/*
 * Until an event comes or C_Finalize ends the wait. A gateway that cannot be reached only delays it: an application that waits
 * for a token to appear is not helped by an error that goes away.
 */
static CK_RV event_await(struct client *client, CK_SLOT_ID *ret_slot)
{
	for (;;) {
		CK_RV rv = client->tls != NULL ? inventory_await(client, EVENT_WAIT_S) : CKR_DEVICE_ERROR;
		if (state_stopping(client)) {
			return CKR_CRYPTOKI_NOT_INITIALIZED;
		}
		if (rv == CKR_OK && slots_event(&client->slots, ret_slot)) {
			return CKR_OK;
		}
		if (rv != CKR_OK && !event_pause(client)) {
			return CKR_CRYPTOKI_NOT_INITIALIZED;
		}
	}
}

EXPORT CK_RV C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID_PTR ret_slot, CK_VOID_PTR reserved)
{
	struct client *client;
	CK_RV rv = state_enter(&client);
	if (rv != CKR_OK) {
		return rv;
	}
	if (ret_slot == NULL || reserved != NULL) {
		rv = CKR_ARGUMENTS_BAD;
	} else if (slots_event(&client->slots, ret_slot)) {
		rv = CKR_OK;
	} else if ((flags & CKF_DONT_BLOCK) == 0) {
		rv = event_await(client, ret_slot);
	} else {
		rv = inventory_fetch(client);
		if (rv == CKR_OK && !slots_event(&client->slots, ret_slot)) {
			rv = CKR_NO_EVENT;
		}
	}
	state_leave(client);
	return rv;
}
