/*
 * What makes something is carried out once for each Idempotency-Key: with answers that never arrive, and with workers and gateways that
 * are killed.
 */
#include "tests/integration/fixture.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* P11GATE_JOURNAL_KEYS: how many keys are generated; P11GATE_JOURNAL_SEED: where and when the answers are cut off. */
enum { KEYS = 60, CUT_PERCENT = 30, CUT_US_MAX = 30000, TRIES_MAX = 3000 };

#define PATH "/v1/slots/demo/keys"

TestSuite(idempotency, .timeout = 3600);

static void pause_10_ms(void)
{
	const struct timespec pause = {0, 10000000};
	nanosleep(&pause, NULL);
}

/* POST …/keys under an Idempotency-Key. */
static struct answer generate(const struct gateway *g, enum person who, const char *key, const char *body)
{
	char field[100];
	const char *const headers[] = {field, NULL};
	(void)snprintf(field, sizeof(field), "Idempotency-Key: \"%s\"", key);
	return request(g, who, "POST", PATH, body, headers);
}

/* The same, for as long as an earlier request with the key is being carried out. */
static struct answer generate_patiently(const struct gateway *g, const char *key, const char *body)
{
	for (int i = 0;; i++) {
		struct answer answer = generate(g, ALICE, key, body);
		bool runs = strcmp(member(&answer, "type"), "/docs/errors/request-in-progress") == 0;
		if (!runs || i == TRIES_MAX)
			return answer;
		cr_expect_not_null(strcasestr(answer.headers, "Retry-After: 1"), "%s", answer.headers);
		answer_free(&answer);
		pause_10_ms();
	}
}

static bool is_replay(const struct answer *answer)
{
	return strcasestr(answer->headers, "Idempotency-Replayed: true") != NULL;
}

/* How many keys have a label that begins so; each of them once. */
static size_t keys_labelled(const struct gateway *g, const char *start)
{
	char path[300] = PATH "?limit=1000";
	size_t count = 0;
	for (const char *next = ""; next != NULL;) {
		ANSWER_AUTO page = request(g, ALICE, "GET", path, NULL, NULL);
		cr_assert_eq(page.status, 200, "%s", page.text);
		size_t index;
		const json_t *key;
		json_array_foreach(json_object_get(page.json, "keys"), index, key)
		{
			const char *label = json_string_value(json_object_get(key, "label"));
			count += strncmp(label, start, strlen(start)) == 0;
		}
		next = json_string_value(json_object_get(page.json, "next"));
		if (next != NULL)
			(void)snprintf(path, sizeof(path), PATH "?limit=1000&cursor=%s", next);
	}
	return count;
}

Test(idempotency, X20_a_request_that_is_sent_again_makes_no_second_key)
{
	struct gateway g;
	gateway_shared(&g);
	rest_login(&g, ALICE, NULL);
	ANSWER_AUTO first = generate(&g, ALICE, "x20-again", "{\"type\":\"EC\",\"label\":\"x20-again\"}");
	cr_assert_eq(first.status, 201, "%s", first.text);
	cr_expect_not(is_replay(&first));
	ANSWER_AUTO second = generate(&g, ALICE, "x20-again", "{\"type\":\"EC\",\"label\":\"x20-again\"}");
	cr_expect_eq(second.status, 201, "%s", second.text);
	cr_expect_str_eq(second.text, first.text);
	cr_expect(is_replay(&second), "%s", second.headers);
	cr_expect_not_null(strcasestr(second.headers, "Location: /v1/slots/demo/keys/x20-again"), "%s", second.headers);
	cr_expect_eq(keys_labelled(&g, "x20-again"), 1);
}

Test(idempotency, X20_without_quotes_it_is_the_same_key)
{
	static const char body[] = "{\"type\":\"AES\",\"label\":\"x20-bare\"}";
	const char *const bare[] = {"Idempotency-Key: x20-bare", NULL};
	struct gateway g;
	gateway_shared(&g);
	rest_login(&g, ALICE, NULL);
	ANSWER_AUTO first = generate(&g, ALICE, "x20-bare", body);
	cr_assert_eq(first.status, 201, "%s", first.text);
	ANSWER_AUTO second = request(&g, ALICE, "POST", PATH, body, bare);
	cr_expect_eq(second.status, 201, "%s", second.text);
	cr_expect(is_replay(&second));
}

Test(idempotency, X20_another_body_under_the_key_is_409)
{
	struct gateway g;
	gateway_shared(&g);
	rest_login(&g, ALICE, NULL);
	ANSWER_AUTO first = generate(&g, ALICE, "x20-other", "{\"type\":\"AES\",\"label\":\"x20-other\"}");
	cr_assert_eq(first.status, 201, "%s", first.text);
	ANSWER_AUTO second = generate(&g, ALICE, "x20-other", "{\"type\":\"AES\",\"label\":\"x20-other-b\"}");
	cr_expect_eq(second.status, 409, "%s", second.text);
	cr_expect_str_eq(member(&second, "type"), "/docs/errors/idempotency-key-reused");
	cr_expect_eq(keys_labelled(&g, "x20-other"), 1);
}

Test(idempotency, X21_another_identity_and_another_application_have_keys_of_their_own)
{
	const char *const application[] = {"Idempotency-Key: x21", "X-Application-Id: 21-21", NULL};
	const char *const login[] = {"X-Application-Id: 21-21", NULL};
	struct gateway g;
	gateway_shared(&g);
	rest_login(&g, ALICE, NULL);
	rest_login(&g, BOB, NULL);
	rest_login(&g, ALICE, login);
	ANSWER_AUTO alices = generate(&g, ALICE, "x21", "{\"type\":\"AES\",\"label\":\"x21\"}");
	cr_assert_eq(alices.status, 201, "%s", alices.text);
	/* Not alice's answer: bob's own attempt, which meets her key. */
	ANSWER_AUTO bobs = generate(&g, BOB, "x21", "{\"type\":\"AES\",\"label\":\"x21\"}");
	cr_expect_eq(bobs.status, 409, "%s", bobs.text);
	cr_expect_str_eq(member(&bobs, "type"), "/docs/errors/key-exists");
	ANSWER_AUTO bobs_own = generate(&g, BOB, "x21", "{\"type\":\"AES\",\"label\":\"x21-bob\"}");
	cr_expect_eq(bobs_own.status, 201, "%s", bobs_own.text);
	ANSWER_AUTO others = request(
		&g, ALICE, "POST", PATH, "{\"type\":\"AES\",\"label\":\"x21-other\"}", application);
	cr_expect_eq(others.status, 201, "%s", others.text);
	cr_expect_not(is_replay(&others));
}

/* Whether the answer to this one is lost, and when. */
static bool cut(unsigned *state, unsigned *ret_microseconds)
{
	*state = *state * 1103515245 + 12345;
	bool lost = (*state >> 16) % 100 < CUT_PERCENT;
	*state = *state * 1103515245 + 12345;
	*ret_microseconds = (*state >> 8) % CUT_US_MAX;
	return lost;
}

static void generate_and_lose(const struct gateway *g, const char *name, const char *body, unsigned microseconds)
{
	char bytes[600];
	int len = snprintf(bytes, sizeof(bytes),
		"POST " PATH " HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nIdempotency-Key: "
		"\"%s\"\r\nContent-Length: %zu\r\n\r\n%s",
		name, strlen(body), body);
	cr_assert(request_cut(g, ALICE, bytes, (size_t)len, microseconds), "%s was not sent", name);
}

static unsigned environment_number(const char *name, unsigned absent)
{
	const char *text = getenv(name);
	return text == NULL ? absent : (unsigned)strtoul(text, NULL, 10);
}

Test(idempotency, X20_with_answers_cut_off_there_are_exactly_as_many_keys)
{
	unsigned count = environment_number("P11GATE_JOURNAL_KEYS", KEYS), microseconds;
	unsigned state = environment_number("P11GATE_JOURNAL_SEED", 20), lost = 0, replayed = 0;
	struct gateway g;
	char name[40], body[100];
	gateway_start(&g);
	rest_login(&g, ALICE, NULL);
	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(name, sizeof(name), "journal-%u", i);
		(void)snprintf(body, sizeof(body), "{\"type\":\"%s\",\"label\":\"%s\"}", i % 2 ? "EC" : "AES", name);
		while (cut(&state, &microseconds)) {
			generate_and_lose(&g, name, body, microseconds);
			lost++;
		}
		ANSWER_AUTO answer = generate_patiently(&g, name, body);
		cr_assert_eq(answer.status, 201, "%s: %ld %s", name, answer.status, answer.text);
		cr_assert_str_eq(member(&answer, "label"), name);
		replayed += is_replay(&answer);
	}
	fprintf(stderr, "%u keys, %u answers cut off, %u answers given again\n", count, lost, replayed);
	cr_expect_geq(lost, count / 5);
	cr_expect_gt(replayed, 0);
	cr_expect_eq(keys_labelled(&g, "journal-"), count);
	cr_expect_eq(keys_labelled(&g, ""), count);
	cr_expect_eq(calls_counted(&g, "C_GenerateKeyPair"), (long)(count / 2));
	cr_expect_eq(calls_counted(&g, "C_GenerateKey"), (long)(count - count / 2));
	gateway_stop(&g);
}

/* --- processes that are killed between intent and result --- */

static const char slow_body[] = "{\"type\":\"RSA\",\"bits\":3072,\"label\":\"slow\"}";

struct slow {
	const struct gateway *g;
	pthread_t thread;
	struct answer answer;
	off_t log_size; /* of the journal, before */
};

static void *generate_slowly(void *argument)
{
	struct slow *slow = argument;
	slow->answer = generate(slow->g, ALICE, "slow", slow_body);
	return NULL;
}

static off_t journal_size(const struct gateway *g)
{
	char path[300];
	struct stat about;
	(void)snprintf(path, sizeof(path), "%s/state/journal.db-wal", g->directory);
	cr_assert_eq(stat(path, &about), 0, "%s is missing", path);
	return about.st_size;
}

static bool has_intent(const struct gateway *g, void *argument)
{
	const struct slow *slow = argument;
	return journal_size(g) > slow->log_size;
}

/* Returns while the token makes the key: the intent is on the disk. */
static void begin_slowly(struct slow *slow, const struct gateway *g)
{
	*slow = (struct slow){.g = g, .log_size = journal_size(g)};
	cr_assert_eq(pthread_create(&slow->thread, NULL, generate_slowly, slow), 0);
	cr_assert(await_condition(has_intent, g, slow, 30), "no intent was recorded");
}

Test(idempotency, X22_a_worker_killed_while_it_makes_a_key_makes_no_second_one)
{
	enum { MAX = 8 };
	struct gateway g;
	struct slow slow;
	pid_t before[MAX], after[MAX];
	gateway_start(&g);
	size_t inventory = worker_processes(&g, before, MAX);
	cr_assert_eq(inventory, 1);
	rest_login(&g, ALICE, NULL);
	cr_assert_eq(worker_processes(&g, after, MAX), 2);
	begin_slowly(&slow, &g);
	cr_assert_eq(kill(after[0] == before[0] ? after[1] : after[0], SIGKILL), 0);
	pthread_join(slow.thread, NULL);
	cr_expect_eq(slow.answer.status, 503, "%s", slow.answer.text);
	cr_expect_str_eq(member(&slow.answer, "type"), "/docs/errors/worker-ended");
	answer_free(&slow.answer);
	rest_login(&g, ALICE, NULL);
	ANSWER_AUTO next = generate_patiently(&g, "slow", slow_body);
	cr_expect_eq(next.status, 201, "%s", next.text);
	cr_expect_not(is_replay(&next));
	ANSWER_AUTO again = generate_patiently(&g, "slow", slow_body);
	cr_expect(is_replay(&again));
	cr_expect_str_eq(again.text, next.text);
	cr_expect_eq(keys_labelled(&g, ""), 1);
	gateway_stop(&g);
}

Test(idempotency, X22_a_gateway_killed_while_its_worker_makes_a_key_makes_no_second_one)
{
	struct gateway g;
	struct slow slow;
	gateway_start(&g);
	rest_login(&g, ALICE, NULL);
	begin_slowly(&slow, &g);
	cr_assert_eq(kill(g.pid, SIGKILL), 0);
	pthread_join(slow.thread, NULL);
	answer_free(&slow.answer);
	gateway_restart(&g);
	rest_login(&g, ALICE, NULL);
	ANSWER_AUTO next = generate_patiently(&g, "slow", slow_body);
	cr_expect_eq(next.status, 201, "%s", next.text);
	cr_expect_eq(keys_labelled(&g, ""), 1);
	gateway_stop(&g);
}

Test(idempotency, X22_answers_are_remembered_beyond_a_kill_of_the_gateway)
{
	static const char body[] = "{\"type\":\"AES\",\"label\":\"kept\"}";
	struct gateway g;
	gateway_start(&g);
	rest_login(&g, ALICE, NULL);
	ANSWER_AUTO first = generate(&g, ALICE, "kept", body);
	cr_assert_eq(first.status, 201, "%s", first.text);
	cr_assert_eq(kill(g.pid, SIGKILL), 0);
	gateway_restart(&g);
	ANSWER_AUTO second = generate(&g, ALICE, "kept", body);
	cr_expect_eq(second.status, 201, "%s", second.text);
	cr_expect(is_replay(&second));
	cr_expect_str_eq(second.text, first.text);
	gateway_stop(&g);
}
