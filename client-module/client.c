#include "client-module/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "client-module/id.h"

/* Who we are, as header lines. */
static CK_RV client_identify(struct client *client)
{
	if (!id_random(client->instance)) {
		return CKR_FUNCTION_FAILED;
	}
	char instance[ID_HEX_SIZE];
	id_hex(instance, client->instance);
	int len = snprintf(client->headers, sizeof(client->headers),
		"Host: %s\r\nX-Client-Instance: %s\r\nContent-Type: application/json\r\n", client->config.authority,
		instance);
	return len > 0 && len < CLIENT_HEADERS_MAX ? CKR_OK : CKR_ARGUMENTS_BAD;
}

/* Makes what every client has; the gateway's part comes after it. */
static CK_RV client_prepare(struct client *client)
{
	CK_RV rv = slots_init(&client->slots, &client->locking);
	if (rv != CKR_OK) {
		return rv;
	}
	rv = sessions_init(&client->sessions, &client->locking);
	if (rv != CKR_OK) {
		slots_done(&client->slots);
		return rv;
	}
	rv = pool_init(&client->pool, &client->config, &client->locking);
	if (rv != CKR_OK) {
		sessions_done(&client->sessions);
		slots_done(&client->slots);
	}
	return rv;
}

static CK_RV client_prepare_gateway(struct client *client)
{
	CK_RV rv = application_default(&client->config, &client->application);
	if (rv != CKR_OK || client->config.host == NULL) {
		return rv;
	}
	rv = tls_new(&client->config, &client->locking, &client->tls);
	client->pool.tls = client->tls;
	return rv == CKR_OK ? client_identify(client) : rv;
}

CK_RV client_new(const struct locking *locking, struct client **ret_client)
{
	struct client *client = calloc(1, sizeof(*client));
	if (client == NULL) {
		return CKR_HOST_MEMORY;
	}
	client->locking = *locking;
	CK_RV rv = config_load(&client->config);
	if (rv == CKR_OK) {
		rv = client_prepare(client);
		if (rv != CKR_OK) {
			config_done(&client->config);
		}
	}
	if (rv != CKR_OK) {
		free(client);
		return rv;
	}
	rv = client_prepare_gateway(client);
	if (rv != CKR_OK) {
		client_free(client);
		return rv;
	}
	*ret_client = client;
	return CKR_OK;
}

CK_APPLICATION_ID client_application(const struct client *client)
{
	CK_APPLICATION_ID id;
	return application_chosen(&id) ? id : client->application;
}

void client_free(struct client *client)
{
	pool_done(&client->pool);
	tls_free(client->tls);
	sessions_done(&client->sessions);
	slots_done(&client->slots);
	config_done(&client->config);
	free(client);
}
