#include "client-module/transport.h"

#include <string.h>

#include "api/json.h"
#include "client-module/debug.h"
#include "client-module/id.h"

/* How far a request came. */
enum outcome { OUTCOME_ANSWERED, OUTCOME_NOT_SENT, OUTCOME_UNKNOWN, OUTCOME_STOPPED };

bool transport_begin(struct connection *connection)
{
	buffer_reset(&connection->request);
	if (buffer_reserve(&connection->request, HTTP_HEAD_MAX) == NULL) {
		return false;
	}
	connection->request.len = HTTP_HEAD_MAX;
	return true;
}

/* Puts the head right before the body, so that both leave in one write. */
static const unsigned char *transport_message(const struct client *client, struct connection *connection,
	const struct transport_request *request, size_t *ret_len)
{
	char head[HTTP_HEAD_MAX], application[ID_HEX_SIZE];
	if (request->application != NULL) {
		id_hex(application, request->application->id);
	}
	size_t head_len = http_request_head(head, request->method != NULL ? request->method : "POST", request->target,
		client->headers, request->application != NULL ? application : NULL,
		connection->request.len - HTTP_HEAD_MAX);
	if (head_len == 0) {
		return NULL;
	}
	unsigned char *start = connection->request.data + HTTP_HEAD_MAX - head_len;
	memcpy(start, head, head_len);
	*ret_len = connection->request.len - HTTP_HEAD_MAX + head_len;
	return start;
}

/* Sends on an open connection and reads the answer. *ret_silent: the gateway closed without a byte of answer. */
static enum outcome transport_exchange(struct connection *connection, const unsigned char *message, size_t len,
	struct http_answer *ret_answer, bool *ret_silent)
{
	*ret_silent = false;
	enum io io = connection_send(connection, message, len);
	if (io != IO_OK) {
		return io == IO_STOPPED ? OUTCOME_STOPPED : OUTCOME_NOT_SENT;
	}
	bool any;
	io = connection_receive(connection, ret_answer, &any);
	if (io == IO_OK) {
		return OUTCOME_ANSWERED;
	}
	if (io == IO_STOPPED) {
		return OUTCOME_STOPPED;
	}
	/* With TLS 1.3 the gateway's verdict on our certificate arrives after we believe the handshake is over. */
	if (!any && connection->socket.alert >= 0) {
		return OUTCOME_NOT_SENT;
	}
	*ret_silent = !any && io != IO_TIMEOUT;
	connection->given_up = io == IO_TIMEOUT;
	debug_line("no answer from the gateway: %s", io == IO_TIMEOUT ? "timed out"
						     : any            ? "cut off"
								      : "connection closed");
	return OUTCOME_UNKNOWN;
}

/* At most two attempts: the second when a connection kept from before turned out to be dead. */
static enum outcome transport_run(struct client *client, struct connection *connection,
	const struct transport_request *request, const unsigned char *message, size_t len,
	struct http_answer *ret_answer)
{
	bool marked = connection->waiting == request->waiting;
	connection->waiting = request->waiting;
	for (;;) {
		bool reused = connection->socket.fd >= 0 && connection_alive(connection);
		if (reused) {
			if (!marked) {
				sockets_mark(&client->pool.sockets, connection->socket.fd, request->waiting);
			}
		} else if (request->kept_only) {
			return OUTCOME_NOT_SENT;
		} else {
			connection_close(connection);
			enum io io = pool_connect(&client->pool, connection);
			if (io != IO_OK) {
				return io == IO_STOPPED ? OUTCOME_STOPPED : OUTCOME_NOT_SENT;
			}
		}
		connection->deadline = connection_clock() + request->timeout_ms;
		bool silent;
		enum outcome outcome = transport_exchange(connection, message, len, ret_answer, &silent);
		if (!connection->given_up && (outcome != OUTCOME_ANSWERED || !ret_answer->reusable)) {
			connection_close(connection);
		}
		bool again = reused && (outcome == OUTCOME_NOT_SENT || (silent && request->repeatable));
		if (!again) {
			return outcome;
		}
	}
}

/* The member "ckr_code" of a problem document (RFC 9457), or CKR_OK when there is none. */
static CK_RV transport_problem(struct connection *connection)
{
	struct json_reader in;
	struct json_text member, title = {"", 0}, detail = {"", 0};
	uint64_t code = CKR_OK;
	json_reader_init(&in, (const char *)connection->answer.data, connection->answer.len, &connection->arena);
	if (connection->answer.len == 0 || json_peek(&in) != JSON_TYPE_OBJECT || !json_enter_object(&in)) {
		return CKR_OK;
	}
	while (json_next_member(&in, &member)) {
		if (json_text_is(member, "ckr_code")) {
			json_read_uint(&in, &code);
		} else if (json_text_is(member, "title") && json_peek(&in) == JSON_TYPE_STRING) {
			json_read_string(&in, &title);
		} else if (json_text_is(member, "detail") && json_peek(&in) == JSON_TYPE_STRING) {
			json_read_string(&in, &detail);
		} else {
			json_skip(&in);
		}
	}
	if (json_failed(&in) || code > UINT32_MAX) {
		return CKR_OK;
	}
	debug_line("the gateway says: %.*s %.*s", (int)title.len, title.data, (int)detail.len, detail.data);
	return (CK_RV)code;
}

/* What an answer of no success means. Refusals came before the token was asked; server errors may have come after. */
static CK_RV transport_refusal(struct connection *connection, unsigned status)
{
	debug_line("the gateway answered with HTTP status %u", status);
	CK_RV rv = transport_problem(connection);
	if (rv != CKR_OK) {
		return rv;
	}
	if (status == 429 || status == 503) {
		return CKR_FUNCTION_FAILED;
	}
	return status >= 400 && status < 500 ? CKR_DEVICE_ERROR : CKR_GENERAL_ERROR;
}

CK_RV transport_send(struct client *client, struct connection *connection, const struct transport_request *request)
{
	if (connection->request.failed) {
		return CKR_HOST_MEMORY;
	}
	size_t len;
	const unsigned char *message = transport_message(client, connection, request, &len);
	if (message == NULL) {
		return CKR_GENERAL_ERROR;
	}
	struct http_answer answer;
	switch (transport_run(client, connection, request, message, len, &answer)) {
	case OUTCOME_ANSWERED: return answer.status / 100 == 2 ? CKR_OK : transport_refusal(connection, answer.status);
	case OUTCOME_NOT_SENT: return CKR_DEVICE_ERROR;
	case OUTCOME_STOPPED: return CKR_CRYPTOKI_NOT_INITIALIZED;
	case OUTCOME_UNKNOWN: break;
	}
	return CKR_GENERAL_ERROR;
}
