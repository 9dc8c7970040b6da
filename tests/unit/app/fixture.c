#include "tests/unit/app/fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/route.h"
#include "server/common/log.h"
#include "tests/support/lib/scratch.h"

static void find_worker_program(char *out, size_t size)
{
	char path[2048];
	ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
	cr_assert_gt(len, 0);
	path[len] = '\0';
	snprintf(out, size, "%s/test_worker", dirname(path));
	cr_assert_eq(access(out, X_OK), 0, "%s is missing: make tests", out);
}

void set_label(struct fixture *fixture, const char *label)
{
	char temporary[160];
	snprintf(temporary, sizeof temporary, "%s.new", fixture->module_path);
	FILE *file = fopen(temporary, "w");
	cr_assert_not_null(file);
	fputs(label, file);
	fclose(file);
	cr_assert_eq(rename(temporary, fixture->module_path), 0);
}

void fixture_init(struct fixture *fixture)
{
	memset(fixture, 0, sizeof *fixture);
	log_setup(LOG_LEVEL_ERROR, 0);
	scratch_directory(fixture->directory, sizeof(fixture->directory));
	snprintf(fixture->module_path, sizeof fixture->module_path, "%s/module", fixture->directory);
	set_label(fixture, "first token");
	find_worker_program(fixture->worker_program, sizeof fixture->worker_program);
	fixture->environment[0] = (struct config_environment){"TOKEN_DIRECTORY", "/nowhere"};
	fixture->modules[0] = (struct config_module){.name = "first",
		.path = fixture->module_path,
		.init_args = "",
		.sandbox = "none",
		.environment = fixture->environment,
		.environment_count = 1};
	fixture->modules[1] = (struct config_module){
		.name = "second", .path = fixture->module_path, .init_args = "mute", .sandbox = "none"};
	fixture->slots[0] = (struct config_slot){
		.name = "demo", .module = "first", .token_label = "x", .class_name = "hsm"};
	fixture->slots[1] = (struct config_slot){
		.name = "spare", .module = "first", .token_label = "y", .class_name = "card"};
	fixture->slots[2] = (struct config_slot){
		.name = "other", .module = "second", .token_label = "z", .class_name = "hsm"};
	static const char *const names[] = {"alice", "bob", "mallory"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		fixture->identities[i].name = names[i];
	struct config *config = &fixture->config;
	static const char *slots[] = {"*"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		fixture->rules[i] = (struct config_rule){.identities = &fixture->identities[i].name,
			.identities_count = 1,
			.slots = slots,
			.slots_count = 1,
			.permissions = ANY_PERMISSION};
	}
	config->rules = fixture->rules;
	config->rules_count = sizeof names / sizeof *names;
	config->identities = fixture->identities;
	config->identities_count = sizeof names / sizeof *names;
	config->login_defaults = (struct config_login_rule){
		.pin_cache_ttl_s = 28800, .pin_cache_idle_s = 900, .max_pin_failures = 3};
	config->runtime_directory = fixture->directory;
	config->worker_program = fixture->worker_program;
	config->modules = fixture->modules;
	config->modules_count = 2;
	config->slots = fixture->slots;
	config->slots_count = 3;
	config->limits.worker_threads = 4;
	config->limits.worker_idle_s = 60;
	config->limits.workers_max = 300;
	config->limits.workers_per_identity = 300;
	config->limits.queue_max = 64;
	config->limits.sign_s = 5;
	config->limits.keygen_s = 60;
	config->limits.token_wait_s = 10;
	config->limits.lease_ttl_s = 60;
	config->limits.sessions_max = 16;
	config->limits.operations_max = 4;
	config->limits.operation_ttl_s = 60;
	config->limits.rest_idle_ttl_s = 60;
	config->limits.rest_max_ttl_s = 60;
	config->limits.inventory_s = 60;
	config->limits.slot_lock_wait_s = 10;
	config->limits.internal_logout_wait_s = 10;
	config->limits.hold_s = 60;
	config->limits.holds_per_identity = 2;
	config->limits.guard_reset_s = 60;
	config->limits.token_pin_failures = 5;
}

void fixture_start(struct fixture *fixture)
{
	cr_assert_eq(registry_new(&fixture->config, &fixture->registry), STATUS_OK);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
	(void)info;
	(void)type;
	(void)where;
	return remove(path);
}

void fixture_done(struct fixture *fixture)
{
	registry_free(fixture->registry);
	nftw(fixture->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

struct asked ask(struct fixture *fixture, char id, const char *query)
{
	struct asked asked = {.fixture = fixture, .domain = "alice", .slot = "demo", .query = query, .id = id};
	ask_it(&asked);
	return asked;
}

static void record(void *context, enum status status, const struct worker_response *response)
{
	struct asked *asked = context;
	asked->records++;
	if (asked->record != NULL && status == STATUS_OK)
		asked->record(asked, response);
}

static void append_certificate(void *context, struct buffer *out)
{
	const struct asked *asked = context;
	buffer_text(out, asked->certificate == NULL ? "" : asked->certificate);
}

static bool is_entitled(void *context)
{
	const struct asked *asked = context;
	return !asked->too_late;
}

void ask_it(struct asked *asked)
{
	ARENA_AUTO struct arena arena;
	BUFFER_AUTO struct buffer payload;
	struct worker_response response;
	struct application_key key = {.domain = asked->domain, .slot = asked->slot};
	struct worker_request request = {.route = ROUTE_calls,
		.permissions = asked->permissions,
		.identity = asked->identity == NULL ? asked->domain : asked->identity,
		.deadline_ms = asked->deadline_ms == 0 ? 10000 : asked->deadline_ms,
		.query = asked->query};
	arena_init(&arena, 16 << 20);
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	memset(key.id, asked->id, sizeof key.id);
	memset(request.instance, asked->instance, sizeof request.instance);
	int64_t begun = clock_ms();
	asked->status = registry_request(asked->fixture->registry, &key, &request,
		&(struct registry_client){record, append_certificate, is_entitled, NULL, asked}, &arena, &payload,
		&response, &asked->rv);
	asked->took_ms = clock_ms() - begun;
	if (asked->status != STATUS_OK)
		return;
	asked->http = response.status;
	asked->body_len = response.body.len;
	size_t len = response.body.len < sizeof asked->body - 1 ? response.body.len : sizeof asked->body - 1;
	memcpy(asked->body, response.body.data, len);
	asked->body[len] = '\0';
}

static void *ask_in_thread(void *context)
{
	ask_it(context);
	return NULL;
}

void ask_begin(struct asked *asked)
{
	cr_assert_eq(pthread_create(&asked->thread, NULL, ask_in_thread, asked), 0);
}

void ask_join(struct asked *asked)
{
	pthread_join(asked->thread, NULL);
}

const char *text_of(const struct asked *asked, const char *key, char out[256])
{
	size_t len = strlen(key);
	out[0] = '\0';
	for (const char *line = asked->body; line != NULL && *line != '\0';
		line = strchr(line, '\n'), line += line != NULL) {
		if (strncmp(line, key, len) != 0 || line[len] != '=')
			continue;
		snprintf(out, 256, "%.*s", (int)strcspn(line + len + 1, "\n"), line + len + 1);
		break;
	}
	return out;
}

unsigned long long number_of(const struct asked *asked, const char *key)
{
	char text[256];
	cr_assert_eq(asked->status, STATUS_OK, "no answer: status %d", asked->status);
	text_of(asked, key, text);
	cr_assert_neq(text[0], '\0', "the answer has no %s: %s", key, asked->body);
	return strtoull(text, NULL, 10);
}

void until_running(struct fixture *fixture, char id, unsigned count)
{
	struct asked probe;
	do {
		probe = ask(fixture, id, "");
	} while (number_of(&probe, "running") != count + 1);
}

bool becomes(bool (*condition)(void *context), void *context)
{
	int64_t deadline = clock_ms() + 10000;
	while (!condition(context)) {
		if (clock_ms() > deadline)
			return false;
		struct timespec pause = {.tv_nsec = 2000000};
		nanosleep(&pause, NULL);
	}
	return true;
}

static bool is_gone(void *context)
{
	return kill(*(pid_t *)context, 0) < 0 && errno == ESRCH;
}

bool ends(unsigned long long pid)
{
	pid_t number = (pid_t)pid;
	return becomes(is_gone, &number);
}

struct shown {
	struct fixture *fixture;
	const char *text;
};

static bool every_slot(void *context, const char *slot)
{
	(void)context, (void)slot;
	return true;
}

static bool is_shown(void *context)
{
	struct shown *shown = context;
	BUFFER_AUTO struct buffer out;
	buffer_init(&out, 1 << 20);
	registry_metrics(shown->fixture->registry, every_slot, NULL, &out);
	return memmem(out.data, out.len, shown->text, strlen(shown->text)) != NULL;
}

static bool inventory_is_ready(void *context)
{
	char detail[256];
	return registry_ready(context, detail, sizeof detail);
}

bool inventory_settles(struct fixture *fixture)
{
	return becomes(inventory_is_ready, fixture->registry);
}

bool metrics_show(struct fixture *fixture, const char *text)
{
	struct shown shown = {fixture, text};
	return becomes(is_shown, &shown);
}
