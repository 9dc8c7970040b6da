/* The isolation matrix (X9): every endpoint of routes.def. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/buffer.h"
#include "api/call.h"
#include "api/route.h"
#include "tests/integration/matrix.h"

TestSuite(matrix_route, .timeout = 220);

static bool takes(const struct route_row *row, const char *parameter)
{
	return strstr(row->path, parameter) != NULL;
}

static bool selects_key(const struct route_row *row)
{
	const struct schema_row *schema = schema_row(row->request);

	return schema != NULL && schema_member(schema, "key", 3) != NULL;
}

/* Whether the path or the body names a thing of one application; an application ID names the asking identity's own. */
static bool names_something(const struct route_row *row)
{
	return takes(row, "{key}") || takes(row, "{operation}") || takes(row, "{session}") || selects_key(row);
}

/* The path's parameters, one after another. A new one has to get its value here. */
static void write_path(
	const struct gateway *g, const struct route_row *row, const struct matrix_names *names, char *out, size_t size)
{
	const char *const values[PARAMETER_COUNT] = {
		[PARAMETER_SLOT] = g->slot,
		[PARAMETER_APPLICATION] = names->application,
		[PARAMETER_KEY] = names->label,
		[PARAMETER_SESSION] = names->rest_session,
		[PARAMETER_OPERATION] = names->operation,
		[PARAMETER_TYPE] = "slot-not-found",
	};
	static const char *const parameters[PARAMETER_COUNT] = {
#define PARAMETER(constant, name, description) [PARAMETER_##constant] = "{" name "}",
		ROUTE_PARAMETERS(PARAMETER)
#undef PARAMETER
	};
	const char *at = row->path;
	size_t used = 0;

	while (*at != '\0') {
		size_t known = 0;
		while (*at == '{' && known < PARAMETER_COUNT &&
			strncmp(at, parameters[known], strlen(parameters[known])) != 0)
			known++;
		if (*at != '{') {
			out[used++] = *at++;
			continue;
		}
		cr_assert(known < PARAMETER_COUNT && values[known] != NULL, "%s", row->path);
		used += (size_t)snprintf(out + used, size - used, "%s", values[known]);
		at += strlen(parameters[known]);
	}
	out[used] = '\0';
}

/* A member that a body of the schema needs, and what the resource behind it asks for beyond that. */
static bool write_member(struct buffer *out, const struct gateway *g, const struct schema_member *member,
	const struct matrix_names *names)
{
	char text[200];

	if (strcmp(member->name, "key") == 0)
		(void)snprintf(text, sizeof(text), "{\"label\":\"%s\"}", names->label);
	else if (strcmp(member->name, "label") == 0)
		(void)snprintf(text, sizeof(text), "\"%s\"", names->label);
	else if (strcmp(member->name, "algorithm") == 0)
		(void)snprintf(text, sizeof(text), "\"ES256\"");
	else if (strcmp(member->name, "data") == 0)
		(void)snprintf(text, sizeof(text), "\"AAAA\"");
	else if (!member->required)
		return false;
	else if (member->type == MEMBER_PIN)
		(void)snprintf(text, sizeof(text), "\"%s\"", g->pin);
	else if (member->type == MEMBER_ENUM)
		(void)snprintf(text, sizeof(text), "\"%.*s\"", (int)strcspn(member->detail, " "), member->detail);
	else if (member->type ==
		 MEMBER_UINT) /* above all ceilings: an administrator may end everybody's logins, but not here */
		(void)snprintf(text, sizeof(text), "100000");
	else
		(void)snprintf(text, sizeof(text), "\"AAAA\"");
	char head[100];
	(void)snprintf(head, sizeof(head), "%s\"%s\":", out->len > 1 ? "," : "", member->name);
	buffer_text(out, head);
	buffer_text(out, text);
	return true;
}

/* NULL: the route takes none. The caller frees it. */
static char *write_body(const struct gateway *g, const struct route_row *row, const struct matrix_names *names)
{
	const struct schema_row *schema = schema_row(row->request);
	struct buffer out;

	if (row->request == SCHEMA_CALLS)
		return strdup("{\"groups\":[]}");
	if (schema == NULL)
		return NULL;
	buffer_init(&out, 4096);
	buffer_byte(&out, '{');
	for (size_t i = 0; i < schema->member_count; i++)
		(void)write_member(&out, g, &schema->members[i], names);
	buffer_byte(&out, '}');
	buffer_byte(&out, '\0');
	char *body = strdup((const char *)out.data);
	buffer_done(&out);
	return body;
}

static struct matrix_reply ask_route(struct matrix_application *from, const struct gateway *g,
	const struct route_row *row, const struct matrix_names *as, const struct matrix_names *names)
{
	char path[400];
	char *body = write_body(g, row, names);

	write_path(g, row, names, path, sizeof(path));
	struct matrix_reply reply = matrix_ask(from, as, names, row->method, path, body);
	free(body);
	return reply;
}

/* `taken`: the asking identity gives the other's application ID and instance for its own as well. */
static void try_routes(
	struct matrix_application *from, const struct gateway *g, const struct matrix_names *foreign, bool taken)
{
	struct matrix_names unknown;

	matrix_names_of_nobody(&unknown);
	for (enum route_id i = 0; i < ROUTE_COUNT; i++) {
		const struct route_row *row = route_row(i);
		if (!taken && !names_something(row))
			continue;
		REPLY_AUTO other = ask_route(from, g, row, taken ? foreign : &from->own, foreign);
		REPLY_AUTO nobody = ask_route(from, g, row, taken ? &unknown : &from->own, &unknown);
		cr_expect(!names_something(row) || other.status >= 400, "%s: %s", row->name, other.text);
		cr_expect_neq(other.status / 100, 5, "%s: %s", row->name, other.text);
		/* A body that is refused as such would try nothing. */
		cr_expect(i == ROUTE_quiesce || other.status != 400, "%s: %s", row->name, other.text);
		/* Counters go on. */
		if (i != ROUTE_metrics)
			cr_expect_str_eq(other.text, nobody.text, "%s", row->name);
	}
}

Test(matrix_route, X9_another_applications_things_are_as_unknown_at_every_endpoint)
{
	static struct matrix_application applications[APPLICATIONS];
	struct gateway g;

	matrix_start(&g, applications);
	for (size_t i = 0; i < APPLICATIONS; i++) {
		/* The next but one has the same identity. */
		try_routes(&applications[i], &g, &applications[(i + 2) % APPLICATIONS].own, false);
		try_routes(&applications[i], &g, &applications[(i + 1) % APPLICATIONS].own, false);
		try_routes(&applications[i], &g, &applications[(i + 1) % APPLICATIONS].own, true);
	}
	matrix_end(&g, applications);
}
