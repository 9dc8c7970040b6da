#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/codec_internal.h"
#include "tests/support/lib/scratch.h"
#include "tests/unit/api/codec_case.h"

static const struct {
	CK_MECHANISM_TYPE type;
	const char *name, *parameter, *key_types;
} rows[] = {
#define MECHANISM(name, parameter, ...) {name, #name, #parameter, #__VA_ARGS__},
#include "api/mechanisms.def"
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

/*
 * For every structure of structs.def: fill_NAME gives each member a value of its own, the variable parts by `full`, and
 * same_NAME compares member by member.
 */
struct filler {
	struct codec_case *c;
	bool full; /* false: NULL pointers */
	CK_ULONG next;
};

static CK_ULONG next_number(struct filler *f)
{
	return 0x1000000 + f->next++;
}

static void *next_bytes(struct filler *f, CK_ULONG *ret_len)
{
	unsigned char *data = NULL;

	*ret_len = f->full ? 1 + f->next % 40 : 0;
	if (f->full)
		data = memset(guarded(f->c, *ret_len), (int)(f->next & 0xff), *ret_len);
	f->next++;
	return data;
}

static void fill_array(struct filler *f, unsigned char *array, size_t size)
{
	memset(array, 'A' + (int)(f->next++ % 26), size);
}

static bool same_bytes(const void *a, CK_ULONG a_len, const void *b, CK_ULONG b_len)
{
	return (a == NULL) == (b == NULL) && a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

#define STRUCT(name, type, ...) \
	__attribute__((unused)) static void fill_##name(struct filler *f, type *s); \
	__attribute__((unused)) static bool same_##name(const type *a, const type *b);
#include "api/structs.def"

#define FILL_BOOL(m) s->m = CK_TRUE;
#define FILL_ULONG(m) s->m = next_number(f);
#define FILL_NAME(m, family) s->m = next_number(f);
#define FILL_OBJECT(m) s->m = next_number(f);
#define FILL_FLAGS(m, family) s->m = next_number(f);
#define FILL_VERSION(m) s->m = (CK_VERSION){(CK_BYTE)f->next++, (CK_BYTE)f->next++};
#define FILL_PADDED(m) \
	fill_array(f, s->m, sizeof(s->m)); \
	s->m[sizeof(s->m) - 1] = ' ';
#define FILL_FIXED(m) fill_array(f, s->m, sizeof(s->m));
#define FILL_BYTES(p, len) s->p = next_bytes(f, &s->len);
#define FILL_INSIDE(m, structure) fill_##structure(f, &s->m);
#define FILL_POINTER(m, structure) \
	s->m = f->full ? guarded(f->c, sizeof(*s->m)) : NULL; \
	if (s->m != NULL) \
		fill_##structure(f, s->m);
#define FIELD(kind, ...) FILL_##kind(__VA_ARGS__)
#define STRUCT(name, type, ...) \
	static void fill_##name(struct filler *f, type *s) \
	{ \
		__VA_ARGS__ \
	}
#include "api/structs.def"
#undef FIELD

#define SAME_BOOL(m) a->m == b->m &&
#define SAME_ULONG(m) a->m == b->m &&
#define SAME_NAME(m, family) a->m == b->m &&
#define SAME_OBJECT(m) a->m == b->m &&
#define SAME_FLAGS(m, family) a->m == b->m &&
#define SAME_VERSION(m) memcmp(&a->m, &b->m, sizeof(CK_VERSION)) == 0 &&
#define SAME_PADDED(m) memcmp(a->m, b->m, sizeof(a->m)) == 0 &&
#define SAME_FIXED(m) memcmp(a->m, b->m, sizeof(a->m)) == 0 &&
#define SAME_BYTES(p, len) same_bytes(a->p, a->len, b->p, b->len) &&
#define SAME_INSIDE(m, structure) same_##structure(&a->m, &b->m) &&
#define SAME_POINTER(m, structure) (a->m == NULL) == (b->m == NULL) && (a->m == NULL || same_##structure(a->m, b->m)) &&
#define FIELD(kind, ...) SAME_##kind(__VA_ARGS__)
#define STRUCT(name, type, ...) \
	static bool same_##name(const type *a, const type *b) \
	{ \
		return __VA_ARGS__ true; \
	}
#include "api/structs.def"
#undef FIELD

/* Fills the structure `id` in guarded memory. */
static void *filled(struct filler *f, enum struct_id id)
{
#define STRUCT(name, type, ...) \
	case STRUCT_##name: { \
		type *s = memset(guarded(f->c, sizeof(type)), 0, sizeof(type)); \
		fill_##name(f, s); \
		return s; \
	}
	switch (id) {
#include "api/structs.def"
	case STRUCT_COUNT: break;
	}
	return NULL;
}

static bool same(enum struct_id id, const void *a, const void *b)
{
#define STRUCT(name, type, ...) \
	case STRUCT_##name: return same_##name(a, b);
	switch (id) {
#include "api/structs.def"
	case STRUCT_COUNT: break;
	}
	return false;
}

static const char *const struct_names[] = {
#define STRUCT(name, type, ...) #name,
#include "api/structs.def"
};

/* The structure of a row's parameter, or STRUCT_COUNT. */
static enum struct_id struct_named(const char *name)
{
	int id = 0;

	while (id < STRUCT_COUNT && strcmp(struct_names[id], name) != 0)
		id++;
	return (enum struct_id)id;
}

Test(structure, every_structure_makes_the_round_trip_member_by_member)
{
	for (int id = 0; id < STRUCT_COUNT; id++) {
		for (int full = 0; full < 2; full++) {
			CODEC_CASE(c);
			struct filler f = {&c, full != 0, 0};
			void *data = filled(&f, (enum struct_id)id),
			     *back = guarded(&c, structure_size((enum struct_id)id));
			struct json_writer w;
			struct json_reader in;

			json_writer_init(&w, &c.text);
			structure_write(&w, (enum struct_id)id, data);
			json_reader_init(&in, (const char *)c.text.data, c.text.len, &c.arena);
			cr_assert(structure_read(&in, (enum struct_id)id, back) && json_end(&in), "%s: %s",
				struct_names[id], in.error);
			memset(c.text.data, '#', c.text.len);
			cr_expect(same((enum struct_id)id, data, back), "%s", struct_names[id]);
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
			void *data = filled(&f, id);
			CK_MECHANISM *back = round_trip(&c, &(CK_MECHANISM){rows[i].type, data, structure_size(id)});

			cr_assert_eq(back->ulParameterLen, structure_size(id), "%s", rows[i].name);
			cr_expect_eq((size_t)back->pParameter % 16, 0);
			cr_expect(same(id, data, back->pParameter), "%s", rows[i].name);
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
	cr_expect(same(STRUCT_TOKEN_INFO, &info, &back));
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

Test(info, padded_text_fits_its_array)
{
	static const char *const broken[] = {"\"12345678901234567890123456789012345678901234567890123456789012345\"",
		"5", "null", "{\"raw\":\"AAAA\"}", "{\"text\":\"\"}", "{}", "{\"raw\":5}"};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		CODEC_CASE(c);
		CK_SLOT_INFO info;
		struct json_reader in;
		char text[256];

		(void)snprintf(text, sizeof(text),
			"{\"slotDescription\":%s,\"manufacturerID\":\"\",\"flags\":[],\"hardwareVersion\":\"0.0\","
			"\"firmwareVersion\":\"0.0\"}",
			broken[i]);
		json_reader_init(&in, text, strlen(text), &c.arena);
		cr_expect_not(info_decode(&in, WIRE_SLOT_INFO, &info), "%s", text);
	}
}

Test(info, versions_are_two_numbers_of_a_byte_each)
{
	static const char *const broken[] = {
		"", ".", "2", "2.", ".40", "2.40.", "256.0", "2.256", "02.4", "2.04", "2,40", "-1.0"};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		CODEC_CASE(c);
		CK_SLOT_INFO info;
		struct json_reader in;
		char text[256];

		(void)snprintf(text, sizeof(text),
			"{\"slotDescription\":\"\",\"manufacturerID\":\"\",\"flags\":[],\"hardwareVersion\":\"%s\","
			"\"firmwareVersion\":\"0.0\"}",
			broken[i]);
		json_reader_init(&in, text, strlen(text), &c.arena);
		cr_expect_not(info_decode(&in, WIRE_SLOT_INFO, &info), "%s", broken[i]);
	}
}

Test(mechanism, a_row_says_which_types_of_keys_the_mechanism_uses)
{
	static const struct {
		CK_MECHANISM_TYPE mechanism;
		CK_OBJECT_CLASS class;
		CK_KEY_TYPE type;
		bool fits;
	} cases[] = {
		{CKM_DSA_SHA1, CKO_PRIVATE_KEY, CKK_DSA, true},
		{CKM_DSA_SHA1, CKO_PRIVATE_KEY, CKK_RSA, false},
		{CKM_SHA256_RSA_PKCS_PSS, CKO_PUBLIC_KEY, CKK_RSA, true},
		{CKM_SHA256_RSA_PKCS_PSS, CKO_PUBLIC_KEY, CKK_EC, false},
		{CKM_DES3_CBC, CKO_SECRET_KEY, CKK_DES2, true},
		{CKM_DES3_CBC, CKO_SECRET_KEY, CKK_DES3, true},
		{CKM_DES3_CBC, CKO_SECRET_KEY, CKK_DES, false},
		{CKM_ECDH1_DERIVE, CKO_PRIVATE_KEY, CKK_EC_MONTGOMERY, true},
		{CKM_ECDSA, CKO_PRIVATE_KEY, CKK_EC_EDWARDS, false},
		{CKM_SHA256_HMAC, CKO_SECRET_KEY, CKK_GENERIC_SECRET, true},
		{CKM_SHA256_HMAC, CKO_SECRET_KEY, CKK_AES, true},
		{CKM_SHA256_HMAC, CKO_PRIVATE_KEY, CKK_RSA, false},
		{CKM_CMS_SIG, CKO_PRIVATE_KEY, CKK_RSA, true},
		{CKM_SHA256, CKO_PRIVATE_KEY, CKK_RSA, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(mechanism_fits_key(cases[i].mechanism, cases[i].class, cases[i].type), cases[i].fits,
			"case %zu", i);
}

Test(mechanism, what_is_not_known_of_a_key_or_a_mechanism_fits)
{
	cr_expect(mechanism_fits_key(CKM_DSA_SHA1, CKO_PRIVATE_KEY, CKK_VENDOR_DEFINED + 1));
	cr_expect(mechanism_fits_key(CKM_DSA_SHA1, CKO_PRIVATE_KEY, CK_UNAVAILABLE_INFORMATION));
	cr_expect(mechanism_fits_key(CKM_VENDOR_DEFINED + 1, CKO_PRIVATE_KEY, CKK_RSA));
}

Test(mechanism, the_types_of_a_row_are_types_of_the_standard)
{
	for (size_t i = 0; i < ROWS; i++) {
		char list[128];
		CK_ULONG type;

		(void)snprintf(list, sizeof(list), "%s", rows[i].key_types);
		for (char *rest = list, *name; (name = strtok_r(rest, ", ", &rest)) != NULL;) {
			bool group = strcmp(name, "NO_KEY") == 0 || strcmp(name, "ANY_KEY") == 0 ||
				     strcmp(name, "ANY_SECRET_KEY") == 0;
			struct json_text text = {name, strlen(name)};

			cr_assert(group || name_number(NAMES_KEY_TYPE, text, &type), "%s: %s", rows[i].name, name);
			if (!group)
				cr_expect(mechanism_fits_key(rows[i].type, CKO_DATA, type), "%s", rows[i].name);
		}
	}
}

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"

static CK_FUNCTION_LIST *softhsm(const char *folder)
{
	char configuration[128], line[256];
	CK_C_GetFunctionList get;
	CK_FUNCTION_LIST *functions = NULL;
	void *library;
	FILE *file;

	(void)snprintf(configuration, sizeof(configuration), "%s/softhsm2.conf", folder);
	(void)snprintf(line, sizeof(line), "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n",
		folder);
	file = fopen(configuration, "we");
	cr_assert(file != NULL && fputs(line, file) >= 0 && fclose(file) == 0);
	cr_assert_eq(setenv("SOFTHSM2_CONF", configuration, 1), 0);
	library = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);
	cr_assert_not_null(library, "%s", dlerror());
	*(void **)&get = dlsym(library, "C_GetFunctionList");
	cr_assert(get != NULL && get(&functions) == CKR_OK && functions->C_Initialize(NULL) == CKR_OK);
	return functions;
}

Test(mechanism, every_mechanism_of_softhsm_has_a_row_with_its_parameter)
{
	char folder[SCRATCH_PATH_LEN], configuration[128];
	CK_FUNCTION_LIST *functions;
	CK_MECHANISM_TYPE types[256];
	CK_SLOT_ID slots[8];
	CK_ULONG slot_count = 8, count = 256;

	cr_assert_eq(access(SOFTHSM, R_OK), 0, "SoftHSM is not installed; make deps installs it");
	scratch_directory(folder, sizeof(folder));
	functions = softhsm(folder);
	cr_assert_eq(functions->C_GetSlotList(CK_TRUE, slots, &slot_count), CKR_OK);
	cr_assert_gt(slot_count, 0);
	cr_assert_eq(functions->C_GetMechanismList(slots[0], types, &count), CKR_OK);
	cr_expect_geq(count, 70);
	for (CK_ULONG i = 0; i < count; i++) {
		const char *parameter = NULL;

		for (size_t row = 0; row < ROWS; row++) {
			if (rows[row].type == types[i])
				parameter = rows[row].parameter;
		}
		cr_assert_not_null(parameter, "0x%lx has no row", types[i]);
		cr_expect_str_neq(parameter, "UNTYPED", "0x%lx", types[i]);
	}
	cr_expect_eq(functions->C_Finalize(NULL), CKR_OK);
	(void)snprintf(configuration, sizeof(configuration), "%s/softhsm2.conf", folder);
	(void)unlink(configuration);
	(void)rmdir(folder);
}
