#include "server/app/internal.h"

#include <stdlib.h>
#include <string.h>

enum { LEASE_BUCKETS = 4096, DOMAIN_BUCKETS = 256 };

/* Who has leases, and how many. */
struct lease_domain {
	struct lease_domain *next;
	size_t leases;
	char *name;
};

/* A client instance (X11): who it is, whether it is connected, and where it may have sessions. */
struct lease {
	struct lease *next;
	struct lease_domain *domain;
	unsigned char instance[INSTANCE_ID_LEN];
	unsigned connections;
	int64_t last_used; /* last request or last close */
	struct application **applications; /* references */
	size_t applications_count;
};

struct leases {
	pthread_mutex_t mutex;
	struct lease *buckets[LEASE_BUCKETS];
	struct lease_domain *domains[DOMAIN_BUCKETS];
	size_t count;
};

struct leases *leases_new(void)
{
	struct leases *leases = calloc(1, sizeof *leases);
	if (leases != NULL)
		pthread_mutex_init(&leases->mutex, NULL);
	return leases;
}

static void lease_free(struct lease *lease, struct registry *registry)
{
	for (size_t i = 0; i < lease->applications_count; i++)
		application_unref(registry, lease->applications[i]);
	free(lease->applications);
	free(lease);
}

static struct lease_domain **domain_at(struct leases *leases, const char *name)
{
	uint32_t hash = 2166136261u;
	for (const char *at = name; *at != '\0'; at++)
		hash = (hash ^ (unsigned char)*at) * 16777619u;
	struct lease_domain **at = &leases->domains[hash % DOMAIN_BUCKETS];
	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

/* One more lease of the domain. NULL: it has too many, or no memory. */
static struct lease_domain *domain_enter(struct leases *leases, const char *name)
{
	struct lease_domain **at = domain_at(leases, name);
	if (*at == NULL) {
		struct lease_domain *domain = calloc(1, sizeof *domain);
		char *copy = strdup(name);
		if (domain == NULL || copy == NULL) {
			free(domain);
			free(copy);
			return NULL;
		}
		domain->name = copy;
		*at = domain;
	}
	if ((*at)->leases >= LEASES_PER_DOMAIN)
		return NULL;
	(*at)->leases++;
	return *at;
}

static void domain_leave(struct leases *leases, struct lease_domain *domain)
{
	if (--domain->leases > 0)
		return;
	*domain_at(leases, domain->name) = domain->next;
	free(domain->name);
	free(domain);
}

void leases_free(struct leases *leases, struct registry *registry)
{
	if (leases == NULL)
		return;
	for (unsigned i = 0; i < LEASE_BUCKETS; i++) {
		for (struct lease *lease = leases->buckets[i], *next; lease != NULL; lease = next) {
			next = lease->next;
			domain_leave(leases, lease->domain);
			lease_free(lease, registry);
		}
	}
	pthread_mutex_destroy(&leases->mutex);
	free(leases);
}

static struct lease **bucket_of(struct leases *leases, const unsigned char *instance)
{
	uint32_t hash = 2166136261u;
	for (unsigned i = 0; i < INSTANCE_ID_LEN; i++)
		hash = (hash ^ instance[i]) * 16777619u;
	return &leases->buckets[hash % LEASE_BUCKETS];
}

static struct lease *find(struct leases *leases, const char *domain, const unsigned char *instance)
{
	struct lease *lease = *bucket_of(leases, instance);
	while (lease != NULL &&
		(memcmp(lease->instance, instance, INSTANCE_ID_LEN) != 0 || strcmp(lease->domain->name, domain) != 0))
		lease = lease->next;
	return lease;
}

/* NULL: the domain has too many, or no memory. */
static struct lease *find_or_make(struct leases *leases, const char *domain, const unsigned char *instance)
{
	struct lease *lease = find(leases, domain, instance);
	if (lease != NULL)
		return lease;
	lease = calloc(1, sizeof *lease);
	if (lease == NULL)
		return NULL;
	lease->domain = domain_enter(leases, domain);
	if (lease->domain == NULL) {
		free(lease);
		return NULL;
	}
	struct lease **bucket = bucket_of(leases, instance);
	memcpy(lease->instance, instance, INSTANCE_ID_LEN);
	lease->last_used = clock_ms();
	lease->next = *bucket;
	*bucket = lease;
	leases->count++;
	return lease;
}

enum status lease_opened(struct leases *leases, const char *domain, const unsigned char *instance)
{
	pthread_mutex_lock(&leases->mutex);
	struct lease *lease = find_or_make(leases, domain, instance);
	if (lease != NULL)
		lease->connections++;
	pthread_mutex_unlock(&leases->mutex);
	return lease == NULL ? STATUS_BUSY : STATUS_OK;
}

void lease_closed(struct leases *leases, const char *domain, const unsigned char *instance)
{
	pthread_mutex_lock(&leases->mutex);
	struct lease *lease = find(leases, domain, instance);
	if (lease != NULL) {
		lease->connections -= lease->connections > 0;
		lease->last_used = clock_ms();
	}
	pthread_mutex_unlock(&leases->mutex);
}

/* Drops the applications without a worker: they have no sessions. */
static void forget_ended(struct lease *lease, struct registry *registry)
{
	size_t kept = 0;
	for (size_t i = 0; i < lease->applications_count; i++) {
		struct application *application = lease->applications[i];
		pthread_mutex_lock(&application->mutex);
		bool ended = application->process == NULL;
		pthread_mutex_unlock(&application->mutex);
		if (ended)
			application_unref(registry, application);
		else
			lease->applications[kept++] = application;
	}
	lease->applications_count = kept;
}

static enum status remember(struct lease *lease, struct registry *registry, struct application *application)
{
	for (size_t i = 0; i < lease->applications_count; i++)
		if (lease->applications[i] == application)
			return STATUS_OK;
	if (lease->applications_count >= APPLICATIONS_PER_LEASE)
		forget_ended(lease, registry);
	if (lease->applications_count >= APPLICATIONS_PER_LEASE)
		return STATUS_BUSY;
	struct application **grown = realloc(
		lease->applications, (lease->applications_count + 1) * sizeof(struct application *));
	if (grown == NULL)
		return STATUS_NO_MEMORY;
	lease->applications = grown;
	lease->applications[lease->applications_count++] = application_share(registry, application);
	return STATUS_OK;
}

enum status lease_use(struct leases *leases, const char *domain, const unsigned char *instance)
{
	pthread_mutex_lock(&leases->mutex);
	struct lease *lease = find_or_make(leases, domain, instance);
	if (lease != NULL)
		lease->last_used = clock_ms();
	pthread_mutex_unlock(&leases->mutex);
	return lease == NULL ? STATUS_BUSY : STATUS_OK;
}

enum status lease_remember(struct leases *leases, struct registry *registry, const char *domain,
	const unsigned char *instance, struct application *application)
{
	pthread_mutex_lock(&leases->mutex);
	struct lease *lease = find_or_make(leases, domain, instance);
	enum status status = STATUS_BUSY;
	if (lease != NULL) {
		lease->last_used = clock_ms();
		status = remember(lease, registry, application);
	}
	pthread_mutex_unlock(&leases->mutex);
	return status;
}

static void end_instance(struct application *application, const unsigned char *instance)
{
	struct end_instance command = {.held = 0};
	pthread_mutex_lock(&application->mutex);
	struct worker_process *process = application->process == NULL ? NULL : process_ref(application->process);
	pthread_mutex_unlock(&application->mutex);
	if (process == NULL)
		return;
	BUFFER_AUTO struct buffer payload;
	memcpy(command.instance, instance, sizeof command.instance);
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	end_instance_pack(&payload, &command);
	process_command(process, FRAME_END_INSTANCE, &payload);
	process_unref(process);
}

/* Takes the expired leases out of the table. */
static struct lease *take_expired(struct leases *leases, int64_t ttl_ms, int64_t *ret_next)
{
	struct lease *expired = NULL;
	int64_t now = clock_ms(), next = INT64_MAX;
	pthread_mutex_lock(&leases->mutex);
	for (unsigned i = 0; leases->count > 0 && i < LEASE_BUCKETS; i++) {
		struct lease **at = &leases->buckets[i];
		while (*at != NULL) {
			struct lease *lease = *at;
			int64_t due = lease->connections > 0 ? INT64_MAX : lease->last_used + ttl_ms;
			if (due > now) {
				next = due < next ? due : next;
				at = &lease->next;
				continue;
			}
			*at = lease->next;
			lease->next = expired;
			expired = lease;
			domain_leave(leases, lease->domain);
			leases->count--;
		}
	}
	pthread_mutex_unlock(&leases->mutex);
	*ret_next = next;
	return expired;
}

int64_t leases_expire(struct leases *leases, struct registry *registry, int64_t ttl_ms)
{
	int64_t next_due;
	struct lease *lease = take_expired(leases, ttl_ms, &next_due);
	while (lease != NULL) {
		struct lease *next = lease->next;
		for (size_t i = 0; i < lease->applications_count; i++)
			end_instance(lease->applications[i], lease->instance);
		lease_free(lease, registry);
		lease = next;
	}
	return next_due;
}
