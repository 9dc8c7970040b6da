/*
 * The routes that others answer: the inventory, and the application's worker.
 */
#include "server/http/internal.h"

#include <string.h>

#include "api/call.h"
#include "api/decimal.h"
#include "server/common/log.h"

/* The value of member `name` of a query that is all "name=number" joined by '&'. */
static bool query_number(struct gate_text query, const char *name, uint64_t *ret_number)
{
	size_t name_len = strlen(name);
	const char *at = query.data, *end = query.data + query.len;
	while (at != NULL && at < end) {
		const char *stop = memchr(at, '&', (size_t)(end - at));
		if (stop == NULL)
			stop = end;
		if ((size_t)(stop - at) > name_len && memcmp(at, name, name_len) == 0 && at[name_len] == '=')
			return decimal_parse(at + name_len + 1, (size_t)(stop - at) - name_len - 1, ret_number);
		at = stop + 1;
	}
	return true;
}

bool request_slot_visible(void *context, const char *slot)
{
	const struct request *request = context;
	return config_permissions(request->generation->config, request->peer->identity, slot) != 0;
}

static void inventory_problem(struct request *request, enum status status)
{
	switch (status) {
	case STATUS_NOT_FOUND: answer_problem(request, PROBLEM_SLOT_NOT_FOUND, NULL); return;
	case STATUS_UNAVAILABLE: answer_return(request, CKR_TOKEN_NOT_PRESENT); return;
	case STATUS_TIMEOUT: answer_return(request, CKR_DEVICE_ERROR); return;
	case STATUS_NO_MEMORY: answer_problem(request, PROBLEM_OUT_OF_MEMORY, NULL); return;
	default: answer_problem(request, PROBLEM_WORKER_FAILED, NULL);
	}
}

void forward_inventory(struct request *request)
{
	static const struct {
		enum route_id route;
		enum inventory_form form;
	} forms[] = {
		{ROUTE_inventory, INVENTORY_CALLS},
		{ROUTE_slots, INVENTORY_SLOTS},
		{ROUTE_slot, INVENTORY_SLOT},
		{ROUTE_mechanisms, INVENTORY_MECHANISMS},
	};
	enum inventory_form form = INVENTORY_CALLS;
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		if (forms[i].route == request->match.row->id)
			form = forms[i].form;
	uint64_t after = 0, wait_s = 0;
	if (!query_number(request->head->query, "after", &after) ||
		!query_number(request->head->query, "wait", &wait_s)) {
		answer_problem(request, PROBLEM_MALFORMED_QUERY, "after and wait are decimal numbers");
		return;
	}
	struct buffer *payload = &request->connection->payload;
	enum status status = registry_inventory(request->connection->listener->registry, form, request->slot,
		request_slot_visible, request, after, (wait_s < WAIT_MAX_S ? (unsigned)wait_s : WAIT_MAX_S) * 1000,
		payload);
	if (status == STATUS_OK && form != INVENTORY_MECHANISMS)
		token_flags_merge(request, payload);
	if (status == STATUS_OK && form == INVENTORY_SLOT)
		slot_login_append(request, payload);
	if (status == STATUS_OK && payload->failed)
		status = STATUS_NO_MEMORY;
	if (status != STATUS_OK) {
		inventory_problem(request, status);
		return;
	}
	request->answer.status = request->match.row->success;
	request->answer.content_type = "application/json";
	request->answer.body = (struct bytes){payload->data, payload->len};
}

/* Splits "Name: value" in the arena. */
static bool header_from_worker(struct request *request, const struct bytes *line)
{
	char *copy = arena_copy(request->arena, line->data, line->len);
	if (copy == NULL)
		return false;
	char *colon = strstr(copy, ": ");
	if (colon == NULL || strpbrk(copy, "\r\n") != NULL)
		return false;
	*colon = '\0';
	answer_header(request, copy, colon + 2);
	return true;
}

static void answer_from_worker(struct request *request, const struct worker_response *response)
{
	struct answer *answer = &request->answer;
	if (response->status < 200 || response->status > 599) {
		answer_problem(request, PROBLEM_WORKER_FAILED, NULL);
		return;
	}
	answer->status = response->status;
	answer->content_type = *response->content_type != '\0' ? response->content_type : NULL;
	answer->body = response->body;
	for (size_t i = 0; i < response->headers.count; i++)
		if (!header_from_worker(request, &response->headers.items[i])) {
			answer_problem(request, PROBLEM_WORKER_FAILED, NULL);
			return;
		}
}

static void worker_problem(struct request *request, enum status status, uint64_t rv)
{
	switch (status) {
	case STATUS_NOT_FOUND: answer_problem(request, PROBLEM_SLOT_NOT_FOUND, NULL); return;
	case STATUS_UNAVAILABLE: answer_return(request, (CK_RV)rv); return;
	case STATUS_BUSY: answer_problem(request, PROBLEM_BUSY, NULL); return;
	case STATUS_TIMEOUT: answer_problem(request, PROBLEM_OUTCOME_UNKNOWN, NULL); return;
	case STATUS_CLOSED:
		if (rv != CKR_OK && request->match.row->id == ROUTE_calls)
			answer_return(request, (CK_RV)rv);
		else
			answer_problem(request, PROBLEM_WORKER_ENDED, NULL);
		return;
	case STATUS_TOO_LARGE: answer_problem(request, PROBLEM_BODY_TOO_LARGE, NULL); return;
	case STATUS_NO_MEMORY: answer_problem(request, PROBLEM_OUT_OF_MEMORY, NULL); return;
	default: answer_problem(request, PROBLEM_WORKER_FAILED, NULL);
	}
}

static bool fill(struct request *request, struct worker_request *message)
{
	const struct route_match *match = &request->match;
	const char *key = match->parameters[PARAMETER_KEY], *operation = match->parameters[PARAMETER_OPERATION];
	*message = (struct worker_request){
		.route = match->row->id,
		.permissions = request->permissions,
		.identity = request->peer->identity,
		.deadline_ms = scope_deadline_ms(request),
		.idempotent = request->idempotency_key != NULL,
		.trace = request->trace,
		.key = key != NULL ? key : "",
		.operation = operation != NULL ? operation : "",
		.query = request_text(request, request->head->query),
		.accept = request_text(request, request->head->fields[GATE_ACCEPT]),
		.content_type = request_text(request, request->head->fields[GATE_CONTENT_TYPE]),
		.if_match = request_text(request, request->head->fields[GATE_IF_MATCH]),
		.body = request->body,
	};
	memcpy(message->instance, request->instance, sizeof message->instance);
	return message->query != NULL && message->accept != NULL && message->content_type != NULL &&
	       message->if_match != NULL;
}

/*
 * Without an audit log no key is used and nobody logs in, but what is open can be closed: calls keep their reading functions,
 * and the resource routes that only read, and logout.
 */
static bool audit_allows(struct request *request)
{
	const unsigned read = 1u << PERMISSION_READ;
	if (record_possible(request))
		return true;
	const struct route_row *row = request->match.row;
	if (row->id == ROUTE_calls)
		request->permissions &= read;
	return row->permissions == read || row->id == ROUTE_logout;
}

static uint64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/*
 * A worker's events come with its response. When there is none, the record says that nobody knows what was done, unless the
 * route can only read. False: it could not be written, and the answer is made.
 */
static bool record_unanswered(struct request *request, enum status status, uint64_t latency_us)
{
	const struct route_row *row = request->match.row;
	if (status != STATUS_TIMEOUT && status != STATUS_CLOSED)
		return true;
	if (row->id != ROUTE_calls && row->permissions == 1u << PERMISSION_READ)
		return true;
	const char *reason = status == STATUS_TIMEOUT ? "deadline" : "worker ended";
	return record_outcome_unknown(request, reason, latency_us);
}

/* A request's record: whether it was asked for, and written. */
struct recording {
	struct request *request;
	uint64_t begun_us;
	bool asked, done;
	struct journal_use *use; /* of its Idempotency-Key, NULL: it has none */
};

/* Before the answer exists: an answer without a record cannot leave. */
static void record_outcome(void *context, enum status status, const struct worker_response *response)
{
	struct recording *recording = context;
	recording->asked = true;
	recording->done = response != NULL
				  ? record_events(recording->request, &response->audit)
				  : record_unanswered(recording->request, status, now_us() - recording->begun_us);
}

static void append_certificate(void *context, struct buffer *out)
{
	const struct recording *recording = context;
	const struct buffer *chain = &recording->request->connection->chain;
	buffer_append(out, chain->data, chain->len);
}

/* A reload since the request was let in may have taken from the client what let it log in. */
static bool still_entitled(void *context)
{
	const struct recording *recording = context;
	const struct request *request = recording->request;
	struct listener *listener = request->connection->listener;
	struct peer peer;
	if (atomic_load(&listener->generation_number) == request->generation->number)
		return true;
	struct generation *generation = listener_generation(listener);
	peer_identify(generation, request->connection->session, false, &peer);
	bool entitled = peer.refusal == NULL && peer.identity != NULL &&
			strcmp(peer.identity, request->peer->identity) == 0 &&
			(config_permissions(generation->config, peer.identity, request->slot) & PERMISSIONS_LOGIN) !=
				0 &&
			strcmp(request->application.domain, config_domain(generation->config, peer.identity,
								    request->slot, request->application.id)) == 0;
	generation_release(generation);
	return entitled;
}

static enum status answer_intent(void *context, pid_t worker, const struct intent *question, struct arena *arena,
	struct intent_answer *ret_answer)
{
	const struct recording *recording = context;
	if (recording->use == NULL)
		return STATUS_MALFORMED;
	return journal_answer(recording->use, worker, question, arena, ret_answer);
}

/* The worker's answer, with its record written, before the client gets it. */
static enum status ask_worker(struct recording *recording, const struct worker_request *message,
	struct worker_response *ret_response, uint64_t *ret_rv)
{
	struct request *request = recording->request;
	const struct registry_client client = {
		record_outcome, append_certificate, still_entitled, answer_intent, recording};
	enum status status = registry_request(request->connection->listener->registry, &request->application, message,
		&client, request->arena, &request->connection->payload, ret_response, ret_rv);
	if (!recording->asked)
		record_outcome(recording, status, NULL);
	/* What is not on record is no result: the next request with the key looks what was done, and records it. */
	if (recording->use != NULL)
		journal_end(recording->use, status == STATUS_OK,
			status == STATUS_OK && recording->done ? ret_response : NULL);
	return status;
}

void forward_worker(struct request *request)
{
	struct worker_request message;
	struct worker_response response;
	uint64_t rv = CKR_GENERAL_ERROR;
	if (!audit_allows(request)) {
		answer_problem(request, PROBLEM_AUDIT_UNAVAILABLE, NULL);
		return;
	}
	bool opens = request->match.row->id == ROUTE_session_open;
	if (opens && !session_begin(request))
		return;
	if (!fill(request, &message)) {
		answer_problem(request, PROBLEM_OUT_OF_MEMORY, NULL);
		return;
	}
	struct journal_use use;
	struct recording recording = {.request = request, .begun_us = now_us()};
	if (request->idempotency_key != NULL) {
		idempotency_begin(request, &use);
		recording.use = &use;
	}
	enum status status = ask_worker(&recording, &message, &response, &rv);
	if (status != STATUS_OK) {
		if (recording.done)
			worker_problem(request, status, rv);
		return;
	}
	if (recording.done || request->match.row->id == ROUTE_logout)
		answer_from_worker(request, &response);
	if (opens)
		session_opened(request);
}
