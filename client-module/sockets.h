/*
 * The sockets this process has open to the gateway, so that C_Finalize can interrupt the threads that wait on them and a
 * forked child can let go of those it inherited.
 */
#ifndef P11GATE_CLIENT_MODULE_SOCKETS_H
#define P11GATE_CLIENT_MODULE_SOCKETS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "client-module/lock.h"

enum { SOCKETS_MAX = 256 }; /* connections open at the same time, one per calling thread */

/* How far C_Finalize has come: SOCKETS_WAITING ends what waits for events, SOCKETS_ALL ends every call. */
enum sockets_stop { SOCKETS_NONE, SOCKETS_WAITING, SOCKETS_ALL };

struct sockets {
	struct lock lock;
	_Atomic(enum sockets_stop) stop;
	struct {
		int fd; /* -1: free */
		bool waiting; /* a call waits for events on it */
		ino_t inode; /* tells after a fork whether `fd` is still this socket */
	} entries[SOCKETS_MAX];
};

CK_RV sockets_init(struct sockets *sockets, const struct locking *how) __attribute__((warn_unused_result));
void sockets_done(struct sockets *sockets);

/* Makes `fd` known. False when there are too many or everything is being stopped; the caller closes it then. */
bool sockets_add(struct sockets *sockets, int fd) __attribute__((warn_unused_result));

/* Forgets `fd` and closes it. */
void sockets_close(struct sockets *sockets, int fd);

/* Says whether the call that uses `fd` waits for events. */
void sockets_mark(struct sockets *sockets, int fd, bool waiting);

/* True if a call that waits for events, or any other, has to end. Any thread. */
bool sockets_stopped(struct sockets *sockets, bool waiting);

/* Interrupts the threads that `stop` names, now and from now on. */
void sockets_interrupt(struct sockets *sockets, enum sockets_stop stop);

/* In a forked child: closes the inherited descriptors, which sends nothing. Takes no lock, since its holder stayed in the parent. */
void sockets_abandon(struct sockets *sockets);

#endif
