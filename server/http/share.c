/*
 * How many connections each identity has (limits.connections_per_identity). Certificates of no identity, or of several, have one
 * share together, under the name that no identity has: "".
 *
 * Who it is shows only after the handshake, and only an answer can tell a client what is wrong. So a few connections beyond the
 * limit are kept, for a short time, to answer one request with 429; those beyond them are shut down.
 */
#include "server/http/internal.h"

#include <stdlib.h>
#include <string.h>

#include "api/fnv1a.h"
#include "server/common/clock.h"
#include "server/common/log.h"

enum {
	SHARE_SPARE = 8,
	CROWDED_LOG_MS = 10000, /* one line in this time, of all identities */
};

struct share {
	struct share *next; /* in its bucket */
	unsigned connections;
	char identity[];
};

static struct share **share_at(struct listener *listener, const char *identity)
{
	struct share **at = &listener->shares[fnv1a(FNV1A_START, identity, strlen(identity)) % SHARE_BUCKETS];
	while (*at != NULL && strcmp((*at)->identity, identity) != 0)
		at = &(*at)->next;
	return at;
}

/* Under the listener's lock, like all below. NULL: no memory. */
static struct share *share_of(struct listener *listener, const char *identity)
{
	struct share **at = share_at(listener, identity);
	if (*at == NULL) {
		size_t len = strlen(identity);
		struct share *share = calloc(1, sizeof *share + len + 1);
		if (share == NULL)
			return NULL;
		memcpy(share->identity, identity, len + 1);
		*at = share;
	}
	return *at;
}

static void leave(struct connection *connection)
{
	struct share *share = connection->share;
	connection->share = NULL;
	if (share == NULL || --share->connections > 0)
		return;
	*share_at(connection->listener, share->identity) = share->next;
	free(share);
}

void share_leave(struct connection *connection)
{
	pthread_mutex_lock(&connection->listener->lock);
	leave(connection);
	pthread_mutex_unlock(&connection->listener->lock);
}

/* Moves the connection to that identity's share; gives how many there are in it then, 0 without memory. Under the lock. */
static unsigned move(struct connection *connection, const char *identity)
{
	leave(connection);
	connection->share = share_of(connection->listener, identity);
	return connection->share == NULL ? 0 : ++connection->share->connections;
}

static void crowd_tell(struct listener *listener, const char *identity)
{
	int64_t now = clock_ms(), due = atomic_load(&listener->crowded_log_due);
	counter_add(listener, COUNTER_CROWDED);
	if (now >= due && atomic_compare_exchange_strong(&listener->crowded_log_due, &due, now + CROWDED_LOG_MS))
		log_event(LOG_LEVEL_WARNING,
			"too many connections of one identity; see limits.connections_per_identity", "identity",
			identity, NULL);
}

void share_enter(struct connection *connection, const struct config *config)
{
	struct listener *listener = connection->listener;
	const char *identity = connection->peer.identity == NULL ? "" : connection->peer.identity;
	unsigned most = config->limits.connections_per_identity, count = 1;
	pthread_mutex_lock(&listener->lock);
	bool moves = connection->share == NULL || strcmp(connection->share->identity, identity) != 0;
	if (moves)
		count = move(connection, identity);
	/* Without memory to count it, it is one too many. */
	bool crowded = count == 0 || count > most;
	if (moves)
		atomic_store(&connection->crowded, crowded);
	pthread_mutex_unlock(&listener->lock);
	if (moves && crowded)
		crowd_tell(listener, identity);
	if (count > most + SHARE_SPARE)
		limits_shut(connection);
}

const char *share_identity(const struct connection *connection)
{
	return connection->share == NULL ? "" : connection->share->identity;
}

bool share_admits(struct connection *connection, const struct config *config)
{
	if (!atomic_load_explicit(&connection->crowded, memory_order_relaxed))
		return true;
	pthread_mutex_lock(&connection->listener->lock);
	const struct share *share = connection->share;
	bool admits = share != NULL && share->connections <= config->limits.connections_per_identity;
	pthread_mutex_unlock(&connection->listener->lock);
	if (admits)
		atomic_store(&connection->crowded, false);
	return admits;
}
