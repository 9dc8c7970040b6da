#include "tests/integration/login_client.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/integration/canary.h"

enum { LINE_MAX_LEN = 200 };

struct held_locks locks_hold(const struct gateway *g)
{
	struct held_locks held = {.count = 0};
	char pattern[300];
	glob_t found;

	(void)snprintf(pattern, sizeof(pattern), "%s/run/token-*.lock", g->directory);
	cr_assert_eq(glob(pattern, 0, NULL, &found), 0, "no %s", pattern);
	for (size_t i = 0; i < found.gl_pathc && i < LOCKS_MAX; i++) {
		held.fds[held.count] = open(found.gl_pathv[i], O_RDWR | O_CLOEXEC);
		cr_assert_eq(flock(held.fds[held.count++], LOCK_EX), 0);
	}
	globfree(&found);
	return held;
}

void locks_release(struct held_locks *held)
{
	for (size_t i = 0; i < held->count; i++)
		close(held->fds[i]);
}

CK_RV login_client_answer(const struct login_client *client)
{
	char line[64] = "";

	cr_assert_not_null(fgets(line, sizeof(line), client->out), "the client has ended");
	return strtoul(line, NULL, 16);
}

struct login_client login_client_start(const struct gateway *g)
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

void login_client_send(const struct login_client *client, const char *line)
{
	cr_assert_eq(dprintf(client->in, "%s\n", line), (int)strlen(line) + 1);
}

CK_RV login_client_tell(const struct login_client *client, const char *line, ...)
{
	char text[LINE_MAX_LEN];
	va_list arguments;

	va_start(arguments, line);
	(void)vsnprintf(text, sizeof(text), line, arguments);
	va_end(arguments);
	login_client_send(client, text);
	return login_client_answer(client);
}

void login_client_end(struct login_client *client)
{
	close(client->in);
	(void)fclose(client->out);
}
