#include "client-module/sockets.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

CK_RV sockets_init(struct sockets *sockets, const struct locking *how)
{
	atomic_init(&sockets->stop, SOCKETS_NONE);
	for (unsigned i = 0; i < SOCKETS_MAX; i++) {
		sockets->entries[i].fd = -1;
	}
	return lock_init(&sockets->lock, how);
}

void sockets_done(struct sockets *sockets)
{
	lock_done(&sockets->lock);
}

/* The entry of `fd`, or of a free place for -1; SOCKETS_MAX if there is none. The lock is held. */
static unsigned sockets_find(const struct sockets *sockets, int fd)
{
	unsigned i = 0;
	while (i < SOCKETS_MAX && sockets->entries[i].fd != fd) {
		i++;
	}
	return i;
}

bool sockets_add(struct sockets *sockets, int fd)
{
	struct stat status;
	if (fstat(fd, &status) != 0) {
		return false;
	}
	lock_take(&sockets->lock);
	unsigned i = sockets_find(sockets, -1);
	bool added = i < SOCKETS_MAX && atomic_load(&sockets->stop) != SOCKETS_ALL;
	if (added) {
		sockets->entries[i].inode = status.st_ino;
		sockets->entries[i].waiting = false;
		sockets->entries[i].fd = fd;
	}
	lock_release(&sockets->lock);
	return added;
}

void sockets_close(struct sockets *sockets, int fd)
{
	lock_take(&sockets->lock);
	unsigned i = sockets_find(sockets, fd);
	if (i < SOCKETS_MAX) {
		sockets->entries[i].fd = -1;
	}
	close(fd);
	lock_release(&sockets->lock);
}

void sockets_mark(struct sockets *sockets, int fd, bool waiting)
{
	lock_take(&sockets->lock);
	unsigned i = sockets_find(sockets, fd);
	if (i < SOCKETS_MAX) {
		sockets->entries[i].waiting = waiting;
	}
	lock_release(&sockets->lock);
}

bool sockets_stopped(struct sockets *sockets, bool waiting)
{
	return atomic_load(&sockets->stop) >= (waiting ? SOCKETS_WAITING : SOCKETS_ALL);
}

void sockets_interrupt(struct sockets *sockets, enum sockets_stop stop)
{
	lock_take(&sockets->lock);
	atomic_store(&sockets->stop, stop);
	for (unsigned i = 0; i < SOCKETS_MAX; i++) {
		if (sockets->entries[i].fd >= 0 && (stop == SOCKETS_ALL || sockets->entries[i].waiting)) {
			shutdown(sockets->entries[i].fd, SHUT_RDWR);
		}
	}
	lock_release(&sockets->lock);
}

void sockets_abandon(struct sockets *sockets)
{
	for (unsigned i = 0; i < SOCKETS_MAX; i++) {
		int fd = sockets->entries[i].fd;
		struct stat status;
		/* The program may have closed the descriptor meanwhile and opened something of its own under the number. */
		if (fd >= 0 && fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) &&
			status.st_ino == sockets->entries[i].inode) {
			close(fd);
		}
		sockets->entries[i].fd = -1;
	}
}
