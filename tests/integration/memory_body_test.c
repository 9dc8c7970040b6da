/* A PIN is in no memory once the request that carried it is over (X6): bodies of all sizes, split, refused, aborted. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/common/wipe_free.h"
#include "tests/integration/body.h"
#include "tests/integration/canary.h"

/* A sanitizer keeps freed memory as it is, so there the search would find what the product wipes. */
#if WIPE_FREE_ACTIVE

TestSuite(memory_body, .timeout = 120);

#define LOGIN_PATH "/v1/slots/demo/applications/current/login"
#define CALLS_PATH "/v1/slots/demo/calls"
#define SIGN_PATH(label) "/v1/slots/demo/keys/" label "/sign"
#define PIN_BEFORE "\"pin\":\""
#define SIGN_BEFORE "\"algorithm\":\"ES256\",\"data\":\"AA\",\"pin\":\""
#define CALLS_BEFORE \
	"\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[{\"Login\":{\"session\":77," \
	"\"user_type\":\"CKU_USER\",\"pin\":\""

/* The application's and the inventory. */
enum { WORKERS = 2 };

static void logout(const struct gateway *g)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "/v1/slots/%s/applications/current/logout", g->slot);
	ANSWER_AUTO answer = request(g, ALICE, "POST", path, NULL, NULL);
	cr_assert_eq(answer.status, 204);
}

Test(memory_body, X6_pins_in_bodies_of_all_sizes_and_split_records_are_gone_after_the_answer)
{
	struct gateway g;
	struct tls_client clients[BODY_CASES];
	char inside[100];

	canary_start(&g, NULL);
	(void)snprintf(inside, sizeof(inside), PIN_BEFORE "%s\"", g.pin);
	for (size_t i = 0; i < BODY_CASES; i++) {
		char *text = padded_request(&g, LOGIN_PATH, inside, &body_cases[i]);
		clients[i] = connect_as_alice(&g);
		cr_expect_eq(exchange(&clients[i], text, g.pin, body_cases[i].cuts), 200, "case %zu", i);
		free(text);
		logout(&g);
	}
	expect_nowhere(&g, g.pin, WORKERS, "after logins");
	for (size_t i = 0; i < BODY_CASES; i++)
		tls_client_close(&clients[i]);
	gateway_stop(&g);
}

/* --- PINs for one operation --- */

/* Asks for a signature without its PIN: the path of the operation that waits for it. */
static void ask(const struct gateway *g, char *ret_path, size_t size)
{
	ANSWER_AUTO answer = request(
		g, ALICE, "POST", SIGN_PATH("ask"), "{\"algorithm\":\"ES256\",\"data\":\"AA\"}", NULL);

	cr_assert_eq(answer.status, 401);
	(void)snprintf(ret_path, size, "/v1/operations/%s/reauthenticate", member(&answer, "operation.id"));
}

/* A request with that PIN in that body. */
static void expect_status(const struct gateway *g, struct tls_client *client, const char *path, const char *before,
	const char *pin, const struct body_case *c, long status)
{
	char inside[200];

	(void)snprintf(inside, sizeof(inside), "%s%s\"", before, pin);
	char *text = padded_request(g, path, inside, c);
	cr_expect_eq(exchange(client, text, pin, c->cuts), status, "%s, %zu blanks", path, c->padding);
	free(text);
}

/* One-shot signatures with each body, over connections that stay open meanwhile. */
static void expect_no_trace_of_one_shots(const struct gateway *g, const char *path)
{
	struct tls_client clients[BODY_CASES];

	for (size_t i = 0; i < BODY_CASES; i++) {
		clients[i] = connect_as_alice(g);
		expect_status(g, &clients[i], path, SIGN_BEFORE, g->pin, &body_cases[i], 200);
	}
	expect_nowhere(g, g->pin, WORKERS, path);
	for (size_t i = 0; i < BODY_CASES; i++)
		tls_client_close(&clients[i]);
}

/* Logged in, with a key "ask" that asks for its PIN, and "plain" that does not. */
static void start_with_keys(struct gateway *g)
{
	canary_start(g, NULL);
	rest_login(g, ALICE, NULL);
	rest_key(g, "{\"type\":\"EC\",\"label\":\"ask\",\"always_authenticate\":true}");
	rest_key(g, "{\"type\":\"EC\",\"label\":\"plain\"}");
}

Test(memory_body, X6_the_pins_of_one_shot_signatures_are_gone_after_the_answer)
{
	struct gateway g;

	start_with_keys(&g);
	expect_no_trace_of_one_shots(&g, SIGN_PATH("ask"));
	expect_no_trace_of_one_shots(&g, SIGN_PATH("plain"));
	gateway_stop(&g);
}

Test(memory_body, X6_the_pins_of_one_shot_signatures_without_a_login_are_gone_after_the_answer)
{
	struct gateway g;

	start_with_keys(&g);
	logout(&g);
	expect_no_trace_of_one_shots(&g, SIGN_PATH("ask"));
	gateway_stop(&g);
}

Test(memory_body, X6_the_pins_that_reauthenticate_are_gone_after_the_answer)
{
	struct gateway g;
	struct tls_client clients[BODY_CASES];
	char wrong[CANARY_MAX], path[200];

	start_with_keys(&g);
	canary_make(wrong, "wrong-canary");
	for (size_t i = 0; i < BODY_CASES; i++) {
		ask(&g, path, sizeof(path));
		clients[i] = connect_as_alice(&g);
		expect_status(&g, &clients[i], path, PIN_BEFORE, wrong, &body_cases[i], 401);
		expect_status(&g, &clients[i], path, PIN_BEFORE, g.pin, &body_cases[i], 200);
	}
	expect_nowhere(&g, wrong, WORKERS, "the wrong PIN");
	expect_nowhere(&g, g.pin, WORKERS, "the right PIN");
	for (size_t i = 0; i < BODY_CASES; i++)
		tls_client_close(&clients[i]);
	gateway_stop(&g);
}

/* --- requests that lead to nothing --- */

Test(memory_body, X6_pins_of_refused_requests_are_gone_after_the_answer)
{
	static const struct {
		const char *path, *before, *behind; /* of the PIN */
		long status;
	} refused[] = {
		{LOGIN_PATH, PIN_BEFORE, "\"", 401},
		{LOGIN_PATH, PIN_BEFORE, "\",", 400},
		{LOGIN_PATH, "\"pins\":\"", "\"", 400},
		{LOGIN_PATH, "\"user\":\"nobody\",\"pin\":\"", "\"", 400},
		{LOGIN_PATH, "\"pin\":[\"", "\"]", 400},
		{CALLS_PATH, CALLS_BEFORE, "\"}}]}]", 200},
		{SIGN_PATH("none"), SIGN_BEFORE, "\"", 401},
		{"/v1/operations/00112233445566778899aabbccddeeff/reauthenticate", "\"pin\":\"", "\"", 404},
		{"/v1/slots/none/applications/current/login", "\"pin\":\"", "\"", 404},
		{"/v1/nowhere", "\"pin\":\"", "\"", 404},
	};
	enum { REFUSED = sizeof(refused) / sizeof(*refused) };
	char wrong[CANARY_MAX];
	struct gateway g;
	struct tls_client client;

	canary_start(&g, NULL);
	/* Base64url as well. */
	canary_make(wrong, "wrong-canary");
	client = connect_as_alice(&g);
	for (size_t i = 0; i < REFUSED; i++) {
		for (size_t size = 0; size < 4; size++) {
			char inside[400];
			(void)snprintf(inside, sizeof(inside), "%s%s%s", refused[i].before, wrong, refused[i].behind);
			char *text = padded_request(&g, refused[i].path, inside, &body_cases[size]);
			long status = exchange(&client, text, wrong, (unsigned)size % 2);
			/* The third wrong PIN is the last that the guard lets through (B16). */
			cr_expect(status == refused[i].status || (refused[i].status == 401 && status == 423),
				"%s %s: %ld", refused[i].path, inside, status);
			free(text);
		}
	}
	expect_nowhere(&g, wrong, WORKERS, "after refusals");
	tls_client_close(&client);
	gateway_stop(&g);
}

static bool no_connection(const struct gateway *g, void *argument)
{
	ANSWER_AUTO metrics = request(g, ALICE, "GET", "/metrics", NULL, NULL);
	const char *at = metrics.text != NULL ? strstr(metrics.text, "\np11gate_connections ") : NULL;

	(void)argument;
	return at != NULL && strtol(at + strlen("\np11gate_connections "), NULL, 10) <= 1;
}

/* All but the last byte of a request with each body: it never becomes a request. */
static void abort_requests(const struct gateway *g, const char *path, const char *inside)
{
	for (size_t i = 0; i < BODY_CASES; i++) {
		const struct body_case with_rest = {.padding = body_cases[i].padding, .before = true};
		char *text = padded_request(g, path, inside, &with_rest);
		struct tls_client client = connect_as_alice(g);
		text[strlen(text) - 1] = '\0';
		send_cut(&client, text, g->pin, body_cases[i].cuts);
		if (i % 2 == 0)
			tls_client_close(&client);
		else
			close(client.fd);
		free(text);
	}
}

Test(memory_body, X6_pins_of_aborted_requests_are_gone)
{
	static const struct {
		const char *path, *before, *behind; /* of the PIN */
	} aborted[] = {
		{LOGIN_PATH, PIN_BEFORE, "\""},
		{SIGN_PATH("ask"), SIGN_BEFORE, "\""},
		{CALLS_PATH, CALLS_BEFORE, "\"}}]}]"},
	};
	struct gateway g;
	char inside[400];

	canary_start(&g, NULL);
	for (size_t i = 0; i < sizeof(aborted) / sizeof(*aborted); i++) {
		(void)snprintf(inside, sizeof(inside), "%s%s%s", aborted[i].before, g.pin, aborted[i].behind);
		abort_requests(&g, aborted[i].path, inside);
	}
	cr_expect(await_condition(no_connection, &g, NULL, 10), "connections remain");
	expect_nowhere(&g, g.pin, 1, "after aborted requests");
	gateway_stop(&g);
}

#endif
