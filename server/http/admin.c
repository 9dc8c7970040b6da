#include "server/http/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/common/log.h"

enum {
	LINE_MAX_LEN = 1024, /* bytes of a command */
	WAIT_S = 2,
	BACKLOG = 8,
};

struct admin {
	int fd;
	struct sockaddr_un address;
};

static enum status fail(struct admin *admin, enum status status, const char *what, char *ret_error, size_t error_size)
{
	snprintf(ret_error, error_size, "%s: %s", admin->address.sun_path, what);
	if (admin->fd >= 0)
		close(admin->fd);
	free(admin);
	return status;
}

/* Whether a gateway listens on the socket that is there already. */
static bool answered(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool connected = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
	if (fd >= 0)
		close(fd);
	return connected;
}

enum status admin_new(const char *path, struct admin **ret_admin, char *ret_error, size_t error_size)
{
	struct admin *admin = calloc(1, sizeof *admin);
	if (admin == NULL) {
		snprintf(ret_error, error_size, "out of memory");
		return STATUS_NO_MEMORY;
	}
	admin->fd = -1;
	admin->address.sun_family = AF_UNIX;
	int len = snprintf(admin->address.sun_path, sizeof admin->address.sun_path, "%s", path);
	if (len < 0 || (size_t)len >= sizeof admin->address.sun_path)
		return fail(admin, STATUS_TOO_LARGE, "the path is too long for a socket; shorten runtime_directory",
			ret_error, error_size);
	if (answered(&admin->address))
		return fail(admin, STATUS_BUSY,
			"another gateway uses this runtime_directory; stop it, or choose another directory", ret_error,
			error_size);
	unlink(path);
	admin->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Nobody can connect before listen, so the mode is right in time. */
	if (admin->fd < 0 || bind(admin->fd, (const struct sockaddr *)&admin->address, sizeof admin->address) != 0 ||
		chmod(path, 0600) != 0 || listen(admin->fd, BACKLOG) != 0)
		return fail(admin, STATUS_IO, strerror(errno), ret_error, error_size);
	*ret_admin = admin;
	return STATUS_OK;
}

void admin_free(struct admin *admin)
{
	if (admin == NULL)
		return;
	unlink(admin->address.sun_path);
	close(admin->fd);
	free(admin);
}

int admin_fd(const struct admin *admin)
{
	return admin->fd;
}

/* A line without its end; false if none came in time. */
static bool read_line(int fd, char line[LINE_MAX_LEN])
{
	size_t used = 0;
	while (used < LINE_MAX_LEN - 1) {
		ssize_t got = recv(fd, line + used, LINE_MAX_LEN - 1 - used, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		used += (size_t)got;
		char *end = memchr(line, '\n', used);
		if (end != NULL) {
			*end = '\0';
			return true;
		}
	}
	return false;
}

static void send_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t sent = send(fd, text, len, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return;
		text += sent;
		len -= (size_t)sent;
	}
}

/* The parent of a process; 0 if it cannot be told. */
static pid_t parent_of(pid_t pid)
{
	char path[64], stat[512] = "";
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read(fd, stat, sizeof stat - 1) : -1;
	if (fd >= 0)
		close(fd);
	/* "number (name) S parent …", S the state; the name may hold blanks and parentheses. */
	const char *after = len > 0 ? strrchr(stat, ')') : NULL;
	return after != NULL && strlen(after) > strlen(") S ") ? (pid_t)strtol(after + strlen(") S "), NULL, 10) : 0;
}

/*
 * Why the process behind `fd` may not administer the gateway, or NULL. A worker may run as the gateway's own user, and its module is
 * not trusted; it starts no processes, so that it is always a child of the gateway.
 */
static const char *refusal(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof peer;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return "error it cannot be told who asks";
	if (peer.uid != geteuid())
		return peer.uid == 0 ? NULL : "error only the gateway's user and root may administer it";
	/* One from outside the gateway's process namespace has no number here; workers have. */
	if (peer.pid == 0 || peer.pid == getpid())
		return NULL;
	pid_t parent = parent_of(peer.pid);
	return parent == 0 || parent == getpid() ? "error a worker may not administer its gateway" : NULL;
}

void admin_serve(struct admin *admin, void (*command)(void *context, const char *line, char *ret_answer), void *context)
{
	static const struct timeval wait = {.tv_sec = WAIT_S};
	char line[LINE_MAX_LEN], answer[ADMIN_ANSWER_MAX + 1] = "";
	int fd = accept4(admin->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
	const char *refused = refusal(fd);
	if (refused != NULL)
		log_event(LOG_LEVEL_WARNING, "administration refused", "reason", refused + strlen("error "), NULL);
	/* The line is read in any case: closing on unread data would take the answer away. */
	if (read_line(fd, line)) {
		if (refused != NULL)
			snprintf(answer, sizeof answer, "%s", refused);
		else
			command(context, line, answer);
		size_t len = strcspn(answer, "\n");
		answer[len] = '\n';
		send_all(fd, answer, len + 1);
	}
	close(fd);
}
