/* What is of a token is shared by all slots of the configuration that name it, and by no others (X2, X10, B3, B16). */
#include <criterion/criterion.h>

#include <unistd.h>

#include "server/app/token.h"
#include "tests/unit/app/rules.h"

/* Slot "spare" names the token of "demo" too, and so does "other", whose module is the same under another name. */
static void set_up(void)
{
	rules_set_up();
	ruled.modules[1] = ruled.modules[0];
	ruled.modules[1].name = "second";
	ruled.slots[1].token_label = ruled.slots[2].token_label = ruled.slots[0].token_label;
}

TestSuite(slot, .init = set_up, .fini = rules_tear_down, .timeout = 60);

static struct asked ask_in(const char *slot, const char *identity, const char *query)
{
	struct asked asked = {.fixture = &ruled, .domain = identity, .slot = slot, .id = 7, .query = query};
	ask_it(&asked);
	return asked;
}

static unsigned long long rv_in(const char *slot, const char *identity, const char *query)
{
	struct asked asked = ask_in(slot, identity, query);
	return number_of(&asked, "rv");
}

Test(slot, B16_slots_that_name_one_token_share_its_budget)
{
	fixture_start(&ruled);
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(rv_in("demo", "alice", WRONG_PIN), CKR_OK);
	cr_expect_eq(rv_in("spare", "alice", USER_LOGIN), CKR_PIN_LOCKED, "the identity's own count");
	cr_expect_eq(rv_in("spare", "bob", WRONG_PIN), CKR_OK);
	cr_expect_eq(rv_in("other", "bob", WRONG_PIN), CKR_OK);
	cr_expect_eq(rv_in("demo", "mallory", USER_LOGIN), CKR_PIN_LOCKED);
	cr_expect_eq(rv_in("spare", "mallory", USER_LOGIN), CKR_PIN_LOCKED);
	cr_expect_eq(rv_in("other", "mallory", USER_LOGIN), CKR_PIN_LOCKED);
	cr_expect(registry_guard_flags(ruled.registry, "mallory", "other") & CKF_USER_PIN_LOCKED);
}

Test(slot, B16_a_reset_of_one_slot_is_one_of_its_token)
{
	unsigned count = 0;
	fixture_start(&ruled);
	cr_assert(inventory_settles(&ruled));
	for (unsigned i = 0; i < 3; i++)
		cr_expect_eq(rv_in("demo", "alice", WRONG_PIN), CKR_OK);
	cr_expect_eq(registry_guard_reset(ruled.registry, NULL, "other", &count), STATUS_OK);
	cr_expect_eq(count, 2, "the identity's and the token's, once each");
	cr_expect_eq(rv_in("spare", "alice", USER_LOGIN), CKR_OK);
}

Test(slot, X2_user_and_security_officer_conflict_whatever_the_slots_are_called)
{
	fixture_start(&ruled);
	cr_expect_eq(rv_in("demo", "alice", SO_LOGIN), CKR_OK);
	cr_expect_eq(rv_in("spare", "bob", USER_LOGIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
	cr_expect_eq(rv_in("other", "bob", USER_LOGIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
	cr_expect_eq(rv_in("demo", "alice", LOGOUT), CKR_OK);
	cr_expect_eq(rv_in("other", "bob", USER_LOGIN), CKR_OK);
	cr_expect_eq(rv_in("demo", "alice", SO_LOGIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
}

Test(slot, X2_a_session_in_one_slot_keeps_the_token_from_being_initialised_in_another)
{
	fixture_start(&ruled);
	(void)ask_in("other", "bob", "sessions=1");
	cr_expect_eq(rv_in("demo", "alice", "acquire=4;release=0"), CKR_SESSION_EXISTS);
	(void)ask_in("other", "bob", "sessions=0");
	cr_expect_eq(rv_in("demo", "alice", "acquire=4;release=0"), CKR_OK);
}

Test(slot, X2_quiesce_is_of_the_token_whatever_slot_it_is_asked_for)
{
	fixture_start(&ruled);
	struct asked in = ask_in("demo", "alice", USER_LOGIN);
	cr_expect_eq(registry_quiesce(ruled.registry, "other", 0), STATUS_OK);
	cr_expect(ends(number_of(&in, "pid")));
	cr_expect_eq(rv_in("spare", "bob", USER_LOGIN), CKR_DEVICE_ERROR);
}

Test(slot, X2_quiesce_holds_for_a_token_that_nobody_had_seen_before)
{
	unlink(ruled.module_path);
	fixture_start(&ruled);
	cr_expect_eq(registry_quiesce(ruled.registry, "demo", 0), STATUS_OK);
	set_label(&ruled, "first token");
	cr_expect_eq(rv_in("demo", "alice", USER_LOGIN), CKR_DEVICE_ERROR);
}

Test(slot, X10_a_pin_that_is_changed_in_one_slot_is_another_generation_in_all)
{
	fixture_start(&ruled);
	struct asked before = ask_in("spare", "bob", LOGOUT);
	cr_expect_eq(rv_in("demo", "alice", "acquire=3;release=0"), CKR_OK);
	struct asked after = ask_in("spare", "bob", LOGOUT), other = ask_in("other", "bob", LOGOUT);
	cr_expect_eq(number_of(&after, "generation"), number_of(&before, "generation") + 1);
	cr_expect_eq(number_of(&other, "generation"), number_of(&after, "generation"));
}

Test(slot, X10_initialising_ends_the_workers_of_all_slots_of_the_token)
{
	fixture_start(&ruled);
	struct asked spare = ask_in("spare", "bob", ""), other = ask_in("other", "bob", "");
	cr_expect_eq(rv_in("demo", "alice", "acquire=4;release=0"), CKR_OK);
	cr_expect(ends(number_of(&spare, "pid")));
	cr_expect(ends(number_of(&other, "pid")));
}

Test(slot, B3_an_exclusive_login_keeps_others_out_of_all_slots_of_the_token)
{
	rules[0].exclusive_login = EXCLUSIVE_ALWAYS;
	fixture_start(&ruled);
	cr_expect_eq(rv_in("demo", "alice", USER_LOGIN), CKR_OK);
	cr_expect_eq(rv_in("other", "bob", USER_LOGIN), CKR_DEVICE_ERROR);
}

Test(slot, X2_another_token_in_the_slot_has_nothing_to_do_with_the_one_before)
{
	fixture_start(&ruled);
	cr_expect_eq(rv_in("demo", "alice", SO_LOGIN), CKR_OK);
	set_label(&ruled, "second token");
	cr_expect_eq(rv_in("spare", "bob", USER_LOGIN), CKR_OK);
}

Test(slot, X10_no_worker_takes_one_tokens_generation_for_anothers)
{
	fixture_start(&ruled);
	struct asked before = ask_in("demo", "alice", LOGOUT);
	set_label(&ruled, "second token");
	struct asked after = ask_in("spare", "bob", LOGOUT);
	cr_expect_neq(number_of(&after, "generation"), number_of(&before, "generation"));
}

Test(slot, X2_tokens_without_a_serial_number_are_told_apart_by_their_slots)
{
	for (int i = 0; i < 3; i++)
		ruled.slots[i].token_label = "";
	ruled.slots[0].reader = ruled.slots[1].reader = ruled.slots[2].reader = "r";
	set_label(&ruled, "");
	fixture_start(&ruled);
	cr_expect_eq(rv_in("demo", "alice", SO_LOGIN), CKR_OK);
	cr_expect_eq(rv_in("demo", "bob", USER_LOGIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
	cr_expect_eq(rv_in("spare", "bob", USER_LOGIN), CKR_OK);
}

Test(slot, B14_a_reload_that_binds_a_slot_to_another_token_ends_no_login_on_the_one_before)
{
	fixture_start(&ruled);
	cr_assert(inventory_settles(&ruled));
	struct asked before = ask_in("demo", "alice", USER_LOGIN);
	ruled.slots[1].token_label = "y";
	registry_reload(ruled.registry, &ruled.config);
	cr_assert(inventory_settles(&ruled));
	struct asked after = ask_in("demo", "alice", "acquire=6;release=0,1");
	cr_expect_eq(number_of(&after, "pid"), number_of(&before, "pid"));
	cr_expect_eq(number_of(&after, "generation"), number_of(&before, "generation"));
	cr_expect_eq(number_of(&after, "voided"), 0);
}

static unsigned tokens_listed(void)
{
	unsigned count = 0;
	pthread_mutex_lock(&ruled.registry->mutex);
	for (struct token *token = ruled.registry->tokens; token != NULL; token = token->next)
		count++;
	pthread_mutex_unlock(&ruled.registry->mutex);
	return count;
}

Test(slot, X15_a_worker_that_finds_ever_new_tokens_fills_no_memory)
{
	fixture_start(&ruled);
	cr_assert(inventory_settles(&ruled));
	(void)ask_in("demo", "alice", LOGOUT);
	pthread_mutex_lock(&ruled.registry->mutex);
	ruled.registry->tokens_count = TOKENS_MAX;
	pthread_mutex_unlock(&ruled.registry->mutex);
	unsigned before = tokens_listed();
	set_label(&ruled, "second token");
	cr_expect_eq(rv_in("demo", "bob", USER_LOGIN), CKR_OK, "the slot goes on");
	cr_expect_eq(tokens_listed(), before);
}
