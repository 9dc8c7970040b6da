/* Requests over TLS that workers answer, or do not. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/http/internal.h"
#include "tests/unit/http/fixture.h"

static struct fixture *fixture;

static void open_fixture(void)
{
	fixture = fixture_with_workers("  sign_s: 1\n  keygen_s: 2\n  token_wait_s: 1\n");
}

static void close_fixture(void)
{
	fixture_free(fixture);
}

TestSuite(worker, .init = open_fixture, .fini = close_fixture, .timeout = 60);

/* POST as `name` with a connection of its own. The answer has no Date field, which may differ by a second. */
#define INSTANCE "X-Client-Instance: 0123456789abcdef0123456789abcdef\r\n"

static const char *post(const char *name, const char *path, const char *fields)
{
	static char answer[TLS_CLIENT_ANSWER_MAX];
	char request[1024];
	struct tls_client *client = fixture_connect(fixture, name);
	snprintf(request, sizeof request,
		"POST %s HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nContent-Length: 2\r\n%s\r\n{}",
		path, fields);
	const char *got = fixture_ask(client, request), *date = got == NULL ? NULL : strstr(got, "Date: ");
	cr_assert_not_null(date, "%s", got);
	snprintf(answer, sizeof answer, "%.*s%s", (int)(date - got), got, strstr(date, "\r\n") + 2);
	fixture_disconnect(client);
	return answer;
}

Test(worker, X9_another_identitys_operation_and_none_look_the_same_and_are_recorded)
{
	static const char trace[] = "traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01\r\n";
	static const char foreign[] = "/v1/operations/0123456789abcdef0123456789abcdef/reauthenticate";
	static const char unknown[] = "/v1/operations/0123456789abcdef0123456789abcdee/reauthenticate";
	cr_assert_eq(
		answer_status(post("alice", "/v1/slots/demo/keys/a/sign?open=0123456789abcdef0123456789abcdef", trace)),
		200);
	char *one = strdup(post("bob", foreign, trace)), *two = strdup(post("bob", unknown, trace));
	cr_expect_eq(answer_status(one), 404, "%s", one);
	cr_expect_str_eq(one, two);
	cr_expect_eq(answer_status(post("alice", foreign, trace)), 200, "the operation is there for its owner");
	free(one);
	free(two);
	cr_expect_eq(
		audit_lines(fixture, "\"kind\":\"refusal\",\"reason\":\"no such operation for this application\""), 2);
	cr_expect_eq(audit_lines(fixture, "\"path\":\"/v1/operations/"), 2);
}

Test(worker, numbers_of_a_slot_are_for_those_who_may_use_it)
{
	cr_assert_eq(answer_status(post("alice", "/v1/slots/demo/keys/a/sign?calls=Sign", "")), 200);
	static const char calls[] = "p11gate_calls_total{slot=\"demo\"",
			  live[] = "p11gate_workers_live{slot=\"demo\"} 1\n";
	static const char *const who[] = {"alice", "reader"};
	for (size_t i = 0; i < sizeof who / sizeof *who; i++) {
		const char *answer = fixture_get(fixture, who[i], "/metrics");
		cr_expect(answer_has(answer, calls) && answer_has(answer, live), "%s: %s", who[i], answer);
	}
	const char *answer = fixture_get(fixture, "bob", "/metrics");
	cr_expect_eq(answer_status(answer), 200);
	cr_expect_not(answer_has(answer, "demo"), "%s", answer);
	cr_expect(answer_has(answer, "p11gate_workers_started_total "), "%s", answer);
	cr_expect(answer_has(answer, "# TYPE p11gate_calls_total counter\n"), "%s", answer);
}

Test(worker, X11_calls_without_a_client_instance_are_refused)
{
	const char *answer = post("alice", "/v1/slots/demo/calls?sessions=1", "");
	cr_expect_eq(answer_status(answer), 400);
	cr_expect(answer_has(answer, "/docs/errors/malformed-header"), "%s", answer);
	cr_expect(answer_has(answer, "X-Client-Instance"), "%s", answer);
	cr_expect_eq(answer_status(post("alice", "/v1/slots/demo/calls?sessions=1", INSTANCE)), 200);
}

Test(worker, a_request_whose_worker_dies_is_recorded_as_of_unknown_outcome)
{
	const char *answer = post("alice", "/v1/slots/demo/keys/a/sign?die", "");
	cr_expect_eq(answer_status(answer), 503);
	cr_expect(answer_has(answer, "/docs/errors/worker-ended"), "%s", answer);
	cr_expect_eq(audit_lines(fixture, "\"identity\":\"alice\""), 1);
	cr_expect_eq(audit_lines(fixture, "\"slot\":\"demo\",\"application\":\""), 1);
	cr_expect_eq(
		audit_lines(fixture, "\"kind\":\"outcome-unknown\",\"reason\":\"worker ended\",\"latency_us\":"), 1);
	cr_expect_eq(audit_lines(fixture,
			     "\"route\":\"key_sign\",\"method\":\"POST\",\"path\":\"/v1/slots/demo/keys/a/sign\""),
		1);
	cr_expect_eq(answer_status(post("alice", "/v1/slots/demo/calls?die", INSTANCE)), 503);
	cr_expect_eq(answer_status(post("alice", "/v1/slots/demo/applications/current/login?die", "")), 503);
	cr_expect_eq(answer_status(post("alice", "/v1/slots/demo/keys?die", "")), 503);
	cr_expect_eq(audit_lines(fixture, "\"kind\":\"outcome-unknown\""), 4);
}

Test(worker, a_request_that_misses_its_deadline_is_recorded_as_of_unknown_outcome)
{
	const char *answer = post("alice", "/v1/slots/demo/keys/a/sign?hang", "X-Deadline-Ms: 1\r\n");
	cr_expect_eq(answer_status(answer), 504);
	cr_expect(answer_has(answer, "/docs/errors/outcome-unknown"), "%s", answer);
	cr_expect_eq(audit_lines(fixture, "\"kind\":\"outcome-unknown\",\"reason\":\"deadline\",\"latency_us\":"), 1);
}

Test(worker, a_lost_request_that_could_only_read_leaves_no_record)
{
	const char *answer = fixture_get(fixture, "reader", "/v1/slots/demo/keys?die");
	cr_expect(answer_has(answer, "/docs/errors/worker-ended"), "%s", answer);
	cr_expect_eq(audit_lines(fixture, "\"event\""), 0);
}

Test(worker, a_client_in_a_hurry_does_not_end_the_worker)
{
	const char *answer = post("alice", "/v1/slots/demo/keys/a/sign?sleep=300", "X-Deadline-Ms: 1\r\n");
	cr_expect_eq(answer_status(answer), 200, "%s", answer);
	cr_expect(answer_has(
		fixture_get(fixture, "alice", "/metrics"), "p11gate_workers_ended_total{cause=\"deadline\"} 0\n"));
}

/* What the journal would tell of the request with that key and digest whose worker is gone. */
static enum intent_verdict verdict_on(const char *key, char digest)
{
	unsigned char application[APPLICATION_ID_LEN], bytes[JOURNAL_HASH_LEN];
	struct arena arena ARENA_AUTO;
	struct journal_use use;
	struct intent_answer answer;
	application_id_default("alice", application);
	memset(bytes, digest, sizeof bytes);
	const struct journal_subject subject = {.identity = "alice",
		.domain = "alice",
		.slot = "demo",
		.application = application,
		.key = key,
		.route = "key_generate",
		.retention_s = 3600,
		.keys_per_identity = 10};
	const struct intent question = {.step = INTENT_BEGIN, .request = {bytes, sizeof bytes}};
	arena_init(&arena, 1 << 20);
	journal_begin(fixture->journal, &subject, &use);
	cr_assert_eq(journal_answer(&use, getpid(), &question, &arena, &answer), STATUS_OK);
	journal_end(&use, true, NULL);
	return (enum intent_verdict)answer.verdict;
}

#define KEY "Idempotency-Key: \"k\"\r\n"

Test(worker, X20_a_worker_learns_what_is_known_of_its_requests_key)
{
	const char *answer = post("alice", "/v1/slots/demo/keys?intent=a", KEY);
	cr_expect(answer_status(answer) == 200 && answer_has(answer, "begin=0\nrecord=0\n"), "%s", answer);
	answer = post("alice", "/v1/slots/demo/keys?intent=a", KEY);
	cr_expect(answer_has(answer, "begin=2\n"), "INTENT_DONE: %s", answer);
	answer = post("alice", "/v1/slots/demo/keys?intent=b", KEY);
	cr_expect(answer_has(answer, "begin=3\n"), "INTENT_OTHER: %s", answer);
	cr_expect_eq(verdict_on("k", 'a'), INTENT_DONE);
}

Test(worker, X20_a_worker_that_asks_about_a_key_that_there_is_not_is_ended)
{
	const char *answer = post("alice", "/v1/slots/demo/keys?intent=a", "");
	cr_expect_geq(answer_status(answer), 500, "%s", answer);
	/* The header means nothing to a route that makes nothing. */
	answer = post("alice", "/v1/slots/demo/keys/a/sign?intent=a", KEY);
	cr_expect_geq(answer_status(answer), 500, "%s", answer);
	cr_expect_eq(verdict_on("k", 'a'), INTENT_NEW);
}

Test(worker, X22_a_worker_that_dies_leaves_its_intent)
{
	const char *answer = post("alice", "/v1/slots/demo/keys?intent=a;die", KEY);
	cr_expect_eq(answer_status(answer), 503, "%s", answer);
	answer = post("alice", "/v1/slots/demo/keys?intent=a", KEY);
	cr_expect(answer_has(answer, "begin=1\nrecord=0\n"), "INTENT_UNFINISHED: %s", answer);
	answer = post("alice", "/v1/slots/demo/keys?intent=a", KEY);
	cr_expect(answer_has(answer, "begin=2\n"), "INTENT_DONE: %s", answer);
}

/* Bytes of the journal's write-ahead log. */
static off_t journal_size(void)
{
	char path[256];
	struct stat about;
	snprintf(path, sizeof path, "%s/journal.db-wal", fixture->directory);
	cr_assert_eq(stat(path, &about), 0, "%s is missing", path);
	return about.st_size;
}

Test(worker, X23_an_answer_that_is_not_on_record_is_no_result)
{
	static const char request[] = "POST /v1/slots/demo/keys?intent=a;sleep=1000;event HTTP/1.1\r\nHost: "
				      "gateway\r\nContent-Length: 0\r\n" KEY "\r\n";
	off_t before = journal_size();
	struct tls_client *client = fixture_connect(fixture, "alice");
	cr_assert(tls_client_send(client, request, sizeof request - 1));
	for (int i = 0; i < 1000 && journal_size() == before; i++)
		usleep(10000);
	cr_assert_gt(journal_size(), before, "no intent was recorded");
	cr_assert_eq(audit_finish(fixture->audit, "the log ends here", "test"), STATUS_OK);
	const char *answer = fixture_ask(client, "");
	cr_expect_eq(answer_status(answer), 503, "%s", answer);
	cr_expect(answer_has(answer, "/docs/errors/result-withheld"), "%s", answer);
	fixture_disconnect(client);
	cr_expect_eq(verdict_on("k", 'a'), INTENT_UNFINISHED);
}

/* No file of this process can grow any more. */
static void fill_disk(void)
{
	struct rlimit limit;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 0;
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

Test(worker, an_unknown_outcome_that_cannot_be_recorded_is_not_to_be_repeated)
{
	fill_disk();
	const char *answer = post("alice", "/v1/slots/demo/keys/a/sign?die", "");
	cr_expect_eq(answer_status(answer), 503);
	cr_expect(answer_has(answer, "/docs/errors/result-withheld"), "%s", answer);
	cr_expect_not(answer_has(answer, "Retry-After: "), "%s", answer);
}

#define LOGGED_IN_WITH_A_SESSION(slot) \
	"POST /v1/slots/" slot "/calls?sessions=1;acquire=1,1;release=0,1 HTTP/1.1\r\nHost: gateway\r\n" INSTANCE \
	"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

static bool shows(const char *name, const char *text)
{
	return answer_has(fixture_get(fixture, name, "/v1/slots/demo/applications/current"), text);
}

static bool comes_to_show(const char *name, const char *text)
{
	for (int i = 0; i < 100 && !shows(name, text); i++)
		usleep(100000);
	return shows(name, text);
}

/* A second certificate of alice's, for looking on. */
static void issue_alice_two(void)
{
	pki_issue(fixture->pki, "alice-two",
		&(struct pki_leaf){.san = "URI:urn:p11gate:test:alice", .key_usage = "clientAuth"}, NULL);
}

static void revoke_and_reload(const char *name, const char *limits)
{
	pki_revoke(fixture->pki, name);
	pki_crl(fixture->pki, "crl.pem");
	cr_assert_eq(fixture_reload(fixture, limits, "  crl: crl.pem\n"), STATUS_OK);
}

Test(worker, B14_a_revoked_certificate_loses_its_sessions_and_logins)
{
	fixture_free(fixture);
	fixture = fixture_with_workers("  sign_s: 1\n  lease_ttl_s: 5\n");
	struct tls_client *client = fixture_connect(fixture, "alice");
	cr_assert_eq(answer_status(fixture_ask(client, LOGGED_IN_WITH_A_SESSION("demo"))), 200);
	cr_expect(shows("alice", "\"login\":\"user\",\"login_since\":\"") && shows("alice", "\"sessions\":1"));
	issue_alice_two();
	revoke_and_reload("alice", "  lease_ttl_s: 5\n");
	cr_expect(tls_client_ended(client, 5000), "the connection that held the lease is gone");
	fixture_disconnect(client);
	cr_expect(comes_to_show("alice-two", "\"login\":\"none\",\"sessions\":1"),
		"the login does not wait for the lease");
	cr_expect(comes_to_show("alice-two", "\"dormant\""));
}

static void append(const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", fixture->directory, name);
	FILE *file = fopen(path, "ae");
	cr_assert_not_null(file);
	cr_assert_geq(fputs(text, file), 0);
	cr_assert_eq(fclose(file), 0);
}

static bool is_over_for_bob(void)
{
	return answer_has(
		fixture_get(fixture, "bob-two", "/v1/slots/other/applications/current"), "\"state\":\"dormant\"");
}

Test(worker, C14_an_idle_client_keeps_its_sessions_when_the_certificate_of_another_is_revoked)
{
	fixture_free(fixture);
	fixture = fixture_with_workers("  lease_ttl_s: 5\n");
	pki_issue(fixture->pki, "bob-two",
		&(struct pki_leaf){.san = "URI:urn:p11gate:test:bob", .key_usage = "clientAuth"}, NULL);
	struct tls_client *idle = fixture_connect(fixture, "alice"), *revoked = fixture_connect(fixture, "bob");
	cr_assert_eq(answer_status(fixture_ask(idle, LOGGED_IN_WITH_A_SESSION("demo"))), 200);
	cr_assert_eq(answer_status(fixture_ask(revoked, LOGGED_IN_WITH_A_SESSION("other"))), 200);
	cr_expect_not(is_over_for_bob());
	append("ca.pem", "# a comment\n");
	revoke_and_reload("bob", "  lease_ttl_s: 5\n");
	cr_expect(tls_client_ended(revoked, 5000));
	fixture_disconnect(revoked);
	/* Bob's lease ends with his connection; hers would end at the same time. */
	for (int i = 0; i < 100 && !is_over_for_bob(); i++)
		usleep(100000);
	cr_expect(is_over_for_bob());
	cr_expect_not(tls_client_ended(idle, 1000));
	cr_expect(shows("alice", "\"login\":\"user\",\"login_since\":\"") && shows("alice", "\"sessions\":1"));
	cr_expect_eq(answer_status(fixture_ask(idle, LOGGED_IN_WITH_A_SESSION("demo"))), 200);
	fixture_disconnect(idle);
}

Test(worker, B14_a_login_and_a_hold_without_a_session_go_with_the_revoked_certificate)
{
	cr_assert_eq(
		answer_status(post("alice", "/v1/slots/demo/applications/current/login?acquire=1,1;release=0,1", "")),
		200);
	issue_alice_two();
	cr_assert(shows("alice-two", "\"login\":\"user\""));
	revoke_and_reload("bob", "");
	cr_expect(shows("alice-two", "\"login\":\"user\""), "another's certificate was revoked");
	revoke_and_reload("alice", "");
	cr_expect(comes_to_show("alice-two", "\"dormant\""));
}

Test(worker, B14_a_login_made_with_another_certificate_of_the_identity_stays)
{
	issue_alice_two();
	cr_assert_eq(answer_status(post(
			     "alice-two", "/v1/slots/demo/applications/current/login?acquire=1,1;release=0,1", "")),
		200);
	revoke_and_reload("alice", "");
	cr_expect(shows("alice-two", "\"login\":\"user\""));
}

Test(worker, B14_an_identity_that_gets_another_certificate_loses_the_logins_made_with_the_old_one)
{
	struct tls_client *client = fixture_connect(fixture, "alice");
	cr_assert_eq(answer_status(fixture_ask(client, LOGGED_IN_WITH_A_SESSION("demo"))), 200);
	fixture->alice = "stranger";
	cr_assert_eq(fixture_reload(fixture, "", ""), STATUS_OK);
	fixture_disconnect(client);
	cr_expect(comes_to_show("stranger", "\"login\":\"none\""));
}

static void until_working(void)
{
	for (int i = 0; i < 5000 && limits_count(fixture->listener, 1u << PHASE_WORKING) == 0; i++)
		usleep(1000);
	cr_assert_eq(limits_count(fixture->listener, 1u << PHASE_WORKING), 1);
}

Test(worker, B14_a_connection_with_a_request_under_way_ends_when_that_is_answered)
{
	static const char slow[] =
		"POST /v1/slots/demo/calls?sleep=700;acquire=1,1;release=0,1 HTTP/1.1\r\nHost: gateway\r\n" INSTANCE
		"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
	static char answer[TLS_CLIENT_ANSWER_MAX];
	struct tls_client *client = fixture_connect(fixture, "alice");
	cr_assert_eq(answer_status(fixture_ask(client, LOGGED_IN_WITH_A_SESSION("demo"))), 200);
	cr_assert_eq(
		answer_status(post("alice", "/v1/slots/demo/applications/current/logout?acquire=2;release=0,0", "")),
		200);
	issue_alice_two();
	cr_assert(tls_client_send(client, slow, sizeof slow - 1));
	until_working();
	revoke_and_reload("alice", "");
	cr_assert_gt(tls_client_answer(client, answer, sizeof answer, 5000), 0);
	cr_expect_eq(answer_status(answer), 200);
	cr_expect(answer_has(answer, "Connection: close"), "%s", answer);
	cr_expect(tls_client_ended(client, 5000));
	fixture_disconnect(client);
	cr_expect(comes_to_show("alice-two", "\"login\":\"none\""), "the login that was under way at the reload");
}
