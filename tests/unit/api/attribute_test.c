#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "api/limits.h"
#include "tests/unit/api/codec_case.h"

static const CK_ATTRIBUTE_TYPE types[] = {
#define ATTRIBUTE(name, ...) name,
#include "api/attributes.def"
};
enum { TYPES = sizeof(types) / sizeof(types[0]) };

/* A usual value of the type, at most 32 bytes, and its length. */
static CK_ULONG usual_value(const struct attribute_row *row, void *out)
{
	static const CK_MECHANISM_TYPE mechanisms[] = {CKM_ECDSA, CKM_RSA_PKCS_PSS, 0x80000001};
	CK_ULONG number = 3;

	switch (row->value) {
	case ATTRIBUTE_BOOL: *(CK_BBOOL *)out = CK_TRUE; return sizeof(CK_BBOOL);
	case ATTRIBUTE_ULONG:
	case ATTRIBUTE_NAME: memcpy(out, &number, sizeof(number)); return sizeof(number);
	case ATTRIBUTE_TEXT: memcpy(out, "Schl\xc3\xbcssel \"1\"", 15); return 15;
	case ATTRIBUTE_BYTES: memcpy(out, "\x00\xff\x80 bytes", 9); return 9;
	case ATTRIBUTE_DATE: memcpy(out, "20261122", 8); return 8;
	case ATTRIBUTE_MECHANISMS: memcpy(out, mechanisms, sizeof(mechanisms)); return sizeof(mechanisms);
	case ATTRIBUTE_TEMPLATE: break;
	}
	return 0;
}

static void create(struct codec_case *c, CK_ATTRIBUTE *items, CK_ULONG count, union wire_value values[])
{
	values[0].number = 1;
	values[1].attributes.items = items;
	values[1].attributes.count = count;
	values[2].number_out = guarded(c, sizeof(CK_ULONG));
}

/* What the worker decodes from a template of one attribute. */
static CK_ATTRIBUTE template_round(struct codec_case *c, CK_ATTRIBUTE_TYPE type, void *data, CK_ULONG len)
{
	CK_ATTRIBUTE item = {type, data, len};
	union wire_value values[CALL_ARGUMENTS_MAX];
	struct call call;

	create(c, &item, 1, values);
	encode_request(c, call_row(CALL_CreateObject), values);
	call = decode_request(c);
	cr_assert_eq(call.values[1].attributes.count, 1);
	return call.values[1].attributes.items[0];
}

static void expect_round(CK_ATTRIBUTE_TYPE type, void *data, CK_ULONG len)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE back = template_round(&c, type, data, len);

	cr_expect_eq(back.type, type);
	cr_expect_eq(back.ulValueLen, len, "0x%lx has %lu bytes, not %lu", type, back.ulValueLen, len);
	cr_expect_eq(back.pValue == NULL, data == NULL, "0x%lx", type);
	cr_expect(len == 0 || memcmp(back.pValue, data, len) == 0, "0x%lx", type);
}

Test(attribute, every_row_is_found_by_its_type)
{
	for (size_t i = 0; i < TYPES; i++) {
		cr_assert_not_null(attribute_row(types[i]));
		cr_expect_eq(attribute_row(types[i])->type, types[i]);
		cr_expect_str_eq(attribute_row(types[i])->name, name_of(NAMES_ATTRIBUTE, types[i]));
	}
	cr_expect_null(attribute_row(CKA_VENDOR_DEFINED));
	cr_expect_null(attribute_row(CK_UNAVAILABLE_INFORMATION));
}

Test(attribute, key_material_is_marked_secret)
{
	static const CK_ATTRIBUTE_TYPE secrets[] = {CKA_VALUE, CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2,
		CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_COEFFICIENT, CKA_X2RATCHET_RK};

	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		cr_expect(attribute_row(secrets[i])->secret, "0x%lx", secrets[i]);
	cr_expect_not(attribute_row(CKA_LABEL)->secret);
	cr_expect_not(attribute_row(CKA_MODULUS)->secret);
	cr_expect_not(attribute_row(CKA_EC_POINT)->secret);
}

Test(attribute, array_attributes_of_the_standard_are_typed)
{
	for (size_t i = 0; i < TYPES; i++) {
		enum attribute_type value = attribute_row(types[i])->value;

		cr_expect_eq((types[i] & CKF_ARRAY_ATTRIBUTE) != 0,
			value == ATTRIBUTE_MECHANISMS || value == ATTRIBUTE_TEMPLATE, "0x%lx", types[i]);
	}
}

Test(attribute, every_attribute_with_a_usual_value_makes_the_round_trip)
{
	for (size_t i = 0; i < TYPES; i++) {
		_Alignas(16) unsigned char value[32];

		if (attribute_row(types[i])->value != ATTRIBUTE_TEMPLATE)
			expect_round(types[i], value, usual_value(attribute_row(types[i]), value));
	}
}

Test(attribute, every_attribute_without_a_value_makes_the_round_trip)
{
	unsigned char nothing[1];

	for (size_t i = 0; i < TYPES; i++) {
		expect_round(types[i], NULL, 0);
		expect_round(types[i], nothing, 0);
	}
}

Test(attribute, a_value_of_a_wrong_length_or_content_makes_the_round_trip)
{
	_Alignas(16) unsigned char value[] = {
		0xc3, 0x28, 0, 'x', 2, 0xff, '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0'};

	for (size_t i = 0; i < TYPES; i++) {
		for (CK_ULONG len = 1; len <= sizeof(value); len++) {
			if (attribute_row(types[i])->value != ATTRIBUTE_TEMPLATE)
				expect_round(types[i], value, len);
		}
	}
}

Test(attribute, numbers_at_their_bounds_make_the_round_trip)
{
	CK_ULONG numbers[] = {0, 1, 1UL << 53, (1UL << 53) + 1, 0xffffffff, CK_UNAVAILABLE_INFORMATION - 1,
		CK_UNAVAILABLE_INFORMATION};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		expect_round(CKA_MODULUS_BITS, &numbers[i], sizeof(CK_ULONG));
		expect_round(CKA_KEY_TYPE, &numbers[i], sizeof(CK_ULONG));
		expect_round(CKA_KEY_GEN_MECHANISM, &numbers[i], sizeof(CK_ULONG));
		expect_round(CKA_ALLOWED_MECHANISMS, &numbers[i], sizeof(CK_ULONG));
	}
}

Test(attribute, an_unaligned_number_is_read_bytewise)
{
	_Alignas(16) unsigned char memory[32] = {0};

	memory[1] = 5;
	expect_round(CKA_MODULUS_BITS, memory + 1, sizeof(CK_ULONG));
}

Test(attribute, a_vendor_attribute_travels_as_bytes)
{
	CODEC_CASE(c);
	unsigned char value[] = {1, 2, 3};
	CK_ATTRIBUTE item = {0x80000001, value, 3};
	union wire_value values[CALL_ARGUMENTS_MAX];

	expect_round(0x80000001, value, 3);
	expect_round(0x80000001, value, 0);
	expect_round(0x80000001, NULL, 0);
	create(&c, &item, 1, values);
	encode_request(&c, call_row(CALL_CreateObject), values);
	expect_written(&c, "{\"CreateObject\":{\"session\":1,\"attributes\":[{\"0x80000001\":{\"bytes\":\"AQID\"}}]}}");
}

Test(attribute, the_wire_form_is_as_documented)
{
	CODEC_CASE(c);
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ULONG bits = 2048, none = CK_UNAVAILABLE_INFORMATION;
	CK_BBOOL yes = CK_TRUE;
	CK_MECHANISM_TYPE allowed[] = {CKM_ECDSA};
	CK_ATTRIBUTE nested[] = {{CKA_SIGN, &yes, 1}};
	CK_ATTRIBUTE items[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, "a\"b", 3}, {CKA_ID, "\xff\xff", 2},
		{CKA_SIGN, &yes, 1}, {CKA_MODULUS_BITS, &bits, sizeof(bits)},
		{CKA_KEY_GEN_MECHANISM, &none, sizeof(none)}, {CKA_START_DATE, "20261122", 8},
		{CKA_ALLOWED_MECHANISMS, allowed, sizeof(allowed)}, {CKA_UNWRAP_TEMPLATE, nested, sizeof(nested)},
		{CKA_VALUE, NULL, 0}, {CKA_TOKEN, "\2", 1}};
	union wire_value values[CALL_ARGUMENTS_MAX];

	create(&c, items, sizeof(items) / sizeof(items[0]), values);
	encode_request(&c, call_row(CALL_CreateObject), values);
	expect_written(&c,
		"{\"CreateObject\":{\"session\":1,\"attributes\":[{\"CKA_CLASS\":\"CKO_PRIVATE_KEY\"},{\"CKA_LABEL\":"
		"\"a\\\"b\"},"
		"{\"CKA_ID\":\"__8\"},{\"CKA_SIGN\":true},{\"CKA_MODULUS_BITS\":2048},"
		"{\"CKA_KEY_GEN_MECHANISM\":\"CK_UNAVAILABLE_INFORMATION\"},{\"CKA_START_DATE\":\"2026-11-22\"},"
		"{\"CKA_ALLOWED_MECHANISMS\":[\"CKM_ECDSA\"]},{\"CKA_UNWRAP_TEMPLATE\":[{\"CKA_SIGN\":true}]},{\"CKA_"
		"VALUE\":null},"
		"{\"CKA_TOKEN\":{\"raw\":\"Ag\"}}]}}");
}

static CK_RV refusal(CK_ATTRIBUTE *items, CK_ULONG count, enum call_id id)
{
	CODEC_CASE(c);
	union wire_value values[CALL_ARGUMENTS_MAX] = {0};
	struct json_writer w;
	CK_RV rv;

	json_writer_init(&w, &c.text);
	if (id == CALL_CreateObject) {
		create(&c, items, count, values);
	} else {
		values[2].attributes.items = items;
		values[2].attributes.count = count;
	}
	rv = call_encode(&w, call_row(id), values);
	cr_expect(rv == CKR_OK || c.text.len == 0);
	return rv;
}

Test(attribute, what_no_template_can_hold_is_refused_by_the_client)
{
	static unsigned char value[LIMIT_ATTRIBUTE_VALUE + 1];
	CK_ATTRIBUTE many[LIMIT_ATTRIBUTES + 1];

	for (size_t i = 0; i < LIMIT_ATTRIBUTES + 1; i++)
		many[i] = (CK_ATTRIBUTE){CKA_SIGN, value, 1};
	cr_expect_eq(refusal(many, LIMIT_ATTRIBUTES, CALL_CreateObject), CKR_OK);
	cr_expect_eq(refusal(many, LIMIT_ATTRIBUTES + 1, CALL_CreateObject), CKR_ATTRIBUTE_VALUE_INVALID);
	cr_expect_eq(refusal(many, LIMIT_ATTRIBUTES + 1, CALL_GetAttributeValue), CKR_ATTRIBUTE_VALUE_INVALID);
	cr_expect_eq(refusal(&(CK_ATTRIBUTE){CKA_ID, value, LIMIT_ATTRIBUTE_VALUE}, 1, CALL_CreateObject), CKR_OK);
	cr_expect_eq(refusal(&(CK_ATTRIBUTE){CKA_ID, value, LIMIT_ATTRIBUTE_VALUE + 1}, 1, CALL_CreateObject),
		CKR_ATTRIBUTE_VALUE_INVALID);
	cr_expect_eq(refusal(&(CK_ATTRIBUTE){CKA_ID, value, CK_UNAVAILABLE_INFORMATION}, 1, CALL_CreateObject),
		CKR_ATTRIBUTE_VALUE_INVALID);
	cr_expect_eq(refusal(&(CK_ATTRIBUTE){CKA_ID, NULL, 1}, 1, CALL_CreateObject), CKR_ATTRIBUTE_VALUE_INVALID);
	cr_expect_eq(refusal(&(CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, value, sizeof(CK_ATTRIBUTE) + 1}, 1, CALL_CreateObject),
		CKR_ATTRIBUTE_VALUE_INVALID);
	cr_expect_eq(
		refusal(&(CK_ATTRIBUTE){CKA_VENDOR_DEFINED | CKF_ARRAY_ATTRIBUTE, value, 24}, 1, CALL_CreateObject),
		CKR_ATTRIBUTE_TYPE_INVALID);
}

/* `depth` templates within the template, the innermost with CKA_SIGN. */
static void nest(CK_ATTRIBUTE *levels, unsigned depth)
{
	static CK_BBOOL yes = CK_TRUE;

	for (unsigned i = 0; i < depth; i++)
		levels[i] = (CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, &levels[i + 1], sizeof(CK_ATTRIBUTE)};
	levels[depth] = (CK_ATTRIBUTE){CKA_SIGN, &yes, 1};
}

Test(attribute, templates_nest_up_to_their_limit)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE levels[LIMIT_TEMPLATE_DEPTH + 2];
	union wire_value values[CALL_ARGUMENTS_MAX];
	const CK_ATTRIBUTE *item;
	struct call call;

	nest(levels, LIMIT_TEMPLATE_DEPTH);
	create(&c, levels, 1, values);
	encode_request(&c, call_row(CALL_CreateObject), values);
	call = decode_request(&c);
	item = call.values[1].attributes.items;
	for (unsigned i = 0; i < LIMIT_TEMPLATE_DEPTH; i++) {
		cr_assert_eq(item->type, CKA_WRAP_TEMPLATE);
		cr_assert_eq(item->ulValueLen, sizeof(CK_ATTRIBUTE));
		item = item->pValue;
	}
	cr_expect_eq(item->type, CKA_SIGN);
	cr_expect_eq(*(CK_BBOOL *)item->pValue, CK_TRUE);
	nest(levels, LIMIT_TEMPLATE_DEPTH + 1);
	cr_expect_eq(refusal(levels, 1, CALL_CreateObject), CKR_ATTRIBUTE_VALUE_INVALID);
	cr_expect_eq(refusal(levels, 1, CALL_GetAttributeValue), CKR_ATTRIBUTE_VALUE_INVALID);
}

Test(attribute, a_nested_template_may_be_null_or_empty)
{
	CODEC_CASE(c);
	unsigned char nothing[1];
	CK_ATTRIBUTE back = template_round(&c, CKA_DERIVE_TEMPLATE, NULL, 0);

	cr_expect_null(back.pValue);
	back = template_round(&c, CKA_DERIVE_TEMPLATE, nothing, 0);
	cr_expect_not_null(back.pValue);
	cr_expect_eq(back.ulValueLen, 0);
}

/* `call_text` is up to where the attributes begin. */
static void expect_refused(const char *call_text, const char *attributes)
{
	CODEC_CASE(c);
	struct call call;
	char text[512];

	(void)snprintf(text, sizeof(text), "%s%s}}", call_text, attributes);
	cr_expect_not(decode_text(&c, text, &call), "%s", text);
}

Test(attribute, broken_templates_are_refused)
{
	static const char *const broken[] = {
		"{}",
		"[1]",
		"[{}]",
		"[null]",
		"[{\"CKA_LABEL\":\"a\",\"CKA_ID\":\"\"}]",
		"[{\"CKA_LABEL\":\"a\",\"CKA_LABEL\":\"a\"}]",
		"[{\"CKA_NOTHING\":\"\"}]",
		"[{\"label\":\"\"}]",
		"[{\"CKM_ECDSA\":\"\"}]",
		"[{\"CKA_LABEL\":5}]",
		"[{\"CKA_LABEL\":{}}]",
		"[{\"CKA_LABEL\":{\"raw\":\"AA\",\"raw\":\"AA\"}}]",
		"[{\"CKA_LABEL\":{\"bytes\":\"AA\"}}]",
		"[{\"CKA_LABEL\":{\"length\":1}}]",
		"[{\"CKA_LABEL\":[]}]",
		"[{\"CKA_ID\":\"?\"}]",
		"[{\"CKA_SIGN\":1}]",
		"[{\"CKA_SIGN\":\"true\"}]",
		"[{\"CKA_CLASS\":3}]",
		"[{\"CKA_CLASS\":\"CKK_EC\"}]",
		"[{\"CKA_CLASS\":\"0x3\"}]",
		"[{\"CKA_MODULUS_BITS\":-1}]",
		"[{\"CKA_MODULUS_BITS\":\"x\"}]",
		"[{\"CKA_MODULUS_BITS\":\"18446744073709551616\"}]",
		"[{\"CKA_START_DATE\":\"20261122\"}]",
		"[{\"CKA_START_DATE\":\"2026-11-2x\"}]",
		"[{\"CKA_ALLOWED_MECHANISMS\":\"CKM_ECDSA\"}]",
		"[{\"CKA_ALLOWED_MECHANISMS\":[1]}]",
		"[{\"CKA_WRAP_TEMPLATE\":\"AAAA\"}]",
		"[{\"CKA_WRAP_TEMPLATE\":{\"raw\":\"AAAA\"}}]",
		"[{\"CKA_WRAP_TEMPLATE\":{\"bytes\":\"AAAA\"}}]",
		"[{\"0x80000001\":\"AA\"}]",
		"[{\"0x80000001\":{\"raw\":\"AA\"}}]",
		"[{\"0x80000001\":5}]",
		"[{\"0x3\":\"a\"}]",
		"[{\"0xc0000211\":{\"bytes\":\"AA\"}}]",
		"[{\"CK_UNAVAILABLE_INFORMATION\":{\"bytes\":\"AA\"}}]",
		"[{\"CKA_WRAP_TEMPLATE\":[{\"CKA_WRAP_TEMPLATE\":[{\"CKA_WRAP_TEMPLATE\":[{\"CKA_WRAP_TEMPLATE\":[{"
		"\"CKA_WRAP_TEMPLATE\":[]}]}]}]}]}]",
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		expect_refused("{\"FindObjectsInit\":{\"session\":1,\"attributes\":", broken[i]);
}

Test(attribute, broken_queries_are_refused)
{
	static const char *const broken[] = {
		"{}",
		"[1]",
		"[{}]",
		"[{\"CKA_LABEL\":\"a\"}]",
		"[{\"CKA_LABEL\":-1}]",
		"[{\"CKA_LABEL\":1,\"CKA_ID\":1}]",
		"[{\"CKA_LABEL\":[]}]",
		"[{\"CKA_LABEL\":true}]",
		"[{\"CKA_WRAP_TEMPLATE\":48}]",
		"[{\"CKA_NOTHING\":1}]",
		"[{\"0xc0000211\":64}]",
		"[{\"CKA_WRAP_TEMPLATE\":[{\"CKA_WRAP_TEMPLATE\":[{\"CKA_WRAP_TEMPLATE\":[{\"CKA_WRAP_TEMPLATE\":[{"
		"\"CKA_WRAP_TEMPLATE\":[]}]}]}]}]}]",
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		expect_refused("{\"GetAttributeValue\":{\"session\":1,\"object\":2,\"attributes\":", broken[i]);
}

/* A template with `count` attributes CKA_ID, each with `characters` characters of base64url. */
static bool template_accepted(size_t count, size_t characters)
{
	CODEC_CASE(c);
	struct call call;

	buffer_text(&c.text, "{\"FindObjectsInit\":{\"session\":1,\"attributes\":[");
	for (size_t i = 0; i < count; i++) {
		unsigned char *value;

		buffer_text(&c.text, i == 0 ? "{\"CKA_ID\":\"" : ",{\"CKA_ID\":\"");
		value = buffer_reserve(&c.text, characters + 1);
		cr_assert_not_null(value);
		memset(value, 'A', characters);
		c.text.len += characters;
		buffer_text(&c.text, "\"}");
	}
	buffer_text(&c.text, "]}}");
	buffer_byte(&c.text, '\0');
	return decode_text(&c, (const char *)c.text.data, &call);
}

Test(attribute, limits_hold_in_the_worker_too)
{
	/* 4 characters are 3 bytes. */
	size_t most = LIMIT_ATTRIBUTE_VALUE / 3 * 4;

	cr_expect(template_accepted(LIMIT_ATTRIBUTES, 4));
	cr_expect_not(template_accepted(LIMIT_ATTRIBUTES + 1, 4));
	cr_expect(template_accepted(1, most));
	cr_expect_not(template_accepted(1, most + 4));
}

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
	for (size_t i = 0; i < TYPES; i++) {
		CODEC_CASE(c);
		const struct attribute_row *row = attribute_row(types[i]);
		_Alignas(16) unsigned char value[32];
		CK_ULONG len = usual_value(row, value);
		CK_ATTRIBUTE item = {types[i], guarded(&c, len), len};
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
	for (size_t i = 0; i < TYPES; i++) {
		CODEC_CASE(c);
		CK_ATTRIBUTE item = {types[i], NULL, 77};
		CK_ULONG len = attribute_row(types[i])->value == ATTRIBUTE_TEMPLATE ? 3 * sizeof(CK_ATTRIBUTE)
										    : 3 * sizeof(CK_ULONG);
		struct query_case q;
		CK_ATTRIBUTE *asked = ask(&q, &c, &item, 1);

		cr_expect_null(asked->pValue);
		asked->ulValueLen = len;
		cr_expect_eq(answer(&q, CKR_OK), CKR_OK);
		cr_expect_eq(item.ulValueLen, len, "%s", attribute_row(types[i])->name);
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
	enum { NSS_TRUST_SERVER_AUTH = 0xce536358 };
	CODEC_CASE(c);
	CK_ATTRIBUTE item = {NSS_TRUST_SERVER_AUTH, guarded(&c, 8), 8};
	struct query_case q;
	CK_ATTRIBUTE *asked = ask(&q, &c, &item, 1);

	memcpy(asked->pValue, "\1\2\3\4\5\6\7\10", 8);
	cr_expect_eq(answer(&q, CKR_OK), CKR_OK);
	cr_expect(memcmp(item.pValue, "\1\2\3\4\5\6\7\10", 8) == 0);
	expect_round(NSS_TRUST_SERVER_AUTH, "abc", 3);
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

Test(attribute, a_template_is_not_stored_where_the_application_has_bytes)
{
	CODEC_CASE(c);
	CK_ATTRIBUTE *nested = guarded(&c, sizeof(CK_ATTRIBUTE));
	CK_ATTRIBUTE item = {CKA_WRAP_TEMPLATE, nested, sizeof(CK_ATTRIBUTE)};
	union wire_value values[CALL_ARGUMENTS_MAX] = {0};
	bool failed;

	/* The bytes would be taken for an attribute whose pValue is 0x5a5a5a5a5a5a5a5a. */
	nested[0] = (CK_ATTRIBUTE){CKA_ID, guarded(&c, 24), 24};
	values[2].attributes.items = &item;
	values[2].attributes.count = 1;
	cr_expect_eq(decode_result_text(&c,
			     "{\"rv\":\"CKR_OK\",\"attributes\":[[{\"CKA_UNWRAP_TEMPLATE\":[{\"CKA_ID\":\"AAAA\"}]}]]}",
			     call_row(CALL_GetAttributeValue), values, &failed),
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
	union wire_value values[CALL_ARGUMENTS_MAX] = {0};
	char text[512];
	bool failed;

	if (type == CKA_WRAP_TEMPLATE)
		memset(item.pValue, 0, 24);
	values[2].attributes.items = &item;
	values[2].attributes.count = 1;
	(void)snprintf(text, sizeof(text), "{\"rv\":\"CKR_OK\",\"attributes\":%s}", attributes);
	cr_expect_eq(decode_result_text(&c, text, call_row(CALL_GetAttributeValue), values, &failed), CKR_GENERAL_ERROR,
		"%s", text);
	cr_expect(failed, "%s", text);
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
		union wire_value values[CALL_ARGUMENTS_MAX] = {0};
		char text[512];
		bool failed;

		values[2].attributes.items = &item;
		values[2].attributes.count = 1;
		(void)snprintf(text, sizeof(text), "{\"rv\":\"CKR_OK\",\"attributes\":%s}", answers[i]);
		cr_expect_eq(decode_result_text(&c, text, call_row(CALL_GetAttributeValue), values, &failed),
			CKR_BUFFER_TOO_SMALL);
		cr_expect_not(failed);
		cr_expect_eq(item.ulValueLen, CK_UNAVAILABLE_INFORMATION);
	}
}
