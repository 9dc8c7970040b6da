/* The file of a token's count of wrong PINs (B16). */
#include <criterion/criterion.h>

#include <glob.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/app/rules.h"

TestSuite(tries, .init = rules_set_up, .fini = rules_tear_down, .timeout = 60);

/* The path of the only count there is. */
static void find_tries(char path[256])
{
	glob_t found;
	snprintf(path, 256, "%s/token-*.tries", ruled.directory);
	cr_assert_eq(glob(path, 0, NULL, &found), 0);
	cr_assert_eq(found.gl_pathc, 1);
	snprintf(path, 256, "%s", found.gl_pathv[0]);
	globfree(&found);
}

static void write_tries(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
}

static void expect_closed(const char *what)
{
	unsigned count = 0;
	cr_expect_eq(rv_of("mallory", 1, USER_LOGIN), CKR_PIN_LOCKED, "%s", what);
	cr_expect_eq(rv_of("mallory", 1, SO_LOGIN), CKR_PIN_LOCKED, "%s", what);
	cr_expect(registry_guard_flags(ruled.registry, "mallory", "demo") & CKF_USER_PIN_LOCKED, "%s", what);
	cr_expect_eq(registry_guard_reset(ruled.registry, NULL, "demo", &count), STATUS_OK);
	cr_expect_eq(rv_of("mallory", 1, WRONG_PIN), CKR_OK, "%s: reset", what);
	cr_expect_eq(counts_now().user, 1, "%s: counted again", what);
}

Test(tries, B16_a_damaged_count_lets_no_pin_through_until_it_is_reset)
{
	static const char *const damaged[] = {"", "0000000001\n", "0000000001 0000000001\nmore",
		"00000000-1 0000000001\n", "wrong 4567 wrong 4567\n"};
	char path[256];
	fixture_start(&ruled);
	fail("alice", 1, 1);
	find_tries(path);
	for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
		write_tries(path, damaged[i]);
		expect_closed(damaged[i]);
		write_tries(path, "0000000000 0000000000\n");
		(void)rv_of("mallory", 1, USER_LOGIN);
		(void)rv_of("mallory", 1, LOGOUT);
	}
}

Test(tries, B16_a_count_that_cannot_be_read_lets_no_pin_through_until_it_is_reset)
{
	char path[256];
	fixture_start(&ruled);
	fail("alice", 1, 1);
	find_tries(path);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(symlink("/nowhere", path), 0);
	expect_closed("a symbolic link");
}

Test(tries, B16_who_may_use_the_last_tries_gets_past_a_damaged_count_and_a_good_login_mends_it)
{
	char path[256];
	rules[1].may_use_last_tries = true;
	fixture_start(&ruled);
	fail("alice", 1, 1);
	find_tries(path);
	write_tries(path, "damaged");
	cr_expect_eq(rv_of("bob", 1, WRONG_PIN), CKR_OK);
	cr_expect_eq(rv_of("mallory", 1, USER_LOGIN), CKR_PIN_LOCKED, "a wrong one mends nothing");
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("mallory", 1, USER_LOGIN), CKR_OK);
}

Test(tries, B16_a_wrong_pin_that_cannot_be_counted_closes_the_token)
{
	char path[256], obstacle[300];
	unsigned count = 0;
	fixture_start(&ruled);
	fail("alice", 1, 1);
	find_tries(path);
	snprintf(obstacle, sizeof obstacle, "%s.new", path);
	cr_assert_eq(mkdir(obstacle, 0700), 0);
	fail("alice", 1, 1);
	cr_expect_eq(rv_of("mallory", 1, USER_LOGIN), CKR_PIN_LOCKED);
	cr_expect_eq(registry_guard_reset(ruled.registry, NULL, "demo", &count), STATUS_IO);
	cr_assert_eq(rmdir(obstacle), 0);
	cr_expect_eq(rv_of("mallory", 1, USER_LOGIN), CKR_PIN_LOCKED, "until it is reset");
	cr_expect_eq(registry_guard_reset(ruled.registry, NULL, "demo", &count), STATUS_OK);
	cr_expect_eq(rv_of("mallory", 1, USER_LOGIN), CKR_OK);
}
