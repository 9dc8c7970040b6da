/*
 * Audit records of the gateway's own decisions, and of what workers report.
 */
#include "server/http/internal.h"

#include "api/json.h"
#include "server/common/log.h"

enum { EVENT_MAX = 2048 };

static void audit_lost(struct request *request, enum problem problem)
{
	log_event(LOG_LEVEL_ERROR, "audit log cannot be written", "trace", request->trace, NULL);
	answer_problem(request, problem, NULL);
}

static enum status write_events(struct request *request, const struct bytes_list *events)
{
	struct listener *listener = request->connection->listener;
	char application[33] = "";
	if (request->application.slot != NULL)
		registry_application_hash(listener->registry, &request->application, application);
	struct audit_subject subject = {
		.trace = request->trace,
		.identity = request->peer->identity != NULL ? request->peer->identity : "",
		.certificate_sha256 = request->peer->sha256,
		.peer = request->connection->peer_text,
		.slot = request->slot != NULL ? request->slot : "",
		.application = application,
	};
	uint64_t last;
	return audit_write(listener->audit, &subject, events, &last);
}

static enum status write_one(struct request *request, struct buffer *event)
{
	if (event->failed)
		return STATUS_NO_MEMORY;
	struct bytes item = {event->data, event->len};
	return write_events(request, &(struct bytes_list){&item, 1});
}

static void text_member(struct json_writer *w, const char *name, const char *text, size_t len)
{
	json_name(w, name);
	json_write_text(w, text, len);
}

/* What was asked for, in full where it is short: a path has no secrets (X6). */
static void request_members(struct json_writer *w, const struct request *request)
{
	const struct gate_head *head = request->head;
	if (request->match.row != NULL) {
		json_name(w, "route");
		json_write_string(w, request->match.row->name);
	}
	text_member(w, "method", head->method.data, head->method.len);
	text_member(w, "path", head->path.data, head->path.len < EVENT_MAX / 4 ? head->path.len : EVENT_MAX / 4);
}

static void event_begin(struct json_writer *w, struct buffer *ret_event, const char *kind, const char *reason)
{
	buffer_init(ret_event, EVENT_MAX);
	json_writer_init(w, ret_event);
	json_begin_object(w);
	json_name(w, "kind");
	json_write_string(w, kind);
	json_name(w, "reason");
	json_write_string(w, reason);
}

void record_refusal(struct request *request, const char *reason)
{
	struct buffer event BUFFER_AUTO;
	struct json_writer w;
	event_begin(&w, &event, "refusal", reason);
	request_members(&w, request);
	if (request->peer->subject[0] != '\0') {
		json_name(&w, "subject");
		json_write_string(&w, request->peer->subject);
	}
	json_end_object(&w);
	if (write_one(request, &event) != STATUS_OK)
		audit_lost(request, PROBLEM_AUDIT_UNAVAILABLE);
}

bool record_outcome_unknown(struct request *request, const char *reason, uint64_t latency_us)
{
	struct buffer event BUFFER_AUTO;
	struct json_writer w;
	event_begin(&w, &event, "outcome-unknown", reason);
	json_name(&w, "latency_us");
	json_write_uint(&w, latency_us);
	request_members(&w, request);
	json_end_object(&w);
	if (write_one(request, &event) == STATUS_OK)
		return true;
	audit_lost(request, PROBLEM_RESULT_WITHHELD);
	return false;
}

bool record_action(struct request *request, const char *kind, const char *action, const char *name, uint64_t number)
{
	struct buffer event BUFFER_AUTO;
	buffer_init(&event, EVENT_MAX);
	struct json_writer w;
	json_writer_init(&w, &event);
	json_begin_object(&w);
	json_name(&w, "kind");
	json_write_string(&w, kind);
	if (action != NULL) {
		json_name(&w, "action");
		json_write_string(&w, action);
	}
	if (name != NULL) {
		json_name(&w, name);
		json_write_uint(&w, number);
	}
	json_end_object(&w);
	if (write_one(request, &event) == STATUS_OK)
		return true;
	audit_lost(request, PROBLEM_RESULT_WITHHELD);
	return false;
}

bool record_events(struct request *request, const struct bytes_list *events)
{
	if (events->count == 0 || write_events(request, events) == STATUS_OK)
		return true;
	audit_lost(request, PROBLEM_RESULT_WITHHELD);
	return false;
}

bool record_possible(struct request *request)
{
	return audit_probe(request->connection->listener->audit) == STATUS_OK;
}
