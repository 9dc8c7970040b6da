/* Challenge-response by key agreement (ecdh), against OpenSSL. */
#include <criterion/criterion.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/x509.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_agreement, resource_setup_logged_in);

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

/* A key pair for key agreement; `more` are further attributes of the private key, with a comma in front. */
static void make_agreement_key(const char *label, const char *params, const char *sign, const char *more)
{
	const struct client client = {.worker = &worker, .instance = {1}};
	json_int_t session = open_session(&client);
	expect(&client, "CKR_OK",
		"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"},"
		"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"%s\"},{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":false},"
		"{\"CKA_LABEL\":\"%s\"},{\"CKA_ID\":\"%s\"}],"
		"\"private_attributes\":[{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":true},{\"CKA_LABEL\":\"%s\"},{\"CKA_"
		"ID\":"
		"\"%s\"},{\"CKA_SIGN\":%s},{\"CKA_DERIVE\":true}%s]}}",
		session, params, label, b64(label, strlen(label)), label, b64(label, strlen(label)), sign, more);
	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
}

#define P256 "BggqhkjOPQMBBw"
#define P384 "BgUrgQQAIg"
#define P521 "BgUrgQQAIw"

/* The peer's SubjectPublicKeyInfo; returns its length. */
static size_t spki(EVP_PKEY *peer, unsigned char out[512])
{
	unsigned char *end = out;
	cr_assert_leq(i2d_PUBKEY(peer, NULL), 512);
	return (size_t)i2d_PUBKEY(peer, &end);
}

/* SHA-256 of what OpenSSL agrees on with the token's public key. */
static void agreed(EVP_PKEY *peer, const char *label, unsigned char ret_hash[32])
{
	unsigned char secret[128];
	size_t len = sizeof secret;
	EVP_PKEY *public_key = public_key_of(&worker, label);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(peer, NULL);
	cr_assert_eq(EVP_PKEY_derive_init(context), 1);
	cr_assert_eq(EVP_PKEY_derive_set_peer(context, public_key), 1);
	cr_assert_eq(EVP_PKEY_derive(context, secret, &len), 1);
	EVP_Digest(secret, len, ret_hash, NULL, EVP_sha256(), NULL);
	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(public_key);
}

Test(resource_agreement, D1_D2_ecdh_gives_the_sha256_of_what_both_sides_agree_on)
{
	static const struct {
		const char *label, *params, *group;
	} curves[] = {{"p256", P256, "P-256"}, {"p384", P384, "P-384"}, {"p521", P521, "P-521"}};
	for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
		unsigned char der[512], response[128], expected[32];
		EVP_PKEY *peer = EVP_EC_gen(curves[i].group);
		make_agreement_key(curves[i].label, curves[i].params, "false", "");
		size_t len = spki(peer, der);
		cr_assert_eq(respond(der, len, curves[i].label, ",\"method\":\"ecdh\"", "ecdh", response), 32);
		agreed(peer, curves[i].label, expected);
		cr_expect_eq(memcmp(response, expected, 32), 0, "%s", curves[i].label);
		EVP_PKEY_free(peer);
	}
}

Test(resource_agreement, D2_ecdh_takes_a_compressed_point_and_keeps_nothing)
{
	unsigned char der[512], one[128], two[128];
	EVP_PKEY *peer = EVP_EC_gen("P-256");
	make_agreement_key("p256", P256, "false", "");
	size_t len = spki(peer, der);
	respond(der, len, "p256", ",\"method\":\"ecdh\"", "ecdh", one);
	cr_assert_eq(EVP_PKEY_set_utf8_string_param(peer, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed"), 1);
	size_t compressed = spki(peer, der);
	cr_expect_lt(compressed, len);
	REST_AUTO struct rest rest = REST(
		&worker, 200, .route = ROUTE_challenge, .body = ask(der, compressed, "p256", ",\"method\":\"ecdh\""));
	bytes_at(rest.json, "response", two, sizeof two);
	cr_expect_eq(memcmp(one, two, 32), 0);
	cr_expect(json_is_true(json_at(rest.json, "deterministic")));
	cr_expect_eq(calls_of(&rest, "DeriveKey"), 1);
	cr_expect_eq(calls_of(&rest, "DestroyObject"), 1);
	cr_expect_eq(events_with(&rest, "function", "C_DeriveKey"), 1);
	cr_expect_eq(events_with(&rest, "key/label", "p256"), 1);
	REST_AUTO struct rest keys = REST(&worker, 200, .route = ROUTE_keys);
	cr_expect_eq(json_array_size(json_at(keys.json, "keys")), 1);
	EVP_PKEY_free(peer);
}

Test(resource_agreement, D2_the_challenge_of_ecdh_is_a_public_key_on_the_curve_of_the_key)
{
	unsigned char der[512];
	EVP_PKEY *others[] = {EVP_EC_gen("P-384"), EVP_EC_gen("secp256k1"), EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
	make_agreement_key("p256", P256, "false", "");
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		size_t len = spki(others[i], der);
		REST_AUTO struct rest rest = REST(
			&worker, 422, .route = ROUTE_challenge, .body = ask(der, len, "p256", ",\"method\":\"ecdh\""));
		cr_expect_str_eq(text_at(rest.json, "pointer"), "/challenge");
		cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_PUBLIC_KEY_INVALID");
		cr_expect_eq(calls_of(&rest, "DeriveKey"), 0);
		EVP_PKEY_free(others[i]);
	}
	EVP_PKEY *peer = EVP_EC_gen("P-256");
	size_t len = spki(peer, der);
	der[len] = 0;
	REST_ONLY(&worker, 422, .route = ROUTE_challenge, .body = ask(der, len + 1, "p256", ",\"method\":\"ecdh\""));
	REST_ONLY(&worker, 422, .route = ROUTE_challenge, .body = ask(der, len - 1, "p256", ",\"method\":\"ecdh\""));
	/* No point of the curve any more. */
	der[len - 1] ^= 1;
	REST_ONLY(&worker, 422, .route = ROUTE_challenge, .body = ask(der, len, "p256", ",\"method\":\"ecdh\""));
	REST_ONLY(&worker, 422, .route = ROUTE_challenge, .body = ask(salt, SALT_LEN, "p256", ",\"method\":\"ecdh\""));
	EVP_PKEY_free(peer);
}

Test(resource_agreement, D1_ecdh_is_done_only_where_it_is_asked_for)
{
	unsigned char der[512], response[128];
	EVP_PKEY *peer = EVP_EC_gen("P-256");
	size_t len = spki(peer, der);
	make_agreement_key("agree", P256, "false", "");
	REST_AUTO struct rest unasked = REST(
		&worker, 422, .route = ROUTE_challenge, .body = ask(der, len, "agree", ""));
	cr_expect_str_eq(text_at(unasked.json, "pointer"), "/method");
	cr_expect_not_null(strstr(text_at(unasked.json, "detail"), "ecdh"));
	REST_ONLY(&worker, 422, .route = ROUTE_challenge,
		.body = ask(der, len, "agree", ",\"allow_nondeterministic\":true"));
	make_agreement_key("both", P384, "true", "");
	cr_expect_eq(respond(der, len, "both", ",\"allow_nondeterministic\":true", "ecdsa", response), 32);
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_AUTO struct rest best = REST(
		&worker, 200, .route = ROUTE_challenge, .body = text_of("{\"challenge\":\"%s\"}", b64(der, len)));
	cr_expect_str_eq(text_at(best.json, "method"), "hmac-sha256");
	REST_AUTO struct rest keys = REST(&worker, 200, .route = ROUTE_challenge_keys);
	cr_assert_eq(json_array_size(json_at(keys.json, "keys")), 3);
	cr_expect_str_eq(text_at(keys.json, "keys/1/label"), "both");
	cr_expect_str_eq(text_at(keys.json, "keys/1/methods/0"), "ecdsa");
	cr_expect_str_eq(text_at(keys.json, "keys/1/methods/1"), "ecdh");
	cr_expect(json_is_false(json_at(keys.json, "keys/1/deterministic")));
	cr_expect_str_eq(text_at(keys.json, "keys/2/methods/0"), "ecdh");
	cr_expect(json_is_true(json_at(keys.json, "keys/2/deterministic")));
	EVP_PKEY_free(peer);
}

Test(resource_agreement, D3_an_ecdsa_key_is_told_of_ecdh_and_check_proves_it)
{
	make_agreement_key("both", P256, "true", "");
	REST_AUTO struct rest refused = REST(
		&worker, 422, .route = ROUTE_challenge, .body = ask(salt, SALT_LEN, "both", ""));
	cr_expect_str_eq(text_at(refused.json, "type"), "/docs/errors/non-deterministic-response");
	cr_expect_not_null(strstr(text_at(refused.json, "detail"), "ecdh"));
	cr_expect_not_null(strstr(text_at(refused.json, "detail"), "allow_nondeterministic"));
	REST_AUTO struct rest check = REST(&worker, 200, .route = ROUTE_challenge_check,
		.body = "{\"key\":{\"label\":\"both\"},\"method\":\"ecdh\"}");
	cr_expect(json_is_true(json_at(check.json, "deterministic")));
	cr_expect_eq(calls_of(&check, "DeriveKey"), 2);
}

Test(resource_agreement, D8_an_agreement_key_that_asks_for_its_pin_has_it_verified)
{
	unsigned char der[512], response[128], expected[32];
	EVP_PKEY *peer = EVP_EC_gen("P-256");
	size_t len = spki(peer, der);
	make_agreement_key("careful", P256, "false", CAREFUL);
	const char *body = ask(der, len, "careful", ",\"method\":\"ecdh\"");
	REST_AUTO struct rest held = REST(&worker, 401, .route = ROUTE_challenge, .body = body);
	cr_expect_str_eq(text_at(held.json, "type"), "/docs/errors/reauthentication-required");
	cr_expect_eq(calls_of(&held, "DeriveKey"), 0);
	const char *operation = text_at(held.json, "operation/id");
	REST_AUTO struct rest wrong = REST(&worker, 401, .route = ROUTE_operation_reauthenticate,
		.operation = operation, .body = "{\"pin\":\"9999\"}");
	cr_expect_str_eq(text_at(wrong.json, "ckr"), "CKR_PIN_INCORRECT");
	cr_expect_eq(calls_of(&wrong, "DeriveKey"), 0);
	REST_AUTO struct rest given = REST(
		&worker, 200, .route = ROUTE_operation_reauthenticate, .operation = operation, .body = PIN_BODY);
	cr_expect_eq(bytes_at(given.json, "response", response, sizeof response), 32);
	cr_expect(json_is_true(json_at(given.json, "reauthenticated")));
	agreed(peer, "careful", expected);
	cr_expect_eq(memcmp(response, expected, 32), 0);
	cr_expect_eq(worker.verified, 2);
	EVP_PKEY_free(peer);
}

Test(resource_agreement, D8_it_is_verified_too_where_the_pin_is_kept_and_the_token_logged_out_in_between)
{
	unsigned char der[512], response[128], expected[32];
	EVP_PKEY *peer = EVP_EC_gen("P-256");
	size_t len = spki(peer, der);
	worker_fixture_stop(&worker);
	worker_fixture_start(&token,
		&(struct worker_options){
			.login = {.cache_pin = 1, .pin_cache_ttl_ms = 3600000, .pin_cache_idle_ms = 3600000}},
		&worker);
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
	make_agreement_key("plain", P256, "false", "");
	make_agreement_key("careful", P384, "false", CAREFUL);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(respond(der, len, "plain", ",\"method\":\"ecdh\"", "ecdh", response), 32);
		agreed(peer, "plain", expected);
		cr_expect_eq(memcmp(response, expected, 32), 0);
	}
	EVP_PKEY_free(peer);
	peer = EVP_EC_gen("P-384");
	len = spki(peer, der);
	REST_AUTO struct rest wrong = REST(&worker, 401, .route = ROUTE_challenge,
		.body = ask(der, len, "careful", ",\"method\":\"ecdh\",\"pin\":\"9999\""));
	cr_expect_str_eq(text_at(wrong.json, "ckr"), "CKR_PIN_INCORRECT");
	cr_expect_eq(calls_of(&wrong, "DeriveKey"), 0);
	REST_AUTO struct rest right = REST(&worker, 200, .route = ROUTE_challenge,
		.body = ask(der, len, "careful", ",\"method\":\"ecdh\",\"pin\":\"1234\""));
	cr_expect(json_is_true(json_at(right.json, "reauthenticated")));
	bytes_at(right.json, "response", response, sizeof response);
	agreed(peer, "careful", expected);
	cr_expect_eq(memcmp(response, expected, 32), 0);
	EVP_PKEY_free(peer);
}
