/* Wrapping, unwrapping and derivation, with OpenSSL as the judge. */
#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_wrap, resource_setup_logged_in);
TestSuite(resource_derive, .init = setup, .fini = teardown);

#define HELLO "aGVsbG8" /* "hello" */
enum { VALUE_LEN = 32 };

static const struct client caller = {.worker = &worker, .instance = {1}};

/* A secret key whose value is first, first + 1 …; it wraps, unwraps and may leave the token. */
static void import_secret(
	const char *label, const char *type, unsigned char first, size_t len, unsigned char ret_value[VALUE_LEN])
{
	json_int_t session = open_session(&caller);
	for (size_t i = 0; i < len; i++)
		ret_value[i] = (unsigned char)(first + i);
	expect(&caller, "CKR_OK",
		"{\"CreateObject\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_SECRET_KEY\"},{\"CKA_KEY_"
		"TYPE\":\"%s\"},"
		"{\"CKA_TOKEN\":true},{\"CKA_WRAP\":true},{\"CKA_UNWRAP\":true},{\"CKA_SIGN\":true},{\"CKA_"
		"EXTRACTABLE\":true},"
		"{\"CKA_LABEL\":\"%s\"},{\"CKA_VALUE\":\"%s\"}]}}",
		session, type, label, b64(ret_value, len));
	expect(&caller, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
}

/* RFC 3394 by OpenSSL; `pad`: RFC 5649. */
static size_t openssl_wrap(const unsigned char *key, size_t key_len, bool pad, bool wraps, const unsigned char *in,
	size_t in_len, unsigned char *out)
{
	char name[32];
	int n = 0, last = 0;
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	snprintf(name, sizeof name, "AES-%zu-WRAP%s", key_len * 8, pad ? "-PAD" : "");
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
	cr_assert_not_null(cipher, "%s", name);
	EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	cr_assert_eq(EVP_CipherInit_ex2(context, cipher, key, NULL, wraps, NULL), 1);
	cr_assert_eq(EVP_CipherUpdate(context, out, &n, in, (int)in_len), 1);
	cr_assert_eq(EVP_CipherFinal_ex(context, out + n, &last), 1);
	EVP_CIPHER_free(cipher);
	EVP_CIPHER_CTX_free(context);
	return (size_t)(n + last);
}

/* The MAC that the key of the token makes is that of the value. */
static void expect_value(const char *label, const unsigned char *value, size_t len)
{
	unsigned char mac[32], expected[32];
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_mac, .key = label,
		.body = "{\"algorithm\":\"HS256\",\"data\":\"" HELLO "\"}");
	HMAC(EVP_sha256(), value, (int)len, (const unsigned char *)"hello", 5, expected, NULL);
	cr_assert_eq(bytes_at(rest.json, "mac", mac, sizeof mac), 32);
	cr_expect_eq(memcmp(mac, expected, 32), 0, "%s", label);
}

Test(resource_wrap, every_aes_key_wrap_is_openssls_both_ways)
{
	static const struct {
		const char *algorithm;
		size_t key_len;
	} rows[] = {{"A128KW", 16}, {"A192KW", 24}, {"A256KW", 32}};
	unsigned char secret[VALUE_LEN], key[VALUE_LEN], wrapped[64], back[64];
	import_secret("secret", "CKK_GENERIC_SECRET", 100, VALUE_LEN, secret);
	for (size_t i = 0; i < 3; i++) {
		char label[16], made[16];
		snprintf(label, sizeof label, "kek%zu", i);
		snprintf(made, sizeof made, "made%zu", i);
		import_secret(label, "CKK_AES", 1, rows[i].key_len, key);
		REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_wrap, .key = label,
			.body = text_of("{\"algorithm\":\"%s\",\"key\":{\"label\":\"secret\"}}", rows[i].algorithm));
		size_t len = bytes_at(rest.json, "wrapped", wrapped, sizeof wrapped);
		cr_assert_eq(openssl_wrap(key, rows[i].key_len, false, false, wrapped, len, back), VALUE_LEN);
		cr_expect_eq(memcmp(back, secret, VALUE_LEN), 0, "%s", rows[i].algorithm);
		cr_expect_eq(events_with(&rest, "function", "C_WrapKey"), 1);
		secret[0]++;
		len = openssl_wrap(key, rows[i].key_len, false, true, secret, VALUE_LEN, wrapped);
		REST_AUTO struct rest unwrapped = REST(&worker, 201, .route = ROUTE_key_unwrap, .key = label,
			.body = text_of("{\"algorithm\":\"%s\",\"wrapped\":\"%s\",\"type\":\"HMAC\",\"label\":\"%s\"}",
				rows[i].algorithm, b64(wrapped, len), made));
		cr_expect(has_header(&unwrapped, text_of("Location: /v1/slots/demo-slot/keys/%s", made)), "%s",
			unwrapped.headers);
		cr_expect_str_eq(text_at(unwrapped.json, "label"), made);
		cr_expect_eq(events_with(&unwrapped, "function", "C_UnwrapKey"), 1);
		expect_value(made, secret, VALUE_LEN);
		secret[0]--;
	}
}

Test(resource_wrap, the_public_key_of_a_pair_wraps_and_the_private_one_unwraps)
{
	unsigned char secret[VALUE_LEN];
	static const char *const algorithms[] = {"RSA-OAEP", "RSA1_5"};
	import_secret("secret", "CKK_GENERIC_SECRET", 7, VALUE_LEN, secret);
	make_resource_key(&worker, "RSA", "rsa", ",\"usage\":[\"wrap\",\"unwrap\"]");
	for (size_t i = 0; i < 2; i++) {
		REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_wrap, .key = "rsa",
			.body = text_of("{\"algorithm\":\"%s\",\"key\":{\"label\":\"secret\"}}", algorithms[i]));
		const char *made = text_of("made%zu", i);
		REST_ONLY(&worker, 201, .route = ROUTE_key_unwrap, .key = "rsa",
			.body = text_of("{\"algorithm\":\"%s\",\"wrapped\":\"%s\",\"type\":\"HMAC\",\"label\":\"%s\"}",
				algorithms[i], text_at(rest.json, "wrapped"), made));
		expect_value(made, secret, VALUE_LEN);
	}
}

Test(resource_wrap, a_private_key_that_openssl_has_wrapped_signs)
{
	unsigned char key[VALUE_LEN], wrapped[256], signature[128], *der = NULL;
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pair);
	int der_len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
	import_secret("kek", "CKK_AES", 1, VALUE_LEN, key);
	size_t len = openssl_wrap(key, VALUE_LEN, true, true, der, (size_t)der_len, wrapped);
	REST_AUTO struct rest made = REST(&worker, 201, .route = ROUTE_key_unwrap, .key = "kek",
		.body = text_of(
			"{\"mechanism\":\"CKM_AES_KEY_WRAP_PAD\",\"wrapped\":\"%s\",\"type\":\"EC\",\"label\":\"ec\"}",
			b64(wrapped, len)));
	cr_expect_str_eq(text_at(made.json, "class"), "private");
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = "ec",
		.body = "{\"algorithm\":\"ES256\",\"format\":\"der\",\"data\":\"" HELLO "\"}");
	len = bytes_at(rest.json, "signature", signature, sizeof signature);
	cr_expect(verifies(pair, "SHA256", false, "hello", 5, signature, len));
	OPENSSL_free(der);
	PKCS8_PRIV_KEY_INFO_free(info);
	EVP_PKEY_free(pair);
}

Test(resource_wrap, a_wrapped_key_can_come_as_octets)
{
	unsigned char key[VALUE_LEN], secret[VALUE_LEN];
	import_secret("kek", "CKK_AES", 1, VALUE_LEN, key);
	import_secret("secret", "CKK_GENERIC_SECRET", 9, VALUE_LEN, secret);
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_wrap, .key = "kek",
		.accept = "application/octet-stream",
		.body = "{\"algorithm\":\"A256KW\",\"key\":{\"label\":\"secret\"}}");
	cr_expect_eq(rest.body_len, VALUE_LEN + 8);
}

Test(resource_wrap, what_cannot_be_wrapped_or_unwrapped_is_named)
{
	unsigned char key[VALUE_LEN];
	static const struct {
		enum route_id route;
		unsigned status;
		const char *body, *pointer, *ckr;
	} bodies[] = {
		{ROUTE_key_wrap, 400, "{\"algorithm\":\"A256KW\"}", "/key", ""},
		{ROUTE_key_wrap, 400, "{\"key\":{\"label\":\"mac\"}}", "/algorithm", ""},
		{ROUTE_key_wrap, 422, "{\"algorithm\":\"A256GCM\",\"key\":{\"label\":\"mac\"}}", "/algorithm",
			"CKR_MECHANISM_INVALID"},
		{ROUTE_key_wrap, 422, "{\"algorithm\":\"A128KW\",\"key\":{\"label\":\"mac\"}}", "/algorithm",
			"CKR_KEY_SIZE_RANGE"},
		{ROUTE_key_wrap, 422, "{\"algorithm\":\"RSA-OAEP\",\"key\":{\"label\":\"mac\"}}", "/algorithm",
			"CKR_KEY_TYPE_INCONSISTENT"},
		{ROUTE_key_wrap, 400, "{\"algorithm\":\"A256KW\",\"key\":{\"id\":\"x\"}}", "/key/id", ""},
		{ROUTE_key_wrap, 404, "{\"algorithm\":\"A256KW\",\"key\":{\"label\":\"none\"}}", "", ""},
		{ROUTE_key_wrap, 403, "{\"algorithm\":\"A256KW\",\"key\":{\"label\":\"mac\"}}", "",
			"CKR_KEY_UNEXTRACTABLE"},
		{ROUTE_key_unwrap, 400, "{\"algorithm\":\"A256KW\",\"type\":\"AES\",\"label\":\"x\"}", "/wrapped", ""},
		{ROUTE_key_unwrap, 400, "{\"algorithm\":\"A256KW\",\"wrapped\":\"\",\"label\":\"x\"}", "/type", ""},
		{ROUTE_key_unwrap, 400, "{\"algorithm\":\"A256KW\",\"wrapped\":\"\",\"type\":\"AES\"}", "/label", ""},
		{ROUTE_key_unwrap, 400,
			"{\"algorithm\":\"A256KW\",\"wrapped\":\"\",\"type\":\"AES\",\"label\":\"x\",\"id\":\"x\"}",
			"/id", ""},
		{ROUTE_key_unwrap, 400,
			"{\"algorithm\":\"A256KW\",\"wrapped\":\"\",\"type\":\"HMAC\",\"label\":\"x\",\"usage\":["
			"\"encrypt\"]}",
			"/usage/0", ""},
		{ROUTE_key_unwrap, 422,
			"{\"algorithm\":\"A256KW\",\"wrapped\":\"\",\"type\":\"AES\",\"label\":\"x\",\"always_"
			"authenticate\":true}",
			"/always_authenticate", "CKR_ATTRIBUTE_TYPE_INVALID"},
		{ROUTE_key_unwrap, 409,
			"{\"algorithm\":\"A256KW\",\"wrapped\":\"\",\"type\":\"AES\",\"label\":\"mac\"}", "/label", ""},
		{ROUTE_key_unwrap, 422, "{\"algorithm\":\"A192KW\",\"wrapped\":\"\",\"type\":\"AES\",\"label\":\"x\"}",
			"/algorithm", "CKR_KEY_SIZE_RANGE"},
	};
	import_secret("kek", "CKK_AES", 1, VALUE_LEN, key);
	make_resource_key(&worker, "HMAC", "mac", "");
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		REST_AUTO struct rest rest = REST(
			&worker, bodies[i].status, .route = bodies[i].route, .key = "kek", .body = bodies[i].body);
		cr_expect_str_eq(text_at(rest.json, "pointer"), bodies[i].pointer, "%s", bodies[i].body);
		cr_expect_str_eq(text_at(rest.json, "ckr"), bodies[i].ckr, "%s", bodies[i].body);
		cr_expect_eq(calls_of(&rest, "UnwrapKey"), 0);
	}
}

Test(resource_wrap, a_wrapped_key_that_was_changed_makes_no_key)
{
	unsigned char key[VALUE_LEN], wrapped[VALUE_LEN + 8] = {1, 2, 3};
	import_secret("kek", "CKK_AES", 1, VALUE_LEN, key);
	REST_AUTO struct rest rest = rest_ask(&worker,
		(struct ask){.route = ROUTE_key_unwrap,
			.key = "kek",
			.body = text_of(
				"{\"algorithm\":\"A256KW\",\"wrapped\":\"%s\",\"type\":\"HMAC\",\"label\":\"made\"}",
				b64(wrapped, sizeof wrapped))});
	cr_expect_geq(rest.status, 400);
	cr_expect_eq(events_with(&rest, "function", "C_UnwrapKey"), 1);
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "made");
}

Test(resource_wrap, D9_a_key_that_only_answers_challenges_neither_wraps_nor_is_wrapped)
{
	static struct worker_fixture marked;
	const struct worker_options options = {.challenge_only = "marked"};
	unsigned char value[VALUE_LEN];
	import_secret("marked", "CKK_AES", 1, VALUE_LEN, value);
	import_secret("kek", "CKK_AES", 2, VALUE_LEN, value);
	worker_fixture_start(&token, &options, &marked);
	REST_ONLY(&marked, 200, .route = ROUTE_login, .body = PIN_BODY);
	static const char *const names[2][2] = {{"marked", "kek"}, {"kek", "marked"}};
	for (size_t i = 0; i < 2; i++) {
		REST_AUTO struct rest rest = REST(&marked, 403, .route = ROUTE_key_wrap, .key = names[i][0],
			.body = text_of("{\"algorithm\":\"A256KW\",\"key\":{\"label\":\"%s\"}}", names[i][1]));
		cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_KEY_FUNCTION_NOT_PERMITTED");
		cr_expect_eq(calls_of(&rest, "WrapKey"), 0);
	}
	worker_fixture_stop(&marked);
}

/* --- derivation --- */

/* The peer's public key as base64url, and what both sides share. */
static const char *peer_of(const char *key, const char *curve, unsigned char *ret_secret, size_t *ret_len)
{
	unsigned char der[256], *end = der;
	EVP_PKEY *peer = EVP_EC_gen(curve), *own = public_key_of(&worker, key);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(peer, NULL);
	int len = i2d_PUBKEY(peer, &end);
	cr_assert_eq(EVP_PKEY_derive_init(context), 1);
	cr_assert_eq(EVP_PKEY_derive_set_peer(context, own), 1);
	cr_assert_eq(EVP_PKEY_derive(context, ret_secret, ret_len), 1);
	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(own);
	EVP_PKEY_free(peer);
	return b64(der, (size_t)len);
}

#define DERIVE(peer, label, more) \
	text_of("{\"algorithm\":\"ECDH\",\"public_key\":\"%s\",\"type\":\"HMAC\",\"label\":\"%s\"%s}", peer, label, \
		more)

Test(resource_derive, both_sides_of_an_agreement_have_the_same_key)
{
	static const struct {
		const char *name, *curve;
	} rows[] = {{"P-256", "prime256v1"}, {"P-384", "secp384r1"}, {"P-521", "secp521r1"}};
	for (size_t i = 0; i < 3; i++) {
		unsigned char secret[80];
		size_t len = sizeof secret;
		char label[16], made[16];
		snprintf(label, sizeof label, "ec%zu", i);
		snprintf(made, sizeof made, "made%zu", i);
		make_resource_key(
			&worker, "EC", label, text_of(",\"curve\":\"%s\",\"usage\":[\"derive\"]", rows[i].name));
		const char *peer = peer_of(label, rows[i].curve, secret, &len);
		REST_AUTO struct rest rest = REST(
			&worker, 201, .route = ROUTE_key_derive, .key = label, .body = DERIVE(peer, made, ""));
		cr_expect_eq(events_with(&rest, "function", "C_DeriveKey"), 1);
		cr_expect_eq(events_with(&rest, "made_key/label", made), 1);
		expect_value(made, secret + len - VALUE_LEN, VALUE_LEN);
	}
}

Test(resource_derive, a_mechanism_derives_with_its_parameter)
{
	unsigned char value[VALUE_LEN] = {0}, data[VALUE_LEN], expected[VALUE_LEN];
	int n;
	make_resource_key(&worker, "AES", "unused", "");
	json_int_t session = open_session(&caller);
	for (size_t i = 0; i < VALUE_LEN; i++)
		data[i] = value[i] = (unsigned char)i;
	expect(&caller, "CKR_OK",
		"{\"CreateObject\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_SECRET_KEY\"},{\"CKA_KEY_"
		"TYPE\":\"CKK_AES\"},"
		"{\"CKA_TOKEN\":true},{\"CKA_DERIVE\":true},{\"CKA_LABEL\":\"aes\"},{\"CKA_VALUE\":\"%s\"}]}}",
		session, b64(value, VALUE_LEN));
	REST_ONLY(&worker, 201, .route = ROUTE_key_derive, .key = "aes",
		.body = text_of(
			"{\"mechanism\":{\"mechanism\":\"CKM_AES_ECB_ENCRYPT_DATA\",\"parameter\":{\"pData\":\"%s\"}},"
			"\"type\":\"HMAC\",\"bits\":256,\"label\":\"made\"}",
			b64(data, VALUE_LEN)));
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	cr_assert_eq(EVP_EncryptInit_ex(context, EVP_aes_256_ecb(), NULL, value, NULL), 1);
	cr_assert_eq(EVP_EncryptUpdate(context, expected, &n, data, VALUE_LEN), 1);
	EVP_CIPHER_CTX_free(context);
	expect_value("made", expected, VALUE_LEN);
}

Test(resource_derive, what_does_not_fit_is_named)
{
	unsigned char secret[80];
	size_t len = sizeof secret;
	make_resource_key(&worker, "EC", "ec", ",\"usage\":[\"derive\"]");
	make_resource_key(&worker, "EC", "other", ",\"curve\":\"P-384\",\"usage\":[\"derive\"]");
	make_resource_key(&worker, "Ed25519", "ed", "");
	const char *peer = peer_of("ec", "prime256v1", secret, &len),
		   *foreign = peer_of("other", "secp384r1", secret, &len);
	const struct {
		const char *key, *body, *pointer;
		unsigned status;
	} bodies[] = {
		{"ec", "{\"algorithm\":\"ECDH\",\"type\":\"AES\",\"label\":\"x\"}", "/public_key", 400},
		{"ec", "{\"algorithm\":\"X25519\",\"type\":\"AES\",\"label\":\"x\"}", "/algorithm", 400},
		{"ec", text_of("{\"public_key\":\"%s\",\"type\":\"AES\",\"label\":\"x\"}", peer), "/algorithm", 400},
		{"ec",
			text_of("{\"mechanism\":\"CKM_ECDH1_DERIVE\",\"public_key\":\"%s\",\"type\":\"AES\",\"label\":"
				"\"x\"}",
				peer),
			"/public_key", 400},
		{"ec", text_of("{\"algorithm\":\"ECDH\",\"public_key\":\"%s\",\"type\":\"RSA\",\"label\":\"x\"}", peer),
			"/type", 400},
		{"ec", DERIVE(peer, "x", ",\"bits\":7"), "/bits", 422},
		{"ec", DERIVE("AAAA", "x", ""), "/public_key", 422},
		{"ec", DERIVE(foreign, "x", ""), "/public_key", 422},
		{"ed", DERIVE(peer, "x", ""), "/algorithm", 422},
		{"ec", DERIVE(peer, "other", ""), "/label", 409},
	};
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		REST_AUTO struct rest rest = REST(&worker, bodies[i].status, .route = ROUTE_key_derive,
			.key = bodies[i].key, .body = bodies[i].body);
		cr_expect_str_eq(text_at(rest.json, "pointer"), bodies[i].pointer, "%s", bodies[i].body);
		cr_expect_eq(calls_of(&rest, "DeriveKey"), 0);
	}
}

/* A key that asks for its PIN, and a peer. */
static const char *careful(unsigned char *secret, size_t *len)
{
	make_resource_key(&worker, "EC", "careful", ",\"usage\":[\"derive\"],\"always_authenticate\":true");
	return peer_of("careful", "prime256v1", secret, len);
}

Test(resource_derive, A18_a_key_that_asks_for_its_pin_derives_with_the_pin_of_the_request_alone)
{
	unsigned char secret[80];
	size_t len = sizeof secret;
	const char *peer = careful(secret, &len);
	REST_AUTO struct rest none = REST(
		&worker, 401, .route = ROUTE_key_derive, .key = "careful", .body = DERIVE(peer, "made", ""));
	cr_expect_str_eq(text_at(none.json, "ckr"), "CKR_USER_NOT_LOGGED_IN");
	cr_expect_null(json_at(none.json, "operation"));
	cr_expect_eq(events_with(&none, "kind", "refusal"), 1);
	cr_expect_eq(calls_of(&none, "DeriveKey"), 0);
	REST_AUTO struct rest wrong = REST(&worker, 401, .route = ROUTE_key_derive, .key = "careful",
		.body = DERIVE(peer, "made", ",\"pin\":\"9999\""));
	cr_expect_str_eq(text_at(wrong.json, "ckr"), "CKR_PIN_INCORRECT");
	cr_expect_eq(calls_of(&wrong, "DeriveKey"), 0);
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "made");
	REST_AUTO struct rest right = REST(&worker, 201, .route = ROUTE_key_derive, .key = "careful",
		.body = DERIVE(peer, "made", ",\"pin\":\"" FIXTURE_PIN "\""));
	cr_expect_eq(events_with(&right, "user", "CKU_CONTEXT_SPECIFIC"), 1);
	expect_value("made", secret, VALUE_LEN);
	REST_ONLY(&worker, 401, .route = ROUTE_key_derive, .key = "careful", .body = DERIVE(peer, "again", ""));
}

Test(resource_wrap, A18_a_key_that_asks_for_its_pin_unwraps_with_the_pin_of_the_request_alone)
{
	unsigned char secret[VALUE_LEN];
	import_secret("secret", "CKK_GENERIC_SECRET", 7, VALUE_LEN, secret);
	make_resource_key(&worker, "RSA", "rsa", ",\"usage\":[\"wrap\",\"unwrap\"],\"always_authenticate\":true");
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_wrap, .key = "rsa",
		.body = "{\"algorithm\":\"RSA-OAEP\",\"key\":{\"label\":\"secret\"}}");
	const char *body = text_of(
		"{\"algorithm\":\"RSA-OAEP\",\"wrapped\":\"%s\",\"type\":\"HMAC\",\"label\":\"made\"%%s}",
		text_at(rest.json, "wrapped"));
	char without[2000], with[2000];
	snprintf(without, sizeof without, "%.*s}", (int)(strlen(body) - 3), body);
	snprintf(with, sizeof with, "%.*s,\"pin\":\"" FIXTURE_PIN "\"}", (int)(strlen(body) - 3), body);
	REST_AUTO struct rest none = REST(&worker, 401, .route = ROUTE_key_unwrap, .key = "rsa", .body = without);
	cr_expect_eq(calls_of(&none, "UnwrapKey"), 0);
	REST_ONLY(&worker, 201, .route = ROUTE_key_unwrap, .key = "rsa", .body = with);
	expect_value("made", secret, VALUE_LEN);
}

Test(resource_derive, A18_where_the_rule_allows_it_the_module_decides)
{
	static struct worker_fixture lenient;
	const struct worker_options options = {.login = {.aa_oneshot = true}};
	unsigned char secret[80];
	size_t len = sizeof secret;
	const char *peer = careful(secret, &len);
	worker_fixture_start(&token, &options, &lenient);
	REST_ONLY(&lenient, 200, .route = ROUTE_login, .body = PIN_BODY);
	REST_ONLY(&lenient, 201, .route = ROUTE_key_derive, .key = "careful", .body = DERIVE(peer, "made", ""));
	worker_fixture_stop(&lenient);
}

Test(resource_derive, A28_a_one_shot_pin_logs_nobody_in_who_stays)
{
	static struct worker_fixture anonymous;
	unsigned char secret[80];
	size_t len = sizeof secret;
	const char *peer = careful(secret, &len);
	worker_fixture_start(&token, NULL, &anonymous);
	REST_AUTO struct rest shared = rest_ask(
		&anonymous, (struct ask){.route = ROUTE_key_derive,
				    .key = "careful",
				    .body = DERIVE(peer, "made", ",\"pin\":\"" FIXTURE_PIN "\"")});
	cr_expect_eq(shared.status, 0);
	REST_AUTO struct rest rest = REST(&anonymous, 201, .route = ROUTE_key_derive, .key = "careful",
		.anonymous = true, .body = DERIVE(peer, "made", ",\"pin\":\"" FIXTURE_PIN "\""));
	cr_expect_eq(rest.login, LOGIN_NONE);
	worker_fixture_stop(&anonymous);
}

/* Where a PIN is kept, the one that is given logs the module in anew; the turn to make objects comes after it. */
Test(resource_derive, A18_the_pin_is_verified_before_the_turn_to_make_objects)
{
	static struct worker_fixture kept;
	const struct worker_options options = {.fresh = true,
		.login = {.cache_pin = true,
			.pin_cache_ttl_ms = 60000,
			.pin_cache_idle_ms = 60000,
			.internal_wait_ms = 5000}};
	unsigned char secret[80];
	size_t len = sizeof secret;
	const char *peer = careful(secret, &len);
	worker_fixture_start(&token, &options, &kept);
	REST_ONLY(&kept, 200, .route = ROUTE_login, .body = PIN_BODY);
	REST_ONLY(&kept, 401, .route = ROUTE_key_derive, .key = "careful",
		.body = DERIVE(peer, "made", ",\"pin\":\"9999\""));
	REST_ONLY(&kept, 201, .route = ROUTE_key_derive, .key = "careful",
		.body = DERIVE(peer, "made", ",\"pin\":\"" FIXTURE_PIN "\""));
	REST_ONLY(&kept, 200, .route = ROUTE_key, .key = "made");
	worker_fixture_stop(&kept);
}
