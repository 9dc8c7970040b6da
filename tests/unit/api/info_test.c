/* The structures that tell of slots, tokens, sessions and mechanisms over the wire. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/api/structure_values.h"

static size_t info_text(struct codec_case *c, const CK_TOKEN_INFO *info)
{
	struct json_writer w;

	buffer_reset(&c->text);
	json_writer_init(&w, &c->text);
	info_encode(&w, WIRE_TOKEN_INFO, info);
	return c->text.len;
}

Test(info, padded_text_is_trimmed_and_any_other_bytes_are_kept)
{
	CODEC_CASE(c);
	CK_TOKEN_INFO info, back;
	struct json_reader in;

	memset(&info, 0, sizeof(info));
	memset(info.label, ' ', sizeof(info.label));
	memcpy(info.label, "demo", 4);
	memcpy(info.model, "Schl\xfcssel        ", 16);
	info.firmwareVersion = (CK_VERSION){2, 40};
	info.ulMaxSessionCount = CK_UNAVAILABLE_INFORMATION;
	info.flags = CKF_RNG | CKF_TOKEN_INITIALIZED;
	cr_assert_gt(info_text(&c, &info), 0);
	buffer_byte(&c.text, '\0');
	cr_expect_not_null(strstr((char *)c.text.data, "\"label\":\"demo\","));
	cr_expect_not_null(strstr((char *)c.text.data, "\"model\":{\"raw\":"));
	cr_expect_not_null(strstr((char *)c.text.data, "\"firmwareVersion\":\"2.40\""));
	cr_expect_not_null(strstr((char *)c.text.data, "\"ulMaxSessionCount\":null"));
	cr_expect_not_null(strstr((char *)c.text.data, "\"flags\":[\"RNG\",\"TOKEN_INITIALIZED\"]"));
	json_reader_init(&in, (const char *)c.text.data, c.text.len - 1, &c.arena);
	cr_assert(info_decode(&in, WIRE_TOKEN_INFO, &back), "%s", in.error);
	cr_expect(structure_same(STRUCT_TOKEN_INFO, &info, &back));
}

Test(info, a_broken_structure_is_refused_and_nothing_is_written)
{
	static const char *const broken[] = {
		"{}",
		"null",
		"{\"ulMinKeySize\":1,\"ulMaxKeySize\":2}",
		"{\"ulMinKeySize\":1,\"ulMaxKeySize\":2,\"flags\":5}",
		"{\"ulMinKeySize\":1,\"ulMaxKeySize\":2,\"flags\":[],\"x\":1}",
		"{\"ulMinKeySize\":1,\"ulMaxKeySize\":2,\"flags\":[\"RNG\"]}",
		"{\"ulMinKeySize\":\"x\",\"ulMaxKeySize\":2,\"flags\":[]}",
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		CODEC_CASE(c);
		CK_MECHANISM_INFO info = {7, 7, 7};
		struct json_reader in;

		json_reader_init(&in, broken[i], strlen(broken[i]), &c.arena);
		cr_expect_not(info_decode(&in, WIRE_MECHANISM_INFO, &info), "%s", broken[i]);
		cr_expect(info.ulMinKeySize == 7 && info.ulMaxKeySize == 7 && info.flags == 7);
	}
}

Test(info, every_version_makes_the_round_trip)
{
	for (unsigned number = 0; number < 256; number++) {
		CODEC_CASE(c);
		CK_SLOT_INFO info, back;
		struct json_writer w;
		struct json_reader in;

		memset(&info, ' ', sizeof(info));
		info.hardwareVersion = (CK_VERSION){(CK_BYTE)number, (CK_BYTE)(255 - number)};
		json_writer_init(&w, &c.text);
		info_encode(&w, WIRE_SLOT_INFO, &info);
		json_reader_init(&in, (const char *)c.text.data, c.text.len, &c.arena);
		cr_assert(info_decode(&in, WIRE_SLOT_INFO, &back), "%s", in.error);
		cr_expect_eq(back.hardwareVersion.major, number);
		cr_expect_eq(back.hardwareVersion.minor, 255 - number);
	}
}

/* A slot's information with this description, as it is on the wire, and this version of its hardware. */
static void expect_no_slot_info(const char *description, const char *version)
{
	CODEC_CASE(c);
	CK_SLOT_INFO info;
	struct json_reader in;
	char text[256];

	(void)snprintf(text, sizeof(text),
		"{\"slotDescription\":%s,\"manufacturerID\":\"\",\"flags\":[],\"hardwareVersion\":\"%s\","
		"\"firmwareVersion\":\"0.0\"}",
		description, version);
	json_reader_init(&in, text, strlen(text), &c.arena);
	cr_expect_not(info_decode(&in, WIRE_SLOT_INFO, &info), "%s", text);
}

Test(info, padded_text_fits_its_array)
{
	static const char *const broken[] = {"\"12345678901234567890123456789012345678901234567890123456789012345\"",
		"5", "null", "{\"raw\":\"AAAA\"}", "{\"text\":\"\"}", "{}", "{\"raw\":5}"};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		expect_no_slot_info(broken[i], "0.0");
}

Test(info, versions_are_two_numbers_of_a_byte_each)
{
	static const char *const broken[] = {
		"", ".", "2", "2.", ".40", "2.40.", "256.0", "2.256", "02.4", "2.04", "2,40", "-1.0"};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		expect_no_slot_info("\"\"", broken[i]);
}
