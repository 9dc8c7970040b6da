/* Changing a PIN and initialising the token are tries of a PIN as well (B16): the mock module. */
#include <criterion/criterion.h>

#include "tests/unit/worker/fixture.h"

#define SET_PIN "{\"SetPIN\":{\"session\":%lld,\"old_pin\":\"%s\",\"new_pin\":\"NDMyMQ\"}}"

static struct token_fixture token = {.generation = 1};
static struct mock mock;
static struct worker_fixture one;
static struct client first = {.worker = &one};

static void start(void)
{
	mock_new(&mock);
	worker_fixture_start(&token, &(struct worker_options){.mock = &mock}, &one);
	cr_assert_eq(one.started_rv, 0, "%s", one.started_detail);
}

TestSuite(pin_try, .init = start, .timeout = 60);

Test(pin_try, B16_the_last_try_is_not_spent_on_a_change_of_the_pin)
{
	json_int_t session = open_session(&first);

	expect(&first, "CKR_PIN_INCORRECT", SET_PIN, session, WRONG);
	expect(&first, "CKR_PIN_INCORRECT", SET_PIN, session, WRONG);
	expect(&first, "CKR_PIN_LOCKED", SET_PIN, session, WRONG);
	token.last_tries = true;
	expect(&first, "CKR_OK", LOGIN, session, "CKU_USER", RIGHT);
}

#define LOGIN_WITH(user, pin) "{\"Login\":{\"session\":%lld,\"user_type\":\"" user "\",\"pin\":" pin "}}"
#define SET_PIN_WITH(old, new) "{\"SetPIN\":{\"session\":%lld,\"old_pin\":" old ",\"new_pin\":" new "}}"
#define INIT_TOKEN_WITH(pin) \
	"{\"InitToken\":{\"pin\":" pin ",\"label\":\"ZGVtbyAgICAgICAgICAgICAgICAgICAgICAgICAgICA\"}}"

Test(pin_try, A20_a_pin_that_is_empty_or_missing_is_not_shown_to_a_module_that_would_take_it)
{
	json_int_t session = open_session(&first);

	mock_control(&mock, "fault C_Login * return CKR_OK\nfault C_SetPIN * return CKR_OK\nfault C_InitToken * return "
			    "CKR_OK\n");
	expect(&first, "CKR_PIN_INCORRECT", LOGIN_WITH("CKU_USER", "\"\""), session);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN_WITH("CKU_SO", "\"\""), session);
	expect(&first, "CKR_ARGUMENTS_BAD", LOGIN_WITH("CKU_USER", "null"), session);
	expect(&first, "CKR_ARGUMENTS_BAD", LOGIN_WITH("CKU_SO", "null"), session);
	expect(&first, "CKR_ARGUMENTS_BAD", LOGIN_WITH("CKU_CONTEXT_SPECIFIC", "null"), session);
	expect(&first, "CKR_USER_TYPE_INVALID", LOGIN_WITH("0x7", "\"MTIzNA\""), session);
	expect(&first, "CKR_PIN_INCORRECT", SET_PIN_WITH("\"\"", "\"MTIzNA\""), session);
	expect(&first, "CKR_PIN_LEN_RANGE", SET_PIN_WITH("\"MTIzNA\"", "\"\""), session);
	expect(&first, "CKR_ARGUMENTS_BAD", SET_PIN_WITH("null", "\"MTIzNA\""), session);
	expect(&first, "CKR_ARGUMENTS_BAD", SET_PIN_WITH("\"MTIzNA\"", "null"), session);
	/* A session in the way is told of first. */
	expect(&first, "CKR_SESSION_EXISTS", INIT_TOKEN_WITH("\"\""));
	expect(&first, "CKR_SESSION_EXISTS", INIT_TOKEN_WITH("null"));
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	expect(&first, "CKR_PIN_INCORRECT", INIT_TOKEN_WITH("\"\""));
	expect(&first, "CKR_ARGUMENTS_BAD", INIT_TOKEN_WITH("null"));
	cr_expect_eq(mock_logins(&mock, CK_UNAVAILABLE_INFORMATION), 0);
	struct answer answer = client_post(&first, "{\"groups\":[]}");
	cr_expect_eq(answer.login, LOGIN_NONE);
	answer_free(&answer);
}

Test(pin_try, A20_an_empty_pin_for_an_operation_is_not_shown_to_the_module)
{
	json_int_t session = open_logged_in(&first);
	json_int_t key = make_key(&first, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");

	expect(&first, "CKR_OK",
		"{\"SignInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_ECDSA\"},\"key\":%lld}}", session,
		key);
	mock_control(&mock, "fault C_Login * return CKR_OK\n");
	expect(&first, "CKR_PIN_INCORRECT", LOGIN_WITH("CKU_CONTEXT_SPECIFIC", "\"\""), session);
	cr_expect_eq(mock_logins(&mock, CKU_CONTEXT_SPECIFIC), 0);
}
