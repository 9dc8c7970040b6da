#include "server/app/process.h"

#include <stdlib.h>
#include <string.h>

#include "api/fnv1a.h"

enum { LEASE_BUCKETS = 4096, IDENTITY_BUCKETS = 256 };

/* Who has leases, and how many. */
struct lease_identity {
	struct lease_identity *next;
	size_t leases;
	char *name;
};

/* A client instance (X11): who it is, whether it is connected, and where it may have sessions. */
struct lease {
	struct lease *next;
	struct lease_identity *identity;
	unsigned char instance[INSTANCE_ID_LEN];
	unsigned connections;
	int64_t last_used; /* last request or last close */
	int64_t idle_ms, until; /* of an explicit session of REST; 0: it is a client module's */
	struct application **applications; /* references */
	size_t applications_count;
};

struct leases {
	pthread_mutex_t mutex;
	struct lease *buckets[LEASE_BUCKETS];
	struct lease_identity *identities[IDENTITY_BUCKETS];
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

static struct lease_identity **identity_at(struct leases *leases, const char *name)
{
	struct lease_identity **at = &leases->identities[fnv1a(FNV1A_START, name, strlen(name)) % IDENTITY_BUCKETS];
	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

/* One more lease of the identity. NULL: it has too many, or no memory. */
static struct lease_identity *identity_enter(struct leases *leases, const char *name)
{
	struct lease_identity **at = identity_at(leases, name);
	if (*at == NULL) {
		struct lease_identity *identity = calloc(1, sizeof *identity);
		char *copy = strdup(name);
		if (identity == NULL || copy == NULL) {
			free(identity);
			free(copy);
			return NULL;
		}
		identity->name = copy;
		*at = identity;
	}
	if ((*at)->leases >= LEASES_PER_IDENTITY)
		return NULL;
	(*at)->leases++;
	return *at;
}

static void identity_leave(struct leases *leases, struct lease_identity *identity)
{
	if (--identity->leases > 0)
		return;
	*identity_at(leases, identity->name) = identity->next;
	free(identity->name);
	free(identity);
}

void leases_free(struct leases *leases, struct registry *registry)
{
	if (leases == NULL)
		return;
	for (unsigned i = 0; i < LEASE_BUCKETS; i++) {
		for (struct lease *lease = leases->buckets[i], *next; lease != NULL; lease = next) {
			next = lease->next;
			identity_leave(leases, lease->identity);
			lease_free(lease, registry);
		}
	}
	pthread_mutex_destroy(&leases->mutex);
	free(leases);
}

static struct lease **bucket_of(struct leases *leases, const unsigned char *instance)
{
	return &leases->buckets[fnv1a(FNV1A_START, instance, INSTANCE_ID_LEN) % LEASE_BUCKETS];
}

static struct lease *find(struct leases *leases, const char *identity, const unsigned char *instance)
{
	struct lease *lease = *bucket_of(leases, instance);
	while (lease != NULL && (memcmp(lease->instance, instance, INSTANCE_ID_LEN) != 0 ||
					strcmp(lease->identity->name, identity) != 0))
		lease = lease->next;
	return lease;
}

/* NULL: the identity has too many, or no memory. */
static struct lease *find_or_make(struct leases *leases, const char *identity, const unsigned char *instance)
{
	struct lease *lease = find(leases, identity, instance);
	if (lease != NULL)
		return lease;
	lease = calloc(1, sizeof *lease);
	if (lease == NULL)
		return NULL;
	lease->identity = identity_enter(leases, identity);
	if (lease->identity == NULL) {
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

enum status lease_opened(struct leases *leases, const char *identity, const unsigned char *instance)
{
	pthread_mutex_lock(&leases->mutex);
	struct lease *lease = find_or_make(leases, identity, instance);
	if (lease != NULL)
		lease->connections++;
	pthread_mutex_unlock(&leases->mutex);
	return lease == NULL ? STATUS_BUSY : STATUS_OK;
}

void lease_closed(struct leases *leases, const char *identity, const unsigned char *instance)
{
	pthread_mutex_lock(&leases->mutex);
	struct lease *lease = find(leases, identity, instance);
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

enum status lease_use(struct leases *leases, const char *identity, const unsigned char *instance)
{
	pthread_mutex_lock(&leases->mutex);
	struct lease *lease = find_or_make(leases, identity, instance);
	if (lease != NULL)
		lease->last_used = clock_ms();
	pthread_mutex_unlock(&leases->mutex);
	return lease == NULL ? STATUS_BUSY : STATUS_OK;
}

enum status lease_remember(struct leases *leases, struct registry *registry, const char *identity,
	const unsigned char *instance, struct application *application)
{
	pthread_mutex_lock(&leases->mutex);
	struct lease *lease = find_or_make(leases, identity, instance);
	enum status status = STATUS_BUSY;
	if (lease != NULL) {
		lease->last_used = clock_ms();
		status = remember(lease, registry, application);
	}
	pthread_mutex_unlock(&leases->mutex);
	return status;
}

/* What is left of an instance in an application: its sessions are closed. */
static void end_instance(struct application *application, const unsigned char *instance)
{
	struct end_instance command = {.held = atomic_load(&application->held)};
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

/* Of leases that are in no table any more. */
static void end_all(struct lease *lease, struct registry *registry)
{
	for (struct lease *next; lease != NULL; lease = next) {
		next = lease->next;
		for (size_t i = 0; i < lease->applications_count; i++)
			end_instance(lease->applications[i], lease->instance);
		lease_free(lease, registry);
	}
}

static int64_t application_used(struct application *application)
{
	int64_t used = 0;
	pthread_mutex_lock(&application->mutex);
	if (application->process != NULL) {
		pthread_mutex_lock(&application->process->mutex);
		used = application->process->last_used;
		pthread_mutex_unlock(&application->process->mutex);
	}
	pthread_mutex_unlock(&application->mutex);
	return used;
}

static int64_t due_of(const struct lease *lease, int64_t ttl_ms)
{
	int64_t used = lease->last_used;
	if (lease->idle_ms == 0)
		return lease->connections > 0 ? INT64_MAX : used + ttl_ms;
	for (size_t i = 0; i < lease->applications_count; i++) {
		int64_t there = application_used(lease->applications[i]);
		used = there > used ? there : used;
	}
	return used + lease->idle_ms < lease->until ? used + lease->idle_ms : lease->until;
}

/* Leases out of the table, on a list of their own. Mutex held. */
static void take(struct leases *leases, struct lease **at, struct lease **list)
{
	struct lease *lease = *at;
	*at = lease->next;
	lease->next = *list;
	*list = lease;
	identity_leave(leases, lease->identity);
	leases->count--;
}

static struct lease *take_expired(struct leases *leases, int64_t ttl_ms, int64_t *ret_next)
{
	struct lease *expired = NULL;
	int64_t now = clock_ms(), next = INT64_MAX;
	pthread_mutex_lock(&leases->mutex);
	for (unsigned i = 0; leases->count > 0 && i < LEASE_BUCKETS; i++) {
		struct lease **at = &leases->buckets[i];
		while (*at != NULL) {
			int64_t due = due_of(*at, ttl_ms);
			if (due <= now) {
				take(leases, at, &expired);
				continue;
			}
			next = due < next ? due : next;
			at = &(*at)->next;
		}
	}
	pthread_mutex_unlock(&leases->mutex);
	*ret_next = next;
	return expired;
}

int64_t leases_expire(struct leases *leases, struct registry *registry, int64_t ttl_ms)
{
	int64_t next_due;
	end_all(take_expired(leases, ttl_ms, &next_due), registry);
	return next_due;
}

/* --- explicit sessions of REST (C15) --- */

enum status lease_keep(
	struct leases *leases, const char *identity, const unsigned char *instance, int64_t idle_ms, int64_t most_ms)
{
	pthread_mutex_lock(&leases->mutex);
	struct lease *lease = find(leases, identity, instance);
	if (lease != NULL) {
		lease->last_used = clock_ms();
		lease->idle_ms = idle_ms;
		lease->until = lease->last_used + most_ms;
	}
	pthread_mutex_unlock(&leases->mutex);
	return lease == NULL ? STATUS_NOT_FOUND : STATUS_OK;
}

static bool is_in(const struct lease *lease, const struct application_key *key)
{
	for (size_t i = 0; i < lease->applications_count; i++) {
		const struct application *application = lease->applications[i];
		if (strcmp(application->slot, key->slot) == 0 && strcmp(application->domain, key->domain) == 0 &&
			memcmp(application->id, key->id, sizeof application->id) == 0)
			return true;
	}
	return false;
}

enum status lease_end(struct leases *leases, struct registry *registry, const char *identity,
	const unsigned char *instance, const struct application_key *key)
{
	struct lease *ended = NULL;
	pthread_mutex_lock(&leases->mutex);
	struct lease *lease = find(leases, identity, instance);
	if (lease != NULL && lease->idle_ms > 0 && is_in(lease, key)) {
		struct lease **at = bucket_of(leases, instance);
		while (*at != lease)
			at = &(*at)->next;
		take(leases, at, &ended);
	}
	pthread_mutex_unlock(&leases->mutex);
	if (ended == NULL)
		return STATUS_NOT_FOUND;
	end_all(ended, registry);
	return STATUS_OK;
}

/* --- reload --- */

/* What an instance has lost, to be ended when no lock is held. */
struct lost {
	struct lost *next;
	struct application *application; /* a reference */
	unsigned char instance[INSTANCE_ID_LEN];
};

/* Takes the applications that are no longer open to its identity from the lease. Mutex held. */
static void take_lost(struct lease *lease, const struct settings *settings, struct lost **list)
{
	size_t kept = 0;
	for (size_t i = 0; i < lease->applications_count; i++) {
		struct application *application = lease->applications[i];
		bool reaches = settings_reaches(settings, lease->identity->name, application, ANY_PERMISSION);
		struct lost *lost = reaches ? NULL : calloc(1, sizeof *lost);
		if (lost == NULL) {
			lease->applications[kept++] = application;
			continue;
		}
		lost->application = application;
		memcpy(lost->instance, lease->instance, sizeof lost->instance);
		lost->next = *list;
		*list = lost;
	}
	lease->applications_count = kept;
}

void leases_follow(struct leases *leases, struct registry *registry, const struct settings *settings)
{
	struct lost *list = NULL;
	pthread_mutex_lock(&leases->mutex);
	for (unsigned i = 0; leases->count > 0 && i < LEASE_BUCKETS; i++)
		for (struct lease *lease = leases->buckets[i]; lease != NULL; lease = lease->next)
			take_lost(lease, settings, &list);
	pthread_mutex_unlock(&leases->mutex);
	for (struct lost *next; list != NULL; list = next) {
		next = list->next;
		end_instance(list->application, list->instance);
		application_unref(registry, list->application);
		free(list);
	}
}
