/* A token that locks its PIN, which SoftHSM cannot: the mock module. */
#include <criterion/criterion.h>

#include "tests/unit/worker/fixture.h"

static struct token_fixture token = {.generation = 1, .last_tries = true};
static struct mock mock;
static struct worker_fixture one;
static struct client first = {.worker = &one};

static void start(void)
{
	mock_new(&mock);
	worker_fixture_start(&token, &(struct worker_options){.mock = &mock}, &one);
	cr_assert_eq(one.started_rv, 0, "%s", one.started_detail);
}

TestSuite(lock, .init = start, .timeout = 60);

static void expect_state(json_int_t session, const char *state)
{
	json_t *info = client_call(&first, "{\"GetSessionInfo\":{\"session\":%lld}}", session);

	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(info, "info"), "state")), state);
	json_decref(info);
}

/* Three wrong context-specific PINs, and what is left then. */
static void lock_by_context_logins(void)
{
	json_int_t session = open_logged_in(&first), other = open_session(&first);
	json_int_t key = make_key(&first, session, "careful", CAREFUL);

	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect(&first, "CKR_PIN_LOCKED", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect_state(session, "CKS_RW_PUBLIC_SESSION");
	expect_state(other, "CKS_RW_PUBLIC_SESSION");
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
	expect(&first, "CKR_PIN_LOCKED", LOGIN, session, "CKU_USER", RIGHT);
	expect(&first, "CKR_OBJECT_HANDLE_INVALID",
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}",
		session, key);
}

Test(lock, A16_a_token_that_locks_in_a_context_login_logs_the_application_out)
{
	lock_by_context_logins();
}

Test(lock, A17_the_gateway_logs_out_itself_if_the_module_does_not)
{
	mock_control(&mock, "lock_keeps_login 1\nlogout_keeps 1\n");
	lock_by_context_logins();
}
