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
	ANSWER_MAX = 4096, /* bytes of the answer */
	ANSWER_WAIT_S = 60, /* the gateway may wait for workers before it answers */
};

/* The socket that the options name. Gives an exit status. */
static int socket_path(int argc, char **argv, char *ret_path, size_t size)
{
	const char *file = DEFAULT_CONFIG;
	const char *path = NULL;
	char directory[sizeof((struct sockaddr_un *)0)->sun_path];
	char error[2048];
	int used;

	if (argc == 3 && strcmp(argv[1], "--config") == 0)
		file = argv[2];
	else if (argc == 3 && strcmp(argv[1], "--socket") == 0)
		path = argv[2];
	else if (argc != 1)
		return command_usage(argv[0]);
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

int command_admin(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char line[64];
	char answer[ANSWER_MAX];
	int status = socket_path(argc, argv, address.sun_path, sizeof address.sun_path);

	if (status != EXIT_OK)
		return status;
	int fd = connect_to(&address);
	if (fd < 0)
		return EXIT_FAILED;
	snprintf(line, sizeof line, "%s\n", argv[0]);
	int answered = exchange(fd, line, answer);
	close(fd);
	if (answered && (strcmp(answer, "ok") == 0 || strncmp(answer, "ok ", 3) == 0)) {
		printf("%s\n", answer);
		return EXIT_OK;
	}
	if (answered && strncmp(answer, "error ", 6) == 0)
		fprintf(stderr, "%s\n", answer + 6);
	else
		fprintf(stderr, "p11gate: the gateway at %s gave no answer; see its log\n", address.sun_path);
	return EXIT_FAILED;
}
