/* Hashing and random bytes, which need no key and no login. */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_digest, resource_setup);
TestSuite(resource_random, .init = setup, .fini = teardown);

#define HELLO "aGVsbG8" /* "hello" */

static void expect_digest(const char *how, const char *hash)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len;
	EVP_Digest("hello", 5, digest, &len, EVP_get_digestbyname(hash), NULL);
	REST_AUTO struct rest rest = REST(
		&worker, 200, .route = ROUTE_digest, .body = text_of("{%s,\"data\":\"" HELLO "\"}", how));
	cr_expect_str_eq(text_at(rest.json, "digest"), b64(digest, len), "%s", how);
	cr_expect_eq(calls_of(&rest, "Digest"), 1);
}

Test(resource_digest, every_hash_is_openssls)
{
	static const char *const hashes[] = {"SHA1", "SHA224", "SHA256", "SHA384", "SHA512"};
	for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++) {
		expect_digest(text_of("\"algorithm\":\"%s\"", hashes[i]), hashes[i]);
		expect_digest(text_of("\"algorithm\":\"SHA-%s\"", hashes[i] + 3), hashes[i]);
	}
	expect_digest("\"mechanism\":\"CKM_MD5\"", "MD5");
}

Test(resource_digest, items_get_a_digest_each)
{
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_digest,
		.body = "{\"algorithm\":\"SHA-256\",\"items\":[{\"data\":\"\"},{\"data\":\"" HELLO "\"}]}");
	cr_expect_str_eq(text_at(rest.json, "results/0/digest"), "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
	cr_expect_str_eq(text_at(rest.json, "results/1/digest"), "LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ");
	cr_expect_str_eq(text_at(rest.json, "algorithm"), "SHA-256");
}

Test(resource_digest, octets_are_hashed_to_octets)
{
	unsigned char digest[32];
	EVP_Digest("hello", 5, digest, NULL, EVP_sha256(), NULL);
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_digest, .query = "algorithm=SHA-256",
		.content_type = "application/octet-stream", .body = "hello");
	cr_assert_eq(rest.body_len, 32);
	cr_expect_eq(memcmp(rest.body, digest, 32), 0);
}

Test(resource_digest, what_does_not_fit_is_named)
{
	static const struct {
		const char *body, *pointer;
		unsigned status;
	} bodies[] = {
		{"{\"algorithm\":\"SHA-256\"}", "", 400},
		{"{\"data\":\"\"}", "/algorithm", 400},
		{"{\"algorithm\":\"SHA-256\",\"mechanism\":\"CKM_SHA256\",\"data\":\"\"}", "/algorithm", 400},
		{"{\"algorithm\":\"SHA-256\",\"items\":[{}]}", "/items/0/data", 400},
		{"{\"algorithm\":\"SHA-256\",\"data\":\"\",\"pin\":\"1234\"}", "/pin", 400},
		{"{\"algorithm\":\"SHA-3\",\"data\":\"\"}", "/algorithm", 422},
		{"{\"mechanism\":\"CKM_NONE\",\"data\":\"\"}", "/mechanism", 422},
	};
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		REST_AUTO struct rest rest = REST(
			&worker, bodies[i].status, .route = ROUTE_digest, .body = bodies[i].body);
		cr_expect_str_eq(text_at(rest.json, "pointer"), bodies[i].pointer, "%s", bodies[i].body);
		cr_expect_eq(calls_of(&rest, "DigestInit"), 0);
	}
	REST_AUTO struct rest rest = REST(
		&worker, 422, .route = ROUTE_digest, .body = "{\"mechanism\":\"CKM_ECDSA\",\"data\":\"\"}");
	cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_MECHANISM_INVALID");
}

Test(resource_digest, B7_hashing_and_random_bytes_are_no_private_use_and_end_no_login)
{
	static struct worker_fixture strict;
	const struct worker_options options = {.login = {.logout_after = LOGOUT_AFTER_PRIVATE_OP}};
	worker_fixture_start(&token, &options, &strict);
	REST_ONLY(&strict, 200, .route = ROUTE_login, .body = PIN_BODY);
	REST_AUTO struct rest digest = REST(
		&strict, 200, .route = ROUTE_digest, .body = "{\"algorithm\":\"SHA-256\",\"data\":\"\"}");
	cr_expect_eq(digest.login, LOGIN_USER);
	REST_AUTO struct rest random = REST(&strict, 200, .route = ROUTE_random, .body = "{\"length\":1}");
	cr_expect_eq(random.login, LOGIN_USER);
	worker_fixture_stop(&strict);
}

Test(resource_random, gives_as_many_bytes_as_asked_for_and_others_each_time)
{
	unsigned char one[64], two[64];
	REST_AUTO struct rest first = REST(&worker, 200, .route = ROUTE_random, .body = "{\"length\":32}");
	REST_AUTO struct rest second = REST(&worker, 200, .route = ROUTE_random, .body = "{\"length\":32}");
	cr_assert_eq(bytes_at(first.json, "random", one, sizeof one), 32);
	cr_assert_eq(bytes_at(second.json, "random", two, sizeof two), 32);
	cr_expect_neq(memcmp(one, two, 32), 0);
	cr_expect(has_header(&first, "Cache-Control: no-store"));
	REST_AUTO struct rest octets = REST(&worker, 200, .route = ROUTE_random, .body = "{\"length\":65536}",
		.accept = "application/octet-stream");
	cr_expect_eq(octets.body_len, 65536);
}

Test(resource_random, a_length_out_of_its_bounds_is_422)
{
	static const char *const bodies[] = {"{\"length\":0}", "{\"length\":65537}", "{\"length\":9007199254740992}"};
	for (size_t i = 0; i < 3; i++) {
		REST_AUTO struct rest rest = REST(&worker, 422, .route = ROUTE_random, .body = bodies[i]);
		cr_expect_str_eq(text_at(rest.json, "pointer"), "/length");
		cr_expect_eq(calls_of(&rest, "GenerateRandom"), 0);
	}
	REST_AUTO struct rest none = REST(&worker, 400, .route = ROUTE_random, .body = "{}");
	cr_expect_str_eq(text_at(none.json, "pointer"), "/length");
}
