/* Changing a PIN and initialising the token are tries of a PIN as well (B16): the mock module. */
#include <criterion/criterion.h>

#include "tests/unit/worker/fixture.h"

#define LOGIN "{\"Login\":{\"session\":%lld,\"user_type\":\"%s\",\"pin\":\"%s\"}}"
#define SET_PIN "{\"SetPIN\":{\"session\":%lld,\"old_pin\":\"%s\",\"new_pin\":\"NDMyMQ\"}}"
#define RIGHT "MTIzNA"
#define WRONG "OTk5OQ"

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
