/*
 * One request, from the identity to the answer. What no rule allows is refused.
 */
#include "server/http/internal.h"

#include <stdio.h>
#include <string.h>

#include "api/call.h"

enum { REQUEST_ARENA = 512 << 10 }; /* bytes for texts and headers of one request */

const char *request_text(struct request *request, struct gate_text text)
{
	return text.data == NULL ? "" : arena_copy(request->arena, text.data, text.len);
}

static void refuse(struct request *request, enum problem problem, const char *reason)
{
	answer_problem(request, problem, NULL);
	record_refusal(request, reason);
}

static void identify_anew(struct request *request)
{
	struct connection *connection = request->connection;
	peer_identify(request->generation, connection->session, false, &connection->peer);
	share_enter(connection, request->generation->config);
}

/* Who it is, under the configuration in force now. */
static bool identify(struct request *request)
{
	struct connection *connection = request->connection;
	if (connection->peer.generation != request->generation->number)
		identify_anew(request);
	const struct peer *peer = &connection->peer;
	if (peer->refusal == NULL && peer->expires != (time_t)-1 && peer->expires < time(NULL))
		connection->peer.refusal = "the client certificate has expired";
	if (peer->refusal != NULL) {
		request->answer.close = true;
		answer_problem(request, PROBLEM_CERTIFICATE_REFUSED, peer->refusal);
		record_refusal(request, peer->refusal);
		return false;
	}
	if (!share_admits(connection, request->generation->config)) {
		request->answer.close = true;
		answer_problem(request, PROBLEM_TOO_MANY_CONNECTIONS, NULL);
		return false;
	}
	if (peer->identity == NULL) {
		request->answer.close = true;
		refuse(request, peer->ambiguous ? PROBLEM_IDENTITY_AMBIGUOUS : PROBLEM_IDENTITY_UNKNOWN,
			peer->ambiguous ? "certificate matches several identities" : "certificate matches no identity");
		return false;
	}
	return true;
}

static bool find_route(struct request *request)
{
	char method[GATE_METHOD_MAX + 1] = "";
	const struct gate_head *head = request->head;
	memcpy(method, head->method.data, head->method.len);
	route_match(request->arena, method, head->path.data, head->path.len, &request->match);
	switch (request->match.outcome) {
	case ROUTE_MATCHED: return true;
	case ROUTE_METHOD_NOT_ALLOWED:
		answer_problem(request, PROBLEM_METHOD_NOT_ALLOWED, NULL);
		answer_header(request, "Allow", request->match.allow);
		return false;
	case ROUTE_MALFORMED: answer_problem(request, PROBLEM_MALFORMED_PATH, request->match.problem); return false;
	case ROUTE_NO_MEMORY: answer_problem(request, PROBLEM_OUT_OF_MEMORY, NULL); return false;
	default: answer_problem(request, PROBLEM_NOT_FOUND, NULL); return false;
	}
}

static bool check_content_type(struct request *request)
{
	struct gate_text type = request->head->fields[GATE_CONTENT_TYPE];
	const struct route_row *row = request->match.row;
	char detail[160];
	if (request->body.len == 0 || route_takes(row, type.data == NULL ? "" : type.data, type.len))
		return true;
	const char *second = route_body_type(row, 1);
	(void)snprintf(detail, sizeof detail, "Content-Type: %s%s%s", route_body_type(row, 0),
		second == NULL ? "" : " or ", second == NULL ? "" : second);
	answer_problem(request, PROBLEM_UNSUPPORTED_MEDIA_TYPE, detail);
	return false;
}

/* Keeps at most `max` bytes; the rest is read and forgotten, and the connection ends after the answer. */
static bool read_body(struct request *request, size_t max)
{
	enum status status = input_body(request->connection, max, &request->body);
	switch (status) {
	case STATUS_OK: connection_phase(request->connection, PHASE_WORKING); return true;
	case STATUS_TOO_LARGE:
		if (request->answer.status == 0)
			answer_problem(request, PROBLEM_BODY_TOO_LARGE, NULL);
		break;
	case STATUS_NO_MEMORY: answer_problem(request, PROBLEM_OUT_OF_MEMORY, NULL); break;
	default: request->abandoned = true;
	}
	request->answer.close = true;
	return false;
}

/*
 * The slot of an operation is that of the application which began it. Another identity's operation does not exist, nor does another
 * application's (A26), nor one begun in a share group that the identity has left (C13): the same branch, answer and record as for an
 * id that never was.
 */
static bool find_operation(struct request *request, const char **ret_slot)
{
	struct application_key key;
	enum status status = registry_operation(request->connection->listener->registry,
		request->match.parameters[PARAMETER_OPERATION], request->peer->identity, request->arena, &key);
	if (status == STATUS_NO_MEMORY) {
		answer_problem(request, PROBLEM_OUT_OF_MEMORY, NULL);
		return false;
	}
	bool own = status == STATUS_OK && memcmp(key.id, request->application.id, APPLICATION_ID_LEN) == 0 &&
		   strcmp(key.domain,
			   config_domain(request->generation->config, request->peer->identity, key.slot, key.id)) == 0;
	if (!own) {
		refuse(request, PROBLEM_OPERATION_NOT_FOUND, "no such operation for this application");
		return false;
	}
	request->application = key;
	*ret_slot = key.slot;
	return true;
}

/*
 * Whether the identity may do this on the path's slot. A slot on which it may do nothing does not exist for it: the same
 * branch, answer and record as for a name that is not configured.
 */
static bool permitted(struct request *request)
{
	const struct route_row *row = request->match.row;
	const struct config *config = request->generation->config;
	const char *name = request->match.parameters[PARAMETER_SLOT];
	if (request->match.parameters[PARAMETER_OPERATION] != NULL && !find_operation(request, &name))
		return false;
	if (name == NULL)
		return true;
	if (!slot_name_find(request, name, &name))
		return false;
	const struct config_slot *slot = config_slot(config, name);
	unsigned permissions = slot == NULL ? 0 : config_permissions(config, request->peer->identity, name);
	if (permissions == 0) {
		request->application.slot = NULL;
		refuse(request, PROBLEM_SLOT_NOT_FOUND, "no such slot for this identity");
		return false;
	}
	request->slot = slot->name;
	request->application.slot = slot->name;
	request->permissions = permissions;
	if (request->match.parameters[PARAMETER_OPERATION] == NULL)
		request->application.domain = config_domain(
			config, request->peer->identity, slot->name, request->application.id);
	if ((row->permissions & ~permissions) != 0) {
		refuse(request, PROBLEM_PERMISSION_DENIED, "no rule allows it");
		return false;
	}
	bool about_application = row->server == SERVER_WORKER ||
				 request->match.parameters[PARAMETER_APPLICATION] != NULL;
	if (about_application && !application_admitted(request)) {
		refuse(request, PROBLEM_APPLICATION_REFUSED, "the application ID can be guessed");
		return false;
	}
	return true;
}

static void serve(struct request *request)
{
	/* No memory for the bodies of those who have no business here. */
	bool known = identify(request);
	if (!read_body(request, known ? request->generation->config->limits.body_max : 0) || !known)
		return;
	if (!find_route(request) || !scope_read(request) || !permitted(request))
		return;
	if (!check_content_type(request))
		return;
	scope_lease(request);
	switch (request->match.row->server) {
	case SERVER_GATEWAY: own_answer(request); return;
	case SERVER_INVENTORY: forward_inventory(request); return;
	case SERVER_WORKER: forward_worker(request); return;
	}
}

enum MHD_Result dispatch(struct connection *connection)
{
	struct listener *listener = connection->listener;
	struct request request = {
		.connection = connection,
		.generation = listener_generation(listener),
		.arena = &connection->arena,
		.head = &connection->head,
		.peer = &connection->peer,
	};
	connection->arena.limit = REQUEST_ARENA;
	trace_id(connection->head.fields[GATE_TRACEPARENT], request.trace);
	request.answer.close = connection->head.close;
	if (connection->verdict == GATE_REFUSED) {
		request.answer.close = true;
		answer_problem(&request, problem_of_status(connection->head.status), connection->head.problem);
	} else if (atomic_load_explicit(&listener->stopping, memory_order_relaxed)) {
		request.answer.close = true;
		answer_problem(&request, PROBLEM_STOPPING, NULL);
	} else {
		serve(&request);
	}
	request.answer.close = request.answer.close ||
			       atomic_load_explicit(&listener->stopping, memory_order_relaxed) ||
			       atomic_load_explicit(&connection->retired, memory_order_relaxed);
	enum MHD_Result result = request.abandoned ? MHD_NO : respond(&request);
	generation_release(request.generation);
	return result;
}
