/* What the audit log says about logins that end: one record each, whoever ends it. */
#include "tests/integration/fixture.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(logout, .timeout = 120);

/* Records of C_Logout of one identity, by their reason (NULL: those without one). */
struct wanted {
	const char *identity, *reason;
};

static bool fits(const json_t *record, const struct wanted *wanted)
{
	const char *identity = "", *slot = "", *application = "", *kind = "", *function = "", *user = NULL,
		   *reason = NULL, *rv = NULL;

	if (json_unpack((json_t *)record, "{s:s, s:s, s:s, s:{s:s, s?s, s?s, s?s, s?s}}", "identity", &identity, "slot",
		    &slot, "application", &application, "event", "kind", &kind, "function", &function, "user", &user,
		    "reason", &reason, "rv", &rv) != 0)
		return false;
	if (strcmp(identity, wanted->identity) != 0 || strcmp(kind, "login") != 0 || strcmp(function, "C_Logout") != 0)
		return false;
	cr_expect_str_eq(slot, "demo");
	cr_expect_eq(strlen(application), 32);
	cr_expect_str_eq(user != NULL ? user : "nobody", "CKU_USER");
	if (wanted->reason == NULL)
		return reason == NULL && rv != NULL && strcmp(rv, "CKR_OK") == 0;
	return reason != NULL && strcmp(reason, wanted->reason) == 0;
}

/* How many records fit; `wanted` NULL: how many records of C_Logout there are. Gives the last record's reason. */
static unsigned records(const struct gateway *g, const struct wanted *wanted, char ret_last[64])
{
	char line[16384];
	unsigned count = 0;
	FILE *file = fopen(g->audit_log, "re");

	cr_assert_not_null(file, "%s", g->audit_log);
	while (fgets(line, sizeof(line), file) != NULL) {
		json_t *record = json_loads(line, 0, NULL);
		const char *reason = json_string_value(json_object_get(json_object_get(record, "event"), "reason"));
		count += wanted != NULL ? fits(record, wanted) : strstr(line, "\"function\":\"C_Logout\"") != NULL;
		(void)snprintf(ret_last, 64, "%s", reason != NULL ? reason : "");
		json_decref(record);
	}
	(void)fclose(file);
	return count;
}

static bool is_recorded(const struct gateway *g, void *wanted)
{
	char last[64];

	return records(g, wanted, last) > 0;
}

static bool has_ended(const struct gateway *g, void *unused)
{
	(void)unused;
	return kill(g->pid, 0) != 0;
}

/* Stops the gateway gracefully; then there are `total` records of C_Logout, and these fit one each. */
static void expect_after_stop(struct gateway *g, unsigned total, const struct wanted *each, unsigned count)
{
	char last[64];

	kill(g->pid, SIGTERM);
	cr_assert(await_condition(has_ended, g, NULL, 20));
	cr_expect_eq(records(g, NULL, last), total);
	cr_expect_str_eq(last, "gateway stopped");
	for (unsigned i = 0; i < count; i++)
		cr_expect_eq(records(g, &each[i], last), 1, "%s: %s", each[i].identity,
			each[i].reason ? each[i].reason : "");
	gateway_stop(g);
}

/* Logs in, tells so, and waits to be killed. */
static int waiting_program(const struct gateway *g, void *argument)
{
	const int *ready = argument;
	CK_FUNCTION_LIST *f;
	CK_SESSION_HANDLE session;
	char byte = 1;

	if (!child_session(g, ALICE, NULL, true, &f, &session) || write(ready[1], &byte, 1) != 1)
		return 1;
	for (;;)
		pause();
}

Test(logout, is_recorded_once_when_a_client_was_killed_and_when_a_login_over_rest_was_idle)
{
	static struct wanted each[] = {{"alice", "the lease of the last client has ended"},
		{"bob", "the login over REST was idle for too long"}};
	struct gateway g;
	int ready[2];
	char byte;

	setenv("LIMITS", "lease_ttl_s: 5, rest_idle_ttl_s: 1", 1);
	gateway_start(&g);
	unsetenv("LIMITS");
	cr_assert_eq(pipe(ready), 0);
	pid_t client = child_start(waiting_program, &g, ready);
	close(ready[1]);
	cr_assert_eq(read(ready[0], &byte, 1), 1, "the client ended early");
	kill(client, SIGKILL);
	cr_expect_eq(child_end(client), 128 + SIGKILL);
	rest_login(&g, BOB, NULL);
	cr_expect(await_condition(is_recorded, &g, &each[1], 20));
	cr_expect(await_condition(is_recorded, &g, &each[0], 20));
	expect_after_stop(&g, 2, each, 2);
}

/* The gateway has a bound of its own for the same time, and must not be first. */
Test(logout, is_recorded_with_the_workers_reason_when_the_time_of_a_login_over_rest_is_up)
{
	static struct wanted ended = {"bob", "the login over REST has lasted as long as it may"};
	struct gateway g;

	setenv("LIMITS", "rest_idle_ttl_s: 1, rest_max_ttl_s: 1", 1);
	gateway_start(&g);
	unsetenv("LIMITS");
	rest_login(&g, BOB, NULL);
	cr_expect(await_condition(is_recorded, &g, &ended, 20));
	expect_after_stop(&g, 1, &ended, 1);
}

Test(logout, is_recorded_once_when_a_worker_was_killed_when_a_client_asked_and_when_the_gateway_stops)
{
	enum { MAX = 16 };
	static struct wanted each[] = {{"alice", "the worker died"}, {"alice", NULL}, {"bob", "the gateway stopped"}};
	pid_t before[MAX];
	struct gateway g;

	gateway_start(&g);
	size_t count = worker_processes(&g, before, MAX);
	CK_FUNCTION_LIST *f = module_load(&g, ALICE);
	CK_SESSION_HANDLE session = module_session(f, &g, true);
	cr_assert_eq(kill(worker_besides(&g, before, count), SIGKILL), 0);
	cr_expect(await_condition(is_recorded, &g, &each[0], 10));

	CK_SESSION_INFO info;
	/* The calls that find the worker gone tell of it; the session went with it. */
	(void)f->C_GetSessionInfo(session, &info);
	cr_expect_eq(f->C_GetSessionInfo(session, &info), CKR_SESSION_HANDLE_INVALID);
	session = module_session(f, &g, true);
	cr_assert_eq(f->C_Logout(session), CKR_OK);
	cr_assert_eq(f->C_Finalize(NULL), CKR_OK);

	rest_login(&g, BOB, NULL);
	expect_after_stop(&g, 3, each, 3);
}
