#include "tests/unit/worker/fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/route.h"
#include "server/common/frame.h"
#include "tests/support/lib/scratch.h"

extern char **environ;

enum { ANSWER_MS = 30000, FIRST_PAIR = 4, CONTROL = 3 };

/* The token's lock: as the gateway, one worker thread at a time has the token. */
static pthread_mutex_t token_lock = PTHREAD_MUTEX_INITIALIZER;

static char removed_at_exit[4][64];
static unsigned removed_count;

static int run_tool(char *const arguments[])
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status = -1;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ) == 0)
		waitpid(pid, &status, 0);
	posix_spawn_file_actions_destroy(&actions);
	return status;
}

static void remove_directories(void)
{
	for (unsigned i = 0; i < removed_count; i++)
		run_tool((char *[]){"rm", "-rf", removed_at_exit[i], NULL});
}

void token_fixture_tool(struct token_fixture *token, char *const arguments[])
{
	char file[96];

	snprintf(file, sizeof file, "%s/softhsm2.conf", token->directory);
	setenv("SOFTHSM2_CONF", file, 1);
	cr_assert_eq(run_tool(arguments), 0, "%s failed", arguments[0]);
}

void token_fixture_new(struct token_fixture *token)
{
	char path[96];

	memset(token, 0, sizeof *token);
	token->generation = 1;
	scratch_directory(token->directory, sizeof(token->directory));
	if (removed_count == 0)
		atexit(remove_directories);
	if (removed_count < sizeof removed_at_exit / sizeof removed_at_exit[0])
		snprintf(removed_at_exit[removed_count++], sizeof removed_at_exit[0], "%s", token->directory);
	snprintf(path, sizeof path, "%s/softhsm2.conf", token->directory);
	FILE *conf = fopen(path, "w");
	cr_assert(conf);
	fprintf(conf, "directories.tokendir = %s\nlog.level = ERROR\n", token->directory);
	fclose(conf);
	token_fixture_tool(token, (char *[]){"softhsm2-util", "--init-token", "--free", "--label", "demo", "--pin",
					  FIXTURE_PIN, "--so-pin", FIXTURE_SO_PIN, NULL});
}

/* $(BUILD)/p11gate-worker; the tests are in $(BUILD)/tests. */
static void worker_path(char path[256])
{
	ssize_t len = readlink("/proc/self/exe", path, 200);

	cr_assert(len > 0);
	path[len] = '\0';
	*strrchr(path, '/') = '\0';
	snprintf(strrchr(path, '/'), 20, "/p11gate-worker");
}

/* A test module: $(BUILD)/tests/NAME. */
static const char *module_path(const struct worker_options *options, char path[256])
{
	const char *name = options->shim     ? "shim_module.so"
			   : options->mock   ? "mock_module.so"
			   : options->module ? options->module
					     : SOFTHSM;
	ssize_t len = readlink("/proc/self/exe", path, 200);

	if (strchr(name, '/'))
		return name;
	cr_assert(len > 0);
	path[len] = '\0';
	snprintf(strrchr(path, '/') + 1, 40, "%s", name);
	return path;
}

/* Packs rules of logins into a policy. */
static void pack_policy(struct buffer *out, const struct login_policy *login, const char *challenge_only)
{
	struct buffer packed BUFFER_AUTO;
	struct bytes labels[1] = {{(const unsigned char *)challenge_only, challenge_only ? strlen(challenge_only) : 0}};

	buffer_init(&packed, FRAME_CHUNK);
	login_policy_pack(&packed, login);
	const struct worker_policy rules = {
		.generation = 1,
		.challenge_only_labels = {labels, challenge_only ? 1 : 0},
		.login = {packed.data, packed.len},
	};
	worker_policy_pack(out, &rules);
}

static void send_start(struct worker_fixture *worker, const struct worker_options *options, unsigned threads)
{
	struct buffer slot BUFFER_AUTO, policy BUFFER_AUTO, start BUFFER_AUTO;
	const char *label = options->label ? options->label : options->mock ? "mock" : "demo";
	char module[256];
	const struct worker_slot one = {.name = "demo-slot",
		.match_label = label,
		.match_serial = options->serial ? options->serial : "",
		.match_reader = options->reader ? options->reader : "",
		.class_name = "hsm"};

	buffer_init(&slot, FRAME_CHUNK);
	buffer_init(&policy, FRAME_CHUNK);
	buffer_init(&start, FRAME_CHUNK);
	worker_slot_pack(&slot, &one);
	pack_policy(&policy, &options->login, options->challenge_only);
	const struct bytes slots[1] = {{slot.data, slot.len}};
	const struct worker_start message = {
		.role = options->inventory ? ROLE_INVENTORY : ROLE_APPLICATION,
		.module_name = "softhsm",
		.module_path = module_path(options, module),
		.module_init_args = "",
		.module_sha256 = {options->sha256, options->sha256 ? 32 : 0},
		.sandbox = options->sandbox ? options->sandbox : "generic",
		.user = options->user           ? options->user
			: options->user_id != 0 ? "somebody"
						: "",
		.user_id = options->user_id,
		.group_id = options->group_id,
		.require_mlock = options->require_mlock,
		.verify_login_fresh = options->fresh,
		.slots = {slots, 1},
		.threads = threads,
		.token_generation = worker->token->generation,
		.sessions_max = options->sessions_max ? options->sessions_max : 64,
		.operations_max = options->operations_max ? options->operations_max : 8,
		.operation_ttl_ms = options->operation_ttl_ms ? options->operation_ttl_ms : 60000,
		.token_wait_ms = 5000,
		.rest_idle_ms = options->rest_idle_ms ? options->rest_idle_ms : 60000,
		.rest_max_ms = options->rest_max_ms ? options->rest_max_ms : 600000,
		.application = "00",
		.policy = {policy.data, policy.len},
	};
	worker_start_pack(&start, &message);
	cr_assert_eq(frame_send(worker->pairs[0], FRAME_START, start.data, start.len), STATUS_OK);
}

/* The token's keeper in the gateway: no lock is needed where one test is the only gateway. */
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

static void verify(struct worker_fixture *worker, int fd, struct buffer *payload);

static void note_wait(struct worker_fixture *worker, const struct buffer *payload)
{
	struct arena arena ARENA_AUTO;
	struct request_wait news;

	arena_init(&arena, FRAME_CHUNK);
	cr_assert_eq(request_wait_unpack(payload->data, payload->len, &arena, &news), STATUS_OK);
	atomic_fetch_add(news.begun ? &worker->waits : &worker->waits_over, 1);
}

/* Answers questions until a frame of `wanted` comes. */
static void await(struct worker_fixture *worker, int fd, enum frame_type wanted, struct buffer *payload)
{
	enum frame_type type;
	uint32_t purpose = 0;

	for (;;) {
		cr_assert_eq(frame_receive(fd, ANSWER_MS, &type, payload), STATUS_OK, "the worker does not answer");
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
		else
			cr_assert_fail("unexpected frame %d", type);
	}
}

static void spawn(struct worker_fixture *worker, unsigned threads, const struct worker_options *options)
{
	posix_spawn_file_actions_t actions;
	char program[256], conf[128], sanitizer[512], faults[128], mock[128];
	const char *given = getenv("ASAN_OPTIONS");
	int theirs[FIXTURE_PAIRS + 1], pair[2];

	worker_path(program);
	snprintf(conf, sizeof conf, "SOFTHSM2_CONF=%s/softhsm2.conf", worker->token->directory);
	/* The leak checker would have to trace a process that lets nobody. */
	snprintf(sanitizer, sizeof sanitizer, "ASAN_OPTIONS=%s:detect_leaks=0", given ? given : "");
	snprintf(faults, sizeof faults, "P11GATE_SHIM=%s", options->shim ? options->shim : "");
	snprintf(mock, sizeof mock, "P11GATE_MOCK=%s", options->mock ? options->mock->control : "");
	posix_spawn_file_actions_init(&actions);
	for (unsigned i = 0; i < threads + 1; i++) {
		cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		/* Above the numbers that the worker expects, so that one dup2 does not hit the next. */
		theirs[i] = fcntl(pair[1], F_DUPFD_CLOEXEC, 64);
		close(pair[1]);
		*(i == 0 ? &worker->control : &worker->pairs[i - 1]) = pair[0];
		posix_spawn_file_actions_adddup2(&actions, theirs[i], CONTROL + (int)i);
	}
	cr_assert_eq(posix_spawn(&worker->pid, program, &actions, NULL, (char *[]){program, NULL},
			     (char *[]){conf, sanitizer, faults, mock, NULL}),
		0);
	posix_spawn_file_actions_destroy(&actions);
	for (unsigned i = 0; i < threads + 1; i++)
		close(theirs[i]);
}

void worker_fixture_start(
	struct token_fixture *token, const struct worker_options *options, struct worker_fixture *ret_worker)
{
	static const struct worker_options usual = {0};
	struct buffer payload BUFFER_AUTO;
	struct arena arena ARENA_AUTO;
	struct worker_started started;

	options = options ? options : &usual;
	unsigned threads = options->threads ? options->threads : 2;
	memset(ret_worker, 0, sizeof *ret_worker);
	ret_worker->token = token;
	ret_worker->options = *options;
	spawn(ret_worker, threads, options);
	send_start(ret_worker, options, threads);
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	arena_init(&arena, FRAME_CHUNK);
	await(ret_worker, ret_worker->pairs[0], FRAME_STARTED, &payload);
	cr_assert_eq(worker_started_unpack(payload.data, payload.len, &arena, &started), STATUS_OK);
	ret_worker->started_rv = started.rv;
	snprintf(ret_worker->started_detail, sizeof ret_worker->started_detail, "%s", started.detail);
}

void worker_fixture_policy(struct worker_fixture *worker, const struct login_policy *login)
{
	struct buffer policy BUFFER_AUTO;

	buffer_init(&policy, FRAME_CHUNK);
	pack_policy(&policy, login, NULL);
	cr_assert_eq(frame_send(worker->control, FRAME_POLICY, policy.data, policy.len), STATUS_OK);
}

void worker_fixture_void_login(struct worker_fixture *worker, enum login_end cause)
{
	struct buffer payload BUFFER_AUTO;
	struct login_voided message = {.cause = cause};

	buffer_init(&payload, FRAME_CHUNK);
	login_voided_pack(&payload, &message);
	cr_assert_eq(frame_send(worker->control, FRAME_LOGIN_VOIDED, payload.data, payload.len), STATUS_OK);
}

void worker_fixture_end_instance(struct worker_fixture *worker, const unsigned char *instance, bool held)
{
	struct buffer payload BUFFER_AUTO;
	struct end_instance message = {.held = held};

	memcpy(message.instance, instance, sizeof message.instance);
	buffer_init(&payload, FRAME_CHUNK);
	end_instance_pack(&payload, &message);
	cr_assert_eq(frame_send(worker->control, FRAME_END_INSTANCE, payload.data, payload.len), STATUS_OK);
}

void worker_fixture_end_hold(struct worker_fixture *worker)
{
	cr_assert_eq(frame_send(worker->control, FRAME_HOLD_ENDED, NULL, 0), STATUS_OK);
}

/* As the gateway: a worker of nobody's application tries the PIN. */
static void verify(struct worker_fixture *worker, int fd, struct buffer *payload)
{
	struct worker_fixture other;

	worker->verified++;
	worker_fixture_start(worker->token, &worker->options, &other);
	cr_assert_eq(frame_send(other.pairs[0], FRAME_PIN_VERIFY, payload->data, payload->len), STATUS_OK);
	await(&other, other.pairs[0], FRAME_PIN_VERIFIED, payload);
	cr_assert_eq(frame_send(fd, FRAME_PIN_VERIFIED, payload->data, payload->len), STATUS_OK);
	worker_fixture_stop(&other);
}

struct worker_state worker_fixture_state(struct worker_fixture *worker)
{
	struct buffer payload BUFFER_AUTO;
	struct arena arena ARENA_AUTO;
	struct worker_state state;

	buffer_init(&payload, FRAME_CHUNK);
	arena_init(&arena, FRAME_CHUNK);
	await(worker, worker->control, FRAME_STATE, &payload);
	cr_assert_eq(worker_state_unpack(payload.data, payload.len, &arena, &state), STATUS_OK);
	return state;
}

/* Whether a thread is in futex(2), from /proc. */
static bool any_in_futex(pid_t pid)
{
	char path[64], text[32];
	struct dirent *entry;
	bool found = false;

	snprintf(path, sizeof path, "/proc/%d/task", pid);
	DIR *tasks = opendir(path);
	cr_assert(tasks);
	while (!found && (entry = readdir(tasks))) {
		snprintf(path, sizeof path, "/proc/%d/task/%.16s/syscall", pid, entry->d_name);
		FILE *file = fopen(path, "r");
		found = file && fgets(text, sizeof text, file) && strtol(text, NULL, 10) == SYS_futex;
		if (file)
			fclose(file);
	}
	closedir(tasks);
	return found;
}

void worker_fixture_await_blocked(const struct worker_fixture *worker)
{
	const struct timespec pause = {0, 1000000};

	for (int ms = 0; !any_in_futex(worker->pid); ms++) {
		cr_assert_lt(ms, ANSWER_MS, "no thread waits for a lock");
		nanosleep(&pause, NULL);
	}
}

int worker_fixture_stop(struct worker_fixture *worker)
{
	int status = -1;

	cr_assert_eq(frame_send(worker->control, FRAME_SHUTDOWN, NULL, 0), STATUS_OK);
	cr_assert_eq(waitpid(worker->pid, &status, 0), worker->pid);
	return status;
}

static struct answer answer_of(const struct buffer *payload)
{
	struct arena arena ARENA_AUTO;
	struct worker_response response;
	struct answer answer = {0};

	arena_init(&arena, FRAME_PAYLOAD_MAX);
	cr_assert_eq(worker_response_unpack(payload->data, payload->len, &arena, &response), STATUS_OK);
	answer.status = response.status;
	answer.sessions = response.sessions;
	answer.login = response.login;
	answer.native = response.native;
	snprintf(answer.content_type, sizeof answer.content_type, "%s", response.content_type);
	buffer_init(&answer.raw, FRAME_PAYLOAD_MAX);
	buffer_append(&answer.raw, response.body.data, response.body.len);
	answer.body = json_loadb((const char *)response.body.data, response.body.len, 0, NULL);
	answer.events = json_array();
	for (size_t i = 0; i < response.audit.count; i++) {
		const struct bytes *event = &response.audit.items[i];
		json_t *parsed = json_loadb((const char *)event->data, event->len, 0, NULL);
		cr_assert(parsed, "an audit event is not JSON: %.*s", (int)event->len, event->data);
		json_array_append_new(answer.events, parsed);
	}
	return answer;
}

void worker_fixture_exchange(
	struct worker_fixture *worker, unsigned pair, const struct worker_request *request, struct buffer *ret_payload)
{
	buffer_init(ret_payload, FRAME_PAYLOAD_MAX);
	worker_request_pack(ret_payload, request);
	cr_assert_eq(frame_send(worker->pairs[pair], FRAME_REQUEST, ret_payload->data, ret_payload->len), STATUS_OK);
	await(worker, worker->pairs[pair], FRAME_RESPONSE, ret_payload);
}

void client_send(const struct client *client, uint32_t route, const char *query, const char *body)
{
	struct buffer payload BUFFER_AUTO;
	struct worker_request request = {
		.route = route,
		.permissions = client->permissions ? client->permissions : (1u << PERMISSION_COUNT) - 1,
		.identity = "tester",
		.held = client->held,
		.deadline_ms = ANSWER_MS,
		.trace = "00112233445566778899aabbccddeeff",
		.key = client->key ? client->key : "",
		.operation = "",
		.query = query,
		.accept = "",
		.content_type = "application/json",
		.body = {(const unsigned char *)body, strlen(body)},
	};

	memcpy(request.instance, client->instance, sizeof request.instance);
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	worker_request_pack(&payload, &request);
	cr_assert_eq(
		frame_send(client->worker->pairs[client->pair], FRAME_REQUEST, payload.data, payload.len), STATUS_OK);
}

struct answer client_await(const struct client *client)
{
	struct buffer payload BUFFER_AUTO;

	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	await(client->worker, client->worker->pairs[client->pair], FRAME_RESPONSE, &payload);
	return answer_of(&payload);
}

struct answer client_request(const struct client *client, uint32_t route, const char *query, const char *body)
{
	client_send(client, route, query, body);
	return client_await(client);
}

struct answer client_post(const struct client *client, const char *body)
{
	return client_request(client, ROUTE_calls, "", body);
}

void answer_free(struct answer *answer)
{
	json_decref(answer->body);
	json_decref(answer->events);
	buffer_done(&answer->raw);
}

static json_t *call_with(const struct client *client, const char *format, va_list arguments)
{
	char *calls = NULL, *body = NULL;

	cr_assert(vasprintf(&calls, format, arguments) >= 0);
	const char *login = client->login ? client->login : "{}";
	cr_assert(asprintf(&body,
			  "{\"login\":%s,\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[%s]}]}",
			  login, calls) >= 0);
	struct answer answer = client_post(client, body);
	cr_assert_eq(answer.status, 200, "%s\n%.*s", body, (int)answer.raw.len, answer.raw.data);
	json_t *results = json_object_get(json_array_get(json_object_get(answer.body, "groups"), 0), "results");
	cr_assert(json_array_size(results) > 0);
	json_t *last = json_incref(json_array_get(results, json_array_size(results) - 1));
	answer_free(&answer);
	free(calls);
	free(body);
	return last;
}

json_t *client_call(const struct client *client, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	json_t *last = call_with(client, format, arguments);
	va_end(arguments);
	return last;
}

void expect(const struct client *client, const char *rv, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	json_t *last = call_with(client, format, arguments);
	va_end(arguments);
	const char *got = json_string_value(json_object_get(last, "rv"));
	cr_assert_str_eq(got, rv, "%s to %s", got, format);
	json_decref(last);
}

json_int_t number(const struct client *client, const char *member, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	json_t *last = call_with(client, format, arguments);
	va_end(arguments);
	cr_assert_str_eq(json_string_value(json_object_get(last, "rv")), "CKR_OK", "%s", format);
	json_t *value = json_object_get(last, member);
	cr_assert(json_is_integer(value), "no %s in the answer to %s", member, format);
	json_int_t result = json_integer_value(value);
	json_decref(last);
	return result;
}

json_int_t open_session(const struct client *client)
{
	return number(client, "session", "{\"OpenSession\":{\"flags\":6}}");
}

json_int_t open_logged_in(const struct client *client)
{
	json_int_t session = open_session(client);

	expect(client, "CKR_OK", "{\"Login\":{\"session\":%lld,\"user_type\":\"CKU_USER\",\"pin\":\"MTIzNA\"}}",
		session);
	return session;
}

json_int_t make_key(const struct client *client, json_int_t session, const char *label, const char *more)
{
	return number(client, "private_key",
		"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"},"
		"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":"
		"false},"
		"{\"CKA_LABEL\":\"%s\"},{\"CKA_VERIFY\":true}],"
		"\"private_attributes\":[{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":true},{\"CKA_LABEL\":\"%s\"},{\"CKA_"
		"SIGN\":true}%s]}}",
		session, label, label, more);
}
