#include "api/route.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"

struct fixture {
	struct arena arena;
	struct route_match match;
};

static void fixture_done(struct fixture *f)
{
	arena_done(&f->arena);
}

#define MATCH(f, method, path) \
	__attribute__((cleanup(fixture_done))) struct fixture f; \
	arena_init(&f.arena, 1 << 16); \
	route_match(&f.arena, method, path, strlen(path), &f.match)

/* The path stands in memory of exactly its length, so that a sanitizer sees a read beyond it. */
static void expect_outcome(const char *method, const char *path, enum route_outcome outcome)
{
	__attribute__((cleanup(fixture_done))) struct fixture f;
	size_t len = strlen(path);
	char *exact = malloc(len);

	cr_assert(exact != NULL || len == 0);
	memcpy(exact, path, len);
	arena_init(&f.arena, 1 << 16);
	route_match(&f.arena, method, exact, len, &f.match);
	cr_expect_eq(f.match.outcome, outcome, "%s %s: %d", method, path, (int)f.match.outcome);
	cr_expect_eq(f.match.row != NULL, outcome == ROUTE_MATCHED, "%s", path);
	cr_expect_eq(f.match.problem != NULL, outcome == ROUTE_MALFORMED, "%s", path);
	cr_expect_eq(f.match.allow != NULL, outcome == ROUTE_METHOD_NOT_ALLOWED, "%s", path);
	free(exact);
}

Test(route, the_rows_say_what_the_table_says)
{
	const struct route_row *row = route_row(ROUTE_key_sign);

	cr_expect_eq(row->id, ROUTE_key_sign);
	cr_expect_str_eq(row->name, "key_sign");
	cr_expect_str_eq(row->method, "POST");
	cr_expect_str_eq(row->path, "/v1/slots/{slot}/keys/{key}/sign");
	cr_expect_eq(row->permissions, 1u << PERMISSION_USE);
	cr_expect_eq(row->server, SERVER_WORKER);
	cr_expect_eq(row->request, SCHEMA_SignRequest);
	cr_expect_eq(row->response, SCHEMA_Signature);
	cr_expect_eq(row->success, 200);
	cr_expect_eq(route_row(ROUTE_health)->permissions, 0);
}

Test(route, to_give_an_operation_its_pin_takes_the_permission_to_log_in_and_the_one_to_use_keys)
{
	cr_expect_eq(
		route_row(ROUTE_operation_reauthenticate)->permissions, 1u << PERMISSION_LOGIN | 1u << PERMISSION_USE);
	cr_expect_eq(route_row(ROUTE_operation_cancel)->permissions, 1u << PERMISSION_USE);
}

Test(route, to_unwrap_a_key_takes_the_permission_to_use_keys_and_the_one_to_make_objects)
{
	cr_expect_eq(call_row(CALL_UnwrapKey)->permissions, 1u << PERMISSION_USE | 1u << PERMISSION_WRITE);
	cr_expect_eq(call_row(CALL_DeriveKey)->permissions, 1u << PERMISSION_USE);
	cr_expect_eq(call_row(CALL_CreateObject)->permissions, 1u << PERMISSION_WRITE);
	cr_expect_eq(call_row(CALL_CopyObject)->permissions, 1u << PERMISSION_WRITE);
}

/* Writes the template with "x" for every parameter. */
static void path_of(char path[256], const char *template)
{
	size_t len = 0;

	for (; *template != '\0'; template ++) {
		if (*template == '{') {
			path[len++] = 'x';
			template = strchr(template, '}');
		} else {
			path[len++] = *template;
		}
	}
	path[len] = '\0';
}

Test(route, every_row_is_reached_by_its_own_template)
{
	for (enum route_id id = 0; id < ROUTE_COUNT; id++) {
		const struct route_row *row = route_row(id);
		char path[256];
		path_of(path, row->path);
		MATCH(f, row->method, path);
		cr_assert_eq(f.match.outcome, ROUTE_MATCHED, "%s", row->path);
		cr_expect_eq(f.match.row, row, "%s", row->path);
		for (size_t i = 0; i < PARAMETER_COUNT; i++)
			cr_expect(f.match.parameters[i] == NULL || strcmp(f.match.parameters[i], "x") == 0);
	}
}

Test(route, a_row_with_a_slot_in_its_path_is_the_only_kind_that_needs_a_permission_on_a_slot)
{
	for (enum route_id id = 0; id < ROUTE_COUNT; id++) {
		const struct route_row *row = route_row(id);
		bool named = strstr(row->path, "{slot}") != NULL || strstr(row->path, "{operation}") != NULL;
		cr_expect_eq(row->permissions != 0, named, "%s", row->path);
	}
}

Test(route, gives_the_parameters_decoded)
{
	MATCH(f, "POST", "/v1/slots/demo%20slot/keys/a%2Fb%c3%a4%25/sign");

	cr_assert_eq(f.match.outcome, ROUTE_MATCHED);
	cr_expect_eq(f.match.row->id, ROUTE_key_sign);
	cr_expect_str_eq(f.match.parameters[PARAMETER_SLOT], "demo slot");
	cr_expect_str_eq(f.match.parameters[PARAMETER_KEY], "a/b\xC3\xA4%");
	cr_expect_null(f.match.parameters[PARAMETER_APPLICATION]);
	cr_expect_null(f.match.parameters[PARAMETER_OPERATION]);
}

Test(route, decodes_once_and_not_twice)
{
	MATCH(f, "GET", "/v1/slots/s/keys/%2541%252F%2500");

	cr_assert_eq(f.match.outcome, ROUTE_MATCHED);
	cr_expect_str_eq(f.match.parameters[PARAMETER_KEY], "%41%2F%00");
}

Test(route, a_pkcs11_uri_is_a_key)
{
	MATCH(f, "GET", "/v1/slots/s/keys/pkcs11:token=demo;object=release%2520key?ignored");
	cr_expect_eq(f.match.outcome, ROUTE_MALFORMED, "the query is not part of the path");
	MATCH(g, "GET", "/v1/slots/s/keys/pkcs11:token=demo;object=release%2520key");
	cr_assert_eq(g.match.outcome, ROUTE_MATCHED);
	cr_expect_str_eq(g.match.parameters[PARAMETER_KEY], "pkcs11:token=demo;object=release%20key");
}

Test(route, escaped_letters_in_fixed_segments_are_the_same_path)
{
	expect_outcome("GET", "/v1/%73lots", ROUTE_MATCHED);
	expect_outcome("GET", "/%76%31/slots", ROUTE_MATCHED);
}

Test(route, the_application_and_the_operation_are_parameters)
{
	MATCH(f, "POST", "/v1/slots/s/applications/current/login");
	cr_assert_eq(f.match.outcome, ROUTE_MATCHED);
	cr_expect_str_eq(f.match.parameters[PARAMETER_APPLICATION], "current");
	MATCH(g, "DELETE", "/v1/operations/0a1b");
	cr_assert_eq(g.match.outcome, ROUTE_MATCHED);
	cr_expect_str_eq(g.match.parameters[PARAMETER_OPERATION], "0a1b");
}

Test(route, unknown_paths_are_not_found)
{
	static const char *const paths[] = {
		"/",
		"/v1",
		"/v1/",
		"/v2/slots",
		"/V1/slots",
		"/v1/slots/",
		"/v1/slots/demo/",
		"/v1//slots",
		"//v1/slots",
		"/v1/slots//keys",
		"/v1/slots/demo/keys/",
		"/v1/slots/demo/keys//sign",
		"/v1/slots/demo/keys/k/sign/",
		"/v1/slots/demo/keys/k/sign/more",
		"/v1/slots/demo/nothing",
		"/healthz/",
		"/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18",
		"/v1%2Fslots",
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		expect_outcome("GET", paths[i], ROUTE_NOT_FOUND);
}

Test(route, malformed_paths_are_refused)
{
	static const char *const paths[] = {
		"",
		"*",
		"v1/slots",
		"http://host/v1/slots",
		"/v1/slots/%00",
		"/v1/slots/a%00b",
		"/v1/slots/%",
		"/v1/slots/%4",
		"/v1/slots/%4/keys",
		"/v1/slots/%g1",
		"/v1/slots/%1g",
		"/v1/slots/%%41",
		"/v1/slots/%C3",
		"/v1/slots/%C0%80",
		"/v1/slots/%ED%A0%80",
		"/v1/slots/\xC3\xA4",
		"/v1/slots/a b",
		"/v1/slots/a\nb",
		"/v1/slots/a\"b",
		"/v1/slots/a<b",
		"/v1/slots/a\\b",
		"/v1/slots/a#b",
		"/v1/slots?label=x",
		"/v1/slots/.",
		"/v1/slots/..",
		"/v1/slots/%2e%2E/keys",
		"/v1/slots/.%2e",
		"/v1/./slots",
		"/v1/slots/../slots",
		"/v1/slots/demo/keys/..",
		"/v1/slots/a%2Fb",
		"/v1/slots/a%2fb/keys",
		"/v1/operations/a%2Fb",
		"/healthz%00",
		"/v1/slots/s/applications/a%2fb/login",
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		expect_outcome("GET", paths[i], ROUTE_MALFORMED);
}

Test(route, a_nul_byte_in_the_path_is_malformed)
{
	struct arena arena;
	struct route_match match;

	arena_init(&arena, 1 << 16);
	route_match(&arena, "GET", "/healthz\0x", 10, &match);
	cr_expect_eq(match.outcome, ROUTE_MALFORMED);
	arena_done(&arena);
}

Test(route, dots_within_a_name_are_no_dot_segment)
{
	expect_outcome("GET", "/v1/slots/a.b", ROUTE_MATCHED);
	expect_outcome("GET", "/v1/slots/...", ROUTE_MATCHED);
	expect_outcome("GET", "/v1/slots/.a", ROUTE_MATCHED);
}

Test(route, a_known_path_with_another_method_tells_the_methods_that_fit)
{
	MATCH(f, "DELETE", "/v1/slots/demo/keys");
	cr_assert_eq(f.match.outcome, ROUTE_METHOD_NOT_ALLOWED);
	cr_expect_str_eq(f.match.allow, "GET, POST");
	MATCH(g, "get", "/healthz");
	cr_assert_eq(g.match.outcome, ROUTE_METHOD_NOT_ALLOWED, "methods are case-sensitive");
	cr_expect_str_eq(g.match.allow, "GET");
}

static bool takes(enum route_id id, const char *type)
{
	return route_takes(route_row(id), type, strlen(type));
}

Test(route, a_body_is_of_a_media_type_of_its_route)
{
	cr_expect(takes(ROUTE_key_generate, "application/json"));
	cr_expect(takes(ROUTE_key_generate, "Application/JSON; charset=utf-8"));
	cr_expect_not(takes(ROUTE_key_generate, "application/jsonp"));
	cr_expect_not(takes(ROUTE_key_generate, "application/jso"));
	cr_expect_not(takes(ROUTE_key_generate, ""));
	cr_expect(takes(ROUTE_key_change, "application/merge-patch+json"));
	cr_expect_not(takes(ROUTE_key_change, "application/json"));
	cr_expect_str_eq(route_body_type(route_row(ROUTE_key_change), 0), "application/merge-patch+json");
	cr_expect_null(route_body_type(route_row(ROUTE_key_change), 1));
}

Test(route, an_exhausted_arena_is_told)
{
	struct arena arena;
	struct route_match match;

	for (size_t limit = 0; limit < 200; limit++) {
		arena_init(&arena, limit);
		route_match(&arena, "PUT", "/v1/slots/demo/keys", strlen("/v1/slots/demo/keys"), &match);
		cr_expect(match.outcome == ROUTE_NO_MEMORY ||
			  (match.outcome == ROUTE_METHOD_NOT_ALLOWED && match.allow != NULL));
		if (limit == 0)
			cr_expect_eq(match.outcome, ROUTE_NO_MEMORY);
		arena_done(&arena);
	}
	cr_expect_eq(match.outcome, ROUTE_METHOD_NOT_ALLOWED);
}
