/*
 * The tool's commands, as the shell sees them.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/tool/internal.h"
#include "tests/support/lib/scratch.h"

static char folder[64];
static char file[96];
static char path[96];

static void make_folder(void)
{
	scratch_directory(folder, sizeof(folder));
	snprintf(file, sizeof file, "%s/p11gated.yaml", folder);
	snprintf(path, sizeof path, "%s/admin.sock", folder);
	cr_redirect_stdout();
	cr_redirect_stderr();
}

static void remove_folder(void)
{
	unlink(file);
	unlink(path);
	rmdir(folder);
}

TestSuite(tool, .init = make_folder, .fini = remove_folder, .timeout = 20);

static int run(const char *name, const char *option, const char *value)
{
	char command[16], first[128], second[128];
	char *argv[] = {command, first, second, NULL};
	int argc = 1 + (option != NULL) + (value != NULL);

	snprintf(command, sizeof command, "%s", name);
	snprintf(first, sizeof first, "%s", option ? option : "");
	snprintf(second, sizeof second, "%s", value ? value : "");
	argv[argc] = NULL;
	int status = command_find(name)->run(argc, argv);
	fflush(stdout);
	fflush(stderr);
	return status;
}

/* What a command has printed so far: it is in the pipe, whose end does not come before the test's. */
static char *printed(FILE *stream)
{
	char *text = calloc(1, 4096);

	cr_assert_gt(read(fileno(stream), text, 4095), 0);
	return text;
}

/* A gateway that answers one request. */
struct gateway {
	int fd;
	const char *answer;
	char request[64];
	pthread_t thread;
};

static void *answer_once(void *context)
{
	struct gateway *gateway = context;
	int fd = accept(gateway->fd, NULL, NULL);

	if (fd < 0 || recv(fd, gateway->request, sizeof gateway->request - 1, 0) <= 0)
		return NULL;
	/* In two pieces: a line is complete when its break is there, not when a read returns. */
	size_t half = strlen(gateway->answer) / 2;
	send(fd, gateway->answer, half, MSG_NOSIGNAL);
	send(fd, gateway->answer + half, strlen(gateway->answer) - half, MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static void gateway_start(struct gateway *gateway, const char *answer)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(gateway, 0, sizeof *gateway);
	gateway->answer = answer;
	gateway->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	cr_assert_eq(bind(gateway->fd, (struct sockaddr *)&address, sizeof address), 0);
	cr_assert_eq(listen(gateway->fd, 1), 0);
	cr_assert_eq(pthread_create(&gateway->thread, NULL, answer_once, gateway), 0);
}

static void gateway_end(struct gateway *gateway)
{
	pthread_join(gateway->thread, NULL);
	close(gateway->fd);
}

static void write_config(const char *text)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

Test(tool, a_good_answer_is_printed)
{
	struct gateway gateway;

	gateway_start(&gateway, "ok configuration 2 in force\n");
	cr_expect_eq(run("reload", "--socket", path), EXIT_OK);
	gateway_end(&gateway);
	cr_expect_str_eq(gateway.request, "reload\n");
	cr_expect_stdout_eq_str("ok configuration 2 in force\n");
}

Test(tool, each_command_sends_its_own_name)
{
	static const char *const names[] = {"reload", "status", "stop"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct gateway gateway;
		char expected[16];

		unlink(path);
		gateway_start(&gateway, "ok\n");
		cr_expect_eq(run(names[i], "--socket", path), EXIT_OK);
		gateway_end(&gateway);
		snprintf(expected, sizeof expected, "%s\n", names[i]);
		cr_expect_str_eq(gateway.request, expected);
	}
}

Test(tool, a_refused_reload_fails_with_the_gateways_line)
{
	struct gateway gateway;

	gateway_start(&gateway, "error p11gated.yaml:3:7: tls.key: missing; add it\n");
	cr_expect_eq(run("reload", "--socket", path), EXIT_FAILED);
	gateway_end(&gateway);
	cr_expect_stderr_eq_str("p11gated.yaml:3:7: tls.key: missing; add it\n");
}

Test(tool, an_answer_that_is_neither_is_a_failure)
{
	static const char *const answers[] = {"okay\n", "yes\n", "\n", "error\n"};

	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
		struct gateway gateway;

		unlink(path);
		gateway_start(&gateway, answers[i]);
		cr_expect_eq(run("status", "--socket", path), EXIT_FAILED, "%s", answers[i]);
		gateway_end(&gateway);
	}
}

Test(tool, the_socket_is_found_through_the_configuration)
{
	struct gateway gateway;

	write_config("runtime_directory: .\nwhatever: is wrong here\n");
	gateway_start(&gateway, "ok\n");
	cr_expect_eq(run("status", "--config", file), EXIT_OK);
	gateway_end(&gateway);
}

Test(tool, a_gateway_that_does_not_run_is_told)
{
	cr_expect_eq(run("stop", "--socket", path), EXIT_FAILED);
	char *text = printed(cr_get_redirected_stderr());
	cr_expect_not_null(strstr(text, path), "%s", text);
	cr_expect_not_null(strstr(text, "is it running"), "%s", text);
	free(text);
}

Test(tool, a_socket_path_too_long_for_the_kernel_is_told)
{
	cr_expect_eq(run("stop", "--socket",
			     "/tmp/"
			     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			     "aaaaaa"
			     "aaaaaaaaaa"),
		EXIT_FAILED);
	char *text = printed(cr_get_redirected_stderr());
	cr_expect_not_null(strstr(text, "longer than 107 bytes"), "%s", text);
	free(text);
}

Test(tool, a_configuration_that_cannot_be_read_is_told_with_its_place)
{
	cr_expect_eq(run("status", "--config", file), EXIT_FAILED);
	char *text = printed(cr_get_redirected_stderr());
	cr_expect_eq(strncmp(text, file, strlen(file)), 0, "%s", text);
	free(text);
}

Test(tool, check_names_the_first_mistake)
{
	write_config("listen: {port: 1}\nslotz: []\n");
	cr_expect_eq(run("check", file, NULL), EXIT_FAILED);
	char *text = printed(cr_get_redirected_stderr());
	cr_expect_not_null(strstr(text, ":2:1: slotz: unknown key"), "%s", text);
	cr_expect_eq(strchr(text, '\n') - text, (long)strlen(text) - 1, "more than one line: %s", text);
	free(text);
}

Test(tool, the_usual_options_are_help_and_version)
{
	cr_expect_eq(command_find("--help"), command_find("help"));
	cr_expect_eq(command_find("-h"), command_find("help"));
	cr_expect_eq(command_find("--version"), command_find("version"));
	cr_expect_null(command_find("--verbose"));
	cr_expect_eq(run("--help", NULL, NULL), EXIT_OK);
	char *text = printed(cr_get_redirected_stdout());
	cr_expect_not_null(strstr(text, "p11gate status"), "%s", text);
	free(text);
}

Test(tool, version_is_one_line)
{
	cr_expect_eq(run("version", NULL, NULL), EXIT_OK);
	cr_expect_stdout_eq_str("p11gate " P11GATE_VERSION "\n");
}

Test(tool, help_lists_every_command)
{
	cr_expect_eq(run("help", NULL, NULL), EXIT_OK);
	char *text = printed(cr_get_redirected_stdout());
	for (size_t i = 0; i < commands_count; i++) {
		char line[32];

		snprintf(line, sizeof line, "\n  p11gate %s", commands[i].name);
		cr_expect_not_null(strstr(text, line), "%s is not listed", commands[i].name);
	}
	free(text);
}

Test(tool, sample_prints_the_commented_configuration)
{
	cr_expect_eq(run("sample", NULL, NULL), EXIT_OK);
	char *text = printed(cr_get_redirected_stdout());
	cr_expect_eq(strncmp(text, "# The configuration of p11gated", 31), 0, "%s", text);
	cr_expect_not_null(strstr(text, "\ntls:\n"), "%s", text);
	free(text);
}

Test(tool, help_explains_one_command)
{
	cr_expect_eq(run("help", "reload", NULL), EXIT_OK);
	char *text = printed(cr_get_redirected_stdout());
	cr_expect_eq(strncmp(text, "  p11gate reload [--config FILE", 31), 0, "%s", text);
	free(text);
}

/* A command with words of its own before the options; each may be NULL from some point on. */
static int run_words(const char *name, const char *const words[4])
{
	char *argv[8] = {strdup(name)};
	int argc = 1;

	for (int i = 0; i < 4 && words[i]; i++)
		argv[argc++] = strdup(words[i]);
	if (argc > 1) {
		argv[argc++] = strdup("--socket");
		argv[argc++] = path;
	}
	int status = command_find(name)->run(argc, argv);
	for (int i = 0; i < argc; i++) {
		if (argv[i] != path)
			free(argv[i]);
	}
	fflush(stdout);
	fflush(stderr);
	return status;
}

Test(tool, C15_app_list_prints_a_line_for_each_application)
{
	struct gateway gateway;

	gateway_start(&gateway, "ok slot=a state=held;slot=b state=dormant\n");
	cr_expect_eq(run_words("app", (const char *const[4]){"list"}), EXIT_OK);
	gateway_end(&gateway);
	cr_expect_str_eq(gateway.request, "app list\n");
	cr_expect_stdout_eq_str("slot=a state=held\nslot=b state=dormant\n");
}

Test(tool, B16_guard_list_prints_nothing_when_nobody_was_wrong)
{
	struct gateway gateway;

	gateway_start(&gateway, "ok\n");
	cr_expect_eq(run_words("guard", (const char *const[4]){"list"}), EXIT_OK);
	gateway_end(&gateway);
	cr_expect_str_eq(gateway.request, "guard list\n");
	cr_expect_stdout_eq_str("");
}

Test(tool, B16_guard_reset_names_whom_and_where)
{
	static const struct {
		const char *words[4], *line;
	} cases[] = {
		{{"reset"}, "guard reset * *\n"},
		{{"reset", "alice"}, "guard reset alice *\n"},
		{{"reset", "alice", "demo"}, "guard reset alice demo\n"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct gateway gateway;

		unlink(path);
		gateway_start(&gateway, "ok reset=1\n");
		cr_expect_eq(run_words("guard", cases[i].words), EXIT_OK);
		gateway_end(&gateway);
		cr_expect_str_eq(gateway.request, cases[i].line);
	}
}

Test(tool, guard_needs_an_action)
{
	cr_expect_eq(run_words("guard", (const char *const[4]){NULL}), EXIT_USAGE);
	cr_expect_eq(run_words("guard", (const char *const[4]){"rest"}), EXIT_USAGE);
	cr_expect_eq(run_words("guard", (const char *const[4]){"reset", "a b"}), EXIT_USAGE);
	cr_expect_eq(run_words("guard", (const char *const[4]){"reset", "a", "b", "c"}), EXIT_USAGE);
}

Test(tool, wrong_usage_has_a_status_of_its_own)
{
	cr_expect_eq(run("status", "--sockt", "x"), EXIT_USAGE);
	cr_expect_eq(run("status", "--socket", NULL), EXIT_USAGE);
	cr_expect_eq(run("check", NULL, NULL), EXIT_USAGE);
	cr_expect_eq(run("version", "x", NULL), EXIT_USAGE);
	cr_expect_eq(run("help", "nothing", NULL), EXIT_USAGE);
	cr_expect_null(command_find("nothing"));
}

/* The arguments of "app", without what needs a gateway. */
static int app(const char *action, const char *slot, const char *id, const char *option, const char *value)
{
	char *argv[7] = {NULL};
	const char *given[] = {"app", action, slot, id, option, value};
	int argc = 0;

	while (argc < 6 && given[argc] != NULL) {
		argv[argc] = strdup(given[argc]);
		argc++;
	}
	int status = command_find("app")->run(argc, argv);
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return status;
}

Test(tool, app_needs_an_action_a_slot_and_an_id)
{
	cr_expect_eq(app(NULL, NULL, NULL, NULL, NULL), EXIT_USAGE);
	cr_expect_eq(app("hold", NULL, NULL, NULL, NULL), EXIT_USAGE);
	cr_expect_eq(app("hold", "demo", NULL, NULL, NULL), EXIT_USAGE);
	cr_expect_eq(app("steal", "demo", "3-4", NULL, NULL), EXIT_USAGE);
	cr_expect_eq(app("hold", "demo", "3", NULL, NULL), EXIT_USAGE);
	cr_expect_eq(app("hold", "demo", "3-4", "--module", NULL), EXIT_USAGE);
	cr_expect_eq(app("hold", "demo", "3-4", "--pin-fd", "0"), EXIT_USAGE, "nothing to log in");
	cr_expect_eq(app("login", "demo", "3-4", "--pin-fd", "x"), EXIT_USAGE);
	cr_expect_eq(app("login", "demo", "3-4", "--pin", "1234"), EXIT_USAGE, "a PIN is no argument");
}

Test(tool, app_says_which_module_cannot_be_loaded)
{
	cr_expect_eq(app("hold", "demo", "3-4", "--module", "/nonexistent/module.so"), EXIT_FAILED);
	fflush(stderr);
	cr_expect_not_null(strstr(printed(cr_get_redirected_stderr()), "/nonexistent/module.so"));
}
