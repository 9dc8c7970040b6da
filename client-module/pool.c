#include "client-module/pool.h"

#include "client-module/debug.h"

enum {
	IDLE_MAX = 64, /* connections kept open while nobody uses them */
	UNREACHABLE_MS = 5000, /* how long a failure to connect is remembered */
};

CK_RV pool_init(struct pool *pool, const struct client_config *config, const struct locking *how)
{
	*pool = (struct pool){.config = config};
	CK_RV rv = sockets_init(&pool->sockets, how);
	if (rv != CKR_OK) {
		return rv;
	}
	rv = lock_init(&pool->lock, how);
	if (rv != CKR_OK) {
		sockets_done(&pool->sockets);
	}
	return rv;
}

void pool_done(struct pool *pool)
{
	while (pool->idle != NULL) {
		struct connection *connection = pool->idle;
		pool->idle = connection->next;
		connection_free(connection);
	}
	connection_free(pool->lease);
	lock_done(&pool->lock);
	sockets_done(&pool->sockets);
}

struct connection *pool_take(struct pool *pool)
{
	lock_take(&pool->lock);
	struct connection *connection = pool->idle;
	if (connection != NULL) {
		pool->idle = connection->next;
		pool->idle_count--;
	}
	lock_release(&pool->lock);
	return connection != NULL ? connection : connection_new(&pool->sockets);
}

/*
 * Keeps an open connection to carry the next request, or one that was given up as long as there is no such one: with its last
 * connection a program that is idle from now on would lose its sessions. Gives what is not needed, or NULL.
 */
static struct connection *pool_keep(struct pool *pool, struct connection *connection)
{
	struct connection *rest = connection;
	lock_take(&pool->lock);
	if (connection->given_up && pool->idle_count == 0) {
		rest = pool->lease;
		pool->lease = connection;
	} else if (!connection->given_up && pool->idle_count < IDLE_MAX) {
		rest = pool->lease;
		pool->lease = NULL;
		connection->next = pool->idle;
		pool->idle = connection;
		pool->idle_count++;
	}
	lock_release(&pool->lock);
	return rest;
}

void pool_give(struct pool *pool, struct connection *connection)
{
	buffer_reset(&connection->request);
	buffer_reset(&connection->answer);
	arena_reset(&connection->arena);
	connection_free(connection->socket.fd >= 0 ? pool_keep(pool, connection) : connection);
}

enum io pool_connect(struct pool *pool, struct connection *connection)
{
	lock_take(&pool->lock);
	bool unreachable = connection_clock() < pool->unreachable_until;
	lock_release(&pool->lock);
	if (unreachable) {
		debug_line("%s: could not be reached a moment ago; not tried again yet", pool->config->authority);
		return IO_FAILED;
	}
	enum io io = connection_open(connection, pool->tls, pool->config);
	lock_take(&pool->lock);
	bool unreachable_now = io != IO_OK && io != IO_STOPPED && io != IO_SHORT;
	pool->unreachable_until = unreachable_now ? connection_clock() + UNREACHABLE_MS : 0;
	lock_release(&pool->lock);
	return io;
}

void pool_abandon(struct pool *pool)
{
	sockets_abandon(&pool->sockets);
}
