/*
 * From one generation of configuration and certificates to the next, and what that takes from clients.
 */
#include "server/http/internal.h"

#include <string.h>

struct generation *listener_generation(struct listener *listener)
{
	pthread_mutex_lock(&listener->lock);
	struct generation *generation = listener->generation;
	atomic_fetch_add(&generation->references, 1);
	pthread_mutex_unlock(&listener->lock);
	return generation;
}

void listener_judge(struct listener *listener)
{
	struct generation *generation = listener_generation(listener);
	registry_revoke(listener->registry, peer_judge, generation);
	generation_release(generation);
}

/* From one generation to the next. */
struct change {
	const struct generation *old, *new;
};

/* Whether something may have been taken from the connection's client. */
static bool loses(const struct connection *connection, const void *context)
{
	const struct change *change = context;
	const struct config *old = change->old->config, *new = change->new->config;
	const char *identity = share_identity(connection);
	if (memcmp(change->old->trust, change->new->trust, sizeof change->old->trust) != 0)
		return true;
	for (unsigned i = 0; i < old->slots_count; i++) {
		const char *slot = old->slots[i].name;
		if ((config_permissions(old, identity, slot) & ~config_permissions(new, identity, slot)) != 0)
			return true;
	}
	return false;
}

enum status listener_reload(struct listener *listener, struct config *config, char *ret_error, size_t error_size)
{
	struct generation *generation;
	enum status status = generation_new(
		config, listener_counts(listener).generation + 1, &generation, ret_error, error_size);
	if (status != STATUS_OK)
		return status;
	/* First the registry: a request under the new configuration finds its slot there. */
	registry_reload(listener->registry, config);
	pthread_mutex_lock(&listener->lock);
	struct generation *old = listener->generation;
	listener->generation = generation;
	atomic_store(&listener->generation_number, generation->number);
	pthread_mutex_unlock(&listener->lock);
	listener_judge(listener);
	/* Whoever is still trusted connects again; the leases of those who are not run out (B14). */
	const struct change change = {old, generation};
	limits_retire(listener, loses, &change);
	generation_release(old);
	return STATUS_OK;
}
