/* The login routes (C15), and what they have in common with the calls route. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_login, resource_setup);

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
