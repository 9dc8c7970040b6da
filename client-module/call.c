#include "client-module/call.h"

#include <stdlib.h>
#include <string.h>

#include "api/hex.h"
#include "api/codec.h"
#include "api/login_wishes.h"
#include "client-module/debug.h"
#include "client-module/id.h"
#include "client-module/inventory.h"
#include "client-module/state.h"
#include "client-module/transport.h"

/* Changing the token may take long: generating an RSA key has 120 s in the gateway, and a margin for the way. */
enum {
	SLOW_CALL_MS = 130000,
	OPEN_TRIES = 3, /* of C_OpenSession, when somebody closes the application meanwhile */
};

/* One call under way. */
struct pending {
	const struct call_row *row;
	/* The program's, with the worker's session handle put in place. */
	union wire_value values[CALL_ARGUMENTS_MAX];
	const struct slot_route *slot;
	const CK_APPLICATION_ID *given; /* to use where there is no session, instead of the process's; or NULL */
	CK_APPLICATION_ID application; /* whose request it is */
	CK_SESSION_HANDLE session; /* the program's handle, or 0 */
	CK_ULONG new_session; /* the worker's handle of a session it opened */
	CK_ULONG *ret_session; /* where the program wants its own; NULL: opens none */
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
			call->application = session.application;
			value->number = session.wire;
		} else if (argument_is(call->row, i, WIRE_SLOT)) {
			CK_RV rv = call_slot(client, value->number, &call->slot);
			if (rv != CKR_OK) {
				return rv;
			}
			call->application = call->given != NULL ? *call->given : client_application(client);
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

/* What the client file asks for beyond the gateway's policy (requirement B1); it counts where a session or a login begins. */
static void call_write_login(struct json_writer *w, const struct client_config *config, const struct pending *call)
{
	const struct login_wishes wishes = {
		.no_cache = config->cache_pin == 0,
		.logout_after = config->logout_after_sign != 0 ? LOGOUT_AFTER_SIGN : LOGOUT_AFTER_NEVER,
		.force_login = (unsigned)config->force_login,
	};
	bool begins = call->ret_session != NULL || call->row->id == CALL_Login;
	if (begins && login_wishes_any(&wishes)) {
		json_name(w, "login");
		login_wishes_encode(w, &wishes);
	}
}

static CK_RV call_write(const struct client *client, struct connection *connection, const struct pending *call)
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
	call_write_login(&w, &client->config, call);
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
	CK_RV rv = call_write(client, connection, call);
	if (rv == CKR_OK) {
		rv = transport_send(client, connection, request);
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
		.application = &call->application,
		.timeout_ms = call_timeout_ms(client, call->row),
		.repeatable = call_repeatable(call->row),
	};
	return call_exchange(client, call, &request);
}

/*
 * When the application was closed while the call ran, its worker has ended with all that it had. Then a session is opened in the next
 * one; what has no session does not return CKR_SESSION_CLOSED (PKCS #11 2.40, section 5).
 */
static CK_RV call_send_anew(struct client *client, const struct pending *call)
{
	CK_RV rv = call_send(client, call);
	for (unsigned i = 1; i < OPEN_TRIES && rv == CKR_SESSION_CLOSED && call->ret_session != NULL; i++) {
		rv = call_send(client, call);
	}
	if (rv != CKR_SESSION_CLOSED || call->session != 0) {
		return rv;
	}
	return call->ret_session != NULL ? CKR_FUNCTION_FAILED : CKR_GENERAL_ERROR;
}

/* Gives the program its handle for the session that the worker opened. */
static CK_RV call_opened(struct client *client, struct pending *call)
{
	const CK_FLAGS flags = call->values[1].number;
	const struct session session = {
		.slot = call->slot,
		.application = call->application,
		.wire = call->new_session,
		.read_write = (flags & CKF_RW_SESSION) != 0,
	};
	CK_RV rv = session_add(&client->sessions, &session, call->ret_session);
	if (rv != CKR_OK) {
		const struct pending undo = {.row = call_row(CALL_CloseSession),
			.values = {{.number = call->new_session}},
			.slot = call->slot,
			.application = call->application};
		(void)call_send(client, &undo);
	}
	return rv;
}

/* Keeps the table of sessions in step with what the worker said. */
static CK_RV call_settle(struct client *client, struct pending *call, CK_RV rv)
{
	bool closes = call->row->id == CALL_CloseSession;
	bool gone = rv == CKR_SESSION_HANDLE_INVALID || (closes && (rv == CKR_OK || rv == CKR_SESSION_CLOSED));
	if (call->session != 0 && gone) {
		session_forget(&client->sessions, call->session);
	}
	if (rv != CKR_OK) {
		return rv;
	}
	if (call->ret_session != NULL) {
		return call_opened(client, call);
	}
	if (call->row->id == CALL_GetSessionInfo) {
		((CK_SESSION_INFO *)call->values[1].info)->slotID = call->slot->id;
	}
	return CKR_OK;
}

/*
 * C_CloseAllSessions at every application in which this process has sessions on the slot (requirement C11), on connections that
 * are open already if `kept_only`, and by `deadline` if it is not 0. Tries all of them; the first failure is returned.
 */
static CK_RV call_close_all(struct client *client, const struct slot_route *slot, uint64_t deadline)
{
	const struct call_row *row = call_row(CALL_CloseAllSessions);
	CK_APPLICATION_ID *applications;
	size_t count;
	CK_RV first = session_applications(&client->sessions, slot, &applications, &count);
	if (first != CKR_OK) {
		return first;
	}
	for (size_t i = 0; i < count; i++) {
		const struct pending call = {.row = row, .slot = slot, .application = applications[i]};
		uint64_t now = connection_clock();
		if (deadline != 0 && now >= deadline) {
			break;
		}
		const struct transport_request request = {
			.target = slot->target,
			.application = &call.application,
			.timeout_ms = deadline != 0 ? deadline - now : call_timeout_ms(client, row),
			.kept_only = deadline != 0,
		};
		CK_RV rv = call_exchange(client, &call, &request);
		/* Somebody has closed the application meanwhile, and these sessions with it. */
		if (rv == CKR_SESSION_CLOSED) {
			rv = CKR_OK;
		}
		if (rv == CKR_OK) {
			session_forget_application(&client->sessions, slot, &applications[i]);
		} else if (first == CKR_OK) {
			first = rv;
		}
	}
	free(applications);
	return first;
}

static CK_RV call_run(struct client *client, struct pending *call)
{
	CK_RV rv = call_locate(client, call);
	if (rv != CKR_OK) {
		return rv;
	}
	if (call->row->id == CALL_CloseAllSessions) {
		return call_close_all(client, call->slot, 0);
	}
	rv = call_send_anew(client, call);
	return call_settle(client, call, rv);
}

CK_RV client_call(enum call_id id, const union wire_value values[])
{
	return client_call_under(NULL, id, values);
}

CK_RV client_call_under(const CK_APPLICATION_ID *application, enum call_id id, const union wire_value values[])
{
	struct client *client;
	CK_RV rv = state_enter(&client);
	if (rv != CKR_OK) {
		return rv;
	}
	struct pending call = {.row = call_row(id), .given = application};
	memcpy(call.values, values, call.row->argument_count * sizeof(values[0]));
	rv = call_run(client, &call);
	state_leave(client);
	return rv;
}

void client_end_sessions(struct client *client, uint64_t deadline)
{
	for (const struct slot_route *slot = slots_routes(&client->slots); slot != NULL; slot = slot->next) {
		(void)!call_close_all(client, slot, deadline);
	}
}
