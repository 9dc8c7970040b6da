#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "api/limits.h"
#include "tests/unit/api/attribute_values.h"
#include "tests/unit/api/codec_case.h"

/* One query from the application to the module and back. */
struct query_case {
	struct codec_case *c;
	union wire_value values[CALL_ARGUMENTS_MAX];
	struct call call;
};

/* The attributes as the module sees them. */
static CK_ATTRIBUTE *ask(struct query_case *q, struct codec_case *c, CK_ATTRIBUTE *items, CK_ULONG count)
{
	q->c = c;
	q->values[0].number = 1;
	q->values[1].number = 2;
	q->values[2].attributes.items = items;
	q->values[2].attributes.count = count;
	encode_request(c, call_row(CALL_GetAttributeValue), q->values);
	q->call = decode_request(c);
	cr_assert_eq(q->call.values[2].attributes.count, count);
	return q->call.values[2].attributes.items;
}

/* What the application gets when the module returns `rv`. */
static CK_RV answer(struct query_case *q, CK_RV rv)
{
	bool failed;

	encode_result(q->c, &q->call, rv);
	rv = decode_result(q->c, call_row(CALL_GetAttributeValue), q->values, &failed);
	cr_assert_not(failed, "%.*s", (int)q->c->text.len, (const char *)q->c->text.data);
	return rv;
}

Test(attribute, every_attribute_with_a_usual_value_answers_a_query)
{
	for (size_t i = 0; i < ATTRIBUTE_TYPES; i++) {
		CODEC_CASE(c);
		const struct attribute_row *row = attribute_row(attribute_types[i]);
		_Alignas(16) unsigned char value[32];
		CK_ULONG len = usual_value(row, value);
		CK_ATTRIBUTE item = {attribute_types[i], guarded(&c, len), len};
		struct query_case q;
		CK_ATTRIBUTE *asked;

		if (row->value == ATTRIBUTE_TEMPLATE)
			continue;
		asked = ask(&q, &c, &item, 1);
		cr_assert_eq(asked->ulValueLen, len);
		memcpy(asked->pValue, value, len);
		cr_expect_eq(answer(&q, CKR_OK), CKR_OK);
		cr_expect_eq(item.ulValueLen, len);
		cr_expect(memcmp(item.pValue, value, len) == 0, "%s", row->name);
	}
}

Test(attribute, every_attribute_answers_a_query_for_its_length)
{
	for (size_t i = 0; i < ATTRIBUTE_TYPES; i++) {
		CODEC_CASE(c);
		CK_ATTRIBUTE item = {attribute_types[i], NULL, 77};
		CK_ULONG len = attribute_row(attribute_types[i])->value == ATTRIBUTE_TEMPLATE ? 3 * sizeof(CK_ATTRIBUTE)
											      : 3 * sizeof(CK_ULONG);
		struct query_case q;
		CK_ATTRIBUTE *asked = ask(&q, &c, &item, 1);

		cr_expect_null(asked->pValue);
		asked->ulValueLen = len;
		cr_expect_eq(answer(&q, CKR_OK), CKR_OK);
		cr_expect_eq(item.ulValueLen, len, "%s", attribute_row(attribute_types[i])->name);
	}
}

Test(attribute, results_are_there_for_the_four_return_values_that_have_them)
{
	static const CK_RV with[] = {CKR_OK, CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL};

	for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
		CODEC_CASE(c);
		CK_ATTRIBUTE items[] = {
			{CKA_LABEL, guarded(&c, 7), 7}, {CKA_VALUE, guarded(&c, 32), 32}, {CKA_ID, NULL, 0}};
		struct query_case q;
		CK_ATTRIBUTE *asked = ask(&q, &c, items, 3);

		memcpy(asked[0].pValue, "release", 7);
		asked[1].ulValueLen = CK_UNAVAILABLE_INFORMATION;
		asked[2].ulValueLen = 20;
		cr_expect_eq(answer(&q, with[i]), with[i]);
		cr_expect_eq(items[0].ulValueLen, 7);
		cr_expect(memcmp(items[0].pValue, "release", 7) == 0);
		cr_expect_eq(items[1].ulValueLen, CK_UNAVAILABLE_INFORMATION);
		cr_expect_eq(*(unsigned char *)items[1].pValue, 0x5a);
		cr_expect_eq(items[2].ulValueLen, 20);
	}
}

Test(attribute, other_return_values_leave_the_query_as_it_was)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE item = {CKA_LABEL, guarded(&c, 7), 7};
	struct query_case q;
	CK_ATTRIBUTE *asked = ask(&q, &c, &item, 1);

	asked->ulValueLen = 3;
	cr_expect_eq(answer(&q, CKR_OBJECT_HANDLE_INVALID), CKR_OBJECT_HANDLE_INVALID);
	cr_expect_eq(item.ulValueLen, 7);
}

Test(attribute, a_module_that_claims_more_than_the_capacity_is_not_read_beyond_it)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE items[] = {{CKA_LABEL, guarded(&c, 7), 7}, {CKA_CLASS, guarded(&c, 8), 8}};
	struct query_case q;
	CK_ATTRIBUTE *asked = ask(&q, &c, items, 2);

	asked[0].ulValueLen = 1UL << 40;
	asked[1].ulValueLen = 9;
	cr_expect_eq(answer(&q, CKR_OK), CKR_BUFFER_TOO_SMALL);
	cr_expect_eq(items[0].ulValueLen, CK_UNAVAILABLE_INFORMATION);
	cr_expect_eq(items[1].ulValueLen, CK_UNAVAILABLE_INFORMATION);
}

Test(attribute, a_module_that_moves_the_value_pointer_is_not_followed)
{
	CODEC_CASE(c);
	static char elsewhere[] = "secret!";
	CK_ATTRIBUTE item = {CKA_LABEL, guarded(&c, 7), 7};
	struct query_case q;
	CK_ATTRIBUTE *asked = ask(&q, &c, &item, 1);

	memcpy(asked->pValue, "release", 7);
	asked->pValue = elsewhere;
	cr_expect_eq(answer(&q, CKR_OK), CKR_OK);
	cr_expect(memcmp(item.pValue, "release", 7) == 0);
}

Test(attribute, a_value_of_a_wrong_length_reaches_the_application)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE items[] = {
		{CKA_SIGN, guarded(&c, 8), 8}, {CKA_CLASS, guarded(&c, 24), 24}, {CKA_START_DATE, guarded(&c, 8), 8}};
	struct query_case q;
	CK_ATTRIBUTE *asked = ask(&q, &c, items, 3);

	memset(asked[0].pValue, 1, 2);
	asked[0].ulValueLen = 2;
	memset(asked[1].pValue, 9, 3);
	asked[1].ulValueLen = 3;
	asked[2].ulValueLen = 0;
	cr_expect_eq(answer(&q, CKR_OK), CKR_OK);
	cr_expect_eq(items[0].ulValueLen, 2);
	cr_expect(memcmp(items[0].pValue, "\1\1", 2) == 0);
	cr_expect_eq(items[1].ulValueLen, 3);
	cr_expect(memcmp(items[1].pValue, "\11\11\11", 3) == 0);
	cr_expect_eq(items[2].ulValueLen, 0);
}

Test(attribute, capacities_and_lengths_of_numbers_count_elements)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE items[] = {
		{CKA_CLASS, guarded(&c, 8), 8}, {CKA_ALLOWED_MECHANISMS, NULL, 0}, {CKA_WRAP_TEMPLATE, NULL, 0}};
	struct query_case q;
	CK_ATTRIBUTE *asked = ask(&q, &c, items, 3);

	*(CK_OBJECT_CLASS *)asked[0].pValue = CKO_DATA;
	asked[1].ulValueLen = 5 * sizeof(CK_ULONG);
	asked[2].ulValueLen = 2 * sizeof(CK_ATTRIBUTE);
	encode_result(&c, &q.call, CKR_OK);
	expect_written(&c, "{\"rv\":\"CKR_OK\",\"attributes\":[\"CKO_DATA\",{\"length\":5},{\"length\":2}]}");
	encode_request(&c, call_row(CALL_GetAttributeValue), q.values);
	expect_written(&c, "{\"GetAttributeValue\":{\"session\":1,\"object\":2,\"attributes\":[{\"CKA_CLASS\":1},"
			   "{\"CKA_ALLOWED_MECHANISMS\":null},{\"CKA_WRAP_TEMPLATE\":null}]}}");
}

Test(attribute, a_capacity_is_cut_to_its_ceiling)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE items[] = {{CKA_ID, guarded(&c, 1), CK_UNAVAILABLE_INFORMATION},
		{CKA_CLASS, guarded(&c, 1), CK_UNAVAILABLE_INFORMATION}};
	struct query_case q;
	CK_ATTRIBUTE *asked = ask(&q, &c, items, 2);

	cr_expect_eq(asked[0].ulValueLen, LIMIT_ATTRIBUTE_VALUE);
	cr_expect_eq(asked[1].ulValueLen, LIMIT_ATTRIBUTE_VALUE);
}

Test(attribute, the_value_of_an_undescribed_array_is_never_asked_for)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE items[] = {
		{CKA_VENDOR_DEFINED | CKF_ARRAY_ATTRIBUTE, guarded(&c, 24), 24}, {CKA_LABEL, guarded(&c, 7), 7}};
	struct query_case q;
	CK_ATTRIBUTE *asked = ask(&q, &c, items, 2);

	cr_expect_null(asked[0].pValue);
	asked[0].ulValueLen = 24;
	memcpy(asked[1].pValue, "release", 7);
	cr_expect_eq(answer(&q, CKR_OK), CKR_BUFFER_TOO_SMALL);
	cr_expect_eq(items[0].ulValueLen, CK_UNAVAILABLE_INFORMATION);
	cr_expect(memcmp(items[1].pValue, "release", 7) == 0);
}

Test(attribute, attributes_of_nss_are_plain_bytes)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE item = {NSS_TRUST_SERVER_AUTH, guarded(&c, 8), 8};
	struct query_case q;
	CK_ATTRIBUTE *asked = ask(&q, &c, &item, 1);

	memcpy(asked->pValue, "\1\2\3\4\5\6\7\10", 8);
	cr_expect_eq(answer(&q, CKR_OK), CKR_OK);
	cr_expect(memcmp(item.pValue, "\1\2\3\4\5\6\7\10", 8) == 0);
}

Test(attribute, a_nested_template_answers_with_types_lengths_and_values)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE *nested = guarded(&c, 3 * sizeof(CK_ATTRIBUTE));
	CK_ATTRIBUTE item = {CKA_WRAP_TEMPLATE, nested, 3 * sizeof(CK_ATTRIBUTE)};
	struct query_case q;
	CK_ATTRIBUTE *asked, *inside;

	nested[0] = (CK_ATTRIBUTE){CKA_LABEL, guarded(&c, 16), 16};
	nested[1] = (CK_ATTRIBUTE){0, NULL, 0};
	nested[2] = (CK_ATTRIBUTE){0, guarded(&c, 8), 8};
	asked = ask(&q, &c, &item, 1);
	inside = asked->pValue;
	cr_assert_eq(asked->ulValueLen, 3 * sizeof(CK_ATTRIBUTE));
	cr_assert_eq(inside[0].ulValueLen, 16);
	cr_assert_null(inside[1].pValue);
	memcpy(inside[0].pValue, "abc", 3);
	inside[0].ulValueLen = 3;
	inside[1] = (CK_ATTRIBUTE){CKA_KEY_TYPE, NULL, sizeof(CK_ULONG)};
	asked->ulValueLen = 2 * sizeof(CK_ATTRIBUTE);
	cr_expect_eq(answer(&q, CKR_OK), CKR_OK);
	cr_expect_eq(item.ulValueLen, 2 * sizeof(CK_ATTRIBUTE));
	cr_expect_eq(nested[0].type, CKA_LABEL);
	cr_expect_eq(nested[0].ulValueLen, 3);
	cr_expect(memcmp(nested[0].pValue, "abc", 3) == 0);
	cr_expect_eq(nested[1].type, CKA_KEY_TYPE);
	cr_expect_eq(nested[1].ulValueLen, sizeof(CK_ULONG));
	cr_expect_eq(nested[2].ulValueLen, 8);
}

Test(attribute, a_nested_template_with_hostile_lengths_stays_within_its_memory)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE *nested = guarded(&c, sizeof(CK_ATTRIBUTE));
	CK_ATTRIBUTE item = {CKA_WRAP_TEMPLATE, nested, sizeof(CK_ATTRIBUTE)};
	struct query_case q;
	CK_ATTRIBUTE *asked;

	nested[0] = (CK_ATTRIBUTE){CKA_LABEL, guarded(&c, 4), 4};
	asked = ask(&q, &c, &item, 1);
	((CK_ATTRIBUTE *)asked->pValue)[0].ulValueLen = 5;
	cr_expect_eq(answer(&q, CKR_OK), CKR_BUFFER_TOO_SMALL);
	cr_expect_eq(nested[0].ulValueLen, CK_UNAVAILABLE_INFORMATION);
	nested[0].ulValueLen = 4;
	asked = ask(&q, &c, &item, 1);
	asked->ulValueLen = 2 * sizeof(CK_ATTRIBUTE);
	cr_expect_eq(answer(&q, CKR_OK), CKR_BUFFER_TOO_SMALL);
	cr_expect_eq(item.ulValueLen, CK_UNAVAILABLE_INFORMATION);
	asked = ask(&q, &c, &(CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, nested, sizeof(CK_ATTRIBUTE)}, 1);
	((CK_ATTRIBUTE *)asked->pValue)[0] = (CK_ATTRIBUTE){CKA_UNWRAP_TEMPLATE, (void *)16, 0};
	cr_expect_eq(answer(&q, CKR_OK), CKR_OK);
}

/* What the application gets for one attribute when the answer's list of attributes is `attributes`. */
static CK_RV answer_text(struct codec_case *c, CK_ATTRIBUTE *item, const char *attributes, bool *ret_failed)
{
	union wire_value values[CALL_ARGUMENTS_MAX] = {0};
	char text[512];

	values[2].attributes.items = item;
	values[2].attributes.count = 1;
	(void)snprintf(text, sizeof(text), "{\"rv\":\"CKR_OK\",\"attributes\":%s}", attributes);
	return decode_result_text(c, text, call_row(CALL_GetAttributeValue), values, ret_failed);
}

Test(attribute, a_template_is_not_stored_where_the_application_has_bytes)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE *nested = guarded(&c, sizeof(CK_ATTRIBUTE));
	CK_ATTRIBUTE item = {CKA_WRAP_TEMPLATE, nested, sizeof(CK_ATTRIBUTE)};
	bool failed;

	/* The bytes would be taken for an attribute whose pValue is 0x5a5a5a5a5a5a5a5a. */
	nested[0] = (CK_ATTRIBUTE){CKA_ID, guarded(&c, 24), 24};
	cr_expect_eq(answer_text(&c, &item, "[[{\"CKA_UNWRAP_TEMPLATE\":[{\"CKA_ID\":\"AAAA\"}]}]]", &failed),
		CKR_BUFFER_TOO_SMALL);
	cr_expect_not(failed);
	cr_expect_eq(nested[0].ulValueLen, CK_UNAVAILABLE_INFORMATION);
	cr_expect_eq(*(unsigned char *)nested[0].pValue, 0x5a);
}

Test(attribute, pointers_of_the_worker_do_not_leave_it)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE *inner = guarded(&c, sizeof(CK_ATTRIBUTE)), *nested = guarded(&c, sizeof(CK_ATTRIBUTE));
	CK_ATTRIBUTE item = {CKA_WRAP_TEMPLATE, nested, sizeof(CK_ATTRIBUTE)};
	struct query_case q;
	CK_ATTRIBUTE *asked;

	inner[0] = (CK_ATTRIBUTE){CKA_ID, guarded(&c, 8), 8};
	nested[0] = (CK_ATTRIBUTE){CKA_UNWRAP_TEMPLATE, inner, sizeof(CK_ATTRIBUTE)};
	asked = ask(&q, &c, &item, 1);
	((CK_ATTRIBUTE *)asked->pValue)[0].type = CKA_ID;
	cr_expect_eq(answer(&q, CKR_OK), CKR_OK);
	cr_expect_eq(nested[0].type, CKA_ID);
	cr_expect_eq(nested[0].ulValueLen, CK_UNAVAILABLE_INFORMATION);
}

static void expect_broken_answer(CK_ATTRIBUTE_TYPE type, const char *attributes)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE item = {type, guarded(&c, 24), 24};
	bool failed;

	if (type == CKA_WRAP_TEMPLATE)
		memset(item.pValue, 0, 24);
	cr_expect_eq(answer_text(&c, &item, attributes, &failed), CKR_GENERAL_ERROR, "%s", attributes);
	cr_expect(failed, "%s", attributes);
	cr_expect_eq(item.ulValueLen, 24);
}

Test(attribute, broken_answers_to_a_query_are_a_general_error_and_change_nothing)
{
	expect_broken_answer(CKA_LABEL, "null");
	expect_broken_answer(CKA_LABEL, "[]");
	expect_broken_answer(CKA_LABEL, "[\"a\",\"b\"]");
	expect_broken_answer(CKA_LABEL, "[5]");
	expect_broken_answer(CKA_LABEL, "[{\"CKA_LABEL\":\"a\"}]");
	expect_broken_answer(CKA_LABEL, "[{\"length\":-1}]");
	expect_broken_answer(CKA_CLASS, "[{\"length\":\"18446744073709551615\"}]");
	expect_broken_answer(CKA_CLASS, "[\"CKK_EC\"]");
	expect_broken_answer(CKA_VENDOR_DEFINED | CKF_ARRAY_ATTRIBUTE, "[{\"bytes\":\"AAAA\"}]");
	expect_broken_answer(CKA_WRAP_TEMPLATE, "[[\"a\"]]");
	expect_broken_answer(CKA_WRAP_TEMPLATE, "[{\"raw\":\"AAAA\"}]");
	expect_broken_answer(CKA_WRAP_TEMPLATE, "[[{}]]");
	expect_broken_answer(CKA_WRAP_TEMPLATE, "[[{\"CKA_LABEL\":\"a\",\"CKA_ID\":\"\"}]]");
}

Test(attribute, answers_that_do_not_fit_write_nothing_beyond_the_callers_memory)
{
	static const char *const answers[] = {
		"[\"a label that is much too long for it\"]", "[{\"length\":100}]", "[{\"raw\":\"AAAAAAAAAAAAAAAA\"}]"};

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		CODEC_CASE(c);
		CK_ATTRIBUTE item = {CKA_LABEL, guarded(&c, 4), 4};
		bool failed;

		cr_expect_eq(answer_text(&c, &item, answers[i], &failed), CKR_BUFFER_TOO_SMALL);
		cr_expect_not(failed);
		cr_expect_eq(item.ulValueLen, CK_UNAVAILABLE_INFORMATION);
	}
}
