/* The administration socket and who may use it. The test is the gateway: a process that it starts stands for a worker. */
#include "server/http/admin.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/common/log.h"

enum { SOMEBODY = 54321 };

static char directory[64], path[80];
static struct admin *admin;
static unsigned commands;

static void socket_make(void)
{
	char error[512];

	log_setup(LOG_LEVEL_ERROR, 0);
	snprintf(directory, sizeof directory, "/tmp/p11gate-admin-XXXXXX");
	cr_assert_not_null(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/admin.sock", directory);
	cr_assert_eq(admin_new(path, &admin, error, sizeof error), STATUS_OK, "%s", error);
}

static void socket_remove(void)
{
	admin_free(admin);
	rmdir(directory);
}

TestSuite(admin, .init = socket_make, .fini = socket_remove, .timeout = 30);

/* Connects and sends a line. -1: not allowed to. */
static int ask(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 || send(fd, "reload\n", 7, 0) != 7) {
		close(fd);
		return -1;
	}
	return fd;
}

static void answer_read(int fd, char answer[256])
{
	ssize_t got;
	size_t used = 0;

	while (used < 255 && (got = recv(fd, answer + used, 255 - used, 0)) > 0)
		used += (size_t)got;
	answer[used] = '\0';
	close(fd);
}

static void command(void *context, const char *line, char *ret_answer)
{
	(void)context;
	cr_assert_str_eq(line, "reload");
	commands++;
	snprintf(ret_answer, ADMIN_ANSWER_MAX, "ok reloaded");
}

/* What a child that runs as `user` is answered. */
static void child_asks(uid_t user, char answer[256])
{
	int pipes[2];

	cr_assert_eq(pipe(pipes), 0);
	pid_t child = fork();
	if (child == 0) {
		int fd = setresuid(user, user, user) == 0 ? ask() : -1;
		if (fd < 0 || write(pipes[1], "x", 1) != 1)
			_exit(1);
		answer_read(fd, answer);
		_exit(write(pipes[1], answer, strlen(answer)) > 0 ? 0 : 1);
	}
	close(pipes[1]);
	char asked;
	cr_assert_eq(read(pipes[0], &asked, 1), 1, "the child cannot ask");
	admin_serve(admin, command, NULL);
	size_t used = 0;
	for (ssize_t got; used < 255 && (got = read(pipes[0], answer + used, 255 - used)) > 0;)
		used += (size_t)got;
	answer[used] = '\0';
	close(pipes[0]);
	waitpid(child, NULL, 0);
}

Test(admin, a_command_of_the_gateways_user_is_answered)
{
	char answer[256];
	int fd = ask();

	cr_assert(fd >= 0);
	admin_serve(admin, command, NULL);
	answer_read(fd, answer);
	cr_expect_str_eq(answer, "ok reloaded\n");
	cr_expect_eq(commands, 1);
}

Test(admin, a_worker_may_not_administer_its_gateway)
{
	char answer[256];

	child_asks(geteuid(), answer);
	cr_expect_str_eq(answer, "error a worker may not administer its gateway\n");
	cr_expect_eq(commands, 0);
}

Test(admin, another_user_is_refused_even_where_the_sockets_mode_lets_it_in)
{
	char answer[256];

	cr_assert_eq(chmod(directory, 0755), 0);
	cr_assert_eq(chmod(path, 0666), 0);
	if (geteuid() != 0) {
		/* Nobody but root can be another user: then it is the system that refuses. */
		cr_assert_neq(setresuid(SOMEBODY, SOMEBODY, SOMEBODY), 0);
		return;
	}
	child_asks(SOMEBODY, answer);
	cr_expect_str_eq(answer, "error only the gateway's user and root may administer it\n");
	cr_expect_eq(commands, 0);
}
