#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "api/limits.h"
#include "tests/unit/api/attribute_values.h"
#include "tests/unit/api/codec_case.h"

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
	for (size_t i = 0; i < ATTRIBUTE_TYPES; i++) {
		cr_assert_not_null(attribute_row(attribute_types[i]));
		cr_expect_eq(attribute_row(attribute_types[i])->type, attribute_types[i]);
		cr_expect_str_eq(attribute_row(attribute_types[i])->name, name_of(NAMES_ATTRIBUTE, attribute_types[i]));
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
	for (size_t i = 0; i < ATTRIBUTE_TYPES; i++) {
		enum attribute_type value = attribute_row(attribute_types[i])->value;

		cr_expect_eq((attribute_types[i] & CKF_ARRAY_ATTRIBUTE) != 0,
			value == ATTRIBUTE_MECHANISMS || value == ATTRIBUTE_TEMPLATE, "0x%lx", attribute_types[i]);
	}
}

Test(attribute, every_attribute_with_a_usual_value_makes_the_round_trip)
{
	for (size_t i = 0; i < ATTRIBUTE_TYPES; i++) {
		_Alignas(16) unsigned char value[32];

		if (attribute_row(attribute_types[i])->value != ATTRIBUTE_TEMPLATE)
			expect_round(attribute_types[i], value, usual_value(attribute_row(attribute_types[i]), value));
	}
}

Test(attribute, every_attribute_without_a_value_makes_the_round_trip)
{
	unsigned char nothing[1];

	for (size_t i = 0; i < ATTRIBUTE_TYPES; i++) {
		expect_round(attribute_types[i], NULL, 0);
		expect_round(attribute_types[i], nothing, 0);
	}
}

Test(attribute, a_value_of_a_wrong_length_or_content_makes_the_round_trip)
{
	_Alignas(16) unsigned char value[] = {
		0xc3, 0x28, 0, 'x', 2, 0xff, '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0'};

	for (size_t i = 0; i < ATTRIBUTE_TYPES; i++) {
		for (CK_ULONG len = 1; len <= sizeof(value); len++) {
			if (attribute_row(attribute_types[i])->value != ATTRIBUTE_TEMPLATE)
				expect_round(attribute_types[i], value, len);
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
	expect_round(NSS_TRUST_SERVER_AUTH, "abc", 3);
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

	if (id == CALL_CreateObject) {
		create(&c, items, count, values);
	} else {
		values[2].attributes.items = items;
		values[2].attributes.count = count;
	}
	return encode_tried(call_row(id), values);
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
