/* The mode table (B3–B9), over calls and over the resource routes. */
#include <criterion/criterion.h>

#include "api/route.h"
#include "tests/unit/worker/two_applications.h"

TestSuite(login_mode, .timeout = 60);

Test(login_mode, B3_without_the_cache_the_login_is_held_from_login_to_logout)
{
	start(false, LOGOUT_AFTER_NEVER);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	key = find_private(&first, session);
	for (int i = 0; i < 3; i++)
		sign(&first, session, key);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", LOGOUT, session);
	expect_logged_out(&first, session);
}

Test(login_mode, B3_the_last_session_takes_the_login_along)
{
	start(false, LOGOUT_AFTER_NEVER);
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	expect_logged_out(&first, open_session(&first));
}

Test(login_mode, B4_between_uses_the_module_is_logged_out_and_the_session_says_user)
{
	start(true, LOGOUT_AFTER_NEVER);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	expect_session(&first, session, "CKS_RW_USER_FUNCTIONS");
	key = find_private(&first, session);
	cr_assert_neq(key, 0);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	for (int i = 0; i < 3; i++) {
		sign(&first, session, key);
		expect_state(&first, LOGIN_USER, LOGIN_NONE);
		second_signs();
	}
	expect_session(&first, session, "CKS_RW_USER_FUNCTIONS");
	cr_expect_eq(find_private(&first, session), key, "an object keeps its handle over internal logouts");
}

Test(login_mode, B4_a_module_that_starts_anew_for_every_login_works_as_well)
{
	start_with(&(struct worker_options){.login = rules(true, LOGOUT_AFTER_NEVER), .fresh = true});
	log_in();
	key = find_private(&first, session);
	for (int i = 0; i < 3; i++) {
		sign(&first, session, key);
		expect_state(&first, LOGIN_USER, LOGIN_NONE);
	}
	cr_expect_eq(find_private(&first, session), key);
}

Test(login_mode, B4_what_needs_no_login_gets_none)
{
	start(true, LOGOUT_AFTER_NEVER);
	unsigned asked = token.asked[TOKEN_FOR_PRIVATE_USE];
	expect(&first, "CKR_OK", "{\"GenerateRandom\":{\"session\":%lld,\"random\":16}}", session);
	expect(&first, "CKR_OK", "{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_PRIVATE\":false}]}}",
		session);
	json_t *found = client_call(&first, "{\"FindObjects\":{\"session\":%lld,\"objects\":10}}", session);
	json_int_t public_key = json_integer_value(json_at(found, "objects/0"));
	json_decref(found);
	expect(&first, "CKR_OK", SEARCH_END, session);
	expect(&first, "CKR_OK",
		"{\"VerifyInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_ECDSA\"},\"key\":%lld}}", session,
		public_key);
	expect(&first, "CKR_OK",
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}",
		session, public_key);
	cr_expect_eq(token.asked[TOKEN_FOR_PRIVATE_USE], asked);
}

Test(login_mode, B4_the_resource_routes_log_in_with_the_kept_pin)
{
	start(true, LOGOUT_AFTER_NEVER);
	for (int i = 0; i < 2; i++) {
		REST_AUTO struct rest rest = REST(&one, 200, .route = ROUTE_key_sign, .key = "release",
			.body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}");
		cr_expect_eq(calls_of(&rest, "Login"), 1);
		cr_expect_eq(calls_of(&rest, "Logout"), 1);
		expect_state(&first, LOGIN_USER, LOGIN_NONE);
	}
	make_resource_key(&one, "EC", "another", "");
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(login_mode, B5_each_signature_logs_out_and_other_uses_do_not)
{
	start(false, LOGOUT_AFTER_SIGN);
	key = find_private(&first, session);
	expect(&first, "CKR_OK",
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}",
		session, key);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	sign(&first, session, key);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	expect_logged_out(&first, session);
	second_signs();
	log_in();
	sign(&first, session, key);
	expect_logged_out(&first, session);
}

Test(login_mode, B6_the_kept_pin_goes_with_the_signature)
{
	start(true, LOGOUT_AFTER_SIGN);
	key = find_private(&first, session);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	second_signs();
	sign(&first, session, key);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	expect_logged_out(&first, session);
	log_in();
	sign(&first, session, key);
}

static void expect_a_login_per_private_use(void)
{
	key = find_private(&first, session);
	cr_assert_neq(key, 0);
	expect_logged_out(&first, session);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	log_in();
	expect(&first, "CKR_OK",
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}",
		session, key);
	expect_logged_out(&first, session);
	log_in();
	sign(&first, session, key);
	expect_logged_out(&first, session);
	log_in();
	expect(&first, "CKR_OK", MAKE_PRIVATE, session, "true");
	expect_logged_out(&first, session);
	second_signs();
}

Test(login_mode, B7_each_private_use_logs_out)
{
	start(false, LOGOUT_AFTER_PRIVATE_OP);
	expect_a_login_per_private_use();
}

Test(login_mode, B8_the_cache_changes_nothing_about_a_login_per_private_use)
{
	start(true, LOGOUT_AFTER_PRIVATE_OP);
	expect_a_login_per_private_use();
}

Test(login_mode, B7_what_is_public_does_not_log_out)
{
	start(false, LOGOUT_AFTER_PRIVATE_OP);
	json_t *found = client_call(&first, SEARCH, session, "CKO_PUBLIC_KEY", session);
	json_int_t public_key = json_integer_value(json_at(found, "objects/0"));
	json_decref(found);
	expect(&first, "CKR_OK", SEARCH_END, session);
	expect(&first, "CKR_OK",
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}",
		session, public_key);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
}

Test(login_mode, B7_a_resource_request_is_one_private_use)
{
	start(false, LOGOUT_AFTER_PRIVATE_OP);
	REST_ONLY(&one, 200, .route = ROUTE_key_sign, .key = "release",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}");
	expect_logged_out(&first, session);
	REST_ONLY(&one, 401, .route = ROUTE_key_sign, .key = "release",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}");
}

Test(login_mode, B9_a_length_query_is_no_signature_and_a_failed_one_is)
{
	start(false, LOGOUT_AFTER_SIGN);
	key = find_private(&first, session);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_OK", SIGN_LENGTH, session);
	expect(&first, "CKR_BUFFER_TOO_SMALL", SIGN_SHORT, session);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", SIGN, session);
	expect_logged_out(&first, session);
	log_in();
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
}

/* --- the same over the resource routes --- */

#define REST_SIGN .route = ROUTE_key_sign, .key = "release", .body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}"

Test(login_mode, B5_a_signature_of_the_resource_routes_logs_out_as_well)
{
	start(false, LOGOUT_AFTER_SIGN);
	REST_ONLY(&one, 200, .route = ROUTE_keys);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	REST_ONLY(&one, 200, REST_SIGN);
	expect_logged_out(&first, session);
	REST_ONLY(&one, 401, REST_SIGN);
}

Test(login_mode, B5_one_login_signs_no_batch)
{
	start(false, LOGOUT_AFTER_SIGN);
	REST_AUTO struct rest rest = REST(&one, 422, .route = ROUTE_key_sign, .key = "release",
		.body = "{\"algorithm\":\"ES256\",\"items\":[{\"data\":\"YQ\"},{\"data\":\"Yg\"}]}");
	cr_expect_str_eq(text_at(rest.json, "type"), "/docs/errors/one-item-per-pin");
	cr_expect_eq(calls_of(&rest, "Sign"), 0);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
}

Test(login_mode, B6_the_kept_pin_goes_with_a_signature_of_the_resource_routes)
{
	start(true, LOGOUT_AFTER_SIGN);
	REST_ONLY(&one, 200, REST_SIGN);
	expect_logged_out(&first, session);
	REST_ONLY(&one, 401, REST_SIGN);
}

Test(login_mode, A24_an_operation_waits_for_its_pin_while_the_module_is_logged_out)
{
	start(true, LOGOUT_AFTER_NEVER);
	make_resource_key(&one, "EC", "guarded", ",\"always_authenticate\":true");
	REST_AUTO struct rest asked = REST(&one, 401, .route = ROUTE_key_sign, .key = "guarded",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}");
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	REST_ONLY(&one, 401, .route = ROUTE_operation_reauthenticate, .operation = text_at(asked.json, "operation/id"),
		.body = "{\"pin\":\"9999\"}");
	REST_ONLY(&one, 200, .route = ROUTE_operation_reauthenticate, .operation = text_at(asked.json, "operation/id"),
		.body = PIN_BODY);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(login_mode, A24_what_only_asks_for_the_pin_is_no_private_use_and_the_answer_is_one)
{
	start(false, LOGOUT_AFTER_PRIVATE_OP);
	make_resource_key(&one, "EC", "guarded", ",\"always_authenticate\":true");
	expect_logged_out(&first, session);
	log_in();
	REST_AUTO struct rest asked = REST(&one, 401, .route = ROUTE_key_sign, .key = "guarded",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}");
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	REST_ONLY(&one, 200, .route = ROUTE_operation_reauthenticate, .operation = text_at(asked.json, "operation/id"),
		.body = PIN_BODY);
	expect_logged_out(&first, session);
}

Test(login_mode, B4_a_call_without_permission_does_not_log_the_token_in)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	struct client reader = first;
	reader.permissions = 1u << PERMISSION_READ;
	unsigned before = token.asked[TOKEN_FOR_PRIVATE_USE];
	expect(&reader, "CKR_FUNCTION_REJECTED", SIGN_INIT, session, key);
	cr_expect_eq(token.asked[TOKEN_FOR_PRIVATE_USE], before);
	sign(&first, session, key);
	cr_expect_gt(token.asked[TOKEN_FOR_PRIVATE_USE], before);
}

Test(login_mode, B17_a_context_login_never_uses_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t careful = make_key(&first, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");
	expect(&first, "CKR_OK", SIGN_INIT, session, careful);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN, session);
	expect(&first, "CKR_OK", SIGN_INIT, session, careful);
	expect(&first, "CKR_OK", LOGIN, session, "CKU_CONTEXT_SPECIFIC", RIGHT);
	expect(&first, "CKR_OK", SIGN, session);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT "," SIGN, session, careful, session);
}
