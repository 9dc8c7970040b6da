/* Logins and holds of those to whom a reload leaves no right to them (B14). */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "tests/unit/app/fixture.h"

#define LOG_IN "acquire=1,1;release=0,1"

FIXTURE_SUITE(principal);

static struct asked log_in(const char *identity, char id, const char *certificate)
{
	struct asked asked = {.fixture = &fixture,
		.domain = identity,
		.slot = "demo",
		.id = id,
		.query = LOG_IN,
		.certificate = certificate};
	ask_it(&asked);
	cr_assert_eq(number_of(&asked, "rv"), 0);
	return asked;
}

static struct application_key key_of(const char *domain, char id)
{
	struct application_key key = {.domain = domain, .slot = "demo"};
	memset(key.id, id, sizeof key.id);
	return key;
}

static enum login_state login_of(char id)
{
	struct application_key key = key_of("alice", id);
	return registry_application_show(fixture.registry, &key).login;
}

static bool is_logged_out(void *id)
{
	return login_of(*(char *)id) == LOGIN_NONE;
}

static unsigned long long voided(char id)
{
	struct asked asked = ask(&fixture, id, "");
	return number_of(&asked, "voided");
}

static bool is_not(void *context, const char *identity, struct bytes certificate)
{
	const char *revoked = context;
	(void)identity;
	return certificate.len != strlen(revoked) || memcmp(certificate.data, revoked, certificate.len) != 0;
}

Test(principal, B14_the_login_of_an_identity_that_may_not_log_in_any_more_ends_at_reload)
{
	char id = 1;
	struct asked before = log_in("alice", id, "one");
	fixture.rules[0].permissions &= ~(unsigned)PERMISSIONS_LOGIN;
	registry_reload(fixture.registry, &fixture.config);
	cr_expect(becomes(is_logged_out, &id));
	cr_expect_eq(voided(id), 1 + LOGIN_END_REVOKED);
	struct asked after = ask(&fixture, id, "");
	cr_expect_eq(number_of(&after, "pid"), number_of(&before, "pid"), "what needs no login goes on");
}

Test(principal, B14_a_login_survives_a_reload_that_takes_away_something_else)
{
	log_in("alice", 1, "one");
	fixture.rules[0].permissions &= ~(unsigned)PERMISSIONS_WRITE;
	fixture.rules[1].permissions = 0;
	registry_reload(fixture.registry, &fixture.config);
	cr_expect_eq(voided(1), 0);
	cr_expect_eq(login_of(1), LOGIN_USER);
}

Test(principal, B14_the_sessions_of_an_identity_that_may_do_nothing_any_more_end_at_reload)
{
	struct asked asked = ask(&fixture, 1, "sessions=1");
	fixture.rules[0].permissions = 0;
	registry_reload(fixture.registry, &fixture.config);
	cr_expect(ends(number_of(&asked, "pid")));
}

Test(principal, B14_the_login_made_with_a_revoked_certificate_ends_and_no_other)
{
	char id = 1, revoked[] = "one";
	log_in("alice", 1, "one");
	log_in("alice", 2, "two");
	registry_revoke(fixture.registry, is_not, revoked);
	cr_expect(becomes(is_logged_out, &id));
	cr_expect_eq(voided(1), 1 + LOGIN_END_REVOKED);
	cr_expect_eq(voided(2), 0);
	cr_expect_eq(login_of(2), LOGIN_USER);
}

Test(principal, B14_the_last_login_is_the_one_whose_certificate_counts)
{
	char revoked[] = "one";
	log_in("alice", 1, "one");
	ask(&fixture, 1, "acquire=2;release=0,0");
	log_in("alice", 1, "two");
	registry_revoke(fixture.registry, is_not, revoked);
	cr_expect_eq(voided(1), 0);
	cr_expect_eq(login_of(1), LOGIN_USER);
}

static bool is_logged_in(void *id)
{
	return login_of(*(char *)id) == LOGIN_USER;
}

Test(principal, B14_a_login_has_its_owner_from_its_beginning_not_when_the_request_ends)
{
	char id = 1, revoked[] = "one";
	struct asked first = {.fixture = &fixture,
		.domain = "alice",
		.slot = "demo",
		.id = id,
		.query = LOG_IN ";stay",
		.certificate = "one"};
	ask_begin(&first);
	cr_assert(becomes(is_logged_in, &id));
	ask(&fixture, id, "acquire=2;release=0,0");
	log_in("alice", id, "two");
	ask(&fixture, id, "go");
	ask_join(&first);
	registry_revoke(fixture.registry, is_not, revoked);
	cr_expect_eq(voided(id), 0);
	cr_expect_eq(login_of(id), LOGIN_USER);
}

Test(principal, B14_a_login_that_failed_is_nobodys)
{
	char revoked[] = "two";
	log_in("alice", 1, "one");
	struct asked failed = {.fixture = &fixture,
		.domain = "alice",
		.slot = "demo",
		.id = 1,
		.query = "acquire=1,1;release=0xA0,1",
		.certificate = "two"};
	ask_it(&failed);
	registry_revoke(fixture.registry, is_not, revoked);
	cr_expect_eq(voided(1), 0);
}

Test(principal, B14_a_login_that_was_under_way_at_the_reload_ends_too)
{
	char id = 1;
	struct asked asked = {
		.fixture = &fixture, .domain = "alice", .slot = "demo", .id = id, .query = LOG_IN, .too_late = true};
	ask_it(&asked);
	cr_assert_eq(number_of(&asked, "rv"), 0);
	cr_expect(becomes(is_logged_out, &id));
}

Test(principal, B14_holds_of_a_revoked_certificate_and_of_who_may_not_log_in_end)
{
	char revoked[] = "one";
	static const char *const certificates[] = {"one", "two"};
	for (char id = 1; id <= 2; id++) {
		struct application_key key = key_of("alice", id);
		struct bytes certificate = {(const unsigned char *)certificates[id - 1], 3};
		cr_assert_eq(registry_application_hold(fixture.registry, &key, "alice", certificate), STATUS_OK);
	}
	struct application_key first = key_of("alice", 1), second = key_of("alice", 2);
	registry_revoke(fixture.registry, is_not, revoked);
	cr_expect_not(registry_application_show(fixture.registry, &first).held);
	cr_expect(registry_application_show(fixture.registry, &second).held);
	fixture.rules[0].permissions &= ~(unsigned)PERMISSIONS_LOGIN;
	registry_reload(fixture.registry, &fixture.config);
	cr_expect_not(registry_application_show(fixture.registry, &second).held);
}

/* --- the record --- */

static char reports[1024]; /* of one thread after another */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void note(void *context, const struct registry_logout *logout)
{
	(void)context;
	pthread_mutex_lock(&mutex);
	size_t used = strlen(reports);
	snprintf(reports + used, sizeof reports - used, "%s %s: %s\n", logout->identity, logout->user, logout->reason);
	pthread_mutex_unlock(&mutex);
}

static bool are_reported(void *count)
{
	unsigned lines = 0;
	pthread_mutex_lock(&mutex);
	for (const char *at = reports; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	pthread_mutex_unlock(&mutex);
	return lines == *(unsigned *)count;
}

Test(principal, B14_the_record_of_a_revoked_login_says_so_also_when_its_worker_ends_with_it)
{
	static const char one[] = "alice CKU_USER: the identity may not use the application any more\n";
	char revoked[] = "one", both[2 * sizeof one];
	unsigned count = 1;
	registry_report_logouts(fixture.registry, note, NULL);
	log_in("alice", 1, "one");
	registry_revoke(fixture.registry, is_not, revoked);
	cr_assert(becomes(are_reported, &count));
	cr_expect_str_eq(reports, one);
	struct asked asked = log_in("alice", 2, "two");
	fixture.rules[0].permissions = 0;
	registry_reload(fixture.registry, &fixture.config);
	cr_expect(ends(number_of(&asked, "pid")));
	count = 2;
	cr_assert(becomes(are_reported, &count));
	snprintf(both, sizeof both, "%s%s", one, one);
	cr_expect_str_eq(reports, both);
}
