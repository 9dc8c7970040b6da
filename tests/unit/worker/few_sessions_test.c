/* A token with few sessions, on the mock: what the worker does for itself goes on when the clients have them all (X5). */
#include <criterion/criterion.h>
#include <pthread.h>

#include "tests/unit/worker/forced_login.h"
#include "tests/unit/worker/mock_application.h"

#define DIGEST_INIT "{\"DigestInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_SHA256\"}}}"
#define DIGEST_DATA "{\"Digest\":{\"session\":%lld,\"data\":\"AAEC\",\"digest\":32}}"

/* Logged in, with a key. */
static void start_with_key(struct worker_options options, bool rule, const char *more)
{
	options.login.force_login = rule ? FORCE_LOGIN_NON_REPUDIATION : 0;
	start_on_mock(&options);
	key = make_key(&first, session, "release", more);
}

/* All sessions of the token are in the hands of clients from now on. */
static void take_all(void)
{
	mock_control(&mock, "sessions 2\n");
	other = open_session(&guest);
	expect(&first, "CKR_SESSION_COUNT", "{\"OpenSession\":{\"flags\":6}}");
}

static void start(bool cache, enum logout_after after)
{
	struct worker_options options = mock_options(cache, LOGOUT_AFTER_NEVER);

	start_with_key(options, false, "");
	take_all();
	options.login.logout_after = after;
	(void)worker_fixture_policy(&one, &options.login);
}

/* Keys of non-repudiation certificates ask for their PIN; this one is of such a one if `usage` says so. */
static void start_with_rule(bool cache, const char *usage)
{
	start_with_key(mock_options(cache, LOGOUT_AFTER_NEVER), true, WITH_ID);
	add_certificate(NULL, usage, "aWQx");
	take_all();
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

Test(few_sessions, B18_an_ordinary_key_asks_for_no_pin)
{
	start_with_rule(false, "digitalSignature");
	expect_no_pin_per_signature();
}

Test(few_sessions, B18_an_ordinary_key_asks_for_no_pin_while_a_pin_is_kept)
{
	start_with_rule(true, "digitalSignature");
	expect_no_pin_per_signature();
}

Test(few_sessions, B18_an_ordinary_key_asks_for_no_pin_while_its_client_searches)
{
	start_with_rule(false, "digitalSignature");
	expect(&first, "CKR_OK", "{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[]}}", session);
	expect_no_pin_per_signature();
	expect(&first, "CKR_OK", SEARCH_END, session);
}

Test(few_sessions, B20_a_key_of_a_non_repudiation_certificate_asks_for_its_pin)
{
	start_with_rule(false, "nonRepudiation");
	expect_a_pin_per_signature();
}

Test(few_sessions, B20_an_operation_that_waits_for_its_pin_begins_with_its_login)
{
	start_with_rule(true, "nonRepudiation");
	expect_a_pin_per_signature();
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(few_sessions, B20_what_the_module_says_against_an_operation_that_waits_is_the_answer_to_its_login)
{
	start_with_key(mock_options(true, LOGOUT_AFTER_NEVER), true, WITH_ID ",{\"CKA_SIGN\":false}");
	add_certificate(NULL, "nonRepudiation", "aWQx");
	take_all();
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_KEY_FUNCTION_NOT_PERMITTED", CONTEXT(RIGHT), session);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN, session);
}

Test(few_sessions, X4_an_operation_that_a_logout_has_ended_gives_no_signature_and_its_session_goes_on)
{
	start(false, LOGOUT_AFTER_NEVER);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_OK", LOGOUT, session);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
	expect(&first, "CKR_OK", USER_LOGIN, session);
	expect(&first, "CKR_OK", DIGEST_INIT "," DIGEST_DATA, session, session);
}

static void expect_resource_routes(bool cache)
{
	start_with_rule(cache, "digitalSignature");
	REST_ONLY(&one, 200, .route = ROUTE_keys);
	REST_ONLY(&one, 200, .route = ROUTE_key_sign, .key = "id:696431", .body = text_of(REST_SIGN, ""));
	/* Clients have their sessions as before. */
	expect(&guest, "CKR_OK", DIGEST_INIT "," DIGEST_DATA, other, other);
	expect(&first, "CKR_OK", SIGN_INIT "," SIGN, session, key, session);
}

Test(few_sessions, X5_the_resource_routes_use_a_session_of_a_client)
{
	expect_resource_routes(false);
}

Test(few_sessions, X5_the_resource_routes_use_a_session_of_a_client_while_a_pin_is_kept)
{
	expect_resource_routes(true);
}

Test(few_sessions, X5_the_resource_routes_use_no_session_in_which_a_client_has_begun_something)
{
	start_with_rule(false, "digitalSignature");
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	REST_ONLY(&one, 200, .route = ROUTE_key_sign, .key = "id:696431", .body = text_of(REST_SIGN, ""));
	expect(&guest, "CKR_OK", DIGEST_INIT, other);
	REST_ONLY(&one, 503, .route = ROUTE_key_sign, .key = "id:696431", .body = text_of(REST_SIGN, ""));
	expect(&first, "CKR_OK", SIGN, session);
	expect(&guest, "CKR_OK", DIGEST_DATA, other);
}

Test(few_sessions, B20_the_resource_routes_ask_for_the_pin)
{
	start_with_rule(false, "nonRepudiation");
	expect_a_pin_per_signature_over_rest();
}

Test(few_sessions, B20_the_resource_routes_ask_for_the_pin_while_one_is_kept)
{
	start_with_rule(true, "nonRepudiation");
	expect_a_pin_per_signature_over_rest();
}

static void *sign_once(void *unused)
{
	(void)unused;
	expect(&first, "CKR_OK", SIGN_INIT "," SIGN, session, key, session);
	return NULL;
}

Test(few_sessions, X5_the_anchor_is_given_up_once_nobody_logs_in_through_it)
{
	pthread_t signer;

	start_with_key(mock_options(true, LOGOUT_AFTER_NEVER), false, "");
	mock_control(&mock, "sessions 2\nfault C_Login 1 slow 500\n");
	cr_assert_eq(pthread_create(&signer, NULL, sign_once, NULL), 0);
	mock_await_call(&mock, "C_Login", 1);
	other = open_session(&guest);
	pthread_join(signer, NULL);
	expect(&guest, "CKR_OK", DIGEST_INIT "," DIGEST_DATA, other, other);
}
