#include "tests/unit/worker/fixture.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* The token's lock: as the gateway, one worker thread at a time has the token. */
static pthread_mutex_t token_lock = PTHREAD_MUTEX_INITIALIZER;

/* As the gateway, which keeps the token. */
static void grant(struct worker_fixture *worker, int fd, const struct buffer *payload, uint32_t *purpose)
{
	struct arena arena ARENA_AUTO;
	struct buffer out BUFFER_AUTO;
	struct token_acquire question;
	struct token_fixture *token = worker->token;

	arena_init(&arena, FRAME_CHUNK);
	buffer_init(&out, FRAME_CHUNK);
	cr_assert_eq(token_acquire_unpack(payload->data, payload->len, &arena, &question), STATUS_OK);
	*purpose = question.purpose;
	pthread_mutex_lock(&token_lock);
	token->asked[question.purpose]++;
	const struct token_grant answer = {.rv = token->refuse,
		.generation = token->generation,
		.last_tries = token->last_tries,
		.tries = token->tries,
		.retry_after_s = token->retry_after_s};
	token->refuse = 0;
	token_grant_pack(&out, &answer);
	if (answer.rv != 0)
		pthread_mutex_unlock(&token_lock);
	cr_assert_eq(frame_send(fd, FRAME_TOKEN_GRANT, out.data, out.len), STATUS_OK);
}

static void released(struct worker_fixture *worker, const struct buffer *payload, uint32_t purpose)
{
	struct arena arena ARENA_AUTO;
	struct token_release news;

	arena_init(&arena, FRAME_CHUNK);
	cr_assert_eq(token_release_unpack(payload->data, payload->len, &arena, &news), STATUS_OK);
	worker->token->released_rv = news.rv;
	memcpy(worker->token->released_serial, news.serial, sizeof news.serial);
	if (news.rv == 0 && (purpose == TOKEN_FOR_PIN_CHANGE || purpose == TOKEN_FOR_INIT_TOKEN))
		worker->token->generation++;
	pthread_mutex_unlock(&token_lock);
}

static void note_wait(struct worker_fixture *worker, const struct buffer *payload)
{
	struct arena arena ARENA_AUTO;
	struct request_wait news;

	arena_init(&arena, FRAME_CHUNK);
	cr_assert_eq(request_wait_unpack(payload->data, payload->len, &arena, &news), STATUS_OK);
	atomic_fetch_add(news.begun ? &worker->waits : &worker->waits_over, 1);
}

/* As the gateway: a worker of nobody's application tries the PIN. */
static void verify(struct worker_fixture *worker, int fd, struct buffer *payload)
{
	struct worker_fixture other;

	worker->verified++;
	worker_fixture_start(worker->token, &worker->options, &other);
	cr_assert_eq(frame_send(other.pairs[0], FRAME_PIN_VERIFY, payload->data, payload->len), STATUS_OK);
	worker_fixture_await(&other, other.pairs[0], FRAME_PIN_VERIFIED, payload);
	cr_assert_eq(frame_send(fd, FRAME_PIN_VERIFIED, payload->data, payload->len), STATUS_OK);
	worker_fixture_stop(&other);
}

/* As the gateway: the journal answers. False: the worker was killed. */
static bool answer_intent(struct worker_fixture *worker, int fd, struct buffer *payload)
{
	struct arena arena ARENA_AUTO;
	struct intent question;
	struct intent_answer answer;

	arena_init(&arena, FRAME_PAYLOAD_MAX);
	cr_assert_eq(intent_unpack(payload->data, payload->len, &arena, &question), STATUS_OK);
	cr_assert(worker->use, "it asks about a key that its request does not have");
	if (question.step == INTENT_RECORD && worker->refuse_record != INTENT_NEW)
		answer = (struct intent_answer){.verdict = worker->refuse_record};
	else
		cr_assert_eq(journal_answer(worker->use, worker->pid, &question, &arena, &answer), STATUS_OK);
	if (question.step == INTENT_RECORD && worker->killed_at_record) {
		cr_assert_eq(kill(worker->pid, SIGKILL), 0);
		cr_assert_eq(waitpid(worker->pid, NULL, 0), worker->pid);
		return false;
	}
	buffer_reset(payload);
	intent_answer_pack(payload, &answer);
	cr_assert_eq(frame_send(fd, FRAME_INTENT_ANSWER, payload->data, payload->len), STATUS_OK);
	return true;
}

void worker_fixture_await(struct worker_fixture *worker, int fd, enum frame_type wanted, struct buffer *payload)
{
	enum frame_type type;
	uint32_t purpose = 0;

	for (;;) {
		cr_assert_eq(
			frame_receive(fd, FIXTURE_ANSWER_MS, &type, payload), STATUS_OK, "the worker does not answer");
		if (type == wanted)
			return;
		if (type == FRAME_TOKEN_ACQUIRE)
			grant(worker, fd, payload, &purpose);
		else if (type == FRAME_TOKEN_RELEASE)
			released(worker, payload, purpose);
		else if (type == FRAME_PIN_VERIFY)
			verify(worker, fd, payload);
		else if (type == FRAME_WAIT)
			note_wait(worker, payload);
		else if (type == FRAME_INTENT && !answer_intent(worker, fd, payload))
			return;
		else if (type == FRAME_INTENT)
			continue;
		else
			cr_assert_fail("unexpected frame %d", type);
	}
}
