#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/api/codec_values.h"

Test(codec, every_call_is_found_by_its_name)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		const struct call_row *row = call_row((enum call_id)id);

		cr_expect_eq(row->id, id);
		cr_expect_eq(call_row_by_name(row->name, strlen(row->name)), row);
	}
	cr_expect_null(call_row_by_name("", 0));
	cr_expect_null(call_row_by_name("Sig", 3));
	cr_expect_null(call_row_by_name("SignX", 5));
}

Test(codec, X15_a_slot_id_is_31_bits_of_fnv_1a)
{
	/* The published test vectors of FNV-1a, 32 bits, without the highest bit. */
	cr_expect_eq(slot_id_of("", 0), 0x811c9dc5 & 0x7fffffff);
	cr_expect_eq(slot_id_of("a", 1), 0xe40c292c & 0x7fffffff);
	cr_expect_eq(slot_id_of("foobar", 6), 0xbf9cf968 & 0x7fffffff);
}

Test(codec, every_call_reaches_the_worker_as_the_application_made_it)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		for (int shape = 0; shape < SHAPE_COUNT; shape++) {
			CODEC_CASE(c);
			const struct call_row *row = call_row((enum call_id)id);
			union wire_value values[CALL_ARGUMENTS_MAX];
			struct call call;

			call = call_made(&c, row, (enum shape)shape, values);
			cr_assert_eq(call.row, row);
			for (size_t i = 0; i < row->argument_count; i++) {
				cr_expect(same_input(row->arguments[i].kind, &values[i], &call.values[i]),
					"%s of %s in shape %d", row->arguments[i].name, row->name, shape);
				cr_expect_eq(call.from[i], -1);
			}
			cr_expect(guards_intact(&c));
		}
	}
}

static bool has(const struct call_row *row, enum wire_kind kind)
{
	for (size_t i = 0; i < row->argument_count; i++) {
		if (row->arguments[i].kind == kind)
			return true;
	}
	return false;
}

Test(codec, every_output_reaches_the_application_as_the_module_wrote_it)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		for (int shape = 0; shape < SHAPE_COUNT; shape++) {
			CODEC_CASE(c);
			const struct call_row *row = call_row((enum call_id)id);
			bool too_small = shape == SHAPE_EMPTY && has(row, WIRE_LIST);
			union wire_value values[CALL_ARGUMENTS_MAX];
			struct call call;
			bool failed;

			call = call_made(&c, row, (enum shape)shape, values);
			module_fill(&call);
			encode_result(&c, &call, CKR_OK);
			cr_expect_eq(decode_result(&c, row, values, &failed), too_small ? CKR_BUFFER_TOO_SMALL : CKR_OK,
				"%s", row->name);
			cr_assert_not(failed, "%s: %.*s", row->name, (int)c.text.len, (const char *)c.text.data);
			for (size_t i = 0; i < row->argument_count; i++)
				cr_expect(filled(row->arguments[i].kind, &values[i], i), "%s of %s in shape %d",
					row->arguments[i].name, row->name, shape);
		}
	}
}

Test(codec, an_error_changes_nothing_of_the_application)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		CODEC_CASE(c);
		const struct call_row *row = call_row((enum call_id)id);
		union wire_value values[CALL_ARGUMENTS_MAX];
		struct call call;
		bool failed;

		call = call_made(&c, row, SHAPE_USUAL, values);
		module_fill(&call);
		encode_result(&c, &call, CKR_DEVICE_ERROR);
		expect_written(&c, "{\"rv\":\"CKR_DEVICE_ERROR\"}");
		cr_expect_eq(decode_result(&c, row, values, &failed), CKR_DEVICE_ERROR);
		cr_expect_not(failed);
		for (size_t i = 0; i < row->argument_count; i++) {
			enum wire_kind kind = row->arguments[i].kind;

			if (kind == WIRE_BUFFER)
				cr_expect(*values[i].buffer.len == 40 && all_bytes(values[i].buffer.data, 40, 0x5a));
			else if (kind == WIRE_NEW_OBJECT || kind == WIRE_NEW_SESSION || kind == WIRE_ULONG_OUT)
				cr_expect_eq(*values[i].number_out, 99);
			else if (kind == WIRE_FOUND)
				cr_expect_eq(*values[i].found.count, 99);
		}
	}
}

Test(codec, a_return_value_without_a_name_comes_back_as_its_number)
{
	CODEC_CASE(c);
	const struct call_row *row = call_row(CALL_Logout);
	union wire_value values[CALL_ARGUMENTS_MAX] = {{.number = 1}};
	struct call call;
	bool failed;

	encode_request(&c, row, values);
	call = decode_request(&c);
	encode_result(&c, &call, 0x80000007);
	expect_written(&c, "{\"rv\":\"0x80000007\"}");
	cr_expect_eq(decode_result(&c, row, values, &failed), 0x80000007);
	cr_expect_not(failed);
}
