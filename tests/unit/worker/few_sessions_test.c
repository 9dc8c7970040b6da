/* A token with few sessions, on the mock: what the worker does for itself goes on when the clients have them all (X5). */
#include <criterion/criterion.h>

#include "tests/unit/worker/mock_application.h"

#define DIGEST_INIT "{\"DigestInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_SHA256\"}}}"
#define DIGEST_DATA "{\"Digest\":{\"session\":%lld,\"data\":\"AAEC\",\"digest\":32}}"

/* Logged in, with a key, and all sessions of the token in the hands of clients. */
static void start(bool cache, enum logout_after after)
{
	struct worker_options options = mock_options(cache, LOGOUT_AFTER_NEVER);
	static const unsigned char nobody[16] = {0xff};

	start_on_mock(&options);
	key = make_key(&first, session, "release", "");
	mock_control(&mock, "sessions 2\n");
	other = open_session(&guest);
	expect(&first, "CKR_SESSION_COUNT", "{\"OpenSession\":{\"flags\":6}}");
	options.login.logout_after = after;
	worker_fixture_policy(&one, &options.login);
	/* Commands are carried out in their order; this one tells when the rules are in force. */
	worker_fixture_end_instance(&one, nobody, false);
	(void)worker_fixture_state(&one);
}

TestSuite(few_sessions, .timeout = 60);

Test(few_sessions, B4_a_kept_pin_is_used_without_a_session_of_the_workers_own)
{
	start(true, LOGOUT_AFTER_NEVER);
	for (int i = 0; i < 3; i++) {
		expect(&first, "CKR_OK", SIGN_INIT "," SIGN, session, key, session);
		expect_state(&first, LOGIN_USER, LOGIN_NONE);
	}
	expect(&first, "CKR_OK", LOGOUT, session);
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
}

Test(few_sessions, B5_a_forced_logout_leaves_the_module_running)
{
	start(false, LOGOUT_AFTER_SIGN);
	expect(&guest, "CKR_OK", DIGEST_INIT, other);
	expect(&first, "CKR_OK", SIGN_INIT "," SIGN, session, key, session);
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
	/* What needs no login goes on (B5). */
	expect(&guest, "CKR_OK", DIGEST_DATA, other);
}
