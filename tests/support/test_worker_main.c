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
 *   intent=LETTER        asks about the Idempotency-Key for a request of that digest, and records what it is told to do
 *   event                leaves an audit event
 *   question   descriptors   environment          shown in the answer
 * The answer's body is "key=value" lines. An application's init_args are carried out in the same way at its start, and there
 *   fail=RV   deaf (takes no commands on the control pair)   mute (no news on the control pair)
 * are known too. A login that is revoked ends; what else is void of one is shown alone. An inventory worker takes the token's label from the file that is its module; no file: no module. A label
 * that begins with "count" shows how often it was asked, "?" spoils the answer, "hang" is what it does; "absent" is no token, and
 * the first bytes of the slot's own label and of this one are the serial number.
 */
#include <unistd.h>

#include "api/cryptoki.h"
#include "api/route.h"
#include "tests/support/test_worker/test_worker.h"

enum { PAIRS = 4, ARENA = 16 << 20 };

struct test_worker self = {.mutex = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};
static struct arena start_arena;

static void do_request(int fd, const struct worker_request *request, struct arena *arena)
{
	struct job job = {.fd = fd, .request = request, .arena = arena, .status = 200};
	buffer_init(&job.body, FRAME_PAYLOAD_MAX);
	if (self.start.role == ROLE_INVENTORY && request->route == ROUTE_inventory) {
		answer_inventory(&job);
	} else {
		pthread_mutex_lock(&self.mutex);
		self.held = request->held;
		pthread_mutex_unlock(&self.mutex);
		carry_out_all(&job, request->query);
		line_number(&job, "pid", (uint64_t)getpid());
		line_number(&job, "rv", job.rv);
		line_number(&job, "generation", job.generation);
		line_number(&job, "instances_ended", self.instances_ended);
		line_number(&job, "policy", self.policy_generation);
		line_number(&job, "voided", self.voided);
		line_number(&job, "last_tries", job.last_tries);
		line_number(&job, "busy", job.busy);
		line_number(&job, "tries", job.tries);
		line_number(&job, "retry_after_s", job.retry_after_s);
		line_number(&job, "held", self.held);
		line_number(&job, "running", self.running);
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
	pthread_mutex_lock(&self.mutex);
	while (self.running > 0 && (told || self.deaf))
		pthread_cond_wait(&self.idle, &self.mutex);
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
		pthread_mutex_lock(&self.mutex);
		self.running++;
		pthread_mutex_unlock(&self.mutex);
		do_request(fd, &request, &arena);
		pthread_mutex_lock(&self.mutex);
		self.running--;
		pthread_cond_broadcast(&self.idle);
		pthread_mutex_unlock(&self.mutex);
	}
}

static void take_policy(const struct bytes *packed)
{
	ARENA_AUTO struct arena arena;
	struct worker_policy policy;
	arena_init(&arena, ARENA);
	must(worker_policy_unpack(packed->data, packed->len, &arena, &policy) == STATUS_OK);
	pthread_mutex_lock(&self.mutex);
	self.policy_generation = policy.generation;
	if (policy.login.len > 0)
		must(login_policy_unpack(policy.login.data, policy.login.len, &arena, &self.login_rules) == STATUS_OK);
	pthread_mutex_unlock(&self.mutex);
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
	must(worker_start_unpack(kept, payload.len, &start_arena, &self.start) == STATUS_OK);
	take_policy(&self.start.policy);
	struct job job = {.fd = PAIRS, .arena = &arena};
	if (self.start.role == ROLE_APPLICATION) {
		find_token(&arena);
		acquire(&job, "0");
		release(&job, "0");
		carry_out_all(&job, self.start.module_init_args);
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
	pthread_mutex_lock(&self.mutex);
	self.voided = 1 + message.cause;
	bool ends = message.cause == LOGIN_END_REVOKED && self.login != LOGIN_NONE;
	enum login_state ended = self.granted ? self.login : LOGIN_NONE;
	self.serial += ends;
	self.login = ends ? LOGIN_NONE : self.login;
	self.native = ends ? LOGIN_NONE : self.native;
	pthread_mutex_unlock(&self.mutex);
	if (ends)
		tell_state(ended, LOGIN_END_REVOKED);
}

static void take_hold_end(void)
{
	pthread_mutex_lock(&self.mutex);
	bool ends = self.sessions == 0 && self.login != LOGIN_NONE;
	enum login_state ended = ends && self.granted ? self.login : LOGIN_NONE;
	self.serial += ends;
	self.login = ends ? LOGIN_NONE : self.login;
	self.native = ends ? LOGIN_NONE : self.native;
	pthread_mutex_unlock(&self.mutex);
	tell_state(ended, LOGIN_END_HOLD);
}

static void command(enum frame_type type, const struct buffer *payload)
{
	struct bytes bytes = {payload->data, payload->len};
	switch (type) {
	case FRAME_SHUTDOWN: leave(true);
	case FRAME_LOGIN_VOIDED: take_void(&bytes); break;
	case FRAME_END_INSTANCE: {
		pthread_mutex_lock(&self.mutex);
		/* A held application keeps its login without a session. */
		bool stays = says_held(&bytes);
		enum login_state ended = stays || !self.granted ? LOGIN_NONE : self.login;
		self.instances_ended++;
		self.serial++;
		self.sessions = 0;
		if (!stays)
			self.login = self.native = LOGIN_NONE;
		pthread_mutex_unlock(&self.mutex);
		tell_state(ended, LOGIN_END_LEASE);
		break;
	}
	case FRAME_HOLD_ENDED: take_hold_end(); break;
	case FRAME_POLICY:
		take_policy(&bytes);
		tell_state(LOGIN_NONE, LOGIN_END_POLICY);
		break;
	default: _exit(4);
	}
}

int main(void)
{
	BUFFER_AUTO struct buffer payload;
	enum frame_type type;
	start_up();
	for (unsigned i = 0; i < self.start.threads; i++) {
		pthread_t thread;
		must(pthread_create(&thread, NULL, serve, (void *)(intptr_t)(PAIRS + i)) == 0);
	}
	while (self.deaf)
		pause();
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	while (frame_receive(CONTROL, -1, &type, &payload) == STATUS_OK)
		command(type, &payload);
	leave(false);
}
