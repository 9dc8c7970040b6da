/*
 * Commands for a running gateway: one line to its administration socket, one line back, "ok …" or "error …".
 */
#include "server/tool/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/config/config.h"

enum {
	ANSWER_MAX = 64 << 10, /* bytes of the answer */
	LINE_MAX_LEN = 1024, /* bytes of a command */
	ANSWER_WAIT_S = 60, /* the gateway may wait for workers before it answers */
};

/* The socket that the options of a command name. Gives an exit status. */
static int socket_path(const char *command, int argc, char **argv, char *ret_path, size_t size)
{
	const char *file = DEFAULT_CONFIG;
	const char *path = NULL;
	char directory[sizeof((struct sockaddr_un *)0)->sun_path];
	char error[2048];
	int used;

	if (argc == 2 && strcmp(argv[0], "--config") == 0)
		file = argv[1];
	else if (argc == 2 && strcmp(argv[0], "--socket") == 0)
		path = argv[1];
	else if (argc != 0)
		return command_usage(command);
	if (path) {
		used = snprintf(ret_path, size, "%s", path);
	} else {
		if (config_runtime_directory(file, directory, sizeof directory, error, sizeof error) != STATUS_OK) {
			fprintf(stderr, "%s\n", error);
			return EXIT_FAILED;
		}
		used = snprintf(ret_path, size, "%s/admin.sock", directory);
	}
	if (used < 0 || (size_t)used >= size) {
		fprintf(stderr, "p11gate: the path of the socket is longer than %zu bytes; shorten it\n", size - 1);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static int connect_to(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timeval wait = {.tv_sec = ANSWER_WAIT_S};

	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) != 0) {
		fprintf(stderr, "p11gate: no gateway answers at %s: %s; is it running, and may you use its socket?\n",
			address->sun_path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	return fd;
}

/* Sends the line and reads the answer without its line break. False if there was none. */
static int exchange(int fd, const char *line, char answer[ANSWER_MAX])
{
	size_t used = 0;

	if (send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line))
		return 0;
	while (used < ANSWER_MAX - 1) {
		ssize_t got = recv(fd, answer + used, ANSWER_MAX - 1 - used, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		used += (size_t)got;
		if (memchr(answer, '\n', used))
			break;
	}
	answer[used] = '\0';
	answer[strcspn(answer, "\n")] = '\0';
	return used > 0;
}

/* Each row of a list on a line of its own, without "ok". */
static void print_rows(char *answer)
{
	for (char *rest, *row = strtok_r(answer + strlen("ok"), ";", &rest); row; row = strtok_r(NULL, ";", &rest))
		printf("%s\n", row + strspn(row, " "));
}

int admin_ask(const char *command, const char *line, bool rows, int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	static char answer[ANSWER_MAX];
	char whole[LINE_MAX_LEN];
	int status = socket_path(command, argc, argv, address.sun_path, sizeof address.sun_path);

	if (status != EXIT_OK)
		return status;
	if ((size_t)snprintf(whole, sizeof whole, "%s\n", line) >= sizeof whole)
		return command_usage(command);
	int fd = connect_to(&address);
	if (fd < 0)
		return EXIT_FAILED;
	int answered = exchange(fd, whole, answer);
	close(fd);
	if (answered && (strcmp(answer, "ok") == 0 || strncmp(answer, "ok ", 3) == 0)) {
		if (rows)
			print_rows(answer);
		else
			printf("%s\n", answer);
		return EXIT_OK;
	}
	if (answered && strncmp(answer, "error ", 6) == 0)
		fprintf(stderr, "%s\n", answer + 6);
	else
		fprintf(stderr, "p11gate: the gateway at %s gave no answer; see its log\n", address.sun_path);
	return EXIT_FAILED;
}

int command_admin(int argc, char **argv)
{
	return admin_ask(argv[0], argv[0], false, argc - 1, argv + 1);
}
