/* Operations that are held until their PIN comes (A24–A27). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/unit/worker/guarded_key.h"

TestSuite(resource_operation, .init = guarded_key_setup, .fini = guarded_key_teardown, .timeout = 120);

Test(resource_operation, A24_a_use_without_the_pin_is_held)
{
	unsigned char digest[32];
	char hex[65];
	EVP_Digest(GUARDED_DATA, sizeof GUARDED_DATA - 1, digest, NULL, EVP_sha256(), NULL);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	REST_AUTO struct rest rest = REST(&one, 401, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY);
	const char *id = text_at(rest.json, "operation/id");
	cr_expect_str_eq(rest.content_type, "application/problem+json");
	cr_expect_str_eq(text_at(rest.json, "type"), "/docs/errors/reauthentication-required");
	cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_USER_NOT_LOGGED_IN");
	cr_expect_eq(strlen(id), 32);
	cr_expect_str_eq(text_at(rest.json, "operation/href"), text_of("/v1/operations/%s", id));
	cr_expect_str_eq(text_at(rest.json, "operation/data_sha256"), hex);
	cr_expect_eq(strlen(text_at(rest.json, "operation/expires_at")), 20);
	cr_expect_str_eq(text_at(rest.json, "reauthenticate/href"), text_of("/v1/operations/%s/reauthenticate", id));
	cr_expect_str_eq(text_at(rest.json, "reauthenticate/methods/0"), "pin");
	cr_expect_eq(json_array_size(json_at(rest.json, "reauthenticate/methods")), 1);
	cr_expect(has_header(&rest, text_of("WWW-Authenticate: PKCS11-PIN realm=\"demo\", operation=\"%s\"", id)));
	cr_expect_str_eq(rest.opened, id);
	cr_expect_eq(calls_of(&rest, "SignInit"), 0);
	cr_expect_eq(calls_of(&rest, "Sign"), 0);
}

Test(resource_operation, A25_the_right_pin_gives_the_signature_of_the_held_bytes)
{
	const char *id = open_operation();
	REST_AUTO struct rest rest = REST(
		&one, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	cr_expect_str_eq(text_at(rest.json, "algorithm"), "ES256");
	cr_expect(json_is_true(json_at(rest.json, "reauthenticated")));
	expect_verified(&rest, "guarded");
	cr_expect_str_eq(rest.closed, id);
	cr_expect_eq(events_with(&rest, "function", "C_Sign"), 1);
	cr_expect_eq(events_with(&rest, "user", "CKU_CONTEXT_SPECIFIC"), 1);
}

Test(resource_operation, A25_a_wrong_pin_keeps_the_operation)
{
	const char *id = open_operation();
	REST_AUTO struct rest wrong = REST(
		&one, 401, .route = ROUTE_operation_reauthenticate, .operation = id, .body = "{\"pin\":\"9999\"}");
	cr_expect_str_eq(text_at(wrong.json, "type"), "/docs/errors/pin-incorrect");
	cr_expect_eq(events_with(&wrong, "rv", "CKR_PIN_INCORRECT") >= 1, true);
	cr_expect_str_eq(wrong.closed, "");
	cr_expect_eq(calls_of(&wrong, "Sign"), 0);
	REST_AUTO struct rest right = REST(
		&one, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	expect_verified(&right, "guarded");
}

#define WRONG_PIN_BODY "{\"pin\":\"9999\"}"

Test(resource_operation, A25_a_wrong_pin_says_that_the_operation_waits_and_how_many_attempts_are_left)
{
	const char *id = open_operation();
	REST_AUTO struct rest unknown = REST(
		&one, 401, .route = ROUTE_operation_reauthenticate, .operation = id, .body = WRONG_PIN_BODY);
	cr_expect_null(json_at(unknown.json, "attempts_left"));
	cr_expect_not_null(strstr(text_at(unknown.json, "detail"), "the operation still waits"));
	token.tries = 3;
	REST_AUTO struct rest wrong = REST(
		&one, 401, .route = ROUTE_operation_reauthenticate, .operation = id, .body = WRONG_PIN_BODY);
	cr_expect_eq(json_integer_value(json_at(wrong.json, "attempts_left")), 2);
	REST_AUTO struct rest once = REST(
		&one, 401, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("9999"));
	cr_expect_eq(json_integer_value(json_at(once.json, "attempts_left")), 2);
	cr_expect_null(strstr(text_at(once.json, "detail"), "waits"));
	REST_ONLY(&one, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	REST_ONLY(&one, 204, .route = ROUTE_logout);
	REST_AUTO struct rest login = REST(&one, 401, .route = ROUTE_login, .body = WRONG_PIN_BODY);
	cr_expect_eq(json_integer_value(json_at(login.json, "attempts_left")), 2);
}

Test(resource_operation, B16_a_pin_that_the_gateway_holds_back_says_when_to_come_again_where_that_is_known)
{
	REST_ONLY(&one, 204, .route = ROUTE_logout);
	token.refuse = CKR_PIN_LOCKED;
	REST_AUTO struct rest unknown = REST(&one, 423, .route = ROUTE_login, .body = PIN_BODY);
	cr_expect_null(strstr(unknown.headers, "Retry-After"));
	token.refuse = CKR_PIN_LOCKED;
	token.retry_after_s = 321;
	REST_AUTO struct rest known = REST(&one, 423, .route = ROUTE_login, .body = PIN_BODY);
	cr_expect(has_header(&known, "Retry-After: 321"));
}

Test(resource_operation, A25_a_body_that_is_refused_keeps_the_operation)
{
	const char *id = open_operation();
	REST_ONLY(&one, 400, .route = ROUTE_operation_reauthenticate, .operation = id,
		.body = "{\"pin\":\"1234\",\"data\":\"AA\"}");
	REST_ONLY(&one, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
}

Test(resource_operation, A26_an_operation_is_used_once)
{
	const char *id = open_operation();
	REST_ONLY(&one, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	REST_AUTO struct rest again = REST(
		&one, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	cr_expect_str_eq(text_at(again.json, "type"), "/docs/errors/operation-finished");
	cr_expect_eq(calls_of(&again, "Login"), 0);
	REST_ONLY(&one, 410, .route = ROUTE_operation_cancel, .operation = id);
}

Test(resource_operation, A26_ids_are_random_and_bound_to_the_identity)
{
	const char *id = open_operation(), *another = open_operation();
	cr_expect_str_neq(id, another);
	REST_AUTO struct rest other = REST(&one, 404, .route = ROUTE_operation_reauthenticate, .operation = id,
		.body = PIN_BODY, .identity = "mallory");
	REST_AUTO struct rest none = REST(&one, 404, .route = ROUTE_operation_reauthenticate,
		.operation = "00000000000000000000000000000000", .body = PIN_BODY);
	cr_expect_str_eq(other.body, none.body);
	REST_ONLY(&one, 404, .route = ROUTE_operation_cancel, .operation = id, .identity = "mallory");
	REST_ONLY(&one, 404, .route = ROUTE_operation_cancel, .operation = "");
	REST_ONLY(&one, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
}

Test(resource_operation, A26_too_many_are_429_until_one_ends)
{
	const char *id = open_operation();
	open_operation();
	open_operation();
	REST_AUTO struct rest rest = REST(&one, 429, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY);
	cr_expect_not_null(strstr(rest.headers, "Retry-After: "));
	cr_expect_str_eq(rest.opened, "");
	REST_ONLY(&one, 204, .route = ROUTE_operation_cancel, .operation = id);
	open_operation();
}

Test(resource_operation, A26_delete_cancels)
{
	const char *id = open_operation();
	REST_AUTO struct rest cancel = REST(&one, 204, .route = ROUTE_operation_cancel, .operation = id);
	cr_expect_str_eq(cancel.closed, id);
	cr_expect_eq(cancel.body_len, 0);
	REST_ONLY(&one, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
}

Test(resource_operation, A26_an_expired_operation_is_410_operation_expired)
{
	worker_fixture_stop(&one);
	worker_fixture_start(&token, &(struct worker_options){.operation_ttl_ms = 1}, &one);
	REST_ONLY(&one, 200, .route = ROUTE_login, .body = PIN_BODY);
	const char *id = open_operation();
	/* Its life is a millisecond; a clock tick later it is over. */
	nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	REST_AUTO struct rest rest = REST(
		&one, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	cr_expect_str_eq(text_at(rest.json, "type"), "/docs/errors/operation-expired");
	cr_expect_eq(calls_of(&rest, "Login"), 0);
}

Test(resource_operation, X4_a_logout_ends_what_waits)
{
	const char *id = open_operation();
	REST_ONLY(&one, 204, .route = ROUTE_logout);
	REST_ONLY(&one, 200, .route = ROUTE_login, .body = PIN_BODY);
	REST_AUTO struct rest rest = REST(
		&one, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	cr_expect_eq(calls_of(&rest, "Sign"), 0);
}

Test(resource_operation, X4_a_logout_over_the_calls_route_ends_what_waits)
{
	const struct client client = {.worker = &one, .instance = {7}};
	session = open_session(&client);
	const char *id = open_operation();
	expect(&client, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	REST_ONLY(&one, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
}

Test(resource_operation, A27_an_operation_that_needs_no_pin_is_never_held)
{
	REST_AUTO struct rest rest = REST(&one, 200, .route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY);
	cr_expect_str_eq(rest.opened, "");
	REST_ONLY(&one, 404, .route = ROUTE_operation_reauthenticate, .operation = "0123456789abcdef0123456789abcdef",
		.body = PIN_BODY);
}

Test(resource_operation, the_held_key_is_not_exchanged_for_another_of_its_name)
{
	const struct client client = {.worker = &one, .instance = {7}};
	session = open_session(&client);
	const char *id = open_operation();
	/* The label moves to a key that needs no PIN. */
	json_t *found = client_call(&client,
		"{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_LABEL\":\"guarded\"}]}},"
		"{\"FindObjects\":{\"session\":%lld,\"objects\":4}}",
		session, session);
	json_t *objects = json_object_get(found, "objects");
	cr_assert_eq(json_array_size(objects), 2);
	expect(&client, "CKR_OK", "{\"FindObjectsFinal\":{\"session\":%lld}}", session);
	for (size_t i = 0; i < 2; i++)
		expect(&client, "CKR_OK", "{\"DestroyObject\":{\"session\":%lld,\"object\":%lld}}", session,
			json_integer_value(json_array_get(objects, i)));
	json_decref(found);
	make_resource_key(&one, "EC", "guarded", "");
	REST_AUTO struct rest rest = REST(
		&one, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	cr_expect_eq(calls_of(&rest, "Sign"), 0);
}

Test(resource_operation, A25_a_locked_pin_is_423_and_ends_operation_and_login)
{
	restart_with_shim("lock=2");
	const char *id = open_operation(), *other = open_operation();
	REST_ONLY(&one, 401, .route = ROUTE_operation_reauthenticate, .operation = id, .body = "{\"pin\":\"9999\"}");
	REST_AUTO struct rest locked = REST(
		&one, 423, .route = ROUTE_operation_reauthenticate, .operation = id, .body = "{\"pin\":\"9999\"}");
	cr_expect_str_eq(text_at(locked.json, "type"), "/docs/errors/pin-locked");
	cr_expect_str_eq(locked.closed, id);
	cr_expect_eq(locked.login, LOGIN_NONE);
	REST_ONLY(&one, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	REST_ONLY(&one, 410, .route = ROUTE_operation_reauthenticate, .operation = other, .body = PIN_BODY);
	REST_ONLY(&one, 401, .route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY);
	REST_ONLY(&one, 423, .route = ROUTE_login, .body = PIN_BODY);
}

Test(resource_operation, A24_a_module_that_does_not_insist_on_the_pin_is_not_asked_without_it)
{
	restart_with_shim("careless");
	REST_AUTO struct rest rest = REST(&one, 401, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY);
	cr_expect_eq(calls_of(&rest, "SignInit"), 0);
	REST_AUTO struct rest wrong = rest_ask(
		&one, (struct ask){.route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("9999")});
	cr_expect_gt(wrong.status, 400);
	cr_expect_eq(calls_of(&wrong, "Sign"), 0);
}
