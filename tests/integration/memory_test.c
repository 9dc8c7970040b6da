/*
 * A PIN is in no memory once the call that carried it is over (X6, B12). The memory of the processes is read as root would, all of
 * it, for the PIN as it is and as it travels.
 */
#include "tests/integration/fixture.h"
#include "tests/support/lib/tls_client.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "api/base64url.h"
#include "server/common/wipe_free.h"

/* A sanitizer keeps freed memory as it is, so there the search would find what the product wipes. */
#if WIPE_FREE_ACTIVE

TestSuite(memory, .timeout = 120);

enum { BLOCK = 1 << 20, NEEDLE_MAX = 64, WORKERS_MAX = 8 };

/* --- looking for a PIN --- */

/* A PIN as it is and as it travels, in halves: a part of it that is left behind is found as well. */
struct needle {
	char texts[4][NEEDLE_MAX];
};

static struct needle needle_of(const char *pin)
{
	struct needle needle;
	char wire[NEEDLE_MAX];
	int half = (int)strlen(pin) / 2, wire_half = (int)base64url_encoded_len(strlen(pin)) / 2;

	cr_assert(strlen(pin) >= 16 && strlen(pin) < 32);
	base64url_encode(wire, pin, strlen(pin));
	(void)snprintf(needle.texts[0], NEEDLE_MAX, "%.*s", half, pin);
	(void)snprintf(needle.texts[1], NEEDLE_MAX, "%s", pin + half);
	(void)snprintf(needle.texts[2], NEEDLE_MAX, "%.*s", wire_half, wire);
	(void)snprintf(needle.texts[3], NEEDLE_MAX, "%.*s", wire_half, wire + wire_half);
	return needle;
}

static unsigned hits_in(const unsigned char *data, size_t len, const char *text, const char *where, size_t offset)
{
	const unsigned char *at = data;
	unsigned hits = 0;

	while ((at = memmem(at, len - (size_t)(at - data), text, strlen(text))) != NULL) {
		size_t from = at - data > 24 ? (size_t)(at - data) - 24 : 0;
		fprintf(stderr, "found at %zx in %s: ", offset + (size_t)(at - data), where);
		for (size_t i = from; i < (size_t)(at - data) + 40 && i < len; i++)
			fputc(data[i] >= ' ' && data[i] < 127 ? data[i] : '.', stderr);
		fputc('\n', stderr);
		hits++;
		at++;
	}
	return hits;
}

/* A mapping, in blocks that overlap by a needle's length. */
static unsigned hits_in_mapping(
	int memory, size_t start, size_t end, const struct needle *needle, const char *where, unsigned char *block)
{
	unsigned hits = 0;

	for (size_t at = start; at < end; at += BLOCK - NEEDLE_MAX) {
		size_t want = end - at < BLOCK ? end - at : BLOCK;
		ssize_t got = pread(memory, block, want, (off_t)at);
		if (got <= 0)
			continue;
		for (size_t i = 0; i < sizeof(needle->texts) / sizeof(*needle->texts); i++)
			hits += hits_in(block, (size_t)got, needle->texts[i], where, at);
	}
	return hits;
}

/* Where the PIN is in a process; a stopped one can be looked into as well. */
static unsigned hits_in_process(pid_t pid, const char *pin)
{
	const struct needle needle = needle_of(pin);
	unsigned char *block = malloc(BLOCK);
	char path[64], line[512];
	unsigned hits = 0, mappings = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	int memory = open(path, O_RDONLY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	FILE *maps = fopen(path, "re");
	if (memory < 0 && errno == ENOENT) {
		free(block);
		return 0; /* it has ended */
	}
	cr_assert(memory >= 0 && maps != NULL, "the test needs root");
	while (fgets(line, sizeof(line), maps) != NULL) {
		size_t start, end;
		char mode[5];
		if (sscanf(line, "%zx-%zx %4s", &start, &end, mode) != 3 || mode[0] != 'r' ||
			strstr(line, "[v") != NULL)
			continue;
		line[strcspn(line, "\n")] = '\0';
		hits += hits_in_mapping(memory, start, end, &needle, line, block);
		mappings++;
	}
	(void)fclose(maps);
	close(memory);
	free(block);
	cr_assert(mappings > 10 || kill(pid, 0) != 0, "process %d has only %u mappings", (int)pid, mappings);
	return hits;
}

struct watched {
	pid_t pid;
	const char *pin;
};

static bool is_there(const struct gateway *g, void *argument)
{
	const struct watched *watched = argument;

	(void)g;
	return hits_in_process(watched->pid, watched->pin) > 0;
}

static bool is_gone(const struct gateway *g, void *argument)
{
	return !is_there(g, argument);
}

/* The process may still be wiping when its answer is here already. */
static void expect_gone(const struct gateway *g, pid_t pid, const char *pin, const char *where)
{
	struct watched watched = {pid, pin};

	cr_expect(await_condition(is_gone, g, &watched, 2), "%s", where);
}

/* --- a gateway whose PINs are easy to find --- */

static void canary_make(char *ret_pin, size_t size, const char *start)
{
	unsigned long long number = 0;

	cr_assert_eq(getentropy(&number, sizeof(number)), 0);
	(void)snprintf(ret_pin, size, "%s%016llx", start, number);
}

static void canary_start(struct gateway *g)
{
	char pin[32];

	canary_make(pin, sizeof(pin), "canary");
	setenv("PIN", pin, 1);
	gateway_start(g);
	unsetenv("PIN");
	cr_assert_str_eq(g->pin, pin);
}

/* Everything that the gateway and its workers have written, but for the token's own files. */
static void expect_in_no_file(const struct gateway *g, const char *pin)
{
	const struct needle needle = needle_of(pin);
	char command[1800];

	(void)snprintf(command, sizeof(command),
		"! grep -rlaF -e '%s' -e '%s' -e '%s' -e '%s' '%s/gateway.log' '%s/state' '%s/run' && test -s "
		"'%s/state/audit.log'",
		needle.texts[0], needle.texts[1], needle.texts[2], needle.texts[3], g->directory, g->directory,
		g->directory, g->directory);
	cr_expect_eq(system(command), 0, "the PIN is in a file"); /* NOLINT(cert-env33-c) */
}

static uint16_t port_of(const struct gateway *g)
{
	return (uint16_t)strtoul(strrchr(g->url, ':') + 1, NULL, 10);
}

static struct tls_client connect_as_alice(const struct gateway *g)
{
	struct tls_client client;
	const struct tls_client_files files = {.ca = g->ca, .certificate = g->certificate, .key = g->key};

	cr_assert(tls_client_open(&client, port_of(g), &files));
	return client;
}

/* The gateway and every worker, with all connections still open. */
static void expect_nowhere(const struct gateway *g, const char *pin, const char *when)
{
	pid_t workers[WORKERS_MAX];
	size_t count = worker_processes(g, workers, WORKERS_MAX);

	expect_gone(g, g->pid, pin, when);
	for (size_t i = 0; i < count; i++)
		expect_gone(g, workers[i], pin, when);
	expect_in_no_file(g, pin);
}

/* As /proc/PID/smaps writes them: locked, and in no dump. */
static const char *const lock_flags[] = {" lo", " dd"};

/* How many of the mappings that a process can write lack one of the flags; each is shown. */
static unsigned mappings_without(pid_t pid, const char *const flags[2])
{
	char path[64], line[512], mapping[512] = "";
	unsigned writable = 0, without = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	FILE *smaps = fopen(path, "re");
	cr_assert_not_null(smaps);
	while (fgets(line, sizeof(line), smaps) != NULL) {
		size_t start, end;
		char mode[5];
		if (sscanf(line, "%zx-%zx %4s", &start, &end, mode) == 3)
			(void)snprintf(mapping, sizeof(mapping), "%s", strncmp(mode, "rw", 2) == 0 ? line : "");
		if (strncmp(line, "VmFlags:", 8) != 0 || mapping[0] == '\0')
			continue;
		writable++;
		if (strstr(line, flags[0]) == NULL || strstr(line, flags[1]) == NULL) {
			fprintf(stderr, "%s%s", mapping, line);
			without++;
		}
	}
	(void)fclose(smaps);
	cr_assert_gt(writable, 5);
	return without;
}

/* --- while a login waits --- */

/* The token's locks, held by the test: logins wait. */
struct held_locks {
	int fds[16];
	size_t count;
};

static struct held_locks locks_hold(const struct gateway *g)
{
	struct held_locks held = {.count = 0};
	char pattern[300];
	glob_t found;

	(void)snprintf(pattern, sizeof(pattern), "%s/run/token-*.lock", g->directory);
	cr_assert_eq(glob(pattern, 0, NULL, &found), 0, "no %s", pattern);
	for (size_t i = 0; i < found.gl_pathc && i < 16; i++) {
		held.fds[held.count] = open(found.gl_pathv[i], O_RDWR | O_CLOEXEC);
		cr_assert_eq(flock(held.fds[held.count++], LOCK_EX), 0);
	}
	globfree(&found);
	return held;
}

static void locks_release(struct held_locks *held)
{
	for (size_t i = 0; i < held->count; i++)
		close(held->fds[i]);
}

/* A child with the module: lines in, return values out. */
struct login_client {
	pid_t pid, worker; /* its own process, and its application's worker */
	int in;
	FILE *out;
};

static CK_RV login_client_answer(const struct login_client *client)
{
	char line[64] = "";

	cr_assert_not_null(fgets(line, sizeof(line), client->out), "the client has ended");
	return strtoul(line, NULL, 16);
}

/* The one worker that is not among those. */
static pid_t worker_besides(const struct gateway *g, const pid_t *others, size_t others_count)
{
	pid_t workers[WORKERS_MAX], found = 0;
	size_t count = worker_processes(g, workers, WORKERS_MAX);

	for (size_t i = 0; i < count; i++) {
		bool known = false;
		for (size_t k = 0; k < others_count; k++)
			known = known || others[k] == workers[i];
		found = known ? found : workers[i];
	}
	cr_assert_gt(found, 0);
	return found;
}

/* With an open session. */
static struct login_client login_client_start(const struct gateway *g)
{
	struct login_client client;
	int in[2], out[2];
	pid_t before[WORKERS_MAX];
	size_t count = worker_processes(g, before, WORKERS_MAX);

	cr_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	client.pid = fork();
	if (client.pid == 0) {
		char program[300];
		(void)snprintf(program, sizeof(program), "%s", g->module);
		(void)snprintf(strrchr(program, '/'), 32, "/tests/login_client");
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		setenv("P11GATE_CONF", g->configuration, 1);
		execl(program, program, g->module, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	client.in = in[1];
	client.out = fdopen(out[0], "re");
	cr_assert_eq(login_client_answer(&client), CKR_OK);
	client.worker = worker_besides(g, before, count);
	return client;
}

static void login_client_send(const struct login_client *client, const char *pin)
{
	cr_assert_eq(dprintf(client->in, "%s\n", pin), (int)strlen(pin) + 1);
}

Test(memory, X6_B12_a_pin_is_found_while_it_is_in_use_and_nowhere_after_the_call)
{
	struct gateway g;

	canary_start(&g);
	struct login_client client = login_client_start(&g);
	pid_t worker = client.worker;

	struct held_locks held = locks_hold(&g);
	login_client_send(&client, g.pin);
	struct watched in_worker = {worker, g.pin};
	cr_assert(await_condition(is_there, &g, &in_worker, 5), "the worker has no PIN while it logs in");
	cr_assert_gt(hits_in_process(g.pid, g.pin), 0, "the gateway has no PIN while it waits");
	cr_assert_gt(hits_in_process(client.pid, g.pin), 0, "the client has no PIN while it waits");
	locks_release(&held);
	cr_assert_eq(login_client_answer(&client), CKR_OK);
	expect_gone(&g, client.pid, g.pin, "client, after C_Login");
	expect_gone(&g, g.pid, g.pin, "gateway, after the answer");
	login_client_send(&client, "");
	cr_assert_eq(login_client_answer(&client), CKR_OK);
	expect_gone(&g, client.pid, g.pin, "client, after C_Logout");
	expect_gone(&g, g.pid, g.pin, "gateway, after the logout");
	expect_gone(&g, worker, g.pin, "worker, after the logout");
	expect_in_no_file(&g, g.pin);
	close(client.in);
	(void)fclose(client.out);
	gateway_stop(&g);
}

static bool is_there_once(const struct gateway *g, void *argument)
{
	const struct watched *watched = argument;

	(void)g;
	/* Two halves. */
	return hits_in_process(watched->pid, watched->pin) == 2;
}

Test(memory, B12_a_cached_pin_is_in_one_place_of_the_worker_and_gone_after_the_logout)
{
	struct gateway g;

	setenv("MORE", "login: [{identities: [alice], slots: ['*'], enable_cache_pin: 1}]", 1);
	canary_start(&g);
	unsetenv("MORE");
	struct login_client client = login_client_start(&g);
	struct watched cached = {client.worker, g.pin};
	login_client_send(&client, g.pin);
	cr_assert_eq(login_client_answer(&client), CKR_OK);
	cr_expect(await_condition(is_there_once, &g, &cached, 2), "after the login");
	login_client_send(&client, "?");
	cr_assert_eq(login_client_answer(&client), CKR_OK);
	cr_expect(await_condition(is_there_once, &g, &cached, 2), "after a private use");
	expect_gone(&g, g.pid, g.pin, "gateway");
	expect_gone(&g, client.pid, g.pin, "client");
	cr_expect_eq(mappings_without(cached.pid, lock_flags), 0);
	login_client_send(&client, "");
	cr_assert_eq(login_client_answer(&client), CKR_OK);
	expect_nowhere(&g, g.pin, "after the logout");
	close(client.in);
	(void)fclose(client.out);
	gateway_stop(&g);
}

Test(memory, X6_the_pins_of_a_change_are_in_no_memory_afterwards)
{
	struct gateway g;
	char another[32], both[100];

	canary_start(&g);
	canary_make(another, sizeof(another), "another");
	(void)snprintf(both, sizeof(both), "%s %s", g.pin, another);
	struct login_client client = login_client_start(&g);
	login_client_send(&client, both);
	cr_assert_eq(login_client_answer(&client), CKR_OK);
	expect_nowhere(&g, g.pin, "after the change, the old one");
	expect_nowhere(&g, another, "after the change, the new one");
	expect_gone(&g, client.pid, g.pin, "client, the old one");
	expect_gone(&g, client.pid, another, "client, the new one");
	login_client_send(&client, another);
	cr_assert_eq(login_client_answer(&client), CKR_OK);
	close(client.in);
	(void)fclose(client.out);
	gateway_stop(&g);
}

/* --- bodies of all kinds --- */

#define LOGIN_PATH "/v1/slots/demo/applications/current/login"

struct body_case {
	size_t padding;
	bool before; /* the PIN comes first, the padding behind it */
	unsigned cuts; /* into how many further records the request is cut */
};

/* A request with a body of JSON that is mostly blanks. The caller frees it. */
static char *padded_request(const struct gateway *g, const char *path, const char *inside, const struct body_case *c)
{
	char *text = NULL;
	size_t body = strlen(inside) + c->padding + 2;

	cr_assert_gt(
		asprintf(&text,
			"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
			"X-Client-Instance: 0123456789abcdef0123456789abcdef\r\nContent-Length: %zu\r\n\r\n{%*s%s%*s}",
			path, g->url + strlen("https://"), body, c->before ? 0 : (int)c->padding, "", inside,
			c->before ? (int)c->padding : 0, ""),
		0);
	return text;
}

/* Sends it in pieces; one of the cuts is in the middle of the PIN. */
static void send_cut(struct tls_client *client, const char *text, const char *pin, unsigned cuts)
{
	size_t len = strlen(text), at = 0;
	size_t middle = (size_t)(strstr(text, pin) - text) + strlen(pin) / 2;

	for (unsigned i = 1; i <= cuts; i++) {
		size_t next = i == (cuts + 1) / 2 ? middle : len * i / (cuts + 1);
		if (next <= at || next >= len)
			continue;
		cr_assert(tls_client_send(client, text + at, next - at));
		at = next;
	}
	for (size_t part; at < len; at += part) {
		part = len - at < 16384 ? len - at : 16384;
		cr_assert(tls_client_send(client, text + at, part));
	}
}

static long exchange(struct tls_client *client, const char *text, const char *pin, unsigned cuts)
{
	static char answer[1 << 16];

	send_cut(client, text, pin, cuts);
	cr_assert_gt(tls_client_answer(client, answer, sizeof(answer), 20000), 0);
	return strtol(answer + strlen("HTTP/1.1 "), NULL, 10);
}

static void logout(const struct gateway *g)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "/v1/slots/%s/applications/current/logout", g->slot);
	ANSWER_AUTO answer = request(g, ALICE, "POST", path, NULL, NULL);
	cr_assert_eq(answer.status, 204);
}

static const struct body_case body_cases[] = {
	{0, false, 0},
	{570, false, 0},
	{6000, false, 0},
	{18000, false, 0},
	{570, true, 0},
	{6000, true, 0},
	{18000, true, 0},
	{0, false, 1},
	{570, true, 3},
	{6000, false, 3},
	{18000, true, 7},
	{900000, true, 1},
};
enum { BODY_CASES = sizeof(body_cases) / sizeof(*body_cases) };

Test(memory, X6_pins_in_bodies_of_all_sizes_and_split_records_are_gone_after_the_answer)
{
	struct gateway g;
	struct tls_client clients[BODY_CASES];
	char path[200], inside[100];

	canary_start(&g);
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/applications/current/login", g.slot);
	(void)snprintf(inside, sizeof(inside), "\"pin\":\"%s\"", g.pin);
	for (size_t i = 0; i < BODY_CASES; i++) {
		char *text = padded_request(&g, path, inside, &body_cases[i]);
		clients[i] = connect_as_alice(&g);
		cr_expect_eq(exchange(&clients[i], text, g.pin, body_cases[i].cuts), 200, "case %zu", i);
		free(text);
		logout(&g);
	}
	expect_nowhere(&g, g.pin, "after logins");
	for (size_t i = 0; i < BODY_CASES; i++)
		tls_client_close(&clients[i]);
	gateway_stop(&g);
}

#define CALLS_BEFORE \
	"\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[{\"Login\":{\"session\":77," \
	"\"user_type\":\"CKU_USER\",\"pin\":\""

Test(memory, X6_pins_of_refused_requests_are_gone_after_the_answer)
{
	static const struct {
		const char *path, *before, *behind; /* of the PIN */
		long status;
	} refused[] = {
		{LOGIN_PATH, "\"pin\":\"", "\"", 401},
		{LOGIN_PATH, "\"pin\":\"", "\",", 400},
		{LOGIN_PATH, "\"pins\":\"", "\"", 400},
		{LOGIN_PATH, "\"user\":\"nobody\",\"pin\":\"", "\"", 400},
		{LOGIN_PATH, "\"pin\":[\"", "\"]", 400},
		{"/v1/slots/demo/calls", CALLS_BEFORE, "\"}}]}]", 200},
		{"/v1/slots/demo/keys/none/sign", "\"algorithm\":\"ES256\",\"data\":\"AA\",\"pin\":\"", "\"", 401},
		{"/v1/operations/00112233445566778899aabbccddeeff/reauthenticate", "\"pin\":\"", "\"", 404},
		{"/v1/slots/none/applications/current/login", "\"pin\":\"", "\"", 404},
		{"/v1/nowhere", "\"pin\":\"", "\"", 404},
	};
	enum { REFUSED = sizeof(refused) / sizeof(*refused) };
	char wrong[32];
	struct gateway g;
	struct tls_client client;

	canary_start(&g);
	/* Base64url as well. */
	canary_make(wrong, sizeof(wrong), "wrong-canary");
	client = connect_as_alice(&g);
	for (size_t i = 0; i < REFUSED; i++) {
		for (size_t size = 0; size < 4; size++) {
			char inside[400];
			(void)snprintf(inside, sizeof(inside), "%s%s%s", refused[i].before, wrong, refused[i].behind);
			char *text = padded_request(&g, refused[i].path, inside, &body_cases[size]);
			long status = exchange(&client, text, wrong, (unsigned)size % 2);
			/* The third wrong PIN is the last that the guard lets through (B16). */
			cr_expect(status == refused[i].status || (refused[i].status == 401 && status == 423),
				"%s %s: %ld", refused[i].path, inside, status);
			free(text);
		}
	}
	expect_nowhere(&g, wrong, "after refusals");
	tls_client_close(&client);
	gateway_stop(&g);
}

static bool no_connection(const struct gateway *g, void *argument)
{
	ANSWER_AUTO metrics = request(g, ALICE, "GET", "/metrics", NULL, NULL);
	const char *at = metrics.text != NULL ? strstr(metrics.text, "\np11gate_connections ") : NULL;

	(void)argument;
	return at != NULL && strtol(at + strlen("\np11gate_connections "), NULL, 10) <= 1;
}

Test(memory, X6_pins_of_aborted_requests_are_gone)
{
	struct gateway g;
	char inside[100];

	canary_start(&g);
	(void)snprintf(inside, sizeof(inside), "\"pin\":\"%s\"", g.pin);
	for (size_t i = 0; i < BODY_CASES; i++) {
		const struct body_case with_rest = {.padding = body_cases[i].padding, .before = true};
		char *text = padded_request(&g, LOGIN_PATH, inside, &with_rest);
		struct tls_client client = connect_as_alice(&g);
		/* All but the last byte: it never becomes a request. */
		text[strlen(text) - 1] = '\0';
		send_cut(&client, text, g.pin, body_cases[i].cuts);
		if (i % 2 == 0)
			tls_client_close(&client);
		else
			close(client.fd);
		free(text);
	}
	cr_expect(await_condition(no_connection, &g, NULL, 10), "connections remain");
	expect_nowhere(&g, g.pin, "after aborted requests");
	gateway_stop(&g);
}

/* --- dumps and swap --- */

Test(memory, X6_every_page_that_gateway_and_workers_write_is_locked_and_in_no_dump)
{
	enum { CONNECTIONS = 24 };
	struct gateway g;
	struct tls_client clients[CONNECTIONS];
	pid_t workers[WORKERS_MAX];
	char inside[100];

	canary_start(&g);
	(void)snprintf(inside, sizeof(inside), "\"pin\":\"%s\"", g.pin);
	for (size_t i = 0; i < CONNECTIONS; i++) {
		char *text = padded_request(&g, LOGIN_PATH, inside, &body_cases[i % BODY_CASES]);
		clients[i] = connect_as_alice(&g);
		cr_expect_eq(exchange(&clients[i], text, g.pin, 0), i == 0 ? 200 : 409);
		free(text);
	}
	rest_key(&g, "{\"type\":\"RSA\",\"bits\":2048,\"label\":\"r\"}");
	size_t count = worker_processes(&g, workers, WORKERS_MAX);
	cr_assert_eq(count, 2);
	cr_expect_eq(mappings_without(g.pid, lock_flags), 0, "gateway");
	for (size_t i = 0; i < count; i++)
		cr_expect_eq(mappings_without(workers[i], lock_flags), 0, "worker");
	for (size_t i = 0; i < CONNECTIONS; i++)
		tls_client_close(&clients[i]);
	gateway_stop(&g);
}

Test(memory, X6_a_gateway_that_must_lock_its_memory_and_cannot_does_not_start)
{
	struct gateway g;
	char command[1200], line[1024] = "";

	canary_start(&g);
	(void)snprintf(command, sizeof(command),
		"cd '%s' && { echo 'require_mlock: true'; cat p11gated.yaml; } > locked.yaml && "
		"prlimit --memlock=65536:65536 setpriv --bounding-set=-ipc_lock,-sys_resource "
		"\"$(realpath /proc/%d/exe)\" --config locked.yaml --port 0 2>&1; echo \"status $?\"",
		g.directory, (int)g.pid);
	FILE *output = popen(command, "re"); /* NOLINT(cert-env33-c) */
	cr_assert_not_null(output);
	cr_assert_not_null(fgets(line, sizeof(line), output));
	cr_expect_not_null(strstr(line, "memory cannot be locked: the limit is 64 KiB"), "%s", line);
	cr_assert_not_null(fgets(line, sizeof(line), output));
	cr_expect_str_eq(line, "status 1\n", "%s", line);
	cr_expect_null(fgets(line, sizeof(line), output), "%s", line);
	pclose(output);
	gateway_stop(&g);
}

#endif
