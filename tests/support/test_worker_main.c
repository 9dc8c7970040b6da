/*
 * A worker without a module, for the tests of server/app: it does what it is told.
 *
 * A request's query is a list of commands separated by ';', carried out in order:
 *   sleep=MS   stay (until another request says "go")   hang   die   garbage   big=BYTES   again   calls=NAME   open=ID
 *   sessions=N   login=0|1|2[,NATIVE]            what it reports of itself from then on; serial=N: numbered from there
 *   uncached=0|1         clients wish that no PIN is kept
 *   acquire=PURPOSE[,USER]   release=RV[,LOGIN[,NATIVE]]   the token
 *   waiting              says that it waits for another request
 *   wait=MS              the same, does so, and says that it is over
 *   tell=COUNT           so often that a user's login ended with a lease, without being asked
 *   news=COUNT           so often how it is, without being asked
 *   question   descriptors   environment          shown in the answer
 * The answer's body is "key=value" lines. An application's init_args are carried out in the same way at its start, and there
 *   fail=RV   deaf (takes no commands on the control pair)   mute (no news on the control pair)
 * are known too. A login that is revoked ends; what else is void of one is shown alone. An inventory worker takes the token's label from the file that is its module; no file: no module. A label
 * that begins with "count" shows how often it was asked, "?" spoils the answer, "hang" is what it does; "absent" is no token, and
 * the first bytes of the slot's own label and of this one are the serial number.
 */
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/cryptoki.h"
#include "api/route.h"
#include "server/common/frame.h"
#include "server/common/message.h"

enum { CONTROL = 3, PAIRS = 4, ARENA = 16 << 20 };

extern char **environ;

static struct arena start_arena;
static struct worker_start start;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static unsigned running, sessions, instances_ended, queries, reinits;
static enum login_state login, native;
static unsigned held;
static struct login_policy login_rules;
static unsigned uncached;
static uint64_t serial, policy_generation;
static unsigned voided; /* LOGIN_VOIDED: 1 + its cause */
static bool granted; /* the login had the token, as the gateway wants it of one whose end is told */
static bool deaf, mute;
static unsigned staying; /* who have said "stay" and not been let go */

/* One request, or the start. */
struct job {
	int fd;
	const struct worker_request *request; /* NULL: the start */
	struct arena *arena;
	struct buffer body;
	unsigned status;
	uint64_t rv, generation;
	unsigned last_tries, busy, tries, retry_after_s;
	struct bytes call;
	const char *opened;
	bool garbage;
};

static void line(struct job *job, const char *key, const char *value)
{
	buffer_text(&job->body, key);
	buffer_byte(&job->body, '=');
	buffer_text(&job->body, value);
	buffer_byte(&job->body, '\n');
}

static void line_number(struct job *job, const char *key, uint64_t value)
{
	char text[32];
	snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	line(job, key, text);
}

static void must(bool done)
{
	if (!done)
		_exit(3);
}

/* "LOGIN[,NATIVE]"; without the second both are the same. */
static void set_login(const char *value)
{
	char *end;
	pthread_mutex_lock(&mutex);
	login = native = (enum login_state)strtoul(value, &end, 10);
	if (*end == ',')
		native = (enum login_state)strtoul(end + 1, NULL, 10);
	serial++;
	pthread_mutex_unlock(&mutex);
}

static void set_serial(const char *value)
{
	pthread_mutex_lock(&mutex);
	serial = strtoull(value, NULL, 10);
	pthread_mutex_unlock(&mutex);
}

static bool keeps_pin(void)
{
	pthread_mutex_lock(&mutex);
	bool keeps = login_rules.cache_pin && !uncached;
	pthread_mutex_unlock(&mutex);
	return keeps;
}

static void acquire(struct job *job, const char *value)
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

static unsigned char token_serial[16]; /* of the token as it was at the start */

static void release(struct job *job, const char *value)
{
	char *end;
	struct token_release news = {.rv = strtoull(value, &end, 0), .cache_pin = keeps_pin()};
	if (job->rv != CKR_OK)
		return;
	if (*end == ',')
		set_login(end + 1);
	pthread_mutex_lock(&mutex);
	granted = login != LOGIN_NONE;
	news.state_serial = serial;
	news.sessions = sessions;
	news.login = login;
	news.native = native;
	pthread_mutex_unlock(&mutex);
	memcpy(news.serial, token_serial, sizeof news.serial);
	BUFFER_AUTO struct buffer payload;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	token_release_pack(&payload, &news);
	must(frame_send(job->fd, FRAME_TOKEN_RELEASE, payload.data, payload.len) == STATUS_OK);
}

static void set(unsigned *variable, const char *value)
{
	pthread_mutex_lock(&mutex);
	*variable = (unsigned)strtoul(value, NULL, 10);
	serial++;
	pthread_mutex_unlock(&mutex);
}

static void stay(void)
{
	pthread_mutex_lock(&mutex);
	staying++;
	pthread_cond_broadcast(&idle);
	while (staying > 0)
		pthread_cond_wait(&idle, &mutex);
	pthread_mutex_unlock(&mutex);
}

static void go(void)
{
	pthread_mutex_lock(&mutex);
	while (staying == 0)
		pthread_cond_wait(&idle, &mutex);
	staying = 0;
	pthread_cond_broadcast(&idle);
	pthread_mutex_unlock(&mutex);
}

static void show_descriptors(struct job *job)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned count = 0, highest = 0;
	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		unsigned fd = (unsigned)strtoul(entry->d_name, NULL, 10);
		if (entry->d_name[0] == '.' || fd == (unsigned)dirfd(directory))
			continue;
		count++;
		highest = fd > highest ? fd : highest;
	}
	closedir(directory);
	line_number(job, "descriptors", count);
	line_number(job, "highest", highest);
}

static void show_question(struct job *job)
{
	line_number(job, "anonymous", job->request->anonymous);
	line(job, "identity", job->request->identity);
	line(job, "application", start.application);
	line_number(job, "role", start.role);
	line_number(job, "slots", start.slots.count);
	line_number(job, "start_generation", start.token_generation);
	line_number(job, "body", job->request->body.len);
	line_number(job, "cache_pin", login_rules.cache_pin);
	line_number(job, "logout_after", login_rules.logout_after);
	line_number(job, "aa_oneshot", login_rules.aa_oneshot);
}

static void fill(struct job *job, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buffer_byte(&job->body, 'x');
}

/* Has a PIN verified elsewhere; the answer is the job's rv. */
static void ask_to_verify(struct job *job, const char *value)
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

static void tell_wait(struct job *job, bool begun)
{
	const struct request_wait news = {.begun = begun};
	BUFFER_AUTO struct buffer payload;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	request_wait_pack(&payload, &news);
	must(frame_send(job->fd, FRAME_WAIT, payload.data, payload.len) == STATUS_OK);
}

static void wait_for_others(struct job *job, const char *value)
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
	pthread_mutex_lock(&mutex);
	running++;
	pthread_mutex_unlock(&mutex);
	acquire(job, "1,1");
	must(frame_send(job->fd, FRAME_START, NULL, 0) == STATUS_OK);
	for (;;)
		pause();
}

/*
 * Asked to verify a PIN: as a login would, with the token; 1234 is right, "die" ends the process, "hang" has no answer, "babble" a wrong
 * one.
 */
static void verify(int fd, struct arena *arena, struct buffer *payload)
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

static void tell_state(enum login_state ended, enum login_end cause)
{
	pthread_mutex_lock(&mutex);
	struct worker_state state = {serial, sessions, login, native, ended, cause};
	pthread_mutex_unlock(&mutex);
	BUFFER_AUTO struct buffer payload;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	worker_state_pack(&payload, &state);
	if (!mute)
		must(frame_send(CONTROL, FRAME_STATE, payload.data, payload.len) == STATUS_OK);
}

static void carry_out(struct job *job, const char *name, const char *value)
{
	if (strcmp(name, "sleep") == 0)
		usleep((useconds_t)strtoul(value, NULL, 10) * 1000);
	else if (strcmp(name, "stay") == 0)
		stay();
	else if (strcmp(name, "go") == 0)
		go();
	else if (strcmp(name, "hang") == 0)
		for (;;)
			pause();
	else if (strcmp(name, "die") == 0)
		_exit(1);
	else if (strcmp(name, "garbage") == 0)
		job->garbage = true;
	else if (strcmp(name, "big") == 0)
		fill(job, strtoul(value, NULL, 10));
	else if (strcmp(name, "again") == 0)
		job->status = job->request->anonymous ? 200 : 0;
	else if (strcmp(name, "calls") == 0)
		job->call = (struct bytes){(const unsigned char *)value, strlen(value)};
	else if (strcmp(name, "open") == 0)
		job->opened = value;
	else if (strcmp(name, "sessions") == 0)
		set(&sessions, value);
	else if (strcmp(name, "login") == 0)
		set_login(value);
	else if (strcmp(name, "serial") == 0)
		set_serial(value);
	else if (strcmp(name, "uncached") == 0)
		set(&uncached, value);
	else if (strcmp(name, "acquire") == 0)
		acquire(job, value);
	else if (strcmp(name, "release") == 0)
		release(job, value);
	else if (strcmp(name, "tell") == 0)
		for (unsigned long left = strtoul(value, NULL, 10); left > 0; left--)
			tell_state(LOGIN_USER, LOGIN_END_LEASE);
	else if (strcmp(name, "news") == 0)
		for (unsigned long left = strtoul(value, NULL, 10); left > 0; left--)
			tell_state(LOGIN_NONE, LOGIN_END_LEASE);
	else if (strcmp(name, "waiting") == 0)
		tell_wait(job, true);
	else if (strcmp(name, "wait") == 0)
		wait_for_others(job, value);
	else if (strcmp(name, "verify") == 0)
		ask_to_verify(job, value);
	else if (strcmp(name, "question") == 0)
		show_question(job);
	else if (strcmp(name, "descriptors") == 0)
		show_descriptors(job);
	else if (strcmp(name, "environment") == 0)
		for (char **entry = environ; *entry != NULL; entry++)
			line(job, "environment", *entry);
	else if (strcmp(name, "fail") == 0)
		job->rv = strtoull(value, NULL, 0);
	else if (strcmp(name, "deaf") == 0)
		deaf = true;
	else if (strcmp(name, "mute") == 0)
		mute = true;
}

static void carry_out_all(struct job *job, const char *script)
{
	char *copy = arena_copy(job->arena, script, strlen(script)), *state = NULL;
	for (char *command = strtok_r(copy, ";", &state); command != NULL; command = strtok_r(NULL, ";", &state)) {
		char *value = strchr(command, '=');
		if (value != NULL)
			*value++ = '\0';
		carry_out(job, command, value == NULL ? "" : value);
	}
}

/* What tells tokens apart: the label that the slot is configured for, and what the module shows. */
static void write_serial(const struct worker_slot *slot, const char *label, unsigned char out[16])
{
	char text[64];
	snprintf(text, sizeof text, "%.4s %.40s", slot->match_label, label);
	memcpy(out, text, strnlen(text, 16));
}

static void pack_slot(struct job *job, const struct worker_slot *slot, const char *label, struct bytes *ret_item)
{
	char calls[1024], detail[1024];
	BUFFER_AUTO struct buffer packed;
	snprintf(calls, sizeof calls, "{\"name\":\"%s\",\"label\":\"%s\"}", slot->name, label);
	/* Counters change the document, so they are shown on demand only. */
	bool counts = strncmp(label, "count", 5) == 0;
	snprintf(detail, sizeof detail, "{\"mechanisms\":[],\"queries\":%u,\"reinits\":%u}", counts ? queries : 0,
		counts ? reinits : 0);
	struct inventory_slot message = {slot->name, calls, label[0] == '?' ? "{" : calls, detail,
		strcmp(label, "absent") == 0 ? TOKEN_ABSENT : TOKEN_PRESENT, {0}};
	write_serial(slot, label, message.serial);
	buffer_init(&packed, FRAME_PAYLOAD_MAX);
	inventory_slot_pack(&packed, &message);
	ret_item->data = arena_copy(job->arena, packed.data, packed.len);
	ret_item->len = packed.len;
}

static bool read_label(char label[64])
{
	FILE *file = fopen(start.module_path, "r");
	if (file == NULL)
		return false;
	if (fgets(label, 64, file) == NULL)
		label[0] = '\0';
	fclose(file);
	return true;
}

/* The token is looked at when the module is initialised, and not again. */
static void find_token(struct arena *arena)
{
	char label[64];
	struct worker_slot slot;
	if (!read_label(label))
		return;
	must(worker_slot_unpack(start.slots.items[0].data, start.slots.items[0].len, arena, &slot) == STATUS_OK);
	write_serial(&slot, label, token_serial);
}

static void answer_inventory(struct job *job)
{
	char label[64];
	struct bytes *items = arena_array(job->arena, start.slots.count, sizeof *items);
	if (!read_label(label)) {
		job->status = 503;
		return;
	}
	if (strcmp(label, "hang") == 0)
		for (;;)
			pause();
	if (strcmp(label, "count slowly") == 0)
		usleep(10000);
	queries++;
	reinits += strcmp(job->request->query, "reinit=1") == 0;
	for (size_t i = 0; i < start.slots.count; i++) {
		struct worker_slot slot;
		must(worker_slot_unpack(start.slots.items[i].data, start.slots.items[i].len, job->arena, &slot) ==
			STATUS_OK);
		pack_slot(job, &slot, label, &items[i]);
	}
	struct inventory_answer answer = {{items, start.slots.count}};
	inventory_answer_pack(&job->body, &answer);
}

static void respond(struct job *job)
{
	pthread_mutex_lock(&mutex);
	struct worker_response response = {.status = job->status,
		.content_type = "text/plain",
		.calls = {&job->call, job->call.len > 0},
		.sessions = sessions,
		.login = login,
		.native = native,
		.state_serial = serial,
		.operation_opened = job->opened,
		.body = {job->body.data, job->body.len}};
	pthread_mutex_unlock(&mutex);
	BUFFER_AUTO struct buffer payload;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	worker_response_pack(&payload, &response);
	must(!payload.failed);
	enum frame_type type = job->garbage ? FRAME_START : FRAME_RESPONSE;
	must(frame_send(job->fd, type, payload.data, payload.len) == STATUS_OK);
}

static void do_request(int fd, const struct worker_request *request, struct arena *arena)
{
	struct job job = {.fd = fd, .request = request, .arena = arena, .status = 200};
	buffer_init(&job.body, FRAME_PAYLOAD_MAX);
	if (start.role == ROLE_INVENTORY && request->route == ROUTE_inventory) {
		answer_inventory(&job);
	} else {
		pthread_mutex_lock(&mutex);
		held = request->held;
		pthread_mutex_unlock(&mutex);
		carry_out_all(&job, request->query);
		line_number(&job, "pid", (uint64_t)getpid());
		line_number(&job, "rv", job.rv);
		line_number(&job, "generation", job.generation);
		line_number(&job, "instances_ended", instances_ended);
		line_number(&job, "policy", policy_generation);
		line_number(&job, "voided", voided);
		line_number(&job, "last_tries", job.last_tries);
		line_number(&job, "busy", job.busy);
		line_number(&job, "tries", job.tries);
		line_number(&job, "retry_after_s", job.retry_after_s);
		line_number(&job, "held", held);
		line_number(&job, "running", running);
	}
	respond(&job);
	buffer_done(&job.body);
}

/*
 * Exits; when told to, after what runs has finished. At the end of a socket a "hang" must not outlive the tests, except
 * in a deaf worker, which is killed by them.
 */
static _Noreturn void leave(bool told)
{
	pthread_mutex_lock(&mutex);
	while (running > 0 && (told || deaf))
		pthread_cond_wait(&idle, &mutex);
	_exit(0);
}

static void *serve(void *context)
{
	int fd = (int)(intptr_t)context;
	for (;;) {
		ARENA_AUTO struct arena arena;
		BUFFER_AUTO struct buffer payload;
		enum frame_type type;
		struct worker_request request;
		arena_init(&arena, ARENA);
		buffer_init(&payload, FRAME_PAYLOAD_MAX);
		if (frame_receive(fd, -1, &type, &payload) != STATUS_OK ||
			(type != FRAME_REQUEST && type != FRAME_PIN_VERIFY))
			leave(false);
		if (type == FRAME_PIN_VERIFY) {
			verify(fd, &arena, &payload);
			continue;
		}
		must(worker_request_unpack(payload.data, payload.len, &arena, &request) == STATUS_OK);
		pthread_mutex_lock(&mutex);
		running++;
		pthread_mutex_unlock(&mutex);
		do_request(fd, &request, &arena);
		pthread_mutex_lock(&mutex);
		running--;
		pthread_cond_broadcast(&idle);
		pthread_mutex_unlock(&mutex);
	}
}

static void take_policy(const struct bytes *packed)
{
	ARENA_AUTO struct arena arena;
	struct worker_policy policy;
	arena_init(&arena, ARENA);
	must(worker_policy_unpack(packed->data, packed->len, &arena, &policy) == STATUS_OK);
	pthread_mutex_lock(&mutex);
	policy_generation = policy.generation;
	if (policy.login.len > 0)
		must(login_policy_unpack(policy.login.data, policy.login.len, &arena, &login_rules) == STATUS_OK);
	pthread_mutex_unlock(&mutex);
}

static void start_up(void)
{
	ARENA_AUTO struct arena arena;
	BUFFER_AUTO struct buffer payload;
	enum frame_type type;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	arena_init(&arena, ARENA);
	arena_init(&start_arena, ARENA);
	must(frame_receive(PAIRS, -1, &type, &payload) == STATUS_OK && type == FRAME_START);
	const unsigned char *kept = arena_copy(&start_arena, payload.data, payload.len);
	must(worker_start_unpack(kept, payload.len, &start_arena, &start) == STATUS_OK);
	take_policy(&start.policy);
	struct job job = {.fd = PAIRS, .arena = &arena};
	if (start.role == ROLE_APPLICATION) {
		find_token(&arena);
		acquire(&job, "0");
		release(&job, "0");
		carry_out_all(&job, start.module_init_args);
	}
	struct worker_started started = {job.rv, job.rv == CKR_OK ? "" : "told to fail"};
	buffer_reset(&payload);
	worker_started_pack(&payload, &started);
	must(frame_send(PAIRS, FRAME_STARTED, payload.data, payload.len) == STATUS_OK);
}

static bool says_held(const struct bytes *packed)
{
	ARENA_AUTO struct arena arena;
	struct end_instance message;
	arena_init(&arena, ARENA);
	must(end_instance_unpack(packed->data, packed->len, &arena, &message) == STATUS_OK);
	return message.held != 0;
}

static void take_void(const struct bytes *packed)
{
	ARENA_AUTO struct arena arena;
	struct login_voided message;
	arena_init(&arena, ARENA);
	must(login_voided_unpack(packed->data, packed->len, &arena, &message) == STATUS_OK);
	pthread_mutex_lock(&mutex);
	voided = 1 + message.cause;
	bool ends = message.cause == LOGIN_END_REVOKED && login != LOGIN_NONE;
	enum login_state ended = granted ? login : LOGIN_NONE;
	serial += ends;
	login = ends ? LOGIN_NONE : login;
	native = ends ? LOGIN_NONE : native;
	pthread_mutex_unlock(&mutex);
	if (ends)
		tell_state(ended, LOGIN_END_REVOKED);
}

static void take_hold_end(void)
{
	pthread_mutex_lock(&mutex);
	bool ends = sessions == 0 && login != LOGIN_NONE;
	enum login_state ended = ends && granted ? login : LOGIN_NONE;
	serial += ends;
	login = ends ? LOGIN_NONE : login;
	native = ends ? LOGIN_NONE : native;
	pthread_mutex_unlock(&mutex);
	tell_state(ended, LOGIN_END_HOLD);
}

static void command(enum frame_type type, const struct buffer *payload)
{
	struct bytes bytes = {payload->data, payload->len};
	switch (type) {
	case FRAME_SHUTDOWN: leave(true);
	case FRAME_LOGIN_VOIDED: take_void(&bytes); break;
	case FRAME_END_INSTANCE: {
		pthread_mutex_lock(&mutex);
		/* A held application keeps its login without a session. */
		bool stays = says_held(&bytes);
		enum login_state ended = stays || !granted ? LOGIN_NONE : login;
		instances_ended++;
		serial++;
		sessions = 0;
		if (!stays)
			login = native = LOGIN_NONE;
		pthread_mutex_unlock(&mutex);
		tell_state(ended, LOGIN_END_LEASE);
		break;
	}
	case FRAME_HOLD_ENDED: take_hold_end(); break;
	case FRAME_POLICY: take_policy(&bytes); break;
	default: _exit(4);
	}
}

int main(void)
{
	BUFFER_AUTO struct buffer payload;
	enum frame_type type;
	start_up();
	for (unsigned i = 0; i < start.threads; i++) {
		pthread_t thread;
		must(pthread_create(&thread, NULL, serve, (void *)(intptr_t)(PAIRS + i)) == 0);
	}
	while (deaf)
		pause();
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	while (frame_receive(CONTROL, -1, &type, &payload) == STATUS_OK)
		command(type, &payload);
	leave(false);
}
