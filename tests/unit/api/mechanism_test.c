/* Mechanisms and the structures of their parameters over the wire. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/api/mechanism_rows.h"
#include "tests/unit/api/structure_values.h"

Test(structure, every_structure_makes_the_round_trip_member_by_member)
{
	for (int id = 0; id < STRUCT_COUNT; id++) {
		for (int full = 0; full < 2; full++) {
			CODEC_CASE(c);
			struct filler f = {&c, full != 0, 0};
			void *data = structure_filled(&f, (enum struct_id)id),
			     *back = guarded(&c, structure_size((enum struct_id)id));
			struct json_writer w;
			struct json_reader in;

			json_writer_init(&w, &c.text);
			structure_write(&w, (enum struct_id)id, data);
			json_reader_init(&in, (const char *)c.text.data, c.text.len, &c.arena);
			cr_assert(structure_read(&in, (enum struct_id)id, back) && json_end(&in), "%s: %s",
				struct_names[id], in.error);
			memset(c.text.data, '#', c.text.len);
			cr_expect(structure_same((enum struct_id)id, data, back), "%s", struct_names[id]);
			cr_expect(guards_intact(&c));
		}
	}
}

/* What the worker decodes. */
static CK_MECHANISM *round_trip(struct codec_case *c, CK_MECHANISM *mechanism)
{
	union wire_value values[CALL_ARGUMENTS_MAX] = {{.number = 1}, {.mechanism = mechanism}, {.number = 2}};
	struct call call;

	encode_request(c, call_row(CALL_SignInit), values);
	call = decode_request(c);
	cr_assert_not_null(call.values[1].mechanism);
	cr_expect_eq(call.values[1].mechanism->mechanism, mechanism->mechanism);
	return call.values[1].mechanism;
}

static CK_RV refusal(CK_MECHANISM *mechanism)
{
	CODEC_CASE(c);
	union wire_value values[CALL_ARGUMENTS_MAX] = {{.number = 1}, {.mechanism = mechanism}, {.number = 2}};
	struct json_writer w;
	CK_RV rv;

	json_writer_init(&w, &c.text);
	rv = call_encode(&w, call_row(CALL_SignInit), values);
	cr_expect(rv == CKR_OK || c.text.len == 0);
	return rv;
}

Test(mechanism, every_mechanism_travels_without_a_parameter)
{
	for (size_t i = 0; i < ROWS; i++) {
		CODEC_CASE(c);
		CK_MECHANISM *back = round_trip(&c, &(CK_MECHANISM){rows[i].type, NULL, 0});

		cr_expect_null(back->pParameter, "%s", rows[i].name);
		cr_expect_eq(back->ulParameterLen, 0);
	}
}

Test(mechanism, a_null_parameter_with_a_length_is_null)
{
	CODEC_CASE(c);
	CK_MECHANISM *back = round_trip(&c, &(CK_MECHANISM){CKM_AES_CBC, NULL, 16});

	cr_expect_null(back->pParameter);
	cr_expect_eq(back->ulParameterLen, 0);
}

Test(mechanism, every_structured_parameter_makes_the_round_trip)
{
	size_t structured = 0;

	for (size_t i = 0; i < ROWS; i++) {
		enum struct_id id = struct_named(rows[i].parameter);

		for (int full = 0; full < 2 && id < STRUCT_COUNT; full++) {
			CODEC_CASE(c);
			struct filler f = {&c, full != 0, i};
			void *data = structure_filled(&f, id);
			CK_MECHANISM *back = round_trip(&c, &(CK_MECHANISM){rows[i].type, data, structure_size(id)});

			cr_assert_eq(back->ulParameterLen, structure_size(id), "%s", rows[i].name);
			cr_expect_eq((size_t)back->pParameter % 16, 0);
			cr_expect(structure_same(id, data, back->pParameter), "%s", rows[i].name);
			structured++;
		}
	}
	cr_expect_gt(structured, 80);
}

Test(mechanism, every_plain_parameter_makes_the_round_trip)
{
	size_t plain = 0;

	for (size_t i = 0; i < ROWS; i++) {
		CODEC_CASE(c);
		CK_ULONG number = 0x20000000 + i;
		CK_MECHANISM *back;

		if (strcmp(rows[i].parameter, "BYTES") != 0 && strcmp(rows[i].parameter, "ULONG") != 0 &&
			strcmp(rows[i].parameter, "OBJECT") != 0)
			continue;
		back = round_trip(&c, &(CK_MECHANISM){rows[i].type, &number, sizeof(number)});
		cr_assert_eq(back->ulParameterLen, sizeof(number));
		cr_expect(memcmp(back->pParameter, &number, sizeof(number)) == 0, "%s", rows[i].name);
		plain++;
	}
	cr_expect_gt(plain, 90);
}

Test(mechanism, a_parameter_of_a_wrong_length_becomes_as_many_zero_bytes)
{
	for (size_t i = 0; i < ROWS; i++) {
		CODEC_CASE(c);
		unsigned char parameter[200];
		CK_MECHANISM mechanism = {rows[i].type, memset(parameter, 0xff, sizeof(parameter)), 199};
		CK_MECHANISM *back;

		if (strcmp(rows[i].parameter, "UNTYPED") == 0 || strcmp(rows[i].parameter, "BYTES") == 0)
			continue;
		back = round_trip(&c, &mechanism);
		cr_assert_eq(back->ulParameterLen, 199, "%s", rows[i].name);
		for (size_t at = 0; at < 199; at++)
			cr_assert_eq(((unsigned char *)back->pParameter)[at], 0);
		mechanism.ulParameterLen = 0;
		back = round_trip(&c, &mechanism);
		cr_expect_eq(back->ulParameterLen, 0);
	}
}

Test(mechanism, a_parameter_that_no_row_describes_never_travels)
{
	CK_ULONG parameter[8] = {0};

	for (size_t i = 0; i < ROWS; i++) {
		if (strcmp(rows[i].parameter, "UNTYPED") != 0)
			continue;
		cr_expect_eq(refusal(&(CK_MECHANISM){rows[i].type, parameter, sizeof(parameter)}),
			CKR_MECHANISM_PARAM_INVALID, "%s", rows[i].name);
		cr_expect_eq(refusal(&(CK_MECHANISM){rows[i].type, parameter, 0}), CKR_OK);
	}
	cr_expect_eq(refusal(&(CK_MECHANISM){0x80000001, parameter, sizeof(parameter)}), CKR_MECHANISM_PARAM_INVALID);
	cr_expect_eq(refusal(&(CK_MECHANISM){0x80000001, parameter, 0}), CKR_OK);
	cr_expect_eq(refusal(&(CK_MECHANISM){0x80000001, NULL, 0}), CKR_OK);
}

Test(mechanism, parameters_beyond_their_limits_are_refused_by_the_client)
{
	static unsigned char data[LIMIT_ATTRIBUTE_VALUE + 1];
	CK_GCM_PARAMS gcm = {data, LIMIT_ATTRIBUTE_VALUE, 96, NULL, 0, 128};

	cr_expect_eq(refusal(&(CK_MECHANISM){CKM_AES_CBC, data, LIMIT_ATTRIBUTE_VALUE}), CKR_OK);
	cr_expect_eq(
		refusal(&(CK_MECHANISM){CKM_AES_CBC, data, LIMIT_ATTRIBUTE_VALUE + 1}), CKR_MECHANISM_PARAM_INVALID);
	cr_expect_eq(refusal(&(CK_MECHANISM){CKM_ECDSA, data, LIMIT_ATTRIBUTE_VALUE + 1}), CKR_MECHANISM_PARAM_INVALID);
	cr_expect_eq(refusal(&(CK_MECHANISM){CKM_AES_GCM, &gcm, sizeof(gcm)}), CKR_OK);
	gcm.ulIvLen++;
	cr_expect_eq(refusal(&(CK_MECHANISM){CKM_AES_GCM, &gcm, sizeof(gcm)}), CKR_MECHANISM_PARAM_INVALID);
	gcm = (CK_GCM_PARAMS){NULL, 12, 96, NULL, 0, 128};
	cr_expect_eq(refusal(&(CK_MECHANISM){CKM_AES_GCM, &gcm, sizeof(gcm)}), CKR_MECHANISM_PARAM_INVALID);
}

Test(mechanism, the_wire_form_is_as_documented)
{
	CODEC_CASE(c);
	CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0};
	CK_RSA_AES_KEY_WRAP_PARAMS wrap = {256, &oaep};

	(void)round_trip(&c, &(CK_MECHANISM){CKM_ECDSA, NULL, 0});
	union wire_value values[CALL_ARGUMENTS_MAX] = {{.number = 1}, {.mechanism = NULL}, {.number = 2}};
	encode_request(&c, call_row(CALL_SignInit), values);
	expect_written(&c, "{\"SignInit\":{\"session\":1,\"mechanism\":null,\"key\":2}}");
	values[1].mechanism = &(CK_MECHANISM){CKM_RSA_AES_KEY_WRAP, &wrap, sizeof(wrap)};
	encode_request(&c, call_row(CALL_SignInit), values);
	expect_written(&c,
		"{\"SignInit\":{\"session\":1,\"mechanism\":{\"mechanism\":\"CKM_RSA_AES_KEY_WRAP\",\"parameter\":"
		"{\"ulAESKeyBits\":256,\"pOAEPParams\":{\"hashAlg\":\"CKM_SHA256\",\"mgf\":\"CKG_MGF1_SHA256\","
		"\"source\":\"CKZ_DATA_SPECIFIED\",\"pSourceData\":null}}},\"key\":2}}");
	values[1].mechanism = &(CK_MECHANISM){CKM_SHA256_HMAC_GENERAL, &(CK_ULONG){16}, sizeof(CK_ULONG)};
	encode_request(&c, call_row(CALL_SignInit), values);
	expect_written(&c, "{\"SignInit\":{\"session\":1,\"mechanism\":{\"mechanism\":\"CKM_SHA256_HMAC_GENERAL\","
			   "\"parameter\":16},\"key\":2}}");
	values[1].mechanism = &(CK_MECHANISM){0x80000001, NULL, 0};
	encode_request(&c, call_row(CALL_SignInit), values);
	expect_written(&c, "{\"SignInit\":{\"session\":1,\"mechanism\":{\"mechanism\":\"0x80000001\"},\"key\":2}}");
}

Test(mechanism, broken_mechanisms_are_refused)
{
	static const char *const broken[] = {
		"5",
		"[]",
		"{}",
		"\"CKM_ECDSA\"",
		"{\"mechanism\":5}",
		"{\"mechanism\":\"ECDSA\"}",
		"{\"mechanism\":\"CKM_ECDSA\",\"x\":1}",
		"{\"parameter\":\"AA\",\"mechanism\":\"CKM_AES_CBC\"}",
		"{\"mechanism\":\"CKM_ECDSA\",\"parameter\":\"AA\"}",
		"{\"mechanism\":\"CKM_AES_CBC\",\"parameter\":5}",
		"{\"mechanism\":\"CKM_AES_CBC\",\"parameter\":\"AA\",\"parameter\":\"AA\"}",
		"{\"mechanism\":\"CKM_AES_CBC\",\"mechanism\":\"CKM_AES_CBC\"}",
		"{\"mechanism\":\"CKM_AES_CBC\",\"parameter\":\"AA\",\"parameter_length\":1}",
		"{\"mechanism\":\"CKM_ECDSA\",\"parameter_length\":65537}",
		"{\"mechanism\":\"CKM_ECDSA\",\"parameter_length\":-1}",
		"{\"mechanism\":\"0x80000001\",\"parameter\":\"AA\"}",
		"{\"mechanism\":\"0x80000001\",\"parameter_length\":1}",
		"{\"mechanism\":\"CKM_TLS_PRF\",\"parameter_length\":48}",
		"{\"mechanism\":\"CKM_AES_CBC_ENCRYPT_DATA\",\"parameter\":"
		"\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
		"{\"mechanism\":\"CKM_AES_CBC_ENCRYPT_DATA\",\"parameter\":{\"iv\":\"AAAA\",\"pData\":\"\"}}",
		"{\"mechanism\":\"CKM_AES_CBC_ENCRYPT_DATA\",\"parameter\":{\"iv\":\"AAAAAAAAAAAAAAAAAAAAAA\"}}",
		"{\"mechanism\":\"CKM_AES_CBC_ENCRYPT_DATA\",\"parameter\":{\"iv\":\"AAAAAAAAAAAAAAAAAAAAAA\","
		"\"pData\":\"\",\"length\":5}}",
		"{\"mechanism\":\"CKM_AES_CBC_ENCRYPT_DATA\",\"parameter\":{\"iv\":\"AAAAAAAAAAAAAAAAAAAAAA\","
		"\"pData\":\"\",\"pData\":\"\"}}",
		"{\"mechanism\":\"CKM_AES_CBC_ENCRYPT_DATA\",\"parameter\":null}",
		"{\"mechanism\":\"CKM_RSA_PKCS_PSS\",\"parameter\":{\"hashAlg\":\"CKM_SHA256\",\"mgf\":\"CKM_SHA256\","
		"\"sLen\":32}}",
		"{\"mechanism\":\"CKM_EDDSA\",\"parameter\":{\"phFlag\":1,\"pContextData\":null}}",
		"{\"mechanism\":\"CKM_RSA_AES_KEY_WRAP\",\"parameter\":{\"ulAESKeyBits\":256,\"pOAEPParams\":\"AA\"}}",
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		CODEC_CASE(c);
		struct call call;
		char text[512];

		(void)snprintf(text, sizeof(text), "{\"DigestInit\":{\"session\":1,\"mechanism\":%s}}", broken[i]);
		cr_expect_not(decode_text(&c, text, &call), "%s", text);
	}
}

struct visits {
	CK_OBJECT_HANDLE seen[8];
	size_t count;
	CK_RV rv;
};

static CK_RV visit(void *context, CK_OBJECT_HANDLE *handle)
{
	struct visits *visits = context;

	visits->seen[visits->count++] = *handle;
	*handle += 1000;
	return visits->rv;
}

Test(mechanism, handles_within_a_parameter_are_visited_and_can_be_replaced)
{
	CK_OBJECT_HANDLE key = 7;
	CK_ECMQV_DERIVE_PARAMS ecmqv = {.hPrivateData = 8, .publicKey = 9};
	CK_HKDF_PARAMS hkdf = {.hSaltKey = CK_INVALID_HANDLE};
	struct visits visits = {.rv = CKR_OK};

	cr_expect_eq(mechanism_visit_handles(
			     &(CK_MECHANISM){CKM_CONCATENATE_BASE_AND_KEY, &key, sizeof(key)}, visit, &visits),
		CKR_OK);
	cr_expect_eq(mechanism_visit_handles(&(CK_MECHANISM){CKM_ECMQV_DERIVE, &ecmqv, sizeof(ecmqv)}, visit, &visits),
		CKR_OK);
	cr_expect_eq(
		mechanism_visit_handles(&(CK_MECHANISM){CKM_HKDF_DERIVE, &hkdf, sizeof(hkdf)}, visit, &visits), CKR_OK);
	cr_expect_eq(visits.count, 3);
	cr_expect_eq(visits.seen[0], 7);
	cr_expect_eq(visits.seen[1], 8);
	cr_expect_eq(visits.seen[2], 9);
	cr_expect_eq(key, 1007);
	cr_expect_eq(ecmqv.publicKey, 1009);
	cr_expect_eq(mechanism_visit_handles(&(CK_MECHANISM){CKM_ECDSA, &key, sizeof(key)}, visit, &visits), CKR_OK);
	cr_expect_eq(mechanism_visit_handles(&(CK_MECHANISM){CKM_ECMQV_DERIVE, &ecmqv, 8}, visit, &visits), CKR_OK);
	cr_expect_eq(mechanism_visit_handles(NULL, visit, &visits), CKR_OK);
	cr_expect_eq(visits.count, 3);
	visits.rv = CKR_KEY_HANDLE_INVALID;
	cr_expect_eq(mechanism_visit_handles(&(CK_MECHANISM){CKM_ECMQV_DERIVE, &ecmqv, sizeof(ecmqv)}, visit, &visits),
		CKR_KEY_HANDLE_INVALID);
	cr_expect_eq(visits.count, 4);
}
