/*
 * Application IDs between processes (requirements C2, C6 to C14): programs of their own, of one identity or of two, in the
 * sequences that parents, children and administration programs use.
 */
#include "tests/integration/application.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define NOT_LOGGED_IN "0x101"
#define SESSION_INVALID "0xb3"
#define TOKEN_ABSENT "0xe0"
#define ID_EXISTS "0x80000069"
#define ID_INVALID "0x80000068"

/* A gateway of the test's own, so that its IDs mean nothing to other tests. */
static struct gateway g;

static void start(void)
{
	gateway_start(&g);
}

/* As start, where what nobody holds ends soon. */
static void start_brief(void)
{
	setenv("LIMITS", "lease_ttl_s: 5, idle_s: 1", 1);
	gateway_start(&g);
	unsetenv("LIMITS");
}

/* As start, where holds end soon. */
static void start_passing(void)
{
	setenv("LIMITS", "hold_s: 5", 1);
	gateway_start(&g);
	unsetenv("LIMITS");
}

/* As start, where alice and bob share one ID. */
static void start_shared(void)
{
	setenv("MORE", "share_groups: [{name: team, members: [alice, bob], slots: [demo], app_ids: [3-4]}]", 1);
	gateway_start(&g);
	unsetenv("MORE");
}

/* As start, where alice's IDs have to be long ones. */
static void start_long_ids(void)
{
	setenv("MORE", "login: [{identities: [alice], slots: ['*'], min_app_id: v2}]", 1);
	gateway_start(&g);
	unsetenv("MORE");
}

static void stop(void)
{
	gateway_stop(&g);
}

TestSuite(applications, .init = start, .fini = stop, .timeout = 120);
TestSuite(applications_brief, .init = start_brief, .fini = stop, .timeout = 120);
TestSuite(applications_passing, .init = start_passing, .fini = stop, .timeout = 120);
TestSuite(applications_shared, .init = start_shared, .fini = stop, .timeout = 120);
TestSuite(applications_long_ids, .init = start_long_ids, .fini = stop, .timeout = 120);

/* A program of `who` that has set the ID and opened a session. */
static struct application with_session(enum person who, const char *set)
{
	struct application a;

	application_start(&a, &g, who);
	cr_assert_str_eq(TELL_ALL(&a, set, "init", "open"), "0x0");
	return a;
}

/* As with_session, and logged in. */
static struct application logged_in(enum person who, const char *set)
{
	struct application a = with_session(who, set);

	cr_assert_str_eq(tell(&a, "login %s", g.pin), "0x0");
	return a;
}

/* What a new session under the ID is: "user" or "public". It is closed again. */
static const char *state_under(enum person who, const char *set)
{
	struct application a = with_session(who, set);
	const char *state = tell(&a, "info");

	cr_assert_str_eq(tell(&a, "finalize"), "0x0");
	cr_assert(application_end(&a));
	return strchr(state, ' ') != NULL ? strchr(state, ' ') + 1 : state;
}

Test(applications, C6_a_login_is_shared_by_processes_with_one_id_and_so_is_the_logout)
{
	struct application one = logged_in(ALICE, "set 3 4");

	cr_assert_str_eq(tell(&one, "generate shared"), "0x0");
	struct application two = with_session(ALICE, "set 3 4");
	cr_expect_str_eq(tell(&two, "info"), "0x0 user");
	cr_expect_str_eq(tell(&two, "cainfo"), "0x0 3 4 slot 1");
	cr_expect_str_eq(tell(&two, "login %s", g.pin), "0x100");
	cr_assert_str_eq(tell(&two, "find shared"), "0x0 1");
	cr_expect_str_eq(tell(&two, "sign"), "0x0");
	cr_assert_str_eq(tell(&one, "logout"), "0x0");
	cr_expect_str_eq(tell(&one, "info"), "0x0 public");
	cr_expect_str_eq(tell(&two, "info"), "0x0 public");
	const char *refused = tell(&two, "sign");
	cr_expect(strcmp(refused, NOT_LOGGED_IN) == 0 || strcmp(refused, "0x82") == 0, "%s", refused);
	cr_expect_str_eq(tell(&two, "find shared"), "0x0 0");
}

Test(applications, C6_processes_with_different_ids_share_nothing)
{
	struct application one = logged_in(ALICE, "set 3 4");
	struct application other = with_session(ALICE, "set 3 5");
	struct application longer = with_session(ALICE, "setv2 00000003000000040000000000000001");

	cr_assert_str_eq(tell(&one, "generate mine"), "0x0");
	cr_expect_str_eq(tell(&other, "info"), "0x0 public");
	cr_expect_str_eq(tell(&other, "find mine"), "0x0 0");
	cr_expect_str_eq(tell(&longer, "info"), "0x0 public");
	cr_expect_str_eq(tell(&longer, "find mine"), "0x0 0");
}

Test(applications, C2_processes_share_nothing_by_default)
{
	struct application one, two;

	application_start(&one, &g, ALICE);
	application_start(&two, &g, ALICE);
	cr_assert_str_eq(TELL_ALL(&one, "init", "open"), "0x0");
	cr_assert_str_eq(TELL_ALL(&two, "init", "open"), "0x0");
	cr_assert_str_eq(tell(&one, "login %s", g.pin), "0x0");
	cr_expect_str_eq(tell(&two, "info"), "0x0 public");
	cr_expect_str_neq(tell(&one, "get"), tell(&two, "get"));
}

Test(applications, C7_the_login_ends_with_the_last_session_of_all_processes)
{
	struct application one = logged_in(ALICE, "set 3 4"), two = with_session(ALICE, "set 3 4");

	cr_assert_str_eq(TELL_ALL(&one, "close", "finalize"), "0x0");
	cr_assert(application_end(&one));
	cr_expect_str_eq(tell(&two, "info"), "0x0 user", "a session of it is open");
	cr_assert_str_eq(tell(&two, "close"), "0x0");
	cr_expect_str_eq(state_under(ALICE, "set 3 4"), "public");
	cr_assert_str_eq(tell(&two, "open"), "0x0");
	cr_expect_str_eq(tell(&two, "info"), "0x0 public");
}

Test(applications, C8_a_parent_that_holds_its_id_open_logs_in_for_its_children)
{
	struct application parent;

	application_start(&parent, &g, ALICE);
	cr_assert_str_eq(TELL_ALL(&parent, "set 7 9", "init", "hold 7 9", "open"), "0x0");
	cr_assert_str_eq(tell(&parent, "login %s", g.pin), "0x0");
	cr_assert_str_eq(TELL_ALL(&parent, "generate held", "close", "finalize"), "0x0");
	cr_assert(application_end(&parent));
	for (int i = 0; i < 2; i++) {
		struct application child = with_session(ALICE, "set 7 9");
		cr_expect_str_eq(tell(&child, "info"), "0x0 user");
		cr_assert_str_eq(tell(&child, "find held"), "0x0 1");
		cr_expect_str_eq(tell(&child, "sign"), "0x0");
		cr_assert_str_eq(tell(&child, "finalize"), "0x0");
		cr_assert(application_end(&child));
	}
}

Test(applications, C8_a_logout_ends_the_login_of_a_held_application_and_not_the_hold)
{
	struct application one = with_session(ALICE, "set 7 9");

	cr_assert_str_eq(tell(&one, "hold 7 9"), "0x0");
	cr_assert_str_eq(tell(&one, "login %s", g.pin), "0x0");
	cr_assert_str_eq(TELL_ALL(&one, "logout", "close"), "0x0");
	cr_expect_str_eq(state_under(ALICE, "set 7 9"), "public");
	cr_expect_str_eq(tell(&one, "hold 7 9"), ID_EXISTS);
	cr_expect_str_eq(tell(&one, "release 7 9"), "0x0");
}

Test(applications, C9_close_ends_all_sessions_of_the_application_from_a_process_that_never_set_its_id)
{
	struct application one = with_session(ALICE, "set 7 9"), two = with_session(ALICE, "set 7 9"), closer;

	cr_assert_str_eq(tell(&one, "hold 7 9"), "0x0");
	cr_assert_str_eq(tell(&one, "login %s", g.pin), "0x0");
	application_start(&closer, &g, ALICE);
	cr_assert_str_eq(TELL_ALL(&closer, "init", "open"), "0x0");
	cr_expect_str_eq(tell(&closer, "release 7 9"), "0x0");
	cr_expect_str_eq(tell(&one, "digest"), SESSION_INVALID);
	cr_expect_str_eq(tell(&two, "digest"), SESSION_INVALID);
	cr_expect_str_eq(tell(&closer, "digest"), "0x0", "its own session is another application's");
	cr_assert_str_eq(tell(&one, "open"), "0x0");
	cr_expect_str_eq(tell(&one, "info"), "0x0 public");
	cr_assert_str_eq(tell(&one, "close"), "0x0");
	cr_expect_str_eq(tell(&closer, "release 7 9"), ID_INVALID, "it is dormant");
}

Test(applications, C9_an_application_that_was_never_held_can_be_closed_while_it_has_sessions)
{
	struct application one = logged_in(ALICE, "setv2 00000007000000090000000000000001"), closer;

	application_start(&closer, &g, ALICE);
	cr_assert_str_eq(tell(&closer, "init"), "0x0");
	cr_expect_str_eq(tell(&closer, "release 7 9"), ID_INVALID, "an ID is all its 16 bytes");
	cr_expect_str_eq(tell(&one, "info"), "0x0 user");
	cr_expect_str_eq(tell(&closer, "releasev2 00000007000000090000000000000001"), "0x0");
	cr_expect_str_eq(tell(&one, "info"), SESSION_INVALID);
}

Test(applications, C9_a_call_under_way_ends_with_its_session)
{
	enum { ATTEMPTS = 20 }; /* the key may be made before the close arrives */
	struct application one = logged_in(ALICE, "set 7 9"), closer;
	const char *answer = "0x0";

	application_start(&closer, &g, ALICE);
	cr_assert_str_eq(tell(&closer, "init"), "0x0");
	for (int i = 0; i < ATTEMPTS && strcmp(answer, "0x0") == 0; i++) {
		tell_only(&one, "slow");
		cr_assert_str_eq(tell(&closer, "release 7 9"), "0x0");
		answer = answer_of(&one);
		cr_assert_str_eq(tell(&one, "open"), "0x0");
		cr_assert_str_eq(tell(&one, "login %s", g.pin), "0x0");
	}
	cr_expect(strcmp(answer, "0xb0") == 0 || strcmp(answer, SESSION_INVALID) == 0, "%s", answer);
}

Test(applications, C10_holding_twice_and_closing_twice_have_their_codes)
{
	struct application one, two;

	application_start(&one, &g, ALICE);
	application_start(&two, &g, ALICE);
	cr_assert_str_eq(tell(&one, "init"), "0x0");
	cr_assert_str_eq(tell(&two, "init"), "0x0");
	cr_expect_str_eq(tell(&one, "release 7 9"), ID_INVALID);
	cr_expect_str_eq(tell(&one, "hold 7 9"), "0x0");
	cr_expect_str_eq(tell(&one, "hold 7 9"), ID_EXISTS);
	cr_expect_str_eq(tell(&two, "hold 7 9"), ID_EXISTS);
	cr_expect_str_eq(tell(&two, "holdv2 00000007000000090000000000000001"), "0x0");
	cr_expect_str_eq(tell(&two, "release 7 9"), "0x0");
	cr_expect_str_eq(tell(&one, "release 7 9"), ID_INVALID);
	cr_expect_str_eq(tell(&one, "releasev2 00000007000000090000000000000001"), "0x0");
	cr_expect_str_eq(tell(&one, "hold 7 9"), "0x0", "a closed ID can be held again");
	cr_expect_str_eq(tell(&one, "release 7 9"), "0x0");
}

static bool has_no_token(const struct gateway *gateway, void *application)
{
	(void)gateway;
	return strcmp(tell(application, "release 7 9"), TOKEN_ABSENT) == 0;
}

Test(applications, C10_a_slot_that_lost_its_token_has_no_applications)
{
	enum { SECONDS = 30 };
	struct application one;

	application_start(&one, &g, ALICE);
	cr_assert_str_eq(tell(&one, "init"), "0x0");
	/* The token alone: a module that looked while its directory is away would be broken, not without a token. */
	shell("mkdir '%s/softhsm/away' && mv '%s/softhsm/tokens/'* '%s/softhsm/away/'", g.directory, g.directory,
		g.directory);
	cr_assert(await_condition(has_no_token, &g, &one, SECONDS));
	cr_expect_str_eq(tell(&one, "hold 7 9"), TOKEN_ABSENT);
	cr_expect_str_eq(tell(&one, "open"), TOKEN_ABSENT);
}

Test(applications, C11_close_all_and_the_counts_are_about_the_calling_process)
{
	struct application one = logged_in(ALICE, "set 3 4"), two = with_session(ALICE, "set 3 4");

	cr_assert_str_eq(tell(&one, "openwith 5 6"), "0x0");
	cr_expect_str_eq(tell(&one, "counts"), "0x0 2 2");
	cr_expect_str_eq(tell(&two, "counts"), "0x0 1 1");
	cr_assert_str_eq(tell(&one, "closeall"), "0x0");
	cr_expect_str_eq(tell(&one, "digest"), SESSION_INVALID);
	cr_expect_str_eq(tell(&one, "counts"), "0x0 0 0");
	cr_expect_str_eq(tell(&two, "digest"), "0x0");
	cr_expect_str_eq(tell(&two, "info"), "0x0 user");
	cr_expect_str_eq(tell(&two, "counts"), "0x0 1 1");
}

Test(applications, C12_another_identity_with_the_same_id_has_an_application_of_its_own)
{
	struct application alice = logged_in(ALICE, "set 3 4"), bob = with_session(BOB, "set 3 4");

	cr_assert_str_eq(tell(&alice, "generate hers"), "0x0");
	cr_expect_str_eq(tell(&bob, "info"), "0x0 public");
	cr_expect_str_eq(tell(&bob, "find hers"), "0x0 0");
	cr_expect_str_eq(tell(&bob, "login wrong-pin"), "0xa0");
	cr_assert_str_eq(tell(&bob, "login %s", g.pin), "0x0");
	cr_assert_str_eq(tell(&bob, "logout"), "0x0");
	cr_expect_str_eq(tell(&alice, "info"), "0x0 user");
	cr_expect_str_eq(tell(&alice, "sign"), "0x0");
	cr_assert_str_eq(tell(&bob, "release 3 4"), "0x0", "its own one");
	cr_expect_str_eq(tell(&alice, "info"), "0x0 user");
}

Test(applications, C12_another_identity_cannot_close_an_application_nor_tell_it_from_an_unused_id)
{
	struct application alice = logged_in(ALICE, "set 3 4"), bob;

	cr_assert_str_eq(tell(&alice, "hold 3 4"), "0x0");
	application_start(&bob, &g, BOB);
	cr_assert_str_eq(tell(&bob, "init"), "0x0");
	cr_expect_str_eq(tell(&bob, "release 3 4"), ID_INVALID);
	cr_expect_str_eq(tell(&bob, "release 8 8"), ID_INVALID);
	/* With one trace, which every answer shows. */
	const char *const trace[] = {"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", NULL};
	ANSWER_AUTO used = request(&g, BOB, "DELETE", "/v1/slots/demo/applications/3-4", NULL, trace);
	ANSWER_AUTO unused = request(&g, BOB, "DELETE", "/v1/slots/demo/applications/8-8", NULL, trace);
	cr_expect_eq(used.status, 404);
	cr_expect_eq(unused.status, 404);
	cr_expect_str_eq(used.text, unused.text);
	cr_expect_str_eq(tell(&bob, "hold 3 4"), "0x0", "it is not held for bob");
	cr_expect_str_eq(tell(&bob, "release 3 4"), "0x0");
	cr_expect_str_eq(tell(&alice, "info"), "0x0 user");
	cr_expect_str_eq(tell(&alice, "hold 3 4"), ID_EXISTS);
	cr_assert_str_eq(tell(&alice, "release 3 4"), "0x0");
}

Test(applications_long_ids, C12_a_gateway_may_refuse_ids_that_are_easy_to_guess)
{
	struct application alice, bob = with_session(BOB, "set 3 4");

	application_start(&alice, &g, ALICE);
	cr_assert_str_eq(TELL_ALL(&alice, "set 3 4", "init"), "0x0", "slots are no application's");
	cr_expect_str_eq(tell(&alice, "open"), ID_INVALID);
	cr_expect_str_eq(tell(&alice, "openwith 7 9"), ID_INVALID);
	cr_expect_str_eq(tell(&alice, "hold 3 4"), ID_INVALID);
	cr_expect_str_eq(tell(&alice, "release 3 4"), ID_INVALID);
	cr_assert_str_eq(TELL_ALL(&alice, "setv2 00000003000000040000000000000001", "open"), "0x0");
	cr_expect_str_eq(tell(&alice, "holdv2 00000003000000040000000000000001"), "0x0");
	cr_assert_str_eq(TELL_ALL(&alice, "randomize", "open"), "0x0");
	cr_expect_str_eq(tell(&bob, "info"), "0x0 public", "the rule is alice's");
}

Test(applications, C16_an_identity_may_hold_so_many_applications_and_no_more)
{
	enum { HOLDS = 16 };
	struct application one, two, other;

	application_start(&one, &g, ALICE);
	application_start(&two, &g, ALICE);
	application_start(&other, &g, BOB);
	cr_assert_str_eq(tell(&one, "init"), "0x0");
	cr_assert_str_eq(tell(&two, "init"), "0x0");
	cr_assert_str_eq(tell(&other, "init"), "0x0");
	for (int i = 0; i < HOLDS; i++)
		cr_assert_str_eq(tell(&one, "hold 16 %d", i), "0x0");
	cr_expect_str_eq(tell(&one, "hold 16 16"), "0x2");
	cr_expect_str_eq(tell(&two, "hold 16 16"), "0x2");
	cr_expect_str_eq(tell(&other, "hold 16 16"), "0x0");
	cr_assert_str_eq(tell(&two, "release 16 0"), "0x0");
	cr_expect_str_eq(tell(&one, "hold 16 16"), "0x0");
}

/* Signs over REST under the ID (3,4): the HTTP status. */
static long rest_sign(enum person who)
{
	const char *const id[] = {"X-Application-Id: 3-4", NULL};
	ANSWER_AUTO answer = request(
		&g, who, "POST", "/v1/slots/demo/keys/face/sign", "{\"algorithm\":\"ES256\",\"data\":\"AAAA\"}", id);
	return answer.status;
}

Test(applications, C15_a_login_and_a_logout_through_one_face_are_seen_through_the_other)
{
	enum { OK = 200, NO_CONTENT = 204 };
	const char *const id[] = {"X-Application-Id: 3-4", NULL};
	struct application module = logged_in(ALICE, "set 3 4");

	cr_assert_str_eq(tell(&module, "generate face"), "0x0");
	cr_expect_eq(rest_sign(ALICE), OK);
	cr_expect_neq(rest_sign(BOB), OK);
	ANSWER_AUTO out = request(&g, ALICE, "POST", "/v1/slots/demo/applications/current/logout", NULL, id);
	cr_expect_eq(out.status, NO_CONTENT, "%s", out.text);
	cr_expect_str_eq(tell(&module, "info"), "0x0 public");
	cr_expect_neq(rest_sign(ALICE), OK);
	rest_login(&g, ALICE, id);
	cr_expect_str_eq(tell(&module, "info"), "0x0 user");
	cr_expect_eq(rest_sign(ALICE), OK);
	cr_assert_str_eq(tell(&module, "logout"), "0x0");
	cr_expect_neq(rest_sign(ALICE), OK);
}

Test(applications_shared, C13_two_identities_share_the_ids_of_their_share_group_and_no_others)
{
	struct application alice = logged_in(ALICE, "set 3 4"), bob = with_session(BOB, "set 3 4"),
			   other = with_session(BOB, "set 3 5");

	cr_assert_str_eq(tell(&alice, "generate shared"), "0x0");
	cr_expect_str_eq(tell(&bob, "info"), "0x0 user");
	cr_assert_str_eq(tell(&bob, "find shared"), "0x0 1");
	cr_expect_str_eq(tell(&bob, "sign"), "0x0");
	cr_expect_str_eq(tell(&other, "info"), "0x0 public");
	cr_assert_str_eq(tell(&bob, "logout"), "0x0");
	cr_expect_str_eq(tell(&alice, "info"), "0x0 public");
	cr_assert_str_eq(tell(&alice, "openwith 3 5"), "0x0");
	cr_assert_str_eq(tell(&alice, "login %s", g.pin), "0x0");
	cr_expect_str_eq(tell(&other, "info"), "0x0 public");
}

Test(applications_shared, C13_a_member_that_is_removed_loses_its_sessions_at_reload)
{
	struct application alice = logged_in(ALICE, "set 3 4"), bob = with_session(BOB, "set 3 4");

	cr_assert_str_eq(tell(&bob, "info"), "0x0 user");
	shell("sed -i 's/members: .alice, bob./members: [alice]/' '%s/p11gated.yaml'", g.directory);
	shell("'%s' reload --config '%s/p11gated.yaml'", g.tool, g.directory);
	cr_expect_str_eq(tell(&bob, "info"), SESSION_INVALID);
	cr_expect_str_eq(tell(&alice, "info"), "0x0 user");
	cr_assert_str_eq(tell(&bob, "open"), "0x0");
	cr_expect_str_eq(tell(&bob, "info"), "0x0 public");
}

static bool is_public(const struct gateway *gateway, void *set)
{
	(void)gateway;
	return strcmp(state_under(ALICE, set), "public") == 0;
}

Test(applications_brief, C14_a_killed_program_loses_its_sessions_and_one_that_is_idle_or_stopped_keeps_them)
{
	enum { SECONDS = 30 };
	struct application killed = logged_in(ALICE, "set 1 1"), idle = logged_in(ALICE, "set 2 2"),
			   stopped = logged_in(ALICE, "set 3 3");

	process_halt(stopped.pid);
	application_kill(&killed);
	cr_expect_str_eq(state_under(ALICE, "set 1 1"), "user", "before the lease has ended");
	cr_assert(await_condition(is_public, &g, "set 1 1", SECONDS), "its login did not end");
	cr_assert_eq(kill(stopped.pid, SIGCONT), 0);
	cr_expect_str_eq(tell(&idle, "info"), "0x0 user");
	cr_expect_str_eq(tell(&stopped, "info"), "0x0 user");
	cr_expect_str_eq(tell(&stopped, "digest"), "0x0");
}

Test(applications_brief, C14_a_program_that_is_idle_after_an_answer_that_came_too_late_keeps_its_sessions)
{
	enum { SECONDS = 30 };
	shell("sed -i 's/^\\[Gateway\\]/&\\nTimeout = 5/' '%s'", g.configuration);
	struct application late = logged_in(ALICE, "set 1 1"), killed = logged_in(ALICE, "set 2 2");

	process_halt(g.pid);
	const char *answer = tell(&late, "digest");
	cr_assert_eq(kill(g.pid, SIGCONT), 0);
	cr_expect_str_eq(answer, "0x5");
	/* Its lease ends later than that of the other one, had that ended with the answer. */
	application_kill(&killed);
	cr_assert(await_condition(is_public, &g, "set 2 2", SECONDS));
	cr_expect_str_eq(tell(&late, "info"), "0x0 user");
}

Test(applications_brief, C14_an_idle_program_keeps_its_sessions_when_the_file_of_client_authorities_is_another)
{
	enum { SECONDS = 30 };
	struct application idle = logged_in(ALICE, "set 1 1"), killed = logged_in(ALICE, "set 2 2");

	shell("echo '# a comment' >> '%s/pki/ca.crt'", g.directory);
	shell("'%s' reload --config '%s/p11gated.yaml'", g.tool, g.directory);
	/* Its lease ends later than that of the other one, had that ended with the reload. */
	application_kill(&killed);
	cr_assert(await_condition(is_public, &g, "set 2 2", SECONDS));
	cr_expect_str_eq(tell(&idle, "info"), "0x0 user");
	cr_expect_str_eq(tell(&idle, "digest"), "0x0");
}

Test(applications_brief, C14_a_child_that_never_calls_the_module_keeps_nothing_of_a_parent_that_was_killed)
{
	enum { SECONDS = 30 };
	struct application parent = logged_in(ALICE, "set 1 1");
	const char *answer = tell(&parent, "fork");

	cr_assert_eq(strncmp(answer, "0x0 ", 4), 0, "%s", answer);
	pid_t child = (pid_t)strtol(answer + 4, NULL, 10);
	cr_assert_gt(child, 1);
	cr_expect_str_eq(tell(&parent, "digest"), "0x0", "the parent's connection is its own");
	application_kill(&parent);
	bool ended = await_condition(is_public, &g, "set 1 1", SECONDS);
	cr_expect_eq(kill(child, SIGKILL), 0);
	cr_assert(ended, "the child kept its login");
}

Test(applications_brief, C14_an_application_that_is_held_survives_the_program_that_was_killed)
{
	enum { SECONDS = 30 };
	struct application held = logged_in(ALICE, "set 1 1"), other = logged_in(ALICE, "set 2 2");

	cr_assert_str_eq(tell(&held, "hold 1 1"), "0x0");
	application_kill(&held);
	application_kill(&other);
	cr_assert(await_condition(is_public, &g, "set 2 2", SECONDS), "the login that is not held did not end");
	cr_expect_str_eq(state_under(ALICE, "set 1 1"), "user");
}

Test(applications_passing, C15_a_login_over_rest_outlives_the_end_of_the_hold_and_one_without_a_session_does_not)
{
	enum { SECONDS = 30 };
	static const char *const headers[] = {"X-Application-Id: 1-1", NULL};
	struct application holder = with_session(ALICE, "set 1 1"), other = logged_in(ALICE, "set 2 2");

	cr_assert_str_eq(tell(&holder, "hold 1 1"), "0x0");
	cr_assert_str_eq(tell(&other, "hold 2 2"), "0x0");
	rest_login(&g, ALICE, headers);
	cr_assert_str_eq(tell(&holder, "close"), "0x0");
	cr_assert_str_eq(tell(&other, "close"), "0x0");
	cr_assert(await_condition(is_public, &g, "set 2 2", SECONDS), "it was held last");
	ANSWER_AUTO answer = request(&g, ALICE, "GET", "/v1/slots/demo/applications/1-1", NULL, NULL);
	cr_expect_str_eq(member(&answer, "login"), "user", "%s", answer.text);
	cr_expect_str_eq(member(&answer, "state"), "active", "%s", answer.text);
}

Test(applications, C14_after_a_restart_of_the_gateway_old_sessions_are_invalid_and_new_ones_logged_out)
{
	struct application one = logged_in(ALICE, "set 3 4");

	cr_assert_str_eq(tell(&one, "hold 3 4"), "0x0");
	cr_assert_eq(kill(g.pid, SIGKILL), 0);
	gateway_restart(&g);
	cr_expect_str_eq(tell(&one, "digest"), SESSION_INVALID);
	cr_assert_str_eq(tell(&one, "open"), "0x0");
	cr_expect_str_eq(tell(&one, "info"), "0x0 public");
	cr_expect_str_eq(tell(&one, "login %s", g.pin), "0x0");
	cr_expect_str_eq(tell(&one, "hold 3 4"), "0x0", "the hold is gone too");
	cr_assert_str_eq(tell(&one, "release 3 4"), "0x0");
}
