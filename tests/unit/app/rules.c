#include <criterion/criterion.h>

#include <string.h>

#include "tests/unit/app/rules.h"

struct fixture ruled;
struct config_login_rule rules[2];

void rules_set_up(void)
{
	static const char *alice_only[] = {"alice"}, *bob_only[] = {"bob"}, *all_slots[] = {"*"};
	static const struct config_login_rule rule = {.identities_count = 1,
		.slots = all_slots,
		.slots_count = 1,
		.pin_cache_ttl_s = 100,
		.pin_cache_idle_s = 100,
		.exclusive_login = EXCLUSIVE_NEVER,
		.max_pin_failures = 3};
	fixture_init(&ruled);
	rules[0] = rules[1] = rule;
	rules[0].identities = alice_only;
	rules[1].identities = bob_only;
	ruled.config.logins = rules;
	ruled.config.logins_count = 2;
	ruled.config.limits.slot_lock_wait_s = 1;
	ruled.config.limits.token_pin_failures = 5;
}

void rules_tear_down(void)
{
	fixture_done(&ruled);
}

struct asked ask_of(const char *identity, char id, const char *query)
{
	struct asked asked = {.fixture = &ruled, .domain = identity, .slot = "demo", .id = id, .query = query};
	ask_it(&asked);
	return asked;
}

unsigned long long rv_of(const char *identity, char id, const char *query)
{
	struct asked asked = ask_of(identity, id, query);
	return number_of(&asked, "rv");
}

void fail(const char *identity, char id, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		cr_expect_eq(rv_of(identity, id, WRONG_PIN), CKR_OK, "wrong PIN %u is sent to the token", i + 1);
}

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

struct counts counts_now(void)
{
	struct counts counts = {0};
	registry_guards(ruled.registry, count, &counts);
	return counts;
}
