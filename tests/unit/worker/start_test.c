#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/base64url.h"
#include "api/route.h"
#include "server/common/frame.h"
#include "tests/unit/worker/fixture.h"

/* Numbers that no user of the machine has to have. */
enum { SOMEBODY = 54321, SOMEBODYS_GROUP = 54322 };

static struct token_fixture token;
static struct worker_fixture worker;
static struct client client = {.worker = &worker};

static void make_token(void)
{
	token_fixture_new(&token);
}

TestSuite(start, .init = make_token, .timeout = 60);

/* A line of /proc/PID/status. */
static void status_line(pid_t pid, const char *name, char line[128])
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	FILE *file = fopen(path, "r");
	cr_assert(file);
	while (fgets(line, 128, file)) {
		if (strncmp(line, name, strlen(name)) == 0)
			break;
	}
	fclose(file);
}

Test(start, a_worker_says_what_token_it_did_not_find)
{
	worker_fixture_start(&token, &(struct worker_options){.label = "nobody"}, &worker);
	cr_assert_eq(worker.started_rv, 0xE0);
	cr_assert(strstr(worker.started_detail, "nobody"));
}

Test(start, a_worker_without_its_module_says_so)
{
	worker_fixture_start(&token, &(struct worker_options){.module = "/nonexistent/module.so"}, &worker);
	cr_assert_eq(worker.started_rv, 5);
	cr_assert(strstr(worker.started_detail, "/nonexistent/module.so"));
}

Test(start, a_module_that_is_not_the_pinned_file_is_not_loaded)
{
	static const unsigned char other[32] = {1};

	worker_fixture_start(&token, &(struct worker_options){.sha256 = other}, &worker);
	cr_assert_eq(worker.started_rv, 5);
	cr_assert(strstr(worker.started_detail, "SHA-256"));
}

Test(start, an_unknown_sandbox_is_an_error)
{
	worker_fixture_start(&token, &(struct worker_options){.sandbox = "relaxed"}, &worker);
	cr_assert_eq(worker.started_rv, 5);
}

Test(start, every_thread_is_under_the_filter_and_without_new_privileges)
{
	char line[128];

	worker_fixture_start(&token, NULL, &worker);
	cr_assert_eq(worker.started_rv, 0, "%s", worker.started_detail);
	status_line(worker.pid, "Seccomp:", line);
	cr_assert_str_eq(line, "Seccomp:\t2\n");
	status_line(worker.pid, "NoNewPrivs:", line);
	cr_assert_str_eq(line, "NoNewPrivs:\t1\n");
}

Test(start, a_shutdown_ends_the_worker_properly)
{
	worker_fixture_start(&token, NULL, &worker);
	open_logged_in(&client);
	int status = worker_fixture_stop(&worker);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(start, the_end_of_a_pair_ends_the_worker)
{
	int status;

	worker_fixture_start(&token, NULL, &worker);
	close(worker.pairs[1]);
	cr_assert_eq(waitpid(worker.pid, &status, 0), worker.pid);
	cr_assert(WIFEXITED(status));
}

Test(start, the_end_of_an_instance_closes_its_sessions_and_logs_out)
{
	struct client other = client;
	struct buffer payload BUFFER_AUTO;
	struct end_instance gone = {.instance = {7}};

	memset(other.instance, 0, sizeof other.instance);
	other.instance[0] = 7;
	worker_fixture_start(&token, NULL, &worker);
	json_int_t session = open_logged_in(&other);
	buffer_init(&payload, 256);
	end_instance_pack(&payload, &gone);
	cr_assert_eq(frame_send(worker.control, FRAME_END_INSTANCE, payload.data, payload.len), STATUS_OK);
	struct worker_state state = worker_fixture_state(&worker);
	cr_assert_eq(state.sessions, 0);
	cr_assert_eq(state.login, LOGIN_NONE);
	cr_assert_eq(state.ended_login, LOGIN_USER);
	cr_assert_eq(state.ended_cause, LOGIN_END_LEASE);
	/* Once: the next end of the instance finds nobody logged in. */
	cr_assert_eq(frame_send(worker.control, FRAME_END_INSTANCE, payload.data, payload.len), STATUS_OK);
	state = worker_fixture_state(&worker);
	cr_assert_eq(state.ended_login, LOGIN_NONE);
	expect(&other, "CKR_SESSION_HANDLE_INVALID", "{\"GetSessionInfo\":{\"session\":%lld}}", session);
}

Test(start, a_new_policy_counts_for_the_next_call)
{
	struct buffer payload BUFFER_AUTO;
	struct bytes label = {(const unsigned char *)"release", 7};
	const struct worker_policy rules = {.generation = 2, .challenge_only_labels = {&label, 1}};

	worker_fixture_start(&token, NULL, &worker);
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "release", "");
	buffer_init(&payload, 4096);
	worker_policy_pack(&payload, &rules);
	cr_assert_eq(frame_send(worker.control, FRAME_POLICY, payload.data, payload.len), STATUS_OK);
	cr_expect_eq(worker_fixture_state(&worker).policy_generation, rules.generation);
	expect(&client, "CKR_KEY_FUNCTION_NOT_PERMITTED", SIGN_INIT, session, key);
}

/* escape_module.c tries what its seed names. */
static void attempted(const char *what, const char *rv)
{
	char seed[64];

	base64url_encode(seed, what, strlen(what));
	expect(&client, rv,
		"{\"OpenSession\":{\"flags\":6}},{\"SeedRandom\":{\"session\":{\"from\":0},\"seed\":\"%.*s\"}}",
		(int)base64url_encoded_len(strlen(what)), seed);
}

static void tries(const char *what, const char *rv)
{
	worker_fixture_start(
		&token, &(struct worker_options){.module = "escape_module.so", .label = "escape"}, &worker);
	cr_assert_eq(worker.started_rv, 0, "%s", worker.started_detail);
	attempted(what, rv);
}

Test(start, a_module_cannot_start_a_program)
{
	tries("execve", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_cannot_trace_a_process)
{
	tries("ptrace", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_cannot_open_a_network_socket)
{
	tries("inet", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_may_open_a_unix_socket)
{
	tries("unix", "CKR_OK");
}

Test(start, a_module_cannot_make_a_user_namespace)
{
	tries("userns", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_cannot_set_up_io_uring)
{
	tries("io_uring", "CKR_ACTION_PROHIBITED");
}

Test(start, a_worker_is_not_dumpable)
{
	tries("dump", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_cannot_make_itself_dumpable_again)
{
	tries("dumpable", "CKR_ACTION_PROHIBITED");
	tries("dumpable_wide", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_cannot_invite_a_tracer)
{
	tries("ptracer", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_cannot_start_a_process)
{
	tries("fork", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_cannot_signal_its_gateway)
{
	tries("kill", "CKR_ACTION_PROHIBITED");
	tries("kill_zero", "CKR_ACTION_PROHIBITED");
	tries("kill_all", "CKR_ACTION_PROHIBITED");
	tries("tkill", "CKR_ACTION_PROHIBITED");
	tries("tgkill", "CKR_ACTION_PROHIBITED");
	tries("sigqueue", "CKR_ACTION_PROHIBITED");
	tries("tgsigqueue", "CKR_ACTION_PROHIBITED");
	tries("setown", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_may_signal_itself)
{
	tries("kill_self", "CKR_OK");
}

Test(start, a_module_cannot_get_at_a_process_by_descriptor)
{
	tries("pidfd_open", "CKR_ACTION_PROHIBITED");
	tries("pidfd_getfd", "CKR_ACTION_PROHIBITED");
	tries("pidfd_signal", "CKR_ACTION_PROHIBITED");
	tries("madvise", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_cannot_limit_its_gateway)
{
	tries("prlimit", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_is_confined_while_it_is_loaded)
{
	tries("early", "CKR_ACTION_PROHIBITED");
}

/*
 * A worker that is another user with the module at `module`. Only root can make it one: without root the test is of the
 * refusal, and false comes back.
 */
static bool as_somebody(const char *module)
{
	worker_fixture_start(&token,
		&(struct worker_options){
			.module = module, .label = "escape", .user_id = SOMEBODY, .group_id = SOMEBODYS_GROUP},
		&worker);
	if (geteuid() == 0)
		return true;
	cr_assert_eq(worker.started_rv, 5);
	cr_assert(strstr(worker.started_detail, "worker_user"));
	return false;
}

/* escape_module.so where any user may read it. */
static void open_module(char path[128])
{
	char beside[256];
	ssize_t len = readlink("/proc/self/exe", beside, 200);

	cr_assert(len > 0);
	beside[len] = '\0';
	snprintf(strrchr(beside, '/') + 1, 40, "escape_module.so");
	snprintf(path, 128, "%s/escape_module.so", token.directory);
	token_fixture_tool(&token, (char *[]){"install", "-m", "0755", beside, path, NULL});
	cr_assert_eq(chmod(token.directory, 0755), 0);
}

Test(start, X6_a_worker_that_must_lock_its_memory_and_cannot_does_not_start)
{
	const struct rlimit limit = {64 << 10, 64 << 10};
	char path[128];

	open_module(path);
	cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	worker_fixture_start(&token,
		&(struct worker_options){.module = path,
			.label = "escape",
			.require_mlock = true,
			.user_id = geteuid() == 0 ? SOMEBODY : 0,
			.group_id = geteuid() == 0 ? SOMEBODYS_GROUP : 0},
		&worker);
	cr_assert_eq(worker.started_rv, 5);
	cr_expect(strstr(worker.started_detail, "memory cannot be locked"), "%s", worker.started_detail);
}

Test(start, a_worker_becomes_the_user_that_it_is_told_and_keeps_nothing_of_the_gateways)
{
	char path[128], line[128];

	open_module(path);
	if (!as_somebody(path))
		return;
	cr_assert_eq(worker.started_rv, 0, "%s", worker.started_detail);
	status_line(worker.pid, "Uid:", line);
	cr_expect_str_eq(line, "Uid:\t54321\t54321\t54321\t54321\n");
	status_line(worker.pid, "Gid:", line);
	cr_expect_str_eq(line, "Gid:\t54322\t54322\t54322\t54322\n");
	status_line(worker.pid, "Groups:", line);
	cr_expect_eq(strspn(line + strlen("Groups:"), " \t\n"), strlen(line + strlen("Groups:")), "%s", line);
	status_line(worker.pid, "CapPrm:", line);
	cr_expect_str_eq(line, "CapPrm:\t0000000000000000\n");
	status_line(worker.pid, "CapEff:", line);
	cr_expect_str_eq(line, "CapEff:\t0000000000000000\n");
}

Test(start, a_module_of_another_user_cannot_open_what_is_the_gateways)
{
	char path[128], mine[128];

	open_module(path);
	snprintf(mine, sizeof mine, "%s/softhsm2.conf", token.directory);
	cr_assert_eq(chmod(mine, 0600), 0);
	if (!as_somebody(path))
		return;
	cr_assert_eq(worker.started_rv, 0, "%s", worker.started_detail);
	attempted("configuration", "CKR_ACTION_PROHIBITED");
	attempted("memory", "CKR_ACTION_PROHIBITED");
}

Test(start, a_worker_does_not_become_root)
{
	worker_fixture_start(&token, &(struct worker_options){.group_id = SOMEBODYS_GROUP, .user = "root"}, &worker);
	cr_assert_eq(worker.started_rv, 5);
	cr_assert(strstr(worker.started_detail, "worker_user"));
}

Test(start, the_inventory_tells_of_the_slot_and_its_token)
{
	worker_fixture_start(&token, &(struct worker_options){.inventory = true}, &worker);
	struct answer answer = client_request(&client, ROUTE_inventory, "", "");
	struct arena arena ARENA_AUTO;
	struct inventory_answer inventory;
	struct inventory_slot slot;

	cr_assert_eq(answer.status, 200);
	arena_init(&arena, 1 << 20);
	cr_assert_eq(inventory_answer_unpack(answer.raw.data, answer.raw.len, &arena, &inventory), STATUS_OK);
	cr_assert_eq(inventory.slots.count, 1);
	cr_assert_eq(inventory_slot_unpack(inventory.slots.items[0].data, inventory.slots.items[0].len, &arena, &slot),
		STATUS_OK);
	cr_assert_str_eq(slot.name, "demo-slot");
	cr_expect_eq(slot.presence, TOKEN_PRESENT);
	cr_expect_eq(strnlen((const char *)slot.serial, sizeof slot.serial), sizeof slot.serial);
	json_t *calls = json_loads(slot.calls_json, 0, NULL), *shown = json_loads(slot.slot_json, 0, NULL);
	json_t *mechanisms = json_loads(slot.mechanisms_json, 0, NULL);
	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(calls, "token_info"), "label")), "demo");
	cr_assert(json_array_size(json_object_get(calls, "mechanisms")) > 50);
	cr_assert_str_eq(json_string_value(json_object_get(shown, "state")), "present");
	cr_assert_eq(json_array_size(json_object_get(mechanisms, "mechanisms")),
		json_array_size(json_object_get(calls, "mechanisms")));
	json_decref(calls);
	json_decref(shown);
	json_decref(mechanisms);
	answer_free(&answer);
}

Test(start, X15_a_token_made_meanwhile_is_seen_after_a_re_initialisation)
{
	worker_fixture_start(&token, &(struct worker_options){.inventory = true, .label = "later"}, &worker);
	struct answer answer = client_request(&client, ROUTE_inventory, "", "");
	cr_assert(memmem(answer.raw.data, answer.raw.len, "\"absent\"", 8));
	answer_free(&answer);
	token_fixture_tool(&token, (char *[]){"softhsm2-util", "--init-token", "--free", "--label", "later", "--pin",
					   "1234", "--so-pin", "12345678", NULL});
	answer = client_request(&client, ROUTE_inventory, "reinit=1", "");
	cr_assert(memmem(answer.raw.data, answer.raw.len, "\"present\"", 9));
	answer_free(&answer);
}
