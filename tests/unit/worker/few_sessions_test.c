/* A token with few sessions, on the mock: what the worker does for itself goes on when the clients have them all (X5). */
#include <criterion/criterion.h>

#include "tests/unit/worker/fixture.h"

#define DIGEST_INIT "{\"DigestInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_SHA256\"}}}"
#define DIGEST_DATA "{\"Digest\":{\"session\":%lld,\"data\":\"AAEC\",\"digest\":32}}"

enum { HOUR_MS = 3600000 };

static struct token_fixture token = {.generation = 1, .last_tries = true};
static struct mock mock;
static struct worker_fixture one;
static struct client first = {.worker = &one}, guest = {.worker = &one, .pair = 1, .instance = {9}};
static json_int_t session, other, key;

/* Logged in, with a key, and all sessions of the token in the hands of clients. */
static void start(bool cache, enum logout_after after)
{
	const struct worker_options options = {.mock = &mock,
		.login = {.cache_pin = cache,
			.pin_cache_ttl_ms = 8 * HOUR_MS,
			.pin_cache_idle_ms = HOUR_MS,
			.internal_wait_ms = 1000}};
	struct login_policy rules = options.login;
	static const unsigned char nobody[16] = {0xff};

	mock_new(&mock);
	worker_fixture_start(&token, &options, &one);
	cr_assert_eq(one.started_rv, 0, "%s", one.started_detail);
	session = open_logged_in(&first);
	key = make_key(&first, session, "release", "");
	mock_control(&mock, "sessions 2\n");
	other = open_session(&guest);
	expect(&first, "CKR_SESSION_COUNT", "{\"OpenSession\":{\"flags\":6}}");
	rules.logout_after = after;
	worker_fixture_policy(&one, &rules);
	/* Commands are carried out in their order; this one tells when the rules are in force. */
	worker_fixture_end_instance(&one, nobody, false);
	(void)worker_fixture_state(&one);
}

TestSuite(few_sessions, .timeout = 60);

static void expect_state(unsigned login, unsigned native)
{
	struct answer answer = client_post(&first, "{\"groups\":[]}");

	cr_expect_eq(answer.login, login, "the application is logged in as %u", answer.login);
	cr_expect_eq(answer.native, native, "the module is logged in as %u", answer.native);
	answer_free(&answer);
}

Test(few_sessions, B4_a_kept_pin_is_used_without_a_session_of_the_workers_own)
{
	start(true, LOGOUT_AFTER_NEVER);
	for (int i = 0; i < 3; i++) {
		expect(&first, "CKR_OK", SIGN_INIT "," SIGN, session, key, session);
		expect_state(LOGIN_USER, LOGIN_NONE);
	}
	expect(&first, "CKR_OK", LOGOUT, session);
	expect_state(LOGIN_NONE, LOGIN_NONE);
}

Test(few_sessions, B5_a_forced_logout_leaves_the_module_running)
{
	start(false, LOGOUT_AFTER_SIGN);
	expect(&guest, "CKR_OK", DIGEST_INIT, other);
	expect(&first, "CKR_OK", SIGN_INIT "," SIGN, session, key, session);
	expect_state(LOGIN_NONE, LOGIN_NONE);
	/* What needs no login goes on (B5). */
	expect(&guest, "CKR_OK", DIGEST_DATA, other);
}
