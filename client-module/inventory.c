#include "client-module/inventory.h"

#include <inttypes.h>
#include <stdio.h>

#include "client-module/transport.h"

enum { TARGET_MAX = 96 };

static CK_RV inventory_request(struct client *client, const struct transport_request *request)
{
	struct connection *connection = pool_take(&client->pool);
	if (connection == NULL) {
		return CKR_HOST_MEMORY;
	}
	CK_RV rv = transport_begin(connection) ? transport_send(client, connection, request) : CKR_HOST_MEMORY;
	if (rv == CKR_OK) {
		rv = slots_load(&client->slots, (const char *)connection->answer.data, connection->answer.len,
			&connection->arena);
	}
	pool_give(&client->pool, connection);
	/* Nothing was to be executed, so its outcome is never in doubt. */
	return rv == CKR_GENERAL_ERROR ? CKR_DEVICE_ERROR : rv;
}

CK_RV inventory_fetch(struct client *client)
{
	if (client->tls == NULL) {
		return CKR_OK;
	}
	const struct transport_request request = {
		.target = "/v1/calls",
		.timeout_ms = client->config.timeout_s * 1000,
		.repeatable = true,
	};
	return inventory_request(client, &request);
}

CK_RV inventory_await(struct client *client, unsigned wait_s)
{
	uint64_t generation;
	if (!slots_known(&client->slots, &generation)) {
		return inventory_fetch(client);
	}
	char target[TARGET_MAX];
	snprintf(target, sizeof(target), "/v1/calls?after=%" PRIu64 "&wait=%u", generation, wait_s);
	const struct transport_request request = {
		.target = target,
		.timeout_ms = wait_s * 1000 + client->config.timeout_s * 1000,
		.repeatable = true,
		.waiting = true,
	};
	return inventory_request(client, &request);
}

CK_RV inventory_ensure(struct client *client)
{
	uint64_t generation;
	return slots_known(&client->slots, &generation) ? CKR_OK : inventory_fetch(client);
}
