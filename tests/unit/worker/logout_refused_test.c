/* A module that does not log out, on the mock: whatever ends a login, nobody uses keys under it afterwards. */
#include <criterion/criterion.h>
#include <sys/wait.h>

#include "tests/unit/worker/mock_application.h"

#define REFUSED "fault C_Logout * return CKR_DEVICE_ERROR\n"
/* Logged in, with a key that `more` says more of, and a session of another client; then the module does not log out any more. */
static void start_with(const struct worker_options *options, const char *more)
{
	start_on_mock(options);
	other = open_session(&guest);
	key = make_key(&first, session, "release", more);
	mock_control(&mock, REFUSED);
}

static void start(void)
{
	start_with(&(struct worker_options){0}, "");
}

TestSuite(logout_refused, .init = start, .timeout = 60);

/* Nobody is logged in, neither as applications see it nor in the module, and the sessions that there were work. */
static void expect_out(const struct client *client, json_int_t in)
{
	expect_state(client, LOGIN_NONE, LOGIN_NONE);
	expect(client, "CKR_USER_NOT_LOGGED_IN", MAKE_PRIVATE, in, "false");
	expect(client, "CKR_OK", "{\"GenerateRandom\":{\"session\":%lld,\"random\":8}}", in);
	expect(client, "CKR_PIN_INCORRECT", LOGIN, in, "CKU_USER", WRONG);
	expect(client, "CKR_OK", LOGIN, in, "CKU_USER", RIGHT);
}

Test(logout_refused, X4_by_the_module_a_logout_takes_place_all_the_same)
{
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&guest, "CKR_OK", LOGOUT, other);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
	expect(&first, "CKR_KEY_HANDLE_INVALID", SIGN_INIT, session, key);
	expect_out(&guest, other);
}

Test(logout_refused, X4_with_a_word_about_the_session_ends_the_login_as_well)
{
	mock_control(&mock, "fault C_Logout * return CKR_SESSION_HANDLE_INVALID\n");
	expect(&first, "CKR_OK", LOGOUT, session);
	expect_out(&guest, other);
}

Test(logout_refused, X4_with_a_word_about_a_token_that_is_there_ends_the_login_as_well)
{
	mock_control(&mock, "fault C_Logout * return CKR_DEVICE_REMOVED\n");
	expect(&first, "CKR_OK", LOGOUT, session);
	expect_out(&guest, other);
}

Test(logout_refused, X4_for_want_of_a_session_to_log_out_with_ends_the_login_as_well)
{
	mock_control(&mock, "fault C_OpenSession 1 return CKR_SESSION_COUNT\n" REFUSED);
	expect(&first, "CKR_OK", LOGOUT, session);
	expect_out(&guest, other);
}

Test(logout_refused, X4_by_a_module_that_does_not_end_either_ends_the_worker)
{
	char body[256];
	int status;

	mock_control(&mock, REFUSED "finalize CKR_DEVICE_ERROR\n");
	snprintf(body, sizeof body,
		"{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[" LOGOUT "]}]}", session);
	client_send(&first, ROUTE_calls, "", body);
	cr_assert_eq(waitpid(one.pid, &status, 0), one.pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1, "wait status %d", status);
}

Test(logout_refused, B5_by_the_module_a_forced_logout_takes_place_all_the_same, .init = NULL)
{
	const struct worker_options sign = mock_options(false, LOGOUT_AFTER_SIGN);

	start_with(&sign, "");
	expect(&first, "CKR_OK", SIGN_INIT "," SIGN, session, key, session);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	expect_out(&guest, other);
	/* The handle has stayed (B10). */
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
}

static void expect_out_after_a_signature(bool cache, enum logout_after after)
{
	const struct worker_options options = mock_options(cache, after);

	start_with(&options, "");
	if (after == LOGOUT_AFTER_PRIVATE_OP)
		expect(&first, "CKR_OK", LOGIN, session, "CKU_USER", RIGHT);
	expect(&first, "CKR_OK", SIGN_INIT "," SIGN, session, key, session);
	expect_out(&guest, other);
}

Test(logout_refused, B6_a_kept_pin_changes_nothing_of_it, .init = NULL)
{
	expect_out_after_a_signature(true, LOGOUT_AFTER_SIGN);
}

/* The making of the key was a private use as well. */
Test(logout_refused, B7_nor_does_the_strictest_rule, .init = NULL)
{
	expect_out_after_a_signature(false, LOGOUT_AFTER_PRIVATE_OP);
}

Test(logout_refused, B8_nor_do_both, .init = NULL)
{
	expect_out_after_a_signature(true, LOGOUT_AFTER_PRIVATE_OP);
}

static void lock_by_context_logins(const char *control)
{
	start_with(&(struct worker_options){0}, CAREFUL);
	mock_control(&mock, "%s", control);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect(&first, "CKR_PIN_LOCKED", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", MAKE_PRIVATE, session, "false");
	expect(&guest, "CKR_USER_NOT_LOGGED_IN", MAKE_PRIVATE, other, "false");
	expect(&guest, "CKR_PIN_LOCKED", LOGIN, other, "CKU_USER", RIGHT);
}

Test(logout_refused, A16_by_a_token_that_locks_its_pin_the_login_ends_all_the_same, .init = NULL)
{
	lock_by_context_logins(REFUSED);
}

Test(logout_refused, A17_by_a_token_that_locks_its_pin_and_keeps_its_user_the_login_ends_all_the_same, .init = NULL)
{
	lock_by_context_logins("lock_keeps_login 1\n" REFUSED);
}

Test(logout_refused, A16_a_pin_that_locks_when_it_is_changed_ends_the_login_all_the_same)
{
	static const char set[] = "{\"SetPIN\":{\"session\":%lld,\"old_pin\":\"" WRONG "\",\"new_pin\":\"" RIGHT "\"}}";

	mock_control(&mock, "lock_keeps_login 1\n" REFUSED);
	expect(&first, "CKR_PIN_INCORRECT", set, session);
	expect(&first, "CKR_PIN_INCORRECT", set, session);
	expect(&first, "CKR_PIN_LOCKED", set, session);
	expect(&guest, "CKR_USER_NOT_LOGGED_IN", MAKE_PRIVATE, other, "false");
}

Test(logout_refused, X1_a_module_that_was_logged_in_before_and_stays_so_is_not_used)
{
	expect(&first, "CKR_OK", LOGOUT, session);
	mock_control(&mock, "fault C_Login 1 after CKR_USER_ALREADY_LOGGED_IN\n" REFUSED);
	expect(&first, "CKR_FUNCTION_FAILED", LOGIN, session, "CKU_USER", RIGHT);
	expect_out(&guest, other);
}

/* --- what ends a kept PIN (B14), while an operation keeps the module logged in --- */

static void start_kept(void)
{
	const struct worker_options options = mock_options(true, LOGOUT_AFTER_NEVER);

	start_with(&options, "");
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
}

/* The end is the worker's own doing: the gateway hears of it. */
static void expect_end(struct worker_state state, enum login_end cause)
{
	cr_expect_eq(state.ended_login, LOGIN_USER);
	cr_expect_eq(state.ended_cause, cause);
	cr_expect_eq(state.native, LOGIN_NONE);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
	expect_out(&guest, other);
}

static void expect_told(enum login_end cause)
{
	expect_end(worker_fixture_state(&one), cause);
}

Test(logout_refused, B14_a_logout_of_any_session_ends_it, .init = start_kept)
{
	expect(&guest, "CKR_OK", LOGOUT, other);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
	expect_out(&guest, other);
}

Test(logout_refused, B14_the_close_of_the_last_session_ends_it, .init = start_kept)
{
	/* Without its objects, whose own session would have been the last one of the module. */
	expect(&guest, "CKR_OK", "{\"CloseAllSessions\":{}}");
	expect(&first, "CKR_OK", "{\"CloseAllSessions\":{}}");
	expect_out(&first, open_session(&first));
}

Test(logout_refused, B14_a_policy_without_kept_pins_ends_it, .init = start_kept)
{
	const struct login_policy without = {.internal_wait_ms = 1000};

	expect_end(worker_fixture_policy(&one, &without), LOGIN_END_POLICY);
}

Test(logout_refused, B14_a_pin_that_somebody_has_changed_ends_it, .init = start_kept)
{
	worker_fixture_void_login(&one, LOGIN_END_PIN_CHANGED);
	expect_told(LOGIN_END_PIN_CHANGED);
}

Test(logout_refused, B14_a_certificate_that_is_revoked_ends_it, .init = start_kept)
{
	worker_fixture_void_login(&one, LOGIN_END_REVOKED);
	expect_told(LOGIN_END_REVOKED);
}

Test(logout_refused, B14_a_kept_pin_that_grows_too_old_ends_it, .init = NULL)
{
	struct worker_options options = mock_options(true, LOGOUT_AFTER_NEVER);

	start_with(&options, "");
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	options.login.pin_cache_ttl_ms = 1;
	(void)worker_fixture_policy(&one, &options.login);
	expect_told(LOGIN_END_EXPIRED);
}

Test(logout_refused, B14_the_lease_of_the_last_client_ends_it, .init = start_kept)
{
	expect(&guest, "CKR_OK", "{\"CloseAllSessions\":{}}");
	worker_fixture_end_instance(&one, first.instance, false);
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.ended_login, LOGIN_USER);
	cr_expect_eq(state.native, LOGIN_NONE);
	expect_out(&first, open_session(&first));
}
