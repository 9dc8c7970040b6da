/* Keys that ask for their PIN by policy (B18–B21) where the application's PIN is kept: the login of the operation verifies. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "tests/unit/worker/forced_login.h"
#include "tests/unit/worker/mock_application.h"

static void start_cached(void)
{
	const struct worker_options options = forced_options(true, false);

	start_forced(&options, WITH_ID);
}

TestSuite(forced_login_cached, .init = start_cached, .timeout = 60);

Test(forced_login_cached, B18_a_key_of_a_non_repudiation_certificate_asks_for_its_pin)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect_a_pin_per_signature();
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(forced_login_cached, B20_the_login_of_the_operation_itself_verifies_the_pin)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	expect(&first, "CKR_PIN_INCORRECT", CONTEXT(WRONG), session);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	expect(&first, "CKR_OK", CONTEXT(RIGHT), session);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", SIGN, session);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	cr_expect_eq(one.verified, 0);
	/* Neither waits for others' exclusive logins less than any login, nor is it stopped by what stops new ones. */
	cr_expect_eq(token.asked[TOKEN_FOR_KEY_LOGIN], 2);
}

Test(forced_login_cached, B20_a_login_for_it_waits_for_other_private_uses_and_not_for_ever)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	json_int_t another = open_session(&first), plain = make_key(&first, session, "plain", "");
	expect(&first, "CKR_OK", SIGN_INIT, another, plain);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_DEVICE_ERROR", CONTEXT(RIGHT), session);
	cr_expect_eq(one.waits, 1, "the gateway does not know that the worker waits");
	cr_expect_eq(one.waits_over, 1);
	expect(&first, "CKR_OK", SIGN, another);
	expect(&first, "CKR_OK", CONTEXT(RIGHT), session);
	expect(&first, "CKR_OK", SIGN, session);
}

enum { ROUNDS = 10 };

struct signer {
	pthread_t thread;
	unsigned pair, rounds;
	pthread_barrier_t *together;
	unsigned status; /* the first that is not 200 */
};

static void *sign_over_rest(void *argument)
{
	struct signer *signer = argument;

	signer->status = 200;
	pthread_barrier_wait(signer->together);
	for (unsigned i = 0; i < signer->rounds && signer->status == 200; i++) {
		REST_AUTO struct rest rest = rest_ask(
			&one, (struct ask){.route = ROUTE_key_sign,
				      .key = "id:696431",
				      .pair = signer->pair,
				      .body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\",\"pin\":\"" FIXTURE_PIN "\"}"});
		signer->status = rest.status;
	}
	return NULL;
}

/* Several at once with the same key; the wait of each for the others' logins is long enough for all of them. */
static void expect_signatures_side_by_side(bool fresh)
{
	struct worker_options options = forced_options(true, fresh);
	struct signer signers[FIXTURE_PAIRS];
	pthread_barrier_t together;

	options.login.internal_wait_ms = 20000;
	options.threads = FIXTURE_PAIRS;
	start_forced(&options, WITH_ID);
	add_certificate(NULL, "nonRepudiation", "aWQx");
	pthread_barrier_init(&together, NULL, FIXTURE_PAIRS);
	for (unsigned i = 0; i < FIXTURE_PAIRS; i++) {
		signers[i] = (struct signer){.pair = i, .rounds = ROUNDS, .together = &together};
		cr_assert_eq(pthread_create(&signers[i].thread, NULL, sign_over_rest, &signers[i]), 0);
	}
	for (unsigned i = 0; i < FIXTURE_PAIRS; i++) {
		pthread_join(signers[i].thread, NULL);
		cr_expect_eq(signers[i].status, 200, "thread %u got %u", i, signers[i].status);
	}
	pthread_barrier_destroy(&together);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(forced_login_cached, B11_signatures_whose_logins_verify_their_pins_do_not_wait_for_each_other, .init = NULL)
{
	expect_signatures_side_by_side(false);
}

Test(forced_login_cached, B20_nor_where_the_module_starts_anew_for_every_login, .init = NULL)
{
	expect_signatures_side_by_side(true);
}

Test(forced_login_cached, B6_a_pin_that_waits_to_be_tried_does_not_hold_up_the_signature_it_waits_for, .init = NULL)
{
	struct worker_options options = forced_options(true, false);
	pthread_barrier_t together;
	struct signer signer = {.pair = 1, .rounds = 1, .together = &together};

	options.login.internal_wait_ms = 20000;
	options.login.logout_after = LOGOUT_AFTER_SIGN;
	start_forced(&options, WITH_ID);
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect(&first, "CKR_OK", SIGN_INIT, session, make_key(&first, session, "plain", ""));
	pthread_barrier_init(&together, NULL, 1);
	cr_assert_eq(pthread_create(&signer.thread, NULL, sign_over_rest, &signer), 0);
	while (atomic_load(&one.waits) == 0)
		sched_yield();
	expect(&first, "CKR_OK", SIGN, session);
	pthread_join(signer.thread, NULL);
	cr_expect_eq(signer.status, 401, "the signature has ended the login; it got %u", signer.status);
	pthread_barrier_destroy(&together);
}

Test(forced_login_cached, B18_searches_see_the_effective_value)
{
	expect_searches_by_the_effective_value();
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(forced_login_cached, B18_the_resource_routes_ask_as_well_and_say_why)
{
	expect_a_pin_per_signature_over_rest();
	cr_expect_eq(one.verified, 0);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(forced_login_cached, X4_an_operation_that_waits_for_its_pin_dies_with_its_login)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_OK", LOGOUT, session);
	expect(&first, "CKR_OK", LOGIN, session, "CKU_USER", RIGHT);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", CONTEXT(RIGHT), session);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
}

Test(forced_login_cached, B20_a_module_that_starts_anew_for_every_login_works_as_well, .init = NULL)
{
	const struct worker_options options = forced_options(true, true);

	start_forced(&options, WITH_ID);
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect_a_pin_per_signature();
}

/* On the mock: the login that is to verify the PIN finds the module logged in, once. */
static void expect_no_login_is_left(const char *answer)
{
	struct worker_options options = mock_options(true, LOGOUT_AFTER_NEVER);

	options.login.force_login = FORCE_LOGIN_NON_REPUDIATION;
	start_on_mock(&options);
	key = make_key(&first, session, "release", WITH_ID);
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	mock_control(&mock, "fault C_Login 1 after %s\n", answer);
	expect(&first, "CKR_FUNCTION_FAILED", CONTEXT(RIGHT), session);
	expect(&first, "CKR_OK", CONTEXT(RIGHT), session);
	expect(&first, "CKR_OK", SIGN, session);
}

Test(forced_login_cached, X1_a_module_that_is_logged_in_before_the_pin_is_tried_is_logged_out, .init = NULL)
{
	expect_no_login_is_left("CKR_USER_ALREADY_LOGGED_IN");
}

Test(forced_login_cached, X1_a_module_with_another_user_before_the_pin_is_tried_is_logged_out, .init = NULL)
{
	expect_no_login_is_left("CKR_USER_ANOTHER_ALREADY_LOGGED_IN");
}

/* How many of the keys that the search in the session gives can be used. */
static size_t usable_after_logout(const char *template)
{
	size_t usable = 0, i;
	json_t *handle;

	expect(&first, "CKR_OK", "{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[%s]}}", session, template);
	expect(&first, "CKR_OK", LOGOUT, session);
	json_t *found = client_call(&first, "{\"FindObjects\":{\"session\":%lld,\"objects\":10}}", session);
	cr_expect_str_eq(text_at(found, "rv"), "CKR_OK");
	cr_expect_eq(json_array_size(json_object_get(found, "objects")), 1);
	json_array_foreach(json_object_get(found, "objects"), i, handle)
	{
		json_t *size = client_call(&first, "{\"GetObjectSize\":{\"session\":%lld,\"object\":%lld}}", session,
			json_integer_value(handle));
		usable += strcmp(text_at(size, "rv"), "CKR_OBJECT_HANDLE_INVALID") != 0;
		json_decref(size);
	}
	json_decref(found);
	expect(&first, "CKR_OK", SEARCH_END, session);
	expect(&first, "CKR_OK", USER_LOGIN, session);
	return usable;
}

Test(forced_login_cached, X3_a_search_that_was_sifted_goes_on_after_a_logout_as_the_modules_own_does)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	cr_expect_eq(usable_after_logout("{\"CKA_CLASS\":\"CKO_PRIVATE_KEY\"}"), 0);
	cr_expect_eq(usable_after_logout("{\"CKA_ALWAYS_AUTHENTICATE\":true}"), 0);
}
