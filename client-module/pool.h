/*
 * The keep-alive connections of a process: one for each thread that is calling, the last used first.
 */
#ifndef P11GATE_CLIENT_MODULE_POOL_H
#define P11GATE_CLIENT_MODULE_POOL_H

#include "client-module/connection.h"

struct pool {
	const struct client_config *config;
	struct tls *tls;
	struct sockets sockets;
	struct lock lock; /* guards what follows */
	struct connection *idle; /* newest first */
	unsigned idle_count;
	struct connection *lease; /* one that was given up, while there is none idle; or NULL */
	uint64_t unreachable_until; /* connection_clock before which no connection is tried (requirement F1) */
};

/* `config` and `how` must outlive the pool. The caller sets `tls` before it connects. */
CK_RV pool_init(struct pool *pool, const struct client_config *config, const struct locking *how)
	__attribute__((warn_unused_result));

/* Closes the connections it keeps. No thread may be using one. */
void pool_done(struct pool *pool);

/* A connection to use, connected or not; NULL when there is no memory. Any thread. */
struct connection *pool_take(struct pool *pool) __attribute__((warn_unused_result));

/*
 * Takes it back and wipes what the exchange left in it. One that was given up is kept open, but never handed out, until another
 * has carried an exchange: the sessions' lease is not to end because a program is idle after an answer that came too late.
 */
void pool_give(struct pool *pool, struct connection *connection);

/* Connects within the connect deadline. IO_FAILED at once while a failure is remembered. */
enum io pool_connect(struct pool *pool, struct connection *connection) __attribute__((warn_unused_result));

/* In a forked child: lets go of the parent's connections. Frees nothing, since other threads of the parent may have held it. */
void pool_abandon(struct pool *pool);

#endif
