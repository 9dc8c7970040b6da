#include "tests/support/test_worker/test_worker.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/cryptoki.h"

static bool keeps_pin(void)
{
	pthread_mutex_lock(&self.mutex);
	bool keeps = self.login_rules.cache_pin && !self.uncached;
	pthread_mutex_unlock(&self.mutex);
	return keeps;
}

void acquire(struct job *job, const char *value)
{
	char *end;
	struct token_acquire question = {.purpose = (uint32_t)strtoul(value, &end, 10)};
	question.user_type = *end == ',' ? strtoul(end + 1, NULL, 10) : 0;
	question.cache_pin = keeps_pin();
	BUFFER_AUTO struct buffer payload;
	enum frame_type type;
	struct token_grant grant;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	token_acquire_pack(&payload, &question);
	must(frame_send(job->fd, FRAME_TOKEN_ACQUIRE, payload.data, payload.len) == STATUS_OK);
	must(frame_receive(job->fd, -1, &type, &payload) == STATUS_OK && type == FRAME_TOKEN_GRANT);
	must(token_grant_unpack(payload.data, payload.len, job->arena, &grant) == STATUS_OK);
	job->rv = grant.rv;
	job->generation = grant.generation;
	job->last_tries = grant.last_tries;
	job->busy = grant.busy;
	job->tries = grant.tries;
	job->retry_after_s = grant.retry_after_s;
}

void release(struct job *job, const char *value)
{
	char *end;
	struct token_release news = {.rv = strtoull(value, &end, 0), .cache_pin = keeps_pin()};
	if (job->rv != CKR_OK)
		return;
	if (*end == ',')
		set_login(end + 1);
	pthread_mutex_lock(&self.mutex);
	self.granted = self.login != LOGIN_NONE;
	news.state_serial = self.serial;
	news.sessions = self.sessions;
	news.login = self.login;
	news.native = self.native;
	pthread_mutex_unlock(&self.mutex);
	memcpy(news.serial, self.token_serial, sizeof news.serial);
	BUFFER_AUTO struct buffer payload;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	token_release_pack(&payload, &news);
	must(frame_send(job->fd, FRAME_TOKEN_RELEASE, payload.data, payload.len) == STATUS_OK);
}

void ask_to_verify(struct job *job, const char *value)
{
	struct pin_verify question = {1, {(const unsigned char *)value, strlen(value)}};
	struct pin_verified answer;
	BUFFER_AUTO struct buffer payload;
	enum frame_type type;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	pin_verify_pack(&payload, &question);
	must(frame_send(job->fd, FRAME_PIN_VERIFY, payload.data, payload.len) == STATUS_OK);
	must(frame_receive(job->fd, -1, &type, &payload) == STATUS_OK && type == FRAME_PIN_VERIFIED);
	must(pin_verified_unpack(payload.data, payload.len, job->arena, &answer) == STATUS_OK);
	job->rv = answer.rv;
}

static uint32_t ask_about(struct job *job, const struct intent *question)
{
	struct intent_answer answer;
	BUFFER_AUTO struct buffer payload;
	enum frame_type type;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	intent_pack(&payload, question);
	must(frame_send(job->fd, FRAME_INTENT, payload.data, payload.len) == STATUS_OK);
	must(frame_receive(job->fd, -1, &type, &payload) == STATUS_OK && type == FRAME_INTENT_ANSWER);
	must(intent_answer_unpack(payload.data, payload.len, job->arena, &answer) == STATUS_OK);
	return answer.verdict;
}

void intend(struct job *job, const char *value)
{
	unsigned char digest[32];
	memset(digest, *value, sizeof digest);
	const struct intent begin = {.step = INTENT_BEGIN, .request = {digest, sizeof digest}};
	const struct intent record = {.step = INTENT_RECORD, .object = {digest, 1}};
	uint32_t verdict = ask_about(job, &begin);
	line_number(job, "begin", verdict);
	if (verdict == INTENT_NEW || verdict == INTENT_UNFINISHED)
		line_number(job, "record", ask_about(job, &record));
}

void tell_wait(struct job *job, bool begun)
{
	const struct request_wait news = {.begun = begun};
	BUFFER_AUTO struct buffer payload;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	request_wait_pack(&payload, &news);
	must(frame_send(job->fd, FRAME_WAIT, payload.data, payload.len) == STATUS_OK);
}

void wait_for_others(struct job *job, const char *value)
{
	tell_wait(job, true);
	usleep((useconds_t)strtoul(value, NULL, 10) * 1000);
	tell_wait(job, false);
}

static bool pin_is(const struct pin_verify *question, const char *pin)
{
	return question->pin.len == strlen(pin) && memcmp(question->pin.data, pin, question->pin.len) == 0;
}

/* Breaks the protocol, and keeps the token in a login that does not end. */
static _Noreturn void babble(struct job *job)
{
	pthread_mutex_lock(&self.mutex);
	self.running++;
	pthread_mutex_unlock(&self.mutex);
	acquire(job, "1,1");
	must(frame_send(job->fd, FRAME_START, NULL, 0) == STATUS_OK);
	for (;;)
		pause();
}

void verify(int fd, struct arena *arena, struct buffer *payload)
{
	struct pin_verify question;
	must(pin_verify_unpack(payload->data, payload->len, arena, &question) == STATUS_OK);
	must(!pin_is(&question, "die"));
	while (pin_is(&question, "hang"))
		pause();
	bool right = pin_is(&question, "1234");
	struct job job = {.fd = fd, .arena = arena};
	if (pin_is(&question, "babble"))
		babble(&job);
	acquire(&job, "1,1");
	release(&job, right ? "0,1" : "0xA0,0");
	struct pin_verified answer = {.rv = job.rv != CKR_OK ? job.rv
					    : right          ? CKR_OK
							     : CKR_PIN_INCORRECT,
		.asked = job.rv == CKR_OK};
	buffer_reset(payload);
	pin_verified_pack(payload, &answer);
	must(frame_send(fd, FRAME_PIN_VERIFIED, payload->data, payload->len) == STATUS_OK);
}

void tell_state(enum login_state ended, enum login_end cause)
{
	pthread_mutex_lock(&self.mutex);
	struct worker_state state = {
		self.serial, self.sessions, self.login, self.native, self.policy_generation, ended, cause};
	pthread_mutex_unlock(&self.mutex);
	BUFFER_AUTO struct buffer payload;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	worker_state_pack(&payload, &state);
	if (!self.mute)
		must(frame_send(CONTROL, FRAME_STATE, payload.data, payload.len) == STATUS_OK);
}

void respond(struct job *job)
{
	pthread_mutex_lock(&self.mutex);
	static const char text[] = "{\"kind\":\"object\"}";
	const struct bytes event = {(const unsigned char *)text, sizeof text - 1};
	struct worker_response response = {.status = job->status,
		.content_type = "text/plain",
		.audit = {&event, job->event},
		.calls = {&job->call, job->call.len > 0},
		.sessions = self.sessions,
		.login = self.login,
		.native = self.native,
		.state_serial = self.serial,
		.operation_opened = job->opened,
		.body = {job->body.data, job->body.len}};
	pthread_mutex_unlock(&self.mutex);
	BUFFER_AUTO struct buffer payload;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	worker_response_pack(&payload, &response);
	must(!payload.failed);
	enum frame_type type = job->garbage ? FRAME_START : FRAME_RESPONSE;
	must(frame_send(job->fd, type, payload.data, payload.len) == STATUS_OK);
}
