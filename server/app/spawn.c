#include "server/app/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SOCKETS_MAX = WORKER_THREADS_MAX + 1 };

static void close_all(const int *fds, unsigned count)
{
	int saved = errno;
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	errno = saved;
}

void spawned_close(struct spawned *spawned, unsigned threads)
{
	close_all(spawned->pairs, threads);
	close(spawned->control);
	close(spawned->pidfd);
}

/*
 * One socket pair. The worker's end gets a number above all that the worker will know, so that putting the ends in their
 * places cannot overwrite one that is still to be placed.
 */
static int make_pair(int above, int *ret_ours, int *ret_theirs)
{
	int fds[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	int theirs = fcntl(fds[1], F_DUPFD_CLOEXEC, above);
	close_all(&fds[1], 1);
	if (theirs < 0) {
		close_all(&fds[0], 1);
		return -1;
	}
	struct timeval limit = {.tv_sec = SEND_TIMEOUT_MS / 1000, .tv_usec = SEND_TIMEOUT_MS % 1000 * 1000};
	setsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	*ret_ours = fds[0];
	*ret_theirs = theirs;
	return 0;
}

/* Ordered as in the worker: control first. 0, or -1 with errno and nothing open. */
static int make_pairs(unsigned count, int ours[SOCKETS_MAX], int theirs[SOCKETS_MAX])
{
	for (unsigned i = 0; i < count; i++) {
		if (make_pair(WORKER_FD_CONTROL + (int)count, &ours[i], &theirs[i]) < 0) {
			close_all(ours, i);
			close_all(theirs, i);
			return -1;
		}
	}
	return 0;
}

static int place_files(posix_spawn_file_actions_t *actions, const int theirs[SOCKETS_MAX], unsigned count)
{
	int error = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	for (unsigned i = 0; error == 0 && i < count; i++)
		error = posix_spawn_file_actions_adddup2(actions, theirs[i], WORKER_FD_CONTROL + (int)i);
	if (error == 0)
		error = posix_spawn_file_actions_addclosefrom_np(actions, WORKER_FD_CONTROL + (int)count);
	return error;
}

/*
 * A session of its own keeps the terminal's Ctrl-C away: the worker ends in its own time, not inside a token write.
 * Signals are back to their defaults.
 */
static int set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	int error = posix_spawnattr_setflags(
		attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (error == 0)
		error = posix_spawnattr_setsigmask(attributes, &none);
	if (error == 0)
		error = posix_spawnattr_setsigdefault(attributes, &all);
	return error;
}

static int run(
	const char *program, char *const environment[], const int theirs[SOCKETS_MAX], unsigned count, pid_t *ret_pid)
{
	char name[] = "p11gate-worker";
	char *arguments[] = {name, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int error = posix_spawn_file_actions_init(&actions);
	if (error != 0)
		return error;
	error = posix_spawnattr_init(&attributes);
	if (error == 0) {
		error = place_files(&actions, theirs, count);
		if (error == 0)
			error = set_attributes(&attributes);
		if (error == 0)
			error = posix_spawn(ret_pid, program, &actions, &attributes, arguments, environment);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

enum status spawn_worker(const char *program, char *const environment[], unsigned threads, struct spawned *ret_spawned)
{
	int ours[SOCKETS_MAX] = {0}, theirs[SOCKETS_MAX];
	unsigned count = threads + 1;
	pid_t pid = -1;
	if (make_pairs(count, ours, theirs) < 0)
		return STATUS_IO;
	int error = run(program, environment, theirs, count, &pid);
	close_all(theirs, count);
	int pidfd = error == 0 ? pidfd_open(pid, 0) : -1;
	if (pidfd < 0) {
		error = error == 0 ? errno : error;
		if (pid > 0) {
			/* It has been asked for nothing yet, so it holds nothing. */
			kill(pid, SIGKILL);
			while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
				continue;
		}
		close_all(ours, count);
		errno = error;
		return STATUS_IO;
	}
	*ret_spawned = (struct spawned){.pid = pid, .pidfd = pidfd, .control = ours[0]};
	for (unsigned i = 0; i < threads; i++)
		ret_spawned->pairs[i] = ours[i + 1];
	return STATUS_OK;
}
