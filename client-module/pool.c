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

void pool_give(struct pool *pool, struct connection *connection)
{
	buffer_reset(&connection->request);
	buffer_reset(&connection->answer);
	arena_reset(&connection->arena);
	if (connection->socket.fd >= 0) {
		lock_take(&pool->lock);
		bool keep = pool->idle_count < IDLE_MAX;
		if (keep) {
			connection->next = pool->idle;
			pool->idle = connection;
			pool->idle_count++;
		}
		lock_release(&pool->lock);
		if (keep) {
			return;
		}
	}
	connection_free(connection);
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
	pool->unreachable_until = io == IO_OK || io == IO_STOPPED ? 0 : connection_clock() + UNREACHABLE_MS;
	lock_release(&pool->lock);
	return io;
}

void pool_abandon(struct pool *pool)
{
	sockets_abandon(&pool->sockets);
}
