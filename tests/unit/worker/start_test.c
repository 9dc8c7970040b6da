#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/route.h"
#include "server/common/frame.h"
#include "tests/unit/worker/fixture.h"

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
	json_t *result = NULL;
	bool refused = false;
	while (!refused) {
		result = client_call(&client,
			"{\"GenerateRandom\":{\"session\":%lld,\"random\":1}},"
			"{\"SignInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_ECDSA\"},\"key\":%lld}}",
			session, session, key);
		refused = strcmp(json_string_value(json_object_get(result, "rv")), "CKR_KEY_FUNCTION_NOT_PERMITTED") ==
			  0;
		json_decref(result);
	}
}

/* escape_module.c tries what its seed names. */
static void tries(const char *what_base64, const char *rv)
{
	worker_fixture_start(
		&token, &(struct worker_options){.module = "escape_module.so", .label = "escape"}, &worker);
	cr_assert_eq(worker.started_rv, 0, "%s", worker.started_detail);
	expect(&client, rv,
		"{\"OpenSession\":{\"flags\":6}},{\"SeedRandom\":{\"session\":{\"from\":0},\"seed\":\"%s\"}}",
		what_base64);
}

Test(start, a_module_cannot_start_a_program)
{
	tries("ZXhlY3Zl", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_cannot_trace_a_process)
{
	tries("cHRyYWNl", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_cannot_open_a_network_socket)
{
	tries("aW5ldA", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_may_open_a_unix_socket)
{
	tries("dW5peA", "CKR_OK");
}

Test(start, a_module_cannot_make_a_user_namespace)
{
	tries("dXNlcm5z", "CKR_ACTION_PROHIBITED");
}

Test(start, a_module_cannot_set_up_io_uring)
{
	tries("aW9fdXJpbmc", "CKR_ACTION_PROHIBITED");
}

Test(start, a_worker_is_not_dumpable)
{
	tries("ZHVtcA", "CKR_ACTION_PROHIBITED");
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
