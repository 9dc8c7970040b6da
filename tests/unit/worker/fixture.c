#include "tests/unit/worker/fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
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

#include "tests/support/lib/scratch.h"

extern char **environ;

enum { FIRST_PAIR = 4, CONTROL = 3 };

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
		.module_init_args = options->init_args ? options->init_args : "",
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
	worker_fixture_await(ret_worker, ret_worker->pairs[0], FRAME_STARTED, &payload);
	cr_assert_eq(worker_started_unpack(payload.data, payload.len, &arena, &started), STATUS_OK);
	ret_worker->started_rv = started.rv;
	snprintf(ret_worker->started_detail, sizeof ret_worker->started_detail, "%s", started.detail);
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

struct worker_state worker_fixture_state(struct worker_fixture *worker)
{
	struct buffer payload BUFFER_AUTO;
	struct arena arena ARENA_AUTO;
	struct worker_state state;

	buffer_init(&payload, FRAME_CHUNK);
	arena_init(&arena, FRAME_CHUNK);
	worker_fixture_await(worker, worker->control, FRAME_STATE, &payload);
	cr_assert_eq(worker_state_unpack(payload.data, payload.len, &arena, &state), STATUS_OK);
	return state;
}

struct worker_state worker_fixture_policy(struct worker_fixture *worker, const struct login_policy *login)
{
	struct buffer policy BUFFER_AUTO;

	buffer_init(&policy, FRAME_CHUNK);
	pack_policy(&policy, login, NULL);
	cr_assert_eq(frame_send(worker->control, FRAME_POLICY, policy.data, policy.len), STATUS_OK);
	return worker_fixture_state(worker);
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
		cr_assert_lt(ms, FIXTURE_ANSWER_MS, "no thread waits for a lock");
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
