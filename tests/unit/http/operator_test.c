/* What operators get from the administration socket about applications and the guard. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "server/http/operator.h"
#include "tests/unit/http/fixture.h"

static struct fixture *fixture;

static void open_fixture(void)
{
	fixture = fixture_with_workers("  sign_s: 1\n");
}

static void close_fixture(void)
{
	fixture_free(fixture);
}

TestSuite(operator, .init = open_fixture, .fini = close_fixture, .timeout = 60);

static bool command(const char *line, char *ret_answer, size_t size)
{
	return operator_command(fixture->registry, fixture->audit, line, ret_answer, size);
}

static void hold(const char *identity, unsigned char id)
{
	struct application_key key = {.domain = identity, .slot = "demo"};
	memset(key.id, id, sizeof key.id);
	cr_assert_eq(registry_application_hold(fixture->registry, &key, identity, (struct bytes){NULL, 0}), STATUS_OK);
}

Test(operator, C16_applications_are_listed_by_their_hash)
{
	char answer[4096], expected[512], hash[33];
	struct application_key key = {.domain = "alice", .slot = "demo"};
	cr_assert(command("app list", answer, sizeof answer));
	cr_expect_str_eq(answer, "ok");
	hold("alice", 0x5a);
	memset(key.id, 0x5a, sizeof key.id);
	registry_application_hash(fixture->registry, &key, hash);
	cr_assert(command("app list", answer, sizeof answer));
	snprintf(expected, sizeof expected, "ok slot=demo domain=alice application=%s state=held login=none sessions=0",
		hash);
	cr_expect_str_eq(answer, expected);
	cr_expect_null(strstr(answer, "5a5a5a5a"));
}

Test(operator, a_list_that_is_too_long_says_how_much_is_missing)
{
	char answer[400];
	for (unsigned char id = 1; id <= 10; id++)
		hold("alice", id);
	cr_assert(command("app list", answer, sizeof answer));
	cr_expect_lt(strlen(answer), sizeof answer);
	cr_expect_not_null(strstr(answer, ";and 7 more"), "%s", answer);
}

Test(operator, B16_a_reset_is_recorded)
{
	char answer[256];
	cr_assert(command("guard reset alice demo", answer, sizeof answer));
	cr_expect_str_eq(answer, "ok reset=0");
	cr_expect_eq(audit_lines(fixture, "{\"kind\":\"guard-reset\",\"identity\":\"alice\",\"slot\":\"demo\"}"), 1);
}

Test(operator, B16_a_reset_needs_an_identity_and_a_slot)
{
	static const char *const bad[] = {"guard reset ", "guard reset alice", "guard reset alice demo more"};
	char answer[256];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cr_assert(command(bad[i], answer, sizeof answer));
		cr_expect_eq(strncmp(answer, "error ", 6), 0, "%s: %s", bad[i], answer);
	}
	cr_expect_eq(audit_lines(fixture, "guard-reset"), 0);
}

Test(operator, other_lines_are_not_its_commands)
{
	char answer[256];
	cr_expect_not(command("status", answer, sizeof answer));
	cr_expect_not(command("app", answer, sizeof answer));
	cr_expect_not(command("app list all", answer, sizeof answer));
}
