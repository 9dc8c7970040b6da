#include "server/app/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum {
	POLL_FIRST_US = 200, /* another gateway has the lock: it is asked again after this time, which doubles */
	POLL_MAX_US = 10000,
	TOKEN_WAITERS_MAX = 65536,
};

enum status token_lock_new(const char *directory, const char *key, struct token_lock **ret_lock)
{
	char path[4096];
	int len = snprintf(path, sizeof path, "%s/token-%s.lock", directory, key);
	if (len < 0 || (size_t)len >= sizeof path)
		return STATUS_TOO_LARGE;
	struct token_lock *lock = calloc(1, sizeof *lock);
	if (lock == NULL)
		return STATUS_NO_MEMORY;
	lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (lock->fd < 0) {
		int saved = errno;
		free(lock);
		errno = saved;
		return STATUS_IO;
	}
	snprintf(lock->key, sizeof lock->key, "%s", key);
	fifo_init(&lock->fifo, 1, TOKEN_WAITERS_MAX);
	*ret_lock = lock;
	return STATUS_OK;
}

void token_lock_free(struct token_lock *lock)
{
	if (lock == NULL)
		return;
	close(lock->fd);
	fifo_done(&lock->fifo);
	free(lock);
}

/* flock has no deadline of its own. Only the first in this gateway's queue asks, so this is rare and one thread. */
static enum status lock_file(int fd, int64_t deadline_ms)
{
	long wait_us = POLL_FIRST_US;
	for (;;) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return STATUS_OK;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return STATUS_IO;
		if (clock_ms() >= deadline_ms)
			return STATUS_TIMEOUT;
		struct timespec pause = {.tv_nsec = wait_us * 1000};
		nanosleep(&pause, NULL);
		wait_us = wait_us * 2 < POLL_MAX_US ? wait_us * 2 : POLL_MAX_US;
	}
}

enum status token_lock_enter(struct token_lock *lock, int64_t deadline_ms)
{
	enum status status = fifo_enter(&lock->fifo, deadline_ms);
	if (status != STATUS_OK)
		return status;
	status = lock_file(lock->fd, deadline_ms);
	if (status != STATUS_OK)
		fifo_leave(&lock->fifo);
	return status;
}

void token_lock_leave(struct token_lock *lock)
{
	flock(lock->fd, LOCK_UN);
	fifo_leave(&lock->fifo);
}
