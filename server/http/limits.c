/*
 * Connections and their deadlines.
 *
 * libmicrohttpd's own timeout counts inactivity only, so a client that sends a byte now and then is never timed out by it.
 * Here each phase has a deadline in all; who misses it has its socket shut down, which wakes the connection's thread.
 */
#include "server/http/internal.h"

#include <sys/socket.h>

#include "server/common/clock.h"

enum {
	REAPER_PERIOD_MS = 200,
	UNAUTHENTICATED_SHARE = 4, /* one in so many connections may be before the end of its handshake */
	UNAUTHENTICATED_MIN = 8,
	PHASE_BITS = 3,
};

void connection_phase(struct connection *connection, enum phase phase)
{
	/* In one order with `retired`, for connection_idle. */
	atomic_store(&connection->timing, (uint64_t)clock_ms() << PHASE_BITS | phase);
}

static enum phase phase_of(const struct connection *connection)
{
	return (enum phase)(atomic_load(&connection->timing) & ((1u << PHASE_BITS) - 1));
}

void connection_reading(struct connection *connection)
{
	if (phase_of(connection) != PHASE_READING)
		connection_phase(connection, PHASE_READING);
}

/* Seconds that a phase may take; 0: no limit of its own. */
static unsigned phase_limit_s(const struct connection *connection, enum phase phase)
{
	const struct config *config = connection->generation->config;
	switch (phase) {
	case PHASE_HANDSHAKE: return config->limits.handshake_s;
	case PHASE_IDLE:
		if (atomic_load_explicit(&connection->crowded, memory_order_relaxed))
			return config->limits.handshake_s;
		/* A connection may be the lease of the client's sessions (C14); TCP keepalive finds dead hosts. */
		return atomic_load_explicit(&connection->leased, memory_order_relaxed) ? 0 : config->limits.idle_s;
	case PHASE_READING:
	case PHASE_WRITING: return config->limits.request_s;
	default: return 0;
	}
}

/* Milliseconds left, at least 0; a day where there is no limit. */
static int64_t left_ms(const struct connection *connection, int64_t now)
{
	uint64_t timing = atomic_load_explicit(&connection->timing, memory_order_relaxed);
	unsigned limit_s = phase_limit_s(connection, (enum phase)(timing & ((1u << PHASE_BITS) - 1)));
	if (limit_s == 0)
		return 24 * 3600 * 1000;
	int64_t due = (int64_t)(timing >> PHASE_BITS) + (int64_t)limit_s * 1000;
	return due > now ? due - now : 0;
}

int limits_left_ms(struct connection *connection)
{
	int64_t left = left_ms(connection, clock_ms());
	return left < INT32_MAX ? (int)left : INT32_MAX;
}

static void list_add(struct connection_list *list, struct connection *connection)
{
	connection->list = list;
	connection->newer = NULL;
	connection->older = list->newest;
	if (list->newest != NULL)
		list->newest->newer = connection;
	else
		list->oldest = connection;
	list->newest = connection;
	list->count++;
}

static void list_remove(struct connection *connection)
{
	struct connection_list *list = connection->list;
	if (connection->newer != NULL)
		connection->newer->older = connection->older;
	else
		list->newest = connection->older;
	if (connection->older != NULL)
		connection->older->newer = connection->newer;
	else
		list->oldest = connection->newer;
	connection->list = NULL;
	list->count--;
}

/* False: it was shut before. The socket stays open until libmicrohttpd closes it, which it does only after limits_remove. */
static bool shut(struct connection *connection)
{
	if (atomic_exchange(&connection->shut, true))
		return false;
	shutdown(connection->fd, SHUT_RDWR);
	return true;
}

void limits_shut(struct connection *connection)
{
	if (shut(connection))
		counter_add(connection->listener, COUNTER_REAPED);
}

/* One connection more than allowed before authentication: the oldest of them has had the most time. */
static void shut_oldest(struct listener *listener, const struct config *config)
{
	unsigned most = config->limits.connections_max / UNAUTHENTICATED_SHARE;
	if (most < UNAUTHENTICATED_MIN)
		most = UNAUTHENTICATED_MIN;
	unsigned over = listener->unauthenticated.count > most ? listener->unauthenticated.count - most : 0;
	for (struct connection *c = listener->unauthenticated.oldest; c != NULL && over > 0; c = c->newer, over--)
		limits_shut(c);
}

void limits_add(struct connection *connection)
{
	struct listener *listener = connection->listener;
	connection_phase(connection, PHASE_HANDSHAKE);
	pthread_mutex_lock(&listener->lock);
	list_add(&listener->unauthenticated, connection);
	shut_oldest(listener, connection->generation->config);
	pthread_cond_signal(&listener->reaper_wake);
	pthread_mutex_unlock(&listener->lock);
}

void limits_authenticated(struct connection *connection)
{
	struct listener *listener = connection->listener;
	connection_phase(connection, PHASE_IDLE);
	pthread_mutex_lock(&listener->lock);
	list_remove(connection);
	list_add(&listener->authenticated, connection);
	pthread_mutex_unlock(&listener->lock);
}

void limits_remove(struct connection *connection)
{
	struct listener *listener = connection->listener;
	pthread_mutex_lock(&listener->lock);
	list_remove(connection);
	pthread_mutex_unlock(&listener->lock);
}

static void reap(struct connection_list *list, int64_t now)
{
	for (struct connection *c = list->oldest; c != NULL; c = c->newer)
		if (left_ms(c, now) == 0)
			limits_shut(c);
}

static void *reaper_main(void *argument)
{
	struct listener *listener = argument;
	pthread_mutex_lock(&listener->lock);
	while (!listener->reaper_end) {
		bool idle = listener->unauthenticated.count + listener->authenticated.count == 0;
		clock_wait(&listener->reaper_wake, &listener->lock, idle ? INT64_MAX : clock_ms() + REAPER_PERIOD_MS);
		int64_t now = clock_ms();
		reap(&listener->unauthenticated, now);
		reap(&listener->authenticated, now);
	}
	pthread_mutex_unlock(&listener->lock);
	return NULL;
}

enum status reaper_start(struct listener *listener)
{
	pthread_cond_init(&listener->reaper_wake, NULL);
	if (pthread_create(&listener->reaper, NULL, reaper_main, listener) == 0)
		return STATUS_OK;
	pthread_cond_destroy(&listener->reaper_wake);
	return STATUS_NO_MEMORY;
}

void reaper_stop(struct listener *listener)
{
	pthread_mutex_lock(&listener->lock);
	listener->reaper_end = true;
	pthread_cond_signal(&listener->reaper_wake);
	pthread_mutex_unlock(&listener->lock);
	pthread_join(listener->reaper, NULL);
	pthread_cond_destroy(&listener->reaper_wake);
}

unsigned limits_shut_idle(struct listener *listener)
{
	unsigned busy = 0;
	pthread_mutex_lock(&listener->lock);
	for (struct connection *c = listener->unauthenticated.oldest; c != NULL; c = c->newer)
		(void)shut(c);
	for (struct connection *c = listener->authenticated.oldest; c != NULL; c = c->newer) {
		if (phase_of(c) == PHASE_IDLE)
			(void)shut(c);
		else if (!atomic_load(&c->shut))
			busy++;
	}
	pthread_mutex_unlock(&listener->lock);
	return busy;
}

void limits_each(struct listener *listener, void (*visit)(struct connection *connection, void *context), void *context)
{
	pthread_mutex_lock(&listener->lock);
	for (struct connection *c = listener->authenticated.oldest; c != NULL; c = c->newer)
		visit(c, context);
	pthread_mutex_unlock(&listener->lock);
}

void limits_retire(struct connection *connection)
{
	atomic_store(&connection->retired, true);
	if (phase_of(connection) == PHASE_IDLE)
		(void)shut(connection);
}

void connection_idle(struct connection *connection)
{
	connection_phase(connection, PHASE_IDLE);
	/* Whoever retires the connection looks at its phase after having said so: one of the two sees the other. */
	if (atomic_load(&connection->retired))
		(void)shut(connection);
}

unsigned limits_count(struct listener *listener, unsigned mask)
{
	unsigned count = 0;
	pthread_mutex_lock(&listener->lock);
	for (struct connection *c = listener->unauthenticated.oldest; c != NULL; c = c->newer)
		count += mask >> phase_of(c) & 1;
	for (struct connection *c = listener->authenticated.oldest; c != NULL; c = c->newer)
		count += mask >> phase_of(c) & 1;
	pthread_mutex_unlock(&listener->lock);
	return count;
}
