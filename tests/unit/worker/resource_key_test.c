#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

static struct token_fixture token;
static struct worker_fixture worker;

static void setup(void)
{
	resource_setup_logged_in(&token, &worker, NULL);
}

static void setup_logged_out(void)
{
	resource_setup(&token, &worker, NULL);
}

static void teardown(void)
{
	worker_fixture_stop(&worker);
}

TestSuite(resource_login, .init = setup_logged_out, .fini = teardown);
TestSuite(resource_keys, .init = setup, .fini = teardown);

Test(resource_login, C15_login_names_the_application_and_its_end)
{
	REST_AUTO struct rest login = REST(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
	cr_expect_str_eq(text_at(login.json, "application"), "00");
	cr_expect_eq(strlen(text_at(login.json, "expires_at")), strlen("2026-01-01T00:00:00Z"));
	cr_expect_eq(login.login, LOGIN_USER);
	cr_expect_eq(events_with(&login, "function", "C_Login"), 1);
	cr_expect_eq(events_with(&login, "user", "CKU_USER"), 1);
}

Test(resource_login, X7_a_wrong_pin_is_401_pin_incorrect)
{
	REST_AUTO struct rest login = REST(&worker, 401, .route = ROUTE_login, .body = "{\"pin\":\"9999\"}");
	cr_expect_str_eq(text_at(login.json, "type"), "/docs/errors/pin-incorrect");
	cr_expect_str_eq(text_at(login.json, "ckr"), "CKR_PIN_INCORRECT");
	cr_expect_eq(json_integer_value(json_at(login.json, "ckr_code")), 0xA0);
	cr_expect_not_null(strstr(login.headers, "WWW-Authenticate: "));
	cr_expect_eq(login.login, LOGIN_NONE);
	cr_expect_eq(events_with(&login, "rv", "CKR_PIN_INCORRECT"), 1);
}

Test(resource_login, a_second_login_is_409_and_does_not_ask_the_token)
{
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
	REST_AUTO struct rest again = REST(&worker, 409, .route = ROUTE_login, .body = "{\"pin\":\"9999\"}");
	cr_expect_str_eq(text_at(again.json, "ckr"), "CKR_USER_ALREADY_LOGGED_IN");
	cr_expect_eq(calls_of(&again, "Login"), 0);
}

Test(resource_login, X2_the_security_officer_keeps_the_user_out)
{
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = "{\"pin\":\"" FIXTURE_SO_PIN "\",\"user\":\"so\"}");
	REST_AUTO struct rest user = REST(&worker, 409, .route = ROUTE_login, .body = PIN_BODY);
	cr_expect_str_eq(text_at(user.json, "ckr"), "CKR_USER_ANOTHER_ALREADY_LOGGED_IN");
}

Test(resource_login, X5_the_workers_own_session_can_log_the_security_officer_in_and_is_in_no_count)
{
	struct client client = {.worker = &worker};

	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = "{\"pin\":\"" FIXTURE_SO_PIN "\",\"user\":\"so\"}");
	struct answer answer = client_post(&client, "{\"groups\":[]}");
	cr_expect_eq(answer.sessions, 0);
	cr_expect_eq(answer.login, LOGIN_SO);
	answer_free(&answer);
}

Test(resource_login, C15_logout_ends_the_login)
{
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
	REST_AUTO struct rest logout = REST(&worker, 204, .route = ROUTE_logout);
	cr_expect_eq(logout.body_len, 0);
	cr_expect_eq(logout.login, LOGIN_NONE);
	cr_expect_eq(events_with(&logout, "function", "C_Logout"), 1);
	REST_ONLY(&worker, 401, .route = ROUTE_logout);
}

Test(resource_login, C15_the_calls_route_shares_the_login)
{
	const struct client client = {.worker = &worker, .instance = {7}};
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
	json_int_t session = open_session(&client);
	cr_expect_eq(number(&client, "session", "{\"OpenSession\":{\"flags\":6}}") > session, true);
	make_key(&client, session, "shared", "");
	REST_ONLY(&worker, 200, .route = ROUTE_key, .key = "shared");
	expect(&client, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	REST_ONLY(&worker, 401, .route = ROUTE_logout);
}

Test(resource_keys, an_ec_pair_is_one_key_with_the_shape_of_the_schema)
{
	REST_AUTO struct rest made = REST(&worker, 201, .route = ROUTE_key_generate,
		.body = "{\"type\":\"EC\",\"curve\":\"P-256\",\"label\":\"release\",\"always_authenticate\":false}");
	cr_expect(has_header(&made, "Location: /v1/slots/demo-slot/keys/release"));
	cr_expect_str_eq(text_at(made.json, "label"), "release");
	cr_expect_eq(strlen(text_at(made.json, "id")), 32);
	cr_expect_str_eq(text_at(made.json, "class"), "private");
	cr_expect_str_eq(text_at(made.json, "type"), "EC");
	cr_expect_str_eq(text_at(made.json, "curve"), "P-256");
	cr_expect_eq(json_integer_value(json_at(made.json, "bits")), 256);
	cr_expect_eq(json_array_size(json_at(made.json, "usage")), 2);
	cr_expect_str_eq(text_at(made.json, "usage/0"), "sign");
	cr_expect_str_eq(text_at(made.json, "usage/1"), "verify");
	cr_expect(json_is_false(json_at(made.json, "extractable")));
	cr_expect(json_is_false(json_at(made.json, "always_authenticate")));
	cr_expect_str_eq(text_at(made.json, "always_authenticate_source"), "token");
	cr_expect_str_eq(text_at(made.json, "href"), "/v1/slots/demo-slot/keys/release");
	cr_expect_eq(events_with(&made, "function", "C_GenerateKeyPair"), 1);
	cr_expect_eq(events_with(&made, "key/label", "release"), 1);
	REST_AUTO struct rest got = REST(&worker, 200, .route = ROUTE_key, .key = "release");
	cr_expect(json_equal(got.json, made.json));
}

struct kind {
	const char *type, *more, *class, *shown;
	int bits;
	const char *usage;
};

Test(resource_keys, every_type_is_generated_as_asked)
{
	static const struct kind kinds[] = {
		{"EC", ",\"curve\":\"P-384\"", "private", "EC", 384, "sign"},
		{"EC", ",\"curve\":\"P-521\"", "private", "EC", 521, "sign"},
		{"RSA", "", "private", "RSA", 2048, "sign"},
		{"RSA", ",\"bits\":3072", "private", "RSA", 3072, "sign"},
		{"Ed25519", "", "private", "Ed25519", 255, "sign"},
		{"AES", "", "secret", "AES", 256, "encrypt"},
		{"AES", ",\"bits\":128", "secret", "AES", 128, "encrypt"},
		{"HMAC", "", "secret", "HMAC", 256, "sign"},
		{"HMAC", ",\"bits\":512", "secret", "HMAC", 512, "sign"},
	};
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		const char *label = text_of("key%zu", i);
		make_resource_key(&worker, kinds[i].type, label, kinds[i].more);
		REST_AUTO struct rest key = REST(&worker, 200, .route = ROUTE_key, .key = label);
		cr_expect_str_eq(text_at(key.json, "class"), kinds[i].class, "%s", key.body);
		cr_expect_str_eq(text_at(key.json, "type"), kinds[i].shown, "%s", key.body);
		cr_expect_eq(json_integer_value(json_at(key.json, "bits")), kinds[i].bits, "%s", key.body);
		cr_expect_str_eq(text_at(key.json, "usage/0"), kinds[i].usage, "%s", key.body);
	}
}

Test(resource_keys, sizes_and_curves_that_do_not_fit_the_type_are_refused)
{
	REST_ONLY(
		&worker, 422, .route = ROUTE_key_generate, .body = "{\"type\":\"RSA\",\"bits\":1024,\"label\":\"a\"}");
	REST_ONLY(&worker, 422, .route = ROUTE_key_generate, .body = "{\"type\":\"AES\",\"bits\":129,\"label\":\"a\"}");
	REST_ONLY(&worker, 422, .route = ROUTE_key_generate, .body = "{\"type\":\"HMAC\",\"bits\":12,\"label\":\"a\"}");
	REST_ONLY(&worker, 400, .route = ROUTE_key_generate, .body = "{\"type\":\"EC\",\"bits\":256,\"label\":\"a\"}");
	REST_ONLY(&worker, 400, .route = ROUTE_key_generate,
		.body = "{\"type\":\"RSA\",\"curve\":\"P-256\",\"label\":\"a\"}");
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "a");
}

Test(resource_keys, a_new_label_has_at_most_255_bytes)
{
	char label[257] = {0};
	memset(label, 'a', 256);
	REST_ONLY(&worker, 400, .route = ROUTE_key_generate,
		.body = text_of("{\"type\":\"HMAC\",\"label\":\"%s\"}", label));
	label[255] = '\0';
	make_resource_key(&worker, "HMAC", label, "");
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = label,
		.body = "{\"algorithm\":\"HS256\",\"data\":\"AA\"}");
}

Test(resource_keys, a_longer_label_made_elsewhere_does_not_keep_its_key_from_signing)
{
	const struct client client = {.worker = &worker, .instance = {7}};
	json_int_t session = open_session(&client);
	char label[2049] = {0};
	memset(label, '\x7f', 2048);
	make_key(&client, session, label, ",{\"CKA_ID\":\"AQI\"}");
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = "id:0102",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"AA\"}");
	cr_expect_eq(events_with(&rest, "key/id", "0102"), 1);
	cr_expect_eq(events_with(&rest, "key/label", ""), 1);
}

Test(resource_keys, A19_a_secret_key_cannot_ask_for_its_pin)
{
	REST_AUTO struct rest made = REST(&worker, 422, .route = ROUTE_key_generate,
		.body = "{\"type\":\"AES\",\"label\":\"a\",\"always_authenticate\":true}");
	cr_expect_str_eq(text_at(made.json, "ckr"), "CKR_ATTRIBUTE_TYPE_INVALID");
	cr_expect_str_eq(text_at(made.json, "pointer"), "/always_authenticate");
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "a");
}

Test(resource_keys, A30_always_authenticate_is_shown)
{
	make_resource_key(&worker, "EC", "guarded", ",\"always_authenticate\":true");
	REST_AUTO struct rest key = REST(&worker, 200, .route = ROUTE_key, .key = "guarded");
	cr_expect(json_is_true(json_at(key.json, "always_authenticate")));
	cr_expect_str_eq(text_at(key.json, "always_authenticate_source"), "token");
	REST_AUTO struct rest list = REST(&worker, 200, .route = ROUTE_keys);
	cr_expect(json_is_true(json_at(list.json, "keys/0/always_authenticate")));
}

Test(resource_keys, A40_a_taken_label_or_id_is_409_key_exists)
{
	make_resource_key(&worker, "EC", "one", ",\"id\":\"0102\"");
	REST_AUTO struct rest label = REST(
		&worker, 409, .route = ROUTE_key_generate, .body = "{\"type\":\"AES\",\"label\":\"one\"}");
	cr_expect_str_eq(text_at(label.json, "type"), "/docs/errors/key-exists");
	cr_expect_str_eq(text_at(label.json, "pointer"), "/label");
	REST_AUTO struct rest id = REST(&worker, 409, .route = ROUTE_key_generate,
		.body = "{\"type\":\"EC\",\"label\":\"two\",\"id\":\"0102\"}");
	cr_expect_str_eq(text_at(id.json, "pointer"), "/id");
	cr_expect_eq(events_with(&id, "kind", "object"), 0);
}

Test(resource_keys, are_found_by_label_id_and_uri)
{
	static const char *const names[] = {
		"label:one",
		"id:0102",
		"id:01",
		"pkcs11:object=one",
		"pkcs11:id=%01%02",
		"pkcs11:object=one;type=private;token=demo",
		"pkcs11:object=one;type=public",
	};
	make_resource_key(&worker, "EC", "one", ",\"id\":\"0102\"");
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		REST_ONLY(&worker, strcmp(names[i], "id:01") == 0 ? 404 : 200, .route = ROUTE_key, .key = names[i]);
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "pkcs11:object=one;token=other");
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "pkcs11:object=one;type=secret-key");
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "pkcs11:object=one;id=%03");
}

Test(resource_keys, malformed_names_are_400)
{
	static const char *const names[] = {
		"id:", "id:1", "id:xy", "label:", "pkcs11:", "pkcs11:object=a?pin-value=1234"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		REST_ONLY(&worker, 400, .route = ROUTE_key, .key = names[i]);
}

Test(resource_keys, a_label_that_looks_like_a_prefix_has_a_path_that_works)
{
	REST_AUTO struct rest made = REST(
		&worker, 201, .route = ROUTE_key_generate, .body = "{\"type\":\"EC\",\"label\":\"id:0102\"}");
	cr_expect(has_header(&made, "Location: /v1/slots/demo-slot/keys/label:id%3A0102"));
	REST_ONLY(&worker, 200, .route = ROUTE_key, .key = "label:id:0102");
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "id:0102");
}

Test(resource_keys, two_keys_of_one_label_are_409_with_candidates)
{
	const struct client client = {.worker = &worker, .instance = {7}};
	json_int_t session = open_session(&client);
	make_resource_key(&worker, "HMAC", "twin", "");
	make_key(&client, session, "twin", "");
	REST_AUTO struct rest key = REST(&worker, 409, .route = ROUTE_key, .key = "twin");
	cr_expect_str_eq(text_at(key.json, "type"), "/docs/errors/key-ambiguous");
	cr_assert_eq(json_array_size(json_at(key.json, "candidates")), 2);
	cr_expect_str_eq(text_at(key.json, "candidates/0/label"), "twin");
	REST_ONLY(&worker, 409, .route = ROUTE_key_sign, .key = "twin",
		.body = "{\"algorithm\":\"HS256\",\"data\":\"\"}");
	REST_ONLY(&worker, 409, .route = ROUTE_key_public, .key = "twin");
	REST_ONLY(&worker, 200, .route = ROUTE_key, .key = "pkcs11:object=twin;type=private");
}

/* Every candidate's uri names one key, and its href is the path of that uri. */
static void expect_candidates_to_be_named(const struct rest *ambiguous, size_t count)
{
	cr_assert_eq(json_array_size(json_at(ambiguous->json, "candidates")), count);
	for (size_t i = 0; i < count; i++) {
		const json_t *candidate = json_array_get(json_at(ambiguous->json, "candidates"), i);
		REST_AUTO struct rest key = REST(&worker, 200, .route = ROUTE_key, .key = text_at(candidate, "uri"));
		cr_expect_str_eq(text_at(key.json, "label"), text_at(candidate, "label"));
		cr_expect_str_eq(text_at(key.json, "id"), text_at(candidate, "id"));
		cr_expect_str_eq(text_at(key.json, "type"), text_at(candidate, "type"));
		cr_expect_str_eq(text_at(key.json, "class"), text_at(candidate, "class"));
		cr_expect_not_null(strstr(text_at(candidate, "href"), "/v1/slots/demo-slot/keys/pkcs11%3A"));
	}
}

Test(resource_keys, D6_candidates_without_or_with_equal_ids_are_told_apart_by_their_other_names)
{
	import_hmac_key(&worker, "no id", "0123456789abcdef", 16);
	const struct client client = {.worker = &worker, .instance = {7}};
	json_int_t session = open_session(&client);
	make_key(&client, session, "one of two", ",{\"CKA_ID\":\"AQI\"}");
	make_key(&client, session, "two/of two", ",{\"CKA_ID\":\"AQI\"}");
	REST_AUTO struct rest by_id = REST(&worker, 409, .route = ROUTE_key, .key = "id:0102");
	expect_candidates_to_be_named(&by_id, 2);
	make_key(&client, session, "no id", "");
	REST_AUTO struct rest by_label = REST(&worker, 409, .route = ROUTE_key, .key = "no id");
	expect_candidates_to_be_named(&by_label, 2);
}

Test(resource_keys, D6_candidates_that_no_name_tells_apart_say_so)
{
	import_hmac_key(&worker, "twin", "0123456789abcdef", 16);
	import_hmac_key(&worker, "twin", "fedcba9876543210", 16);
	REST_AUTO struct rest key = REST(&worker, 409, .route = ROUTE_key, .key = "twin");
	cr_assert_eq(json_array_size(json_at(key.json, "candidates")), 2);
	cr_expect_null(json_at(key.json, "candidates/0/href"));
	cr_expect_null(json_at(key.json, "candidates/1/href"));
	cr_expect_not_null(strstr(text_at(key.json, "detail"), "give each a CKA_LABEL or CKA_ID of its own"));
}

Test(resource_keys, an_absent_key_is_404_to_those_logged_in)
{
	REST_AUTO struct rest key = REST(&worker, 404, .route = ROUTE_key, .key = "none");
	cr_expect_str_eq(text_at(key.json, "type"), "/docs/errors/key-not-found");
	REST_ONLY(&worker, 404, .route = ROUTE_key_sign, .key = "none",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"\"}");
}

Test(resource_keys, without_a_login_an_invisible_key_is_401_login_required)
{
	make_resource_key(&worker, "HMAC", "hidden", "");
	make_resource_key(&worker, "EC", "seen", "");
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
	REST_AUTO struct rest key = REST(&worker, 401, .route = ROUTE_key, .key = "hidden");
	cr_expect_str_eq(text_at(key.json, "type"), "/docs/errors/login-required");
	cr_expect_not_null(strstr(key.headers, "WWW-Authenticate: "));
	REST_ONLY(&worker, 401, .route = ROUTE_key_sign, .key = "seen",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"\"}");
	REST_AUTO struct rest seen = REST(&worker, 200, .route = ROUTE_key, .key = "seen");
	cr_expect_str_eq(text_at(seen.json, "class"), "public");
	REST_ONLY(&worker, 401, .route = ROUTE_key_generate, .body = "{\"type\":\"EC\",\"label\":\"new\"}");
}

Test(resource_keys, lists_pairs_once_in_order)
{
	make_resource_key(&worker, "EC", "b", "");
	make_resource_key(&worker, "HMAC", "c", "");
	make_resource_key(&worker, "RSA", "a", "");
	REST_AUTO struct rest list = REST(&worker, 200, .route = ROUTE_keys);
	cr_assert_eq(json_array_size(json_at(list.json, "keys")), 3, "%s", list.body);
	cr_expect_str_eq(text_at(list.json, "keys/0/label"), "a");
	cr_expect_str_eq(text_at(list.json, "keys/1/label"), "b");
	cr_expect_str_eq(text_at(list.json, "keys/2/label"), "c");
	cr_expect(json_is_null(json_at(list.json, "next")));
}

Test(resource_keys, pages_show_every_key_once_though_keys_come_and_go)
{
	static const char *const labels[] = {"a", "b", "c", "d", "e"};
	for (size_t i = 0; i < 5; i++)
		make_resource_key(&worker, "HMAC", labels[i], "");
	REST_AUTO struct rest first = REST(&worker, 200, .route = ROUTE_keys, .query = "limit=2");
	cr_expect_eq(json_array_size(json_at(first.json, "keys")), 2);
	/* Before and behind the cursor. */
	make_resource_key(&worker, "HMAC", "aa", "");
	make_resource_key(&worker, "HMAC", "bb", "");
	REST_AUTO struct rest second = REST(
		&worker, 200, .route = ROUTE_keys, .query = text_of("limit=2&cursor=%s", text_at(first.json, "next")));
	cr_expect_str_eq(text_at(second.json, "keys/0/label"), "bb");
	cr_expect_str_eq(text_at(second.json, "keys/1/label"), "c");
	REST_AUTO struct rest third = REST(
		&worker, 200, .route = ROUTE_keys, .query = text_of("limit=2&cursor=%s", text_at(second.json, "next")));
	cr_expect_str_eq(text_at(third.json, "keys/0/label"), "d");
	cr_expect_str_eq(text_at(third.json, "keys/1/label"), "e");
	cr_expect(json_is_null(json_at(third.json, "next")));
}

Test(resource_keys, a_wrong_query_is_400)
{
	static const char *const queries[] = {"limit=0", "limit=1001", "limit=x", "limit=", "limit", "limit=1&limit=2",
		"page=1", "cursor=%", "cursor=AA", "cursor=%00", "limit=-1", "limit=+1", "limit=%201"};
	for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
		REST_ONLY(&worker, 400, .route = ROUTE_keys, .query = queries[i]);
}

Test(resource_keys, the_public_key_is_given_as_pem_der_and_jwk)
{
	make_resource_key(&worker, "EC", "ec", "");
	REST_AUTO struct rest pem = REST(
		&worker, 200, .route = ROUTE_key_public, .key = "ec", .accept = "application/x-pem-file");
	cr_expect_str_eq(pem.content_type, "application/x-pem-file");
	cr_expect_eq(strncmp(pem.body, "-----BEGIN PUBLIC KEY-----\n", 27), 0);
	REST_AUTO struct rest der = REST(
		&worker, 200, .route = ROUTE_key_public, .key = "ec", .accept = "application/pkix-spki");
	const unsigned char *at = (const unsigned char *)der.body;
	EVP_PKEY *from_der = d2i_PUBKEY(NULL, &at, (long)der.body_len), *from_pem = public_key_of(&worker, "ec");
	cr_assert_not_null(from_der);
	cr_expect_eq(EVP_PKEY_eq(from_der, from_pem), 1);
	REST_AUTO struct rest jwk = REST(&worker, 200, .route = ROUTE_key_public, .key = "ec");
	cr_expect_str_eq(jwk.content_type, "application/jwk+json");
	cr_expect_str_eq(text_at(jwk.json, "kty"), "EC");
	cr_expect_str_eq(text_at(jwk.json, "crv"), "P-256");
	unsigned char numbers[80], point[65];
	size_t len;
	cr_assert_eq(bytes_at(jwk.json, "x", numbers, 40), 32);
	cr_assert_eq(bytes_at(jwk.json, "y", numbers + 32, 40), 32);
	cr_assert_eq(EVP_PKEY_get_octet_string_param(from_pem, "pub", point, sizeof point, &len), 1);
	cr_expect_eq(memcmp(point + 1, numbers, 64), 0);
	EVP_PKEY_free(from_der);
	EVP_PKEY_free(from_pem);
	REST_ONLY(&worker, 406, .route = ROUTE_key_public, .key = "ec", .accept = "text/html");
}

Test(resource_keys, public_keys_of_every_type_are_openssl_keys)
{
	static const struct {
		const char *type, *more;
		int id;
		const char *kty;
	} kinds[] = {
		{"EC", ",\"curve\":\"P-384\"", EVP_PKEY_EC, "EC"},
		{"EC", ",\"curve\":\"P-521\"", EVP_PKEY_EC, "EC"},
		{"RSA", "", EVP_PKEY_RSA, "RSA"},
		{"Ed25519", "", EVP_PKEY_ED25519, "OKP"},
	};
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		const char *label = text_of("key%zu", i);
		make_resource_key(&worker, kinds[i].type, label, kinds[i].more);
		EVP_PKEY *key = public_key_of(&worker, label);
		cr_expect_eq(EVP_PKEY_get_base_id(key), kinds[i].id);
		EVP_PKEY_free(key);
		REST_AUTO struct rest jwk = REST(
			&worker, 200, .route = ROUTE_key_public, .key = label, .accept = "application/json");
		cr_expect_str_eq(text_at(jwk.json, "kty"), kinds[i].kty);
	}
}

Test(resource_keys, a_secret_key_has_no_public_half)
{
	make_resource_key(&worker, "HMAC", "secret", "");
	REST_ONLY(&worker, 404, .route = ROUTE_key_public, .key = "secret");
}

static void *generate_same(void *argument)
{
	struct rest *rest = argument;
	*rest = rest_ask(&worker, (struct ask){.route = ROUTE_key_generate,
					  .body = "{\"type\":\"RSA\",\"label\":\"same\"}",
					  .pair = rest->status});
	return NULL;
}

Test(resource_keys, of_two_that_make_a_key_of_one_name_at_once_one_succeeds)
{
	struct rest made[2] = {{.status = 0}, {.status = 1}};
	pthread_t threads[2];
	for (int i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, generate_same, &made[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq((made[0].status == 201) + (made[1].status == 201), 1);
	cr_expect_eq((made[0].status == 409) + (made[1].status == 409), 1);
	REST_ONLY(&worker, 200, .route = ROUTE_key, .key = "same");
	rest_free(&made[0]);
	rest_free(&made[1]);
}

/* --- what is remembered of a name (key_cache.h) --- */

#define HS256_BODY "{\"algorithm\":\"HS256\",\"data\":\"AA\"}"

static json_int_t object_of(const struct client *client, json_int_t session, const char *label)
{
	json_t *found = client_call(client,
		"{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_LABEL\":\"%s\"}]}},"
		"{\"FindObjects\":{\"session\":%lld,\"objects\":4}}",
		session, label, session);
	json_int_t object = json_integer_value(json_array_get(json_object_get(found, "objects"), 0));
	json_decref(found);
	expect(client, "CKR_OK", "{\"FindObjectsFinal\":{\"session\":%lld}}", session);
	return object;
}

Test(resource_keys, a_name_is_looked_up_once_while_nothing_changes)
{
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_AUTO struct rest first = REST(&worker, 200, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
	REST_AUTO struct rest second = REST(&worker, 200, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
	cr_expect_eq(calls_of(&first, "FindObjects"), 1);
	cr_expect_eq(calls_of(&second, "FindObjects"), 0);
	cr_expect_str_eq(first.body, second.body);
}

Test(resource_keys, a_second_key_of_a_name_is_noticed_at_once)
{
	const struct client client = {.worker = &worker, .instance = {7}};
	json_int_t session = open_session(&client);
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
	make_key(&client, session, "mac", "");
	REST_ONLY(&worker, 409, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
}

Test(resource_keys, a_key_that_was_destroyed_or_renamed_is_noticed_at_once)
{
	const struct client client = {.worker = &worker, .instance = {7}};
	json_int_t session = open_session(&client);
	make_resource_key(&worker, "HMAC", "mac", "");
	make_resource_key(&worker, "HMAC", "old", "");
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = "old", .body = HS256_BODY);
	expect(&client, "CKR_OK",
		"{\"SetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":\"new\"}]}}",
		session, object_of(&client, session, "old"));
	REST_ONLY(&worker, 404, .route = ROUTE_key_sign, .key = "old", .body = HS256_BODY);
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = "new", .body = HS256_BODY);
	expect(&client, "CKR_OK", "{\"DestroyObject\":{\"session\":%lld,\"object\":%lld}}", session,
		object_of(&client, session, "mac"));
	REST_ONLY(&worker, 404, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
}

Test(resource_keys, a_name_is_forgotten_with_the_login)
{
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
	REST_ONLY(&worker, 401, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
	REST_ONLY(&worker, 401, .route = ROUTE_key, .key = "mac");
}

Test(resource_keys, a_key_that_another_process_destroyed_is_404)
{
	struct worker_fixture other;
	const struct client client = {.worker = &other, .instance = {7}};
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
	worker_fixture_start(&token, NULL, &other);
	json_int_t session = open_logged_in(&client);
	expect(&client, "CKR_OK", "{\"DestroyObject\":{\"session\":%lld,\"object\":%lld}}", session,
		object_of(&client, session, "mac"));
	worker_fixture_stop(&other);
	REST_ONLY(&worker, 404, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
}
