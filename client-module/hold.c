#include "client-module/hold.h"

#include <stdio.h>
#include <stdlib.h>

#include "client-module/id.h"
#include "client-module/inventory.h"
#include "client-module/transport.h"

/* The slot as it is now: the gateway keeps applications of tokens, whether one is present is the inventory's to say. */
static CK_RV hold_slot(struct client *client, CK_SLOT_ID id, const struct slot_route **ret_slot)
{
	CK_TOKEN_INFO token;
	CK_RV rv = inventory_fetch(client);
	if (rv != CKR_OK) {
		return rv;
	}
	rv = slots_token(&client->slots, id, &token);
	*ret_slot = slots_route(&client->slots, id);
	return rv == CKR_OK && *ret_slot == NULL ? CKR_SLOT_ID_INVALID : rv;
}

static CK_RV hold_request(
	struct client *client, const char *method, const struct slot_route *slot, const CK_APPLICATION_ID *application)
{
	char id[ID_HEX_SIZE];
	char *target = NULL;
	id_hex(id, application->id);
	if (asprintf(&target, "%.*s/applications/%s", slot->path_len, slot->target, id) < 0) {
		return CKR_HOST_MEMORY;
	}
	struct connection *connection = pool_take(&client->pool);
	if (connection == NULL) {
		free(target);
		return CKR_HOST_MEMORY;
	}
	const struct transport_request request = {
		.method = method,
		.target = target,
		.timeout_ms = client->config.timeout_s * 1000,
	};
	CK_RV rv = transport_begin(connection) ? transport_send(client, connection, &request) : CKR_HOST_MEMORY;
	pool_give(&client->pool, connection);
	free(target);
	return rv;
}

CK_RV hold_open(struct client *client, CK_SLOT_ID id, const CK_APPLICATION_ID *application)
{
	const struct slot_route *slot;
	CK_RV rv = hold_slot(client, id, &slot);
	return rv == CKR_OK ? hold_request(client, "PUT", slot, application) : rv;
}

CK_RV hold_close(struct client *client, CK_SLOT_ID id, const CK_APPLICATION_ID *application)
{
	const struct slot_route *slot;
	CK_RV rv = hold_slot(client, id, &slot);
	if (rv != CKR_OK) {
		return rv;
	}
	rv = hold_request(client, "DELETE", slot, application);
	if (rv == CKR_OK) {
		session_forget_application(&client->sessions, slot, application);
	}
	return rv;
}
