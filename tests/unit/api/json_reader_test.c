#include "api/json.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct fixture {
	struct arena arena;
	struct json_reader in;
};

static void fixture_done(struct fixture *f)
{
	arena_done(&f->arena);
}

#define READER(f, text) \
	__attribute__((cleanup(fixture_done))) struct fixture f; \
	arena_init(&f.arena, 1 << 20); \
	json_reader_init(&f.in, text, strlen(text), &f.arena)

static void expect_text(struct json_text text, const char *expected)
{
	cr_expect(json_text_is(text, expected), "\"%.*s\" is not \"%s\"", (int)text.len, text.data, expected);
}

Test(json_reader, reads_an_object_member_by_member)
{
	READER(f, " { \"a\" : 1 , \"b\":\"two\",\"c\":[true,false,null] } ");
	struct json_text name, text;
	uint64_t number;
	bool flag;

	cr_assert(json_enter_object(&f.in));
	cr_assert(json_next_member(&f.in, &name));
	expect_text(name, "a");
	cr_assert(json_read_uint(&f.in, &number));
	cr_expect_eq(number, 1);
	cr_assert(json_next_member(&f.in, &name));
	expect_text(name, "b");
	cr_assert(json_read_string(&f.in, &text));
	expect_text(text, "two");
	cr_assert(json_next_member(&f.in, &name));
	expect_text(name, "c");
	cr_assert(json_enter_array(&f.in));
	cr_assert(json_next_element(&f.in));
	cr_assert(json_read_bool(&f.in, &flag));
	cr_expect(flag);
	cr_assert(json_next_element(&f.in));
	cr_assert(json_read_bool(&f.in, &flag));
	cr_expect_not(flag);
	cr_assert(json_next_element(&f.in));
	cr_assert(json_read_null(&f.in));
	cr_assert_not(json_next_element(&f.in));
	cr_assert_not(json_next_member(&f.in, &name));
	cr_assert(json_end(&f.in));
	cr_assert_not(json_failed(&f.in));
}

Test(json_reader, empty_containers_give_nothing)
{
	READER(f, "[{},[ ]]");
	struct json_text name;

	cr_assert(json_enter_array(&f.in));
	cr_assert(json_next_element(&f.in));
	cr_assert(json_enter_object(&f.in));
	cr_assert_not(json_next_member(&f.in, &name));
	cr_assert(json_next_element(&f.in));
	cr_assert(json_enter_array(&f.in));
	cr_assert_not(json_next_element(&f.in));
	cr_assert_not(json_next_element(&f.in));
	cr_assert(json_end(&f.in));
}

Test(json_reader, peek_tells_the_type_and_moves_nothing)
{
	static const struct {
		const char *text;
		enum json_type type;
	} cases[] = {
		{"{}", JSON_TYPE_OBJECT},
		{"[]", JSON_TYPE_ARRAY},
		{"\"\"", JSON_TYPE_STRING},
		{" -1", JSON_TYPE_NUMBER},
		{"0", JSON_TYPE_NUMBER},
		{"true", JSON_TYPE_TRUE},
		{"false", JSON_TYPE_FALSE},
		{"null", JSON_TYPE_NULL},
		{"", JSON_TYPE_NOTHING},
		{"?", JSON_TYPE_NOTHING},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		READER(f, cases[i].text);
		const char *at = f.in.at;
		cr_expect_eq(json_peek(&f.in), cases[i].type, "%s", cases[i].text);
		cr_expect_eq(f.in.at, at);
	}
}

Test(json_reader, the_wrong_type_is_an_error)
{
	struct json_text text;
	unsigned char *data;
	uint64_t number;
	size_t len;
	bool flag;

	READER(a, "[]");
	cr_expect_not(json_enter_object(&a.in));
	cr_expect(json_failed(&a.in));
	READER(b, "{}");
	cr_expect_not(json_enter_array(&b.in));
	READER(c, "1");
	cr_expect_not(json_read_string(&c.in, &text));
	READER(d, "1");
	cr_expect_not(json_read_bytes(&d.in, &data, &len));
	READER(e, "null");
	cr_expect_not(json_read_uint(&e.in, &number));
	READER(g, "null");
	cr_expect_not(json_read_bool(&g.in, &flag));
	READER(h, "true");
	cr_expect_not(json_read_null(&h.in));
	cr_expect(json_failed(&h.in));
}

Test(json_reader, the_first_error_stays_and_nothing_is_read_after_it)
{
	READER(f, "[1,2]");
	const char *at = f.in.at;
	uint64_t number;

	cr_assert_not(json_fail(&f.in, "first"));
	cr_assert_not(json_fail(&f.in, "second"));
	cr_assert_str_eq(f.in.error, "first");
	cr_assert_not(json_enter_array(&f.in));
	cr_assert_not(json_next_element(&f.in));
	cr_assert_not(json_read_uint(&f.in, &number));
	cr_assert_not(json_skip(&f.in));
	cr_assert_not(json_end(&f.in));
	cr_assert_eq(json_peek(&f.in), JSON_TYPE_NOTHING);
	cr_assert_eq(f.in.at, at);
	cr_assert_str_eq(f.in.error, "first");
}

Test(json_reader, the_offset_tells_where_the_error_is)
{
	READER(f, "[1,x]");

	cr_assert_not(json_skip(&f.in));
	cr_assert_eq(json_offset(&f.in), 3);
}

Test(json_reader, a_string_without_escapes_is_not_copied)
{
	READER(f, "\"plain text of some length, with \xC3\xA4\"");
	struct json_text text;

	cr_assert(json_read_string(&f.in, &text));
	cr_assert_eq(text.data, f.in.start + 1);
	cr_assert_eq(f.arena.used, 0);
}

static void expect_string(const char *json, const char *expected)
{
	READER(f, json);
	struct json_text text;

	cr_expect(json_read_string(&f.in, &text), "%s: %s", json, f.in.error);
	if (!json_failed(&f.in))
		expect_text(text, expected);
	cr_expect(json_end(&f.in));
}

Test(json_reader, unescapes_strings)
{
	expect_string("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t");
	expect_string("\"\\u0041\\u00e4\\u20AC\"", "A\xC3\xA4\xE2\x82\xAC");
	expect_string("\"\\ud83d\\uDE00\"", "\xF0\x9F\x98\x80");
	expect_string("\"\\ud800\\udc00\\udbff\\udfff\"", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF");
	expect_string("\"\\ufffe\\uffff\"", "\xEF\xBF\xBE\xEF\xBF\xBF");
	expect_string("\"x\\u0001y\"", "x\001y");
	expect_string("\"\\u007f\\u0080\\u07ff\\u0800\"", "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80");
}

Test(json_reader, unescapes_member_names)
{
	READER(f, "{\"\\u006bey\":1}");
	struct json_text name;

	cr_assert(json_enter_object(&f.in));
	cr_assert(json_next_member(&f.in, &name));
	expect_text(name, "key");
}

Test(json_reader, unescaping_stops_at_the_arena_limit)
{
	struct arena arena;
	struct json_reader in;
	struct json_text text;
	const char *json = "\"12345678901234567\\n\"";

	arena_init(&arena, 16);
	json_reader_init(&in, json, strlen(json), &arena);
	cr_assert_not(json_read_string(&in, &text));
	cr_assert(json_failed(&in));
	arena_done(&arena);
}

static void expect_bytes(const char *json, const char *expected)
{
	READER(f, json);
	unsigned char *data = NULL;
	size_t len = 0;

	cr_expect(json_read_bytes(&f.in, &data, &len), "%s: %s", json, f.in.error);
	cr_expect_not_null(data);
	cr_expect_eq(len, strlen(expected));
	cr_expect_arr_eq(data, expected, len);
	cr_expect(json_end(&f.in));
}

Test(json_reader, reads_base64url_with_and_without_escapes)
{
	expect_bytes("\"\"", "");
	expect_bytes("\"Zm9vYmFy\"", "foobar");
	expect_bytes("\"-_-_\"", "\xfb\xff\xbf");
	expect_bytes("\"+\\/+\\/\"", "\xfb\xff\xbf");
	expect_bytes("\"Zm9vYg==\"", "foob");
	expect_bytes("\"Zm9v\\u0059mFy\"", "foobar");
}

Test(json_reader, what_is_not_base64url_is_an_error_at_its_string)
{
	static const char *const cases[] = {
		"\"a\"", "\"Zm9v!\"", "\"Zm 9\"", "\"Zm9v\xC3\xA4\"", "\"Zm9v", "\"\\\"\"", "\"Zm9v\n\""};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		READER(f, cases[i]);
		unsigned char *data = NULL;
		size_t len;
		cr_expect_not(json_read_bytes(&f.in, &data, &len), "%s", cases[i]);
		cr_expect(json_failed(&f.in));
		cr_expect_null(data, "written on success only");
	}
}

static void expect_uint(const char *json, uint64_t expected)
{
	READER(f, json);
	uint64_t number = 0;

	cr_expect(json_read_uint(&f.in, &number), "%s: %s", json, f.in.error);
	cr_expect_eq(number, expected, "%s", json);
	cr_expect(json_end(&f.in));
}

static void expect_no_uint(const char *json)
{
	READER(f, json);
	uint64_t number = 42;

	cr_expect_not(json_read_uint(&f.in, &number) && json_end(&f.in), "%s", json);
	cr_expect(json_failed(&f.in));
}

Test(json_reader, reads_integers_up_to_2_to_the_53_and_decimal_strings_up_to_64_bits)
{
	expect_uint("0", 0);
	expect_uint("9007199254740992", UINT64_C(9007199254740992));
	expect_uint("\"0\"", 0);
	expect_uint("\"9007199254740993\"", UINT64_C(9007199254740993));
	expect_uint("\"18446744073709551615\"", UINT64_MAX);
}

Test(json_reader, refuses_numbers_that_are_not_such_integers)
{
	static const char *const cases[] = {
		"9007199254740993",
		"-1",
		"-0",
		"1.0",
		"1e3",
		"01",
		"1a",
		"\"\"",
		"\"-1\"",
		"\"+1\"",
		"\" 1\"",
		"\"1 \"",
		"\"01\"",
		"\"1.0\"",
		"\"0x10\"",
		"\"18446744073709551616\"",
		"\"99999999999999999999999\"",
		"true",
		"[]",
		"",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_no_uint(cases[i]);
}

Test(json_reader, reads_nesting_up_to_the_limit)
{
	char text[2 * JSON_DEPTH_MAX + 3];

	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	text[2 * JSON_DEPTH_MAX] = '\0';
	READER(f, text);
	for (int i = 0; i < JSON_DEPTH_MAX; i++) {
		cr_assert(json_enter_array(&f.in));
		cr_assert_eq(json_next_element(&f.in), i < JSON_DEPTH_MAX - 1);
	}
	for (int i = 0; i < JSON_DEPTH_MAX - 1; i++)
		cr_assert_not(json_next_element(&f.in));
	cr_assert(json_end(&f.in));
}

Test(json_reader, refuses_nesting_beyond_the_limit)
{
	char text[JSON_DEPTH_MAX + 2] = "";

	memset(text, '[', JSON_DEPTH_MAX + 1);
	READER(f, text);
	for (int i = 0; i < JSON_DEPTH_MAX; i++) {
		cr_assert(json_enter_array(&f.in));
		cr_assert(json_next_element(&f.in));
	}
	cr_assert_not(json_enter_array(&f.in));
	cr_assert_str_eq(f.in.error, "nested too deep");
}

Test(json_reader, skip_steps_over_one_value)
{
	READER(f, "[{\"a\":[1,{\"b\":\"c\"}]}, 2]");
	uint64_t number;

	cr_assert(json_enter_array(&f.in));
	cr_assert(json_next_element(&f.in));
	cr_assert(json_skip(&f.in));
	cr_assert(json_next_element(&f.in));
	cr_assert(json_read_uint(&f.in, &number));
	cr_assert_eq(number, 2);
	cr_assert_not(json_next_element(&f.in));
	cr_assert(json_end(&f.in));
}

Test(json_reader, skip_counts_the_containers_around_it)
{
	char text[] = "[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]";

	READER(f, text);
	cr_assert(json_enter_array(&f.in));
	cr_assert(json_next_element(&f.in));
	cr_assert_not(json_skip(&f.in));
}

/* {"0":0,"1":0, …} with `count` members, the last again if `twice`. */
static void members_write(struct buffer *out, unsigned count, bool twice)
{
	struct json_writer w;
	char name[16];

	json_writer_init(&w, out);
	json_begin_object(&w);
	for (unsigned i = 0; i < count + (twice ? 1 : 0); i++) {
		snprintf(name, sizeof(name), "%u", i < count ? i : count - 1);
		json_name(&w, name);
		json_write_uint(&w, 0);
	}
	json_end_object(&w);
}

Test(json_reader, objects_of_many_members_are_accepted_up_to_the_limit)
{
	const char *error;
	size_t offset;

	for (unsigned extra = 0; extra < 2; extra++) {
		BUFFER_AUTO struct buffer text;
		buffer_init(&text, 1 << 20);
		members_write(&text, JSON_MEMBERS_MAX + extra, false);
		cr_expect_eq(json_validate((char *)text.data, text.len, &error, &offset), extra == 0);
	}
	cr_expect_str_eq(error, "too many members");
}

Test(json_reader, a_duplicate_is_found_among_many_members)
{
	BUFFER_AUTO struct buffer text;
	const char *error = "";
	size_t offset;

	buffer_init(&text, 1 << 20);
	members_write(&text, 500, true);
	cr_assert_not(json_validate((char *)text.data, text.len, &error, &offset));
	cr_assert_str_eq(error, "duplicate member");
}

Test(json_reader, a_name_may_come_again_in_another_object)
{
	const char *text = "{\"a\":{\"a\":1,\"b\":{\"a\":2}},\"b\":[{\"a\":3},{\"a\":4}]}", *error = "";
	size_t offset;

	cr_assert(json_validate(text, strlen(text), &error, &offset), "%s", error);
}

Test(json_reader, text_validity_is_utf8_without_nul_and_surrogates)
{
	cr_expect(json_text_valid("", 0));
	cr_expect(json_text_valid("a\x01\x7F\xC2\x80\xEF\xBF\xBF\xF4\x8F\xBF\xBF", 12));
	cr_expect_not(json_text_valid("a\0b", 3));
	cr_expect_not(json_text_valid("\x80", 1));
	cr_expect_not(json_text_valid("\xC0\x80", 2));
	cr_expect_not(json_text_valid("\xC1\xBF", 2));
	cr_expect_not(json_text_valid("\xE0\x9F\xBF", 3));
	cr_expect_not(json_text_valid("\xED\xA0\x80", 3));
	cr_expect_not(json_text_valid("\xF0\x8F\xBF\xBF", 4));
	cr_expect_not(json_text_valid("\xF4\x90\x80\x80", 4));
	cr_expect_not(json_text_valid("\xF5\x80\x80\x80", 4));
	cr_expect_not(json_text_valid("\xE2\x82", 2));
}

Test(json_reader, no_text_at_all_is_an_empty_text)
{
	struct json_reader in;
	const char *error = NULL;
	size_t offset = 99;

	json_reader_init(&in, NULL, 0, NULL);
	cr_expect_eq(json_peek(&in), JSON_TYPE_NOTHING);
	cr_expect_not(json_skip(&in));
	cr_expect_not(json_validate(NULL, 0, &error, &offset));
	cr_expect_not_null(error);
	cr_expect_eq(offset, 0);
	cr_expect(json_text_valid(NULL, 0));
}
