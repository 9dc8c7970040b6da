/* The rules of Idempotency-Keys, played as the gateway and a worker would. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/store/fixture.h"

enum { DAY_S = 86400 };

static struct journal *journal;
static struct arena arena;

static void open_journal(void)
{
	cr_assert_eq(journal_open(file, SIZE, &journal, error, sizeof error), STATUS_OK, "%s", error);
}

static void make(void)
{
	fixture_make();
	arena_init(&arena, 1 << 20);
	open_journal();
}

static void remove_all(void)
{
	journal_close(journal);
	arena_done(&arena);
	fixture_remove();
}

TestSuite(journal, .init = make, .fini = remove_all, .timeout = 60);

static const unsigned char application[APPLICATION_ID_LEN] = {1, 2, 3};

static struct journal_subject subject_of(const char *key)
{
	return (struct journal_subject){
		.identity = "alice",
		.domain = "alice",
		.slot = "demo",
		.application = application,
		.key = key,
		.route = "key_generate",
		.retention_s = DAY_S,
		.keys_per_identity = 100,
	};
}

/* INTENT_BEGIN of a request whose digest is `digest` over and over. */
static struct intent_answer begin(struct journal_use *use, const struct journal_subject *subject, unsigned char digest)
{
	unsigned char bytes[JOURNAL_HASH_LEN];
	struct intent_answer answer;
	memset(bytes, digest, sizeof bytes);
	journal_begin(journal, subject, use);
	const struct intent question = {.step = INTENT_BEGIN, .request = {bytes, sizeof bytes}};
	cr_assert_eq(journal_answer(use, getpid(), &question, &arena, &answer), STATUS_OK);
	return answer;
}

static void expect_begin(struct journal_use *use, const char *key, unsigned char digest, enum intent_verdict verdict)
{
	const struct journal_subject subject = subject_of(key);
	cr_expect_eq(begin(use, &subject, digest).verdict, verdict);
}

static void record(struct journal_use *use, pid_t worker)
{
	const struct intent intent = {.step = INTENT_RECORD, .object = {(const unsigned char *)"\7\7", 2}};
	struct intent_answer answer;
	cr_assert_eq(journal_answer(use, worker, &intent, &arena, &answer), STATUS_OK);
	cr_assert_eq(answer.verdict, INTENT_NEW);
}

static void end_with(struct journal_use *use, unsigned status)
{
	static const struct bytes headers[] = {{(const unsigned char *)"Location: /x", 12}};
	const struct worker_response response = {
		.status = status,
		.content_type = "application/json",
		.headers = {headers, 1},
		.body = {(const unsigned char *)"{}", 2},
	};
	journal_end(use, true, &response);
}

/* A request with that key is carried out and answered. */
static void carry_out(const char *key, unsigned status)
{
	struct journal_use use;
	expect_begin(&use, key, 1, INTENT_NEW);
	record(&use, getpid());
	end_with(&use, status);
}

Test(journal, X20_the_answer_to_the_first_request_is_the_answer_to_the_next)
{
	struct journal_use use;
	struct intent_result result;
	const struct journal_subject subject = subject_of("k");
	carry_out("k", 201);
	for (int i = 0; i < 2; i++) {
		struct intent_answer answer = begin(&use, &subject, 1);
		cr_assert_eq(answer.verdict, INTENT_DONE);
		cr_assert_eq(intent_result_unpack(answer.result.data, answer.result.len, &arena, &result), STATUS_OK);
		cr_expect_eq(result.status, 201);
		cr_expect_str_eq(result.content_type, "application/json");
		cr_expect_eq(result.headers.count, 1);
		cr_expect_arr_eq(result.body.data, "{}", 2);
		journal_end(&use, true, NULL);
		/* It holds beyond a restart. */
		journal_close(journal);
		open_journal();
	}
}

Test(journal, X20_another_request_under_the_key_is_refused_and_changes_nothing)
{
	struct journal_use use;
	carry_out("k", 201);
	expect_begin(&use, "k", 2, INTENT_OTHER);
	journal_end(&use, true, NULL);
	expect_begin(&use, "k", 1, INTENT_DONE);
	journal_end(&use, true, NULL);
}

Test(journal, X20_while_the_first_request_runs_no_other_is_carried_out)
{
	struct journal_use first, second;
	expect_begin(&first, "k", 1, INTENT_NEW);
	expect_begin(&second, "k", 1, INTENT_BUSY);
	journal_end(&second, true, NULL);
	record(&first, getpid());
	expect_begin(&second, "k", 1, INTENT_BUSY);
	journal_end(&second, true, NULL);
	end_with(&first, 201);
	expect_begin(&second, "k", 1, INTENT_DONE);
	journal_end(&second, true, NULL);
}

Test(journal, X21_a_key_is_of_one_identity_domain_application_slot_and_text)
{
	static const unsigned char other[APPLICATION_ID_LEN] = {1, 2, 4};
	struct journal_subject subjects[5];
	struct journal_use use;
	for (int i = 0; i < 5; i++)
		subjects[i] = subject_of("k");
	subjects[0].identity = "bob";
	subjects[1].domain = "payroll";
	subjects[2].application = other;
	subjects[3].slot = "other";
	subjects[4].key = "l";
	carry_out("k", 201);
	for (int i = 0; i < 5; i++) {
		cr_expect_eq(begin(&use, &subjects[i], 1).verdict, INTENT_NEW, "%d", i);
		journal_end(&use, true, NULL);
	}
}

Test(journal, X21_texts_do_not_run_into_each_other)
{
	struct journal_use use;
	struct journal_subject subject = subject_of("k");
	subject.identity = "ali";
	subject.domain = "cealice";
	carry_out("k", 201);
	cr_expect_eq(begin(&use, &subject, 1).verdict, INTENT_NEW);
	journal_end(&use, true, NULL);
}

static pid_t worker_new(void)
{
	pid_t child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	return child;
}

static void worker_kill(pid_t worker)
{
	cr_assert_eq(kill(worker, SIGKILL), 0);
	cr_assert_eq(waitpid(worker, NULL, 0), worker);
}

Test(journal, X22_what_was_interrupted_is_told_once_its_worker_is_gone)
{
	struct journal_use use;
	const struct journal_subject subject = subject_of("k");
	pid_t worker = worker_new();
	expect_begin(&use, "k", 1, INTENT_NEW);
	record(&use, worker);
	journal_end(&use, false, NULL);
	for (int i = 0; i < 2; i++) {
		expect_begin(&use, "k", 1, INTENT_BUSY);
		journal_end(&use, true, NULL);
		/* The gateway ends; its worker is still at it. */
		journal_close(journal);
		open_journal();
	}
	worker_kill(worker);
	struct intent_answer answer = begin(&use, &subject, 1);
	cr_expect_eq(answer.verdict, INTENT_UNFINISHED);
	cr_assert_eq(answer.object.len, 2);
	cr_expect_arr_eq(answer.object.data, "\7\7", 2);
	end_with(&use, 201);
	expect_begin(&use, "k", 1, INTENT_DONE);
	journal_end(&use, true, NULL);
}

Test(journal, X22_an_interrupted_request_is_no_other_ones)
{
	struct journal_use use;
	pid_t worker = worker_new();
	expect_begin(&use, "k", 1, INTENT_NEW);
	record(&use, worker);
	journal_end(&use, false, NULL);
	worker_kill(worker);
	expect_begin(&use, "k", 2, INTENT_OTHER);
	journal_end(&use, true, NULL);
}

Test(journal, X23_an_answer_that_is_no_success_is_not_given_again)
{
	struct journal_use use;
	carry_out("k", 503);
	/* It may have been done; the worker lives, and is done with it. */
	expect_begin(&use, "k", 1, INTENT_UNFINISHED);
	record(&use, getpid());
	/* Its audit record could not be written: the client gets another answer. */
	journal_end(&use, true, NULL);
	expect_begin(&use, "k", 1, INTENT_UNFINISHED);
	end_with(&use, 401);
	expect_begin(&use, "k", 1, INTENT_UNFINISHED);
	journal_end(&use, true, NULL);
}

Test(journal, X23_a_request_that_got_nowhere_leaves_its_key_free)
{
	struct journal_use use;
	expect_begin(&use, "k", 1, INTENT_NEW);
	end_with(&use, 409);
	expect_begin(&use, "k", 2, INTENT_NEW);
	end_with(&use, 201);
	expect_begin(&use, "k", 3, INTENT_NEW);
	journal_end(&use, true, NULL);
}

Test(journal, X23_without_room_nothing_is_recorded_and_the_verdict_says_so)
{
	struct journal_use use;
	enum intent_verdict verdict = INTENT_NEW;
	static const unsigned char object[20000];
	const struct intent intent = {.step = INTENT_RECORD, .object = {object, sizeof object}};
	struct intent_answer answer;
	char key[16];
	journal_close(journal);
	cr_assert_eq(journal_open(file, 256 << 10, &journal, error, sizeof error), STATUS_OK);
	for (int i = 0; i < 100 && verdict == INTENT_NEW; i++) {
		snprintf(key, sizeof key, "%d", i);
		expect_begin(&use, key, 1, INTENT_NEW);
		cr_assert_eq(journal_answer(&use, getpid(), &intent, &arena, &answer), STATUS_OK);
		verdict = (enum intent_verdict)answer.verdict;
		journal_end(&use, true, NULL);
	}
	cr_expect_eq(verdict, INTENT_FULL);
	expect_begin(&use, key, 1, INTENT_NEW);
	journal_end(&use, true, NULL);
}

Test(journal, X24_an_identity_has_so_many_keys_and_others_have_their_own)
{
	struct journal_use use;
	struct journal_subject subject = subject_of("third");
	subject.keys_per_identity = 2;
	carry_out("first", 201);
	carry_out("second", 201);
	cr_expect_eq(begin(&use, &subject, 1).verdict, INTENT_CROWDED);
	journal_end(&use, true, NULL);
	subject.key = "first";
	cr_expect_eq(begin(&use, &subject, 1).verdict, INTENT_DONE);
	journal_end(&use, true, NULL);
	subject.key = "third";
	subject.identity = "bob";
	cr_expect_eq(begin(&use, &subject, 1).verdict, INTENT_NEW);
	journal_end(&use, true, NULL);
}

Test(journal, X24_a_key_is_forgotten_after_its_retention)
{
	struct journal_use use;
	struct journal_subject subject = subject_of("k");
	const time_t begun = time(NULL);
	const struct timespec pause = {0, 10000000};
	carry_out("k", 201);
	subject.retention_s = 1;
	while (time(NULL) <= begun + 2)
		nanosleep(&pause, NULL);
	cr_expect_eq(begin(&use, &subject, 2).verdict, INTENT_NEW);
	journal_end(&use, true, NULL);
}

Test(journal, X6_neither_the_key_nor_the_application_nor_the_request_is_in_the_file)
{
	static char bytes[1 << 20];
	const struct journal_subject subject = subject_of("a key that nobody else may know");
	unsigned char digest[JOURNAL_HASH_LEN];
	struct journal_use use;
	cr_assert_eq(begin(&use, &subject, 0xd7).verdict, INTENT_NEW);
	record(&use, getpid());
	end_with(&use, 201);
	journal_close(journal);
	FILE *in = fopen(file, "r");
	cr_assert_not_null(in);
	size_t len = fread(bytes, 1, sizeof bytes, in);
	fclose(in);
	open_journal();
	memset(digest, 0xd7, sizeof digest);
	cr_assert_not_null(memmem(bytes, len, "alice", 5), "this is not the file");
	cr_expect_null(memmem(bytes, len, subject.key, strlen(subject.key)));
	cr_expect_null(memmem(bytes, len, application, sizeof application));
	cr_expect_null(memmem(bytes, len, digest, sizeof digest));
}

Test(journal, a_worker_that_asks_out_of_turn_breaks_the_protocol)
{
	const struct journal_subject subject = subject_of("k");
	const struct intent early = {.step = INTENT_RECORD, .object = {(const unsigned char *)"a", 1}};
	const struct intent brief = {.step = INTENT_BEGIN, .request = {(const unsigned char *)"a", 1}};
	const struct intent odd = {.step = 7};
	struct intent_answer answer;
	struct journal_use use;
	journal_begin(journal, &subject, &use);
	cr_expect_eq(journal_answer(&use, getpid(), &early, &arena, &answer), STATUS_MALFORMED);
	cr_expect_eq(journal_answer(&use, getpid(), &brief, &arena, &answer), STATUS_MALFORMED);
	cr_expect_eq(journal_answer(&use, getpid(), &odd, &arena, &answer), STATUS_MALFORMED);
	journal_end(&use, false, NULL);
	carry_out("k", 201);
	expect_begin(&use, "k", 1, INTENT_DONE);
	cr_expect_eq(journal_answer(&use, getpid(), &early, &arena, &answer), STATUS_MALFORMED,
		"nothing is to be recorded for a request that has its answer");
	journal_end(&use, true, NULL);
}
