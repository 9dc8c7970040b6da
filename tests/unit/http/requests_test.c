/* Requests over TLS that are answered without a worker. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/unit/http/fixture.h"

enum { WAIT_MS = 5000 };

static struct fixture *fixture;

static void open_fixture(void)
{
	fixture = fixture_new("", "");
}

static void close_fixture(void)
{
	fixture_free(fixture);
}

TestSuite(requests, .init = open_fixture, .fini = close_fixture, .timeout = 60);

struct shape {
	const char *name;
	unsigned status;
	const char *bytes;
	size_t len;
};

static const struct shape shapes[] = {
#define SHAPE(name, status, bytes) {name, status, bytes, sizeof(bytes) - 1},
#include "tests/unit/http/shapes.def"
};

static const struct {
	unsigned status;
	const char *path;
} paths[] = {
#define PATH(status, path) {status, path},
#include "tests/unit/http/paths.def"
};

static const char *get(struct tls_client *client, const char *path, const char *fields)
{
	char request[4096];
	snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: gateway\r\n%s\r\n", path, fields);
	return fixture_ask(client, request);
}

static const char *post(struct tls_client *client, const char *path, const char *fields, const char *body)
{
	char request[4096];
	snprintf(request, sizeof request,
		"POST %s HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nContent-Length: "
		"%zu\r\n%s\r\n%s",
		path, strlen(body), fields, body);
	return fixture_ask(client, request);
}

Test(requests, each_ambiguous_shape_gets_one_refusal_and_the_end_of_the_connection)
{
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		struct tls_client *client = fixture_connect(fixture, "alice");
		const char *answer = fixture_exchange(client, shapes[i].bytes, shapes[i].len);
		cr_expect_eq(answer_status(answer), shapes[i].status, "%s: %.200s", shapes[i].name, answer);
		cr_expect(answer_has(answer, "application/problem+json"), "%s", shapes[i].name);
		cr_expect(tls_client_ended(client, WAIT_MS), "%s: the connection goes on", shapes[i].name);
		fixture_disconnect(client);
	}
	const char *metrics = fixture_get(fixture, "alice", "/metrics");
	char expected[80];
	snprintf(expected, sizeof expected, "p11gate_requests_malformed_total %zu\n", sizeof shapes / sizeof *shapes);
	cr_expect(answer_has(metrics, expected));
}

Test(requests, paths_lead_nowhere_but_to_their_route)
{
	struct tls_client *client = fixture_connect(fixture, "alice");
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		const char *answer = get(client, paths[i].path, "");
		cr_expect_eq(answer_status(answer), paths[i].status, "%s: %.200s", paths[i].path, answer);
	}
	fixture_disconnect(client);
}

Test(requests, health_is_told_and_not_cached)
{
	const char *answer = fixture_get(fixture, "reader", "/healthz");
	cr_expect_eq(answer_status(answer), 200);
	cr_expect(answer_has(answer, "\r\n\r\n{\"status\":\"ok\"}"));
	cr_expect(answer_has(answer, "Cache-Control: no-store\r\n"));
	cr_expect(answer_has(answer, "Content-Type: application/json\r\n"));
}

Test(requests, readiness_names_the_module_that_is_missing_to_those_who_administer_a_slot)
{
	const char *answer = fixture_get(fixture, "alice", "/readyz");
	cr_expect_eq(answer_status(answer), 503);
	cr_expect(answer_has(answer, "\"status\":\"unavailable\""));
	cr_expect(answer_has(answer, "none"), "%s", answer);
	answer = fixture_get(fixture, "reader", "/readyz");
	cr_expect_eq(answer_status(answer), 503);
	cr_expect(answer_has(answer, "\r\n\r\n{\"status\":\"unavailable\"}"), "%s", answer);
}

Test(requests, metrics_and_the_api_document_are_served)
{
	const char *answer = fixture_get(fixture, "reader", "/metrics");
	cr_expect_eq(answer_status(answer), 200);
	cr_expect(answer_has(answer, "# TYPE p11gate_connections gauge\n"));
	answer = fixture_get(fixture, "reader", "/openapi.json");
	cr_expect_eq(answer_status(answer), 200);
	cr_expect(answer_has(answer, "\"openapi\""));
}

Test(requests, a_certificate_of_no_identity_is_refused_and_recorded)
{
	struct tls_client *client = fixture_connect(fixture, "stranger");
	const char *answer = fixture_ask(client, "GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n");
	cr_expect_eq(answer_status(answer), 403);
	cr_expect(answer_has(answer, "/docs/errors/identity-unknown"));
	cr_expect(tls_client_ended(client, WAIT_MS));
	cr_expect_eq(audit_lines(fixture, "certificate matches no identity"), 1);
	cr_expect_eq(audit_lines(fixture, "CN=stranger"), 1);
	fixture_disconnect(client);
}

Test(requests, a_body_from_no_identity_is_not_kept)
{
	struct tls_client *client = fixture_connect(fixture, "stranger");
	const char *answer = post(client, "/v1/slots/demo/keys", "", "{}");
	cr_expect_eq(answer_status(answer), 403);
	cr_expect(answer_has(answer, "/docs/errors/identity-unknown"));
	cr_expect(tls_client_ended(client, WAIT_MS));
	fixture_disconnect(client);
}

Test(requests, a_certificate_of_two_identities_is_refused)
{
	const char *answer = fixture_get(fixture, "twin", "/healthz");
	cr_expect_eq(answer_status(answer), 403);
	cr_expect(answer_has(answer, "/docs/errors/identity-ambiguous"));
	cr_expect_eq(audit_lines(fixture, "certificate matches several identities"), 1);
}

Test(requests, what_no_rule_allows_is_refused_and_recorded)
{
	struct tls_client *client = fixture_connect(fixture, "reader");
	const char *answer = post(client, "/v1/slots/demo/keys", "", "{}");
	cr_expect_eq(answer_status(answer), 403);
	cr_expect(answer_has(answer, "/docs/errors/permission-denied"));
	answer = post(client, "/v1/slots/demo/keys/a/sign", "", "{}");
	cr_expect_eq(answer_status(answer), 403);
	answer = post(client, "/v1/slots/demo/applications/current/login", "", "{\"pin\":\"1234\"}");
	cr_expect_eq(answer_status(answer), 403);
	fixture_disconnect(client);
	cr_expect_eq(audit_lines(fixture, "\"reason\":\"no rule allows it\""), 3);
	cr_expect_eq(audit_lines(fixture, "1234"), 0);
}

/* The answer without the Date field, which may differ by a second. */
static char *without_date(const char *answer)
{
	cr_assert_not_null(answer);
	char *copy = strdup(answer), *date = strstr(copy, "Date: ");
	cr_assert_not_null(date);
	char *end = strstr(date, "\r\n") + 2;
	memmove(date, end, strlen(end) + 1);
	return copy;
}

Test(requests, a_foreign_slot_and_no_slot_look_the_same)
{
	static const char trace[] = "traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\r\n";
	static const char *const tails[] = {"", "/keys", "/keys/a", "/mechanisms", "/challenge-response/keys"};
	struct tls_client *client = fixture_connect(fixture, "alice");
	for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
		char foreign[64], unknown[64];
		snprintf(foreign, sizeof foreign, "/v1/slots/other%s", tails[i]);
		snprintf(unknown, sizeof unknown, "/v1/slots/nnnnn%s", tails[i]);
		char *one = without_date(get(client, foreign, trace)), *two = without_date(get(client, unknown, trace));
		cr_expect_eq(answer_status(one), 404);
		cr_expect_str_eq(one, two);
		cr_expect(answer_has(one, "\"trace_id\":\"0123456789abcdef0123456789abcdef\""));
		free(one);
		free(two);
	}
	fixture_disconnect(client);
	cr_expect_eq(audit_lines(fixture, "no such slot for this identity"), 2 * sizeof tails / sizeof *tails);
}

Test(requests, a_worker_that_does_not_start_is_a_device_error)
{
	const char *answer = fixture_get(fixture, "alice", "/v1/slots/demo/keys");
	cr_expect_eq(answer_status(answer), 503, "%.300s", answer);
	cr_expect(answer_has(answer, "\"ckr\":\"CKR_DEVICE_ERROR\""), "%.600s", answer);
}

Test(requests, an_unknown_operation_is_not_found)
{
	struct tls_client *client = fixture_connect(fixture, "alice");
	const char *answer = post(
		client, "/v1/operations/0123456789abcdef0123456789abcdef/reauthenticate", "", "{\"pin\":\"1234\"}");
	cr_expect_eq(answer_status(answer), 404);
	fixture_disconnect(client);
}

Test(requests, another_method_is_told_which_there_are)
{
	struct tls_client *client = fixture_connect(fixture, "alice");
	const char *answer = post(client, "/healthz", "", "{}");
	cr_expect_eq(answer_status(answer), 405);
	cr_expect(answer_has(answer, "Allow: GET\r\n"));
	fixture_disconnect(client);
}

Test(requests, HEAD_has_no_body_in_its_answer)
{
	struct tls_client *client = fixture_connect(fixture, "alice");
	const char *answer = fixture_ask(client, "HEAD /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n");
	cr_expect_eq(answer_status(answer), 405);
	cr_expect_str_eq(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
	cr_expect_eq(answer_status(get(client, "/healthz", "")), 200);
	fixture_disconnect(client);
}

Test(requests, a_body_of_another_type_is_refused)
{
	struct tls_client *client = fixture_connect(fixture, "alice");
	const char *answer = fixture_ask(client, "POST /v1/slots/demo/keys HTTP/1.1\r\nHost: a\r\nContent-Type: "
						 "text/plain\r\nContent-Length: 2\r\n\r\n{}");
	cr_expect_eq(answer_status(answer), 415);
	answer = fixture_ask(client, "POST /v1/slots/demo/keys HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
	cr_expect_eq(answer_status(answer), 415);
	fixture_disconnect(client);
}

Test(requests, a_body_of_another_type_is_told_which_one_is_taken)
{
	struct tls_client *client = fixture_connect(fixture, "alice");
	const char *answer = fixture_ask(client, "PATCH /v1/slots/demo/keys/a HTTP/1.1\r\nHost: a\r\nContent-Type: "
						 "application/json\r\nContent-Length: 2\r\n\r\n{}");
	cr_expect_eq(answer_status(answer), 415);
	cr_expect(answer_has(answer, "application/merge-patch+json"), "%s", answer);
	fixture_disconnect(client);
}

Test(requests, octets_go_to_the_routes_that_take_them_alone)
{
	struct tls_client *client = fixture_connect(fixture, "alice");
	static const struct {
		const char *path;
		bool taken;
	} rows[] = {
		{"/v1/slots/demo/keys/a/sign?algorithm=ES256", true},
		{"/v1/slots/demo/keys/a/decrypt?algorithm=ES256", true},
		{"/v1/slots/demo/keys", false},
		{"/v1/slots/demo/challenge-response", false},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char head[300];
		snprintf(head, sizeof head,
			"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nContent-Length: "
			"2\r\n\r\n{}",
			rows[i].path);
		cr_expect_eq(answer_status(fixture_ask(client, head)) != 415, rows[i].taken, "%s", rows[i].path);
	}
	fixture_disconnect(client);
}

Test(requests, a_POST_without_length_has_no_body)
{
	struct tls_client *client = fixture_connect(fixture, "alice");
	const char *answer = fixture_ask(
		client, "POST /v1/slots/demo/applications/current/logout HTTP/1.1\r\nHost: a\r\n\r\n");
	cr_expect(answer_has(answer, "CKR_DEVICE_ERROR"), "%s", answer);
	cr_expect_eq(answer_status(get(client, "/healthz", "")), 200);
	fixture_disconnect(client);
}

Test(requests, C15_application_ids_are_checked)
{
	static const char *const bad[] = {"", "1", "1-", "-1", "1-2-3", "1-4294967296", "0x1-2", "a-b", "+1-2", "1 - 2",
		"0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcdef0",
		"g123456789abcdef0123456789abcdef"};
	static const char *const good[] = {"1-2", "0-0", "4294967295-4294967295", "0123456789abcdef0123456789ABCDEF"};
	struct tls_client *client = fixture_connect(fixture, "alice");
	char field[128];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(field, sizeof field, "X-Application-Id: %s\r\n", bad[i]);
		const char *answer = get(client, "/v1/slots/demo/keys", field);
		cr_expect_eq(answer_status(answer), 400, "%s", bad[i]);
		cr_expect(answer_has(answer, "/docs/errors/malformed-application"), "%s", bad[i]);
	}
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		snprintf(field, sizeof field, "X-Application-Id: %s\r\n", good[i]);
		cr_expect_eq(answer_status(get(client, "/v1/slots/demo/keys", field)), 503, "%s", good[i]);
	}
	fixture_disconnect(client);
}

Test(requests, X20_an_idempotency_key_is_a_string_or_nothing_is_done)
{
	static const struct {
		const char *field;
		unsigned status; /* 503: the worker does not start */
	} rows[] = {
		{"\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", 503},
		{"8e03978e-40d5-43dd-bc93-6894a57f9324", 503},
		{"\"\"", 400},
		{"\"a", 400},
		{"a b", 400},
		{"\"a\", \"b\"", 400},
		{"\"a\\\"b\"", 400},
	};
	struct tls_client *client = fixture_connect(fixture, "alice");
	char request[700], longest[JOURNAL_KEY_MAX + 2];
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		snprintf(request, sizeof request,
			"POST /v1/slots/demo/keys HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\n"
			"Idempotency-Key: %s\r\n\r\n",
			rows[i].field);
		const char *answer = fixture_ask(client, request);
		cr_expect_eq(answer_status(answer), rows[i].status, "%s: %s", rows[i].field, answer);
	}
	for (size_t len = JOURNAL_KEY_MAX; len <= JOURNAL_KEY_MAX + 1; len++) {
		memset(longest, 'k', len);
		longest[len] = '\0';
		snprintf(request, sizeof request,
			"POST /v1/slots/demo/keys HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\n"
			"Idempotency-Key: %s\r\n\r\n",
			longest);
		cr_expect_eq(answer_status(fixture_ask(client, request)), len == JOURNAL_KEY_MAX ? 503 : 400);
	}
	fixture_disconnect(client);
}

Test(requests, X11_client_instances_are_checked)
{
	static const char *const bad[] = {
		"", "1", "00000000000000000000000000000000", "0123456789abcdef0123456789abcdeg"};
	struct tls_client *client = fixture_connect(fixture, "alice");
	char field[128];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		snprintf(field, sizeof field, "X-Client-Instance: %s\r\n", bad[i]);
		cr_expect_eq(answer_status(get(client, "/v1/slots/demo/keys", field)), 400, "%s", bad[i]);
	}
	fixture_disconnect(client);
}

static struct tls_client *send_body(size_t declared, size_t sent, const char *fields)
{
	char head[256];
	struct tls_client *client = fixture_connect(fixture, "alice");
	char *body = malloc(sent + 1);
	memset(body, ' ', sent + 1);
	snprintf(head, sizeof head,
		"POST /v1/slots/demo/keys HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: "
		"%zu\r\n%s\r\n",
		declared, fields);
	cr_assert(tls_client_send(client, head, strlen(head)));
	cr_assert(tls_client_send(client, body, sent));
	free(body);
	return client;
}

Test(requests, a_body_of_the_limit_arrives_and_one_byte_more_is_too_large)
{
	struct tls_client *client = send_body(LIMIT_BODY, LIMIT_BODY, "");
	cr_expect_eq(
		answer_status(fixture_ask(client, "")), 503, "the slot's module is missing, but the body was taken");
	fixture_disconnect(client);
	client = send_body(LIMIT_BODY + 1, LIMIT_BODY + 1, "");
	cr_expect_eq(answer_status(fixture_ask(client, "")), 413);
	cr_expect(tls_client_ended(client, WAIT_MS));
	fixture_disconnect(client);
}

Test(requests, a_body_that_is_far_too_large_is_refused_before_it_comes)
{
	struct tls_client *client = send_body(1u << 30, 0, "");
	cr_expect_eq(answer_status(fixture_ask(client, "")), 413);
	fixture_disconnect(client);
	client = send_body(LIMIT_BODY + 1, 0, "Expect: 100-continue\r\n");
	cr_expect_eq(answer_status(fixture_ask(client, "")), 413);
	fixture_disconnect(client);
}

Test(requests, who_expects_it_is_told_to_continue)
{
	struct tls_client *client = send_body(2, 0, "Expect: 100-continue\r\n");
	cr_expect_eq(answer_status(fixture_ask(client, "")), 100);
	cr_expect_eq(answer_status(fixture_ask(client, "{}")), 503);
	fixture_disconnect(client);
}

Test(requests, pipelined_requests_are_answered_in_order)
{
	static const char three[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
				    "POST /v1/slots/demo/keys HTTP/1.1\r\nHost: a\r\nContent-Type: "
				    "application/json\r\nContent-Length: 2\r\nX-Application-Id: x\r\n\r\n{}"
				    "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n";
	struct tls_client *client = fixture_connect(fixture, "alice");
	char answer[8192];
	size_t used = 0;
	cr_assert(tls_client_send(client, three, sizeof three - 1));
	while (used < sizeof answer - 1) {
		int got = SSL_read(client->ssl, answer + used, (int)(sizeof answer - 1 - used));
		cr_assert_gt(got, 0);
		used += (size_t)got;
		answer[used] = '\0';
		if (strstr(answer, "/docs/errors/not-found") != NULL)
			break;
	}
	char *first = strstr(answer, "HTTP/1.1 200"), *second = strstr(answer, "HTTP/1.1 400"),
	     *third = strstr(answer, "HTTP/1.1 404");
	cr_expect(first != NULL && second != NULL && third != NULL && first < second && second < third, "%s", answer);
	fixture_disconnect(client);
}

Test(requests, a_request_in_single_bytes_is_answered)
{
	static const char request[] = "POST /v1/slots/demo/keys HTTP/1.1\r\nHost: a\r\nContent-Type: "
				      "application/json\r\nContent-Length: 2\r\n\r\n{}";
	struct tls_client *client = fixture_connect(fixture, "alice");
	for (size_t i = 0; i < sizeof request - 1; i++)
		cr_assert(tls_client_send(client, request + i, 1));
	cr_expect_eq(answer_status(fixture_ask(client, "")), 503);
	fixture_disconnect(client);
}

Test(requests, an_answer_leaves_in_one_record)
{
	struct tls_client *client = fixture_connect(fixture, "alice");
	cr_assert_eq(answer_status(get(client, "/healthz", "")), 200); /* the tickets come with this one */
	for (int i = 0; i < 10; i++) {
		client->records = 0;
		cr_assert_eq(answer_status(get(client, "/healthz", "")), 200);
		cr_expect_eq(client->records, 1, "%u records", client->records);
	}
	fixture_disconnect(client);
}

/* No file of this process can grow until `full` is false again. */
static void disk(bool full)
{
	struct rlimit limit;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = full ? 0 : limit.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(requests, without_an_audit_log_refusals_are_withheld_and_keys_are_not_used)
{
	struct tls_client *reader = fixture_connect(fixture, "reader"), *alice = fixture_connect(fixture, "alice");
	disk(true);
	const char *answer = post(reader, "/v1/slots/demo/keys", "", "{}");
	cr_expect_eq(answer_status(answer), 503);
	cr_expect(answer_has(answer, "/docs/errors/audit-unavailable"));
	cr_expect(answer_has(answer, "Retry-After: "));
	cr_expect(answer_has(answer, "\"ckr\":\"CKR_GENERAL_ERROR\",\"ckr_code\":5,"));
	cr_expect(answer_has(post(alice, "/v1/slots/demo/keys/a/sign", "", "{}"), "/docs/errors/audit-unavailable"));
	cr_expect(answer_has(
		post(alice, "/v1/slots/demo/applications/current/login", "", "{}"), "/docs/errors/audit-unavailable"));
	cr_expect(answer_has(get(alice, "/readyz", ""), "\"status\":\"unavailable\""));
	/* Reading and logging out go on: it is the worker that is missing here. */
	cr_expect(answer_has(get(alice, "/v1/slots/demo/keys", ""), "CKR_DEVICE_ERROR"));
	cr_expect(answer_has(post(alice, "/v1/slots/demo/applications/current/logout", "", ""), "CKR_DEVICE_ERROR"));
	cr_expect_eq(answer_status(get(alice, "/healthz", "")), 200);
	disk(false);
	cr_expect_eq(answer_status(post(reader, "/v1/slots/demo/keys", "", "{}")), 403);
	cr_expect(answer_has(post(alice, "/v1/slots/demo/keys/a/sign", "", "{}"), "CKR_DEVICE_ERROR"));
	fixture_disconnect(reader);
	fixture_disconnect(alice);
}

Test(requests, the_client_can_ask_for_the_end_of_the_connection)
{
	struct tls_client *client = fixture_connect(fixture, "alice");
	const char *answer = get(client, "/healthz", "Connection: close\r\n");
	cr_expect_eq(answer_status(answer), 200);
	cr_expect(answer_has(answer, "Connection: close\r\n"));
	cr_expect(tls_client_ended(client, WAIT_MS));
	fixture_disconnect(client);
}

Test(requests, a_head_that_is_too_long_is_refused)
{
	char request[9000] = "GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: ";
	size_t len = strlen(request);
	memset(request + len, 'a', sizeof request - len);
	struct tls_client *client = fixture_connect(fixture, "alice");
	cr_expect_eq(answer_status(fixture_exchange(client, request, sizeof request)), 431);
	fixture_disconnect(client);
}

Test(requests, the_longest_head_is_accepted)
{
	char request[8192] = "GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: ";
	size_t len = strlen(request);
	memset(request + len, 'a', sizeof request - len);
	memcpy(request + sizeof request - 4, "\r\n\r\n", 4);
	struct tls_client *client = fixture_connect(fixture, "alice");
	cr_expect_eq(answer_status(fixture_exchange(client, request, sizeof request)), 200);
	cr_expect_eq(answer_status(fixture_exchange(client, request, sizeof request)), 200);
	fixture_disconnect(client);
}
