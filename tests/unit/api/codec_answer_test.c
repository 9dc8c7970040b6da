#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/api/codec_values.h"

Test(codec, an_answer_that_the_memory_does_not_suffice_for_is_a_general_error, .timeout = 60)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		CODEC_CASE(c);
		const struct call_row *row = call_row((enum call_id)id);
		union wire_value values[CALL_ARGUMENTS_MAX];
		struct call call;
		size_t needed;
		bool failed;

		call = call_made(&c, row, SHAPE_USUAL, values);
		module_fill(&call);
		encode_result(&c, &call, CKR_OK);
		arena_reset(&c.arena);
		cr_assert_eq(decode_result(&c, row, values, &failed), CKR_OK);
		needed = c.arena.used;
		for (size_t limit = 0; limit < needed; limit += 16) {
			arena_done(&c.arena);
			arena_init(&c.arena, limit);
			cr_expect_eq(decode_result(&c, row, values, &failed), CKR_GENERAL_ERROR);
			cr_expect(failed);
		}
	}
}

Test(codec, a_list_that_does_not_fit_gives_its_count)
{
	CODEC_CASE(c);
	const struct call_row *row = call_row(CALL_GetMechanismList);
	union wire_value values[CALL_ARGUMENTS_MAX];
	struct call call;
	bool failed;

	call = call_made(&c, row, SHAPE_USUAL, values);
	*call.values[1].list.count = 5000;
	encode_result(&c, &call, CKR_BUFFER_TOO_SMALL);
	expect_written(&c, "{\"rv\":\"CKR_BUFFER_TOO_SMALL\",\"mechanisms\":{\"length\":5000}}");
	cr_expect_eq(decode_result(&c, row, values, &failed), CKR_BUFFER_TOO_SMALL);
	cr_expect_not(failed);
	cr_expect_eq(*values[1].list.count, 5000);
}

Test(codec, broken_lengths_in_an_answer_are_a_general_error)
{
	static const char *const broken[] = {
		"{}", "{\"size\":1}", "{\"length\":1,\"length\":1}", "{\"length\":null}", "{\"length\":1,\"x\":1}"};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		CODEC_CASE(c);
		union wire_value values[CALL_ARGUMENTS_MAX];
		char text[128];
		bool failed;

		arguments(&c, call_row(CALL_Sign), SHAPE_USUAL, values);
		(void)snprintf(text, sizeof(text), "{\"rv\":\"CKR_BUFFER_TOO_SMALL\",\"signature\":%s}", broken[i]);
		cr_expect_eq(decode_result_text(&c, text, call_row(CALL_Sign), values, &failed), CKR_GENERAL_ERROR);
		cr_expect(failed, "%s", text);
		cr_expect_eq(*values[2].buffer.len, 40);
	}
}

Test(codec, a_buffer_too_small_gives_the_length_and_keeps_the_buffer)
{
	CODEC_CASE(c);
	const struct call_row *row = call_row(CALL_Sign);
	union wire_value values[CALL_ARGUMENTS_MAX];
	struct call call;
	bool failed;

	call = call_made(&c, row, SHAPE_USUAL, values);
	*call.values[2].buffer.len = 256;
	encode_result(&c, &call, CKR_BUFFER_TOO_SMALL);
	expect_written(&c, "{\"rv\":\"CKR_BUFFER_TOO_SMALL\",\"signature\":{\"length\":256}}");
	cr_expect_eq(decode_result(&c, row, values, &failed), CKR_BUFFER_TOO_SMALL);
	cr_expect_not(failed);
	cr_expect_eq(*values[2].buffer.len, 256);
	cr_expect(all_bytes(values[2].buffer.data, 40, 0x5a));
}

Test(codec, a_longer_output_than_the_callers_buffer_is_buffer_too_small)
{
	CODEC_CASE(c);
	const struct call_row *row = call_row(CALL_Sign);
	union wire_value values[CALL_ARGUMENTS_MAX];
	bool failed;

	arguments(&c, row, SHAPE_USUAL, values);
	*values[2].buffer.len = 2;
	cr_expect_eq(decode_result_text(&c, "{\"rv\":\"CKR_OK\",\"signature\":\"AAAA\"}", row, values, &failed),
		CKR_BUFFER_TOO_SMALL);
	cr_expect_not(failed);
	cr_expect_eq(*values[2].buffer.len, 3);
	cr_expect(all_bytes(values[2].buffer.data, 40, 0x5a));
}

Test(codec, a_module_that_claims_more_than_its_room_is_not_believed)
{
	CODEC_CASE(c);
	union wire_value values[CALL_ARGUMENTS_MAX];
	struct call call;

	call = call_made(&c, call_row(CALL_Sign), SHAPE_USUAL, values);
	*call.values[2].buffer.len = 1 << 20;
	encode_result(&c, &call, CKR_OK);
	expect_written(&c, "{\"rv\":\"CKR_GENERAL_ERROR\"}");

	call = call_made(&c, call_row(CALL_FindObjects), SHAPE_USUAL, values);
	*call.values[1].found.count = 41;
	cr_expect_eq(call_outputs_check(&call, CKR_OK), CKR_GENERAL_ERROR);
	cr_expect_eq(call_outputs_check(&call, CKR_DEVICE_ERROR), CKR_DEVICE_ERROR);
	encode_result(&c, &call, CKR_OK);
	expect_written(&c, "{\"rv\":\"CKR_GENERAL_ERROR\"}");
}

Test(codec, broken_answers_are_a_general_error_and_change_nothing)
{
	static const char *const broken[] = {
		"",
		"null",
		"[]",
		"{}",
		"{\"rv\":0}",
		"{\"rv\":\"CKR_NOTHING\"}",
		"{\"rv\":\"CKM_ECDSA\"}",
		"{\"public_key\":1,\"rv\":\"CKR_OK\"}",
		"{\"rv\":\"CKR_OK\"}",
		"{\"rv\":\"CKR_OK\",\"public_key\":1}",
		"{\"rv\":\"CKR_OK\",\"public_key\":1,\"private_key\":2,\"x\":1}",
		"{\"rv\":\"CKR_OK\",\"public_key\":1,\"public_key\":1,\"private_key\":2}",
		"{\"rv\":\"CKR_OK\",\"public_key\":1,\"private_key\":\"AA\"}",
		"{\"rv\":\"CKR_OK\",\"public_key\":1,\"private_key\":null}",
		"{\"rv\":\"CKR_OK\",\"public_key\":1,\"private_key\":2",
		"{\"rv\":\"CKR_OK\",\"rv\":\"CKR_OK\",\"public_key\":1,\"private_key\":2}",
		"{\"rv\":\"CKR_DEVICE_ERROR\",\"public_key\":1,\"private_key\":2}",
	};
	const struct call_row *row = call_row(CALL_GenerateKeyPair);

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		CODEC_CASE(c);
		union wire_value values[CALL_ARGUMENTS_MAX];
		bool failed;

		arguments(&c, row, SHAPE_USUAL, values);
		cr_expect_eq(decode_result_text(&c, broken[i], row, values, &failed), CKR_GENERAL_ERROR);
		cr_expect(failed, "%s", broken[i]);
		cr_expect_eq(*values[4].number_out, 99, "%s", broken[i]);
		cr_expect_eq(*values[5].number_out, 99, "%s", broken[i]);
	}
}

Test(codec, an_answer_of_another_length_than_asked_for_is_a_general_error)
{
	CODEC_CASE(c);
	union wire_value values[CALL_ARGUMENTS_MAX];
	bool failed;

	arguments(&c, call_row(CALL_GenerateRandom), SHAPE_USUAL, values);
	cr_expect_eq(decode_result_text(&c, "{\"rv\":\"CKR_OK\",\"random\":\"AAAA\"}", call_row(CALL_GenerateRandom),
			     values, &failed),
		CKR_GENERAL_ERROR);
	cr_expect(failed);
	cr_expect(all_bytes(values[1].bytes.data, 40, 0x5a));
	arguments(&c, call_row(CALL_FindObjects), SHAPE_EMPTY, values);
	cr_expect_eq(decode_result_text(
			     &c, "{\"rv\":\"CKR_OK\",\"objects\":[1]}", call_row(CALL_FindObjects), values, &failed),
		CKR_GENERAL_ERROR);
	cr_expect(failed);
}
