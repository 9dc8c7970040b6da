#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/cryptoki.h"
#include "server/app/process.h"
#include "server/app/token.h"
#include "tests/unit/app/fixture.h"

FIXTURE_SUITE(failures);

static void restart(const char *init_args)
{
	fixture_done(&fixture);
	fixture_init(&fixture);
	fixture.modules[0].init_args = init_args;
	fixture_start(&fixture);
}

Test(failures, a_worker_that_dies_fails_its_requests_and_the_next_one_starts_another)
{
	struct asked before = ask(&fixture, 1, "login=1");
	struct asked in_flight = {.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .query = "hang"};
	ask_begin(&in_flight);
	until_running(&fixture, 1, 1);
	struct asked deadly = ask(&fixture, 1, "die");
	ask_join(&in_flight);
	cr_expect_eq(deadly.status, STATUS_CLOSED);
	cr_expect_eq(in_flight.status, STATUS_CLOSED);
	struct asked after = ask(&fixture, 1, "");
	cr_expect_neq(number_of(&after, "pid"), number_of(&before, "pid"));
	cr_expect(metrics_show(&fixture, "p11gate_workers_ended_total{cause=\"died\"} 1\n"));
}

Test(failures, a_worker_that_is_killed_from_outside_is_noticed_without_a_request)
{
	struct asked before = ask(&fixture, 1, "");
	kill((pid_t)number_of(&before, "pid"), SIGKILL);
	cr_expect(ends(number_of(&before, "pid")));
	cr_expect(metrics_show(&fixture, "p11gate_workers_live{slot=\"demo\"} 0\n"));
	struct asked after = ask(&fixture, 1, "");
	cr_expect_neq(number_of(&after, "pid"), number_of(&before, "pid"));
}

Test(failures, a_worker_that_hangs_is_ended_at_the_deadline_and_the_others_are_not_affected)
{
	struct asked before = ask(&fixture, 1, ""), other = ask(&fixture, 2, "");
	struct asked hung = {
		.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .query = "hang", .deadline_ms = 200};
	ask_begin(&hung);
	until_running(&fixture, 1, 1);
	for (unsigned i = 0; i < 20; i++)
		cr_expect_eq(ask(&fixture, 2, "sleep=5").status, STATUS_OK);
	ask_join(&hung);
	cr_expect_eq(hung.status, STATUS_TIMEOUT);
	cr_expect_lt(hung.took_ms, 1500);
	struct asked after = ask(&fixture, 1, ""), other_after = ask(&fixture, 2, "");
	cr_expect_neq(number_of(&after, "pid"), number_of(&before, "pid"));
	cr_expect_eq(number_of(&other_after, "pid"), number_of(&other, "pid"));
}

Test(failures, requests_that_a_dying_worker_has_not_seen_go_to_the_next_one)
{
	struct asked asked[12];
	struct asked hung = {
		.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .query = "hang", .deadline_ms = 300};
	struct asked before = ask(&fixture, 1, "");
	struct asked hangs[4];
	for (unsigned i = 0; i < 4; i++) {
		hangs[i] = hung;
		ask_begin(&hangs[i]);
	}
	for (unsigned i = 0; i < 12; i++) {
		asked[i] = (struct asked){
			.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .query = "sleep=1"};
		ask_begin(&asked[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		ask_join(&hangs[i]);
	for (unsigned i = 0; i < 12; i++) {
		ask_join(&asked[i]);
		cr_expect_eq(asked[i].status, STATUS_OK, "request %u: status %d after %d ms", i, (int)asked[i].status,
			(int)asked[i].took_ms);
	}
	struct asked after = ask(&fixture, 1, "");
	cr_expect_neq(number_of(&after, "pid"), number_of(&before, "pid"));
}

Test(failures, a_worker_that_breaks_the_protocol_is_ended)
{
	struct asked before = ask(&fixture, 1, "");
	cr_expect_eq(ask(&fixture, 1, "garbage").status, STATUS_CLOSED);
	cr_expect(ends(number_of(&before, "pid")));
	cr_expect(metrics_show(&fixture, "p11gate_workers_ended_total{cause=\"protocol\"} 1\n"));
}

Test(failures, a_worker_that_releases_a_token_it_does_not_have_is_ended)
{
	cr_expect_eq(ask(&fixture, 1, "release=0,1").status, STATUS_CLOSED);
	cr_expect(metrics_show(&fixture, "p11gate_workers_ended_total{cause=\"protocol\"} 1\n"));
}

Test(failures, a_token_that_is_not_there_is_told_by_its_return_value)
{
	restart("fail=0xE0");
	struct asked asked = ask(&fixture, 1, "");
	cr_expect_eq(asked.status, STATUS_UNAVAILABLE);
	cr_expect_eq(asked.rv, CKR_TOKEN_NOT_PRESENT);
	struct asked again = ask(&fixture, 1, "");
	cr_expect_eq(again.status, STATUS_UNAVAILABLE);
}

Test(failures, a_worker_that_dies_while_it_starts_leaves_the_module_unavailable)
{
	restart("die");
	struct asked asked = ask(&fixture, 1, "");
	cr_expect_eq(asked.status, STATUS_UNAVAILABLE);
	cr_expect_eq(asked.rv, CKR_DEVICE_ERROR);
}

Test(failures, a_worker_that_dies_at_its_start_with_the_token_gives_it_back)
{
	restart("acquire=0;die");
	cr_expect_eq(ask(&fixture, 1, "").status, STATUS_UNAVAILABLE);
	struct asked next = ask(&fixture, 2, "");
	cr_expect_eq(next.status, STATUS_UNAVAILABLE);
	cr_expect_lt(next.took_ms, 2000);
}

Test(failures, a_failed_start_is_the_answer_for_all_who_waited_for_it)
{
	struct asked asked[16];
	restart("sleep=300;fail=0xE0");
	for (unsigned i = 0; i < 16; i++) {
		asked[i] = (struct asked){.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .query = ""};
		ask_begin(&asked[i]);
	}
	for (unsigned i = 0; i < 16; i++) {
		ask_join(&asked[i]);
		cr_expect_eq(asked[i].status, STATUS_UNAVAILABLE);
		cr_expect_eq(asked[i].rv, CKR_TOKEN_NOT_PRESENT);
		cr_expect_lt(asked[i].took_ms, 2000);
	}
}

Test(failures, a_missing_worker_program_makes_slots_unavailable)
{
	fixture_done(&fixture);
	fixture_init(&fixture);
	strcat(fixture.worker_program, "-that-is-not-there");
	fixture_start(&fixture);
	struct asked asked = ask(&fixture, 1, "");
	cr_expect_eq(asked.status, STATUS_UNAVAILABLE);
	cr_expect_eq(asked.rv, CKR_DEVICE_ERROR);
}

Test(failures, no_descriptors_left_is_an_error_of_the_request_and_passes)
{
	struct rlimit limit, none;
	ask(&fixture, 1, "");
	cr_assert(inventory_settles(&fixture));
	getrlimit(RLIMIT_NOFILE, &limit);
	for (rlim_t left = 0; left < 9; left++) {
		none = limit;
		int lowest = dup(0);
		close(lowest);
		none.rlim_cur = (rlim_t)lowest + left;
		setrlimit(RLIMIT_NOFILE, &none);
		struct asked refused = ask(&fixture, 2, "");
		setrlimit(RLIMIT_NOFILE, &limit);
		cr_expect_eq(refused.status, STATUS_UNAVAILABLE, "with %d descriptors", (int)left);
		int after = dup(0);
		close(after);
		cr_expect_eq(after, lowest, "leaked with %d descriptors", (int)left);
	}
	cr_expect_eq(ask(&fixture, 1, "").status, STATUS_OK);
	cr_expect_eq(ask(&fixture, 2, "").status, STATUS_OK);
}

Test(failures, a_worker_that_takes_no_commands_and_hangs_is_killed_in_the_end)
{
	restart("deaf");
	struct asked before = ask(&fixture, 1, "");
	struct asked hung = {
		.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .query = "hang", .deadline_ms = 100};
	ask_it(&hung);
	cr_expect_eq(hung.status, STATUS_TIMEOUT);
	cr_expect(ends(number_of(&before, "pid")));
	cr_expect(metrics_show(&fixture, "p11gate_workers_killed_total 1\n"));
}

/* Two workers that hang and take no commands; when the harmless one has been killed, has the other? */
static void the_writing_one_is_spared(const char *query, unsigned permissions)
{
	restart("deaf");
	struct asked writing = ask(&fixture, 1, ""), harmless = ask(&fixture, 2, "");
	struct asked first = {.fixture = &fixture,
		.domain = "alice",
		.slot = "demo",
		.id = 1,
		.query = query,
		.permissions = permissions,
		.deadline_ms = 100};
	struct asked second = {
		.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 2, .query = "hang", .deadline_ms = 100};
	ask_it(&first);
	ask_it(&second);
	cr_expect_eq(first.status, STATUS_TIMEOUT);
	cr_expect(ends(number_of(&harmless, "pid")));
	cr_expect_eq(kill((pid_t)number_of(&writing, "pid"), 0), 0);
	kill((pid_t)number_of(&writing, "pid"), SIGKILL);
}

Test(failures, a_worker_that_hangs_with_the_token_is_not_killed_with_the_others)
{
	the_writing_one_is_spared("acquire=1,1;hang", 0);
}

Test(failures, a_worker_that_hangs_in_a_call_that_may_write_is_not_killed_with_the_others)
{
	the_writing_one_is_spared("hang", 1u << PERMISSION_WRITE);
}

/* C_SetPIN needs the permission login alone, and the token. */
Test(failures, a_worker_that_hangs_while_a_pin_is_changed_is_not_killed_with_the_others)
{
	char query[32];
	snprintf(query, sizeof query, "acquire=%d;hang", TOKEN_FOR_PIN_CHANGE);
	the_writing_one_is_spared(query, 1u << PERMISSION_LOGIN);
}

Test(failures, a_worker_that_hangs_in_a_use_of_who_may_log_in_is_killed_at_the_ordinary_time)
{
	restart("deaf");
	struct asked before = ask(&fixture, 1, "");
	struct asked hung = {.fixture = &fixture,
		.domain = "alice",
		.slot = "demo",
		.id = 1,
		.query = "hang",
		.permissions = 1u << PERMISSION_READ | 1u << PERMISSION_USE | 1u << PERMISSION_LOGIN,
		.deadline_ms = 100};
	ask_it(&hung);
	cr_expect_eq(hung.status, STATUS_TIMEOUT);
	cr_expect(ends(number_of(&before, "pid")));
}

Test(failures, a_worker_that_cannot_be_watched_is_ended_and_reaped_and_the_next_one_starts)
{
	struct asked before = ask(&fixture, 1, "");
	/* The inventory's workers are watched as well. */
	cr_assert(inventory_settles(&fixture));
	/* While another file is in its place, nothing can be added to the keeper's epoll. */
	int epoll = fixture.registry->epoll, saved = dup(epoll);
	cr_assert_eq(before.status, STATUS_OK);
	cr_assert_eq(dup2(fixture.registry->wake, epoll), epoll);
	struct asked refused = ask(&fixture, 2, "");
	cr_assert_eq(dup2(saved, epoll), epoll);
	close(saved);
	cr_expect_eq(refused.status, STATUS_UNAVAILABLE);
	cr_expect(metrics_show(&fixture, "p11gate_workers_ended_total{cause=\"start\"} 1\n"));
	cr_expect(metrics_show(&fixture, "p11gate_workers_live{slot=\"demo\"} 1\n"));
	cr_expect_eq(ask(&fixture, 2, "").status, STATUS_OK);
}

static bool nobody_is_listed(void *context)
{
	struct registry *registry = context;
	struct token *token;
	cr_assert_eq(registry_token(registry, settings_slot(registry->settings, "demo"), &token), STATUS_OK);
	pthread_mutex_lock(&token->mutex);
	bool empty = token->processes == NULL;
	pthread_mutex_unlock(&token->mutex);
	return empty;
}

static bool is_of_demo(const struct worker_process *process, const void *context)
{
	(void)context;
	return process->slot != NULL && strcmp(process->slot->name, "demo") == 0;
}

Test(failures, an_application_outlives_its_reaped_worker_as_long_as_somebody_refers_to_the_worker)
{
	struct application_key key = {.domain = "alice", .slot = "demo"};
	size_t count = 0;
	memset(key.id, 1, sizeof key.id);
	cr_expect_eq(ask(&fixture, 1, "").status, STATUS_OK);
	struct worker_process **processes = registry_processes(fixture.registry, is_of_demo, NULL, &count);
	cr_assert_eq(count, 1);
	kill(processes[0]->os.pid, SIGKILL);
	cr_expect(metrics_show(&fixture, "p11gate_workers_ended_total{cause=\"died\"} 1\n"));
	cr_expect(becomes(nobody_is_listed, fixture.registry));
	struct application *application = application_ref(fixture.registry, &key);
	cr_expect_eq(application, processes[0]->application);
	cr_expect_eq(application->refs, 2);
	application_unref(fixture.registry, application);
	processes_unref(processes, count);
}
