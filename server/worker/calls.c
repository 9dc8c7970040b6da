#include "server/worker/internal.h"

#include <stdio.h>

#include "api/hex.h"

/*
 * POST …/calls: groups of Cryptoki calls from the client module. Everything is decoded before anything runs.
 */

struct group {
	struct call *calls;
	size_t count, run; /* `run`: results there are */
	CK_RV *results;
};

static bool read_operation(struct json_reader *in)
{
	unsigned char id[OPERATION_ID_LEN];
	struct json_text text;

	if (!json_read_string(in, &text))
		return false;
	return hex_decode(id, sizeof id, text.data, text.len) || json_fail(in, "op must be 32 hexadecimal digits");
}

/* A reference to an earlier call can only point backwards, to one that returns a handle. */
static bool references_hold(struct json_reader *in, const struct group *group, size_t index)
{
	const struct call *call = &group->calls[index];

	for (size_t i = 0; i < call->row->argument_count; i++) {
		enum wire_kind kind = call->row->arguments[i].kind;
		if ((kind != WIRE_SESSION && kind != WIRE_OBJECT) || call->from[i] < 0)
			continue;
		if ((size_t)call->from[i] >= index)
			return json_fail(in, "from must name an earlier call of the group");
	}
	return true;
}

static bool read_calls(struct json_reader *in, struct group *group)
{
	group->calls = arena_array(in->arena, LIMIT_CALLS, sizeof *group->calls);
	group->results = arena_array(in->arena, LIMIT_CALLS, sizeof *group->results);
	if (!group->calls || !group->results)
		return json_fail(in, "the request needs too much memory");
	if (!json_enter_array(in))
		return false;
	while (json_next_element(in)) {
		if (group->count == LIMIT_CALLS)
			return json_fail(in, "too many calls in a group");
		if (!call_decode(in, &group->calls[group->count]) || !references_hold(in, group, group->count))
			return false;
		group->count++;
	}
	return !json_failed(in);
}

static bool read_group(struct json_reader *in, struct group *group)
{
	struct json_text name;
	bool op = false, calls = false;

	if (!json_enter_object(in))
		return false;
	while (json_next_member(in, &name)) {
		if (json_text_is(name, "op") && !op)
			op = read_operation(in);
		else if (json_text_is(name, "calls") && !calls)
			calls = read_calls(in, group);
		else
			return json_fail(in, "unknown or repeated member of a group");
		if (json_failed(in))
			return false;
	}
	if (json_failed(in))
		return false;
	return (op && calls) || json_fail(in, "a group needs op and calls");
}

static bool read_groups(struct json_reader *in, struct group *groups, size_t *count)
{
	if (!json_enter_array(in))
		return false;
	while (json_next_element(in)) {
		if (*count == LIMIT_GROUPS)
			return json_fail(in, "too many groups");
		if (!read_group(in, &groups[*count]))
			return false;
		++*count;
	}
	return !json_failed(in);
}

static bool read_body(struct json_reader *in, struct group *groups, size_t *count, struct login_wishes *wishes)
{
	struct json_text name;
	bool seen = false, wished = false;

	if (!json_enter_object(in))
		return false;
	while (json_next_member(in, &name)) {
		if (json_text_is(name, "groups") && !seen)
			seen = read_groups(in, groups, count);
		else if (json_text_is(name, "login") && !wished)
			wished = login_wishes_decode(in, wishes);
		else
			return json_fail(in, "unknown or repeated member; the body is {\"groups\":[…]}");
		if (json_failed(in))
			return false;
	}
	if (!json_failed(in) && !seen)
		return json_fail(in, "the member groups is missing");
	return !json_failed(in) && json_end(in);
}

/* The handle that a call of the group returned: its last one, or the first object of a search. */
static CK_ULONG handle_of(const struct call *call)
{
	for (size_t i = call->row->argument_count; i-- > 0;) {
		const union wire_value *value = &call->values[i];
		enum wire_kind kind = call->row->arguments[i].kind;
		if (kind == WIRE_NEW_SESSION || kind == WIRE_NEW_OBJECT)
			return *value->number_out;
		if (kind == WIRE_FOUND)
			return *value->found.count > 0 ? value->found.items[0] : CK_INVALID_HANDLE;
	}
	return CK_INVALID_HANDLE;
}

static void resolve_references(const struct group *group, struct call *call)
{
	for (size_t i = 0; i < call->row->argument_count; i++) {
		enum wire_kind kind = call->row->arguments[i].kind;
		if ((kind == WIRE_SESSION || kind == WIRE_OBJECT) && call->from[i] >= 0)
			call->values[i].number = handle_of(&group->calls[call->from[i]]);
	}
}

/* In order, up to the first call that fails. False: an event could not be kept. */
static bool run_group(struct request *request, struct group *group)
{
	CK_RV rv = CKR_OK;

	while (group->run < group->count && rv == CKR_OK) {
		struct call *call = &group->calls[group->run];
		resolve_references(group, call);
		if (!call_run(request, call, &rv))
			return false;
		group->results[group->run++] = rv;
	}
	return true;
}

static void write_groups(struct request *request, const struct group *groups, size_t count)
{
	struct json_writer w;

	json_writer_init(&w, &request->reply.body);
	json_begin_object(&w);
	json_name(&w, "groups");
	json_begin_array(&w);
	for (size_t i = 0; i < count; i++) {
		json_begin_object(&w);
		json_name(&w, "results");
		json_begin_array(&w);
		for (size_t j = 0; j < groups[i].run; j++)
			call_encode_result(&w, &groups[i].calls[j], groups[i].results[j]);
		json_end_array(&w);
		json_end_object(&w);
	}
	json_end_array(&w);
	json_end_object(&w);
}

/* Every call may leave an event; a request whose events might not fit is not begun. */
static bool events_fit(const struct group *groups, size_t count)
{
	size_t calls = 0;

	for (size_t i = 0; i < count; i++)
		calls += groups[i].count;
	return 2 * calls <= REPLY_EVENTS_MAX;
}

static void reply_malformed(struct request *request, const struct json_reader *in)
{
	char detail[256];

	snprintf(detail, sizeof detail, "%s at byte %zu of the body", in->error, json_offset(in));
	reply_problem(request, PROBLEM_INVALID_BODY, detail, NULL);
}

void resource_calls(struct request *request)
{
	const struct bytes *body = &request->message->body;
	struct group *groups = arena_array(request->arena, LIMIT_GROUPS, sizeof *groups);
	struct json_reader in;
	size_t count = 0;

	if (!groups) {
		reply_return(request, CKR_HOST_MEMORY, NULL);
		return;
	}
	json_reader_init(&in, (const char *)body->data, body->len, request->arena);
	if (!read_body(&in, groups, &count, &request->wishes)) {
		reply_malformed(request, &in);
		return;
	}
	if (!events_fit(groups, count)) {
		reply_problem(request, PROBLEM_TOO_MANY_CALLS, NULL, NULL);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (!run_group(request, &groups[i])) {
			reply_withhold(request);
			return;
		}
	}
	write_groups(request, groups, count);
	request->reply.status = 200;
	request->reply.content_type = "application/json";
}
