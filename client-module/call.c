#include "client-module/call.h"

#include <string.h>

#include "api/hex.h"
#include "api/codec.h"
#include "client-module/debug.h"
#include "client-module/id.h"
#include "client-module/inventory.h"
#include "client-module/state.h"
#include "client-module/transport.h"

/* Changing the token may take long: generating an RSA key has 120 s in the gateway, and a margin for the way. */
enum { SLOW_CALL_MS = 130000 };

/* One call under way. */
struct pending {
	const struct call_row *row;
	/* The application's, with the worker's session handle put in place. */
	union wire_value values[CALL_ARGUMENTS_MAX];
	const struct slot_route *slot;
	CK_SESSION_HANDLE session; /* the application's handle, or 0 */
	CK_ULONG new_session; /* the worker's handle of a session it opened */
	CK_ULONG *ret_session; /* where the application wants its own; NULL: opens none */
};

static bool argument_is(const struct call_row *row, size_t index, enum wire_kind kind)
{
	return row->arguments[index].kind == kind;
}

/* True if asking again does no harm: the call reads something that no operation keeps, and changes nothing. */
static bool call_repeatable(const struct call_row *row)
{
	bool informs = false;
	for (size_t i = 0; i < row->argument_count; i++) {
		informs = informs || argument_is(row, i, WIRE_SESSION_INFO) || argument_is(row, i, WIRE_QUERY) ||
			  argument_is(row, i, WIRE_ULONG_OUT);
	}
	return informs && row->permissions == PERMISSIONS_READ && row->operation == OPERATION_NONE;
}

static uint64_t call_timeout_ms(const struct client *client, const struct call_row *row)
{
	uint64_t timeout_ms = client->config.timeout_s * 1000;
	bool slow = (row->permissions & (PERMISSIONS_WRITE | PERMISSIONS_ADMIN)) != 0;
	return slow && timeout_ms < SLOW_CALL_MS ? SLOW_CALL_MS : timeout_ms;
}

/* The slot of a number, asking the gateway when nothing is known yet. */
static CK_RV call_slot(struct client *client, CK_SLOT_ID id, const struct slot_route **ret_slot)
{
	CK_RV rv = inventory_ensure(client);
	if (rv != CKR_OK) {
		return rv;
	}
	*ret_slot = slots_route(&client->slots, id);
	return *ret_slot != NULL ? CKR_OK : CKR_SLOT_ID_INVALID;
}

/* Finds where the call goes, and puts the worker's handles in the place of ours. */
static CK_RV call_locate(struct client *client, struct pending *call)
{
	for (size_t i = 0; i < call->row->argument_count; i++) {
		union wire_value *value = &call->values[i];
		if (argument_is(call->row, i, WIRE_SESSION)) {
			struct session session;
			if (!session_find(&client->sessions, value->number, &session)) {
				return CKR_SESSION_HANDLE_INVALID;
			}
			call->session = value->number;
			call->slot = session.slot;
			value->number = session.wire;
		} else if (argument_is(call->row, i, WIRE_SLOT)) {
			CK_RV rv = call_slot(client, value->number, &call->slot);
			if (rv != CKR_OK) {
				return rv;
			}
		} else if (argument_is(call->row, i, WIRE_NEW_SESSION)) {
			if (value->number_out == NULL) {
				return CKR_ARGUMENTS_BAD;
			}
			call->ret_session = value->number_out;
			value->number_out = &call->new_session;
		}
	}
	return call->slot != NULL ? CKR_OK : CKR_SLOT_ID_INVALID;
}

static CK_RV call_write(struct connection *connection, const struct pending *call)
{
	unsigned char operation[ID_LEN];
	char operation_hex[ID_HEX_SIZE];
	if (!id_random(operation)) {
		return CKR_FUNCTION_FAILED;
	}
	id_hex(operation_hex, operation);
	if (!transport_begin(connection)) {
		return CKR_HOST_MEMORY;
	}
	struct json_writer w;
	json_writer_init(&w, &connection->request);
	json_begin_object(&w);
	json_name(&w, "groups");
	json_begin_array(&w);
	json_begin_object(&w);
	json_name(&w, "op");
	char text[2 * OPERATION_ID_LEN + 1];
	hex_encode(text, operation, sizeof(operation));
	json_write_string(&w, text);
	json_name(&w, "calls");
	json_begin_array(&w);
	CK_RV rv = call_encode(&w, call->row, call->values);
	json_end_array(&w);
	json_end_object(&w);
	json_end_array(&w);
	json_end_object(&w);
	return rv;
}

/* Moves into the only element of the array that member `name` of the object at the cursor must be. */
static bool call_enter(struct json_reader *in, const char *name)
{
	struct json_text member;
	if (!json_enter_object(in)) {
		return false;
	}
	while (json_next_member(in, &member)) {
		if (json_text_is(member, name)) {
			return json_enter_array(in) && (json_next_element(in) || json_fail(in, "an empty list"));
		}
		json_skip(in);
	}
	return json_fail(in, "no results");
}

/* Leaves what call_enter entered. */
static bool call_leave(struct json_reader *in)
{
	struct json_text member;
	if (json_next_element(in)) {
		return json_fail(in, "more results than calls");
	}
	while (json_next_member(in, &member)) {
		json_skip(in);
	}
	return !json_failed(in);
}

static CK_RV call_read(struct connection *connection, const struct pending *call)
{
	struct json_reader in;
	json_reader_init(&in, (const char *)connection->answer.data, connection->answer.len, &connection->arena);
	CK_RV rv = CKR_GENERAL_ERROR;
	if (call_enter(&in, "groups") && call_enter(&in, "results")) {
		rv = call_decode_result(&in, call->row, call->values);
	}
	if (json_failed(&in) || !call_leave(&in) || !call_leave(&in) || !json_end(&in)) {
		debug_line("the gateway's answer to C_%s, byte %zu: %s", call->row->name, json_offset(&in), in.error);
		return CKR_GENERAL_ERROR;
	}
	return rv;
}

static CK_RV call_exchange(struct client *client, const struct pending *call, const struct transport_request *request)
{
	struct connection *connection = pool_take(&client->pool);
	if (connection == NULL) {
		return CKR_HOST_MEMORY;
	}
	CK_RV rv = call_write(connection, call);
	if (rv == CKR_OK) {
		rv = transport_post(client, connection, request);
	}
	if (rv == CKR_OK) {
		rv = call_read(connection, call);
	}
	pool_give(&client->pool, connection);
	return rv;
}

static CK_RV call_send(struct client *client, const struct pending *call)
{
	const struct transport_request request = {
		.target = call->slot->target,
		.timeout_ms = call_timeout_ms(client, call->row),
		.repeatable = call_repeatable(call->row),
	};
	return call_exchange(client, call, &request);
}

/* Gives the application its handle for the session that the worker opened. */
static CK_RV call_opened(struct client *client, struct pending *call)
{
	const CK_FLAGS flags = call->values[1].number;
	const struct session session = {
		.slot = call->slot,
		.wire = call->new_session,
		.read_write = (flags & CKF_RW_SESSION) != 0,
	};
	CK_RV rv = session_add(&client->sessions, &session, call->ret_session);
	if (rv != CKR_OK) {
		const struct pending undo = {.row = call_row(CALL_CloseSession),
			.values = {{.number = call->new_session}},
			.slot = call->slot};
		(void)call_send(client, &undo);
	}
	return rv;
}

/* Keeps the table of sessions in step with what the worker said. */
static CK_RV call_settle(struct client *client, struct pending *call, CK_RV rv)
{
	if (call->session != 0 &&
		(rv == CKR_SESSION_HANDLE_INVALID || (rv == CKR_OK && call->row->id == CALL_CloseSession))) {
		session_forget(&client->sessions, call->session);
	}
	if (rv != CKR_OK) {
		return rv;
	}
	if (call->ret_session != NULL) {
		return call_opened(client, call);
	}
	if (call->row->id == CALL_CloseAllSessions) {
		session_forget_slot(&client->sessions, call->slot);
	}
	if (call->row->id == CALL_GetSessionInfo) {
		((CK_SESSION_INFO *)call->values[1].info)->slotID = call->slot->id;
	}
	return CKR_OK;
}

static CK_RV call_run(struct client *client, struct pending *call)
{
	CK_RV rv = call_locate(client, call);
	if (rv != CKR_OK) {
		return rv;
	}
	CK_ULONG read_write;
	if (call->row->id == CALL_CloseAllSessions && session_count(&client->sessions, call->slot, &read_write) == 0) {
		return CKR_OK;
	}
	rv = call_send(client, call);
	return call_settle(client, call, rv);
}

CK_RV client_call(enum call_id id, const union wire_value values[])
{
	struct client *client;
	CK_RV rv = state_enter(&client);
	if (rv != CKR_OK) {
		return rv;
	}
	struct pending call = {.row = call_row(id)};
	memcpy(call.values, values, call.row->argument_count * sizeof(values[0]));
	rv = call_run(client, &call);
	state_leave(client);
	return rv;
}

void client_end_sessions(struct client *client, uint64_t deadline)
{
	for (const struct slot_route *slot = slots_routes(&client->slots); slot != NULL; slot = slot->next) {
		CK_ULONG read_write;
		uint64_t now = connection_clock();
		if (now >= deadline || session_count(&client->sessions, slot, &read_write) == 0) {
			continue;
		}
		const struct pending call = {.row = call_row(CALL_CloseAllSessions), .slot = slot};
		const struct transport_request request = {
			.target = slot->target,
			.timeout_ms = deadline - now,
			.kept_only = true,
		};
		(void)call_exchange(client, &call, &request);
	}
}
