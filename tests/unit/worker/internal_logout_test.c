/* The logins and logouts that the kept PIN makes (B10, B11). */
#include <criterion/criterion.h>
#include <pthread.h>

#include "tests/unit/worker/two_applications.h"

TestSuite(internal_logout, .timeout = 60);

Test(internal_logout, B10_a_forced_logout_leaves_the_handles_of_token_objects)
{
	start(true, LOGOUT_AFTER_SIGN);
	key = find_private(&first, session);
	sign(&first, session, key);
	expect(&first, "CKR_USER_NOT_LOGGED_IN",
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}",
		session, key);
	log_in();
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
}

Test(internal_logout, B10_a_forced_logout_destroys_private_session_objects)
{
	start(true, LOGOUT_AFTER_SIGN);
	key = find_private(&first, session);
	json_int_t object = number(&first, "key", MAKE_PRIVATE, session, "false");
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	sign(&first, session, key);
	expect_logged_out(&first, session);
	log_in();
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", "{\"GetObjectSize\":{\"session\":%lld,\"object\":%lld}}", session,
		object);
}

Test(internal_logout, B10_the_internal_logout_waits_for_private_session_objects)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t object = number(&first, "key", MAKE_PRIVATE, session, "false");
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", "{\"DestroyObject\":{\"session\":%lld,\"object\":%lld}}", session, object);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	json_int_t maker = open_session(&first);
	number(&first, "key", MAKE_PRIVATE, maker, "false");
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", maker);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(internal_logout, B10_the_internal_logout_waits_for_operations_and_searches)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", SIGN_LENGTH, session);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", SIGN, session);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	expect(&first, "CKR_OK", SEARCH, session, "CKO_PRIVATE_KEY", session);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", SEARCH_END, session);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(internal_logout, B10_an_operation_that_ends_with_its_session_keeps_nobody_logged_in)
{
	start(true, LOGOUT_AFTER_NEVER);
	open_session(&first);
	json_int_t theirs = open_session(&other_instance);
	key = find_private(&other_instance, theirs);
	expect(&other_instance, "CKR_OK", SIGN_INIT, theirs, key);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	worker_fixture_end_instance(&one, other_instance.instance, false);
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_USER);
	cr_expect_eq(state.native, LOGIN_NONE);
}

Test(internal_logout, B11_concurrent_uses_share_one_login_and_the_last_one_logs_out)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t another = open_session(&first);
	key = find_private(&first, session);
	unsigned logins = token.asked[TOKEN_FOR_PRIVATE_USE], logouts = token.asked[TOKEN_FOR_LOGOUT];
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_OK", SIGN_INIT, another, key);
	cr_expect_eq(token.asked[TOKEN_FOR_PRIVATE_USE], logins + 1);
	expect(&first, "CKR_OK", SIGN, session);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	cr_expect_eq(token.asked[TOKEN_FOR_LOGOUT], logouts);
	expect(&first, "CKR_OK", SIGN, another);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	cr_expect_eq(token.asked[TOKEN_FOR_LOGOUT], logouts + 1);
}

/* --- many at once --- */

enum { SIGNERS = 4, ROUNDS = 40 };

static void *sign_often(void *argument)
{
	const struct client *client = argument;
	json_int_t own = open_session(client);

	for (int i = 0; i < ROUNDS; i++) {
		if (i % 4 == 3)
			sign(client, own, find_private(client, own));
		else
			sign(client, own, key);
	}
	return NULL;
}

static void many_sign(bool fresh)
{
	static struct client clients[SIGNERS];
	pthread_t threads[SIGNERS];

	start_with(
		&(struct worker_options){.login = rules(true, LOGOUT_AFTER_NEVER), .threads = SIGNERS, .fresh = fresh});
	log_in();
	key = find_private(&first, session);
	for (unsigned i = 0; i < SIGNERS; i++) {
		clients[i] = (struct client){.worker = &one, .pair = i, .instance = {(unsigned char)i}};
		cr_assert_eq(pthread_create(&threads[i], NULL, sign_often, &clients[i]), 0);
	}
	for (unsigned i = 0; i < SIGNERS; i++)
		pthread_join(threads[i], NULL);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	sign(&first, session, key);
}

Test(internal_logout, B11_many_threads_sign_with_the_kept_pin)
{
	many_sign(false);
}

Test(internal_logout, B11_many_threads_sign_while_the_module_starts_anew_for_every_login)
{
	many_sign(true);
}
