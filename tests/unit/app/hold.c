/*
 * Applications that are held open, closed and shown (C7 to C10, C13, C15), without the routes.
 */
#include <criterion/criterion.h>

#include <string.h>

#include "tests/unit/app/fixture.h"

#define LOG_IN "acquire=1,1;release=0,1"

static struct fixture fixture;

static void set_up(void)
{
	fixture_init(&fixture);
	fixture.config.limits.worker_idle_s = 1;
}

static void tear_down(void)
{
	fixture_done(&fixture);
}

TestSuite(applications, .init = set_up, .fini = tear_down, .timeout = 60);

static struct application_key key_of(const char *domain, char id)
{
	struct application_key key = {.domain = domain, .slot = "demo"};
	memset(key.id, id, sizeof key.id);
	return key;
}

static enum status hold(const char *identity, char id)
{
	struct application_key key = key_of(identity, id);
	return registry_application_hold(
		fixture.registry, &key, identity, (struct bytes){(const unsigned char *)identity, strlen(identity)});
}

static enum status close_it(const char *identity, char id)
{
	struct application_key key = key_of(identity, id);
	return registry_application_close(fixture.registry, &key);
}

static struct application_view show(const char *identity, char id)
{
	struct application_key key = key_of(identity, id);
	return registry_application_show(fixture.registry, &key);
}

/* A request of one instance of alice's. */
static struct asked ask_as(const char *identity, char id, unsigned char instance, const char *query)
{
	struct asked asked = {.fixture = &fixture,
		.domain = identity,
		.slot = "demo",
		.id = id,
		.instance = instance,
		.query = query};
	ask_it(&asked);
	return asked;
}

static bool is_dormant(void *context)
{
	struct application_view view = show("alice", *(char *)context);
	return view.sessions == 0 && view.login == LOGIN_NONE && !view.held;
}

Test(applications, C15_an_application_shows_its_sessions_login_and_hold)
{
	fixture_start(&fixture);
	struct application_view view = show("alice", 1);
	cr_expect(!view.held && view.sessions == 0 && view.login == LOGIN_NONE);
	ask_as("alice", 1, 7, "sessions=2;login=1");
	view = show("alice", 1);
	cr_expect(!view.held && view.sessions == 2 && view.login == LOGIN_USER);
	cr_expect_eq(hold("alice", 1), STATUS_OK);
	cr_expect(show("alice", 1).held);
}

Test(applications, C15_a_login_without_a_session_is_shown_with_the_time_since_when_it_is_there)
{
	fixture_start(&fixture);
	time_t before = time(NULL);
	ask_as("alice", 1, 0, LOG_IN);
	struct application_view view = show("alice", 1), other = show("alice", 2);
	cr_expect(!view.held && view.sessions == 0 && view.login == LOGIN_USER);
	cr_expect_str_eq(application_view_state(&view), "active");
	/* The clock that counts the seconds since then and the wall clock change at different moments. */
	cr_expect(view.login_since >= before - 1 && view.login_since <= time(NULL) + 1);
	cr_expect_str_eq(application_view_state(&other), "dormant");
	cr_expect_eq(other.login_since, 0);
}

Test(applications, C10_a_held_application_cannot_be_held_again)
{
	fixture_start(&fixture);
	cr_expect_eq(hold("alice", 1), STATUS_OK);
	cr_expect_eq(hold("alice", 1), STATUS_REFUSED);
	cr_expect_eq(hold("alice", 2), STATUS_OK);
}

Test(applications, C10_what_is_neither_held_nor_has_sessions_cannot_be_closed)
{
	fixture_start(&fixture);
	cr_expect_eq(close_it("alice", 1), STATUS_NOT_FOUND);
	cr_expect_eq(hold("alice", 1), STATUS_OK);
	cr_expect_eq(close_it("alice", 1), STATUS_OK);
	cr_expect_eq(close_it("alice", 1), STATUS_NOT_FOUND);
	ask_as("alice", 1, 7, "sessions=0");
	cr_expect_eq(close_it("alice", 1), STATUS_NOT_FOUND, "a worker without sessions is dormant");
}

Test(applications, C9_close_ends_the_worker_with_all_sessions_of_the_application)
{
	fixture_start(&fixture);
	struct asked first = ask_as("alice", 1, 7, "sessions=2;login=1");
	struct asked other = ask_as("alice", 2, 7, "sessions=1");
	cr_expect_eq(close_it("alice", 1), STATUS_OK);
	cr_expect(ends(number_of(&first, "pid")));
	cr_expect(show("alice", 1).sessions == 0 && show("alice", 1).login == LOGIN_NONE);
	struct asked again = ask_as("alice", 1, 7, "");
	cr_expect_neq(number_of(&again, "pid"), number_of(&first, "pid"));
	struct asked untouched = ask_as("alice", 2, 7, "");
	cr_expect_eq(number_of(&untouched, "pid"), number_of(&other, "pid"));
}

Test(applications, C9_what_runs_while_its_application_is_closed_has_no_result)
{
	fixture_start(&fixture);
	ask_as("alice", 1, 7, "sessions=1");
	struct asked running = {
		.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .query = "sleep=300;sessions=1"};
	ask_begin(&running);
	until_running(&fixture, 1, 1);
	cr_expect_eq(close_it("alice", 1), STATUS_OK);
	ask_join(&running);
	cr_expect_eq(running.status, STATUS_CLOSED);
	cr_expect_eq(running.rv, CKR_SESSION_CLOSED);
}

Test(applications, C12_anothers_id_is_as_if_it_had_never_been_used)
{
	fixture_start(&fixture);
	struct asked held = ask_as("alice", 1, 7, "sessions=1;login=1");
	cr_expect_eq(hold("alice", 1), STATUS_OK);
	cr_expect_eq(close_it("bob", 1), STATUS_NOT_FOUND);
	struct application_view view = show("bob", 1);
	cr_expect(!view.held && view.sessions == 0 && view.login == LOGIN_NONE);
	cr_expect_eq(hold("bob", 1), STATUS_OK);
	struct asked after = ask_as("alice", 1, 7, "");
	cr_expect_eq(number_of(&after, "pid"), number_of(&held, "pid"));
	cr_expect_eq(show("alice", 1).login, LOGIN_USER);
}

Test(applications, C8_requests_tell_the_worker_that_its_application_is_held)
{
	fixture_start(&fixture);
	struct asked before = ask_as("alice", 1, 7, "");
	cr_expect_eq(number_of(&before, "held"), 0);
	cr_expect_eq(hold("alice", 1), STATUS_OK);
	struct asked after = ask_as("alice", 1, 7, "");
	cr_expect_eq(number_of(&after, "held"), 1);
	struct asked other = ask_as("bob", 1, 8, "");
	cr_expect_eq(number_of(&other, "held"), 0);
}

Test(applications, C8_a_held_application_stays_logged_in_without_a_session)
{
	fixture.config.limits.rest_idle_ttl_s = 1;
	fixture.config.limits.lease_ttl_s = 1;
	fixture_start(&fixture);
	cr_expect_eq(hold("alice", 1), STATUS_OK);
	struct asked first = ask_as("alice", 1, 7, "sessions=1;login=1");
	struct asked loose = ask_as("alice", 2, 7, "sessions=1;login=1");
	cr_expect(ends(number_of(&loose, "pid")), "C7: what nobody holds falls dormant with its last session");
	struct asked rest = ask_as("alice", 3, 0, "login=1");
	cr_expect(ends(number_of(&rest, "pid")), "by then the held one's login would be over as well");
	struct asked later = ask_as("alice", 1, 8, "");
	cr_expect_eq(number_of(&later, "pid"), number_of(&first, "pid"));
	cr_expect_eq(number_of(&later, "instances_ended"), 1);
	struct application_view view = show("alice", 1);
	cr_expect(view.held && view.sessions == 0 && view.login == LOGIN_USER);
}

Test(applications, C16_holds_expire)
{
	fixture.config.limits.hold_s = 1;
	fixture_start(&fixture);
	cr_expect_eq(hold("alice", 1), STATUS_OK);
	struct asked asked = ask_as("alice", 1, 7, "login=1");
	cr_expect(ends(number_of(&asked, "pid")));
	char id = 1;
	cr_expect(becomes(is_dormant, &id));
	cr_expect_eq(hold("alice", 1), STATUS_OK);
}

Test(applications, C16_open_sessions_outlive_the_end_of_the_hold)
{
	fixture.config.limits.hold_s = 1;
	fixture_start(&fixture);
	cr_expect_eq(hold("alice", 1), STATUS_OK);
	struct asked with = ask_as("alice", 1, 7, "sessions=1;login=1");
	cr_expect_eq(hold("alice", 2), STATUS_OK);
	struct asked without = ask_as("alice", 2, 7, "login=1");
	cr_expect(ends(number_of(&without, "pid")));
	struct asked after = ask_as("alice", 1, 7, "");
	cr_expect_eq(number_of(&after, "pid"), number_of(&with, "pid"));
	cr_expect_eq(number_of(&after, "held"), 0);
}

Test(applications, C16_an_identity_holds_so_many_and_no_more)
{
	fixture_start(&fixture);
	cr_expect_eq(hold("alice", 1), STATUS_OK);
	cr_expect_eq(hold("alice", 2), STATUS_OK);
	cr_expect_eq(hold("alice", 3), STATUS_BUSY);
	cr_expect_eq(hold("bob", 3), STATUS_OK);
	cr_expect_eq(close_it("alice", 1), STATUS_OK);
	cr_expect_eq(hold("alice", 3), STATUS_OK);
}

/* --- share groups --- */

static const char *members[] = {"alice", "bob"}, *alone[] = {"alice"}, *slots[] = {"demo"};
static struct config_share_group group = {
	.name = "team", .members = members, .members_count = 2, .slots = slots, .slots_count = 1};

static struct asked ask_in_group(const char *identity, unsigned char instance, const char *query)
{
	struct asked asked = {.fixture = &fixture,
		.domain = "team",
		.identity = identity,
		.slot = "demo",
		.id = 1,
		.instance = instance,
		.query = query};
	ask_it(&asked);
	return asked;
}

static void use_group(void)
{
	group.members = members;
	group.members_count = 2;
	fixture.config.share_groups = &group;
	fixture.config.share_groups_count = 1;
	fixture_start(&fixture);
}

static bool one_instance_ended(void *context)
{
	(void)context;
	struct asked asked = ask_in_group("alice", 7, "");
	return number_of(&asked, "instances_ended") == 1;
}

Test(applications, C13_a_member_that_is_removed_loses_its_sessions_at_reload)
{
	use_group();
	struct asked alice = ask_in_group("alice", 7, "sessions=2"), bob = ask_in_group("bob", 8, "");
	cr_assert_eq(number_of(&alice, "pid"), number_of(&bob, "pid"));
	group.members = alone;
	group.members_count = 1;
	registry_reload(fixture.registry, &fixture.config);
	cr_expect(becomes(one_instance_ended, NULL));
	struct asked after = ask_in_group("alice", 7, "");
	cr_expect_eq(number_of(&after, "pid"), number_of(&alice, "pid"), "the other member goes on");
}

static bool team_is_logged_out(void *context)
{
	(void)context;
	return show("team", 1).login == LOGIN_NONE;
}

Test(applications, C13_the_login_of_the_removed_member_ends_at_reload_and_not_that_of_another)
{
	use_group();
	struct asked bob = ask_in_group("bob", 0, LOG_IN);
	registry_reload(fixture.registry, &fixture.config);
	struct asked same = ask_in_group("alice", 0, "");
	cr_expect_eq(number_of(&same, "pid"), number_of(&bob, "pid"), "nobody was removed");
	cr_expect_eq(number_of(&same, "voided"), 0);
	group.members = alone;
	group.members_count = 1;
	registry_reload(fixture.registry, &fixture.config);
	cr_expect(becomes(team_is_logged_out, NULL));
	ask_in_group("alice", 0, LOG_IN);
	group.members_count = 2;
	group.members = members;
	registry_reload(fixture.registry, &fixture.config);
	group.members_count = 1;
	group.members = alone;
	registry_reload(fixture.registry, &fixture.config);
	cr_expect_eq(show("team", 1).login, LOGIN_USER, "the other member's stays");
}

Test(applications, C13_a_hold_ends_with_the_membership_of_who_holds)
{
	use_group();
	struct application_key key = key_of("team", 1);
	cr_expect_eq(registry_application_hold(fixture.registry, &key, "bob", (struct bytes){NULL, 0}), STATUS_OK);
	cr_expect(registry_application_show(fixture.registry, &key).held);
	group.members = alone;
	group.members_count = 1;
	registry_reload(fixture.registry, &fixture.config);
	cr_expect_not(registry_application_show(fixture.registry, &key).held);
}

Test(applications, C13_a_group_that_is_dissolved_leaves_nothing)
{
	use_group();
	struct asked alice = ask_in_group("alice", 7, "sessions=1;login=1");
	fixture.config.share_groups_count = 0;
	registry_reload(fixture.registry, &fixture.config);
	cr_expect(ends(number_of(&alice, "pid")));
}

Test(applications, B14_an_identity_that_is_removed_loses_its_applications_at_reload)
{
	fixture_start(&fixture);
	struct asked bob = ask_as("bob", 1, 8, "sessions=1;login=1"), alice = ask_as("alice", 1, 7, "sessions=1");
	fixture.identities[1].name = "carol";
	registry_reload(fixture.registry, &fixture.config);
	cr_expect(ends(number_of(&bob, "pid")));
	struct asked after = ask_as("alice", 1, 7, "");
	cr_expect_eq(number_of(&after, "pid"), number_of(&alice, "pid"));
}

/* --- explicit sessions of REST --- */

static void instance_of(unsigned char byte, unsigned char ret_instance[INSTANCE_ID_LEN])
{
	memset(ret_instance, byte, INSTANCE_ID_LEN);
}

Test(applications, C15_a_kept_session_ends_when_it_is_not_used)
{
	unsigned char instance[INSTANCE_ID_LEN];
	fixture.config.limits.rest_idle_ttl_s = 1;
	fixture_start(&fixture);
	instance_of(9, instance);
	struct asked asked = ask_as("alice", 1, 9, "sessions=1;login=1");
	cr_expect_eq(registry_instance_keep(fixture.registry, "alice", instance), STATUS_OK);
	char id = 1;
	cr_expect(becomes(is_dormant, &id));
	cr_expect(ends(number_of(&asked, "pid")));
}

Test(applications, C15_a_kept_session_can_be_ended_by_its_identity_and_application_alone)
{
	unsigned char instance[INSTANCE_ID_LEN], unknown[INSTANCE_ID_LEN];
	const struct application_key key = key_of("alice", 1), other = key_of("alice", 2), bobs = key_of("bob", 1);
	struct application_key elsewhere = key;
	elsewhere.slot = "spare";
	fixture_start(&fixture);
	instance_of(9, instance);
	instance_of(8, unknown);
	ask_as("alice", 1, 9, "sessions=1;login=1");
	cr_expect_eq(registry_instance_end(fixture.registry, "alice", instance, &key), STATUS_NOT_FOUND);
	cr_expect_eq(registry_instance_keep(fixture.registry, "alice", unknown), STATUS_NOT_FOUND);
	cr_expect_eq(registry_instance_keep(fixture.registry, "alice", instance), STATUS_OK);
	cr_expect_eq(registry_instance_end(fixture.registry, "bob", instance, &key), STATUS_NOT_FOUND);
	cr_expect_eq(registry_instance_end(fixture.registry, "alice", instance, &bobs), STATUS_NOT_FOUND);
	cr_expect_eq(registry_instance_end(fixture.registry, "alice", instance, &elsewhere), STATUS_NOT_FOUND);
	cr_expect_eq(registry_instance_end(fixture.registry, "alice", instance, &other), STATUS_NOT_FOUND);
	cr_expect_eq(registry_instance_end(fixture.registry, "alice", instance, &key), STATUS_OK);
	cr_expect_eq(registry_instance_end(fixture.registry, "alice", instance, &key), STATUS_NOT_FOUND);
	char id = 1;
	cr_expect(becomes(is_dormant, &id));
}
