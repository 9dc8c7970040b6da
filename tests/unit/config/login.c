/*
 * login and share_groups: who shares applications, and which rule of logins holds.
 */
#include <criterion/criterion.h>

#include <string.h>

#include "api/application_id.h"
#include "server/common/message.h"
#include "tests/unit/config/support.h"

TestSuite(config_login, .init = folder_make, .fini = folder_remove);

/* The rules of a domain on slot one, with `text` at the end of the good configuration. */
static struct config_login login_of(const char *domain, const char *text)
{
	struct config *config = load_good(NULL, text);
	struct config_login login;

	config_login(config, domain, "one", &login);
	config_free(config);
	return login;
}

#define CARD "    token: {label: one}", "    token: {label: one}\n    class: card"

static struct config_login card_login(const char *rules)
{
	struct config *config = load_good(CARD);
	struct config_login login;
	char *whole = replaced(good, CARD), *text = replaced(whole, NULL, rules);
	char error[1024];

	config_free(config);
	cr_assert_eq(load_text(text, strlen(text), &config, error), STATUS_OK, "%s", error);
	config_login(config, "alice", "one", &login);
	config_free(config);
	free(text);
	free(whole);
	return login;
}

Test(config_login, without_a_rule_the_defaults_hold)
{
	struct config_login login = login_of("alice", "");

	cr_expect_not(login.cache_pin);
	cr_expect_eq(login.logout_after, LOGOUT_AFTER_NEVER);
	cr_expect_eq(login.force_login, 0);
	cr_expect_eq(login.pin_cache_ttl_s, 28800);
	cr_expect_eq(login.pin_cache_idle_s, 900);
	cr_expect_not(config_login_exclusive(&login, false));
	cr_expect_not(login.aa_oneshot);
	cr_expect_eq(login.max_pin_failures, 3);
	cr_expect_not(login.may_use_last_tries);
	cr_expect_not(login.random_app_ids);
}

Test(config_login, a_rule_without_keys_is_the_defaults)
{
	struct config_login none = login_of("alice", "");
	struct config_login empty = login_of("alice", "login:\n  - {identities: [alice], slots: [one]}\n");

	cr_expect_eq(memcmp(&none, &empty, sizeof none), 0);
}

Test(config_login, B0_the_cache_is_on_by_default_on_a_card_alone)
{
	cr_expect(card_login("").cache_pin);
	cr_expect_not(login_of("alice", "").cache_pin);
}

Test(config_login, B3_a_card_without_cache_is_exclusive_by_default_whoever_wants_none)
{
	struct config_login card = card_login(""), hsm = login_of("alice", "");
	struct config_login never = card_login(
		"login:\n  - {identities: [alice], slots: [\"*\"], exclusive_login: never}\n");
	struct config_login always = login_of(
		"alice", "login:\n  - {identities: [alice], slots: [one], exclusive_login: always}\n");

	cr_expect_not(config_login_exclusive(&card, true));
	cr_expect(config_login_exclusive(&card, false));
	cr_expect_not(config_login_exclusive(&hsm, false));
	cr_expect_not(config_login_exclusive(&never, false));
	cr_expect(config_login_exclusive(&always, true));
	cr_expect(config_login_exclusive(&always, false));
}

Test(config_login, A18_a_key_that_asks_derives_without_its_pin_only_if_every_rule_allows_it)
{
	cr_expect(login_of("alice", "login:\n  - {identities: [alice], slots: [one], aa_oneshot: allow}\n").aa_oneshot);
	cr_expect_not(login_of("alice", "login:\n  - {identities: [alice], slots: [one], aa_oneshot: allow}\n"
					"  - {identities: [alice], slots: [\"*\"], aa_oneshot: refuse}\n")
			      .aa_oneshot);
	cr_expect_not(login_of("alice", "login:\n  - {identities: [alice], slots: [one], aa_oneshot: allow}\n"
					"  - {identities: [alice], slots: [one]}\n")
			      .aa_oneshot);
}

Test(config_login, B1_of_several_rules_the_strictest_value_of_each_key_holds)
{
	struct config_login login = login_of("alice",
		"login:\n"
		"  - {identities: [alice], slots: [one], enable_cache_pin: 1, logout_after: sign, max_pin_failures: "
		"0,\n"
		"     pin_cache_ttl_s: 100, pin_cache_idle_s: 50, may_use_last_tries: true, min_app_id: v2}\n"
		"  - {identities: [bob, alice], slots: [\"*\"], enable_cache_pin: 0, logout_after: private-op,\n"
		"     max_pin_failures: 5, pin_cache_ttl_s: 200, pin_cache_idle_s: 40,\n"
		"     force_login_before_sign_key_usage: 0x40}\n"
		"  - {identities: [alice], slots: [two], pin_cache_ttl_s: 10, pin_cache_idle_s: 5}\n");

	cr_expect_not(login.cache_pin);
	cr_expect_eq(login.logout_after, LOGOUT_AFTER_PRIVATE_OP);
	cr_expect_eq(login.force_login, FORCE_LOGIN_NON_REPUDIATION);
	cr_expect_eq(login.pin_cache_ttl_s, 100);
	cr_expect_eq(login.pin_cache_idle_s, 40);
	cr_expect_eq(login.max_pin_failures, 5);
	cr_expect_not(login.may_use_last_tries);
	cr_expect(login.random_app_ids);
}

Test(config_login, B2_another_mask_than_40_is_refused)
{
	static const char rule[] = "login:\n  - {identities: [alice], slots: [one], "
				   "force_login_before_sign_key_usage: 0x80}\n";
	char *text = replaced(good, NULL, rule);
	struct config *config;
	char error[1024];

	cr_expect_eq(load_text(text, strlen(text), &config, error), STATUS_MALFORMED);
	cr_expect_not_null(strstr(error, "login[0].force_login_before_sign_key_usage"), "%s", error);
	cr_expect_not_null(strstr(error, "\"0x80\" is unknown; write one of: 0 0x40"), "%s", error);
	free(text);
}

#define GROUP "share_groups:\n  - {name: team, members: [alice, bob], slots: [one]}\n"

static const char *domain(const struct config *config, const char *identity, const char *slot, const char *id)
{
	unsigned char bytes[APPLICATION_ID_LEN];

	cr_assert(application_id_parse(id, strlen(id), bytes));
	return config_domain(config, identity, slot, bytes);
}

Test(config_login, C12_an_identity_is_a_domain_of_its_own)
{
	struct config *config = load_good(NULL, "");

	cr_expect_str_eq(domain(config, "alice", "one", "3-4"), "alice");
	config_free(config);
}

Test(config_login, C13_members_of_a_group_are_one_domain_on_its_slots)
{
	struct config *config = load_good(NULL, GROUP);

	cr_expect_str_eq(domain(config, "alice", "one", "3-4"), "team");
	cr_expect_str_eq(domain(config, "bob", "one", "3-4"), "team");
	cr_expect_str_eq(domain(config, "alice", "two", "3-4"), "alice");
	cr_expect_str_eq(domain(config, "carol", "one", "3-4"), "carol");
	config_free(config);
}

Test(config_login, C13_a_group_can_be_for_some_application_ids)
{
	struct config *config = load_good(NULL,
		"share_groups:\n"
		"  - {name: team, members: [alice, bob], slots: [\"*\"], app_ids: [3-4]}\n"
		"  - {name: crew, members: [alice], slots: [one], app_ids: [\"00000003000000050000000000000000\"]}\n");

	cr_expect_str_eq(domain(config, "alice", "one", "00000003000000040000000000000000"), "team");
	cr_expect_str_eq(domain(config, "alice", "one", "3-5"), "crew");
	cr_expect_str_eq(domain(config, "alice", "one", "3-6"), "alice");
	config_free(config);
}

Test(config_login, C13_in_a_group_the_strictest_member_counts)
{
	struct config_login login = login_of("team",
		GROUP "login:\n"
		      "  - {identities: [alice], slots: [one], enable_cache_pin: 1, logout_after: never}\n"
		      "  - {identities: [bob], slots: [one], enable_cache_pin: 0, logout_after: sign}\n");

	cr_expect_not(login.cache_pin);
	cr_expect_eq(login.logout_after, LOGOUT_AFTER_SIGN);
}
