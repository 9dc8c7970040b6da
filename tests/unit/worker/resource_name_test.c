/* Which key a name stands for in a path (D6), and what is remembered of it. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_names, resource_setup_logged_in);

Test(resource_names, are_found_by_label_id_and_uri)
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

Test(resource_names, malformed_names_are_400)
{
	static const char *const names[] = {
		"id:", "id:1", "id:xy", "label:", "pkcs11:", "pkcs11:object=a?pin-value=1234"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		REST_ONLY(&worker, 400, .route = ROUTE_key, .key = names[i]);
}

Test(resource_names, a_label_that_looks_like_a_prefix_has_a_path_that_works)
{
	REST_AUTO struct rest made = REST(
		&worker, 201, .route = ROUTE_key_generate, .body = "{\"type\":\"EC\",\"label\":\"id:0102\"}");
	cr_expect(has_header(&made, "Location: /v1/slots/demo-slot/keys/label:id%3A0102"));
	REST_ONLY(&worker, 200, .route = ROUTE_key, .key = "label:id:0102");
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "id:0102");
}

Test(resource_names, two_keys_of_one_label_are_409_with_candidates)
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

Test(resource_names, D6_candidates_without_or_with_equal_ids_are_told_apart_by_their_other_names)
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

Test(resource_names, D6_candidates_that_no_name_tells_apart_say_so)
{
	import_hmac_key(&worker, "twin", "0123456789abcdef", 16);
	import_hmac_key(&worker, "twin", "fedcba9876543210", 16);
	REST_AUTO struct rest key = REST(&worker, 409, .route = ROUTE_key, .key = "twin");
	cr_assert_eq(json_array_size(json_at(key.json, "candidates")), 2);
	cr_expect_null(json_at(key.json, "candidates/0/href"));
	cr_expect_null(json_at(key.json, "candidates/1/href"));
	cr_expect_not_null(strstr(text_at(key.json, "detail"), "give each a CKA_LABEL or CKA_ID of its own"));
}

Test(resource_names, an_absent_key_is_404_to_those_logged_in)
{
	REST_AUTO struct rest key = REST(&worker, 404, .route = ROUTE_key, .key = "none");
	cr_expect_str_eq(text_at(key.json, "type"), "/docs/errors/key-not-found");
	REST_ONLY(&worker, 404, .route = ROUTE_key_sign, .key = "none",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"\"}");
}

Test(resource_names, without_a_login_an_invisible_key_is_401_login_required)
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

Test(resource_names, a_name_is_looked_up_once_while_nothing_changes)
{
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_AUTO struct rest first = REST(&worker, 200, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
	REST_AUTO struct rest second = REST(&worker, 200, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
	cr_expect_eq(calls_of(&first, "FindObjects"), 1);
	cr_expect_eq(calls_of(&second, "FindObjects"), 0);
	cr_expect_str_eq(first.body, second.body);
}

Test(resource_names, a_second_key_of_a_name_is_noticed_at_once)
{
	const struct client client = {.worker = &worker, .instance = {7}};
	json_int_t session = open_session(&client);
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
	make_key(&client, session, "mac", "");
	REST_ONLY(&worker, 409, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
}

Test(resource_names, a_key_that_was_destroyed_or_renamed_is_noticed_at_once)
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

Test(resource_names, a_name_is_forgotten_with_the_login)
{
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
	REST_ONLY(&worker, 401, .route = ROUTE_key_sign, .key = "mac", .body = HS256_BODY);
	REST_ONLY(&worker, 401, .route = ROUTE_key, .key = "mac");
}

Test(resource_names, a_key_that_another_process_destroyed_is_404)
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
