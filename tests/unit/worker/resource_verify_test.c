/* Verifying and MACs. */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_verify, resource_setup_logged_in);
TestSuite(resource_mac, .init = setup, .fini = teardown);

#define HELLO "aGVsbG8" /* "hello" */
#define WORLD "d29ybGQ" /* "world" */

/* The signature of "hello", as base64url. */
static const char *signature_of(const char *key, const char *how)
{
	REST_AUTO struct rest rest = REST(
		&worker, 200, .route = ROUTE_key_sign, .key = key, .body = text_of("{%s,\"data\":\"" HELLO "\"}", how));
	return text_of("%s", text_at(rest.json, "signature"));
}

static void expect_valid(const char *key, const char *body, bool valid)
{
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_verify, .key = key, .body = body);
	cr_assert(json_is_boolean(json_at(rest.json, "valid")), "%s", rest.body);
	cr_expect_eq(json_is_true(json_at(rest.json, "valid")), valid, "%s", body);
	cr_expect_eq(events_with(&rest, "function", "C_Verify"), 1);
}

Test(resource_verify, every_kind_of_signature_is_good_for_its_data_alone)
{
	static const struct {
		const char *type, *how;
	} kinds[] = {
		{"EC", "\"algorithm\":\"ES256\""},
		{"EC", "\"algorithm\":\"ES256\",\"format\":\"der\""},
		{"EC", "\"algorithm\":\"ECDSA_SHA384\""},
		{"EC", "\"mechanism\":\"CKM_ECDSA_SHA256\""},
		{"RSA", "\"algorithm\":\"RS256\""},
		{"RSA", "\"algorithm\":\"PS384\""},
		{"RSA", "\"algorithm\":\"RSA_SHA1\""},
		{"RSA", "\"mechanism\":\"CKM_SHA512_RSA_PKCS\""},
		{"Ed25519", "\"algorithm\":\"EdDSA\""},
		{"HMAC", "\"algorithm\":\"HS256\""},
	};
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		const char *label = text_of("key%zu", i), *how = kinds[i].how;
		make_resource_key(&worker, kinds[i].type, label, "");
		const char *signature = signature_of(label, how);
		expect_valid(label, text_of("{%s,\"data\":\"" HELLO "\",\"signature\":\"%s\"}", how, signature), true);
		expect_valid(label, text_of("{%s,\"data\":\"" WORLD "\",\"signature\":\"%s\"}", how, signature), false);
		expect_valid(label, text_of("{%s,\"data\":\"" HELLO "\",\"signature\":\"AAAA\"}", how), false);
	}
}

Test(resource_verify, a_digest_stands_for_its_data)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_Digest("hello", 5, digest, NULL, EVP_sha256(), NULL);
	make_resource_key(&worker, "EC", "ec", "");
	make_resource_key(&worker, "RSA", "rsa", "");
	expect_valid("ec",
		text_of("{\"algorithm\":\"ES256\",\"digest\":\"%s\",\"signature\":\"%s\"}", b64(digest, 32),
			signature_of("ec", "\"algorithm\":\"ES256\"")),
		true);
	expect_valid("rsa",
		text_of("{\"algorithm\":\"PS256\",\"digest\":\"%s\",\"signature\":\"%s\"}", b64(digest, 32),
			signature_of("rsa", "\"algorithm\":\"PS256\"")),
		true);
}

Test(resource_verify, items_are_judged_one_by_one_and_a_bad_one_does_not_fail_the_rest)
{
	make_resource_key(&worker, "EC", "ec", "");
	const char *good = signature_of("ec", "\"algorithm\":\"ES256\"");
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_verify, .key = "ec",
		.body = text_of("{\"algorithm\":\"ES256\",\"items\":[{\"data\":\"" HELLO "\",\"signature\":\"%s\"},"
				"{\"data\":\"" WORLD "\",\"signature\":\"%s\"},{\"data\":\"" HELLO
				"\",\"signature\":\"\"},"
				"{\"data\":\"" HELLO "\",\"signature\":\"%s\"}]}",
			good, good, good));
	static const bool valid[] = {true, false, false, true};
	cr_assert_eq(json_array_size(json_at(rest.json, "results")), 4, "%s", rest.body);
	for (size_t i = 0; i < 4; i++)
		cr_expect_eq(json_is_true(json_at(rest.json, text_of("results/%zu/valid", i))), valid[i], "%zu", i);
	cr_expect_eq(events_with(&rest, "function", "C_Verify"), 4);
}

Test(resource_verify, an_always_authenticate_key_verifies_without_its_pin_since_its_public_half_does_it)
{
	make_resource_key(&worker, "EC", "guarded", ",\"always_authenticate\":true");
	REST_AUTO struct rest made = REST(&worker, 200, .route = ROUTE_key_sign, .key = "guarded",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"" HELLO "\",\"pin\":\"" FIXTURE_PIN "\"}");
	expect_valid("guarded",
		text_of("{\"algorithm\":\"ES256\",\"data\":\"" HELLO "\",\"signature\":\"%s\"}",
			text_at(made.json, "signature")),
		true);
}

Test(resource_verify, D9_a_key_that_only_answers_challenges_verifies)
{
	static struct worker_fixture marked;
	const struct worker_options options = {.challenge_only = "unlock"};
	make_resource_key(&worker, "HMAC", "unlock", "");
	const char *mac = signature_of("unlock", "\"algorithm\":\"HS256\"");
	worker_fixture_start(&token, &options, &marked);
	REST_ONLY(&marked, 200, .route = ROUTE_login, .body = PIN_BODY);
	REST_AUTO struct rest rest = REST(&marked, 200, .route = ROUTE_key_verify, .key = "unlock",
		.body = text_of("{\"algorithm\":\"HS256\",\"data\":\"" HELLO "\",\"signature\":\"%s\"}", mac));
	cr_expect(json_is_true(json_at(rest.json, "valid")));
	REST_AUTO struct rest refused = REST(&marked, 403, .route = ROUTE_key_mac, .key = "unlock",
		.body = "{\"algorithm\":\"HS256\",\"data\":\"" HELLO "\"}");
	cr_expect_str_eq(text_at(refused.json, "ckr"), "CKR_KEY_FUNCTION_NOT_PERMITTED");
	worker_fixture_stop(&marked);
}

Test(resource_verify, what_is_missing_or_too_much_is_named)
{
	static const struct {
		const char *body, *pointer;
		unsigned status;
	} bodies[] = {
		{"{\"algorithm\":\"ES256\",\"data\":\"\"}", "/signature", 400},
		{"{\"algorithm\":\"ES256\",\"signature\":\"\"}", "", 400},
		{"{\"algorithm\":\"ES256\",\"data\":\"\",\"digest\":\"\",\"signature\":\"\"}", "", 400},
		{"{\"data\":\"\",\"signature\":\"\"}", "/algorithm", 400},
		{"{\"algorithm\":\"ES256\",\"items\":[{\"data\":\"\"}]}", "/items/0/signature", 400},
		{"{\"algorithm\":\"ES256\",\"items\":[{\"signature\":\"\"}]}", "/items/0", 400},
		{"{\"algorithm\":\"ES256\",\"signature\":\"\",\"items\":[{\"data\":\"\",\"signature\":\"\"}]}",
			"/items", 400},
		{"{\"algorithm\":\"RS256\",\"format\":\"der\",\"data\":\"\",\"signature\":\"\"}", "/format", 400},
		{"{\"algorithm\":\"ES256\",\"digest\":\"AA\",\"signature\":\"\"}", "/digest", 422},
		{"{\"algorithm\":\"nothing\",\"data\":\"\",\"signature\":\"\"}", "/algorithm", 422},
		{"{\"algorithm\":\"RS256\",\"data\":\"\",\"signature\":\"\"}", "/algorithm", 422},
		{"{\"mechanism\":\"CKM_RSA_PKCS\",\"data\":\"\",\"signature\":\"\"}", "/mechanism", 422},
	};
	make_resource_key(&worker, "EC", "ec", "");
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		REST_AUTO struct rest rest = REST(
			&worker, bodies[i].status, .route = ROUTE_key_verify, .key = "ec", .body = bodies[i].body);
		cr_expect_str_eq(text_at(rest.json, "pointer"), bodies[i].pointer, "%s", bodies[i].body);
		cr_expect_eq(calls_of(&rest, "VerifyInit"), 0);
	}
}

Test(resource_verify, a_pair_without_its_public_half_in_the_token_is_404)
{
	const struct client client = {.worker = &worker, .instance = {7}};
	make_resource_key(&worker, "EC", "ec", "");
	json_int_t session = open_session(&client);
	expect(&client, "CKR_OK",
		"{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_PUBLIC_KEY\"}]}}",
		session);
	json_t *found = client_call(&client, "{\"FindObjects\":{\"session\":%lld,\"objects\":4}}", session);
	json_int_t public_key = json_integer_value(json_array_get(json_object_get(found, "objects"), 0));
	json_decref(found);
	expect(&client, "CKR_OK", "{\"FindObjectsFinal\":{\"session\":%lld}}", session);
	expect(&client, "CKR_OK", "{\"DestroyObject\":{\"session\":%lld,\"object\":%lld}}", session, public_key);
	REST_AUTO struct rest rest = REST(&worker, 404, .route = ROUTE_key_verify, .key = "ec",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"\",\"signature\":\"\"}");
	cr_expect_not_null(strstr(text_at(rest.json, "type"), "key-not-found"));
}

/* --- MACs --- */

/* A secret key of known value that signs and verifies. */
static void import_mac_key(const char *label, const char *type, const unsigned char *value, size_t len)
{
	const struct client client = {.worker = &worker, .instance = {1}};
	json_int_t session = open_session(&client);
	expect(&client, "CKR_OK",
		"{\"CreateObject\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_SECRET_KEY\"},{\"CKA_KEY_"
		"TYPE\":\"%s\"},"
		"{\"CKA_TOKEN\":true},{\"CKA_SIGN\":true},{\"CKA_VERIFY\":true},{\"CKA_LABEL\":\"%s\"},{\"CKA_VALUE\":"
		"\"%s\"}]}}",
		session, type, label, b64(value, len));
	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
}

static void expect_mac(const char *key, const char *algorithm, const void *data, size_t data_len, const char *hex)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	char text[2 * EVP_MAX_MD_SIZE + 1] = "";
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_mac, .key = key,
		.body = text_of("{\"algorithm\":\"%s\",\"data\":\"%s\"}", algorithm, b64(data, data_len)));
	size_t len = bytes_at(rest.json, "mac", mac, sizeof mac);
	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", mac[i]);
	cr_expect_str_eq(text, hex, "%s", algorithm);
	cr_expect_str_eq(text_at(rest.json, "algorithm"), algorithm);
	cr_expect_eq(events_with(&rest, "function", "C_Sign"), 1);
}

/* The key and the data of RFC 2202 and RFC 4231 that have a key of 80 or 131 bytes 0xaa: this token wants one as long as the hash. */
static const char larger[] = "Test Using Larger Than Block-Size Key - Hash Key First";

Test(resource_mac, HMAC_SHA1_matches_the_vectors_of_rfc_2202)
{
	unsigned char key[80], twenty[20];
	memset(key, 0xaa, sizeof key);
	memset(twenty, 0x0b, sizeof twenty);
	import_mac_key("case1", "CKK_GENERIC_SECRET", twenty, sizeof twenty);
	import_mac_key("case6", "CKK_GENERIC_SECRET", key, sizeof key);
	expect_mac("case1", "HMAC_SHA1", "Hi There", 8, "b617318655057264e28bc0b6fb378c8ef146be00");
	expect_mac("case6", "HMAC_SHA1", larger, sizeof larger - 1, "aa4ae5e15272d00e95705637ce8a3b55ed402112");
}

Test(resource_mac, HMAC_matches_case_6_of_rfc_4231)
{
	static const struct {
		const char *names[2], *mac;
	} rows[] = {
		{{"HMAC_SHA224"}, "95e9a0db962095adaebe9b2d6f0dbce2d499f112f2d2b7273fa6870e"},
		{{"HS256", "HMAC_SHA256"}, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
		{{"HS384", "HMAC_SHA384"}, "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab403"
					   "0fe8296248df163f44952"},
		{{"HS512", "HMAC_SHA512"}, "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05"
					   "f2598bd0fd2215d6a1e52"
					   "95e64f73f63f0aec8b915a985d786598"},
	};
	unsigned char key[131];
	memset(key, 0xaa, sizeof key);
	import_mac_key("case6", "CKK_GENERIC_SECRET", key, sizeof key);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		for (size_t k = 0; k < 2 && rows[i].names[k] != NULL; k++)
			expect_mac("case6", rows[i].names[k], larger, sizeof larger - 1, rows[i].mac);
}

Test(resource_mac, AES_CMAC_matches_rfc_4493)
{
	static const unsigned char key[] = {
		0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
	static const unsigned char data[] = {
		0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a};
	import_mac_key("cmac", "CKK_AES", key, sizeof key);
	expect_mac("cmac", "AES_CMAC", data, sizeof data, "070a16b46b4d4144f79bdd9dd04a287c");
	expect_mac("cmac", "AES_CMAC", data, 0, "bb1d6929e95937287fa37d129b756746");
}

Test(resource_mac, items_get_a_mac_each)
{
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_AUTO struct rest one = REST(&worker, 200, .route = ROUTE_key_mac, .key = "mac",
		.body = "{\"algorithm\":\"HS256\",\"data\":\"" WORLD "\"}");
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_mac, .key = "mac",
		.body = "{\"mechanism\":\"CKM_SHA256_HMAC\",\"items\":[{\"data\":\"" HELLO "\"},{\"data\":\"" WORLD
			"\"}]}");
	cr_assert_eq(json_array_size(json_at(rest.json, "results")), 2);
	cr_expect_str_eq(text_at(rest.json, "results/1/mac"), text_at(one.json, "mac"));
	cr_expect_str_neq(text_at(rest.json, "results/0/mac"), text_at(one.json, "mac"));
	cr_expect_str_eq(text_at(rest.json, "mechanism"), "CKM_SHA256_HMAC");
}

Test(resource_mac, only_secret_keys_and_mac_algorithms_make_one)
{
	static const struct {
		const char *key, *body, *pointer, *ckr;
	} bodies[] = {
		{"ec", "{\"algorithm\":\"HS256\",\"data\":\"\"}", "/algorithm", "CKR_KEY_TYPE_INCONSISTENT"},
		{"ec", "{\"mechanism\":\"CKM_ECDSA\",\"data\":\"\"}", "/mechanism", "CKR_KEY_TYPE_INCONSISTENT"},
		{"mac", "{\"algorithm\":\"ES256\",\"data\":\"\"}", "/algorithm", "CKR_MECHANISM_INVALID"},
		{"mac", "{\"algorithm\":\"AES_CMAC\",\"data\":\"\"}", "/algorithm", "CKR_KEY_TYPE_INCONSISTENT"},
	};
	make_resource_key(&worker, "EC", "ec", "");
	make_resource_key(&worker, "HMAC", "mac", "");
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		REST_AUTO struct rest rest = REST(
			&worker, 422, .route = ROUTE_key_mac, .key = bodies[i].key, .body = bodies[i].body);
		cr_expect_str_eq(text_at(rest.json, "pointer"), bodies[i].pointer, "%s", bodies[i].body);
		cr_expect_str_eq(text_at(rest.json, "ckr"), bodies[i].ckr, "%s", bodies[i].body);
		cr_expect_eq(calls_of(&rest, "SignInit"), 0);
	}
	REST_AUTO struct rest none = REST(
		&worker, 400, .route = ROUTE_key_mac, .key = "mac", .body = "{\"algorithm\":\"HS256\"}");
	cr_expect_str_eq(text_at(none.json, "pointer"), "");
	REST_AUTO struct rest digest = REST(&worker, 400, .route = ROUTE_key_mac, .key = "mac",
		.body = "{\"algorithm\":\"HS256\",\"digest\":\"\"}");
	cr_expect_str_eq(text_at(digest.json, "pointer"), "/digest");
}
