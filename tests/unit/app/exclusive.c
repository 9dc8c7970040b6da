/* Logins that have the token for themselves (B3, B4). */
#include <criterion/criterion.h>

#include "tests/unit/app/rules.h"

TestSuite(exclusive, .init = rules_set_up, .fini = rules_tear_down, .timeout = 60);

/* With the token for alice alone. */
static void start_exclusive(void)
{
	rules[0].exclusive_login = EXCLUSIVE_ALWAYS;
	fixture_start(&ruled);
}

Test(exclusive, B3_others_wait_for_an_exclusive_login_and_are_refused_in_the_end)
{
	start_exclusive();
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
	struct asked login = ask_of("bob", 1, USER_LOGIN), use = ask_of("bob", 2, PRIVATE_USE);
	cr_expect_eq(number_of(&login, "rv"), CKR_DEVICE_ERROR);
	cr_expect_eq(number_of(&login, "busy"), 1);
	cr_expect_geq(login.took_ms, 900);
	cr_expect_eq(number_of(&use, "rv"), CKR_DEVICE_ERROR);
	cr_expect_eq(rv_of("alice", 1, LOGOUT), CKR_OK);
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_OK);
}

Test(exclusive, B20_a_pin_is_verified_beside_the_exclusive_login_that_it_is_for)
{
	start_exclusive();
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, "verify=1234"), CKR_OK);
	for (int i = 0; i < 4; i++)
		cr_expect_eq(
			rv_of("alice", 1, "verify=9999"), CKR_PIN_INCORRECT, "only the token's own count stops it");
}

/* Alice has the token, and Bob's worker runs a login that waits for it. */
static void begin_to_wait(struct asked *ret_bob)
{
	ruled.config.limits.slot_lock_wait_s = 30;
	start_exclusive();
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
	*ret_bob = (struct asked){.fixture = &ruled, .domain = "bob", .slot = "demo", .id = 1, .query = USER_LOGIN};
	ask_begin(ret_bob);
	struct asked probe;
	do {
		probe = ask_of("bob", 1, "");
	} while (number_of(&probe, "running") != 2);
}

static void expect_login(struct asked *waits)
{
	ask_join(waits);
	cr_expect_eq(number_of(waits, "rv"), CKR_OK);
	cr_expect_lt(waits->took_ms, 20000);
}

Test(exclusive, B3_who_waits_goes_on_when_the_other_is_out)
{
	struct asked waits;
	begin_to_wait(&waits);
	cr_expect_eq(rv_of("alice", 1, LOGOUT), CKR_OK, "the lock is free while others wait for the login");
	expect_login(&waits);
}

Test(exclusive, B3_who_waits_goes_on_when_the_others_worker_dies)
{
	struct asked waits;
	begin_to_wait(&waits);
	ask_of("alice", 1, "die");
	expect_login(&waits);
}

Test(exclusive, B3_an_exclusive_login_waits_for_those_that_are_there)
{
	start_exclusive();
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_DEVICE_ERROR);
	cr_expect_eq(rv_of("bob", 1, LOGOUT), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
}

Test(exclusive, B4_a_kept_pin_leaves_the_token_to_others_between_uses)
{
	start_exclusive();
	cr_expect_eq(rv_of("alice", 1, KEPT_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("bob", 1, KEPT_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, PRIVATE_USE), CKR_OK);
	cr_expect_eq(rv_of("bob", 1, PRIVATE_USE), CKR_OK);
	cr_expect_eq(rv_of("bob", 2, SO_LOGIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "X2: a kept PIN is a login");
}

Test(exclusive, B3_without_the_rule_nobody_waits)
{
	fixture_start(&ruled);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("bob", 2, PRIVATE_USE), CKR_OK);
}

/* Both may keep their PINs on a card, and what is exclusive there is decided by whether they do. */
static void start_on_a_card(unsigned wait_s)
{
	for (int i = 0; i < 2; i++) {
		rules[i].exclusive_login = EXCLUSIVE_AUTO;
		rules[i].cache_pin = CONFIG_ON;
	}
	ruled.slots[0].class_name = "card";
	ruled.config.limits.slot_lock_wait_s = wait_s;
	fixture_start(&ruled);
}

Test(exclusive, B3_a_client_that_wants_no_kept_pin_has_the_card_for_itself)
{
	start_on_a_card(1);
	cr_expect_eq(rv_of("alice", 1, "uncached=1;" USER_LOGIN), CKR_OK);
	struct asked login = ask_of("bob", 1, KEPT_LOGIN);
	cr_expect_eq(number_of(&login, "rv"), CKR_DEVICE_ERROR);
	cr_expect_eq(number_of(&login, "busy"), 1);
	cr_expect_eq(rv_of("alice", 1, LOGOUT), CKR_OK);
	cr_expect_eq(rv_of("bob", 1, KEPT_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, "uncached=0;" KEPT_LOGIN), CKR_OK, "nobody wants that any more");
	cr_expect_eq(rv_of("bob", 1, PRIVATE_USE), CKR_OK);
}

Test(exclusive, B3_a_client_that_wants_no_kept_pin_waits_for_those_who_are_there)
{
	start_on_a_card(1);
	cr_expect_eq(rv_of("bob", 1, "acquire=6;release=0,1,1"), CKR_OK, "a private use that goes on");
	cr_expect_eq(rv_of("alice", 1, "uncached=1;" USER_LOGIN), CKR_DEVICE_ERROR);
	cr_expect_eq(rv_of("bob", 1, "acquire=2;release=0,1,0"), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
}
