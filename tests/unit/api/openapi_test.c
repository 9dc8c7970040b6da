#include <criterion/criterion.h>
#include <string.h>

#include "api/codec.h"
#include "api/limits.h"
#include "api/route.h"

/* The examples of openapi.json are what the tables allow and the codec takes. */

enum place { REQUEST, ANSWER };

static const struct example {
	enum route_id route;
	enum place place;
	const char *name, *json;
} examples[] = {
#define ETAG(route)
#define IF_MATCH(route)
#define MEDIA(route, type)
#define QUERY(route, name, schema, description)
#define EXAMPLE(route, place, name, summary, json) {ROUTE_##route, place, name, json},
#define PROBLEM_EXAMPLE(status, name, json)
#include "api/openapi.def"
};

enum { EXAMPLES = sizeof(examples) / sizeof(examples[0]) };

struct fixture {
	struct arena arena;
	struct json_reader in;
};

static void fixture_init(struct fixture *f, const char *json)
{
	arena_init(&f->arena, LIMIT_BODY_ARENA);
	char *text = arena_copy(&f->arena, json, strlen(json));
	cr_assert_not_null(text);
	for (char *at = text; *at != '\0'; at++)
		if (*at == '\'')
			*at = '"';
	json_reader_init(&f->in, text, strlen(text), &f->arena);
}

static void check_object(struct json_reader *in, const struct schema_row *row);

static void check_list(struct json_reader *in, const struct schema_member *member)
{
	struct json_text text;

	cr_assert(json_enter_array(in), "%s", member->name);
	while (json_next_element(in)) {
		if (schema_member_row(member) != NULL)
			check_object(in, schema_member_row(member));
		else if (schema_member_item(member) == MEMBER_TEXT)
			cr_assert(json_read_string(in, &text), "%s", member->name);
		else
			cr_assert(json_skip(in), "%s", member->name);
	}
}

static void check_value(struct json_reader *in, const struct schema_member *member)
{
	struct json_text text;
	unsigned char *data;
	uint64_t number;
	size_t len;
	bool flag;

	if (member->nullable && json_peek(in) == JSON_TYPE_NULL) {
		cr_assert(json_read_null(in));
		return;
	}
	switch (member->type) {
	case MEMBER_TEXT:
	case MEMBER_SECRET:
	case MEMBER_PIN: cr_assert(json_read_string(in, &text), "%s", member->name); return;
	case MEMBER_ENUM:
		cr_assert(json_read_string(in, &text) && schema_member_allows(member, text.data, text.len), "%s",
			member->name);
		return;
	case MEMBER_BASE64URL:
	case MEMBER_CONTENT: cr_assert(json_read_bytes(in, &data, &len), "%s", member->name); return;
	case MEMBER_UINT: cr_assert(json_read_uint(in, &number), "%s", member->name); return;
	case MEMBER_BOOL: cr_assert(json_read_bool(in, &flag), "%s", member->name); return;
	case MEMBER_OBJECT: check_object(in, schema_member_row(member)); return;
	case MEMBER_LIST: check_list(in, member); return;
	case MEMBER_MECHANISM:
	case MEMBER_ANY: cr_assert(json_skip(in), "%s", member->name); return;
	}
}

static void check_object(struct json_reader *in, const struct schema_row *row)
{
	struct json_text name;
	uint64_t seen = 0;

	cr_assert_not_null(row);
	cr_assert(json_enter_object(in), "%s", row->name);
	while (json_next_member(in, &name)) {
		const struct schema_member *member = schema_member(row, name.data, name.len);
		cr_assert_not_null(member, "%s.%.*s", row->name, (int)name.len, name.data);
		seen |= UINT64_C(1) << (member - row->members);
		check_value(in, member);
	}
	for (size_t i = 0; i < row->member_count; i++)
		cr_expect(!row->members[i].required || (seen >> i & 1), "%s.%s is missing", row->name,
			row->members[i].name);
}

Test(openapi, every_example_is_what_its_schema_allows)
{
	for (size_t i = 0; i < EXAMPLES; i++) {
		const struct route_row *row = route_row(examples[i].route);
		enum schema_id schema = examples[i].place == REQUEST ? row->request : row->response;
		struct fixture f;
		fixture_init(&f, examples[i].json);
		if (schema != SCHEMA_CALLS) {
			check_object(&f.in, schema_row(schema));
			cr_expect(json_end(&f.in), "%s %s: %s", row->name, examples[i].name, f.in.error);
		}
		arena_done(&f.arena);
	}
}

/* Enters {"groups":[{… `list`:[ … of the first group. */
static void enter_group(struct json_reader *in, const char *list)
{
	struct json_text name, op;

	cr_assert(json_enter_object(in) && json_next_member(in, &name) && json_text_is(name, "groups"));
	cr_assert(
		json_enter_array(in) && json_next_element(in) && json_enter_object(in) && json_next_member(in, &name));
	if (json_text_is(name, "op"))
		cr_assert(json_read_string(in, &op) && json_next_member(in, &name));
	cr_assert(json_text_is(name, list));
	cr_assert(json_enter_array(in));
}

static void calls_example(struct fixture *f, enum place place)
{
	for (size_t i = 0; i < EXAMPLES; i++) {
		if (examples[i].route == ROUTE_calls && examples[i].place == place) {
			fixture_init(f, examples[i].json);
			return;
		}
	}
	cr_assert_fail("no example");
}

Test(openapi, the_worker_reads_the_example_of_calls)
{
	static const enum call_id expected[] = {CALL_SignInit, CALL_Sign};
	struct fixture f;

	calls_example(&f, REQUEST);
	enter_group(&f.in, "calls");
	for (size_t i = 0; i < 2; i++) {
		struct call call;
		cr_assert(json_next_element(&f.in));
		cr_assert(call_decode(&f.in, &call), "%s", f.in.error);
		cr_expect_eq(call.row->id, expected[i]);
	}
	cr_expect_not(json_next_element(&f.in));
	cr_expect_not(json_failed(&f.in));
	arena_done(&f.arena);
}

Test(openapi, the_client_reads_the_example_of_results)
{
	unsigned char signature[64];
	CK_ULONG len = sizeof(signature);
	union wire_value values[CALL_ARGUMENTS_MAX] = {0};
	struct fixture f;

	values[2].buffer.data = signature;
	values[2].buffer.len = &len;
	calls_example(&f, ANSWER);
	enter_group(&f.in, "results");
	cr_assert(json_next_element(&f.in));
	cr_expect_eq(call_decode_result(&f.in, call_row(CALL_SignInit), values), CKR_OK);
	cr_assert(json_next_element(&f.in));
	cr_expect_eq(call_decode_result(&f.in, call_row(CALL_Sign), values), CKR_OK);
	cr_expect_eq(len, 64);
	cr_expect_not(json_next_element(&f.in));
	arena_done(&f.arena);
}
