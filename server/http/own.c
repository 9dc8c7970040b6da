/*
 * The routes that the gateway answers itself.
 */
#include "server/http/internal.h"

#include <string.h>

#include "api/call.h"
#include "api/json.h"
#include "server/http/openapi.h"

enum { DETAIL_MAX = 256 };

static void answer_payload(struct request *request, unsigned status, const char *content_type)
{
	struct buffer *payload = &request->connection->payload;
	if (payload->failed) {
		answer_problem(request, PROBLEM_OUT_OF_MEMORY, NULL);
		return;
	}
	request->answer.status = status;
	request->answer.content_type = content_type;
	request->answer.body = (struct bytes){payload->data, payload->len};
}

void answer_document(struct request *request, unsigned status)
{
	answer_payload(request, status, "application/json");
}

/* `detail` may be NULL. */
static void answer_health(struct request *request, bool ok, const char *detail)
{
	struct json_writer w;
	json_writer_init(&w, &request->connection->payload);
	json_begin_object(&w);
	json_name(&w, "status");
	json_write_string(&w, ok ? "ok" : "unavailable");
	if (detail != NULL) {
		json_name(&w, "detail");
		json_write_string(&w, detail);
	}
	json_end_object(&w);
	if (!ok)
		answer_header(request, "Retry-After", RETRY_AFTER_TEXT);
	answer_payload(request, ok ? 200 : 503, "application/json");
}

/* Names of modules and what they lack are for those who look after one of the slots. */
static bool administers(const struct request *request)
{
	const struct config *config = request->generation->config;
	for (unsigned i = 0; i < config->slots_count; i++)
		if ((config_permissions(config, request->peer->identity, config->slots[i].name) &
			    1u << PERMISSION_ADMIN) != 0)
			return true;
	return false;
}

static void answer_ready(struct request *request)
{
	struct listener *listener = request->connection->listener;
	char detail[DETAIL_MAX] = "";
	bool modules = registry_ready(listener->registry, detail, sizeof detail);
	bool audit = audit_healthy(listener->audit);
	bool ready = modules && audit;
	const char *missing = modules ? "the audit log cannot be written" : detail;
	answer_health(request, ready, !ready && administers(request) ? missing : NULL);
}

static void answer_metrics(struct request *request)
{
	struct listener *listener = request->connection->listener;
	counters_write(listener, &request->connection->payload);
	registry_metrics(listener->registry, request_slot_visible, request, &request->connection->payload);
	answer_payload(request, 200, "text/plain; version=0.0.4; charset=utf-8");
}

static void answer_problem_page(struct request *request)
{
	if (!problem_page_write(&request->connection->payload, request->match.parameters[PARAMETER_TYPE])) {
		answer_problem(request, PROBLEM_NOT_FOUND, "there is no such problem type");
		return;
	}
	answer_payload(request, 200, "text/html; charset=utf-8");
	answer_header(request, "Content-Security-Policy",
		"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
}

void own_answer(struct request *request)
{
	switch (request->match.row->id) {
	case ROUTE_health: answer_health(request, true, NULL); return;
	case ROUTE_ready: answer_ready(request); return;
	case ROUTE_metrics: answer_metrics(request); return;
	case ROUTE_openapi:
		request->answer.status = 200;
		request->answer.content_type = "application/json";
		request->answer.body = (struct bytes){openapi_json, openapi_json_len};
		return;
	case ROUTE_problem_page: answer_problem_page(request); return;
	default: application_answer(request);
	}
}
