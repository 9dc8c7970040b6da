/* A PIN in the body of the request that uses the key (A28). */
#include <criterion/criterion.h>

#include "tests/unit/worker/guarded_key.h"

TestSuite(resource_pin, .init = guarded_key_setup, .fini = guarded_key_teardown, .timeout = 120);

Test(resource_pin, A28_a_pin_in_the_body_signs_in_one_step)
{
	REST_AUTO struct rest rest = REST(
		&one, 200, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("1234"));
	expect_verified(&rest, "guarded");
	cr_expect(json_is_true(json_at(rest.json, "reauthenticated")));
	cr_expect_eq(calls_of(&rest, "Login"), 1);
	cr_expect_str_eq(rest.opened, "");
}

static void expect_pin_refused(const struct rest *rest)
{
	cr_expect_str_eq(text_at(rest->json, "type"), "/docs/errors/permission-denied");
	cr_expect_eq(events_with(rest, "kind", "refusal"), 1);
	cr_expect_eq(calls_of(rest, "Login") + calls_of(rest, "OpenSession") + calls_of(rest, "FindObjectsInit"), 0);
}

Test(resource_pin, a_pin_in_a_body_is_refused_and_recorded_without_the_permission_to_log_in)
{
	static const struct ask asks[] = {
		{.route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("1234")},
		{.route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY_PIN("1234"), .anonymous = true},
		{.route = ROUTE_challenge, .body = "{\"challenge\":\"AAEC\",\"pin\":\"1234\"}"},
		{.route = ROUTE_challenge_check, .body = PIN_BODY},
	};
	for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
		struct ask ask = asks[i];
		ask.without = 1u << PERMISSION_LOGIN;
		REST_AUTO struct rest rest = rest_expecting(&one, 403, ask);
		expect_pin_refused(&rest);
	}
	REST_ONLY(&one, 200, .route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY,
		.without = 1u << PERMISSION_LOGIN);
}

Test(resource_pin, A28_a_wrong_pin_in_the_body_leaves_nothing)
{
	REST_AUTO struct rest rest = REST(
		&one, 401, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("9999"));
	cr_expect_str_eq(text_at(rest.json, "type"), "/docs/errors/pin-incorrect");
	cr_expect_str_eq(rest.opened, "");
	cr_expect_null(json_at(rest.json, "operation"));
	cr_expect_eq(calls_of(&rest, "Sign"), 0);
	REST_ONLY(&one, 401, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY);
	REST_ONLY(&one, 200, .route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY);
}

Test(resource_pin, A28_a_pin_that_is_not_needed_is_not_sent)
{
	REST_AUTO struct rest rest = REST(
		&one, 200, .route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY_PIN("9999"));
	cr_expect(json_is_false(json_at(rest.json, "reauthenticated")));
	cr_expect_eq(calls_of(&rest, "Login"), 0);
	expect_verified(&rest, "plain");
}

Test(resource_pin, A28_without_a_login_the_shared_worker_does_nothing)
{
	REST_ONLY(&one, 204, .route = ROUTE_logout);
	REST_AUTO struct rest rest = REST(
		&one, 0, .route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY_PIN("1234"));
	cr_expect_eq(json_array_size(rest.events), 0);
	cr_expect_eq(calls_of(&rest, "Login") + calls_of(&rest, "FindObjectsInit") + calls_of(&rest, "SignInit"), 0);
	cr_expect_eq(rest.login, LOGIN_NONE);
}

Test(resource_pin, A28_an_anonymous_worker_logs_in_signs_and_logs_out)
{
	static const char *const keys[] = {"plain", "guarded"};
	REST_ONLY(&one, 204, .route = ROUTE_logout);
	for (int i = 0; i < 2; i++) {
		struct worker_fixture anonymous;
		worker_fixture_start(&token, NULL, &anonymous);
		REST_AUTO struct rest rest = REST(&anonymous, 200, .route = ROUTE_key_sign, .key = keys[i],
			.body = SIGN_BODY_PIN("1234"), .anonymous = true);
		expect_verified(&rest, keys[i]);
		cr_expect_eq(rest.login, LOGIN_NONE);
		cr_expect_eq(events_with(&rest, "function", "C_Login"), i == 0 ? 1 : 2);
		cr_expect_eq(events_with(&rest, "function", "C_Logout"), 1);
		REST_ONLY(
			&anonymous, 401, .route = ROUTE_key_sign, .key = keys[i], .body = SIGN_BODY, .anonymous = true);
		worker_fixture_stop(&anonymous);
	}
}

Test(resource_pin, A28_an_anonymous_worker_with_a_wrong_pin_is_401)
{
	REST_ONLY(&one, 204, .route = ROUTE_logout);
	REST_AUTO struct rest rest = REST(
		&one, 401, .route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY_PIN("9999"), .anonymous = true);
	cr_expect_str_eq(text_at(rest.json, "type"), "/docs/errors/pin-incorrect");
	cr_expect_eq(calls_of(&rest, "Sign"), 0);
	cr_expect_eq(rest.login, LOGIN_NONE);
}

Test(resource_pin, A28_a_batch_with_a_key_that_asks_each_time_is_refused)
{
	REST_AUTO struct rest rest = REST(&one, 422, .route = ROUTE_key_sign, .key = "guarded",
		.body = "{\"algorithm\":\"ES256\",\"items\":[{\"data\":\"\"},{\"data\":\"\"}],\"pin\":\"1234\"}");
	cr_expect_eq(calls_of(&rest, "Login"), 0);
}

Test(resource_pin, A28_a_pin_in_the_body_that_locks_is_423_and_ends_the_login)
{
	restart_with_shim("lock=1");
	REST_AUTO struct rest locked = REST(
		&one, 423, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("9999"));
	cr_expect_eq(locked.login, LOGIN_NONE);
	cr_expect_eq(calls_of(&locked, "Sign"), 0);
}
