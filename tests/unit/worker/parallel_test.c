#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/route.h"
#include "tests/unit/worker/fixture.h"

#define GROUP "{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[%s]}]}"

enum { ROUNDS = 150 };

static struct token_fixture token;
static struct worker_fixture worker;

static void start(void)
{
	token_fixture_new(&token);
	worker_fixture_start(&token, &(struct worker_options){.threads = FIXTURE_PAIRS}, &worker);
	cr_assert_eq(worker.started_rv, 0, "%s", worker.started_detail);
}

TestSuite(parallel, .init = start, .timeout = 120);

Test(parallel, a_long_call_in_one_session_does_not_hold_up_another)
{
	struct client slow = {.worker = &worker, .pair = 0}, quick = {.worker = &worker, .pair = 1};
	struct pollfd answered = {.fd = worker.pairs[0], .events = POLLIN};
	json_int_t session = open_session(&slow), other = open_session(&quick);
	char body[1024], calls[800];

	snprintf(calls, sizeof calls,
		"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_RSA_PKCS_KEY_PAIR_GEN\"},"
		"\"public_attributes\":[{\"CKA_MODULUS_BITS\":4096},{\"CKA_PUBLIC_EXPONENT\":\"AQAB\"},{\"CKA_"
		"PRIVATE\":false}],"
		"\"private_attributes\":[{\"CKA_PRIVATE\":false}]}}",
		session);
	snprintf(body, sizeof body, GROUP, calls);
	client_send(&slow, ROUTE_calls, "", body);
	unsigned answers = 0;
	while (poll(&answered, 1, 0) == 0) {
		expect(&quick, "CKR_OK", "{\"GenerateRandom\":{\"session\":%lld,\"random\":8}}", other);
		answers++;
	}
	struct answer answer = client_await(&slow);
	cr_assert_gt(answers, 2);
	answer_free(&answer);
}

/* The rv of the last result, copied. */
static void last_rv(const struct client *client, char rv[64], json_t **ret_last, const char *calls)
{
	char body[2048];

	snprintf(body, sizeof body, GROUP, calls);
	struct answer answer = client_post(client, body);
	json_t *results = json_object_get(json_array_get(json_object_get(answer.body, "groups"), 0), "results");
	json_t *last = json_array_get(results, json_array_size(results) - 1);
	snprintf(rv, 64, "%s", json_string_value(json_object_get(last, "rv")));
	if (ret_last)
		*ret_last = json_incref(last);
	answer_free(&answer);
}

static json_int_t member(json_t *last, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(last, name));

	json_decref(last);
	return value;
}

/* Opens, searches, signs, logs in and out as it comes; only what PKCS#11 allows may come back. */
static void *wander(void *argument)
{
	static const char *const allowed[] = {"CKR_OK", "CKR_USER_ALREADY_LOGGED_IN", "CKR_USER_NOT_LOGGED_IN",
		"CKR_OPERATION_NOT_INITIALIZED", "CKR_OBJECT_HANDLE_INVALID", "CKR_OPERATION_ACTIVE",
		"CKR_KEY_HANDLE_INVALID"};
	struct client client = {.worker = &worker, .pair = (unsigned)(uintptr_t)argument};
	unsigned seed = 1 + client.pair;
	char calls[1024], rv[64];
	json_t *last;

	client.instance[0] = (unsigned char)client.pair;
	for (int i = 0; i < ROUNDS; i++) {
		last_rv(&client, rv, &last, "{\"OpenSession\":{\"flags\":6}}");
		if (strcmp(rv, "CKR_OK") != 0)
			return "a session could not be opened";
		json_int_t session = member(last, "session");
		if (rand_r(&seed) % 3 == 0) {
			snprintf(calls, sizeof calls, USER_LOGIN, session);
			last_rv(&client, rv, NULL, calls);
		}
		snprintf(calls, sizeof calls,
			"{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_PRIVATE_KEY\"}]}},"
			"{\"FindObjects\":{\"session\":%lld,\"objects\":4}},{\"FindObjectsFinal\":{\"session\":%lld}},"
			"{\"SignInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_ECDSA\"},\"key\":{\"from\":"
			"1}}}," SIGN,
			session, session, session, session, session);
		last_rv(&client, rv, NULL, calls);
		bool good = false;
		for (size_t j = 0; j < sizeof allowed / sizeof allowed[0]; j++)
			good = good || strcmp(rv, allowed[j]) == 0;
		if (!good) {
			fprintf(stderr, "%s\n", rv);
			return "an answer that PKCS#11 does not give here";
		}
		if (rand_r(&seed) % 4 == 0) {
			snprintf(calls, sizeof calls, "{\"Logout\":{\"session\":%lld}}", session);
			last_rv(&client, rv, NULL, calls);
		}
		last_rv(&client, rv, NULL, "{\"CloseAllSessions\":{}}");
	}
	return NULL;
}

static void wander_all(const struct worker_options *options)
{
	pthread_t threads[FIXTURE_PAIRS];
	struct client client = {.worker = &worker};
	void *failure;

	if (options)
		worker_fixture_start(&token, options, &worker);
	json_int_t session = open_logged_in(&client);
	make_key(&client, session, "release", "");
	expect(&client, "CKR_OK", "{\"CloseAllSessions\":{}}");
	for (uintptr_t i = 0; i < FIXTURE_PAIRS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, wander, (void *)i), 0);
	for (int i = 0; i < FIXTURE_PAIRS; i++) {
		pthread_join(threads[i], &failure);
		cr_assert_null(failure, "%s", (const char *)failure);
	}
	struct answer answer = client_post(&client, "{\"groups\":[]}");
	cr_assert_eq(answer.sessions, 0);
	cr_assert_eq(answer.login, LOGIN_NONE);
	answer_free(&answer);
}

Test(parallel, logins_logouts_and_signatures_of_many_threads_stay_in_order)
{
	wander_all(NULL);
}

Test(parallel, fresh_logins_among_many_threads_stay_in_order)
{
	wander_all(&(struct worker_options){.threads = FIXTURE_PAIRS, .fresh = true});
}

Test(parallel, X10_a_login_that_starts_the_module_anew_and_a_context_login_do_not_wait_for_each_other)
{
	struct client signer = {.worker = &worker, .pair = 0}, other = {.worker = &worker, .pair = 1};
	struct pollfd asked = {.fd = worker.pairs[1], .events = POLLIN};
	json_int_t session = open_logged_in(&signer), second = open_session(&other);
	json_int_t key = make_key(&signer, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");

	expect(&signer, "CKR_OK", SIGN_INIT, session, key);
	expect(&other, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", second);
	token.generation++;
	send_call(&other, USER_LOGIN, second);
	/* Its question for the token: the login is under way. */
	cr_assert_eq(poll(&asked, 1, -1), 1);
	send_call(&signer, CONTEXT_LOGIN, session);
	expect_answered(&other, "CKR_OK");
	expect_answered(&signer, "CKR_OPERATION_NOT_INITIALIZED");
}

Test(parallel, A23_whether_an_operation_awaits_the_pin_is_decided_once)
{
	struct client signer = {.worker = &worker, .pair = 0}, other = {.worker = &worker, .pair = 1},
		      beside = {.worker = &worker, .pair = 2};
	struct pollfd asked = {.fd = worker.pairs[1], .events = POLLIN};
	json_int_t session = open_logged_in(&signer), second = open_session(&other);
	json_int_t key = make_key(&signer, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");
	unsigned logins = token.asked[TOKEN_FOR_LOGIN];

	/* Somebody changes a PIN, so that the context-specific login has to wait for its turn. */
	send_call(&other, "{\"SetPIN\":{\"session\":%lld,\"old_pin\":\"OTk5OQ\",\"new_pin\":\"MTIzNA\"}}", second);
	cr_assert_eq(poll(&asked, 1, -1), 1);
	send_call(&signer, CONTEXT_LOGIN, session);
	worker_fixture_await_blocked(&worker);
	expect(&beside, "CKR_OK", SIGN_INIT, session, key);
	expect_answered(&other, "CKR_PIN_INCORRECT");
	expect_answered(&signer, "CKR_OK");
	cr_expect_eq(token.asked[TOKEN_FOR_LOGIN], logins + 1, "the PIN reached the token without the gateway's leave");
}

static void *sign_with_pin(void *argument)
{
	const json_int_t *key = argument;
	struct client client = {.worker = &worker, .pair = 1};
	json_int_t session = open_session(&client);

	for (int i = 0; i < ROUNDS; i++)
		expect(&client, "CKR_OK", SIGN_INIT "," CONTEXT_LOGIN "," SIGN, session, *key, session, session);
	return NULL;
}

Test(parallel, nobody_rides_the_reauthentication_of_another_session)
{
	struct client owner = {.worker = &worker};
	json_int_t session = open_logged_in(&owner);
	json_int_t key = make_key(&owner, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, sign_with_pin, &key), 0);
	for (int i = 0; i < ROUNDS; i++)
		expect(&owner, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT "," SIGN, session, key, session);
	pthread_join(thread, NULL);
}
