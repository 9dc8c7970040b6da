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

enum { KEY_NAME_MAX = 120 };

static bool takes(const struct route_row *row, const char *parameter)
{
	return strstr(row->path, parameter) != NULL;
}

static bool is_selector(const struct schema_member *member)
{
	const struct schema_row *row = schema_member_row(member);

	return row != NULL && row->id == SCHEMA_KeySelector;
}

static bool selects_key(const struct route_row *row)
{
	const struct schema_row *schema = schema_row(row->request);

	for (size_t i = 0; schema != NULL && i < schema->member_count; i++) {
		if (is_selector(&schema->members[i]))
			return true;
	}
	return false;
}

/* How a key is named: by one of the members of a selector; in a path by the same. */
static const struct schema_member *selector(size_t how)
{
	const struct schema_row *row = schema_row(SCHEMA_KeySelector);

	return how < row->member_count ? &row->members[how] : NULL;
}

/* The key's name by a member of a selector. A new one has to get its value here. */
static void write_key(const struct schema_member *member, const struct matrix_names *names, char ret_name[KEY_NAME_MAX])
{
	if (strcmp(member->name, "label") == 0)
		(void)snprintf(ret_name, KEY_NAME_MAX, "%s", names->label);
	else if (strcmp(member->name, "id") == 0)
		(void)snprintf(ret_name, KEY_NAME_MAX, "%s", names->key_id);
	else if (strcmp(member->name, "uri") == 0)
		(void)snprintf(ret_name, KEY_NAME_MAX, "pkcs11:object=%s", names->label);
	else
		cr_assert_fail("how does %s name a key?", member->name);
}

/* Whether the path or the body names a thing of one application; an application ID names the asking identity's own. */
static bool names_something(const struct route_row *row)
{
	return takes(row, "{key}") || takes(row, "{operation}") || takes(row, "{session}") || selects_key(row);
}

/* The path's parameters, one after another. A new one has to get its value here. */
static void write_path(const struct gateway *g, const struct route_row *row, const struct matrix_names *names,
	size_t how, char *out, size_t size)
{
	char name[KEY_NAME_MAX], key[2 * KEY_NAME_MAX];

	write_key(selector(how), names, name);
	(void)snprintf(key, sizeof(key), "%s%s", strcmp(selector(how)->name, "id") == 0 ? "id:" : "", name);
	const char *const values[PARAMETER_COUNT] = {
		[PARAMETER_SLOT] = g->slot,
		[PARAMETER_APPLICATION] = names->application,
		[PARAMETER_KEY] = key,
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

/* An algorithm that the route knows, so that the key is looked for. */
static const char *algorithm_of(const struct route_row *row)
{
	switch (row->id) {
	case ROUTE_key_mac: return "HS256";
	case ROUTE_key_derive: return "ECDH";
	case ROUTE_digest: return "SHA-256";
	case ROUTE_key_encrypt:
	case ROUTE_key_decrypt:
	case ROUTE_key_wrap:
	case ROUTE_key_unwrap: return "RSA1_5";
	default: return "ES256";
	}
}

/* A member that a body of the schema needs, and what the resource behind it asks for beyond that. */
static bool write_member(struct buffer *out, const struct gateway *g, const struct route_row *row,
	const struct schema_member *member, const struct matrix_names *names, size_t how)
{
	char text[2 * KEY_NAME_MAX] = "\"AAAA\"", name[KEY_NAME_MAX];

	write_key(selector(how), names, name);
	if (is_selector(member))
		(void)snprintf(text, sizeof(text), "{\"%s\":\"%s\"}", selector(how)->name, name);
	else if (strcmp(member->name, "label") == 0)
		(void)snprintf(text, sizeof(text), "\"%s\"", names->label);
	else if (strcmp(member->name, "algorithm") == 0)
		(void)snprintf(text, sizeof(text), "\"%s\"", algorithm_of(row));
	else if (strcmp(member->name, "value") == 0)
		(void)snprintf(text, sizeof(text), "\"%s\"", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
	else if (!member->required && strcmp(member->name, "type") == 0)
		(void)snprintf(text, sizeof(text), "\"HMAC\"");
	else if (!member->required && strcmp(member->name, "signature") != 0 &&
		 strcmp(member->name, "public_key") != 0 && member->type != MEMBER_CONTENT)
		return false;
	else if (member->type == MEMBER_PIN)
		(void)snprintf(text, sizeof(text), "\"%s\"", g->pin);
	else if (member->type == MEMBER_ENUM)
		(void)snprintf(text, sizeof(text), "\"%.*s\"", (int)strcspn(member->detail, " "), member->detail);
	else if (member->type == MEMBER_UINT)
		/* above all ceilings: an administrator may end everybody's logins, but not here */
		(void)snprintf(text, sizeof(text), "100000");
	char head[100];
	(void)snprintf(head, sizeof(head), "%s\"%s\":", out->len > 1 ? "," : "", member->name);
	buffer_text(out, head);
	buffer_text(out, text);
	return true;
}

/* NULL: the route takes none. The caller frees it. */
static char *write_body(
	const struct gateway *g, const struct route_row *row, const struct matrix_names *names, size_t how)
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
		(void)write_member(&out, g, row, &schema->members[i], names, how);
	buffer_byte(&out, '}');
	buffer_byte(&out, '\0');
	char *body = strdup((const char *)out.data);
	buffer_done(&out);
	return body;
}

static struct matrix_reply ask_route(struct matrix_application *from, const struct gateway *g,
	const struct route_row *row, const struct matrix_names *as, const struct matrix_names *names, size_t how)
{
	char path[400];
	char *body = write_body(g, row, names, how);

	write_path(g, row, names, how, path, sizeof(path));
	struct matrix_reply reply = matrix_ask(from, as, names, row->method, path, body);
	free(body);
	return reply;
}

static void try_route(struct matrix_application *from, const struct gateway *g, const struct route_row *row,
	const struct matrix_names *foreign, const struct matrix_names *unknown, bool taken, size_t how)
{
	REPLY_AUTO other = ask_route(from, g, row, taken ? foreign : &from->own, foreign, how);
	REPLY_AUTO nobody = ask_route(from, g, row, taken ? unknown : &from->own, unknown, how);

	cr_expect(!names_something(row) || other.status >= 400, "%s: %s", row->name, other.text);
	cr_expect_neq(other.status / 100, 5, "%s: %s", row->name, other.text);
	/* A body that is refused as such would try nothing. */
	cr_expect(row->id == ROUTE_quiesce || other.status != 400, "%s: %s", row->name, other.text);
	/* Counters go on. */
	if (row->id != ROUTE_metrics)
		cr_expect_str_eq(other.text, nobody.text, "%s", row->name);
}

/*
 * `taken`: the asking identity gives the other's application ID and instance for its own as well. What the one has done by then
 * in an application of that ID the other has done too: all routes have the same unknown one.
 */
static void try_routes(
	struct matrix_application *from, const struct gateway *g, const struct matrix_names *foreign, bool taken)
{
	struct matrix_names unknown;

	matrix_names_of_nobody(&unknown);
	for (enum route_id i = 0; i < ROUTE_COUNT; i++) {
		const struct route_row *row = route_row(i);
		if (!taken && !names_something(row))
			continue;
		bool key = takes(row, "{key}") || selects_key(row);
		for (size_t how = 0; how == 0 || (key && selector(how) != NULL); how++)
			try_route(from, g, row, foreign, &unknown, taken, how);
	}
}

/* So that what is refused to the others is refused because it is not theirs. */
static void expect_found_by_its_owner(struct matrix_application *owner, const struct gateway *g)
{
	struct matrix_names unknown;

	matrix_names_of_nobody(&unknown);
	for (size_t how = 0; selector(how) != NULL; how++) {
		const char *name = selector(how)->name;
		REPLY_AUTO key = ask_route(owner, g, route_row(ROUTE_key), &owner->own, &owner->own, how);
		cr_expect_eq(key.status, 200, "%s: %s", name, key.text);
		REPLY_AUTO own = ask_route(owner, g, route_row(ROUTE_challenge), &owner->own, &owner->own, how);
		REPLY_AUTO nobodys = ask_route(owner, g, route_row(ROUTE_challenge), &owner->own, &unknown, how);
		cr_expect_neq(own.status, nobodys.status, "%s: %s", name, own.text);
	}
}

Test(matrix_route, X9_another_applications_things_are_as_unknown_at_every_endpoint)
{
	static struct matrix_application applications[APPLICATIONS];
	struct gateway g;

	matrix_start(&g, applications);
	expect_found_by_its_owner(&applications[0], &g);
	for (size_t i = 0; i < APPLICATIONS; i++) {
		/* The next but one has the same identity. */
		try_routes(&applications[i], &g, &applications[(i + 2) % APPLICATIONS].own, false);
		try_routes(&applications[i], &g, &applications[(i + 1) % APPLICATIONS].own, false);
		try_routes(&applications[i], &g, &applications[(i + 1) % APPLICATIONS].own, true);
	}
	matrix_end(&g, applications);
}

/* Members of request bodies that hold data, or names that no application owns. */
static bool names_nothing(const struct schema_row *schema, const struct schema_member *member)
{
	/* A handle in a mechanism's parameter is refused as such (resource_encrypt). */
	static const char *const names[] = {"algorithm", "mechanism", "method", "data", "digest", "challenge",
		"signature", "ciphertext", "iv", "aad", "tag", "usage", "wrapped", "public_key"};

	/* Of the key that is to be made, and what a key is to be called. */
	if ((schema->id == SCHEMA_GenerateRequest || schema->id == SCHEMA_KeyChange ||
		    schema->id == SCHEMA_ImportRequest || schema->id == SCHEMA_UnwrapRequest ||
		    schema->id == SCHEMA_DeriveRequest) &&
		(strcmp(member->name, "label") == 0 || strcmp(member->name, "id") == 0))
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(member->name, names[i]) == 0)
			return true;
	}
	/* Key material. */
	if (schema->id == SCHEMA_PrivateJwk)
		return true;
	return member->type == MEMBER_SECRET || member->type == MEMBER_UINT || member->type == MEMBER_BOOL ||
	       member->type == MEMBER_ENUM || member->type == MEMBER_PIN;
}

static void expect_known(const struct schema_row *schema)
{
	for (size_t i = 0; i < schema->member_count; i++) {
		const struct schema_member *member = &schema->members[i];
		if (is_selector(member) || names_nothing(schema, member))
			continue;
		cr_assert_not_null(schema_member_row(member),
			"%s.%s: if it can name something of an application, the matrix has to try another one's",
			schema->name, member->name);
		expect_known(schema_member_row(member));
	}
}

Test(matrix_route, X9_every_member_of_a_request_that_can_name_something_is_tried)
{
	for (enum route_id i = 0; i < ROUTE_COUNT; i++) {
		const struct schema_row *schema = schema_row(route_row(i)->request);
		if (schema != NULL)
			expect_known(schema);
	}
}
