/* Requests with an Idempotency-Key: a real journal, real workers, and these killed at the worst moments. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/worker/resource_fixture.h"

#define BODY "{\"type\":\"EC\",\"label\":\"once\"}"

static struct token_fixture token;
static struct worker_fixture worker;
static struct journal *journal;

static void start(void)
{
	char file[128], error[512];
	resource_setup_logged_in(&token, &worker, NULL);
	snprintf(file, sizeof file, "%s/journal.db", token.directory);
	cr_assert_eq(journal_open(file, 16 << 20, &journal, error, sizeof error), STATUS_OK, "%s", error);
}

static void finish(void)
{
	journal_close(journal);
	worker_fixture_stop(&worker);
}

TestSuite(resource_once, .init = start, .fini = finish, .timeout = 120);

static void use_begin(struct journal_use *use)
{
	static const unsigned char application[APPLICATION_ID_LEN] = {1};
	const struct journal_subject subject = {
		.identity = "alice",
		.domain = "alice",
		.slot = "demo",
		.application = application,
		.key = "8e03978e-40d5-43dd-bc93-6894a57f9324",
		.route = "key_generate",
		.retention_s = 3600,
		.keys_per_identity = 10,
	};
	journal_begin(journal, &subject, use);
}

/* POST …/keys with the one Idempotency-Key of these tests; what the gateway would do with the answer is done. */
static struct rest generate(unsigned status, const char *body)
{
	struct journal_use use;
	use_begin(&use);
	struct rest rest = rest_ask(&worker, (struct ask){.route = ROUTE_key_generate, .body = body, .use = &use});
	const struct bytes location = {(const unsigned char *)rest.headers, strcspn(rest.headers, "\n")};
	const struct worker_response response = {
		.status = rest.status,
		.content_type = rest.content_type,
		.headers = {&location, location.len > 0},
		.body = {(const unsigned char *)rest.body, rest.body_len},
	};
	journal_end(&use, true, &response);
	cr_assert_eq(rest.status, status, "%u instead of %u: %s", rest.status, status, rest.body);
	return rest;
}

static void generate_only(unsigned status, const char *body)
{
	struct rest rest = generate(status, body);
	rest_free(&rest);
}

static size_t keys_there(void)
{
	struct rest list = REST(&worker, 200, .route = ROUTE_keys);
	size_t count = json_array_size(json_at(list.json, "keys"));
	rest_free(&list);
	return count;
}

/* The worker is gone, as is the gateway's thread that waited for it; there is a new one, logged in. */
static void begin_anew(void)
{
	memset(&worker, 0, sizeof worker);
	worker_fixture_start(&token, NULL, &worker);
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
}

/* Its intent recorded, the worker is killed before it calls the module. */
static void kill_before_the_module(const char *body)
{
	struct journal_use use;
	use_begin(&use);
	worker.killed_at_record = true;
	(void)rest_ask(&worker, (struct ask){.route = ROUTE_key_generate, .body = body, .use = &use});
	journal_end(&use, false, NULL);
}

/* Killed when the key is there and nobody has its answer. Tells the key's id. */
static char *kill_after_the_module(const char *body)
{
	struct journal_use use;
	use_begin(&use);
	struct rest rest REST_AUTO = rest_ask(
		&worker, (struct ask){.route = ROUTE_key_generate, .body = body, .use = &use});
	cr_assert_eq(rest.status, 201, "%s", rest.body);
	cr_assert_eq(kill(worker.pid, SIGKILL), 0);
	cr_assert_eq(waitpid(worker.pid, NULL, 0), worker.pid);
	journal_end(&use, false, NULL);
	return strdup(text_at(rest.json, "id"));
}

Test(resource_once, X20_a_request_that_is_sent_again_gets_the_same_answer_and_makes_no_second_key)
{
	struct rest first REST_AUTO = generate(201, BODY);
	struct rest second REST_AUTO = generate(201, "{ \"label\": \"once\",\n \"type\": \"EC\" }");
	cr_expect_str_eq(second.body, first.body);
	cr_expect_str_eq(second.content_type, first.content_type);
	cr_expect(has_header(&second, "Location: /v1/slots/demo-slot/keys/once"), "%s", second.headers);
	cr_expect(has_header(&second, "Idempotency-Replayed: true"), "%s", second.headers);
	cr_expect_not(has_header(&first, "Idempotency-Replayed: true"), "%s", first.headers);
	cr_expect_eq(calls_of(&second, "GenerateKeyPair"), 0);
	cr_expect_eq(json_array_size(second.events), 0, "nothing has been done");
	cr_expect_eq(keys_there(), 1);
}

Test(resource_once, X20_another_body_under_the_key_is_409_and_makes_nothing)
{
	generate_only(201, BODY);
	struct rest other REST_AUTO = generate(409, "{\"type\":\"EC\",\"label\":\"other\"}");
	cr_expect_str_eq(text_at(other.json, "type"), "/docs/errors/idempotency-key-reused");
	cr_expect_eq(keys_there(), 1);
}

Test(resource_once, X20_another_query_under_the_key_is_another_request)
{
	struct journal_use use;
	generate_only(201, BODY);
	use_begin(&use);
	REST_ONLY(&worker, 409, .route = ROUTE_key_generate, .body = BODY, .query = "a=b", .use = &use);
	journal_end(&use, true, NULL);
}

Test(resource_once, X20_while_the_first_request_runs_the_next_is_409_with_retry_after)
{
	static const unsigned char digest[JOURNAL_HASH_LEN] = {1};
	const struct intent question = {.step = INTENT_BEGIN, .request = {digest, sizeof digest}};
	struct intent_answer answer;
	struct arena arena ARENA_AUTO;
	struct journal_use first;
	arena_init(&arena, 1 << 20);
	use_begin(&first);
	cr_assert_eq(journal_answer(&first, worker.pid, &question, &arena, &answer), STATUS_OK);
	cr_assert_eq(answer.verdict, INTENT_NEW);
	struct rest second REST_AUTO = generate(409, BODY);
	cr_expect_str_eq(text_at(second.json, "type"), "/docs/errors/request-in-progress");
	cr_expect(json_is_true(json_at(second.json, "retryable")));
	cr_expect(has_header(&second, "Retry-After: 1"), "%s", second.headers);
	journal_end(&first, true, NULL);
	generate_only(201, BODY);
}

Test(resource_once, X22_killed_before_the_module_was_called_the_next_request_makes_the_key)
{
	kill_before_the_module(BODY);
	begin_anew();
	cr_expect_eq(keys_there(), 0);
	struct rest next REST_AUTO = generate(201, BODY);
	cr_expect_eq(calls_of(&next, "GenerateKeyPair"), 1);
	cr_expect_not(has_header(&next, "Idempotency-Replayed: true"));
	struct rest again REST_AUTO = generate(201, BODY);
	cr_expect_str_eq(again.body, next.body);
	cr_expect_eq(keys_there(), 1);
}

Test(resource_once, X22_killed_after_the_key_was_made_the_next_request_finds_it)
{
	char *id = kill_after_the_module(BODY);
	begin_anew();
	struct rest next REST_AUTO = generate(201, BODY);
	cr_expect_str_eq(text_at(next.json, "id"), id);
	cr_expect(has_header(&next, "Location: /v1/slots/demo-slot/keys/once"), "%s", next.headers);
	cr_expect_eq(calls_of(&next, "GenerateKeyPair"), 0);
	cr_expect_eq(events_with(&next, "reason", "made by an interrupted request with the same Idempotency-Key"), 1);
	cr_expect_eq(keys_there(), 1);
	free(id);
}

Test(resource_once, X22_a_secret_key_is_found_as_well)
{
	static const char body[] = "{\"type\":\"AES\",\"label\":\"once\"}";
	char *id = kill_after_the_module(body);
	begin_anew();
	struct rest next REST_AUTO = generate(201, body);
	cr_expect_str_eq(text_at(next.json, "id"), id);
	cr_expect_eq(calls_of(&next, "GenerateKey"), 0);
	free(id);
}

Test(resource_once, X22_without_a_login_nobody_can_say_whether_the_key_is_there)
{
	char *id = kill_after_the_module(BODY);
	memset(&worker, 0, sizeof worker);
	worker_fixture_start(&token, NULL, &worker);
	struct rest unseen REST_AUTO = generate(401, BODY);
	cr_expect_eq(json_array_size(unseen.events), 0, "nothing is tried, made or destroyed");
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
	REST_ONLY(&worker, 200, .route = ROUTE_key_public, .key = "once");
	struct rest next REST_AUTO = generate(201, BODY);
	cr_expect_str_eq(text_at(next.json, "id"), id);
	cr_expect_eq(keys_there(), 1);
	free(id);
}

Test(resource_once, X22_half_a_pair_gives_way_to_a_whole_one)
{
	static const char body[] = "{\"type\":\"EC\",\"label\":\"once\",\"id\":\"aa01\"}";
	const struct client client = {.worker = &worker, .instance = {1}};
	kill_before_the_module(body);
	begin_anew();
	json_int_t session = open_session(&client);
	expect(&client, "CKR_OK",
		"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"},"
		"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":"
		"false},{\"CKA_LABEL\":\"once\"},{\"CKA_ID\":\"qgE\"}],\"private_attributes\":[{\"CKA_TOKEN\":false}]}"
		"}",
		session);
	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	struct rest next REST_AUTO = generate(201, body);
	cr_expect_str_eq(text_at(next.json, "class"), "private");
	cr_expect_eq(events_with(&next, "function", "C_DestroyObject"), 1);
	cr_expect_eq(calls_of(&next, "GenerateKeyPair"), 1);
	cr_expect_eq(keys_there(), 1);
	EVP_PKEY *public_key = public_key_of(&worker, "once");
	EVP_PKEY_free(public_key);
}

Test(resource_once, X22_a_key_of_the_name_that_was_there_before_is_not_taken_for_the_interrupted_ones)
{
	make_resource_key(&worker, "EC", "once", ",\"id\":\"aa01\"");
	generate_only(409, "{\"type\":\"EC\",\"label\":\"once\",\"id\":\"aa01\"}");
	struct rest next REST_AUTO = generate(409, "{\"type\":\"EC\",\"label\":\"once\",\"id\":\"aa01\"}");
	cr_expect_str_eq(text_at(next.json, "type"), "/docs/errors/key-exists");
	cr_expect_eq(keys_there(), 1);
}

static void expect_nothing_done(enum intent_verdict verdict, unsigned status, const char *type)
{
	worker.refuse_record = verdict;
	struct rest refused REST_AUTO = generate(status, BODY);
	cr_expect_str_eq(text_at(refused.json, "type"), type);
	cr_expect_eq(calls_of(&refused, "GenerateKeyPair"), 0);
	cr_expect_eq(keys_there(), 0);
	worker.refuse_record = INTENT_NEW;
	generate_only(201, BODY);
}

Test(resource_once, X23_without_room_in_the_journal_nothing_is_done)
{
	expect_nothing_done(INTENT_FULL, 503, "/docs/errors/journal-unavailable");
}

Test(resource_once, X23_with_a_journal_that_fails_nothing_is_done)
{
	expect_nothing_done(INTENT_FAILED, 503, "/docs/errors/journal-unavailable");
}

Test(resource_once, X23_a_request_that_was_refused_can_be_made_good_under_the_same_key)
{
	make_resource_key(&worker, "AES", "taken", "");
	generate_only(409, "{\"type\":\"EC\",\"label\":\"taken\"}");
	generate_only(201, BODY);
	cr_expect_eq(keys_there(), 2);
}

Test(resource_once, X24_too_many_keys_of_an_identity_are_429)
{
	char body[100];
	struct journal_use use;
	for (int i = 0; i < 2; i++) {
		use_begin(&use);
		use.subject.keys_per_identity = 1;
		use.subject.key = i == 0 ? "one" : "two";
		snprintf(body, sizeof body, "{\"type\":\"AES\",\"label\":\"k%d\"}", i);
		struct rest rest REST_AUTO = rest_ask(
			&worker, (struct ask){.route = ROUTE_key_generate, .body = body, .use = &use});
		cr_expect_eq(rest.status, i == 0 ? 201 : 429, "%s", rest.body);
		journal_end(&use, true, NULL);
	}
	cr_expect_eq(keys_there(), 1);
}

Test(resource_once, without_the_header_nothing_is_asked_and_nothing_remembered)
{
	make_resource_key(&worker, "AES", "once", "");
	REST_ONLY(&worker, 409, .route = ROUTE_key_generate, .body = "{\"type\":\"AES\",\"label\":\"once\"}");
}
