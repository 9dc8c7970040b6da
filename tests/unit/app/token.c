#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "api/cryptoki.h"
#include "tests/unit/app/fixture.h"

/* Commands of the test worker: a login that the module accepts, and the like. */
#define LOGIN_AS_USER "acquire=1,1;release=0,1"
#define LOGIN_AS_SO "acquire=1,0;release=0,2"
#define LOGOUT "acquire=2;release=0,0"
#define CHANGE_PIN "acquire=3;release=0"
#define CHANGE_PIN_WRONGLY "acquire=3;release=0xA0"
#define INITIALISE_TOKEN "acquire=4;release=0"

FIXTURE_SUITE(token);

static unsigned long long rv_of(char id, const char *query)
{
	struct asked asked = ask(&fixture, id, query);
	return number_of(&asked, "rv");
}

static unsigned long long generation_for(char id)
{
	struct asked asked = ask(&fixture, id, "acquire=2;release=0");
	return number_of(&asked, "generation") & UINT32_MAX; /* above: which token it is */
}

Test(token, X2_user_login_is_refused_while_the_security_officer_is_logged_in)
{
	cr_expect_eq(rv_of(1, LOGIN_AS_SO), CKR_OK);
	cr_expect_eq(rv_of(2, LOGIN_AS_USER), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
	cr_expect_eq(rv_of(1, LOGOUT), CKR_OK);
	cr_expect_eq(rv_of(2, LOGIN_AS_USER), CKR_OK);
}

Test(token, X2_security_officer_login_is_refused_while_a_user_is_logged_in)
{
	cr_expect_eq(rv_of(1, LOGIN_AS_USER), CKR_OK);
	cr_expect_eq(rv_of(2, LOGIN_AS_SO), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
	cr_expect_eq(rv_of(2, LOGIN_AS_USER), CKR_OK);
	cr_expect_eq(rv_of(1, LOGOUT), CKR_OK);
	cr_expect_eq(rv_of(3, LOGIN_AS_SO), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
	cr_expect_eq(rv_of(2, LOGOUT), CKR_OK);
	cr_expect_eq(rv_of(3, LOGIN_AS_SO), CKR_OK);
}

Test(token, X2_an_older_answer_does_not_hide_the_login_that_a_release_has_told)
{
	cr_expect_eq(rv_of(1, "serial=10;acquire=1,0;release=0,2;login=0;serial=2"), CKR_OK);
	cr_expect_eq(rv_of(2, LOGIN_AS_USER), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
}

Test(token, X2_an_older_release_does_not_hide_the_login_that_an_answer_has_told)
{
	cr_expect_eq(rv_of(1, "serial=10;acquire=1,0;release=0,2"), CKR_OK);
	/* Its release and its answer are from before the login. */
	cr_expect_eq(rv_of(1, "acquire=2;login=0;serial=2;release=0"), CKR_OK);
	cr_expect_eq(rv_of(2, LOGIN_AS_USER), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
}

Test(token, X2_is_a_rule_of_one_token_and_not_of_its_neighbours)
{
	struct asked neighbour = {
		.fixture = &fixture, .domain = "alice", .slot = "spare", .id = 2, .query = LOGIN_AS_USER};
	cr_expect_eq(rv_of(1, LOGIN_AS_SO), CKR_OK);
	ask_it(&neighbour);
	cr_expect_eq(number_of(&neighbour, "rv"), CKR_OK);
}

Test(token, X2_the_security_officer_is_out_when_its_worker_is_gone)
{
	cr_expect_eq(rv_of(1, LOGIN_AS_SO), CKR_OK);
	ask(&fixture, 1, "die");
	cr_expect_eq(rv_of(2, LOGIN_AS_USER), CKR_OK);
}

Test(token, X2_a_context_specific_login_conflicts_with_nobody)
{
	cr_expect_eq(rv_of(1, LOGIN_AS_SO), CKR_OK);
	cr_expect_eq(rv_of(2, "acquire=1,2;release=0"), CKR_OK);
}

Test(token, X2_initialising_is_refused_while_another_application_has_a_session)
{
	ask(&fixture, 1, "sessions=1");
	cr_expect_eq(rv_of(2, INITIALISE_TOKEN), CKR_SESSION_EXISTS);
	ask(&fixture, 1, "sessions=0");
	cr_expect_eq(rv_of(2, INITIALISE_TOKEN), CKR_OK);
}

Test(token, X2_initialising_is_refused_while_another_application_is_logged_in_without_a_session)
{
	cr_expect_eq(rv_of(1, LOGIN_AS_USER), CKR_OK);
	cr_expect_eq(rv_of(2, INITIALISE_TOKEN), CKR_SESSION_EXISTS);
	cr_expect_eq(rv_of(1, LOGOUT), CKR_OK);
	cr_expect_eq(rv_of(2, INITIALISE_TOKEN), CKR_OK);
}

Test(token, X10_initialising_ends_all_workers_of_the_token_and_raises_its_generation)
{
	struct asked held = ask(&fixture, 1, ""), own = ask(&fixture, 2, INITIALISE_TOKEN);
	struct asked spare = {.fixture = &fixture, .domain = "alice", .slot = "spare", .id = 1, .query = ""};
	ask_it(&spare);
	cr_expect_eq(number_of(&own, "rv"), CKR_OK);
	cr_expect(ends(number_of(&held, "pid")));
	cr_expect(ends(number_of(&own, "pid")));
	unsigned long long before = number_of(&spare, "pid");
	ask_it(&spare);
	cr_expect_eq(number_of(&spare, "pid"), before);
	cr_expect_eq(generation_for(1), 2);
	struct asked fresh = ask(&fixture, 2, "question");
	cr_expect_eq(number_of(&fresh, "start_generation") & UINT32_MAX, 2);
}

Test(token, X10_a_changed_pin_raises_the_generation_that_the_next_login_sees)
{
	cr_expect_eq(generation_for(1), 1);
	cr_expect_eq(rv_of(2, CHANGE_PIN), CKR_OK);
	cr_expect_eq(generation_for(1), 2);
	cr_expect_eq(rv_of(2, CHANGE_PIN_WRONGLY), CKR_OK);
	cr_expect_eq(generation_for(1), 2);
}

Test(token, is_given_to_one_worker_at_a_time_in_order_of_arrival)
{
	struct asked asked[10];
	for (unsigned i = 0; i < 10; i++)
		ask(&fixture, (char)(i + 1), "");
	/* Each holds the token for a while. If two had it at once, the last would be done too early. */
	int64_t begun = clock_ms();
	for (unsigned i = 0; i < 10; i++) {
		asked[i] = (struct asked){.fixture = &fixture,
			.domain = "alice",
			.slot = "demo",
			.id = (char)(i + 1),
			.query = "acquire=1,1;sleep=30;release=0,1"};
		ask_begin(&asked[i]);
	}
	for (unsigned i = 0; i < 10; i++) {
		ask_join(&asked[i]);
		cr_expect_eq(number_of(&asked[i], "rv"), CKR_OK);
	}
	cr_expect_geq(clock_ms() - begun, 300);
}

Test(token, is_waited_for_no_longer_than_configured)
{
	fixture_done(&fixture);
	fixture_init(&fixture);
	fixture.config.limits.token_wait_s = 1;
	fixture_start(&fixture);
	ask(&fixture, 2, "");
	struct asked holder = {.fixture = &fixture,
		.domain = "alice",
		.slot = "demo",
		.id = 1,
		.deadline_ms = 3000,
		.query = "acquire=1,1;hang"};
	ask_begin(&holder);
	until_running(&fixture, 1, 1);
	while (rv_of(2, LOGIN_AS_USER) == CKR_OK)
		continue;
	struct asked waiter = ask(&fixture, 2, LOGIN_AS_USER);
	cr_expect_eq(number_of(&waiter, "rv"), CKR_DEVICE_ERROR);
	cr_expect_geq(waiter.took_ms, 990);
	cr_expect_lt(waiter.took_ms, 1900);
	ask_join(&holder);
	cr_expect_eq(holder.status, STATUS_TIMEOUT);
	cr_expect(metrics_show(&fixture, "p11gate_token_waits_timed_out_total"));
}

Test(token, waiting_for_it_does_not_count_as_hanging)
{
	ask(&fixture, 2, "");
	struct asked holder = {.fixture = &fixture,
		.domain = "alice",
		.slot = "demo",
		.id = 1,
		.query = "acquire=1,1;sleep=600;release=0,1"};
	struct asked waiter = {.fixture = &fixture,
		.domain = "alice",
		.slot = "demo",
		.id = 2,
		.query = LOGIN_AS_USER,
		.deadline_ms = 200};
	ask_begin(&holder);
	do {
		ask_it(&waiter);
	} while (waiter.took_ms < 200 && waiter.status == STATUS_OK);
	cr_expect_eq(waiter.status, STATUS_OK);
	ask_join(&holder);
	cr_expect_eq(holder.status, STATUS_OK);
}

Test(token, is_free_again_when_the_worker_that_has_it_dies)
{
	cr_expect_eq(ask(&fixture, 1, "acquire=1,1;die").status, STATUS_CLOSED);
	struct asked next = ask(&fixture, 2, LOGIN_AS_USER);
	cr_expect_eq(number_of(&next, "rv"), CKR_OK);
	cr_expect_lt(next.took_ms, 2000);
}

Test(token, is_free_again_when_a_worker_answers_without_having_released_it)
{
	cr_expect_eq(rv_of(1, "acquire=1,1"), CKR_OK);
	struct asked next = ask(&fixture, 2, LOGIN_AS_USER);
	cr_expect_eq(number_of(&next, "rv"), CKR_OK);
}

Test(token, can_be_acquired_again_by_the_thread_that_has_it)
{
	cr_expect_eq(rv_of(1, "acquire=1,1;acquire=0;release=0;release=0,1"), CKR_OK);
	cr_expect_eq(rv_of(2, LOGIN_AS_SO), CKR_USER_ANOTHER_ALREADY_LOGGED_IN);
}

Test(token, is_shared_in_turn_with_another_gateway_over_the_same_runtime_directory)
{
	struct registry *other;
	cr_assert_eq(registry_new(&fixture.config, &other), STATUS_OK);
	struct fixture second = fixture;
	second.registry = other;
	ask(&second, 1, "");
	struct asked holder = {.fixture = &fixture,
		.domain = "alice",
		.slot = "demo",
		.id = 1,
		.query = "acquire=1,1;sleep=500;release=0,1"};
	struct asked waiter = {.fixture = &second, .domain = "alice", .slot = "demo", .id = 1, .query = LOGIN_AS_USER};
	ask_begin(&holder);
	int64_t longest = 0;
	for (int64_t begun = clock_ms(); clock_ms() - begun < 600;) {
		ask_it(&waiter);
		cr_expect_eq(number_of(&waiter, "rv"), CKR_OK);
		longest = waiter.took_ms > longest ? waiter.took_ms : longest;
	}
	ask_join(&holder);
	cr_expect_gt(longest, 300);
	registry_free(other);
}
