/*
 * From one generation of configuration and certificates to the next, and what that takes from clients.
 */
#include "server/http/internal.h"

#include <search.h>
#include <stdlib.h>
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

/* Certificates, and the identity that they were found to have. */
struct proof {
	const char *identity;
	struct bytes certificates;
	bool trusted, same; /* under the generation in force: the certificates are good; and have that identity */
};

/* The proofs of all connections, each one once (tsearch). */
struct judgement {
	void *proofs;
	bool incomplete; /* there was no memory for some */
};

static struct proof proof_of(const struct connection *connection)
{
	return (struct proof){.identity = share_identity(connection),
		.certificates = {connection->chain.data, connection->chain.len}};
}

static int proof_order(const void *left, const void *right)
{
	const struct proof *one = left, *other = right;
	int order = strcmp(one->identity, other->identity);
	if (order != 0)
		return order;
	if (one->certificates.len != other->certificates.len)
		return one->certificates.len < other->certificates.len ? -1 : 1;
	return one->certificates.len == 0
		       ? 0
		       : memcmp(one->certificates.data, other->certificates.data, one->certificates.len);
}

/* Freed as a whole; NULL without memory. */
static struct proof *proof_copy(const struct proof *proof)
{
	size_t identity_size = strlen(proof->identity) + 1;
	struct proof *copy = calloc(1, sizeof *copy + proof->certificates.len + identity_size);
	if (copy == NULL)
		return NULL;
	unsigned char *certificates = (unsigned char *)(copy + 1);
	char *identity = (char *)certificates + proof->certificates.len;
	if (proof->certificates.len > 0)
		memcpy(certificates, proof->certificates.data, proof->certificates.len);
	memcpy(identity, proof->identity, identity_size);
	*copy = (struct proof){.identity = identity, .certificates = {certificates, proof->certificates.len}};
	return copy;
}

static void note(struct connection *connection, void *context)
{
	struct judgement *judgement = context;
	struct proof proof = proof_of(connection);
	if (tfind(&proof, &judgement->proofs, proof_order) != NULL)
		return;
	struct proof *copy = proof_copy(&proof);
	if (copy != NULL && tsearch(copy, &judgement->proofs, proof_order) != NULL)
		return;
	free(copy);
	judgement->incomplete = true;
}

static void judge(const void *node, VISIT visit, void *generation)
{
	struct proof *proof = *(struct proof *const *)node;
	gnutls_datum_t own;
	if (visit != preorder && visit != leaf)
		return;
	proof->same = peer_judge(generation, proof->identity, proof->certificates);
	proof->trusted = proof->same || tls_chain_verify(generation, proof->certificates, &own);
}

static void settle(struct connection *connection, void *context)
{
	const struct judgement *judgement = context;
	const struct proof proof = proof_of(connection);
	struct proof *const *found = tfind(&proof, &judgement->proofs, proof_order);
	/* Nobody keeps an identity's sessions who has it no more. Others get their new one with their next request. */
	bool stays = found != NULL && (atomic_load(&connection->leased) ? (*found)->same : (*found)->trusted);
	/* One that came meanwhile is judged at its first request. */
	if (found != NULL ? !stays : judgement->incomplete)
		limits_retire(connection);
}

/*
 * Ends the connections of those whose certificates are no longer good under the generation in force, and those that are the lease of an
 * identity which the certificates do not have any more. The others stay: an idle program does not connect again, and its sessions
 * would end with its lease (C14).
 */
static void retire_untrusted(struct listener *listener)
{
	struct generation *generation = listener_generation(listener);
	struct judgement judgement = {.proofs = NULL};
	limits_each(listener, note, &judgement);
	/* Without the lock, since it may take long. */
	twalk_r(judgement.proofs, judge, generation);
	limits_each(listener, settle, &judgement);
	tdestroy(judgement.proofs, free);
	generation_release(generation);
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
	retire_untrusted(listener);
	generation_release(old);
	return STATUS_OK;
}
