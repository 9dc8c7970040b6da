/* What the kept PIN must not do to a token that counts tries: the mock module, which is exclusive here as many cards are. */
#include <criterion/criterion.h>

#include "tests/unit/worker/mock_application.h"

#define EXCLUSIVE "exclusive CKR_DEVICE_ERROR\n"

static void start_after(enum logout_after after)
{
	struct worker_options options = mock_options(true, after);

	token = (struct token_fixture){.generation = 1};
	mock_new(&mock);
	mock_control(&mock, EXCLUSIVE);
	options.mock = &mock;
	worker_fixture_start(&token, &options, &one);
	cr_assert_eq(one.started_rv, 0, "%s", one.started_detail);
	worker_fixture_start(&token, &options, &two);
	session = open_session(&first);
	log_in();
	key = make_key(&first, session, "release", "");
	if (after == LOGOUT_AFTER_PRIVATE_OP)
		log_in();
}

static void start(void)
{
	start_after(LOGOUT_AFTER_NEVER);
}

TestSuite(pin_tries, .timeout = 60);

Test(pin_tries, B4_two_applications_take_turns_on_a_token_that_takes_one_login, .init = start)
{
	json_int_t theirs = open_session(&second);

	expect(&second, "CKR_OK", LOGIN, theirs, "CKU_USER", RIGHT);
	json_int_t their_key = find_private(&second, theirs);
	for (int i = 0; i < 3; i++) {
		sign(&first, session, key);
		sign(&second, theirs, their_key);
	}
	/* An operation keeps the token; the other's use waits for nothing here and fails without losing its PIN. */
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&second, "CKR_DEVICE_ERROR", SIGN_INIT, theirs, their_key);
	expect(&first, "CKR_OK", SIGN, session);
	sign(&second, theirs, their_key);
}

Test(pin_tries, B3_without_the_cache_the_other_application_is_kept_out)
{
	start();
	worker_fixture_stop(&two);
	worker_fixture_start(&token, &(struct worker_options){.mock = &mock}, &two);
	json_int_t theirs = open_session(&second);
	expect(&second, "CKR_OK", LOGIN, theirs, "CKU_USER", RIGHT);
	expect(&first, "CKR_DEVICE_ERROR", SIGN_INIT, session, key);
	expect(&second, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", theirs);
	sign(&first, session, key);
}

Test(pin_tries, B6_the_token_is_free_for_others_while_the_application_is_logged_in)
{
	start_after(LOGOUT_AFTER_SIGN);
	json_int_t theirs = open_session(&second);
	expect(&second, "CKR_OK", LOGIN, theirs, "CKU_USER", RIGHT);
	json_int_t their_key = find_private(&second, theirs);
	sign(&second, theirs, their_key);
	sign(&first, session, key);
	expect_logged_out(&first, session);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
}

Test(pin_tries, B15_a_rejected_pin_is_erased_before_the_answer_and_costs_one_try, .init = start)
{
	unsigned before = mock_logins(&mock, CKU_USER);

	mock_change_pin(&mock, "8888");
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	expect_logged_out(&first, session);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	cr_expect_eq(mock_logins(&mock, CKU_USER), before + 1);
	cr_expect_eq(mock_logins_answered(&mock, CKU_USER, CKR_PIN_INCORRECT), 1);
	expect(&first, "CKR_OK", LOGIN, session, "CKU_USER", "ODg4OA");
	sign(&first, session, key);
}

Test(pin_tries, B15_a_signing_call_of_a_search_does_not_tell_of_the_pin_either, .init = start)
{
	mock_change_pin(&mock, "8888");
	expect(&first, "CKR_USER_NOT_LOGGED_IN", "{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[]}}", session);
	expect_logged_out(&first, session);
}

Test(pin_tries, B15_each_pin_that_is_given_is_sent_once, .init = start)
{
	json_int_t theirs = open_session(&second);
	unsigned before = mock_logins(&mock, CK_UNAVAILABLE_INFORMATION);

	token.last_tries = true;
	expect(&second, "CKR_PIN_INCORRECT", LOGIN, theirs, "CKU_USER", WRONG);
	cr_expect_eq(mock_logins(&mock, CK_UNAVAILABLE_INFORMATION), before + 1);
	expect(&second, "CKR_OK", LOGIN, theirs, "CKU_USER", RIGHT);
	cr_expect_eq(mock_logins(&mock, CK_UNAVAILABLE_INFORMATION), before + 2);
}

/* Two wrong PINs of the second application: one try is left. */
static void bring_to_the_last_try(void)
{
	json_int_t theirs = open_session(&second);

	expect(&second, "CKR_PIN_INCORRECT", LOGIN, theirs, "CKU_USER", WRONG);
	expect(&second, "CKR_PIN_INCORRECT", LOGIN, theirs, "CKU_USER", WRONG);
}

Test(pin_tries, B15_the_kept_pin_is_not_used_for_the_last_try, .init = start)
{
	bring_to_the_last_try();
	unsigned before = mock_logins(&mock, CKU_USER);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	expect_logged_out(&first, session);
	cr_expect_eq(mock_logins(&mock, CKU_USER), before);
}

Test(pin_tries, B15_the_kept_pin_is_not_sent_to_a_locked_token, .init = start)
{
	bring_to_the_last_try();
	token.last_tries = true;
	expect(&second, "CKR_PIN_LOCKED", LOGIN, open_session(&second), "CKU_USER", WRONG);
	unsigned before = mock_logins(&mock, CKU_USER);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	expect_logged_out(&first, session);
	cr_expect_eq(mock_logins(&mock, CKU_USER), before);
}

Test(pin_tries, B16_the_last_try_needs_leave_from_the_gateway, .init = start)
{
	bring_to_the_last_try();
	json_int_t theirs = open_session(&second);
	unsigned before = mock_logins(&mock, CKU_USER);
	expect(&second, "CKR_PIN_LOCKED", LOGIN, theirs, "CKU_USER", RIGHT);
	cr_expect_eq(mock_logins(&mock, CKU_USER), before);
	cr_expect_eq(token.released_rv, CKR_CANCEL);
	token.last_tries = true;
	expect(&second, "CKR_OK", LOGIN, theirs, "CKU_USER", RIGHT);
}

Test(pin_tries, B16_the_last_try_of_a_context_login_needs_leave_too)
{
	start();
	json_int_t careful = make_key(&first, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");
	expect(&first, "CKR_OK", SIGN_INIT, session, careful);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	unsigned before = mock_logins(&mock, CK_UNAVAILABLE_INFORMATION);
	expect(&first, "CKR_PIN_LOCKED", LOGIN, session, "CKU_CONTEXT_SPECIFIC", RIGHT);
	cr_expect_eq(mock_logins(&mock, CK_UNAVAILABLE_INFORMATION), before);
	token.last_tries = true;
	expect(&first, "CKR_OK", LOGIN, session, "CKU_CONTEXT_SPECIFIC", RIGHT);
	expect(&first, "CKR_OK", SIGN, session);
}

Test(pin_tries, B14_another_token_in_the_slot_erases_it, .init = start)
{
	mock_control(&mock, EXCLUSIVE "serial 0002\n");
	unsigned before = mock_logins(&mock, CKU_USER);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	cr_expect_eq(mock_logins(&mock, CKU_USER), before);
	mock_control(&mock, EXCLUSIVE);
	expect_logged_out(&first, session);
}

Test(pin_tries, B14_a_token_that_is_pulled_out_takes_it_along, .init = start)
{
	mock_control(&mock, EXCLUSIVE "removed 1\n");
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	mock_control(&mock, EXCLUSIVE);
	session = open_session(&first);
	expect_logged_out(&first, session);
}

Test(pin_tries, B14_a_pin_that_is_locked_in_this_application_is_erased)
{
	start();
	token.last_tries = true;
	json_int_t careful = make_key(&first, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");
	expect(&first, "CKR_OK", SIGN_INIT, session, careful);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect(&first, "CKR_PIN_LOCKED", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect_logged_out(&first, session);
}

Test(pin_tries, B15_an_error_of_the_token_is_no_rejection, .init = start)
{
	mock_control(&mock, EXCLUSIVE "fault C_Login 1 return CKR_DEVICE_MEMORY\n");
	expect(&first, "CKR_DEVICE_MEMORY", SIGN_INIT, session, key);
	sign(&first, session, key);
}

Test(pin_tries, X1_already_logged_in_is_never_taken_for_a_login_with_the_kept_pin, .init = start)
{
	mock_control(&mock, EXCLUSIVE "fault C_Login 1 return CKR_USER_ALREADY_LOGGED_IN\n");
	expect(&first, "CKR_FUNCTION_FAILED", SIGN_INIT, session, key);
	sign(&first, session, key);
}

Test(pin_tries, B16_the_gateway_is_told_which_token_got_the_pin)
{
	token = (struct token_fixture){.generation = 1};
	mock_new(&mock);
	const struct worker_options options = {.mock = &mock};
	worker_fixture_start(&token, &options, &one);
	cr_expect_arr_eq(token.released_serial, "0001            ", 16, "found at the start");
	session = open_session(&first);
	mock_control(&mock, "serial 0002\n");
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_USER", WRONG);
	cr_expect_arr_eq(token.released_serial, "0002            ", 16, "another card in the reader");
}

/* What the answer to a wrong PIN over REST says, or -1. */
static json_int_t attempts_left_after_a_wrong_pin(void)
{
	REST_AUTO struct rest rest = REST(&one, 401, .route = ROUTE_login, .body = "{\"pin\":\"9999\"}");
	const json_t *left = json_at(rest.json, "attempts_left");

	return left ? json_integer_value(left) : -1;
}

Test(pin_tries, A25_the_attempts_left_are_the_fewer_of_the_tokens_and_the_gateways)
{
	start();
	expect(&first, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	mock_control(&mock, "user_tries 5\n");
	token.last_tries = true;
	cr_expect_eq(attempts_left_after_a_wrong_pin(), -1, "neither says anything");
	token.tries = 2;
	cr_expect_eq(attempts_left_after_a_wrong_pin(), 1);
	token.tries = 9;
	cr_expect_eq(attempts_left_after_a_wrong_pin(), 8);
	cr_expect_eq(attempts_left_after_a_wrong_pin(), 1, "the token's last");
}

Test(pin_tries, A25_the_tokens_last_try_is_none_for_who_may_not_use_it)
{
	start();
	expect(&first, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	mock_control(&mock, "user_tries 2\n");
	cr_expect_eq(attempts_left_after_a_wrong_pin(), 0);
	REST_ONLY(&one, 423, .route = ROUTE_login, .body = PIN_BODY);
}
