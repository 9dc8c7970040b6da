/* The profiles of challenge-response: what goes to the key, and what comes back. */
#include <criterion/criterion.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_profile, resource_setup_logged_in);

#define YUBIKEY ",\"profile\":\"yubikey-hmac-sha1\""
#define HMAC_SECRET ",\"profile\":\"hmac-secret\""

static const unsigned char secret[48] = "the secret of a device, and somewhat more";

static const char *ask(const void *challenge, size_t len, const char *more)
{
	return text_of("{\"challenge\":\"%s\"%s}", b64(challenge, len), more);
}

static size_t respond(const void *challenge, size_t len, const char *more, unsigned char ret_response[128])
{
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_challenge, .body = ask(challenge, len, more));
	return bytes_at(rest.json, "response", ret_response, 128);
}

static void refused(unsigned status, const void *challenge, size_t len, const char *more, const char *pointer)
{
	REST_AUTO struct rest rest = REST(&worker, status, .route = ROUTE_challenge, .body = ask(challenge, len, more));
	cr_expect_str_eq(text_at(rest.json, "pointer"), pointer);
	cr_expect_eq(calls_of(&rest, "SignInit"), 0);
}

/* The response is HMAC-SHA1 of exactly these bytes. */
static void expect_sha1(const void *challenge, size_t len, const char *more, const void *input, size_t input_len)
{
	unsigned char response[128], expected[20];
	cr_assert_eq(respond(challenge, len, more, response), 20);
	HMAC(EVP_sha1(), secret, 20, input, input_len, expected, NULL);
	cr_expect_eq(memcmp(response, expected, 20), 0, "a challenge of %zu bytes, %s", len, more);
}

/* The bytes 1 2 3 …, padded as KeePassXC does. */
static void padded(size_t len, unsigned char ret_frame[64])
{
	for (size_t i = 0; i < 64; i++)
		ret_frame[i] = (unsigned char)(i < len ? i + 1 : 64 - len);
}

Test(resource_profile, D4_the_device_takes_off_what_the_padding_put_on)
{
	unsigned char frame[64];
	import_hmac_key(&worker, "yubikey", secret, 20);
	for (size_t len = 1; len <= 63; len += len == 1 ? 19 : 1) {
		padded(len, frame);
		if (frame[len - 1] != frame[63])
			expect_sha1(frame, len, YUBIKEY, frame, len);
	}
	padded(20, frame);
	expect_sha1(frame, 20, YUBIKEY ",\"frame\":\"variable\"", frame, 20);
}

Test(resource_profile, D4_it_takes_off_as_much_of_a_challenge_that_ends_like_its_padding)
{
	unsigned char bytes[64];
	import_hmac_key(&worker, "yubikey", secret, 20);
	padded(32, bytes); /* the last byte is 0x20, and so is the padding of 32 bytes */
	expect_sha1(bytes, 32, YUBIKEY, bytes, 31);
	bytes[30] = 0x20;
	expect_sha1(bytes, 32, YUBIKEY, bytes, 30);
	/* 64 bytes have no padding, and lose their own end. */
	padded(64, bytes);
	expect_sha1(bytes, 64, YUBIKEY, bytes, 63);
	memset(bytes + 40, 'x', 24);
	expect_sha1(bytes, 64, YUBIKEY, bytes, 40);
	/* All of it. */
	memset(bytes, 0x3f, 64);
	expect_sha1(bytes, 1, YUBIKEY, bytes, 0);
}

Test(resource_profile, D4_a_fixed_frame_is_all_64_bytes)
{
	unsigned char frame[64];
	import_hmac_key(&worker, "yubikey", secret, 20);
	for (size_t len = 1; len <= 64; len += 7) {
		padded(len, frame);
		expect_sha1(frame, len, YUBIKEY ",\"frame\":\"fixed64\"", frame, 64);
	}
}

Test(resource_profile, D4_normalized_the_20_bytes_are_hashed_to_32)
{
	unsigned char plain[128], response[128], expected[32];
	import_hmac_key(&worker, "yubikey", secret, 20);
	cr_assert_eq(respond("salt", 4, YUBIKEY ",\"normalize\":\"none\"", plain), 20);
	cr_assert_eq(respond("salt", 4, YUBIKEY ",\"normalize\":\"sha256\"", response), 32);
	EVP_Digest(plain, 20, expected, NULL, EVP_sha256(), NULL);
	cr_expect_eq(memcmp(response, expected, 32), 0);
	cr_assert_eq(respond("salt", 4, ",\"method\":\"hmac-sha1\",\"normalize\":\"sha256\"", response), 32);
	cr_expect_eq(memcmp(response, expected, 32), 0);
}

Test(resource_profile, D4_the_key_of_the_device_has_20_bytes)
{
	static const size_t others[] = {21, 32, 48};
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		import_hmac_key(&worker, text_of("other%zu", i), secret, others[i]);
		REST_AUTO struct rest rest = REST(&worker, 422, .route = ROUTE_challenge,
			.body = ask("salt", 4, text_of(YUBIKEY ",\"key\":{\"label\":\"other%zu\"}", i)));
		cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_KEY_SIZE_RANGE");
	}
	REST_ONLY(&worker, 404, .route = ROUTE_challenge, .body = ask("salt", 4, YUBIKEY));
	/* None of them stands in the way of the one that has. */
	import_hmac_key(&worker, "yubikey", secret, 20);
	REST_AUTO struct rest found = REST(&worker, 200, .route = ROUTE_challenge, .body = ask("salt", 4, YUBIKEY));
	cr_expect_str_eq(text_at(found.json, "key/label"), "yubikey");
}

Test(resource_profile, D4_hmac_secret_is_hmac_sha256_of_each_salt)
{
	unsigned char salts[64], response[128], expected[64];
	import_hmac_key(&worker, "passkey", secret, 32);
	padded(64, salts);
	HMAC(EVP_sha256(), secret, 32, salts, 32, expected, NULL);
	HMAC(EVP_sha256(), secret, 32, salts + 32, 32, expected + 32, NULL);
	cr_assert_eq(respond(salts, 32, HMAC_SECRET, response), 32);
	cr_expect_eq(memcmp(response, expected, 32), 0);
	cr_assert_eq(respond(salts, 64, HMAC_SECRET, response), 64);
	cr_expect_eq(memcmp(response, expected, 64), 0);
}

Test(resource_profile, D4_two_salts_are_two_uses_of_the_key)
{
	unsigned char salts[64] = {0};
	worker_fixture_stop(&worker);
	worker_fixture_start(&token, &(struct worker_options){.login = {.logout_after = LOGOUT_AFTER_SIGN}}, &worker);
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
	make_resource_key(&worker, "HMAC", "passkey", "");
	REST_AUTO struct rest both = REST(&worker, 422, .route = ROUTE_challenge, .body = ask(salts, 64, HMAC_SECRET));
	cr_expect_str_eq(text_at(both.json, "type"), "/docs/errors/one-item-per-pin");
	cr_expect_str_eq(text_at(both.json, "pointer"), "/challenge");
	cr_expect_eq(calls_of(&both, "SignInit"), 0);
	REST_ONLY(&worker, 200, .route = ROUTE_challenge, .body = ask(salts, 32, HMAC_SECRET));
}

Test(resource_profile, D7_the_limits_of_a_profile_win)
{
	static const unsigned char bytes[128];
	static const size_t not_salts[] = {1, 31, 33, 63, 65, 96};
	import_hmac_key(&worker, "passkey", secret, 32);
	import_hmac_key(&worker, "yubikey", secret, 20);
	for (size_t i = 0; i < sizeof not_salts / sizeof not_salts[0]; i++)
		refused(422, bytes, not_salts[i], HMAC_SECRET, "/challenge");
	refused(422, bytes, 65, YUBIKEY, "/challenge");
	refused(422, bytes, 0, YUBIKEY, "/challenge");
	refused(422, bytes, 0, ",\"profile\":\"raw\"", "/challenge");
	REST_ONLY(&worker, 200, .route = ROUTE_challenge, .body = ask(bytes, 65, ",\"profile\":\"raw\""));
}

Test(resource_profile, D4_what_does_not_go_with_the_profile_is_refused)
{
	import_hmac_key(&worker, "passkey", secret, 32);
	refused(400, "salt", 4, ",\"profile\":\"fido\"", "/profile");
	refused(400, "salt", 4, YUBIKEY ",\"frame\":\"64\"", "/frame");
	refused(400, "salt", 4, YUBIKEY ",\"normalize\":true", "/normalize");
	refused(400, "salt", 4, ",\"frame\":\"variable\"", "/frame");
	refused(400, secret, 32, HMAC_SECRET ",\"frame\":\"fixed64\"", "/frame");
	refused(400, "salt", 4, ",\"normalize\":\"sha256\"", "/normalize");
	refused(400, secret, 32, HMAC_SECRET ",\"normalize\":\"sha256\"", "/normalize");
	refused(400, "salt", 4, YUBIKEY ",\"method\":\"hmac-sha256\"", "/method");
	refused(400, secret, 32, HMAC_SECRET ",\"method\":\"rsa-pkcs1\"", "/method");
	REST_ONLY(&worker, 200, .route = ROUTE_challenge,
		.body = ask(secret, 32, HMAC_SECRET ",\"method\":\"hmac-sha256\""));
}
