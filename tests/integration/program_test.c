/* The gateway as a program: options, start, reload, stop. */
#include "tests/integration/fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(program, .timeout = 120);

enum { PATH_LEN_MAX = 512, OUTPUT_MAX = 4096 };

/* Runs p11gated with these arguments, its name the first, and gives its exit status and what it wrote to both outputs. */
static int gateway_run(char *output, const char *const arguments[])
{
	char program[PATH_LEN_MAX];
	int ends[2], status = -1;
	size_t used = 0;

	snprintf(program, sizeof program, "%s/p11gated", getenv("BUILD") != NULL ? getenv("BUILD") : "build");
	cr_assert_eq(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		execv(program, (char *const *)arguments);
		_exit(127);
	}
	close(ends[1]);
	for (ssize_t got = 1; got > 0 && used<OUTPUT_MAX - 1; used += got> 0 ? (size_t)got : 0)
		got = read(ends[0], output + used, OUTPUT_MAX - 1 - used);
	output[used] = '\0';
	close(ends[0]);
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool has_ended(const struct gateway *g, void *unused)
{
	(void)unused;
	/* One that nobody has waited for yet has no memory any more. */
	return process_status(g->pid, "VmSize") < 0;
}

static const char *path_in(const struct gateway *g, const char *name)
{
	static char path[PATH_LEN_MAX];

	snprintf(path, sizeof path, "%s/%s", g->directory, name);
	return path;
}

static bool contains(const char *path, const char *text)
{
	char line[OUTPUT_MAX];
	bool found = false;
	FILE *file = fopen(path, "re");

	cr_assert_not_null(file, "%s", path);
	while (!found && fgets(line, sizeof line, file) != NULL)
		found = strstr(line, text) != NULL;
	fclose(file);
	return found;
}

/* Replaces the gateway's configuration file by one that has `replacement` in place of the first `text`. */
static void configuration_edit(const struct gateway *g, const char *text, const char *replacement)
{
	static char all[64 << 10];
	FILE *file = fopen(path_in(g, "p11gated.yaml"), "re");

	cr_assert_not_null(file);
	size_t len = fread(all, 1, sizeof all - 1, file);
	fclose(file);
	all[len] = '\0';
	char *at = strstr(all, text);
	cr_assert_not_null(at, "%s", text);
	file = fopen(path_in(g, "p11gated.yaml"), "we");
	fprintf(file, "%.*s%s%s", (int)(at - all), all, replacement, at + strlen(text));
	fclose(file);
}

/* One line to the administration socket and the line that comes back. */
static const char *administer(const struct gateway *g, const char *line)
{
	static char answer[OUTPUT_MAX];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t used = 0;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%.80s/run/admin.sock", g->directory);
	cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
	cr_assert_eq(send(fd, line, strlen(line), MSG_NOSIGNAL), (ssize_t)strlen(line));
	for (ssize_t got = 1; got > 0 && used<sizeof answer - 1; used += got> 0 ? (size_t)got : 0)
		got = recv(fd, answer + used, sizeof answer - 1 - used, 0);
	answer[used] = '\0';
	close(fd);
	return answer;
}

Test(program, tells_its_version_and_its_options)
{
	char output[OUTPUT_MAX];

	cr_expect_eq(gateway_run(output, (const char *[]){"p11gated", "--version", NULL}), 0);
	cr_expect_eq(strncmp(output, "p11gated ", 9), 0);
	cr_expect_eq(gateway_run(output, (const char *[]){"p11gated", "--help", NULL}), 0);
	cr_expect_not_null(strstr(output, "--check FILE"));
}

Test(program, refuses_options_that_it_does_not_know)
{
	char output[OUTPUT_MAX];

	cr_expect_eq(gateway_run(output, (const char *[]){"p11gated", "--nonsense", NULL}), 2);
	cr_expect_eq(gateway_run(output, (const char *[]){"p11gated", "file", NULL}), 2);
	cr_expect_eq(gateway_run(output, (const char *[]){"p11gated", "--port", "65536", NULL}), 2);
	cr_expect_eq(gateway_run(output, (const char *[]){"p11gated", "--port", "http", NULL}), 2);
}

Test(program, checks_a_configuration_and_names_the_place_of_a_mistake)
{
	struct gateway g;
	char output[OUTPUT_MAX], expected[PATH_LEN_MAX + 16];

	gateway_start(&g);
	cr_expect_eq(
		gateway_run(output, (const char *[]){"p11gated", "--check", path_in(&g, "p11gated.yaml"), NULL}), 0);
	snprintf(expected, sizeof expected, "%s: ok\n", path_in(&g, "p11gated.yaml"));
	cr_expect_str_eq(output, expected);
	configuration_edit(&g, "allow: [read", "allow: [reed");
	cr_expect_eq(
		gateway_run(output, (const char *[]){"p11gated", "--check", path_in(&g, "p11gated.yaml"), NULL}), 1);
	snprintf(expected, sizeof expected, "%s:", path_in(&g, "p11gated.yaml"));
	cr_expect_eq(strncmp(output, expected, strlen(expected)), 0, "%s", output);
	cr_expect_not_null(strstr(output, "policy[0].allow[0]"), "%s", output);
	gateway_stop(&g);
}

Test(program, a_second_gateway_in_the_same_runtime_directory_is_refused)
{
	struct gateway g;
	char output[OUTPUT_MAX];

	gateway_start(&g);
	cr_expect_eq(
		gateway_run(output, (const char *[]){"p11gated", "--config", path_in(&g, "p11gated.yaml"), NULL}), 1);
	cr_expect_not_null(strstr(output, "another gateway uses this runtime_directory"), "%s", output);
	ANSWER_AUTO answer = request(&g, ALICE, "GET", "/healthz", NULL, NULL);
	cr_expect_eq(answer.status, 200);
	gateway_stop(&g);
}

/* The last line with a record, in static memory. */
static const char *last_record(const struct gateway *g)
{
	static char line[OUTPUT_MAX], last[OUTPUT_MAX];
	FILE *file = fopen(g->audit_log, "re");

	cr_assert_not_null(file, "%s", g->audit_log);
	while (fgets(line, sizeof line, file) != NULL)
		memcpy(last, line, sizeof last);
	fclose(file);
	return last;
}

Test(program, a_start_that_fails_because_the_port_is_taken_is_closed_in_the_audit_log)
{
	struct gateway g;
	char output[OUTPUT_MAX], port[8], config[PATH_LEN_MAX];
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof address;

	gateway_start(&g);
	snprintf(config, sizeof config, "%s", path_in(&g, "p11gated.yaml"));
	kill(g.pid, SIGTERM);
	cr_assert(await_condition(has_ended, &g, NULL, 20));
	int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(taken, (const struct sockaddr *)&address, sizeof address), 0);
	cr_assert_eq(listen(taken, 1), 0);
	cr_assert_eq(getsockname(taken, (struct sockaddr *)&address, &len), 0);
	snprintf(port, sizeof port, "%u", ntohs(address.sin_port));
	cr_expect_eq(gateway_run(output, (const char *[]){"p11gated", "--config", config, "--port", port, NULL}), 1);
	cr_expect_not_null(strstr(output, "cannot listen on"), "%s", output);
	cr_expect_not_null(strstr(last_record(&g), "gateway stopped"), "%s", last_record(&g));
	close(taken);
	gateway_stop(&g);
}

Test(program, leaves_its_process_id_for_its_user_alone_and_no_core)
{
	struct gateway g;
	struct stat info;
	char pid[32];

	gateway_shared(&g);
	snprintf(pid, sizeof pid, "%ld\n", (long)g.pid);
	cr_expect(contains(path_in(&g, "run/p11gated.pid"), pid));
	cr_assert_eq(stat(path_in(&g, "run/admin.sock"), &info), 0);
	cr_expect_eq(info.st_mode & 0777, 0600);
	snprintf(pid, sizeof pid, "/proc/%ld/limits", (long)g.pid);
	cr_expect(contains(pid, "Max core file size        0                    0"));
}

static bool bob_is_let_in(const struct gateway *g, void *expected)
{
	ANSWER_AUTO answer = request(g, BOB, "GET", "/v1/slots/demo", NULL, NULL);

	return answer.status == *(const long *)expected;
}

Test(program, a_reload_changes_who_may_do_what_and_a_bad_file_changes_nothing)
{
	struct gateway g;
	long out = 404, in = 200;

	gateway_start(&g);
	cr_expect(bob_is_let_in(&g, &in));
	configuration_edit(&g, "[alice, bob], slots", "[alice], slots");
	cr_expect_eq(strncmp(administer(&g, "reload\n"), "ok ", 3), 0);
	cr_expect(bob_is_let_in(&g, &out));
	configuration_edit(&g, "[alice], slots", "[alice, bob, carol], slots");
	const char *error = administer(&g, "reload\n");
	cr_expect_eq(strncmp(error, "error ", 6), 0);
	cr_expect_not_null(strstr(error, "carol"), "%s", error);
	cr_expect(bob_is_let_in(&g, &out));
	configuration_edit(&g, "[alice, bob, carol], slots", "[alice, bob], slots");
	kill(g.pid, SIGHUP);
	cr_expect(await_condition(bob_is_let_in, &g, &in, 10));
	cr_expect(contains(g.audit_log, "configuration reloaded"));
	gateway_stop(&g);
}

Test(program, the_administration_socket_tells_the_state_and_refuses_what_it_does_not_know)
{
	struct gateway g;
	char pid[32];

	gateway_shared(&g);
	snprintf(pid, sizeof pid, " pid=%ld ", (long)g.pid);
	const char *status = administer(&g, "status\n");
	cr_expect_not_null(strstr(status, pid), "%s", status);
	cr_expect_not_null(strstr(status, " ready=yes"), "%s", status);
	cr_expect_eq(strncmp(administer(&g, "nonsense\n"), "error ", 6), 0);
}

struct generation {
	const struct gateway *g;
	long status;
};

static void *generate(void *argument)
{
	struct generation *generation = argument;
	ANSWER_AUTO answer = request(
		generation->g, ALICE, "POST", "/v1/slots/demo/keys", "{\"type\":\"EC\",\"label\":\"in flight\"}", NULL);

	generation->status = answer.status;
	return NULL;
}

static bool is_at_rest(const struct gateway *g, void *unused)
{
	(void)unused;
	return strstr(administer(g, "status\n"), " requests=0 ") != NULL;
}

static bool is_at_work(const struct gateway *g, void *unused)
{
	return !is_at_rest(g, unused);
}

static bool is_stopping(const struct gateway *g, void *unused)
{
	(void)unused;
	return contains(path_in(g, "gateway.log"), "\"stopping\"");
}

static void each_worker(const struct gateway *g, void (*act)(pid_t worker))
{
	enum { MAX = 16 };
	pid_t workers[MAX];
	size_t count = worker_processes(g, workers, MAX);

	cr_assert_gt(count, 0);
	for (size_t i = 0; i < count; i++)
		act(workers[i]);
}

static void go_on(pid_t worker)
{
	cr_assert_eq(kill(worker, SIGCONT), 0);
}

Test(program, a_stop_lets_the_request_in_flight_finish)
{
	struct gateway g;
	struct generation generation = {.g = &g};
	pthread_t thread;

	gateway_start(&g);
	rest_login(&g, ALICE, NULL);
	/* The login's own request may have its answer and not be over yet. */
	cr_assert(await_condition(is_at_rest, &g, NULL, 10));
	each_worker(&g, process_halt);
	cr_assert_eq(pthread_create(&thread, NULL, generate, &generation), 0);
	cr_assert(await_condition(is_at_work, &g, NULL, 10));
	kill(g.pid, SIGTERM);
	cr_assert(await_condition(is_stopping, &g, NULL, 10));
	each_worker(&g, go_on);
	pthread_join(thread, NULL);
	cr_expect_eq(generation.status, 201, "%ld", generation.status);
	cr_expect(await_condition(has_ended, &g, NULL, 15));
	cr_expect_neq(access(path_in(&g, "run/p11gated.pid"), F_OK), 0);
	cr_expect_neq(access(path_in(&g, "run/admin.sock"), F_OK), 0);
	gateway_stop(&g);
}
