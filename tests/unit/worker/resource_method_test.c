/* The methods of challenge-response: each against OpenSSL, and which keys can do it. */
#include <criterion/criterion.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_method, resource_setup_logged_in);

/* Starts the worker anew with other options. */
static void restart(const struct worker_options *options)
{
	worker_fixture_stop(&worker);
	worker_fixture_start(&token, options, &worker);
	cr_assert_eq(worker.started_rv, 0, "%s", worker.started_detail);
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
}

static const char salt[] = "the salt of a database";
enum { SALT_LEN = sizeof salt - 1 };

static const char *ask(const void *challenge, size_t len, const char *label, const char *more)
{
	return text_of("{\"challenge\":\"%s\",\"key\":{\"label\":\"%s\"}%s}", b64(challenge, len), label, more);
}

/* The key's response to the challenge; returns its length. */
static size_t respond(const void *challenge, size_t len, const char *label, const char *more, const char *method,
	unsigned char ret_response[128])
{
	REST_AUTO struct rest rest = REST(
		&worker, 200, .route = ROUTE_challenge, .body = ask(challenge, len, label, more));
	cr_expect_str_eq(text_at(rest.json, "method"), method);
	return bytes_at(rest.json, "response", ret_response, 128);
}

/* --- HMAC --- */

struct vector {
	int key_byte; /* repeated; the key of a vector that is no repetition is 0x01, 0x02 … */
	size_t key_len;
	const char *data; /* or NULL: data_byte, repeated */
	int data_byte;
	size_t data_len;
	const char *mac; /* hexadecimal */
};

static void check_vectors(const struct vector *vectors, size_t count, const char *method)
{
	for (size_t i = 0; i < count; i++) {
		const struct vector *vector = &vectors[i];
		unsigned char key[160], data[160], response[128], mac[64];
		char text[129];
		for (size_t at = 0; at < vector->key_len; at++)
			key[at] = (unsigned char)(vector->key_byte == 0 ? (int)at + 1 : vector->key_byte);
		if (vector->data != NULL)
			memcpy(data, vector->data, vector->data_len);
		else
			memset(data, vector->data_byte, vector->data_len);
		import_hmac_key(&worker, text_of("vector%zu", i), key, vector->key_len);
		size_t len = respond(data, vector->data_len, text_of("vector%zu", i),
			text_of(",\"method\":\"%s\"", method), method, response);
		for (size_t at = 0; at < len; at++)
			snprintf(text + 2 * at, 3, "%02x", response[at]);
		cr_expect_str_eq(text, vector->mac, "vector %zu", i);
		const EVP_MD *md = len == 20 ? EVP_sha1() : EVP_sha256();
		HMAC(md, key, (int)vector->key_len, data, vector->data_len, mac, NULL);
		cr_expect_eq(memcmp(mac, response, len), 0);
	}
}

#define LONG_KEY "Test Using Larger Than Block-Size Key - Hash Key First"
#define LONG_BOTH_1 "Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data"
#define LONG_BOTH_256 \
	"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be " \
	"hashed " \
	"before being used by the HMAC algorithm."
#define TEXT(text) text, 0, sizeof text - 1

Test(resource_method, D1_hmac_sha1_gives_the_macs_of_rfc_2202)
{
	static const struct vector vectors[] = {
		{0x0b, 20, TEXT("Hi There"), "b617318655057264e28bc0b6fb378c8ef146be00"},
		{0xaa, 20, NULL, 0xdd, 50, "125d7342b9ac11cd91a39af48aa17b4f63f175d3"},
		{0, 25, NULL, 0xcd, 50, "4c9007f4026250c6bc8414f9bf50c86c2d7235da"},
		{0x0c, 20, TEXT("Test With Truncation"), "4c1a03424b55e07fe7f27be1d58bb9324a9a5a04"},
		{0xaa, 80, TEXT(LONG_KEY), "aa4ae5e15272d00e95705637ce8a3b55ed402112"},
		{0xaa, 80, TEXT(LONG_BOTH_1), "e8e99d0f45237d786d6bbaa7965c7808bbff1a91"},
	};
	check_vectors(vectors, sizeof vectors / sizeof vectors[0], "hmac-sha1");
}

Test(resource_method, D1_hmac_sha256_gives_the_macs_of_rfc_4231)
{
	static const struct vector vectors[] = {
		{0xaa, 131, TEXT(LONG_KEY), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
		{0xaa, 131, TEXT(LONG_BOTH_256), "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
	};
	check_vectors(vectors, sizeof vectors / sizeof vectors[0], "hmac-sha256");
}

Test(resource_method, D7_the_vectors_whose_key_is_shorter_than_the_hash_are_422)
{
	static const struct {
		size_t key_len;
		const char *method;
	} shorter[] = {{20, "hmac-sha256"}, {25, "hmac-sha256"}, {31, "hmac-sha256"}, {19, "hmac-sha1"}};
	static const unsigned char key[32] = {1};
	for (size_t i = 0; i < sizeof shorter / sizeof shorter[0]; i++) {
		import_hmac_key(&worker, text_of("short%zu", i), key, shorter[i].key_len);
		REST_AUTO struct rest rest = REST(&worker, 422, .route = ROUTE_challenge,
			.body = ask("Hi There", 8, text_of("short%zu", i),
				text_of(",\"method\":\"%s\"", shorter[i].method)));
		cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_KEY_SIZE_RANGE");
		cr_expect_eq(calls_of(&rest, "SignInit"), 0);
	}
}

Test(resource_method, D1_a_key_too_short_for_sha256_answers_with_sha1)
{
	unsigned char response[128], mac[20];
	import_hmac_key(&worker, "yubikey", "01234567890123456789", 20);
	cr_assert_eq(respond(salt, SALT_LEN, "yubikey", "", "hmac-sha1", response), 20);
	HMAC(EVP_sha1(), "01234567890123456789", 20, (const unsigned char *)salt, SALT_LEN, mac, NULL);
	cr_expect_eq(memcmp(response, mac, 20), 0);
}

/* --- signatures --- */

static void response_of_rsa(unsigned char ret_response[128], const char *mechanism)
{
	REST_AUTO struct rest rest = REST(
		&worker, 200, .route = ROUTE_challenge, .body = ask(salt, SALT_LEN, "rsa", ""));
	cr_assert_eq(bytes_at(rest.json, "response", ret_response, 128), 32);
	cr_expect_eq(events_with(&rest, "mechanism", mechanism), events_with(&rest, "function", "C_Sign"));
}

Test(resource_method, D1_rsa_pkcs1_without_the_combined_mechanism_gives_the_same_bytes)
{
	unsigned char combined[128], plain[128];
	make_resource_key(&worker, "RSA", "rsa", "");
	response_of_rsa(combined, "CKM_SHA256_RSA_PKCS");
	restart(&(struct worker_options){.shim = text_of("lacks=%lu", CKM_SHA256_RSA_PKCS)});
	response_of_rsa(plain, "CKM_RSA_PKCS");
	cr_expect_eq(memcmp(combined, plain, 32), 0);
}

Test(resource_method, D1_a_method_needs_its_mechanism)
{
	unsigned char response[128];
	unsigned long lacking = CKM_SHA256_HMAC;
	make_resource_key(&worker, "HMAC", "mac", "");
	cr_expect_eq(respond(salt, SALT_LEN, "mac", "", "hmac-sha256", response), 32);
	restart(&(struct worker_options){.shim = text_of("lacks=%lu", lacking)});
	cr_expect_eq(respond(salt, SALT_LEN, "mac", "", "hmac-sha1", response), 20);
	REST_AUTO struct rest rest = REST(&worker, 422, .route = ROUTE_challenge,
		.body = ask(salt, SALT_LEN, "mac", ",\"method\":\"hmac-sha256\""));
	cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_MECHANISM_INVALID");
	cr_expect_str_eq(text_at(rest.json, "pointer"), "/method");
}

Test(resource_method, D1_a_key_without_the_usage_is_403)
{
	const struct client client = {.worker = &worker, .instance = {1}};
	json_int_t session = open_session(&client);
	expect(&client, "CKR_OK",
		"{\"GenerateKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_GENERIC_SECRET_KEY_GEN\"},"
		"\"attributes\":["
		"{\"CKA_TOKEN\":true},{\"CKA_LABEL\":\"verify\"},{\"CKA_VALUE_LEN\":32},{\"CKA_SIGN\":false},{\"CKA_"
		"VERIFY\":true}]}}",
		session);
	make_resource_key(&worker, "EC", "sign", "");
	REST_AUTO struct rest mac = REST(
		&worker, 403, .route = ROUTE_challenge, .body = ask(salt, SALT_LEN, "verify", ""));
	cr_expect_str_eq(text_at(mac.json, "ckr"), "CKR_KEY_FUNCTION_NOT_PERMITTED");
	REST_AUTO struct rest ec = REST(
		&worker, 403, .route = ROUTE_challenge, .body = ask(salt, SALT_LEN, "sign", ",\"method\":\"ecdh\""));
	cr_expect_str_eq(text_at(ec.json, "ckr"), "CKR_KEY_FUNCTION_NOT_PERMITTED");
}

Test(resource_method, D3_a_signing_key_whose_signatures_change_is_found_out_at_its_first_use)
{
	make_resource_key(&worker, "RSA", "rsa", "");
	restart(&(struct worker_options){.shim = "unsteady"});
	for (int i = 0; i < 2; i++) {
		REST_AUTO struct rest rest = REST(
			&worker, 422, .route = ROUTE_challenge, .body = ask(salt, SALT_LEN, "rsa", ""));
		cr_expect_str_eq(text_at(rest.json, "type"), "/docs/errors/non-deterministic-response");
		cr_expect_eq(calls_of(&rest, "Sign"), 2);
	}
}

/* --- key derivation: SoftHSM has none, the mock module has --- */

Test(resource_method, D1_hkdf_where_the_token_lacks_it_is_422)
{
	const struct client client = {.worker = &worker, .instance = {1}};
	json_int_t session = open_session(&client);
	expect(&client, "CKR_OK",
		"{\"GenerateKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_GENERIC_SECRET_KEY_GEN\"},"
		"\"attributes\":["
		"{\"CKA_TOKEN\":true},{\"CKA_LABEL\":\"derive\"},{\"CKA_VALUE_LEN\":32},{\"CKA_DERIVE\":true},{\"CKA_"
		"SIGN\":false}]}}",
		session);
	REST_AUTO struct rest rest = REST(&worker, 422, .route = ROUTE_challenge,
		.body = ask(salt, SALT_LEN, "derive", ",\"method\":\"hkdf-sha256\""));
	cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_MECHANISM_INVALID");
}

static void hkdf(const unsigned char *key, size_t key_len, unsigned char ret_out[32])
{
	size_t len = 32;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	cr_assert_eq(EVP_PKEY_derive_init(context), 1);
	cr_assert_eq(EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()), 1);
	cr_assert_eq(EVP_PKEY_CTX_set1_hkdf_key(context, key, (int)key_len), 1);
	cr_assert_eq(EVP_PKEY_CTX_set1_hkdf_salt(context, (const unsigned char *)salt, SALT_LEN), 1);
	cr_assert_eq(EVP_PKEY_derive(context, ret_out, &len), 1);
	EVP_PKEY_CTX_free(context);
}

Test(resource_method, D1_hkdf_takes_the_challenge_as_salt_and_comes_before_signatures)
{
	unsigned char key[48], bytes[128], expected[32];
	struct mock mock;
	memset(key, 0x5a, sizeof key);
	mock_new(&mock);
	restart(&(struct worker_options){.mock = &mock});
	const struct client client = {.worker = &worker, .instance = {1}};
	json_int_t session = open_session(&client);
	expect(&client, "CKR_OK",
		"{\"CreateObject\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_SECRET_KEY\"},{\"CKA_KEY_"
		"TYPE\":\"CKK_"
		"GENERIC_SECRET\"},{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":true},{\"CKA_DERIVE\":true},{\"CKA_SIGN\":"
		"false},"
		"{\"CKA_LABEL\":\"derive\"},{\"CKA_VALUE\":\"%s\"},{\"CKA_VALUE_LEN\":48}]}}",
		session, b64(key, sizeof key));
	make_resource_key(&worker, "RSA", "rsa", "");
	REST_AUTO struct rest rest = REST(
		&worker, 200, .route = ROUTE_challenge, .body = text_of("{\"challenge\":\"%s\"}", b64(salt, SALT_LEN)));
	cr_expect_str_eq(text_at(rest.json, "method"), "hkdf-sha256");
	cr_expect_str_eq(text_at(rest.json, "key/label"), "derive");
	cr_expect_eq(bytes_at(rest.json, "response", bytes, sizeof bytes), 32);
	hkdf(key, sizeof key, expected);
	cr_expect_eq(memcmp(bytes, expected, 32), 0);
	cr_expect_eq(calls_of(&rest, "DestroyObject"), 1);
}

/* NSS' own token in memory: it wants no login, and its objects live as long as their session. */
Test(resource_method, D1_hkdf_by_nss_is_what_openssl_computes)
{
	unsigned char key[48], response[128], expected[32];
	const struct worker_options nss = {
		.module = "/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
		.init_args =
			"configdir='' certPrefix='' keyPrefix='' secmod='' flags=readOnly,noCertDB,noModDB,forceOpen",
		.label = "NSS Generic Crypto Services",
	};
	const struct client client = {.worker = &worker, .instance = {1}};
	memset(key, 0x5a, sizeof key);
	worker_fixture_stop(&worker);
	worker_fixture_start(&token, &nss, &worker);
	cr_assert_eq(worker.started_rv, 0, "%s", worker.started_detail);
	json_int_t session = open_session(&client);
	expect(&client, "CKR_OK",
		"{\"CreateObject\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_SECRET_KEY\"},{\"CKA_KEY_"
		"TYPE\":"
		"\"CKK_GENERIC_SECRET\"},{\"CKA_DERIVE\":true},{\"CKA_LABEL\":\"derive\"},{\"CKA_VALUE\":\"%s\"}]}}",
		session, b64(key, sizeof key));
	cr_assert_eq(respond(salt, SALT_LEN, "derive", ",\"method\":\"hkdf-sha256\"", "hkdf-sha256", response), 32);
	hkdf(key, sizeof key, expected);
	cr_expect_eq(memcmp(response, expected, 32), 0);
}
