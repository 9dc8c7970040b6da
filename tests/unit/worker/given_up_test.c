/* Operations in parts, and those that are never completed, where each private use logs out (B7), on the mock. */
#include <criterion/criterion.h>

#include "tests/unit/worker/mock_application.h"

static json_int_t busy, secret;

/* Logged in, with a private key and two sessions. */
static void start(void)
{
	const struct worker_options options = mock_options(false, LOGOUT_AFTER_PRIVATE_OP);

	start_on_mock(&options);
	secret = number(&first, "key", MAKE_SECRET, session);
	busy = open_session(&first);
	/* Making the key was a private use. */
	log_in();
}

TestSuite(given_up, .init = start, .timeout = 60);

static void decrypt_part(void)
{
	expect(&first, "CKR_OK", DECRYPT_INIT "," DECRYPT_PART, busy, secret, busy);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
}

Test(given_up, B7_an_operation_that_goes_with_its_session_was_a_private_use)
{
	decrypt_part();
	expect(&first, "CKR_OK", CLOSE, busy);
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
}

Test(given_up, B7_a_part_that_fails_ends_a_private_use)
{
	mock_control(&mock, "fault C_DecryptUpdate 2 return CKR_ENCRYPTED_DATA_INVALID\n");
	decrypt_part();
	expect(&first, "CKR_ENCRYPTED_DATA_INVALID", DECRYPT_PART, busy);
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
}

Test(given_up, B7_a_search_that_goes_with_its_session_was_a_private_use)
{
	json_decref(client_call(&first, SEARCH, busy, "CKO_SECRET_KEY", busy));
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", CLOSE, busy);
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
}

Test(given_up, B7_all_sessions_of_a_client_count)
{
	(void)open_session(&guest);
	decrypt_part();
	expect(&first, "CKR_OK", "{\"CloseAllSessions\":{}}");
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
}

Test(given_up, B7_an_operation_of_an_earlier_login_takes_no_later_one_along)
{
	decrypt_part();
	expect(&first, "CKR_OK", LOGOUT "," USER_LOGIN "," CLOSE, session, session, busy);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
}

Test(given_up, B7_a_session_that_used_nothing_private_takes_no_login_along)
{
	json_decref(client_call(&first, SEARCH, busy, "CKO_CERTIFICATE", busy));
	expect(&first, "CKR_OK", CLOSE, busy);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
}

Test(given_up, B7_an_operation_that_goes_with_its_client_was_a_private_use)
{
	json_int_t theirs = open_session(&guest);

	expect(&guest, "CKR_OK", DECRYPT_INIT "," DECRYPT_PART, theirs, secret, theirs);
	worker_fixture_end_instance(&one, guest.instance, false);
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.ended_login, LOGIN_USER);
	cr_expect_eq(state.ended_cause, LOGIN_END_PRIVATE_OP);
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
}

Test(given_up, B7_an_operation_that_the_refusal_of_another_takes_along_was_a_private_use)
{
	json_int_t careful = make_key(&first, session, "careful", CAREFUL);

	log_in();
	decrypt_part();
	expect(&first, "CKR_OK", SIGN_INIT, busy, careful);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", "{\"SignUpdate\":{\"session\":%lld,\"part\":\"YQ\"}}", busy);
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
}

/* --- the login is for one operation in parts --- */

static void expect_decrypted(json_int_t in)
{
	expect(&first, "CKR_OK", DECRYPT_PART, in);
	expect(&first, "CKR_OK", DECRYPT_FINAL, in);
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
}

Test(given_up, B7_what_other_sessions_begin_beside_an_operation_in_parts_is_refused_at_once)
{
	mock_control(&mock, "fault C_DecryptFinal * return CKR_OK\n");
	decrypt_part();
	expect(&first, "CKR_USER_NOT_LOGGED_IN", DECRYPT_INIT, session, secret);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", GET_LABEL, session, secret);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", MAKE_PRIVATE, session, "true");
	cr_expect_eq(atomic_load(&one.waits), 0);
	expect_decrypted(busy);
}

Test(given_up, B7_of_operations_in_two_sessions_that_take_turns_the_first_goes_on)
{
	mock_control(&mock, "fault C_DecryptFinal * return CKR_OK\n");
	expect(&first, "CKR_OK", DECRYPT_INIT, session, secret);
	expect(&first, "CKR_OK", DECRYPT_INIT, busy, secret);
	expect(&first, "CKR_OK", DECRYPT_PART, busy);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", DECRYPT_PART, session);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", DECRYPT_INIT, session, secret);
	cr_expect_eq(atomic_load(&one.waits), 0);
	expect_decrypted(busy);
	log_in();
	expect(&first, "CKR_OK", DECRYPT_INIT "," DECRYPT_PART, session, secret, session);
	expect_decrypted(session);
}

Test(given_up, B7_a_resource_request_beside_an_operation_in_parts_is_refused)
{
	mock_control(&mock, "fault C_DecryptFinal * return CKR_OK\n");
	decrypt_part();
	REST_ONLY(&one, 401, .route = ROUTE_keys, .pair = 1);
	expect_decrypted(busy);
}

Test(given_up, B7_what_is_public_goes_on_beside_an_operation_in_parts)
{
	mock_control(&mock, "fault C_DecryptFinal * return CKR_OK\n");
	decrypt_part();
	expect(&first, "CKR_OK", SEARCH "," SEARCH_END, session, "CKO_CERTIFICATE", session, session);
	expect(&first, "CKR_OK", "{\"GenerateRandom\":{\"session\":%lld,\"random\":8}}", session);
	expect_decrypted(busy);
}
