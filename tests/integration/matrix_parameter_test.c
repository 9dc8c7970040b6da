/* The isolation matrix (X9): handles inside the parameters of mechanisms. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "api/limits.h"
#include "tests/integration/matrix.h"

TestSuite(matrix_parameter, .timeout = 220);

enum { HANDLE = '@', PARAMETER_MAX = 1000 };

/*
 * The JSON of the structures of structs.def, with HANDLE for every object handle, a comma before every member, and <NAME> for a
 * structure within.
 */
#define MEMBER_OF(m, value) ",\"" #m "\":" value
#define FIELD_BOOL(m) MEMBER_OF(m, "true")
#define FIELD_ULONG(m) MEMBER_OF(m, "1")
#define FIELD_NAME(m, family) MEMBER_OF(m, "\"0x80000001\"")
#define FIELD_FLAGS(m, family) MEMBER_OF(m, "[]")
#define FIELD_OBJECT(m) MEMBER_OF(m, "@")
#define FIELD_VERSION(m) MEMBER_OF(m, "\"1.0\"")
#define FIELD_PADDED(m) MEMBER_OF(m, "\"x\"")
#define FIELD_FIXED(m) MEMBER_OF(m, "null")
#define FIELD_BYTES(p, len) MEMBER_OF(p, "\"AAAA\"")
#define FIELD_INSIDE(m, structure) MEMBER_OF(m, "<" #structure ">")
#define FIELD_POINTER(m, structure) FIELD_INSIDE(m, structure)
static const struct {
	const char *name, *members;
} structures[] = {
#define FIELD(kind, ...) FIELD_##kind(__VA_ARGS__)
#define STRUCT(name, type, members) {#name, members},
#include "api/structs.def"
#undef FIELD
};

static const struct {
	const char *name, *parameter;
} mechanisms[] = {
#define MECHANISM(name, parameter, ...) {#name, #parameter},
#include "api/mechanisms.def"
#undef MECHANISM
};

static const char *members_of(const char *structure, size_t len)
{
	for (size_t i = 0; i < sizeof(structures) / sizeof(*structures); i++) {
		if (strlen(structures[i].name) == len && strncmp(structures[i].name, structure, len) == 0)
			return structures[i].members + 1;
	}
	return NULL;
}

/* With the `at`th handle of all that are met, which `*count` counts; the others are one's own. */
static void write_structure(
	struct buffer *out, const char *members, const struct matrix_handles *handles, size_t at, size_t *count)
{
	char text[40];

	buffer_byte(out, '{');
	for (const char *next = members; *next != '\0'; next++) {
		if (*next == HANDLE) {
			(void)snprintf(text, sizeof(text), "%lu", (*count)++ == at ? handles->object : handles->own);
			buffer_text(out, text);
		} else if (*next == '<') {
			size_t len = strcspn(++next, ">");
			write_structure(out, members_of(next, len), handles, at, count);
			next += len;
		} else {
			buffer_byte(out, (unsigned char)*next);
		}
	}
	buffer_byte(out, '}');
}

/* {"mechanism":…,"parameter":…} with the handle at the parameter's `at`th place for one; false: it has no such place. */
static bool write_mechanism(struct buffer *out, size_t mechanism, const struct matrix_handles *handles, size_t at)
{
	const char *parameter = mechanisms[mechanism].parameter, *members = members_of(parameter, strlen(parameter));
	char text[120];
	size_t count = 0;

	(void)snprintf(text, sizeof(text), "{\"mechanism\":\"%s\",\"parameter\":", mechanisms[mechanism].name);
	buffer_text(out, text);
	if (members != NULL) {
		write_structure(out, members, handles, at, &count);
	} else if (strcmp(parameter, "OBJECT") == 0) {
		(void)snprintf(text, sizeof(text), "%lu", handles->object);
		buffer_text(out, text);
		count = 1;
	}
	buffer_text(out, "}");
	buffer_byte(out, '\0');
	return at < count;
}

/* One mechanism in every call that takes one. Returns how many calls there are; the groups stand behind `[`. */
static unsigned write_calls(struct buffer *out, const struct gateway *g, const struct matrix_handles *handles)
{
	unsigned count = 0;

	for (size_t id = 0; id < CALL_COUNT; id++) {
		const struct call_row *row = call_row((enum call_id)id);
		if (matrix_call_argument(row, WIRE_MECHANISM) == row->argument_count ||
			matrix_call_argument(row, WIRE_SESSION) == row->argument_count)
			continue;
		matrix_call_write(out, g, row, handles);
		count++;
	}
	cr_assert_leq(count, LIMIT_GROUPS);
	return count;
}

static struct matrix_reply ask_calls(struct matrix_application *from, const struct gateway *g, const char *mechanism,
	const struct matrix_names *blotted, unsigned *ret_count)
{
	struct matrix_handles handles = {.session = from->own.session, .own = from->own.key, .at = SIZE_MAX};
	struct buffer body;
	char path[200];

	handles.mechanism = mechanism;
	buffer_init(&body, TEXT_MAX / 2);
	buffer_text(&body, "{\"groups\":[");
	*ret_count = write_calls(&body, g, &handles);
	buffer_text(&body, "]}");
	buffer_byte(&body, '\0');
	cr_assert_not(body.failed);
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/calls", g->slot);
	struct matrix_reply reply = matrix_ask(from, &from->own, blotted, "POST", path, (const char *)body.data);
	buffer_done(&body);
	return reply;
}

/* A key that asks for its PIN: whoever has it is told so, whichever parameter it is in (A18). */
static unsigned long make_careful_key(const struct gateway *g, struct matrix_application *a)
{
	char text[400];

	(void)snprintf(text, sizeof(text),
		"{\"GenerateKeyPair\":{\"session\":%lu,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"},"
		"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},{\"CKA_TOKEN\":false}],"
		"\"private_attributes\":[{\"CKA_TOKEN\":false},{\"CKA_ALWAYS_AUTHENTICATE\":true}]}}",
		a->own.session);
	return matrix_call_number(g, a, text, "private_key");
}

/* Every call that takes a mechanism, with this one and `object` at its parameter's `at`th handle. False: it has none there. */
static bool ask_with(struct matrix_application *from, const struct gateway *g, const struct matrix_names *blotted,
	unsigned long object, size_t mechanism, size_t at, struct matrix_reply *ret_reply)
{
	struct buffer text;
	unsigned count;

	buffer_init(&text, PARAMETER_MAX);
	bool there = write_mechanism(
		&text, mechanism, &(struct matrix_handles){.object = object, .own = from->own.key}, at);
	cr_assert_not(text.failed);
	if (there) {
		*ret_reply = ask_calls(from, g, (const char *)text.data, blotted, &count);
		cr_assert_eq(ret_reply->status, 200, "%s: %s", (const char *)text.data, ret_reply->text);
		cr_expect_eq(matrix_occurrences(ret_reply->text, "\"rv\":"), count, "%s", ret_reply->text);
		cr_expect_eq(matrix_occurrences(ret_reply->text, "\"CKR_OK\""), 0, "%s", ret_reply->text);
	}
	buffer_done(&text);
	return there;
}

/* False: the mechanism's parameter has no `at`th handle. */
static bool try_handle(struct matrix_application *from, const struct gateway *g, const struct matrix_names *foreign,
	const unsigned long keys[2], size_t mechanism, size_t at)
{
	REPLY_AUTO other = {0};
	REPLY_AUTO nobody = {0};
	REPLY_AUTO own = {0};

	if (!ask_with(from, g, foreign, keys[1], mechanism, at, &other) ||
		!ask_with(from, g, foreign, random_handle(), mechanism, at, &nobody) ||
		!ask_with(from, g, foreign, keys[0], mechanism, at, &own))
		return false;
	cr_expect_str_eq(other.text, nobody.text, "%s, handle %zu", mechanisms[mechanism].name, at);
	cr_expect_null(strstr(other.text, "\"CKR_USER_NOT_LOGGED_IN\""), "%s", other.text);
	cr_expect_not_null(strstr(own.text, "\"CKR_USER_NOT_LOGGED_IN\""), "%s, handle %zu: %s",
		mechanisms[mechanism].name, at, own.text);
	return true;
}

Test(matrix_parameter, X9_another_applications_handles_are_as_unknown_in_every_mechanisms_parameter)
{
	static struct matrix_application applications[APPLICATIONS];
	unsigned long careful[APPLICATIONS];
	struct gateway g;

	matrix_start(&g, applications);
	for (size_t i = 0; i < APPLICATIONS; i++)
		careful[i] = make_careful_key(&g, &applications[i]);
	for (size_t i = 0; i < APPLICATIONS; i++) {
		unsigned tried = 0;
		/* By turns of one's own identity and of the other one. */
		size_t other = (i + 1 + i / 2 % 2) % APPLICATIONS;
		for (size_t k = 0; k < sizeof(mechanisms) / sizeof(*mechanisms); k++) {
			for (size_t at = 0; try_handle(&applications[i], &g, &applications[other].own,
				     (unsigned long[]){careful[i], careful[other]}, k, at);
				at++)
				tried++;
		}
		cr_assert_geq(tried, 9);
	}
	matrix_end(&g, applications);
}
