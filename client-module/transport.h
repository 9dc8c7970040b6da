/*
 * One request to the gateway and its answer, with the faults of the network as return values.
 */
#ifndef P11GATE_CLIENT_MODULE_TRANSPORT_H
#define P11GATE_CLIENT_MODULE_TRANSPORT_H

#include "client-module/client.h"

struct transport_request {
	const char *method; /* of HTTP; NULL: POST */
	const char *target; /* origin-form, as http_request_head wants it */
	const CK_APPLICATION_ID *application; /* whose request it is; NULL: no application's */
	uint64_t timeout_ms; /* for the answer, connecting not counted */
	bool repeatable; /* asks without changing anything, so it may be sent again when it is unknown whether it was executed */
	bool waiting; /* waits for events: C_Finalize ends it at once */
	bool kept_only; /* over a connection that is open already, or not at all */
};

/* Empties the connection's request so that the body can be appended to `connection->request`. False: no memory. */
bool transport_begin(struct connection *connection) __attribute__((warn_unused_result));

/*
 * Sends the request in `connection` and leaves the body of the answer in `connection->answer`. CKR_OK for an HTTP status of success.
 * Otherwise (README.md): CKR_DEVICE_ERROR the request was certainly not executed (the gateway cannot be reached, refuses our
 * certificate or access); CKR_GENERAL_ERROR it may have been; CKR_FUNCTION_FAILED the gateway is overloaded;
 * CKR_CRYPTOKI_NOT_INITIALIZED C_Finalize ended it; CKR_HOST_MEMORY; or the return value that the gateway's problem
 * document names.
 */
CK_RV transport_send(struct client *client, struct connection *connection, const struct transport_request *request)
	__attribute__((warn_unused_result));

#endif
