/*
 * Who may send PINs to a token, and when: the guard (B16), exclusive logins (B3, B4), quiesce (X2).
 */
#include <criterion/criterion.h>

#include <string.h>

#include "api/cryptoki.h"
#include "tests/unit/app/fixture.h"

#define USER_LOGIN "acquire=1,1;release=0,1"
#define SO_LOGIN "acquire=1,0;release=0,2"
#define KEPT_LOGIN "acquire=1,1;release=0,1,0"
#define WRONG_PIN "acquire=1,1;release=0xA0"
#define WRONG_SO_PIN "acquire=1,0;release=0xA0"
#define WRONG_CONTEXT_PIN "acquire=1,2;release=0xA0"
#define LOGOUT "acquire=2;release=0,0"
#define PRIVATE_USE "acquire=6;release=0,1,0"

static struct fixture fixture;
static const char *alice_only[] = {"alice"}, *bob_only[] = {"bob"}, *all_slots[] = {"*"};
static struct config_login_rule rules[2];

static void set_up(void)
{
	static const struct config_login_rule rule = {.identities_count = 1,
		.slots = all_slots,
		.slots_count = 1,
		.pin_cache_ttl_s = 100,
		.pin_cache_idle_s = 100,
		.exclusive_login = EXCLUSIVE_NEVER,
		.max_pin_failures = 3};
	fixture_init(&fixture);
	rules[0] = rules[1] = rule;
	rules[0].identities = alice_only;
	rules[1].identities = bob_only;
	fixture.config.logins = rules;
	fixture.config.logins_count = 2;
	fixture.config.limits.slot_lock_wait_s = 1;
	fixture.config.limits.token_pin_failures = 5;
}

static void tear_down(void)
{
	fixture_done(&fixture);
}

TestSuite(guard, .init = set_up, .fini = tear_down, .timeout = 60);

static struct asked ask_of(const char *identity, char id, const char *query)
{
	struct asked asked = {.fixture = &fixture, .domain = identity, .slot = "demo", .id = id, .query = query};
	ask_it(&asked);
	return asked;
}

static unsigned long long rv_of(const char *identity, char id, const char *query)
{
	struct asked asked = ask_of(identity, id, query);
	return number_of(&asked, "rv");
}

static void fail(const char *identity, char id, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		cr_expect_eq(rv_of(identity, id, WRONG_PIN), CKR_OK, "wrong PIN %u is sent to the token", i + 1);
}

Test(guard, B16_so_many_wrong_pins_of_an_identity_and_no_more_reach_the_token)
{
	fixture_start(&fixture);
	fail("alice", 1, 3);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_PIN_LOCKED);
	cr_expect_eq(rv_of("alice", 2, USER_LOGIN), CKR_PIN_LOCKED, "another application of the same identity");
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_OK);
}

Test(guard, B16_wrong_pins_count_in_a_row)
{
	fixture_start(&fixture);
	fail("alice", 1, 2);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, LOGOUT), CKR_OK);
	fail("alice", 1, 2);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
}

Test(guard, B16_is_of_one_slot)
{
	fixture_start(&fixture);
	struct asked spare = {.fixture = &fixture, .domain = "alice", .slot = "spare", .id = 1, .query = USER_LOGIN};
	fail("alice", 1, 3);
	ask_it(&spare);
	cr_expect_eq(number_of(&spare, "rv"), CKR_OK);
}

Test(guard, B16_a_logged_in_application_of_the_identity_goes_on)
{
	fixture_start(&fixture);
	cr_expect_eq(rv_of("alice", 9, USER_LOGIN), CKR_OK);
	fail("alice", 1, 3);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_PIN_LOCKED);
	cr_expect_eq(rv_of("alice", 9, PRIVATE_USE), CKR_OK);
	cr_expect_eq(rv_of("alice", 9, "acquire=1,2;release=0"), CKR_OK, "a context-specific login");
}

Test(guard, B16_the_identity_may_try_again_after_a_while)
{
	fixture.config.limits.guard_reset_s = 1;
	fixture_start(&fixture);
	fail("alice", 1, 3);
	for (int64_t begun = clock_ms(); rv_of("alice", 1, USER_LOGIN) == CKR_PIN_LOCKED;)
		cr_assert_lt(clock_ms() - begun, 10000);
}

Test(guard, B16_zero_switches_the_guard_off)
{
	rules[0].max_pin_failures = 0;
	fixture.config.limits.token_pin_failures = 0;
	fixture_start(&fixture);
	fail("alice", 1, 20);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
}

Test(guard, B16_all_identities_share_the_tokens_budget)
{
	rules[1].max_pin_failures = 10;
	fixture_start(&fixture);
	fail("alice", 1, 3);
	fail("bob", 1, 2);
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_PIN_LOCKED);
	cr_expect_eq(rv_of("mallory", 1, USER_LOGIN), CKR_PIN_LOCKED, "who has not tried at all");
	cr_expect_eq(rv_of("bob", 1, SO_LOGIN), CKR_OK, "the security officer's PIN has a count of its own");
}

Test(guard, B16_context_specific_logins_use_up_the_budget_and_stop_at_its_end)
{
	fixture_start(&fixture);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
	for (unsigned i = 0; i < 5; i++)
		cr_expect_eq(rv_of("alice", 1, WRONG_CONTEXT_PIN), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, WRONG_CONTEXT_PIN), CKR_PIN_LOCKED);
	cr_expect_eq(rv_of("alice", 1, PRIVATE_USE), CKR_OK, "what is logged in goes on");
}

Test(guard, B16_last_tries_are_for_those_who_may_use_them)
{
	rules[1].may_use_last_tries = true;
	rules[1].max_pin_failures = 0;
	fixture_start(&fixture);
	fail("alice", 1, 3);
	fail("bob", 1, 2);
	cr_expect_eq(rv_of("mallory", 1, USER_LOGIN), CKR_PIN_LOCKED);
	struct asked bob = ask_of("bob", 1, USER_LOGIN), mallory = ask_of("mallory", 1, LOGOUT);
	cr_expect_eq(number_of(&bob, "rv"), CKR_OK);
	cr_expect_eq(number_of(&bob, "last_tries"), 1);
	cr_expect_eq(number_of(&mallory, "last_tries"), 0);
	cr_expect_eq(rv_of("mallory", 2, USER_LOGIN), CKR_OK, "a good login resets the budget");
}

Test(guard, B16_a_kept_pin_that_is_refused_counts_for_the_token_and_not_for_the_identity)
{
	rules[0].max_pin_failures = 1;
	fixture_start(&fixture);
	cr_expect_eq(rv_of("alice", 1, KEPT_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, "acquire=6;release=0xA0,0,0"), CKR_OK);
	struct asked again = ask_of("alice", 2, WRONG_PIN);
	cr_expect_eq(number_of(&again, "rv"), CKR_OK, "the identity has its own tries");
	rules[0].max_pin_failures = 0;
}

Test(guard, B16_a_wrong_old_pin_counts_like_a_login)
{
	fixture_start(&fixture);
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(rv_of("alice", 1, "acquire=3;release=0xA0"), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, "acquire=3;release=0"), CKR_PIN_LOCKED);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_PIN_LOCKED);
}

Test(guard, B16_who_is_logged_in_may_change_the_pin)
{
	fixture_start(&fixture);
	cr_expect_eq(rv_of("alice", 9, USER_LOGIN), CKR_OK);
	fail("alice", 1, 3);
	cr_expect_eq(rv_of("alice", 1, "acquire=3;release=0"), CKR_PIN_LOCKED);
	cr_expect_eq(rv_of("alice", 9, "acquire=3;release=0"), CKR_OK);
}

Test(guard, B16_initialising_the_token_tries_the_security_officers_pin)
{
	fixture_start(&fixture);
	rules[1].max_pin_failures = 0;
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(rv_of("alice", 1, "acquire=4;release=0xA0"), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, "acquire=4;release=0"), CKR_PIN_LOCKED);
	for (unsigned i = 0; i < 2; i++)
		cr_expect_eq(rv_of("mallory", 1, "acquire=4;release=0xA0"), CKR_OK);
	cr_expect_eq(rv_of("bob", 1, SO_LOGIN), CKR_PIN_LOCKED, "the token's count of that PIN");
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_OK, "the user's is another");
}

Test(guard, B16_gateways_share_the_budget_of_a_token)
{
	struct fixture second;
	fixture_start(&fixture);
	fail("alice", 1, 3);
	fail("bob", 1, 2);
	fixture_init(&second);
	second.config.runtime_directory = fixture.directory;
	second.modules[0].path = fixture.module_path;
	second.config.limits.token_pin_failures = 5;
	fixture_start(&second);
	struct asked asked = {.fixture = &second, .domain = "mallory", .slot = "demo", .id = 1, .query = USER_LOGIN};
	ask_it(&asked);
	cr_expect_eq(number_of(&asked, "rv"), CKR_PIN_LOCKED);
	unsigned count = 0;
	cr_expect_eq(registry_guard_reset(fixture.registry, NULL, NULL, &count), STATUS_OK);
	ask_it(&asked);
	cr_expect_eq(number_of(&asked, "rv"), CKR_OK);
	fixture_done(&second);
}

struct counts {
	unsigned alice, bob, user, so;
};

static void count(void *context, const struct guard_summary *summary)
{
	struct counts *counts = context;
	cr_expect_str_eq(summary->slot, "demo");
	if (summary->identity == NULL) {
		counts->user = summary->failures;
		counts->so = summary->so_failures;
	} else {
		*(strcmp(summary->identity, "alice") == 0 ? &counts->alice : &counts->bob) = summary->failures;
	}
}

static struct counts counts_now(void)
{
	struct counts counts = {0};
	registry_guards(fixture.registry, count, &counts);
	return counts;
}

Test(guard, B16_an_operator_sees_and_resets_the_counts)
{
	unsigned reset = 0;
	fixture_start(&fixture);
	fail("alice", 1, 2);
	fail("bob", 1, 1);
	cr_expect_eq(rv_of("bob", 1, WRONG_SO_PIN), CKR_OK);
	struct counts counts = counts_now();
	cr_expect(counts.alice == 2 && counts.bob == 2 && counts.user == 3 && counts.so == 1);
	cr_expect_eq(registry_guard_reset(fixture.registry, "alice", "spare", &reset), STATUS_OK);
	cr_expect_eq(reset, 0);
	cr_expect_eq(registry_guard_reset(fixture.registry, "alice", "demo", &reset), STATUS_OK);
	cr_expect_eq(reset, 1);
	counts = counts_now();
	cr_expect(counts.alice == 0 && counts.bob == 2 && counts.user == 3);
	cr_expect_eq(registry_guard_reset(fixture.registry, NULL, "demo", &reset), STATUS_OK);
	cr_expect_eq(reset, 2);
	counts = counts_now();
	cr_expect(counts.bob == 0 && counts.user == 0 && counts.so == 0);
}

Test(guard, B16_the_flags_of_a_token_tell_what_is_left)
{
	rules[1].may_use_last_tries = true;
	fixture_start(&fixture);
	cr_expect_eq(registry_guard_flags(fixture.registry, "alice", "demo"), 0);
	fail("alice", 1, 1);
	uint64_t low = CKF_USER_PIN_COUNT_LOW | CKF_SO_PIN_COUNT_LOW;
	cr_expect_eq(registry_guard_flags(fixture.registry, "alice", "demo"), low);
	cr_expect_eq(registry_guard_flags(fixture.registry, "mallory", "demo"), CKF_USER_PIN_COUNT_LOW);
	cr_expect_eq(registry_guard_flags(fixture.registry, "bob", "demo"), 0);
	fail("alice", 1, 1);
	cr_expect_eq(registry_guard_flags(fixture.registry, "alice", "demo"),
		low | CKF_USER_PIN_FINAL_TRY | CKF_SO_PIN_FINAL_TRY);
	fail("alice", 1, 1);
	cr_expect_eq(registry_guard_flags(fixture.registry, "alice", "demo") & ~low,
		CKF_USER_PIN_LOCKED | CKF_SO_PIN_LOCKED);
	cr_expect_eq(registry_guard_flags(fixture.registry, "alice", "spare"), 0);
}

Test(guard, B14_a_pin_that_the_token_locked_outdates_what_others_keep)
{
	fixture_start(&fixture);
	struct asked before = ask_of("alice", 1, "acquire=2;release=0");
	cr_expect_eq(rv_of("bob", 1, "acquire=1,1;release=0xA4"), CKR_OK);
	struct asked after = ask_of("alice", 1, "acquire=2;release=0");
	cr_expect_eq(number_of(&after, "generation"), number_of(&before, "generation") + 1);
}

/* --- exclusive logins --- */

Test(guard, B3_others_wait_for_an_exclusive_login_and_are_refused_in_the_end)
{
	rules[0].exclusive_login = EXCLUSIVE_ALWAYS;
	fixture_start(&fixture);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
	struct asked login = ask_of("bob", 1, USER_LOGIN), use = ask_of("bob", 2, PRIVATE_USE);
	cr_expect_eq(number_of(&login, "rv"), CKR_DEVICE_ERROR);
	cr_expect_eq(number_of(&login, "busy"), 1);
	cr_expect_geq(login.took_ms, 900);
	cr_expect_eq(number_of(&use, "rv"), CKR_DEVICE_ERROR);
	cr_expect_eq(rv_of("alice", 1, LOGOUT), CKR_OK);
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_OK);
}

Test(guard, B20_a_pin_is_verified_beside_the_exclusive_login_that_it_is_for)
{
	rules[0].exclusive_login = EXCLUSIVE_ALWAYS;
	fixture_start(&fixture);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, "verify=1234"), CKR_OK);
	for (int i = 0; i < 4; i++)
		cr_expect_eq(
			rv_of("alice", 1, "verify=9999"), CKR_PIN_INCORRECT, "only the token's own count stops it");
}

Test(guard, B3_who_waits_goes_on_when_the_other_is_out)
{
	rules[0].exclusive_login = EXCLUSIVE_ALWAYS;
	fixture.config.limits.slot_lock_wait_s = 30;
	fixture_start(&fixture);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
	struct asked waits = {.fixture = &fixture, .domain = "bob", .slot = "demo", .id = 1, .query = USER_LOGIN};
	ask_begin(&waits);
	struct asked probe;
	do {
		probe = ask_of("bob", 1, "");
	} while (number_of(&probe, "running") != 2);
	cr_expect_eq(rv_of("alice", 1, LOGOUT), CKR_OK, "the lock is free while others wait for the login");
	ask_join(&waits);
	cr_expect_eq(number_of(&waits, "rv"), CKR_OK);
	cr_expect_lt(waits.took_ms, 20000);
}

Test(guard, B3_who_waits_goes_on_when_the_others_worker_dies)
{
	rules[0].exclusive_login = EXCLUSIVE_ALWAYS;
	fixture.config.limits.slot_lock_wait_s = 30;
	fixture_start(&fixture);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
	struct asked waits = {.fixture = &fixture, .domain = "bob", .slot = "demo", .id = 1, .query = USER_LOGIN};
	ask_begin(&waits);
	ask_of("alice", 1, "die");
	ask_join(&waits);
	cr_expect_eq(number_of(&waits, "rv"), CKR_OK);
	cr_expect_lt(waits.took_ms, 20000);
}

Test(guard, B3_an_exclusive_login_waits_for_those_that_are_there)
{
	rules[0].exclusive_login = EXCLUSIVE_ALWAYS;
	fixture_start(&fixture);
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_DEVICE_ERROR);
	cr_expect_eq(rv_of("bob", 1, LOGOUT), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
}

Test(guard, B4_a_kept_pin_leaves_the_token_to_others_between_uses)
{
	rules[0].exclusive_login = EXCLUSIVE_ALWAYS;
	fixture_start(&fixture);
	cr_expect_eq(rv_of("alice", 1, KEPT_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("bob", 1, KEPT_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, PRIVATE_USE), CKR_OK);
	cr_expect_eq(rv_of("bob", 1, PRIVATE_USE), CKR_OK);
	cr_expect_eq(rv_of("bob", 2, SO_LOGIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "X2: a kept PIN is a login");
}

Test(guard, B3_without_the_rule_nobody_waits)
{
	fixture_start(&fixture);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("bob", 2, PRIVATE_USE), CKR_OK);
}

/* --- quiesce --- */

Test(guard, X2_quiesce_refuses_users_and_ends_those_who_are_in)
{
	fixture_start(&fixture);
	struct asked in = ask_of("alice", 1, USER_LOGIN), out = ask_of("bob", 1, "sessions=1");
	cr_expect_eq(registry_quiesce(fixture.registry, "demo", 1), STATUS_OK);
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_DEVICE_ERROR);
	cr_expect_eq(rv_of("bob", 2, SO_LOGIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "until the second is over");
	cr_expect(ends(number_of(&in, "pid")));
	cr_expect_eq(rv_of("bob", 2, SO_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_DEVICE_ERROR, "the security officer has a minute");
	struct asked after = ask_of("bob", 1, "");
	cr_expect_eq(number_of(&after, "pid"), number_of(&out, "pid"), "nobody was logged in there");
}

Test(guard, X2_quiesce_is_of_one_token)
{
	fixture_start(&fixture);
	struct asked spare = {.fixture = &fixture, .domain = "alice", .slot = "spare", .id = 1, .query = USER_LOGIN};
	cr_expect_eq(registry_quiesce(fixture.registry, "demo", 0), STATUS_OK);
	ask_it(&spare);
	cr_expect_eq(number_of(&spare, "rv"), CKR_OK);
}
