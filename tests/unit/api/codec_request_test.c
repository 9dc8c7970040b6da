#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "api/limits.h"
#include "tests/unit/api/codec_values.h"

Test(codec, the_wire_form_is_as_documented)
{
	CODEC_CASE(c);
	CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
	CK_BYTE data[] = {0xfb, 0xff, 0x01}, signature[64];
	CK_ULONG len = sizeof(signature);
	union wire_value init[CALL_ARGUMENTS_MAX] = {{.number = 1}, {.mechanism = &mechanism}, {.number = 7}};
	union wire_value sign[CALL_ARGUMENTS_MAX] = {
		{.number = 1}, {.bytes = {data, 3}}, {.buffer = {signature, &len}}};

	encode_request(&c, call_row(CALL_SignInit), init);
	expect_written(&c, "{\"SignInit\":{\"session\":1,\"mechanism\":{\"mechanism\":\"CKM_ECDSA\"},\"key\":7}}");
	encode_request(&c, call_row(CALL_Sign), sign);
	expect_written(&c, "{\"Sign\":{\"session\":1,\"data\":\"-_8B\",\"signature\":64}}");
}

Test(codec, a_handle_may_refer_to_an_earlier_call)
{
	CODEC_CASE(c);
	struct call call;

	cr_assert(decode_text(
		&c, "{\"Login\":{\"session\":{\"from\":0},\"user_type\":\"CKU_USER\",\"pin\":\"MTIzNA\"}}", &call));
	cr_expect_eq(call.from[0], 0);
	cr_expect_eq(call.from[1], -1);
	cr_expect_eq(call.values[1].number, CKU_USER);
	cr_expect(same_bytes(call.values[2].bytes.data, call.values[2].bytes.len, "1234", 4));
	cr_expect_not(decode_text(&c, "{\"Logout\":{\"session\":{\"from\":32}}}", &call));
	cr_expect_not(decode_text(&c, "{\"Logout\":{\"session\":{\"from\":-1}}}", &call));
	cr_expect_not(decode_text(&c, "{\"Logout\":{\"session\":{\"from\":0,\"from\":0}}}", &call));
	cr_expect_not(decode_text(&c, "{\"Logout\":{\"session\":{}}}", &call));
}

Test(codec, members_come_in_any_order)
{
	CODEC_CASE(c);
	struct call call;

	cr_assert(decode_text(&c, "{\"Sign\":{\"signature\":16,\"data\":\"AA\",\"session\":3}}", &call));
	cr_expect_eq(call.values[0].number, 3);
	cr_expect_eq(call.values[1].bytes.len, 1);
	cr_expect_eq(*call.values[2].buffer.len, 16);
}

Test(codec, broken_requests_are_refused)
{
	static const char *const broken[] = {
		"",
		"null",
		"[]",
		"{}",
		"{\"Sign\":null}",
		"{\"Sign\":[]}",
		"{\"Unknown\":{}}",
		"{\"sign\":{}}",
		"{\"C_Sign\":{}}",
		"{\"Sign\":{}}",
		"{\"Sign\":{\"session\":1,\"data\":\"\"}}",
		"{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":1},\"Sign\":{\"session\":1,\"data\":\"\","
		"\"signature\":1}}",
		"{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":1,\"session\":1}}",
		"{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":1,\"extra\":1}}",
		"{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":1}} ,",
		"{\"Sign\":{\"session\":-1,\"data\":\"\",\"signature\":1}}",
		"{\"Sign\":{\"session\":1.5,\"data\":\"\",\"signature\":1}}",
		"{\"Sign\":{\"session\":null,\"data\":\"\",\"signature\":1}}",
		"{\"Sign\":{\"session\":\"one\",\"data\":\"\",\"signature\":1}}",
		"{\"Sign\":{\"session\":1,\"data\":\"?\",\"signature\":1}}",
		"{\"Sign\":{\"session\":1,\"data\":5,\"signature\":1}}",
		"{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":-1}}",
		"{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":\"AA\"}}",
		"{\"OpenSession\":{\"flags\":6,\"slot\":1}}",
		"{\"OpenSession\":{\"flags\":6,\"session\":1}}",
		"{\"GetSlotList\":{\"token_present\":1}}",
		"{\"InitToken\":{\"pin\":\"\",\"label\":\"AAAA\"}}",
		"{\"Login\":{\"session\":1,\"user_type\":\"CKO_DATA\",\"pin\":null}}",
		"{\"Login\":{\"session\":1,\"user_type\":1,\"pin\":null}}",
		"{\"FindObjects\":{\"session\":1,\"objects\":null}}",
		"{\"GenerateRandom\":{\"session\":1,\"random\":614401}}",
		"{\"GenerateRandom\":{\"session\":1,\"random\":\"AA\"}}",
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		CODEC_CASE(c);
		struct call call;

		cr_expect_not(decode_text(&c, broken[i], &call), "%s", broken[i]);
	}
}

/* Every prefix, and every request with one byte replaced, is refused or read; with the sanitizers on, nothing else happens. */
Test(codec, mutilated_requests_do_no_harm, .timeout = 60)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		CODEC_CASE(c);
		const struct call_row *row = call_row((enum call_id)id);
		union wire_value values[CALL_ARGUMENTS_MAX];
		struct call call;
		char text[4096];

		arguments(&c, row, SHAPE_USUAL, values);
		encode_request(&c, row, values);
		cr_assert_lt(c.text.len, sizeof(text));
		for (size_t cut = 0; cut < c.text.len; cut++) {
			memcpy(text, c.text.data, c.text.len);
			text[cut] = '\0';
			cr_expect_not(decode_text(&c, text, &call));
			for (const char *with = "\"{}[]:,0-nt\\\x80"; *with != '\0'; with++) {
				memcpy(text, c.text.data, c.text.len);
				text[c.text.len] = '\0';
				text[cut] = *with;
				if (decode_text(&c, text, &call))
					cr_assert_not_null(call.row);
				arena_reset(&c.arena);
			}
		}
	}
}

Test(codec, an_output_capacity_is_cut_to_its_ceiling)
{
	CODEC_CASE(c);
	struct call call;

	cr_assert(decode_text(
		&c, "{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":\"18446744073709551615\"}}", &call));
	cr_expect_eq(*call.values[2].buffer.len, LIMIT_OUTPUT);
	cr_assert(decode_text(&c, "{\"FindObjects\":{\"session\":1,\"objects\":9007199254740992}}", &call));
	cr_expect_eq(call.values[1].found.max, LIMIT_FOUND);
}

Test(codec, memory_of_a_request_is_bounded)
{
	CODEC_CASE(c);
	struct call call;
	const char *text = "{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":614400}}";
	size_t good = 0;

	while (good < 100 && decode_text(&c, text, &call))
		good++;
	cr_expect_geq(good, 9);
	cr_expect_lt(good, 11);
}

/* The arena is given less and less memory, so that every allocation fails once. */
Test(codec, a_request_that_the_memory_does_not_suffice_for_is_refused, .timeout = 60)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		CODEC_CASE(c);
		const struct call_row *row = call_row((enum call_id)id);
		union wire_value values[CALL_ARGUMENTS_MAX];
		struct json_reader in;
		struct call call;
		size_t needed;

		arguments(&c, row, SHAPE_USUAL, values);
		encode_request(&c, row, values);
		json_reader_init(&in, (const char *)c.text.data, c.text.len, &c.arena);
		cr_assert(call_decode(&in, &call));
		needed = c.arena.used;
		for (size_t limit = 0; limit < needed; limit += 16) {
			arena_done(&c.arena);
			arena_init(&c.arena, limit);
			json_reader_init(&in, (const char *)c.text.data, c.text.len, &c.arena);
			cr_expect_not(call_decode(&in, &call), "%s with %zu of %zu bytes", row->name, limit, needed);
			cr_expect(json_failed(&in));
		}
	}
}

Test(codec, a_pin_beyond_its_ceiling_is_refused_by_the_worker)
{
	CODEC_CASE(c);
	struct call call;
	char text[2 * LIMIT_PIN], pin[(LIMIT_PIN + 1) / 3 * 4 + 5] = {0};

	memset(pin, 'A', (LIMIT_PIN + 3) / 3 * 4);
	(void)snprintf(
		text, sizeof(text), "{\"Login\":{\"session\":1,\"user_type\":\"CKU_USER\",\"pin\":\"%s\"}}", pin);
	cr_expect_not(decode_text(&c, text, &call));
}

Test(codec, a_missing_output_pointer_is_refused_by_the_client)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		CODEC_CASE(c);
		const struct call_row *row = call_row((enum call_id)id);
		union wire_value values[CALL_ARGUMENTS_MAX];

		for (size_t i = 0; i < row->argument_count; i++) {
			enum wire_kind kind = row->arguments[i].kind;

			arguments(&c, row, SHAPE_USUAL, values);
			if (kind == WIRE_BUFFER)
				values[i].buffer.len = NULL;
			else if (kind == WIRE_LIST)
				values[i].list.count = NULL;
			else if (kind == WIRE_FOUND)
				values[i].found.count = NULL;
			else if (kind == WIRE_NEW_SESSION || kind == WIRE_NEW_OBJECT || kind == WIRE_ULONG_OUT ||
				 info_size(kind) > 0)
				values[i].info = NULL;
			else
				continue;
			cr_expect_eq(encode_tried(row, values), CKR_ARGUMENTS_BAD, "%s of %s", row->arguments[i].name,
				row->name);
		}
	}
}

Test(codec, a_null_input_with_a_length_is_refused_by_the_client)
{
	CODEC_CASE(c);
	union wire_value values[CALL_ARGUMENTS_MAX];

	arguments(&c, call_row(CALL_Sign), SHAPE_USUAL, values);
	values[1].bytes.data = NULL;
	cr_expect_eq(encode_tried(call_row(CALL_Sign), values), CKR_ARGUMENTS_BAD);
	arguments(&c, call_row(CALL_CreateObject), SHAPE_USUAL, values);
	values[1].attributes.items = NULL;
	cr_expect_eq(encode_tried(call_row(CALL_CreateObject), values), CKR_ARGUMENTS_BAD);
	arguments(&c, call_row(CALL_GetAttributeValue), SHAPE_USUAL, values);
	values[2].attributes.items = NULL;
	cr_expect_eq(encode_tried(call_row(CALL_GetAttributeValue), values), CKR_ARGUMENTS_BAD);
	arguments(&c, call_row(CALL_FindObjects), SHAPE_USUAL, values);
	values[1].found.items = NULL;
	cr_expect_eq(encode_tried(call_row(CALL_FindObjects), values), CKR_ARGUMENTS_BAD);
}

Test(codec, a_null_pin_is_null_whatever_its_length)
{
	CODEC_CASE(c);
	union wire_value values[CALL_ARGUMENTS_MAX];
	struct call call;

	arguments(&c, call_row(CALL_Login), SHAPE_USUAL, values);
	values[2].bytes.data = NULL;
	values[2].bytes.len = 4;
	encode_request(&c, call_row(CALL_Login), values);
	call = decode_request(&c);
	cr_expect_null(call.values[2].bytes.data);
	cr_expect_eq(call.values[2].bytes.len, 0);
}

Test(codec, limits_are_the_same_on_both_sides)
{
	CODEC_CASE(c);
	union wire_value values[CALL_ARGUMENTS_MAX];
	struct call call;

	arguments(&c, call_row(CALL_Login), SHAPE_USUAL, values);
	values[2].bytes.data = guarded(&c, LIMIT_PIN);
	values[2].bytes.len = LIMIT_PIN;
	encode_request(&c, call_row(CALL_Login), values);
	call = decode_request(&c);
	cr_expect_eq(call.values[2].bytes.len, LIMIT_PIN);
	values[2].bytes.len = LIMIT_PIN + 1;
	cr_expect_eq(encode_tried(call_row(CALL_Login), values), CKR_PIN_LEN_RANGE);

	arguments(&c, call_row(CALL_SeedRandom), SHAPE_USUAL, values);
	values[1].bytes.data = guarded(&c, LIMIT_BYTES);
	values[1].bytes.len = LIMIT_BYTES;
	encode_request(&c, call_row(CALL_SeedRandom), values);
	call = decode_request(&c);
	cr_expect_eq(call.values[1].bytes.len, LIMIT_BYTES);
	values[1].bytes.len = LIMIT_BYTES + 1;
	cr_expect_eq(encode_tried(call_row(CALL_SeedRandom), values), CKR_DATA_LEN_RANGE);

	arguments(&c, call_row(CALL_GenerateRandom), SHAPE_USUAL, values);
	values[1].bytes.len = LIMIT_OUTPUT + 1;
	cr_expect_eq(encode_tried(call_row(CALL_GenerateRandom), values), CKR_DATA_LEN_RANGE);
}
