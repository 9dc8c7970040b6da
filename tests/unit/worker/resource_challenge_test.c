#include <criterion/criterion.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_challenge, resource_setup_logged_in);

static const char challenge[] = "the salt of a database";
enum { CHALLENGE_LEN = sizeof challenge - 1 };

/* A challenge with more members, with a comma in front. */
static const char *with(const char *more)
{
	return text_of("{\"challenge\":\"%s\"%s}", b64(challenge, CHALLENGE_LEN), more);
}

static void response_of(const char *more, const char *method, unsigned char ret_response[32])
{
	unsigned char bytes[64];
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_challenge, .body = with(more));
	cr_assert_eq(bytes_at(rest.json, "response", bytes, sizeof bytes), 32);
	cr_expect_str_eq(text_at(rest.json, "method"), method);
	memcpy(ret_response, bytes, 32);
}

Test(resource_challenge, D2_hmac_is_the_mac_itself_as_openssl_computes_it)
{
	unsigned char key[48], response[32], expected[32];
	memset(key, 0x5a, sizeof key);
	import_hmac_key(&worker, "unlock", key, sizeof key);
	REST_AUTO struct rest rest = REST(
		&worker, 200, .route = ROUTE_challenge, .body = with(",\"key\":{\"label\":\"unlock\"}"));
	unsigned char bytes[64];
	cr_assert_eq(bytes_at(rest.json, "response", bytes, sizeof bytes), 32);
	HMAC(EVP_sha256(), key, sizeof key, (const unsigned char *)challenge, CHALLENGE_LEN, expected, NULL);
	cr_expect_eq(memcmp(bytes, expected, 32), 0);
	cr_expect_str_eq(text_at(rest.json, "method"), "hmac-sha256");
	cr_expect(json_is_true(json_at(rest.json, "deterministic")));
	cr_expect_str_eq(text_at(rest.json, "key/label"), "unlock");
	cr_expect_str_eq(text_at(rest.json, "key/type"), "HMAC");
	cr_expect_eq(strlen(text_at(rest.json, "key/id")), 12);
	cr_expect(has_header(&rest, "Cache-Control: no-store"));
	cr_expect_eq(events_with(&rest, "kind", "key-use"), 1);
	response_of("", "hmac-sha256", response);
	cr_expect_eq(memcmp(response, expected, 32), 0);
}

Test(resource_challenge, D2_a_signature_is_hashed_to_32_bytes_and_never_shown)
{
	static const struct {
		const char *type, *more, *algorithm, *method;
	} kinds[] = {
		{"RSA", "", "RS256", "rsa-pkcs1"},
		{"RSA", ",\"bits\":4096", "RS256", "rsa-pkcs1"},
		{"Ed25519", "", "EdDSA", "eddsa"},
	};
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		unsigned char signature[1024], expected[32], bytes[64];
		const char *label = text_of("key%zu", i);
		make_resource_key(&worker, kinds[i].type, label, kinds[i].more);
		REST_AUTO struct rest sign = REST(&worker, 200, .route = ROUTE_key_sign, .key = label,
			.body = text_of("{\"algorithm\":\"%s\",\"data\":\"%s\"}", kinds[i].algorithm,
				b64(challenge, CHALLENGE_LEN)));
		size_t len = bytes_at(sign.json, "signature", signature, sizeof signature);
		EVP_Digest(signature, len, expected, NULL, EVP_sha256(), NULL);
		REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_challenge,
			.body = with(text_of(",\"key\":{\"label\":\"%s\"}", label)));
		cr_assert_eq(bytes_at(rest.json, "response", bytes, sizeof bytes), 32);
		cr_expect_eq(memcmp(bytes, expected, 32), 0);
		cr_expect_str_eq(text_at(rest.json, "method"), kinds[i].method);
		cr_expect_null(strstr(rest.body, text_at(sign.json, "signature")));
	}
}

Test(resource_challenge, D3_the_response_survives_a_restart)
{
	unsigned char before[2][32], after[2][32];
	static const char *const keys[] = {",\"key\":{\"label\":\"mac\"}", ",\"key\":{\"label\":\"rsa\"}"};
	static const char *const methods[] = {"hmac-sha256", "rsa-pkcs1"};
	make_resource_key(&worker, "HMAC", "mac", "");
	make_resource_key(&worker, "RSA", "rsa", "");
	for (int i = 0; i < 2; i++)
		response_of(keys[i], methods[i], before[i]);
	worker_fixture_stop(&worker);
	worker_fixture_start(&token, NULL, &worker);
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
	for (int i = 0; i < 2; i++) {
		response_of(keys[i], methods[i], after[i]);
		cr_expect_eq(memcmp(before[i], after[i], 32), 0);
	}
}

Test(resource_challenge, D3_a_signing_key_is_tested_at_its_first_use)
{
	make_resource_key(&worker, "RSA", "rsa", "");
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_AUTO struct rest first = REST(
		&worker, 200, .route = ROUTE_challenge, .body = with(",\"key\":{\"label\":\"rsa\"}"));
	REST_AUTO struct rest second = REST(
		&worker, 200, .route = ROUTE_challenge, .body = with(",\"key\":{\"label\":\"rsa\"}"));
	REST_AUTO struct rest mac = REST(
		&worker, 200, .route = ROUTE_challenge, .body = with(",\"key\":{\"label\":\"mac\"}"));
	cr_expect_eq(calls_of(&first, "Sign"), 3);
	cr_expect_eq(events_with(&first, "kind", "key-use"), 3);
	cr_expect_eq(calls_of(&second, "Sign"), 1);
	cr_expect_eq(calls_of(&mac, "Sign"), 1);
}

Test(resource_challenge, D3_ecdsa_only_where_it_is_allowed)
{
	unsigned char one[32], two[32];
	make_resource_key(&worker, "EC", "ec", "");
	REST_AUTO struct rest refused = REST(
		&worker, 422, .route = ROUTE_challenge, .body = with(",\"key\":{\"label\":\"ec\"}"));
	cr_expect_str_eq(text_at(refused.json, "type"), "/docs/errors/non-deterministic-response");
	cr_expect_not_null(strstr(text_at(refused.json, "detail"), "allow_nondeterministic"));
	cr_expect_eq(calls_of(&refused, "Sign"), 0);
	REST_ONLY(&worker, 422, .route = ROUTE_challenge, .body = with(""));
	REST_ONLY(&worker, 422, .route = ROUTE_challenge, .body = with(",\"method\":\"ecdsa\""));
	REST_ONLY(&worker, 422, .route = ROUTE_challenge,
		.body = with(",\"key\":{\"label\":\"ec\"},\"method\":\"ecdsa\""));
	response_of(",\"key\":{\"label\":\"ec\"},\"allow_nondeterministic\":true", "ecdsa", one);
	response_of(",\"allow_nondeterministic\":true", "ecdsa", two);
	cr_expect_neq(memcmp(one, two, 32), 0);
	REST_AUTO struct rest allowed = REST(
		&worker, 200, .route = ROUTE_challenge, .body = with(",\"allow_nondeterministic\":true"));
	cr_expect(json_is_false(json_at(allowed.json, "deterministic")));
}

Test(resource_challenge, D3_randomised_and_unknown_methods_are_422)
{
	static const char *const methods[] = {"rsa-pss", "rsa-oaep", "hmac-md5"};
	make_resource_key(&worker, "RSA", "rsa", "");
	for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
		REST_AUTO struct rest rest = REST(&worker, 422, .route = ROUTE_challenge,
			.body = with(text_of(",\"method\":\"%s\"", methods[i])));
		cr_expect_str_eq(text_at(rest.json, "pointer"), "/method");
	}
}

Test(resource_challenge, D3_check_compares_two_answers)
{
	make_resource_key(&worker, "HMAC", "mac", "");
	make_resource_key(&worker, "EC", "ec", "");
	REST_AUTO struct rest good = REST(
		&worker, 200, .route = ROUTE_challenge_check, .body = "{\"key\":{\"label\":\"mac\"}}");
	cr_expect_str_eq(text_at(good.json, "method"), "hmac-sha256");
	cr_expect(json_is_true(json_at(good.json, "deterministic")));
	cr_expect_eq(calls_of(&good, "Sign"), 2);
	REST_AUTO struct rest bad = REST(&worker, 422, .route = ROUTE_challenge_check,
		.body = "{\"key\":{\"label\":\"ec\"},\"method\":\"ecdsa\"}");
	cr_expect_str_eq(text_at(bad.json, "type"), "/docs/errors/non-deterministic-response");
	cr_expect_eq(calls_of(&bad, "Sign"), 2);
}

Test(resource_challenge, D6_the_best_class_wins_and_two_of_it_are_ambiguous)
{
	unsigned char response[32];
	make_resource_key(&worker, "RSA", "rsa", "");
	response_of("", "rsa-pkcs1", response);
	make_resource_key(&worker, "Ed25519", "ed", "");
	response_of("", "rsa-pkcs1", response);
	response_of(",\"method\":\"eddsa\"", "eddsa", response);
	make_resource_key(&worker, "HMAC", "mac", "");
	response_of("", "hmac-sha256", response);
	make_resource_key(&worker, "HMAC", "mac2", "");
	REST_AUTO struct rest several = REST(&worker, 409, .route = ROUTE_challenge, .body = with(""));
	cr_expect_str_eq(text_at(several.json, "type"), "/docs/errors/key-ambiguous");
	cr_assert_eq(json_array_size(json_at(several.json, "candidates")), 2);
	cr_expect_str_eq(text_at(several.json, "candidates/0/type"), "HMAC");
	response_of(",\"method\":\"rsa-pkcs1\"", "rsa-pkcs1", response);
}

Test(resource_challenge, D6_label_and_id_must_both_match)
{
	unsigned char response[32];
	make_resource_key(&worker, "HMAC", "one", ",\"id\":\"01\"");
	make_resource_key(&worker, "HMAC", "two", ",\"id\":\"02\"");
	response_of(",\"key\":{\"label\":\"one\",\"id\":\"01\"}", "hmac-sha256", response);
	response_of(",\"key\":{\"id\":\"02\"}", "hmac-sha256", response);
	response_of(",\"key\":{\"uri\":\"pkcs11:object=two;id=%02\"}", "hmac-sha256", response);
	REST_ONLY(&worker, 404, .route = ROUTE_challenge, .body = with(",\"key\":{\"label\":\"one\",\"id\":\"02\"}"));
	REST_ONLY(&worker, 404, .route = ROUTE_challenge, .body = with(",\"key\":{\"label\":\"three\"}"));
	REST_AUTO struct rest id = REST(
		&worker, 400, .route = ROUTE_challenge, .body = with(",\"key\":{\"id\":\"0\"}"));
	cr_expect_str_eq(text_at(id.json, "pointer"), "/key/id");
	REST_AUTO struct rest uri = REST(
		&worker, 400, .route = ROUTE_challenge, .body = with(",\"key\":{\"uri\":\"object=two\"}"));
	cr_expect_str_eq(text_at(uri.json, "pointer"), "/key/uri");
	REST_ONLY(&worker, 400, .route = ROUTE_challenge, .body = with(",\"key\":{}"));
	REST_ONLY(&worker, 400, .route = ROUTE_challenge,
		.body = with(",\"key\":{\"label\":\"two\",\"uri\":\"pkcs11:object=two\"}"));
}

Test(resource_challenge, D6_nothing_that_can_answer_is_404)
{
	make_resource_key(&worker, "AES", "aes", "");
	REST_AUTO struct rest rest = REST(&worker, 404, .route = ROUTE_challenge, .body = with(""));
	cr_expect_str_eq(text_at(rest.json, "type"), "/docs/errors/key-not-found");
	REST_ONLY(&worker, 422, .route = ROUTE_challenge, .body = with(",\"key\":{\"label\":\"aes\"}"));
}

Test(resource_challenge, D6_the_list_names_methods_best_first)
{
	make_resource_key(&worker, "EC", "ec", "");
	make_resource_key(&worker, "AES", "aes", "");
	make_resource_key(&worker, "RSA", "rsa", ",\"always_authenticate\":true");
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_challenge_keys);
	cr_assert_eq(json_array_size(json_at(rest.json, "keys")), 3);
	cr_expect_str_eq(text_at(rest.json, "keys/0/label"), "mac");
	cr_expect_str_eq(text_at(rest.json, "keys/0/methods/0"), "hmac-sha256");
	cr_expect(json_is_true(json_at(rest.json, "keys/0/deterministic")));
	cr_expect_str_eq(text_at(rest.json, "keys/1/label"), "rsa");
	cr_expect(json_is_true(json_at(rest.json, "keys/1/always_authenticate")));
	cr_expect_str_eq(text_at(rest.json, "keys/2/label"), "ec");
	cr_expect(json_is_false(json_at(rest.json, "keys/2/deterministic")));
}

Test(resource_challenge, D7_a_challenge_has_1_to_4096_bytes)
{
	static unsigned char bytes[4097];
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_ONLY(&worker, 422, .route = ROUTE_challenge, .body = "{\"challenge\":\"\"}");
	REST_ONLY(&worker, 200, .route = ROUTE_challenge, .body = "{\"challenge\":\"AA\"}");
	REST_ONLY(&worker, 200, .route = ROUTE_challenge, .body = text_of("{\"challenge\":\"%s\"}", b64(bytes, 4096)));
	REST_ONLY(&worker, 422, .route = ROUTE_challenge, .body = text_of("{\"challenge\":\"%s\"}", b64(bytes, 4097)));
}

Test(resource_challenge, D7_an_hmac_key_shorter_than_the_hash_is_422)
{
	unsigned char response[32];
	import_hmac_key(&worker, "short", "0123456789", 10);
	REST_AUTO struct rest rest = REST(
		&worker, 422, .route = ROUTE_challenge, .body = with(",\"key\":{\"label\":\"short\"}"));
	cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_KEY_SIZE_RANGE");
	/* It does not stand in the way of one that fits. */
	make_resource_key(&worker, "HMAC", "mac", "");
	response_of("", "hmac-sha256", response);
}

Test(resource_challenge, D8_without_a_login_is_401_login_required)
{
	make_resource_key(&worker, "HMAC", "mac", "");
	make_resource_key(&worker, "RSA", "rsa", "");
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
	REST_AUTO struct rest named = REST(
		&worker, 401, .route = ROUTE_challenge, .body = with(",\"key\":{\"label\":\"mac\"}"));
	cr_expect_str_eq(text_at(named.json, "type"), "/docs/errors/login-required");
	cr_expect(has_header(&named, "Cache-Control: no-store"));
	REST_ONLY(&worker, 401, .route = ROUTE_challenge, .body = with(",\"key\":{\"label\":\"rsa\"}"));
	REST_ONLY(&worker, 401, .route = ROUTE_challenge, .body = with(""));
}

Test(resource_challenge, D8_an_always_authenticate_key_is_held_and_answered)
{
	unsigned char bytes[64], expected[64];
	make_resource_key(&worker, "RSA", "rsa", ",\"always_authenticate\":true");
	REST_AUTO struct rest held = REST(
		&worker, 401, .route = ROUTE_challenge, .body = with(",\"key\":{\"label\":\"rsa\"}"));
	cr_expect_str_eq(text_at(held.json, "type"), "/docs/errors/reauthentication-required");
	REST_AUTO struct rest given = REST(&worker, 200, .route = ROUTE_operation_reauthenticate,
		.operation = text_at(held.json, "operation/id"), .body = PIN_BODY);
	cr_expect_eq(bytes_at(given.json, "response", bytes, sizeof bytes), 32);
	cr_expect(json_is_true(json_at(given.json, "reauthenticated")));
	cr_expect(has_header(&given, "Cache-Control: no-store"));
	REST_AUTO struct rest once = REST(
		&worker, 200, .route = ROUTE_challenge, .body = with(",\"key\":{\"label\":\"rsa\"},\"pin\":\"1234\""));
	cr_expect_eq(bytes_at(once.json, "response", expected, sizeof expected), 32);
	cr_expect_eq(memcmp(bytes, expected, 32), 0);
	cr_expect_eq(calls_of(&once, "Login"), 1);
	REST_ONLY(
		&worker, 422, .route = ROUTE_challenge_check, .body = "{\"key\":{\"label\":\"rsa\"},\"pin\":\"1234\"}");
}

Test(resource_challenge, D8_one_shot_pins_go_to_an_anonymous_worker)
{
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_AUTO struct rest unneeded = REST(
		&worker, 200, .route = ROUTE_challenge, .body = with(",\"pin\":\"9999\""));
	cr_expect(json_is_false(json_at(unneeded.json, "reauthenticated")));
	cr_expect_eq(calls_of(&unneeded, "Login"), 0);
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
	REST_ONLY(&worker, 0, .route = ROUTE_challenge, .body = with(",\"pin\":\"1234\""));
	REST_ONLY(&worker, 0, .route = ROUTE_challenge_check, .body = "{\"pin\":\"1234\"}");
	REST_AUTO struct rest done = REST(
		&worker, 200, .route = ROUTE_challenge, .body = with(",\"pin\":\"1234\""), .anonymous = true);
	cr_expect_eq(done.login, LOGIN_NONE);
}

Test(resource_challenge, D9_a_marked_key_answers_challenges_and_does_not_sign)
{
	unsigned char response[32];
	worker_fixture_stop(&worker);
	worker_fixture_start(&token, &(struct worker_options){.challenge_only = "unlock"}, &worker);
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
	make_resource_key(&worker, "HMAC", "unlock", "");
	make_resource_key(&worker, "RSA", "other", "");
	REST_AUTO struct rest refused = REST(&worker, 403, .route = ROUTE_key_sign, .key = "unlock",
		.body = "{\"algorithm\":\"HS256\",\"data\":\"AA\"}");
	cr_expect_str_eq(text_at(refused.json, "ckr"), "CKR_KEY_FUNCTION_NOT_PERMITTED");
	cr_expect_eq(events_with(&refused, "kind", "refusal"), 1);
	cr_expect_eq(calls_of(&refused, "SignInit"), 0);
	REST_ONLY(&worker, 403, .route = ROUTE_key_mac, .key = "unlock",
		.body = "{\"algorithm\":\"HS256\",\"data\":\"AA\"}");
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = "other",
		.body = "{\"algorithm\":\"RS256\",\"data\":\"AA\"}");
	response_of("", "hmac-sha256", response);
}

Test(resource_challenge, D9_a_marked_key_keeps_its_name)
{
	worker_fixture_stop(&worker);
	worker_fixture_start(&token, &(struct worker_options){.challenge_only = "unlock"}, &worker);
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
	make_resource_key(&worker, "HMAC", "unlock", ",\"id\":\"01\"");
	REST_AUTO struct rest renamed = REST(&worker, 403, .route = ROUTE_key_change, .key = "id:01", .if_match = "*",
		.content_type = "application/merge-patch+json", .body = "{\"label\":\"free\"}");
	cr_expect_str_eq(text_at(renamed.json, "ckr"), "CKR_ACTION_PROHIBITED");
	cr_expect_eq(events_with(&renamed, "kind", "refusal"), 1);
	cr_expect_eq(calls_of(&renamed, "SetAttributeValue"), 0);
	REST_ONLY(&worker, 200, .route = ROUTE_key, .key = "unlock");
}
