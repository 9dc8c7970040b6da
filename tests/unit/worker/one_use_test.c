/* What may end the login by the rules has its turn (B5–B8), on the mock. */
#include <criterion/criterion.h>
#include <poll.h>

#include "tests/unit/worker/mock_application.h"

static struct worker_options options;

static void start(enum logout_after after)
{
	options = mock_options(false, after);
	options.threads = FIXTURE_PAIRS;
	options.login.internal_wait_ms = 10000;
	start_on_mock(&options);
	key = make_key(&first, session, "release", "");
}

TestSuite(one_use, .timeout = 60);

/* A signature that the module has begun and goes on with once the control file changes. */
static void sign_and_hang(void)
{
	mock_control(&mock, "fault C_Sign * hang\n");
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	send_call(&first, SIGN, session);
	mock_await_call(&mock, "C_Sign", 1);
}

Test(one_use, B5_turns_come_in_the_order_in_which_they_were_asked_for)
{
	struct client waiting[2] = {{.worker = &one, .pair = 1}, {.worker = &one, .pair = 2}};

	start(LOGOUT_AFTER_SIGN);
	json_int_t theirs[2] = {open_session(&waiting[0]), open_session(&waiting[1])};
	sign_and_hang();
	for (int i = 0; i < 2; i++) {
		struct pollfd told = {.fd = one.pairs[waiting[i].pair], .events = POLLIN};
		send_call(&waiting[i], SIGN, theirs[i]);
		/* That it waits. */
		cr_assert_eq(poll(&told, 1, FIXTURE_ANSWER_MS), 1);
	}
	mock_control(&mock, "fault C_Sign 1 return CKR_DEVICE_MEMORY\n");
	expect_answered(&first, "CKR_OK");
	expect_answered(&waiting[0], "CKR_DEVICE_MEMORY");
	expect_answered(&waiting[1], "CKR_OPERATION_NOT_INITIALIZED");
}

Test(one_use, B5_a_signature_ends_the_login_by_the_rule_that_it_began_under)
{
	start(LOGOUT_AFTER_SIGN);
	sign_and_hang();
	options.login.logout_after = LOGOUT_AFTER_NEVER;
	(void)worker_fixture_policy(&one, &options.login);
	mock_control(&mock, "# goes on\n");
	expect_answered(&first, "CKR_OK");
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
}

Test(one_use, B5_a_signature_that_had_no_turn_ends_no_login)
{
	start(LOGOUT_AFTER_NEVER);
	sign_and_hang();
	options.login.logout_after = LOGOUT_AFTER_SIGN;
	(void)worker_fixture_policy(&one, &options.login);
	mock_control(&mock, "# goes on\n");
	expect_answered(&first, "CKR_OK");
	expect_state(&first, LOGIN_USER, LOGIN_USER);
}

Test(one_use, B7_an_operation_that_the_rules_let_go_leaves_the_login_to_others)
{
	start(LOGOUT_AFTER_NEVER);
	json_int_t secret = number(&first, "key", MAKE_SECRET, session), busy = open_session(&first);
	options.login.logout_after = LOGOUT_AFTER_PRIVATE_OP;
	(void)worker_fixture_policy(&one, &options.login);
	expect(&first, "CKR_OK", DECRYPT_INIT "," DECRYPT_PART, busy, secret, busy);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", GET_LABEL, session, secret);
	options.login.logout_after = LOGOUT_AFTER_NEVER;
	(void)worker_fixture_policy(&one, &options.login);
	expect(&first, "CKR_OK", CLOSE, busy);
	options.login.logout_after = LOGOUT_AFTER_PRIVATE_OP;
	(void)worker_fixture_policy(&one, &options.login);
	expect(&first, "CKR_OK", GET_LABEL, session, secret);
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
}
