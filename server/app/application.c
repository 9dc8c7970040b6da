#include "server/app/process.h"

#include <stdlib.h>
#include <string.h>

#include "api/fnv1a.h"
#include "server/common/log.h"

static unsigned bucket_of(const struct registry *registry, const struct application_key *key)
{
	/* Seeded with the key made at start: a client cannot choose identifiers that meet in one bucket. */
	uint32_t hash = fnv1a(FNV1A_START, registry->hash_key, 8);
	hash = fnv1a(hash, key->id, sizeof key->id);
	hash = fnv1a(hash, key->domain, strlen(key->domain));
	return hash % APPLICATION_BUCKETS;
}

static struct application *application_new(const struct application_key *key)
{
	struct application *application = calloc(1, sizeof *application);
	if (application == NULL)
		return NULL;
	application->domain = strdup(key->domain);
	application->slot = strdup(key->slot);
	if (application->domain == NULL || application->slot == NULL) {
		free(application->domain);
		free(application->slot);
		free(application);
		return NULL;
	}
	memcpy(application->id, key->id, sizeof application->id);
	pthread_mutex_init(&application->mutex, NULL);
	pthread_cond_init(&application->changed, NULL);
	return application;
}

static bool has_key(const struct application *application, const struct application_key *key)
{
	return memcmp(application->id, key->id, sizeof application->id) == 0 &&
	       strcmp(application->domain, key->domain) == 0 && strcmp(application->slot, key->slot) == 0;
}

static struct application *find_or_make(struct registry *registry, const struct application_key *key, bool make)
{
	struct application **bucket = &registry->applications[bucket_of(registry, key)];
	pthread_mutex_lock(&registry->mutex);
	struct application *application = *bucket;
	while (application != NULL && !has_key(application, key))
		application = application->next;
	if (application == NULL && make) {
		application = application_new(key);
		if (application != NULL) {
			application->next = *bucket;
			*bucket = application;
		}
	}
	if (application != NULL)
		application->refs++;
	pthread_mutex_unlock(&registry->mutex);
	return application;
}

struct application *application_ref(struct registry *registry, const struct application_key *key)
{
	return find_or_make(registry, key, true);
}

struct application *application_known(struct registry *registry, const struct application_key *key)
{
	return find_or_make(registry, key, false);
}

struct application **applications_all(struct registry *registry, size_t *ret_count)
{
	size_t count = 0;
	*ret_count = 0;
	pthread_mutex_lock(&registry->mutex);
	for (unsigned i = 0; i < APPLICATION_BUCKETS; i++)
		for (struct application *at = registry->applications[i]; at != NULL; at = at->next)
			count++;
	struct application **found = calloc(count + 1, sizeof(struct application *));
	for (unsigned i = 0; found != NULL && i < APPLICATION_BUCKETS; i++) {
		for (struct application *at = registry->applications[i]; at != NULL; at = at->next) {
			at->refs++;
			found[(*ret_count)++] = at;
		}
	}
	pthread_mutex_unlock(&registry->mutex);
	return found;
}

struct application *application_share(struct registry *registry, struct application *application)
{
	pthread_mutex_lock(&registry->mutex);
	application->refs++;
	pthread_mutex_unlock(&registry->mutex);
	return application;
}

static struct application_key key_of(const struct application *application)
{
	struct application_key key = {.domain = application->domain, .slot = application->slot};
	memcpy(key.id, application->id, sizeof key.id);
	return key;
}

static void application_free(struct application *application)
{
	pthread_cond_destroy(&application->changed);
	pthread_mutex_destroy(&application->mutex);
	free(application->domain);
	free(application->slot);
	free(application);
}

void application_unref(struct registry *registry, struct application *application)
{
	pthread_mutex_lock(&registry->mutex);
	bool last = --application->refs == 0;
	if (last) {
		struct application_key key = key_of(application);
		struct application **at = &registry->applications[bucket_of(registry, &key)];
		while (*at != application)
			at = &(*at)->next;
		*at = application->next;
	}
	pthread_mutex_unlock(&registry->mutex);
	if (last)
		application_free(application);
}

void application_forget(struct application *application, struct worker_process *process)
{
	pthread_mutex_lock(&application->mutex);
	if (application->process == process)
		application->process = NULL;
	pthread_mutex_unlock(&application->mutex);
}

/* Waits for a start that another thread has begun; its failure is the answer for all who waited. Mutex held. */
static enum status await_start(
	struct application *application, const struct settings *settings, int64_t deadline_ms, uint64_t *ret_rv)
{
	if (application->waiting >= settings->limits.queue_max)
		return STATUS_BUSY;
	uint64_t before = application->starts;
	bool in_time = true;
	application->waiting++;
	while (application->starting && application->starts == before && in_time)
		in_time = clock_wait(&application->changed, &application->mutex, deadline_ms);
	application->waiting--;
	if (application->starts == before)
		return in_time ? STATUS_OK : STATUS_BUSY;
	if (application->start_status == STATUS_UNAVAILABLE)
		*ret_rv = application->start_rv;
	return application->start_status;
}

/* Mutex held, and given up while the worker starts. */
static enum status start(struct registry *registry, struct application *application, struct settings *settings,
	const struct slot_settings *slot, int64_t deadline_ms, struct worker_process **ret_process, uint64_t *ret_rv)
{
	struct application_key key = key_of(application);
	struct worker_process *process = NULL;
	char hash[33], reason[REASON_LEN];
	uint64_t rv = 0;

	application->starting = true;
	pthread_mutex_unlock(&application->mutex);
	registry_application_hash(registry, &key, hash);
	const struct process_kind kind = {.settings = settings,
		.slot = slot,
		.module = slot->module,
		.application = application,
		.domain = application->domain,
		.application_hash = hash};
	enum status status = process_start(registry, &kind, deadline_ms, &process, &rv, reason);
	pthread_mutex_lock(&application->mutex);
	application->starting = false;
	application->starts++;
	application->start_status = status;
	application->start_rv = rv;
	pthread_cond_broadcast(&application->changed);
	if (status == STATUS_UNAVAILABLE)
		*ret_rv = rv;
	if (status != STATUS_OK)
		return status;
	/* It may have ended already; then it must not be remembered. */
	if (process_is_live(process))
		application->process = process;
	*ret_process = process;
	return STATUS_OK;
}

enum status application_process(struct registry *registry, struct application *application, struct settings *settings,
	const struct slot_settings *slot, int64_t deadline_ms, struct worker_process **ret_process, uint64_t *ret_rv)
{
	enum status status = STATUS_OK;
	pthread_mutex_lock(&application->mutex);
	while (status == STATUS_OK && application->process == NULL && application->starting)
		status = await_start(application, settings, deadline_ms, ret_rv);
	/* One that has begun to end may not have been forgotten yet. */
	if (application->process != NULL && !process_is_live(application->process))
		application->process = NULL;
	if (status == STATUS_OK && application->process != NULL)
		*ret_process = process_ref(application->process);
	else if (status == STATUS_OK)
		status = start(registry, application, settings, slot, deadline_ms, ret_process, ret_rv);
	pthread_mutex_unlock(&application->mutex);
	return status;
}
