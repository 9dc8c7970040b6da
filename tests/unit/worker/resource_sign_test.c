#include <criterion/criterion.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "server/worker/resources/ecdsa.h"
#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_sign, resource_setup_logged_in);

static const char data[] = "what is to be signed";
enum { DATA_LEN = sizeof data - 1 };

/* The signature of `body` over `data`, checked with the exported public key. `raw`: it is r‖s. */
static void expect_signature(const char *key, const char *body, const char *hash, bool pss, bool raw)
{
	ARENA_AUTO struct arena arena;
	unsigned char signature[1024];
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = key, .body = body);
	struct bytes bytes = {signature, bytes_at(rest.json, "signature", signature, sizeof signature)};
	EVP_PKEY *public_key = public_key_of(&worker, key);
	arena_init(&arena, 1 << 16);
	if (raw)
		cr_assert(ecdsa_raw_to_der(&arena, bytes, &bytes));
	cr_expect(verifies(public_key, hash, pss, data, DATA_LEN, bytes.data, bytes.len), "%s with %s", body, key);
	cr_expect_eq(events_with(&rest, "kind", "key-use"), 1);
	cr_expect_eq(events_with(&rest, "rv", "CKR_OK"), 1);
	EVP_PKEY_free(public_key);
}

static const char *with_data(const char *algorithm, const char *more)
{
	return text_of("{\"algorithm\":\"%s\",\"data\":\"%s\"%s}", algorithm, b64(data, DATA_LEN), more);
}

static const char *with_digest(const char *algorithm, const char *hash, const char *more)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len;
	EVP_Digest(data, DATA_LEN, digest, &len, EVP_get_digestbyname(hash), NULL);
	return text_of("{%s,\"digest\":\"%s\"%s}", algorithm, b64(digest, len), more);
}

/* One key and all names of algorithms that it signs with; the hash of each, the salt's in PSS. */
struct signing {
	const char *type, *more;
	struct {
		const char *algorithm, *hash;
	} names[14];
};

Test(resource_sign, every_algorithm_verifies_with_openssl_over_data_and_over_a_digest)
{
	static const struct signing kinds[] = {
		{"EC", ",\"curve\":\"P-256\"",
			{{"ES256", "SHA256"}, {"ECDSA_SHA1", "SHA1"}, {"ECDSA_SHA224", "SHA224"},
				{"ECDSA_SHA256", "SHA256"}, {"ECDSA_SHA384", "SHA384"}, {"ECDSA_SHA512", "SHA512"}}},
		{"EC", ",\"curve\":\"P-384\"", {{"ES384", "SHA384"}, {"ECDSA_SHA256", "SHA256"}}},
		{"EC", ",\"curve\":\"P-521\"", {{"ES512", "SHA512"}}},
		{"RSA", "",
			{{"RS256", "SHA256"}, {"RS384", "SHA384"}, {"RS512", "SHA512"}, {"RSA_SHA1", "SHA1"},
				{"RSA_SHA224", "SHA224"}, {"RSA_SHA256", "SHA256"}, {"RSA_SHA384", "SHA384"},
				{"RSA_SHA512", "SHA512"}}},
		{"RSA", "",
			{{"PS256", "SHA256"}, {"PS384", "SHA384"}, {"PS512", "SHA512"}, {"RSA_PSS_SHA1", "SHA1"},
				{"RSA_PSS_SHA224", "SHA224"}, {"RSA_PSS_SHA256", "SHA256"},
				{"RSA_PSS_SHA384", "SHA384"}, {"RSA_PSS_SHA512", "SHA512"}}},
		{"Ed25519", "", {{"EdDSA", NULL}, {"Ed25519", NULL}}},
	};
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		char label[16];
		snprintf(label, sizeof label, "key%zu", i);
		make_resource_key(&worker, kinds[i].type, label, kinds[i].more);
		for (size_t k = 0; kinds[i].names[k].algorithm != NULL; k++) {
			const char *algorithm = kinds[i].names[k].algorithm, *hash = kinds[i].names[k].hash;
			bool pss = strstr(algorithm, "PS") != NULL;
			bool ecdsa = strcmp(kinds[i].type, "EC") == 0;
			expect_signature(label, with_data(algorithm, ""), hash, pss, ecdsa);
			if (hash != NULL)
				expect_signature(label,
					with_digest(text_of("\"algorithm\":\"%s\"", algorithm), hash, ""), hash, pss,
					ecdsa);
		}
	}
}

Test(resource_sign, the_answer_names_what_was_asked_for)
{
	make_resource_key(&worker, "EC", "ec", "");
	REST_AUTO struct rest algorithm = REST(
		&worker, 200, .route = ROUTE_key_sign, .key = "ec", .body = with_data("ES256", ""));
	cr_expect_str_eq(text_at(algorithm.json, "algorithm"), "ES256");
	cr_expect_null(json_at(algorithm.json, "reauthenticated"));
	REST_AUTO struct rest mechanism = REST(&worker, 200, .route = ROUTE_key_sign, .key = "ec",
		.body = with_digest("\"mechanism\":\"CKM_ECDSA\"", "SHA256", ""));
	cr_expect_str_eq(text_at(mechanism.json, "mechanism"), "CKM_ECDSA");
}

Test(resource_sign, format_der_is_asn1)
{
	make_resource_key(&worker, "EC", "ec", "");
	expect_signature("ec", with_data("ES256", ",\"format\":\"der\""), "SHA256", false, false);
	expect_signature("ec", with_data("ES256", ",\"format\":\"raw\""), "SHA256", false, true);
	expect_signature("ec", with_digest("\"mechanism\":\"CKM_ECDSA\"", "SHA256", ",\"format\":\"der\""), "SHA256",
		false, false);
	expect_signature("ec", with_digest("\"mechanism\":\"CKM_ECDSA\"", "SHA256", ""), "SHA256", false, true);
}

Test(resource_sign, many_ecdsa_signatures_verify_whatever_their_leading_bits)
{
	make_resource_key(&worker, "EC", "ec", "");
	EVP_PKEY *key = public_key_of(&worker, "ec");
	for (int i = 0; i < 300; i++) {
		unsigned char signature[128];
		REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = "ec",
			.body = with_data("ES256", ",\"format\":\"der\""));
		size_t len = bytes_at(rest.json, "signature", signature, sizeof signature);
		cr_assert(verifies(key, "SHA256", false, data, DATA_LEN, signature, len));
	}
	EVP_PKEY_free(key);
}

Test(resource_sign, a_combined_mechanism_that_the_token_lacks_is_hashed_here)
{
	make_resource_key(&worker, "EC", "ec", ",\"curve\":\"P-384\"");
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = "ec",
		.body = text_of("{\"mechanism\":\"CKM_ECDSA_SHA256\",\"data\":\"%s\",\"format\":\"der\"}",
			b64(data, DATA_LEN)));
	cr_expect_eq(events_with(&rest, "mechanism", "CKM_ECDSA"), 1);
	unsigned char signature[128];
	size_t len = bytes_at(rest.json, "signature", signature, sizeof signature);
	EVP_PKEY *key = public_key_of(&worker, "ec");
	cr_expect(verifies(key, "SHA256", false, data, DATA_LEN, signature, len));
	EVP_PKEY_free(key);
}

Test(resource_sign, a_mechanism_takes_its_input_unchanged)
{
	make_resource_key(&worker, "RSA", "rsa", "");
	expect_signature("rsa", text_of("{\"mechanism\":\"CKM_SHA256_RSA_PKCS\",\"data\":\"%s\"}", b64(data, DATA_LEN)),
		"SHA256", false, false);
}

Test(resource_sign, HMAC_matches_the_vectors_of_rfc_4231)
{
	static const unsigned char key[20] = {
		0xb, 0xb, 0xb, 0xb, 0xb, 0xb, 0xb, 0xb, 0xb, 0xb, 0xb, 0xb, 0xb, 0xb, 0xb, 0xb, 0xb, 0xb, 0xb, 0xb};
	unsigned char long_key[131], expected[EVP_MAX_MD_SIZE], mac[EVP_MAX_MD_SIZE];
	static const char text[] = "Test Using Larger Than Block-Size Key - Hash Key First";
	static const unsigned char rfc[32] = {
		0x60,
		0xe4,
		0x31,
		0x59,
		0x1e,
		0xe0,
		0xb6,
		0x7f,
		0x0d,
		0x8a,
		0x26,
		0xaa,
		0xcb,
		0xf5,
		0xb7,
		0x7f,
		0x8e,
		0x0b,
		0xc6,
		0x21,
		0x37,
		0x28,
		0xc5,
		0x14,
		0x05,
		0x46,
		0x04,
		0x0f,
		0x0e,
		0xe3,
		0x7f,
		0x54,
	};
	memset(long_key, 0xaa, sizeof long_key);
	import_hmac_key(&worker, "case6", long_key, sizeof long_key);
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = "case6",
		.body = text_of("{\"algorithm\":\"HS256\",\"data\":\"%s\"}", b64(text, sizeof text - 1)));
	cr_assert_eq(bytes_at(rest.json, "signature", mac, sizeof mac), 32);
	cr_expect_eq(memcmp(mac, rfc, 32), 0);
	static const struct {
		const char *algorithm, *hash;
	} others[] = {{"HS384", "SHA384"}, {"HS512", "SHA512"}};
	for (size_t i = 0; i < 2; i++) {
		unsigned len;
		HMAC(EVP_get_digestbyname(others[i].hash), long_key, sizeof long_key, (const unsigned char *)text,
			sizeof text - 1, expected, &len);
		REST_AUTO struct rest other = REST(&worker, 200, .route = ROUTE_key_sign, .key = "case6",
			.body = text_of("{\"algorithm\":\"%s\",\"data\":\"%s\"}", others[i].algorithm,
				b64(text, sizeof text - 1)));
		cr_expect_eq(bytes_at(other.json, "signature", mac, sizeof mac), len);
		cr_expect_eq(memcmp(mac, expected, len), 0);
	}
	/* Case 1: this token wants a key as long as the hash. */
	import_hmac_key(&worker, "case1", key, sizeof key);
	REST_ONLY(&worker, 422, .route = ROUTE_key_sign, .key = "case1",
		.body = "{\"algorithm\":\"HS256\",\"data\":\"SGkgVGhlcmU\"}");
}

Test(resource_sign, a_batch_answers_each_item)
{
	make_resource_key(&worker, "EC", "ec", "");
	EVP_PKEY *key = public_key_of(&worker, "ec");
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = "ec",
		.body = text_of("{\"algorithm\":\"ES256\",\"format\":\"der\",\"items\":[{\"data\":\"%s\"},{\"data\":"
				"\"\"},{\"data\":\"%s\"}]}",
			b64(data, DATA_LEN), b64(data, DATA_LEN)));
	cr_assert_eq(json_array_size(json_at(rest.json, "results")), 3);
	cr_expect_eq(events_with(&rest, "kind", "key-use"), 3);
	for (int i = 0; i < 3; i++) {
		unsigned char signature[128];
		size_t len = bytes_at(
			json_at(rest.json, text_of("results/%d", i)), "signature", signature, sizeof signature);
		cr_expect(verifies(key, "SHA256", false, data, i == 1 ? 0 : DATA_LEN, signature, len));
	}
	EVP_PKEY_free(key);
}

Test(resource_sign, a_batch_item_that_fails_leaves_the_others)
{
	make_resource_key(&worker, "RSA", "rsa", "");
	static unsigned char too_long[300];
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = "rsa",
		.body = text_of("{\"mechanism\":\"CKM_RSA_PKCS\",\"items\":[{\"data\":\"%s\"},{\"data\":\"%s\"},{"
				"\"data\":\"%s\"}]}",
			b64(data, DATA_LEN), b64(too_long, sizeof too_long), b64(data, DATA_LEN)));
	cr_expect_gt(strlen(text_at(rest.json, "results/0/signature")), 300);
	cr_expect_str_eq(text_at(rest.json, "results/1/ckr"), "CKR_GENERAL_ERROR");
	cr_expect_eq(json_integer_value(json_at(rest.json, "results/1/status")), 502);
	cr_expect_str_eq(text_at(rest.json, "results/2/signature"), text_at(rest.json, "results/0/signature"));
	cr_expect_eq(events_with(&rest, "rv", "CKR_GENERAL_ERROR"), 1);
}

Test(resource_sign, a_thousand_items_are_signed_and_recorded_one_by_one)
{
	static char body[40000];
	size_t n = (size_t)snprintf(body, sizeof body, "{\"algorithm\":\"HS256\",\"items\":[");
	for (int i = 0; i < 1000; i++)
		n += (size_t)snprintf(
			body + n, sizeof body - n, "%s{\"data\":\"%s\"}", i ? "," : "", b64(&i, sizeof i));
	snprintf(body + n, sizeof body - n, "]}");
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = "mac", .body = body);
	cr_assert_eq(json_array_size(json_at(rest.json, "results")), 1000);
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(strlen(text_at(rest.json, text_of("results/%d/signature", i))), 43);
	cr_expect_eq(events_with(&rest, "kind", "key-use"), 1000);
}

Test(resource_sign, refuses_contradictions_before_anything_is_executed)
{
	static const struct {
		const char *body, *pointer;
	} bodies[] = {
		{"{\"algorithm\":\"ES256\"}", ""},
		{"{\"data\":\"\"}", "/algorithm"},
		{"{\"algorithm\":\"ES256\",\"mechanism\":\"CKM_ECDSA\",\"data\":\"\"}", "/algorithm"},
		{"{\"algorithm\":\"ES256\",\"data\":\"\",\"digest\":\"\"}", ""},
		{"{\"algorithm\":\"ES256\",\"items\":[]}", "/items"},
		{"{\"algorithm\":\"ES256\",\"data\":\"\",\"items\":[{\"data\":\"\"}]}", "/items"},
		{"{\"algorithm\":\"ES256\",\"items\":[{\"data\":\"\"},{}]}", "/items/1"},
		{"{\"mechanism\":{\"mechanism\":\"CKM_ECDSA\",\"parameter\":\"AA\"},\"data\":\"\"}", "/mechanism"},
		{"{\"mechanism\":{\"parameter\":\"AA\"},\"data\":\"\"}", "/mechanism"},
		{"{\"mechanism\":7,\"data\":\"\"}", "/mechanism"},
		{"{\"algorithm\":\"EdDSA\",\"digest\":\"AA\"}", "/digest"},
		{"{\"mechanism\":\"CKM_SHA256_RSA_PKCS\",\"digest\":\"AA\"}", "/digest"},
		{"{\"algorithm\":\"RS256\",\"data\":\"\",\"format\":\"der\"}", "/format"},
	};
	make_resource_key(&worker, "EC", "ec", "");
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		REST_AUTO struct rest rest = REST(
			&worker, 400, .route = ROUTE_key_sign, .key = "ec", .body = bodies[i].body);
		cr_expect_str_eq(text_at(rest.json, "pointer"), bodies[i].pointer, "%s", bodies[i].body);
		cr_expect_eq(calls_of(&rest, "SignInit"), 0);
		cr_expect_eq(json_array_size(rest.events), 0);
	}
}

Test(resource_sign, a_digest_of_another_length_is_422_and_names_its_place)
{
	static const struct {
		const char *body, *pointer;
	} bodies[] = {
		{"{\"algorithm\":\"ES256\",\"digest\":\"AA\"}", "/digest"},
		{"{\"algorithm\":\"ECDSA_SHA512\",\"digest\":\"" DIGEST "\"}", "/digest"},
		{"{\"algorithm\":\"ES256\",\"items\":[{\"data\":\"\"},{\"digest\":\"AA\"}]}", "/items/1/digest"},
	};
	make_resource_key(&worker, "EC", "ec", "");
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		REST_AUTO struct rest rest = REST(
			&worker, 422, .route = ROUTE_key_sign, .key = "ec", .body = bodies[i].body);
		cr_expect_str_eq(text_at(rest.json, "pointer"), bodies[i].pointer, "%s", bodies[i].body);
		cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_DATA_LEN_RANGE");
		cr_expect_eq(calls_of(&rest, "SignInit"), 0);
	}
}

Test(resource_sign, a_mechanism_takes_its_typed_parameter)
{
	make_resource_key(&worker, "RSA", "rsa", "");
	expect_signature("rsa",
		text_of("{\"mechanism\":{\"parameter\":{\"hashAlg\":\"CKM_SHA256\",\"mgf\":\"CKG_MGF1_SHA256\","
			"\"sLen\":32},"
			"\"mechanism\":\"CKM_SHA256_RSA_PKCS_PSS\"},\"data\":\"%s\"}",
			b64(data, DATA_LEN)),
		"SHA256", true, false);
}

Test(resource_sign, unknown_names_and_wrong_keys_are_422)
{
	static const struct {
		const char *body, *ckr;
	} bodies[] = {
		{"{\"algorithm\":\"es256\",\"data\":\"\"}", "CKR_MECHANISM_INVALID"},
		{"{\"algorithm\":\"none\",\"data\":\"\"}", "CKR_MECHANISM_INVALID"},
		{"{\"mechanism\":\"CKM_NONE\",\"data\":\"\"}", "CKR_MECHANISM_INVALID"},
		{"{\"mechanism\":\"CKM_RSA_PKCS_PSS\",\"data\":\"\"}", "CKR_MECHANISM_PARAM_INVALID"},
		{"{\"mechanism\":\"0x80001234\",\"data\":\"\"}", "CKR_MECHANISM_INVALID"},
		{"{\"algorithm\":\"RS256\",\"data\":\"\"}", "CKR_KEY_TYPE_INCONSISTENT"},
		{"{\"algorithm\":\"ES384\",\"data\":\"\"}", "CKR_KEY_TYPE_INCONSISTENT"},
		{"{\"algorithm\":\"HS256\",\"data\":\"\"}", "CKR_KEY_TYPE_INCONSISTENT"},
		{"{\"mechanism\":\"CKM_RSA_PKCS\",\"data\":\"\"}", "CKR_KEY_TYPE_INCONSISTENT"},
		{"{\"mechanism\":\"CKM_AES_CMAC\",\"data\":\"\"}", "CKR_KEY_TYPE_INCONSISTENT"},
	};
	make_resource_key(&worker, "EC", "ec", "");
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		REST_AUTO struct rest rest = REST(
			&worker, 422, .route = ROUTE_key_sign, .key = "ec", .body = bodies[i].body);
		cr_expect_str_eq(text_at(rest.json, "ckr"), bodies[i].ckr, "%s", bodies[i].body);
	}
}

Test(resource_sign, a_mechanism_of_another_key_type_is_refused_before_the_token_begins_and_the_key_signs_afterwards)
{
	static const char *const mechanisms[] = {"CKM_DSA_SHA1", "CKM_DSA", "CKM_RSA_X_509", "CKM_EDDSA"};
	static const struct {
		const char *type, *algorithm;
	} keys[] = {{"EC", "ES256"}, {"RSA", "RS256"}, {"HMAC", "HS256"}};
	for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
		make_resource_key(&worker, keys[k].type, keys[k].type, "");
		for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++) {
			if (k == 1 && i == 2)
				continue;
			REST_AUTO struct rest rest = REST(&worker, 422, .route = ROUTE_key_sign, .key = keys[k].type,
				.body = text_of(
					"{\"mechanism\":\"%s\",\"data\":\"%s\"}", mechanisms[i], b64(data, DATA_LEN)));
			cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_KEY_TYPE_INCONSISTENT");
			cr_expect_str_eq(text_at(rest.json, "pointer"), "/mechanism");
			cr_expect_eq(calls_of(&rest, "SignInit"), 0);
		}
		REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = keys[k].type,
			.body = with_data(keys[k].algorithm, ""));
	}
}

Test(resource_sign, a_key_without_the_usage_is_403)
{
	const struct client client = {.worker = &worker, .instance = {7}};
	json_int_t session = open_session(&client);
	number(&client, "private_key",
		"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"},"
		"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},{\"CKA_TOKEN\":true},{\"CKA_LABEL\":"
		"\"derive\"}],"
		"\"private_attributes\":[{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":true},{\"CKA_LABEL\":\"derive\"},{\"CKA_"
		"SIGN\":false},{\"CKA_DERIVE\":true}]}}",
		session);
	REST_AUTO struct rest rest = REST(
		&worker, 403, .route = ROUTE_key_sign, .key = "derive", .body = with_data("ES256", ""));
	cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_KEY_FUNCTION_NOT_PERMITTED");
	cr_expect_eq(events_with(&rest, "rv", "CKR_KEY_FUNCTION_NOT_PERMITTED"), 1);
}

Test(resource_sign, the_event_says_what_was_signed_with_which_key)
{
	unsigned char digest[32];
	char hex[65];
	EVP_Digest(data, DATA_LEN, digest, NULL, EVP_sha256(), NULL);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	make_resource_key(&worker, "EC", "ec", ",\"id\":\"0102\"");
	REST_AUTO struct rest rest = REST(
		&worker, 200, .route = ROUTE_key_sign, .key = "ec", .body = with_data("ES256", ""));
	cr_assert_eq(json_array_size(rest.events), 1);
	cr_expect_eq(events_with(&rest, "function", "C_Sign"), 1);
	cr_expect_eq(events_with(&rest, "key/label", "ec"), 1);
	cr_expect_eq(events_with(&rest, "key/id", "0102"), 1);
	cr_expect_eq(events_with(&rest, "key/class", "CKO_PRIVATE_KEY"), 1);
	cr_expect_eq(events_with(&rest, "input_sha256", hex), 1);
	cr_expect_null(strstr(rest.body, hex));
}
