/* The kept PIN: who can use it, and what erases it (B12–B14). */
#include <criterion/criterion.h>

#include "tests/unit/worker/two_applications.h"

TestSuite(pin_cache, .timeout = 60);

/* --- the kept PIN --- */

Test(pin_cache, B12_all_sessions_of_the_application_use_it_and_no_other_application)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t theirs = open_session(&other_instance);
	expect_session(&other_instance, theirs, "CKS_RW_USER_FUNCTIONS");
	sign(&other_instance, theirs, find_private(&other_instance, theirs));
	json_int_t foreign = open_session(&second);
	expect_logged_out(&second, foreign);
}

Test(pin_cache, B12_the_pin_of_the_security_officer_is_not_kept)
{
	start_with(&(struct worker_options){.login = rules(true, LOGOUT_AFTER_NEVER)});
	expect(&first, "CKR_OK", LOGIN, session, "CKU_SO", "MTIzNDU2Nzg");
	expect_state(&first, LOGIN_SO, LOGIN_SO);
	expect_session(&first, session, "CKS_RW_SO_FUNCTIONS");
}

Test(pin_cache, B13_a_failed_login_keeps_nothing)
{
	start_with(&(struct worker_options){.login = rules(true, LOGOUT_AFTER_NEVER)});
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_USER", WRONG);
	unsigned asked = token.asked[TOKEN_FOR_PRIVATE_USE];
	expect_logged_out(&first, session);
	cr_expect_eq(token.asked[TOKEN_FOR_PRIVATE_USE], asked, "there is no PIN to log in with");
}

Test(pin_cache, B13_a_login_while_logged_in_changes_nothing_and_sends_no_pin)
{
	start(true, LOGOUT_AFTER_NEVER);
	unsigned asked = token.asked[TOKEN_FOR_LOGIN];
	expect(&first, "CKR_USER_ALREADY_LOGGED_IN", LOGIN, session, "CKU_USER", WRONG);
	expect(&first, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", LOGIN, session, "CKU_SO", WRONG);
	cr_expect_eq(token.asked[TOKEN_FOR_LOGIN], asked);
	sign(&first, session, find_private(&first, session));
}

/* --- what erases it: each cause ends in CKR_USER_NOT_LOGGED_IN --- */

Test(pin_cache, B14_a_logout_from_any_session_erases_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t theirs = open_session(&other_instance);
	key = find_private(&first, session);
	expect(&other_instance, "CKR_OK", LOGOUT, theirs);
	expect_logged_out(&first, session);
	log_in();
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", "{\"GetObjectSize\":{\"session\":%lld,\"object\":%lld}}", session,
		key);
}

Test(pin_cache, B14_the_close_of_the_last_session_erases_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t another = open_session(&first);
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", another);
	expect_logged_out(&first, open_session(&first));
}

Test(pin_cache, B14_closing_all_sessions_erases_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	open_session(&first);
	expect(&first, "CKR_OK", "{\"CloseAllSessions\":{}}");
	expect_logged_out(&first, open_session(&first));
}

Test(pin_cache, B14_the_end_of_the_last_clients_lease_erases_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	worker_fixture_end_instance(&one, first.instance, false);
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_NONE);
	expect_logged_out(&first, open_session(&first));
}

Test(pin_cache, C8_an_application_that_is_held_open_keeps_it_without_a_session)
{
	start(true, LOGOUT_AFTER_NEVER);
	first.held = true;
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	other_instance.held = true;
	json_int_t theirs = open_session(&other_instance);
	expect_session(&other_instance, theirs, "CKS_RW_USER_FUNCTIONS");
	sign(&other_instance, theirs, find_private(&other_instance, theirs));
	other_instance.held = false;
	expect(&other_instance, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", theirs);
	expect_logged_out(&other_instance, open_session(&other_instance));
}

Test(pin_cache, C7_the_end_of_a_lease_and_of_the_hold_leave_nobody_logged_in)
{
	start(false, LOGOUT_AFTER_NEVER);
	worker_fixture_end_instance(&one, first.instance, true);
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_USER);
	cr_expect_eq(state.sessions, 0);
	worker_fixture_end_instance(&one, first.instance, false);
	state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_NONE);
}

Test(pin_cache, B14_a_change_of_the_pin_by_the_application_itself_erases_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	expect(&first, "CKR_OK", "{\"SetPIN\":{\"session\":%lld,\"old_pin\":\"" RIGHT "\",\"new_pin\":\"" WRONG "\"}}",
		session);
	expect_logged_out(&first, session);
	expect(&first, "CKR_OK", LOGIN, session, "CKU_USER", WRONG);
}

Test(pin_cache, B14_a_change_of_the_pin_by_another_application_erases_it_and_costs_no_try)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	json_int_t theirs = open_logged_in(&second);
	expect(&second, "CKR_OK", "{\"SetPIN\":{\"session\":%lld,\"old_pin\":\"" RIGHT "\",\"new_pin\":\"" WRONG "\"}}",
		theirs);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	cr_expect_eq(token.released_rv, CKR_CANCEL, "the token is not asked");
	expect_logged_out(&first, session);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_USER", RIGHT);
	expect(&first, "CKR_OK", LOGIN, session, "CKU_USER", WRONG);
	sign(&first, session, key);
}

Test(pin_cache, B14_a_new_user_pin_set_by_the_security_officer_erases_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t theirs = open_session(&second);
	expect(&second, "CKR_OK", LOGIN, theirs, "CKU_SO", "MTIzNDU2Nzg");
	expect(&second, "CKR_OK", "{\"InitPIN\":{\"session\":%lld,\"pin\":\"" WRONG "\"}}", theirs);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", MAKE_PRIVATE, session, "false");
	expect_logged_out(&first, session);
}

Test(pin_cache, B14_its_age_erases_it)
{
	struct login_policy short_lived = rules(true, LOGOUT_AFTER_NEVER);

	short_lived.pin_cache_ttl_ms = 100;
	start_with(&(struct worker_options){.login = short_lived});
	log_in();
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_NONE);
	expect_logged_out(&first, session);
}

Test(pin_cache, B14_idleness_erases_it)
{
	struct login_policy short_lived = rules(true, LOGOUT_AFTER_NEVER);

	short_lived.pin_cache_idle_ms = 100;
	start_with(&(struct worker_options){.login = short_lived});
	log_in();
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_NONE);
	expect_logged_out(&first, session);
}

Test(pin_cache, B14_a_policy_without_the_cache_erases_it)
{
	const struct login_policy without = rules(false, LOGOUT_AFTER_NEVER);

	start(true, LOGOUT_AFTER_NEVER);
	struct worker_state state = worker_fixture_policy(&one, &without);
	cr_expect_eq(state.login, LOGIN_NONE);
	expect_logged_out(&first, session);
}

Test(pin_cache, B1_a_client_that_wants_no_cache_erases_it_and_holds_the_login_itself)
{
	start(true, LOGOUT_AFTER_NEVER);
	first.login = "{\"cache_pin\":0}";
	json_int_t strict = open_session(&first);
	first.login = NULL;
	expect_logged_out(&first, session);
	log_in();
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", strict);
	expect(&first, "CKR_OK", LOGOUT, session);
	log_in();
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(pin_cache, B1_a_client_can_ask_for_more_but_never_for_less)
{
	start(false, LOGOUT_AFTER_SIGN);
	first.login = "{\"cache_pin\":1,\"logout_after\":\"never\"}";
	open_session(&first);
	key = find_private(&first, session);
	sign(&first, session, key);
	expect_logged_out(&first, session);
	first.login = "{\"logout_after\":\"private-op\"}";
	log_in();
	first.login = NULL;
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	key = find_private(&first, session);
	expect_logged_out(&first, session);
}

/* The parent's login is the child's in a held application, and so is what the parent has asked for. */
Test(pin_cache, B1_a_wish_holds_for_the_login_that_was_made_with_it_and_no_longer)
{
	start(true, LOGOUT_AFTER_NEVER);
	expect(&first, "CKR_OK", LOGOUT, session);
	first.held = other_instance.held = true;
	first.login = "{\"cache_pin\":0,\"logout_after\":\"sign\"}";
	log_in();
	first.login = NULL;
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	session = open_session(&other_instance);
	expect_state(&other_instance, LOGIN_USER, LOGIN_USER);
	key = find_private(&other_instance, session);
	sign(&other_instance, session, key);
	expect_logged_out(&other_instance, session);
	expect(&other_instance, "CKR_OK", LOGIN, session, "CKU_USER", RIGHT);
	expect_state(&other_instance, LOGIN_USER, LOGIN_NONE);
	sign(&other_instance, session, key);
	expect_state(&other_instance, LOGIN_USER, LOGIN_NONE);
}

Test(pin_cache, B1_a_login_that_failed_leaves_no_wish)
{
	start(true, LOGOUT_AFTER_NEVER);
	expect(&first, "CKR_OK", LOGOUT, session);
	first.login = "{\"cache_pin\":0}";
	json_int_t strict = open_session(&first);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, strict, "CKU_USER", WRONG);
	first.login = NULL;
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", strict);
	log_in();
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

/* --- what the gateway orders --- */

static void expect_voided(enum login_end cause)
{
	start(true, LOGOUT_AFTER_NEVER);
	worker_fixture_void_login(&one, cause);
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_NONE);
	expect_logged_out(&first, session);
}

Test(pin_cache, B14_a_lock_seen_by_another_application_erases_it)
{
	expect_voided(LOGIN_END_LOCKED);
}

Test(pin_cache, B14_the_gateway_tells_of_a_changed_pin_at_once)
{
	expect_voided(LOGIN_END_PIN_CHANGED);
}

Test(pin_cache, B14_an_identity_that_is_removed_or_revoked_erases_it)
{
	expect_voided(LOGIN_END_REVOKED);
}

Test(pin_cache, B16_a_login_without_a_kept_pin_does_not_mind_what_happens_to_the_tokens_pin)
{
	start(false, LOGOUT_AFTER_NEVER);
	worker_fixture_void_login(&one, LOGIN_END_LOCKED);
	sign(&first, session, find_private(&first, session));
	worker_fixture_void_login(&one, LOGIN_END_REVOKED);
	cr_expect_eq(worker_fixture_state(&one).login, LOGIN_NONE);
}
