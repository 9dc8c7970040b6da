/* Keys that are renamed and destroyed, and If-Match. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

#define MERGE_PATCH "application/merge-patch+json"

static struct token_fixture token;
static struct worker_fixture worker;
static const struct client client = {.worker = &worker, .instance = {7}};

static void setup(void)
{
	resource_setup_logged_in(&token, &worker, NULL);
}

static void teardown(void)
{
	worker_fixture_stop(&worker);
}

TestSuite(resource_change, .init = setup, .fini = teardown);

/* The ETag of an answer. */
static const char *etag_of(const struct rest *rest)
{
	const char *at = strstr(rest->headers, "ETag: ");
	cr_assert_not_null(at, "no ETag in %s", rest->headers);
	return text_of("%.*s", (int)strcspn(at + 6, "\n"), at + 6);
}

static const char *etag(const char *key)
{
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key, .key = key);
	return etag_of(&rest);
}

static struct rest change(const char *key, unsigned status, const char *body)
{
	return REST(&worker, status, .route = ROUTE_key_change, .key = key, .if_match = etag(key),
		.content_type = MERGE_PATCH, .body = body);
}

/* The objects of the token with that label and class. */
static size_t objects_of(const char *label, const char *class)
{
	json_int_t session = open_session(&client);
	json_t *found = client_call(&client,
		"{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_LABEL\":\"%s\"},{\"CKA_CLASS\":\"%s\"}]}"
		"},"
		"{\"FindObjects\":{\"session\":%lld,\"objects\":4}}",
		session, label, class, session);
	size_t count = json_array_size(json_object_get(found, "objects"));
	json_decref(found);
	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	return count;
}

Test(resource_change, A45_an_etag_stays_while_the_key_does_and_changes_with_it)
{
	REST_AUTO struct rest made = REST(
		&worker, 201, .route = ROUTE_key_generate, .body = "{\"type\":\"EC\",\"label\":\"a\",\"id\":\"01\"}");
	const char *first = etag("a");
	cr_expect_str_eq(etag_of(&made), first);
	cr_expect_str_eq(etag("id:01"), first);
	REST_AUTO struct rest renamed = change("a", 200, "{\"label\":\"b\"}");
	cr_expect_str_neq(etag_of(&renamed), first);
	cr_expect_str_eq(etag_of(&renamed), etag("b"));
	REST_AUTO struct rest back = change("b", 200, "{\"label\":\"a\"}");
	cr_expect_str_eq(etag_of(&back), first);
}

static void expect_other_key_to_have_another_etag(const char *type)
{
	const char *body = text_of("{\"type\":\"%s\",\"label\":\"a\",\"id\":\"01\"}", type);
	REST_ONLY(&worker, 201, .route = ROUTE_key_generate, .body = body);
	const char *first = etag("a");
	REST_ONLY(&worker, 204, .route = ROUTE_key_delete, .key = "a", .if_match = first);
	REST_ONLY(&worker, 201, .route = ROUTE_key_generate, .body = body);
	REST_ONLY(&worker, 412, .route = ROUTE_key_delete, .key = "a", .if_match = first);
	REST_ONLY(&worker, 204, .route = ROUTE_key_delete, .key = "a", .if_match = "*");
}

Test(resource_change, A45_another_key_of_the_same_names_has_another_etag)
{
	expect_other_key_to_have_another_etag("EC");
	expect_other_key_to_have_another_etag("RSA");
	expect_other_key_to_have_another_etag("AES");
}

Test(resource_change, A45_without_if_match_is_428_and_with_an_old_etag_412)
{
	make_resource_key(&worker, "EC", "a", "");
	const char *old = etag("a");
	REST_AUTO struct rest missing = REST(&worker, 428, .route = ROUTE_key_delete, .key = "a");
	cr_expect_str_eq(text_at(missing.json, "type"), "/docs/errors/precondition-required");
	REST_ONLY(&worker, 428, .route = ROUTE_key_change, .key = "a", .content_type = MERGE_PATCH, .body = "{}");
	REST_AUTO struct rest renamed = change("a", 200, "{\"label\":\"b\"}");
	REST_AUTO struct rest stale = REST(&worker, 412, .route = ROUTE_key_delete, .key = "b", .if_match = old);
	cr_expect_str_eq(text_at(stale.json, "type"), "/docs/errors/precondition-failed");
	REST_ONLY(&worker, 412, .route = ROUTE_key_change, .key = "b", .if_match = old, .content_type = MERGE_PATCH,
		.body = "{\"label\":\"c\"}");
	REST_ONLY(&worker, 200, .route = ROUTE_key, .key = "b");
	cr_expect_eq(calls_of(&stale, "DestroyObject"), 0);
}

Test(resource_change, A45_if_match_is_a_list_of_strong_tags_or_a_star)
{
	make_resource_key(&worker, "EC", "a", "");
	const char *tag = etag("a");
	const struct {
		unsigned status;
		const char *header;
	} headers[] = {
		{400, "a"},
		{400, "\"a"},
		{400, "\"a\" \"b\""},
		{400, "\"a\","},
		{400, "*, \"a\""},
		{412, text_of("W/%s", tag)},
		{412, "\"\""},
		{412, text_of("%.10s\"", tag)},
		{200, text_of("\"x\" , %s", tag)},
		{200, text_of("W/\"x\",%s,\"y\"", tag)},
		{200, "*"},
	};
	for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
		REST_ONLY(&worker, headers[i].status, .route = ROUTE_key_change, .key = "a",
			.if_match = headers[i].header, .content_type = MERGE_PATCH, .body = "{}");
}

Test(resource_change, A46_both_halves_get_the_new_names)
{
	make_resource_key(&worker, "EC", "a", ",\"id\":\"01\"");
	REST_AUTO struct rest changed = change("a", 200, "{\"label\":\"b\",\"id\":\"0203\"}");
	cr_expect_str_eq(text_at(changed.json, "label"), "b");
	cr_expect_str_eq(text_at(changed.json, "id"), "0203");
	cr_expect_eq(events_with(&changed, "function", "C_SetAttributeValue"), 2);
	cr_expect_eq(events_with(&changed, "new_names/label", "b"), 2);
	cr_expect_eq(events_with(&changed, "key/label", "a"), 2);
	cr_expect_eq(objects_of("b", "CKO_PRIVATE_KEY"), 1);
	cr_expect_eq(objects_of("b", "CKO_PUBLIC_KEY"), 1);
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "a");
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "id:01");
	REST_ONLY(&worker, 200, .route = ROUTE_key_public, .key = "id:0203");
	REST_ONLY(
		&worker, 200, .route = ROUTE_key_sign, .key = "b", .body = "{\"algorithm\":\"ES256\",\"data\":\"AA\"}");
}

Test(resource_change, A46_what_is_left_out_stays)
{
	make_resource_key(&worker, "AES", "a", ",\"id\":\"01\"");
	REST_AUTO struct rest label = change("a", 200, "{\"label\":\"b\"}");
	cr_expect_str_eq(text_at(label.json, "id"), "01");
	REST_AUTO struct rest id = change("b", 200, "{\"id\":\"02\"}");
	cr_expect_str_eq(text_at(id.json, "label"), "b");
	REST_AUTO struct rest nothing = change("b", 200, "{}");
	cr_expect(json_equal(nothing.json, id.json));
	cr_expect_eq(calls_of(&nothing, "SetAttributeValue"), 0);
}

Test(resource_change, A46_names_of_another_key_are_409_and_ones_own_are_not)
{
	make_resource_key(&worker, "EC", "a", ",\"id\":\"01\"");
	make_resource_key(&worker, "AES", "b", ",\"id\":\"02\"");
	REST_AUTO struct rest label = change("a", 409, "{\"label\":\"b\"}");
	cr_expect_str_eq(text_at(label.json, "type"), "/docs/errors/key-exists");
	cr_expect_str_eq(text_at(label.json, "pointer"), "/label");
	REST_AUTO struct rest id = change("a", 409, "{\"id\":\"02\"}");
	cr_expect_str_eq(text_at(id.json, "pointer"), "/id");
	REST_AUTO struct rest same = change("a", 200, "{\"label\":\"a\",\"id\":\"01\"}");
	cr_expect_str_eq(text_at(same.json, "label"), "a");
}

Test(resource_change, A46_each_wrong_member_is_named)
{
	static const struct {
		const char *body, *pointer;
	} refusals[] = {
		{"{\"label\":null}", "/label"},
		{"{\"label\":\"\"}", "/label"},
		{"{\"id\":\"xy\"}", "/id"},
		{"{\"id\":7}", "/id"},
		{"{\"extractable\":true}", "/extractable"},
		{"{\"usage\":[]}", "/usage"},
	};
	make_resource_key(&worker, "EC", "a", "");
	for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
		REST_AUTO struct rest rest = change("a", 400, refusals[i].body);
		cr_expect_str_eq(text_at(rest.json, "pointer"), refusals[i].pointer);
	}
	REST_ONLY(&worker, 415, .route = ROUTE_key_change, .key = "a", .if_match = "*", .body = "{}");
}

Test(resource_change, A47_both_halves_are_destroyed)
{
	make_resource_key(&worker, "EC", "a", "");
	make_resource_key(&worker, "EC", "b", "");
	REST_AUTO struct rest deleted = REST(
		&worker, 204, .route = ROUTE_key_delete, .key = "a", .if_match = etag("a"));
	cr_expect_eq(events_with(&deleted, "function", "C_DestroyObject"), 2);
	cr_expect_eq(events_with(&deleted, "key/label", "a"), 2);
	cr_expect_eq(events_with(&deleted, "key/class", "CKO_PRIVATE_KEY"), 1);
	cr_expect_eq(events_with(&deleted, "key/class", "CKO_PUBLIC_KEY"), 1);
	cr_expect_eq(objects_of("a", "CKO_PRIVATE_KEY"), 0);
	cr_expect_eq(objects_of("a", "CKO_PUBLIC_KEY"), 0);
	cr_expect_eq(objects_of("b", "CKO_PRIVATE_KEY"), 1);
	REST_ONLY(&worker, 404, .route = ROUTE_key_delete, .key = "a", .if_match = "*");
}

Test(resource_change, A47_without_a_login_nothing_is_changed_or_destroyed)
{
	make_resource_key(&worker, "EC", "a", "");
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
	REST_AUTO struct rest deleted = REST(&worker, 401, .route = ROUTE_key_delete, .key = "a", .if_match = "*");
	cr_expect_str_eq(text_at(deleted.json, "type"), "/docs/errors/login-required");
	REST_ONLY(&worker, 401, .route = ROUTE_key_change, .key = "a", .if_match = "*", .content_type = MERGE_PATCH,
		.body = "{\"label\":\"b\"}");
	REST_ONLY(&worker, 200, .route = ROUTE_key_public, .key = "a");
}

/* A pair whose public half has these further attributes. */
static void make_pair(const char *label, const char *more)
{
	json_int_t session = open_session(&client);
	expect(&client, "CKR_OK",
		"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"},"
		"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":"
		"false},"
		"{\"CKA_LABEL\":\"%s\"},{\"CKA_ID\":\"AQ\"}%s],\"private_attributes\":[{\"CKA_TOKEN\":true},{\"CKA_"
		"SIGN\":true},"
		"{\"CKA_LABEL\":\"%s\"},{\"CKA_ID\":\"AQ\"}]}}",
		session, label, more, label);
	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
}

Test(resource_change, A47_a_key_of_which_one_half_cannot_be_destroyed_stays_whole)
{
	make_pair("a", ",{\"CKA_DESTROYABLE\":false}");
	REST_AUTO struct rest rest = rest_ask(
		&worker, (struct ask){.route = ROUTE_key_delete, .key = "a", .if_match = "*"});
	cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_ACTION_PROHIBITED", "%u %s", rest.status, rest.body);
	cr_expect_eq(calls_of(&rest, "DestroyObject"), 0);
	cr_expect_eq(objects_of("a", "CKO_PRIVATE_KEY"), 1);
}

Test(resource_change, A46_a_key_of_which_one_half_cannot_be_changed_keeps_its_names)
{
	make_pair("a", ",{\"CKA_MODIFIABLE\":false}");
	REST_AUTO struct rest rest = rest_ask(&worker, (struct ask){.route = ROUTE_key_change,
							       .key = "a",
							       .if_match = "*",
							       .content_type = MERGE_PATCH,
							       .body = "{\"label\":\"b\"}"});
	cr_expect_geq(rest.status, 400);
	cr_expect_str_not_empty(text_at(rest.json, "ckr"), "%s", rest.body);
	cr_expect_eq(objects_of("a", "CKO_PRIVATE_KEY"), 1);
	cr_expect_eq(objects_of("a", "CKO_PUBLIC_KEY"), 1);
	cr_expect_eq(objects_of("b", "CKO_PRIVATE_KEY"), 0);
}

Test(resource_change, X3_a_handle_of_a_key_that_was_deleted_over_rest_is_invalid)
{
	json_int_t session = open_session(&client);
	json_int_t key = make_key(&client, session, "a", "");
	REST_ONLY(&worker, 204, .route = ROUTE_key_delete, .key = "a", .if_match = "*");
	make_resource_key(&worker, "EC", "b", "");
	expect(&client, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, key);
}
