#include "api/json.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct fixture {
	struct buffer out;
	struct json_writer w;
};

static void fixture_done(struct fixture *f)
{
	buffer_done(&f->out);
}

#define WRITER(f) \
	__attribute__((cleanup(fixture_done))) struct fixture f; \
	buffer_init(&f.out, 1 << 20); \
	json_writer_init(&f.w, &f.out)

static void expect_written(const struct fixture *f, const char *expected)
{
	cr_expect_not(f->out.failed);
	cr_expect_eq(f->out.len, strlen(expected), "%.*s", (int)f->out.len, (char *)f->out.data);
	cr_expect_arr_eq(f->out.data, expected, strlen(expected), "%.*s", (int)f->out.len, (char *)f->out.data);
}

Test(json_writer, puts_the_commas)
{
	WRITER(f);

	json_begin_object(&f.w);
	json_name(&f.w, "a");
	json_begin_array(&f.w);
	json_write_uint(&f.w, 1);
	json_write_bool(&f.w, true);
	json_write_bool(&f.w, false);
	json_begin_object(&f.w);
	json_end_object(&f.w);
	json_write_null(&f.w);
	json_begin_array(&f.w);
	json_end_array(&f.w);
	json_write_raw(&f.w, "[2]", 3);
	json_end_array(&f.w);
	json_name(&f.w, "b");
	json_write_string(&f.w, "c");
	json_name(&f.w, "d");
	json_write_bytes(&f.w, "foobar", 6);
	json_end_object(&f.w);
	expect_written(&f, "{\"a\":[1,true,false,{},null,[],[2]],\"b\":\"c\",\"d\":\"Zm9vYmFy\"}");
}

Test(json_writer, escapes_what_cannot_stand_in_a_string)
{
	WRITER(f);
	const char text[] = "\"\\/\b\f\n\r\t\v\x01\x1f\x7f";

	json_write_text(&f.w, text, sizeof(text) - 1);
	expect_written(&f, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u000b\\u0001\\u001f\\u007f\"");
}

Test(json_writer, escapes_DEL_wherever_it_stands)
{
	for (size_t at = 0; at < 16; at++) {
		WRITER(f);
		char text[] = "0123456789abcdef", expected[32];

		text[at] = 0x7f;
		json_write_text(&f.w, text, 16);
		(void)snprintf(expected, sizeof(expected), "\"%.*s\\u007f%s\"", (int)at, text, text + at + 1);
		expect_written(&f, expected);
	}
}

Test(json_writer, what_is_not_utf8_becomes_the_replacement_character)
{
	WRITER(f);
	const char text[] = "a\x80"
			    "b\xC3"
			    "c\0d\xED\xA0\x80"
			    "e\xE2\x82";

	json_write_text(&f.w, text, sizeof(text) - 1);
#define R "\xEF\xBF\xBD"
	expect_written(&f, "\"a" R "b" R "c" R "d" R R R "e" R R "\"");
#undef R
}

Test(json_writer, numbers_above_2_to_the_53_are_decimal_strings)
{
	WRITER(f);

	json_begin_array(&f.w);
	json_write_uint(&f.w, 0);
	json_write_uint(&f.w, UINT64_C(9007199254740992));
	json_write_uint(&f.w, UINT64_C(9007199254740993));
	json_write_uint(&f.w, UINT64_MAX);
	json_end_array(&f.w);
	expect_written(&f, "[0,9007199254740992,\"9007199254740993\",\"18446744073709551615\"]");
}

Test(json_writer, empty_bytes_are_an_empty_string)
{
	WRITER(f);

	json_write_bytes(&f.w, NULL, 0);
	expect_written(&f, "\"\"");
}

Test(json_writer, exhausting_the_buffer_shows_at_the_end)
{
	struct buffer out;
	struct json_writer w;

	buffer_init(&out, 10);
	json_writer_init(&w, &out);
	json_begin_array(&w);
	json_write_bytes(&w, "0123456789", 10);
	json_end_array(&w);
	cr_assert(out.failed);
	buffer_done(&out);
}

Test(json_writer, no_text_is_an_empty_string)
{
	WRITER(f);

	json_write_text(&f.w, NULL, 0);
	expect_written(&f, "\"\"");
}

/* Every byte at every distance from the end of a word, so that the fast path and the slow path agree. */
Test(json_writer, every_byte_at_every_place_is_read_back)
{
	for (unsigned byte = 1; byte < 0x80; byte++) {
		for (size_t place = 0; place < 18; place++) {
			char text[] = "abcdefghijklmnopqr";
			struct json_text back;
			struct json_reader in;
			struct arena arena;
			WRITER(f);
			text[place] = (char)byte;
			json_write_string(&f.w, text);
			arena_init(&arena, 1024);
			json_reader_init(&in, (char *)f.out.data, f.out.len, &arena);
			cr_assert(json_read_string(&in, &back), "byte %u at %zu: %s", byte, place, in.error);
			cr_assert(json_end(&in));
			cr_assert(json_text_is(back, text), "byte %u at %zu", byte, place);
			arena_done(&arena);
		}
	}
}
