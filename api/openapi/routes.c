#include "api/openapi/internal.h"

#include <stdio.h>
#include <string.h>

#include "api/call.h"

static bool has_parameter(const struct route_row *row)
{
	return strchr(row->path, '{') != NULL;
}
static bool has_body(const struct route_row *row)
{
	return row->request != SCHEMA_NONE;
}
static bool is_worker(const struct route_row *row)
{
	return row->server == SERVER_WORKER;
}
static bool is_operation(const struct route_row *row)
{
	return strstr(row->path, "{operation}") != NULL;
}
/* Whether the route tells with the same body that all is well and that it is not. */
static bool is_health(const struct route_row *row)
{
	return row->response == SCHEMA_Health;
}

static bool is_not_health(const struct route_row *row)
{
	return !is_health(row);
}

/* Whether it changes or destroys what If-Match says it has seen. */
static bool is_conditional(const struct route_row *row);

static bool is_any(const struct route_row *row)
{
	(void)row;
	return true;
}

/* The answers that are problems, and which routes have them. */
static const struct problem_answer {
	unsigned status;
	bool (*applies)(const struct route_row *row);
	const char *description, *headers;
} problem_answers[] = {
	{400, is_any, "The request cannot be understood", NULL},
	{401, is_worker, "A PIN is needed, or the one given is wrong",
		"{'WWW-Authenticate':"
		"{'schema':{'type':'string'}}"
		"}"},
	{403, is_any, "Not allowed to this identity, or by the attributes of the key", NULL},
	{404, has_parameter, "No such slot, key, operation or problem type", NULL},
	{409, is_worker,
		"The state of the token, the login or an operation is in the way, a name is ambiguous, or an "
		"Idempotency-Key is in use or belongs to another request",
		"{'Retry-After':{'schema':{'type':'integer'}}}"},
	{410, is_operation, "The operation has ended", NULL},
	{412, is_conditional, "The resource has changed since it was seen", NULL},
	{413, has_body, "The body is too large", NULL},
	{415, has_body, "The body is of another media type", NULL},
	{422, has_body, "Understood, but the token cannot do it so", NULL},
	{423, is_worker, "The PIN is locked, or the slot is busy", NULL},
	{428, is_conditional, "If-Match is missing", NULL},
	{429, is_any, "Too much at once, or too many connections", "{'Retry-After':{'schema':{'type':'integer'}}}"},
	{503, is_not_health, "The token or the gateway cannot serve now",
		"{'Retry-After':{'schema':{'type':'integer'}}}"},
};

enum note { NOTE_ETAG, NOTE_IF_MATCH, NOTE_MEDIA, NOTE_QUERY, NOTE_REQUEST, NOTE_ANSWER };

/* openapi.def */
static const struct note_row {
	enum note note;
	enum route_id route;
	const char *name, *description, *json;
} notes[] = {
#define ETAG(route) {NOTE_ETAG, ROUTE_##route, "", "", ""},
#define IF_MATCH(route) {NOTE_IF_MATCH, ROUTE_##route, "", "", ""},
#define MEDIA(route, type) {NOTE_MEDIA, ROUTE_##route, type, "", ""},
#define QUERY(route, name, schema, description) {NOTE_QUERY, ROUTE_##route, name, description, schema},
#define EXAMPLE(route, place, name, summary, json) {NOTE_##place, ROUTE_##route, name, summary, json},
#define PROBLEM_EXAMPLE(status, name, json)
#include "api/openapi.def"
};

static const struct {
	unsigned status;
	const char *name, *json;
} problem_examples[] = {
#define ETAG(route)
#define IF_MATCH(route)
#define MEDIA(route, type)
#define QUERY(route, name, schema, description)
#define EXAMPLE(route, place, name, summary, json)
#define PROBLEM_EXAMPLE(status, name, json) {status, name, json},
#include "api/openapi.def"
};

static bool is_note(size_t i, enum note note, const struct route_row *row)
{
	return notes[i].note == note && notes[i].route == row->id;
}

static bool has_note(enum note note, const struct route_row *row)
{
	bool found = false;

	for (size_t i = 0; i < COUNT_OF(notes); i++)
		found = found || is_note(i, note, row);
	return found;
}

static bool is_conditional(const struct route_row *row)
{
	return has_note(NOTE_IF_MATCH, row);
}

static void examples_write(struct json_writer *w, enum note note, const struct route_row *row)
{
	bool any = false;

	for (size_t i = 0; i < COUNT_OF(notes); i++) {
		if (!is_note(i, note, row))
			continue;
		if (!any)
			put_object(w, "examples");
		any = true;
		put_object(w, notes[i].name);
		put_text(w, "summary", notes[i].description);
		put(w, "value", notes[i].json);
		json_end_object(w);
	}
	if (any)
		json_end_object(w);
}

static void content_schema(struct json_writer *w, enum schema_id schema, const char *calls)
{
	json_name(w, "schema");
	if (schema == SCHEMA_NONE)
		write_fixed(w, "{}");
	else
		write_reference(w, "schemas", schema == SCHEMA_CALLS ? calls : schema_row(schema)->name, NULL);
}

/* The schema of a body that is the member alone (NULL: nothing is known of it). */
static void octets_write(struct json_writer *w, const struct schema_member *content)
{
	put_object(w, "schema");
	if (content != NULL)
		put_text(w, "description", content->description);
	json_end_object(w);
}

static void request_write(struct json_writer *w, const struct route_row *row)
{
	if (row->request == SCHEMA_NONE)
		return;
	put_object(w, "requestBody");
	put(w, "required", "true");
	put_object(w, "content");
	const char *type;
	for (size_t i = 0; (type = route_body_type(row, i)) != NULL; i++) {
		put_object(w, type);
		if (strstr(type, "json") != NULL) {
			content_schema(w, row->request, "CallGroups");
			examples_write(w, NOTE_REQUEST, row);
		} else {
			octets_write(w, schema_content(schema_row(row->request)));
		}
		json_end_object(w);
	}
	json_end_object(w);
	json_end_object(w);
}

/* JSON media types have the schema of the row, others are text or bytes. */
static void media_write(struct json_writer *w, const struct route_row *row, const char *type)
{
	put_object(w, type);
	if (strstr(type, "json") != NULL)
		content_schema(w, row->response, "CallResults");
	else
		put(w, "schema", "{'type':'string'}");
	if (strcmp(type, "application/json") == 0)
		examples_write(w, NOTE_ANSWER, row);
	json_end_object(w);
}

static void content_write(struct json_writer *w, const struct route_row *row)
{
	bool any = false;

	put_object(w, "content");
	for (size_t i = 0; i < COUNT_OF(notes); i++) {
		if (!is_note(i, NOTE_MEDIA, row))
			continue;
		any = true;
		media_write(w, row, notes[i].name);
	}
	if (!any) {
		media_write(w, row, "application/json");
		const struct schema_member *content = schema_content(schema_row(row->response));
		if (content != NULL) {
			put_object(w, "application/octet-stream");
			octets_write(w, content);
			json_end_object(w);
		}
	}
	json_end_object(w);
}

static void status_begin(struct json_writer *w, unsigned status)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", status);
	put_object(w, name);
}

static void success_headers_write(struct json_writer *w, const struct route_row *row)
{
	bool etag = has_note(NOTE_ETAG, row);

	if (row->success != 201 && !etag)
		return;
	put_object(w, "headers");
	if (row->success == 201)
		put(w, "Location", "{'description':'Path of what was made','schema':{'type':'string'}}");
	if (etag)
		put(w, "ETag", "{'description':'Names this state, for If-Match','schema':{'type':'string'}}");
	json_end_object(w);
}

static void success_write(struct json_writer *w, const struct route_row *row)
{
	status_begin(w, row->success);
	put_text(w, "description", row->success == 204 ? "Done" : row->summary);
	success_headers_write(w, row);
	if (row->success != 204)
		content_write(w, row);
	json_end_object(w);
	if (!is_health(row))
		return;
	status_begin(w, 503);
	put_text(w, "description", "Not so; the body says why");
	put_object(w, "content");
	put_object(w, "application/json");
	content_schema(w, row->response, NULL);
	json_end_object(w);
	json_end_object(w);
	json_end_object(w);
}

static void answers_write(struct json_writer *w, const struct route_row *row)
{
	char name[16];

	put_object(w, "responses");
	success_write(w, row);
	for (size_t i = 0; i < COUNT_OF(problem_answers); i++) {
		if (!problem_answers[i].applies(row))
			continue;
		snprintf(name, sizeof(name), "%u", problem_answers[i].status);
		json_name(w, name);
		write_reference(w, "responses", name, NULL);
	}
	json_name(w, "default");
	write_reference(w, "responses", "default", NULL);
	json_end_object(w);
}

/* What stands in the query beside a body of octets. */
static void content_parameters_write(struct json_writer *w, const struct schema_row *schema)
{
	for (size_t i = 0; schema_content(schema) != NULL && i < schema->member_count; i++) {
		const struct schema_member *member = &schema->members[i];
		char description[512];
		if (!schema_member_in_query(member))
			continue;
		snprintf(description, sizeof(description), "With application/octet-stream. %s", member->description);
		json_begin_object(w);
		put_text(w, "name", member->name);
		put(w, "in", "'query'");
		put_text(w, "description", description);
		put_object(w, "schema");
		schema_type_write(w, member);
		json_end_object(w);
		json_end_object(w);
	}
}

static void route_parameters_write(struct json_writer *w, const struct route_row *row)
{
	json_name(w, "parameters");
	json_begin_array(w);
	if (is_worker(row) || strstr(row->path, "{session}") != NULL)
		write_reference(w, "parameters", "X-Application-Id", NULL);
	if (row->request == SCHEMA_CALLS || row->id == ROUTE_inventory)
		write_reference(w, "parameters", "X-Client-Instance", NULL);
	if (is_conditional(row))
		write_reference(w, "parameters", "If-Match", NULL);
	if (row->idempotent)
		write_reference(w, "parameters", "Idempotency-Key", NULL);
	write_reference(w, "parameters", "traceparent", NULL);
	for (size_t i = 0; i < COUNT_OF(notes); i++) {
		if (!is_note(i, NOTE_QUERY, row))
			continue;
		json_begin_object(w);
		put_text(w, "name", notes[i].name);
		put(w, "in", "'query'");
		put_text(w, "description", notes[i].description);
		put(w, "schema", notes[i].json);
		json_end_object(w);
	}
	content_parameters_write(w, schema_row(row->request));
	json_end_array(w);
}

/* The group under which documentation shows a route: the first fixed segment behind the slot, or behind /v1. */
static const char *tag_of(const struct route_row *row, char tag[64])
{
	const char *slot = strstr(row->path, "{slot}/");
	const char *start = slot != NULL                         ? slot + strlen("{slot}/")
			    : strncmp(row->path, "/v1/", 4) == 0 ? row->path + 4
								 : "gateway";

	snprintf(tag, 64, "%.*s", (int)strcspn(start, "/"), start);
	return tag;
}

static void operation_write(struct json_writer *w, const struct route_row *row)
{
	char method[16] = "", tag[64];

	for (size_t i = 0; i < sizeof(method) - 1 && row->method[i] != '\0'; i++)
		method[i] = (char)(row->method[i] | 0x20);
	put_object(w, method);
	put_text(w, "operationId", row->name);
	put_text(w, "summary", row->summary);
	permissions_write(w, row->permissions);
	json_name(w, "tags");
	json_begin_array(w);
	json_write_string(w, tag_of(row, tag));
	json_end_array(w);
	route_parameters_write(w, row);
	request_write(w, row);
	answers_write(w, row);
	json_end_object(w);
}

static const struct {
	const char *name, *description;
} path_parameters[] = {
#define PARAMETER(constant, name, description) {name, description},
	ROUTE_PARAMETERS(PARAMETER)
#undef PARAMETER
};

/* Writes a template's parameters. */
static void path_parameters_write(struct json_writer *w, const char *path)
{
	char braced[64];

	json_name(w, "parameters");
	json_begin_array(w);
	for (size_t i = 0; i < PARAMETER_COUNT; i++) {
		snprintf(braced, sizeof(braced), "{%s}", path_parameters[i].name);
		if (strstr(path, braced) != NULL)
			write_reference(w, "parameters", path_parameters[i].name, NULL);
	}
	json_end_array(w);
}

static bool path_is_first(enum route_id id)
{
	for (enum route_id i = 0; i < id; i++)
		if (strcmp(route_row(i)->path, route_row(id)->path) == 0)
			return false;
	return true;
}

void paths_write(struct json_writer *w)
{
	put_object(w, "paths");
	for (enum route_id id = 0; id < ROUTE_COUNT; id++) {
		const char *path = route_row(id)->path;
		if (!path_is_first(id))
			continue;
		put_object(w, path);
		path_parameters_write(w, path);
		for (enum route_id i = id; i < ROUTE_COUNT; i++)
			if (strcmp(route_row(i)->path, path) == 0)
				operation_write(w, route_row(i));
		json_end_object(w);
	}
	json_end_object(w);
}

static void problem_content(struct json_writer *w, unsigned status)
{
	put_object(w, "content");
	put_object(w, "application/problem+json");
	json_name(w, "schema");
	write_reference(w, "schemas", "Problem", NULL);
	for (size_t i = 0; i < COUNT_OF(problem_examples); i++) {
		if (problem_examples[i].status != status)
			continue;
		put_object(w, "examples");
		put_object(w, problem_examples[i].name);
		put(w, "value", problem_examples[i].json);
		json_end_object(w);
		json_end_object(w);
	}
	json_end_object(w);
	json_end_object(w);
}

void responses_write(struct json_writer *w)
{
	put_object(w, "responses");
	for (size_t i = 0; i < COUNT_OF(problem_answers); i++) {
		status_begin(w, problem_answers[i].status);
		put_text(w, "description", problem_answers[i].description);
		if (problem_answers[i].headers != NULL)
			put(w, "headers", problem_answers[i].headers);
		problem_content(w, problem_answers[i].status);
		json_end_object(w);
	}
	put_object(w, "default");
	put_text(w, "description", "Any other problem");
	problem_content(w, 0);
	json_end_object(w);
	json_end_object(w);
}

static void header_parameters_write(struct json_writer *w)
{
	put(w, "X-Application-Id",
		"{'name':'X-Application-Id','in':'header','description':'The application: 128 bits in hexadecimal, or "
		"MAJOR-MINOR in decimal. Without it the default application of the identity',"
		"'schema':{'type':'string','pattern':'^([0-9A-Fa-f]{32}|[0-9]{1,10}-[0-9]{1,10})$'}}");
	put(w, "X-Client-Instance",
		"{'name':'X-Client-Instance','in':'header','description':'128 random bits in hexadecimal for each "
		"initialisation of a client module; its sessions belong to it, and calls without it are "
		"refused','schema':{'type':'string','pattern':'^[0-9A-Fa-f]{32}$'}}");
	put(w, "If-Match",
		"{'name':'If-Match','in':'header','required':true,'description':'The ETag of the resource as the "
		"client has seen it, or * for whatever it is now','schema':{'type':'string'}}");
	put(w, "Idempotency-Key",
		"{'name':'Idempotency-Key','in':'header','description':'A string of the client, new for each thing to "
		"be "
		"made or destroyed, such as a UUID, in double quotes or without. Sent again with the same request it "
		"gets "
		"the first one’s answer (with Idempotency-Replayed) and nothing is done twice; with another request it "
		"is refused (409), and so while the first is being carried out (409 with Retry-After)',"
		"'schema':{'type':'string','minLength':1,'maxLength':257}}");
	put(w, "traceparent",
		"{'name':'traceparent','in':'header','description':'W3C trace context; its trace id goes to the logs',"
		"'schema':{'type':'string','pattern':'^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'}}");
}

void parameters_write(struct json_writer *w)
{
	put_object(w, "parameters");
	for (size_t i = 0; i < PARAMETER_COUNT; i++) {
		put_object(w, path_parameters[i].name);
		put_text(w, "name", path_parameters[i].name);
		put(w, "in", "'path'");
		put(w, "required", "true");
		put_text(w, "description", path_parameters[i].description);
		put(w, "schema", "{'type':'string','minLength':1}");
		json_end_object(w);
	}
	header_parameters_write(w);
	json_end_object(w);
}
