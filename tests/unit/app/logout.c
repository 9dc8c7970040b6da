/* Which ends of a login the registry reports for the audit. */
#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "server/app/process.h"
#include "tests/unit/app/fixture.h"

enum { REPORTS_MAX = 16, REPORT_LEN = 256 };

static struct fixture fixture;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char reports[REPORTS_MAX][REPORT_LEN];
static unsigned count;

static void note(void *context, const struct registry_logout *logout)
{
	(void)context;
	pthread_mutex_lock(&mutex);
	if (count < REPORTS_MAX)
		snprintf(reports[count], REPORT_LEN, "%s %s %s %s: %s", logout->identity, logout->slot, logout->user,
			logout->application, logout->reason);
	count++;
	pthread_mutex_unlock(&mutex);
}

static bool is_reported(void *context)
{
	(void)context;
	pthread_mutex_lock(&mutex);
	bool any = count > 0;
	pthread_mutex_unlock(&mutex);
	return any;
}

static void set_up(void)
{
	fixture_init(&fixture);
	fixture.config.limits.lease_ttl_s = 1;
	fixture_start(&fixture);
	registry_report_logouts(fixture.registry, note, NULL);
}

static void tear_down(void)
{
	fixture_done(&fixture);
}

TestSuite(logout, .init = set_up, .fini = tear_down, .timeout = 60);

/* Ends all, so that nothing can be reported later, and expects this one report of alice's application `id`. */
static void expect_one(char id, const char *user, const char *reason)
{
	struct application_key key = {.domain = "alice", .slot = "demo"};
	char hash[33], expected[REPORT_LEN];

	memset(key.id, id, sizeof key.id);
	registry_application_hash(fixture.registry, &key, hash);
	snprintf(expected, sizeof expected, "alice demo %s %s: %s", user, hash, reason);
	registry_free(fixture.registry);
	fixture.registry = NULL;
	cr_assert_eq(count, 1, "%u reports", count);
	cr_expect_str_eq(reports[0], expected);
}

Test(logout, is_reported_of_a_user_whose_worker_died_in_a_request)
{
	ask(&fixture, 1, "login=1");
	ask(&fixture, 1, "die");
	cr_assert(becomes(is_reported, NULL));
	expect_one(1, "CKU_USER", "the worker died");
}

Test(logout, is_reported_of_a_security_officer_whose_worker_was_killed)
{
	struct asked asked = ask(&fixture, 2, "login=2");
	kill((pid_t)number_of(&asked, "pid"), SIGKILL);
	cr_assert(becomes(is_reported, NULL));
	expect_one(2, "CKU_SO", "the worker died");
}

Test(logout, is_reported_when_the_worker_broke_the_protocol)
{
	ask(&fixture, 1, "login=1");
	ask(&fixture, 1, "garbage");
	cr_assert(becomes(is_reported, NULL));
	expect_one(1, "CKU_USER", "the worker was ended: it sent what it should not");
}

Test(logout, is_reported_when_a_request_passed_its_deadline)
{
	struct asked asked = {
		.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .query = "hang", .deadline_ms = 100};
	ask(&fixture, 1, "login=1");
	ask_it(&asked);
	cr_expect_eq(asked.status, STATUS_TIMEOUT);
	cr_assert(becomes(is_reported, NULL));
	expect_one(1, "CKU_USER", "the worker was ended: a request passed its deadline");
}

Test(logout, is_reported_when_a_reload_ended_the_worker)
{
	ask(&fixture, 1, "login=1");
	fixture.slots[0].token_label = "another";
	registry_reload(fixture.registry, &fixture.config);
	cr_assert(becomes(is_reported, NULL));
	expect_one(1, "CKU_USER", "the worker was ended: a reload changed its slot, or to whom it is open");
}

Test(logout, is_reported_of_a_worker_that_keeps_a_login_whose_time_is_up)
{
	registry_free(fixture.registry);
	fixture.config.limits.rest_max_ttl_s = 1;
	fixture_start(&fixture);
	registry_report_logouts(fixture.registry, note, NULL);
	int64_t begun = clock_ms();
	ask(&fixture, 1, "login=1");
	cr_assert(becomes(is_reported, NULL));
	cr_expect_geq(clock_ms() - begun, 1000 + LOGIN_GRACE_MS, "the worker itself has no time to end it");
	expect_one(1, "CKU_USER", "the worker was ended: it kept a login whose time over REST was up");
}

Test(logout, is_reported_when_the_gateway_stops)
{
	ask(&fixture, 1, "login=1");
	expect_one(1, "CKU_USER", "the gateway stopped");
}

Test(logout, is_reported_once_when_the_gateway_does_not_wait_for_its_workers)
{
	ask(&fixture, 1, "login=1");
	registry_abandon_logins(fixture.registry);
	cr_expect_eq(count, 1);
	expect_one(1, "CKU_USER", "the gateway stopped");
}

Test(logout, is_reported_once_when_the_lease_ended_and_not_again_with_the_worker)
{
	unsigned char instance[INSTANCE_ID_LEN];
	struct asked asked = {.fixture = &fixture,
		.domain = "alice",
		.slot = "demo",
		.id = 1,
		.instance = 5,
		.query = "sessions=1;acquire=1,1;release=0,1"};
	memset(instance, 5, sizeof instance);
	cr_assert_eq(registry_instance_opened(fixture.registry, "alice", instance), STATUS_OK);
	ask_it(&asked);
	registry_instance_closed(fixture.registry, "alice", instance);
	cr_assert(becomes(is_reported, NULL));
	expect_one(1, "CKU_USER", "the lease of the last client has ended");
}

Test(logout, that_a_client_asked_for_is_not_reported)
{
	ask(&fixture, 1, "login=1");
	ask(&fixture, 1, "login=0");
	struct asked never = ask(&fixture, 2, "");
	cr_expect_eq(never.status, STATUS_OK);
	registry_free(fixture.registry);
	fixture.registry = NULL;
	cr_expect_eq(count, 0);
}

/* The live worker of alice's application `id`; a reference. */
static struct worker_process *process_of(char id)
{
	struct application_key key = {.domain = "alice", .slot = "demo"};
	memset(key.id, id, sizeof key.id);
	struct application *application = application_ref(fixture.registry, &key);
	struct worker_process *process = process_ref(application->process);
	application_unref(fixture.registry, application);
	return process;
}

/* The answer of the logout is still unread when the worker is gone and reaped. */
Test(logout, in_an_answer_that_is_read_after_the_worker_was_reaped_is_not_reported_as_well)
{
	struct asked asked = ask(&fixture, 1, "login=1");
	struct worker_process *process = process_of(1);
	const struct process_use use = {.sent = true};
	process_enter(process);
	pthread_mutex_lock(&process->mutex);
	uint64_t serial = process->state_serial + 1;
	pthread_mutex_unlock(&process->mutex);
	kill((pid_t)number_of(&asked, "pid"), SIGKILL);
	cr_assert(metrics_show(&fixture, "p11gate_workers_ended_total{cause=\"died\"} 1\n"));
	process_state_news(process, &(struct worker_state){.state_serial = serial});
	process_leave(process, &use);
	process_unref(process);
	registry_free(fixture.registry);
	fixture.registry = NULL;
	cr_expect_eq(count, 0);
}

/* While its login is being recorded, the worker dies and is reaped. */
static void record_while_it_dies(struct asked *asked, const struct worker_response *response)
{
	char body[256];
	unsigned pid = 0;
	snprintf(body, sizeof body, "%.*s", (int)response->body.len, (const char *)response->body.data);
	cr_assert_eq(sscanf(strstr(body, "pid="), "pid=%u", &pid), 1, "%s", body);
	kill((pid_t)pid, SIGKILL);
	cr_expect(metrics_show(asked->fixture, "p11gate_workers_ended_total{cause=\"died\"} 1\n"));
	cr_expect(metrics_show(asked->fixture, "p11gate_workers_live{slot=\"demo\"} 0\n"));
	cr_expect_not(is_reported(NULL), "the end of a login is recorded before the login");
}

Test(logout, with_a_worker_is_reported_after_the_login_was_recorded)
{
	struct asked asked = {.fixture = &fixture,
		.domain = "alice",
		.slot = "demo",
		.id = 1,
		.query = "acquire=1,1;release=0,1",
		.record = record_while_it_dies};
	ask_it(&asked);
	cr_expect_eq(asked.records, 1);
	cr_assert(becomes(is_reported, NULL));
	expect_one(1, "CKU_USER", "the worker died");
}

static bool has_told(void *context)
{
	struct worker_process *process = context;
	pthread_mutex_lock(&process->mutex);
	bool told = process->logins_ended > 0;
	pthread_mutex_unlock(&process->mutex);
	return told;
}

static void record_while_it_tells(struct asked *asked, const struct worker_response *response)
{
	(void)response;
	struct worker_process *process = process_of(asked->id);
	cr_expect(becomes(has_told, process));
	cr_expect_not(is_reported(NULL), "the end of a login is recorded before the login");
	process_unref(process);
}

Test(logout, that_a_worker_tells_of_at_once_is_reported_after_the_login_was_recorded)
{
	struct asked asked = {.fixture = &fixture,
		.domain = "alice",
		.slot = "demo",
		.id = 1,
		.query = "acquire=1,1;release=0,1;login=0;tell=1",
		.record = record_while_it_tells};
	ask_it(&asked);
	cr_expect_eq(asked.records, 1);
	expect_one(1, "CKU_USER", "the lease of the last client has ended");
}

Test(logout, of_more_logins_than_a_worker_can_have_begun_is_not_believed_and_ends_it)
{
	struct asked asked = ask(&fixture, 1, "acquire=1,1;release=0,1;login=0;tell=50");
	cr_expect(asked.status == STATUS_OK || asked.status == STATUS_CLOSED);
	cr_expect(metrics_show(&fixture, "p11gate_workers_ended_total{cause=\"protocol\"} 1\n"));
	expect_one(1, "CKU_USER", "the lease of the last client has ended");
}

Test(logout, that_a_worker_tells_of_without_a_login_is_not_believed)
{
	ask(&fixture, 1, "acquire=2,1;release=0,0;tell=1");
	cr_expect(metrics_show(&fixture, "p11gate_workers_ended_total{cause=\"protocol\"} 1\n"));
	registry_free(fixture.registry);
	fixture.registry = NULL;
	cr_expect_eq(count, 0);
}

Test(logout, requests_of_which_a_worker_knows_are_recorded_once)
{
	static const char *const queries[] = {"", "again", "die", "hang"};
	for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
		struct asked asked = {.fixture = &fixture,
			.domain = "alice",
			.slot = "demo",
			.id = 1,
			.query = queries[i],
			.deadline_ms = 500};
		ask_it(&asked);
		cr_expect_eq(asked.records, 1, "%s: %u", queries[i], asked.records);
	}
}
