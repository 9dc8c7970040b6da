/*
 * A PIN is in no memory once the call that carried it is over (X6, B12): the calls of an application. Root reads all memory of the
 * processes, for the PIN as it is and as it travels.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/common/wipe_free.h"
#include "tests/integration/body.h"
#include "tests/integration/canary.h"
#include "tests/integration/login_client.h"
#include "tests/integration/policy_key.h"
#include "tests/support/lib/process_memory.h"

/* A sanitizer keeps freed memory as it is, so there the search would find what the product wipes. */
#if WIPE_FREE_ACTIVE

TestSuite(memory, .timeout = 120);

/* Workers while one login_client is there: its application's, and the inventory. */
enum { WORKERS = 2 };

static struct login_client logged_in(const struct gateway *g)
{
	struct login_client client = login_client_start(g);

	cr_assert_eq(login_client_tell(&client, "%s", g->pin), CKR_OK);
	return client;
}

/* The client logs out, and the PIN is nowhere; then all ends. */
static void expect_no_trace_of_the_login(struct gateway *g, struct login_client *client)
{
	cr_assert_eq(login_client_tell(client, "%s", ""), CKR_OK);
	expect_nowhere(g, g->pin, WORKERS, "after the logout");
	login_client_end(client);
	gateway_stop(g);
}

/* Tells the line, a call with that PIN, which is found while the call waits for the token. */
static CK_RV tell_and_look(
	const struct gateway *g, const struct login_client *client, const char *line, const char *pin)
{
	struct held_locks held = locks_hold(g);

	login_client_send(client, line);
	expect_there(g, client->worker, pin, "the worker, during the call");
	expect_there(g, g->pid, pin, "the gateway, during the call");
	expect_there(g, client->pid, pin, "the client, during the call");
	locks_release(&held);
	return login_client_answer(client);
}

Test(memory, X6_B12_a_pin_is_found_while_it_is_in_use_and_nowhere_after_the_call)
{
	struct gateway g;

	canary_start(&g, NULL);
	struct login_client client = login_client_start(&g);
	cr_assert_eq(tell_and_look(&g, &client, g.pin, g.pin), CKR_OK);
	expect_gone(&g, client.pid, g.pin, "client, after C_Login");
	expect_gone(&g, g.pid, g.pin, "gateway, after the answer");
	cr_assert_eq(login_client_tell(&client, "%s", ""), CKR_OK);
	expect_gone(&g, client.pid, g.pin, "client, after C_Logout");
	expect_nowhere(&g, g.pin, WORKERS, "after the logout");
	login_client_end(&client);
	gateway_stop(&g);
}

static bool has_no_memory(const struct gateway *g, void *argument)
{
	const pid_t *pid = argument;

	return process_memory_hits(*pid, g->pin) == -1;
}

Test(memory, X6_a_process_that_has_ended_is_not_taken_for_one_without_the_pin)
{
	struct gateway g;

	canary_start(&g, NULL);
	struct login_client client = login_client_start(&g);
	cr_expect_eq(process_memory_hits(client.pid, g.pin), 0);
	login_client_end(&client);
	cr_expect(await_condition(has_no_memory, &g, &client.pid, 5));
	gateway_stop(&g);
}

Test(memory, B12_a_cached_pin_is_in_one_place_of_the_worker_and_gone_after_the_logout)
{
	struct gateway g;

	canary_start(&g, "login: [{identities: [alice], slots: ['*'], enable_cache_pin: 1}]");
	struct login_client client = logged_in(&g);
	expect_kept_once(&g, client.worker, g.pin, "after the login");
	cr_assert_eq(login_client_tell(&client, "?"), CKR_OK);
	expect_kept_once(&g, client.worker, g.pin, "after a private use");
	expect_gone(&g, g.pid, g.pin, "gateway");
	expect_gone(&g, client.pid, g.pin, "client");
	cr_expect_eq(process_memory_unprotected(client.worker), 0);
	expect_no_trace_of_the_login(&g, &client);
}

Test(memory, X6_the_pins_of_a_change_are_in_no_memory_afterwards)
{
	struct gateway g;
	char another[CANARY_MAX];

	canary_start(&g, NULL);
	canary_make(another, "another");
	struct login_client client = login_client_start(&g);
	cr_assert_eq(login_client_tell(&client, "%s %s", g.pin, another), CKR_OK);
	expect_nowhere(&g, g.pin, WORKERS, "after the change, the old one");
	expect_nowhere(&g, another, WORKERS, "after the change, the new one");
	expect_gone(&g, client.pid, g.pin, "client, the old one");
	expect_gone(&g, client.pid, another, "client, the new one");
	cr_assert_eq(login_client_tell(&client, "%s", another), CKR_OK);
	login_client_end(&client);
	gateway_stop(&g);
}

/* --- PINs for one operation --- */

/* A wrong PIN and the right one for the operation that `begin` begins: gone after the call, though the login goes on. */
static void expect_no_trace_of_context_logins(
	const struct gateway *g, const struct login_client *client, const char *begin)
{
	char wrong[CANARY_MAX], line[sizeof(g->pin) + 1];

	canary_make(wrong, "wrong");
	cr_assert_eq(login_client_tell(client, "%s", begin), CKR_OK);
	(void)snprintf(line, sizeof(line), "@%s", wrong);
	cr_assert_eq(tell_and_look(g, client, line, wrong), CKR_PIN_INCORRECT);
	expect_gone(g, client->pid, wrong, "client, after the wrong PIN");
	expect_nowhere(g, wrong, WORKERS, "after the wrong PIN");
	(void)snprintf(line, sizeof(line), "@%s", g->pin);
	cr_assert_eq(tell_and_look(g, client, line, g->pin), CKR_OK);
	expect_gone(g, client->pid, g->pin, "client, after the right PIN");
	expect_gone(g, g->pid, g->pin, "gateway, after the right PIN");
	cr_assert_eq(login_client_tell(client, "="), CKR_OK);
}

Test(memory, X6_the_pin_of_a_context_specific_login_is_in_no_memory_afterwards)
{
	struct gateway g;

	canary_start(&g, NULL);
	struct login_client client = logged_in(&g);
	expect_no_trace_of_context_logins(&g, &client, "+");
	expect_nowhere(&g, g.pin, WORKERS, "after the signature");
	expect_no_trace_of_the_login(&g, &client);
}

Test(memory, X6_B20_the_pin_that_is_verified_beside_the_worker_is_in_no_memory_afterwards)
{
	struct gateway g;

	canary_start(&g, POLICY_KEY_RULE(""));
	policy_key_make(&g);
	struct login_client client = logged_in(&g);
	expect_no_trace_of_context_logins(&g, &client, "^");
	expect_nowhere(&g, g.pin, WORKERS, "after the signature");
	expect_no_trace_of_the_login(&g, &client);
}

/* A new worker sees to it before it takes its first message. */
static bool is_protected(const struct gateway *g, void *argument)
{
	const pid_t *pid = argument;

	(void)g;
	return process_memory_unprotected(*pid) == 0;
}

static bool one_more_worker(const struct gateway *g, void *argument)
{
	pid_t workers[WORKERS_MAX];

	(void)argument;
	return worker_processes(g, workers, WORKERS_MAX) == WORKERS + 1;
}

Test(memory, X6_B20_the_process_that_verifies_a_pin_is_in_no_dump_either_and_ends_with_the_answer)
{
	struct gateway g;
	pid_t before[WORKERS_MAX];
	char line[sizeof(g.pin) + 1];

	canary_start(&g, POLICY_KEY_RULE(""));
	policy_key_make(&g);
	struct login_client client = logged_in(&g);
	cr_assert_eq(login_client_tell(&client, "^"), CKR_OK);
	size_t count = worker_processes(&g, before, WORKERS_MAX);
	struct held_locks held = locks_hold(&g);
	(void)snprintf(line, sizeof(line), "@%s", g.pin);
	login_client_send(&client, line);
	cr_assert(await_condition(one_more_worker, &g, NULL, 5), "nobody verifies");
	pid_t verifying = worker_besides(&g, before, count);
	cr_expect(await_condition(is_protected, &g, &verifying, 5));
	locks_release(&held);
	cr_assert_eq(login_client_answer(&client), CKR_OK);
	cr_expect(await_condition(has_no_memory, &g, &verifying, 5), "it goes on");
	login_client_end(&client);
	gateway_stop(&g);
}

Test(memory, X6_B20_with_a_kept_pin_the_one_given_for_an_operation_leaves_nothing_but_the_kept_one)
{
	struct gateway g;

	canary_start(&g, POLICY_KEY_RULE(", enable_cache_pin: 1"));
	policy_key_make(&g);
	struct login_client client = logged_in(&g);
	expect_no_trace_of_context_logins(&g, &client, "^");
	expect_kept_once(&g, client.worker, g.pin, "after the signature");
	expect_no_trace_of_the_login(&g, &client);
}

/* --- dumps and swap --- */

Test(memory, X6_every_page_that_gateway_and_workers_write_is_locked_and_in_no_dump)
{
	enum { CONNECTIONS = 24 };
	struct gateway g;
	struct tls_client clients[CONNECTIONS];
	pid_t workers[WORKERS_MAX];
	char inside[100];

	canary_start(&g, NULL);
	(void)snprintf(inside, sizeof(inside), "\"pin\":\"%s\"", g.pin);
	for (size_t i = 0; i < CONNECTIONS; i++) {
		char *text = padded_request(
			&g, "/v1/slots/demo/applications/current/login", inside, &body_cases[i % BODY_CASES]);
		clients[i] = connect_as_alice(&g);
		cr_expect_eq(exchange(&clients[i], text, g.pin, 0), i == 0 ? 200 : 409);
		free(text);
	}
	rest_key(&g, "{\"type\":\"RSA\",\"bits\":2048,\"label\":\"r\"}");
	size_t count = worker_processes(&g, workers, WORKERS_MAX);
	cr_assert_eq(count, 2);
	cr_expect_eq(process_memory_unprotected(g.pid), 0, "gateway");
	for (size_t i = 0; i < count; i++)
		cr_expect_eq(process_memory_unprotected(workers[i]), 0, "worker");
	for (size_t i = 0; i < CONNECTIONS; i++)
		tls_client_close(&clients[i]);
	gateway_stop(&g);
}

Test(memory, X6_a_gateway_that_must_lock_its_memory_and_cannot_does_not_start)
{
	struct gateway g;
	char command[1200], line[1024] = "";

	canary_start(&g, NULL);
	(void)snprintf(command, sizeof(command),
		"cd '%s' && { echo 'require_mlock: true'; cat p11gated.yaml; } > locked.yaml && "
		"prlimit --memlock=65536:65536 setpriv --bounding-set=-ipc_lock,-sys_resource "
		"\"$(realpath /proc/%d/exe)\" --config locked.yaml --port 0 2>&1; echo \"status $?\"",
		g.directory, (int)g.pid);
	FILE *output = popen(command, "re"); /* NOLINT(cert-env33-c) */
	cr_assert_not_null(output);
	cr_assert_not_null(fgets(line, sizeof(line), output));
	cr_expect_not_null(strstr(line, "memory cannot be locked: the limit is 64 KiB"), "%s", line);
	cr_assert_not_null(fgets(line, sizeof(line), output));
	cr_expect_str_eq(line, "status 1\n", "%s", line);
	cr_expect_null(fgets(line, sizeof(line), output), "%s", line);
	pclose(output);
	gateway_stop(&g);
}

#endif
