/* What of the gateway's own makes a request wait, and what it may cost (B3, B16, B20). */
#include <criterion/criterion.h>

#include "tests/unit/app/rules.h"

#define KEY_LOGIN "acquire=7,1;release=0,1,0"
#define WRONG_KEY_PIN "acquire=7,1;release=0xA0,1,0"

static void set_up(void)
{
	rules_set_up();
	rules[0].exclusive_login = EXCLUSIVE_ALWAYS;
	ruled.config.limits.token_wait_s = ruled.config.limits.internal_logout_wait_s = 1;
	fixture_start(&ruled);
}

TestSuite(waits, .init = set_up, .fini = rules_tear_down, .timeout = 60);

static void expect_rv(const char *identity, const char *query, CK_RV rv)
{
	struct asked asked = ask_of(identity, 1, query);
	cr_expect_eq(number_of(&asked, "rv"), rv, "%s of %s: 0x%llx", query, identity, number_of(&asked, "rv"));
}

Test(waits, B3_the_login_of_a_key_that_asks_by_policy_waits_for_an_exclusive_login)
{
	expect_rv("bob", KEPT_LOGIN, CKR_OK);
	expect_rv("alice", USER_LOGIN, CKR_OK);
	struct asked refused = ask_of("bob", 1, KEY_LOGIN);
	cr_expect_eq(number_of(&refused, "rv"), CKR_DEVICE_ERROR);
	cr_expect_eq(number_of(&refused, "busy"), 1);
	cr_expect_geq(refused.took_ms, 900);
	expect_rv("alice", LOGOUT, CKR_OK);
	expect_rv("bob", KEY_LOGIN, CKR_OK);
}

Test(waits, B16_wrong_pins_for_a_key_keep_its_identity_from_new_logins_alone)
{
	expect_rv("alice", KEPT_LOGIN, CKR_OK);
	for (int i = 0; i < 3; i++)
		expect_rv("alice", WRONG_KEY_PIN, CKR_OK);
	cr_expect_eq(rv_of("alice", 2, USER_LOGIN), CKR_PIN_LOCKED);
	expect_rv("alice", KEY_LOGIN, CKR_OK);
}

/* --- a request that waits for another one of its application --- */

enum { DEADLINE_MS = 1000, PATIENCE_MS = 4000 }; /* the latter is what the limits of these tests add up to */

static struct asked ask_in_time(const char *query)
{
	struct asked asked = {.fixture = &ruled,
		.domain = "alice",
		.slot = "demo",
		.id = 1,
		.query = query,
		.deadline_ms = DEADLINE_MS};
	ask_it(&asked);
	return asked;
}

Test(waits, X13_a_wait_that_the_worker_tells_of_does_not_count_against_the_deadline)
{
	struct asked asked = ask_in_time("wait=1500;wait=1500");
	cr_expect_eq(asked.status, STATUS_OK);
	cr_expect_geq(asked.took_ms, 3000);
	cr_expect_eq(ask_in_time("sleep=1500").status, STATUS_TIMEOUT, "what follows a wait does");
}

Test(waits, X13_a_worker_that_waits_for_ever_is_ended)
{
	struct asked asked = ask_in_time("waiting;hang");
	cr_expect_eq(asked.status, STATUS_TIMEOUT);
	cr_expect_geq(asked.took_ms, PATIENCE_MS);
	cr_expect_lt(asked.took_ms, PATIENCE_MS + 8000);
}

Test(waits, X13_a_worker_that_waits_again_and_again_is_ended)
{
	struct asked asked = ask_in_time(
		"wait=1500;wait=1500;wait=1500;wait=1500;wait=1500;wait=1500;wait=1500;wait=1500");
	cr_expect_eq(asked.status, STATUS_TIMEOUT);
	cr_expect_lt(asked.took_ms, 8 * 1500);
}

Test(waits, X13_a_worker_that_contradicts_itself_about_its_wait_is_ended)
{
	cr_expect_eq(ask_in_time("waiting;waiting").status, STATUS_CLOSED);
	cr_expect(metrics_show(&ruled, "p11gate_workers_ended_total{cause=\"protocol\"} 1\n"));
}

/* As long as a start may take and the waits for the token: two of these and no third one. */
Test(waits, B20_verifications_of_pins_do_not_move_the_deadline_for_ever)
{
	struct asked asked = ask_in_time("verify=hang;verify=hang;verify=hang;sleep=4000");
	cr_expect_eq(asked.status, STATUS_TIMEOUT);
	cr_expect_lt(asked.took_ms, 40000);
}
