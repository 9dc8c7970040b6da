/* Who may send PINs to a token: the guard (B16). */
#include <criterion/criterion.h>

#include "tests/unit/app/rules.h"

TestSuite(guard, .init = rules_set_up, .fini = rules_tear_down, .timeout = 60);

Test(guard, B16_so_many_wrong_pins_of_an_identity_and_no_more_reach_the_token)
{
	fixture_start(&ruled);
	fail("alice", 1, 3);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_PIN_LOCKED);
	cr_expect_eq(rv_of("alice", 2, USER_LOGIN), CKR_PIN_LOCKED, "another application of the same identity");
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_OK);
}

Test(guard, B16_wrong_pins_count_in_a_row)
{
	fixture_start(&ruled);
	fail("alice", 1, 2);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, LOGOUT), CKR_OK);
	fail("alice", 1, 2);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
}

Test(guard, B16_is_of_one_slot)
{
	fixture_start(&ruled);
	struct asked spare = {.fixture = &ruled, .domain = "alice", .slot = "spare", .id = 1, .query = USER_LOGIN};
	fail("alice", 1, 3);
	ask_it(&spare);
	cr_expect_eq(number_of(&spare, "rv"), CKR_OK);
}

Test(guard, B16_a_logged_in_application_of_the_identity_goes_on)
{
	fixture_start(&ruled);
	cr_expect_eq(rv_of("alice", 9, USER_LOGIN), CKR_OK);
	fail("alice", 1, 3);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_PIN_LOCKED);
	cr_expect_eq(rv_of("alice", 9, PRIVATE_USE), CKR_OK);
	cr_expect_eq(rv_of("alice", 9, "acquire=1,2;release=0"), CKR_OK, "a context-specific login");
}

Test(guard, B16_the_identity_may_try_again_after_a_while)
{
	ruled.config.limits.guard_reset_s = 1;
	fixture_start(&ruled);
	fail("alice", 1, 3);
	for (int64_t begun = clock_ms(); rv_of("alice", 1, USER_LOGIN) == CKR_PIN_LOCKED;)
		cr_assert_lt(clock_ms() - begun, 10000);
}

Test(guard, B16_zero_switches_the_guard_off)
{
	rules[0].max_pin_failures = 0;
	ruled.config.limits.token_pin_failures = 0;
	fixture_start(&ruled);
	fail("alice", 1, 20);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
}

Test(guard, B16_all_identities_share_the_tokens_budget)
{
	rules[1].max_pin_failures = 10;
	fixture_start(&ruled);
	fail("alice", 1, 3);
	fail("bob", 1, 2);
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_PIN_LOCKED);
	cr_expect_eq(rv_of("mallory", 1, USER_LOGIN), CKR_PIN_LOCKED, "who has not tried at all");
	cr_expect_eq(rv_of("bob", 1, SO_LOGIN), CKR_OK, "the security officer's PIN has a count of its own");
}

Test(guard, B16_context_specific_logins_use_up_the_budget_and_stop_at_its_end)
{
	fixture_start(&ruled);
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
	fixture_start(&ruled);
	fail("alice", 1, 3);
	fail("bob", 1, 2);
	cr_expect_eq(rv_of("mallory", 1, USER_LOGIN), CKR_PIN_LOCKED);
	struct asked bob = ask_of("bob", 1, USER_LOGIN), mallory = ask_of("mallory", 1, LOGOUT);
	cr_expect_eq(number_of(&bob, "rv"), CKR_OK);
	cr_expect_eq(number_of(&bob, "last_tries"), 1);
	cr_expect_eq(number_of(&mallory, "last_tries"), 0);
	cr_expect_eq(rv_of("mallory", 2, USER_LOGIN), CKR_OK, "a good login resets the budget");
}

static unsigned long long granted(const char *identity, char id, const char *query, const char *what)
{
	struct asked asked = ask_of(identity, id, query);
	return number_of(&asked, what);
}

Test(guard, A25_the_gateway_says_how_many_wrong_pins_go_to_the_token)
{
	rules[1].max_pin_failures = 0;
	fixture_start(&ruled);
	cr_expect_eq(granted("alice", 1, WRONG_PIN, "tries"), 3, "of the identity");
	cr_expect_eq(granted("alice", 1, WRONG_PIN, "tries"), 2);
	cr_expect_eq(granted("bob", 1, WRONG_PIN, "tries"), 3, "what the token's five have left");
	cr_expect_eq(granted("bob", 1, SO_LOGIN, "tries"), 5, "the security officer's are others");
}

Test(guard, A25_without_a_bound_the_gateway_says_none)
{
	rules[0].max_pin_failures = 0;
	ruled.config.limits.token_pin_failures = 0;
	fixture_start(&ruled);
	cr_expect_eq(granted("alice", 1, USER_LOGIN, "tries"), 0);
}

Test(guard, B16_whose_pins_are_held_back_learns_when_they_go_on_where_that_is_known)
{
	rules[1].max_pin_failures = 0;
	ruled.config.limits.guard_reset_s = 600;
	fixture_start(&ruled);
	fail("alice", 1, 3);
	unsigned long long seconds = granted("alice", 1, USER_LOGIN, "retry_after_s");
	cr_expect(seconds > 500 && seconds <= 600, "%llu", seconds);
	fail("bob", 2, 2);
	cr_expect_eq(granted("bob", 2, USER_LOGIN, "retry_after_s"), 0, "the token's count lasts until it is reset");
	cr_expect_eq(granted("alice", 1, USER_LOGIN, "retry_after_s"), 0);
}

Test(guard, B16_a_kept_pin_that_is_refused_counts_for_the_token_and_not_for_the_identity)
{
	rules[0].max_pin_failures = 1;
	fixture_start(&ruled);
	cr_expect_eq(rv_of("alice", 1, KEPT_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, "acquire=6;release=0xA0,0,0"), CKR_OK);
	struct asked again = ask_of("alice", 2, WRONG_PIN);
	cr_expect_eq(number_of(&again, "rv"), CKR_OK, "the identity has its own tries");
	rules[0].max_pin_failures = 0;
}

Test(guard, B16_a_wrong_old_pin_counts_like_a_login)
{
	fixture_start(&ruled);
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(rv_of("alice", 1, "acquire=3;release=0xA0"), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, "acquire=3;release=0"), CKR_PIN_LOCKED);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_PIN_LOCKED);
}

Test(guard, B16_who_is_logged_in_may_change_the_pin)
{
	fixture_start(&ruled);
	cr_expect_eq(rv_of("alice", 9, USER_LOGIN), CKR_OK);
	fail("alice", 1, 3);
	cr_expect_eq(rv_of("alice", 1, "acquire=3;release=0"), CKR_PIN_LOCKED);
	cr_expect_eq(rv_of("alice", 9, "acquire=3;release=0"), CKR_OK);
}

Test(guard, B16_initialising_the_token_tries_the_security_officers_pin)
{
	fixture_start(&ruled);
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
	fixture_start(&ruled);
	fail("alice", 1, 3);
	fail("bob", 1, 2);
	fixture_init(&second);
	second.config.runtime_directory = ruled.directory;
	second.modules[0].path = ruled.module_path;
	second.config.limits.token_pin_failures = 5;
	fixture_start(&second);
	struct asked asked = {.fixture = &second, .domain = "mallory", .slot = "demo", .id = 1, .query = USER_LOGIN};
	ask_it(&asked);
	cr_expect_eq(number_of(&asked, "rv"), CKR_PIN_LOCKED);
	unsigned count = 0;
	cr_expect_eq(registry_guard_reset(ruled.registry, NULL, NULL, &count), STATUS_OK);
	ask_it(&asked);
	cr_expect_eq(number_of(&asked, "rv"), CKR_OK);
	fixture_done(&second);
}

Test(guard, B16_an_operator_sees_and_resets_the_counts)
{
	unsigned reset = 0;
	fixture_start(&ruled);
	fail("alice", 1, 2);
	fail("bob", 1, 1);
	cr_expect_eq(rv_of("bob", 1, WRONG_SO_PIN), CKR_OK);
	struct counts counts = counts_now();
	cr_expect(counts.alice == 2 && counts.bob == 2 && counts.user == 3 && counts.so == 1);
	cr_expect_eq(registry_guard_reset(ruled.registry, "alice", "spare", &reset), STATUS_OK);
	cr_expect_eq(reset, 0);
	cr_expect_eq(registry_guard_reset(ruled.registry, "alice", "demo", &reset), STATUS_OK);
	cr_expect_eq(reset, 1);
	counts = counts_now();
	cr_expect(counts.alice == 0 && counts.bob == 2 && counts.user == 3);
	cr_expect_eq(registry_guard_reset(ruled.registry, NULL, "demo", &reset), STATUS_OK);
	cr_expect_eq(reset, 2);
	counts = counts_now();
	cr_expect(counts.bob == 0 && counts.user == 0 && counts.so == 0);
}

Test(guard, B16_the_flags_of_a_token_tell_what_is_left)
{
	rules[1].may_use_last_tries = true;
	fixture_start(&ruled);
	cr_expect_eq(registry_guard_flags(ruled.registry, "alice", "demo"), 0);
	fail("alice", 1, 1);
	uint64_t low = CKF_USER_PIN_COUNT_LOW | CKF_SO_PIN_COUNT_LOW;
	cr_expect_eq(registry_guard_flags(ruled.registry, "alice", "demo"), low);
	cr_expect_eq(registry_guard_flags(ruled.registry, "mallory", "demo"), CKF_USER_PIN_COUNT_LOW);
	cr_expect_eq(registry_guard_flags(ruled.registry, "bob", "demo"), 0);
	fail("alice", 1, 1);
	cr_expect_eq(registry_guard_flags(ruled.registry, "alice", "demo"),
		low | CKF_USER_PIN_FINAL_TRY | CKF_SO_PIN_FINAL_TRY);
	fail("alice", 1, 1);
	cr_expect_eq(
		registry_guard_flags(ruled.registry, "alice", "demo") & ~low, CKF_USER_PIN_LOCKED | CKF_SO_PIN_LOCKED);
	cr_expect_eq(registry_guard_flags(ruled.registry, "alice", "spare"), 0);
}

Test(guard, B14_a_pin_that_the_token_locked_outdates_what_others_keep)
{
	fixture_start(&ruled);
	struct asked before = ask_of("alice", 1, "acquire=2;release=0");
	cr_expect_eq(rv_of("bob", 1, "acquire=1,1;release=0xA4"), CKR_OK);
	struct asked after = ask_of("alice", 1, "acquire=2;release=0");
	cr_expect_eq(number_of(&after, "generation"), number_of(&before, "generation") + 1);
}

Test(guard, B14_a_locked_pin_of_the_security_officer_says_nothing_about_the_users_kept_pins)
{
	fixture_start(&ruled);
	cr_expect_eq(rv_of("alice", 1, KEPT_LOGIN), CKR_OK);
	struct asked before = ask_of("alice", 1, "acquire=2;release=0,1,0");
	cr_expect_eq(rv_of("alice", 1, LOGOUT), CKR_OK);
	cr_expect_eq(rv_of("bob", 1, "acquire=4;release=0xA4"), CKR_OK, "initialising the token");
	cr_expect_eq(rv_of("bob", 1, "acquire=1,0;release=0xA4"), CKR_OK, "a login");
	cr_expect_eq(rv_of("bob", 1, SO_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("bob", 1, "acquire=3;release=0xA4"), CKR_OK, "changing the PIN");
	cr_expect_eq(rv_of("bob", 1, LOGOUT), CKR_OK);
	struct asked after = ask_of("alice", 1, "acquire=2;release=0");
	cr_expect_eq(number_of(&after, "generation"), number_of(&before, "generation"));
	cr_expect_eq(number_of(&after, "voided"), 0);
}

Test(guard, B16_a_pin_that_the_token_says_is_locked_counts_like_a_wrong_one)
{
	fixture_start(&ruled);
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(rv_of("alice", 1, "acquire=1,0;release=0xA4"), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, SO_LOGIN), CKR_PIN_LOCKED);
	for (unsigned i = 0; i < 2; i++)
		cr_expect_eq(rv_of("bob", 1, "acquire=1,0;release=0xA4"), CKR_OK);
	struct counts counts = counts_now();
	cr_expect(counts.alice == 3 && counts.bob == 2 && counts.so == 5 && counts.user == 0);
	cr_expect_eq(rv_of("bob", 1, SO_LOGIN), CKR_PIN_LOCKED, "the token's budget");
}

Test(guard, B16_a_pin_whose_worker_died_over_it_counts_as_tried)
{
	fixture_start(&ruled);
	for (unsigned i = 0; i < 3; i++)
		ask_of("alice", 1, "acquire=1,1;die");
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_PIN_LOCKED);
	struct counts counts = counts_now();
	cr_expect(counts.alice == 3 && counts.user == 3 && counts.so == 0);
}

Test(guard, B16_a_pin_that_was_never_sent_is_no_try_of_a_worker_that_died)
{
	rules[0].max_pin_failures = 1;
	fixture_start(&ruled);
	ask_of("alice", 1, "acquire=2;die");
	/* The second question is answered when the gateway has heard how the first one ended. */
	ask_of("alice", 1, "acquire=1,1;release=0x50;acquire=2;die");
	cr_expect_eq(rv_of("alice", 1, WRONG_PIN), CKR_OK);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_PIN_LOCKED);
	ask_of("alice", 1, "acquire=1,1;die");
	struct counts counts = counts_now();
	cr_expect(counts.alice == 1 && counts.user == 1, "a refused one is none either");
}

Test(guard, B16_a_try_that_outlasts_its_deadline_counts_as_used)
{
	ruled.config.limits.keygen_s = 0;
	fixture_start(&ruled);
	cr_expect_eq(rv_of("alice", 1, LOGOUT), CKR_OK, "its worker is there");
	struct asked late = {.fixture = &ruled,
		.domain = "alice",
		.slot = "demo",
		.id = 1,
		.query = "acquire=1,1;hang",
		.deadline_ms = 1000};
	ask_it(&late);
	cr_expect_eq(late.status, STATUS_TIMEOUT);
	cr_expect_eq(rv_of("bob", 1, LOGOUT), CKR_OK, "the token is free when the worker is gone");
	struct counts counts = counts_now();
	cr_expect(counts.alice == 1 && counts.user == 1);
}
