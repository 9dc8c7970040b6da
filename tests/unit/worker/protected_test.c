/* A token that asks for its PIN itself (CKF_PROTECTED_AUTHENTICATION_PATH): the mock module, and a person who takes their time. */
#include <criterion/criterion.h>
#include <pthread.h>

#include "tests/unit/worker/fixture.h"

#define NO_PIN "{\"Login\":{\"session\":%lld,\"user_type\":\"%s\",\"pin\":null}}"
#define PROTECTED "protected_path 1\n"

static struct token_fixture token = {.generation = 1};
static struct mock mock;
static struct worker_fixture worker;
static struct client first = {.worker = &worker}, second = {.worker = &worker, .pair = 1};
static json_int_t session, key;

/* Logged in at the token's own keys, with an operation that awaits its PIN. */
static void start(void)
{
	mock_new(&mock);
	mock_control(&mock, PROTECTED "person approve\n");
	worker_fixture_start(&token, &(struct worker_options){.mock = &mock}, &worker);
	session = open_session(&first);
	expect(&first, "CKR_OK", NO_PIN, session, "CKU_USER");
	key = make_key(&first, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");
	mock_control(&mock, PROTECTED "person wait\n");
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
}

TestSuite(protected, .init = start, .timeout = 60);

static json_t *decision;

static void *wait_for_decision(void *argument)
{
	(void)argument;
	decision = client_call(&first, NO_PIN, session, "CKU_CONTEXT_SPECIFIC");
	return NULL;
}

/* Asks for the operation's PIN, and returns once the token asks the person. */
static pthread_t ask(void)
{
	pthread_t asking;

	cr_assert_eq(pthread_create(&asking, NULL, wait_for_decision, NULL), 0);
	mock_await_call(&mock, "C_Login", 1);
	return asking;
}

static void expect_decision(pthread_t asking, const char *rv)
{
	pthread_join(asking, NULL);
	cr_assert_str_eq(json_string_value(json_object_get(decision, "rv")), rv);
	json_decref(decision);
}

Test(protected, A22_an_approval_lets_the_operation_go_on)
{
	pthread_t asking = ask();

	/* Others do not wait for the person. */
	json_int_t other = open_session(&second);
	expect(&second, "CKR_OK", "{\"GenerateRandom\":{\"session\":%lld,\"random\":8}}", other);
	mock_control(&mock, PROTECTED "person approve\n");
	expect_decision(asking, "CKR_OK");
	expect(&first, "CKR_OK", SIGN, session);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN, session);
}

Test(protected, A22_a_denial_is_a_wrong_pin_and_the_operation_can_be_asked_for_again)
{
	pthread_t asking = ask();

	mock_control(&mock, PROTECTED "person deny\n");
	expect_decision(asking, "CKR_PIN_INCORRECT");
	mock_control(&mock, PROTECTED "person approve\n");
	expect(&first, "CKR_OK", NO_PIN, session, "CKU_CONTEXT_SPECIFIC");
	expect(&first, "CKR_OK", SIGN, session);
}

Test(protected, A22_a_cancelled_question_is_a_cancelled_function)
{
	pthread_t asking = ask();

	mock_control(&mock, PROTECTED "person cancel\n");
	expect_decision(asking, "CKR_FUNCTION_CANCELED");
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN, session);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
}

Test(protected, A22_a_person_who_does_not_decide_in_time_has_cancelled)
{
	mock_control(&mock, PROTECTED "person wait\nperson_ms 50\n");
	expect(&first, "CKR_FUNCTION_CANCELED", NO_PIN, session, "CKU_CONTEXT_SPECIFIC");
}

Test(protected, A22_nobody_is_asked_for_an_operation_that_awaits_no_pin)
{
	json_int_t other = open_session(&first);
	unsigned before = mock_logins(&mock, CKU_CONTEXT_SPECIFIC);

	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", NO_PIN, other, "CKU_CONTEXT_SPECIFIC");
	cr_assert_eq(mock_logins(&mock, CKU_CONTEXT_SPECIFIC), before);
}
