#include "server/app/internal.h"

#include <stdlib.h>
#include <string.h>

#include "api/fnv1a.h"

enum { OPERATION_BUCKETS = 1024, OPERATION_ID_TEXT = 64 };

struct operation_entry {
	struct operation_entry *next; /* in its bucket */
	struct operation_entry *younger, *older; /* by age */
	char id[OPERATION_ID_TEXT + 1];
	char *identity; /* who began it */
	char *domain, *slot;
	unsigned char application[APPLICATION_ID_LEN];
	uint64_t process;
	int64_t forget_at;
};

struct operations {
	pthread_mutex_t mutex;
	struct operation_entry *buckets[OPERATION_BUCKETS];
	struct operation_entry *oldest, *youngest;
	size_t count;
};

struct operations *operations_new(void)
{
	struct operations *operations = calloc(1, sizeof *operations);
	if (operations != NULL)
		pthread_mutex_init(&operations->mutex, NULL);
	return operations;
}

/* Identifiers are random, made by workers. */
static struct operation_entry **bucket_of(struct operations *operations, const char *id)
{
	return &operations->buckets[fnv1a(FNV1A_START, id, strlen(id)) % OPERATION_BUCKETS];
}

static void entry_free(struct operation_entry *entry)
{
	free(entry->identity);
	free(entry->domain);
	free(entry->slot);
	free(entry);
}

static void drop(struct operations *operations, struct operation_entry *entry)
{
	struct operation_entry **at = bucket_of(operations, entry->id);
	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	if (entry->older != NULL)
		entry->older->younger = entry->younger;
	else
		operations->oldest = entry->younger;
	if (entry->younger != NULL)
		entry->younger->older = entry->older;
	else
		operations->youngest = entry->older;
	operations->count--;
	entry_free(entry);
}

static void add(struct operations *operations, struct operation_entry *entry)
{
	struct operation_entry **bucket = bucket_of(operations, entry->id);
	entry->next = *bucket;
	*bucket = entry;
	entry->older = operations->youngest;
	if (operations->youngest != NULL)
		operations->youngest->younger = entry;
	else
		operations->oldest = entry;
	operations->youngest = entry;
	operations->count++;
	/* Better that the oldest is not found any more than that nobody can open one. */
	if (operations->count > OPERATIONS_REMEMBERED)
		drop(operations, operations->oldest);
}

void operations_free(struct operations *operations)
{
	if (operations == NULL)
		return;
	while (operations->oldest != NULL)
		drop(operations, operations->oldest);
	pthread_mutex_destroy(&operations->mutex);
	free(operations);
}

static struct operation_entry *find(struct operations *operations, const char *id)
{
	struct operation_entry *entry = *bucket_of(operations, id);
	while (entry != NULL && strcmp(entry->id, id) != 0)
		entry = entry->next;
	return entry;
}

enum status operation_opened(struct operations *operations, const char *id, const char *identity,
	const struct application_key *key, uint64_t process, int64_t forget_at)
{
	size_t len = strlen(id);
	if (len > OPERATION_ID_TEXT)
		return STATUS_TOO_LARGE;
	struct operation_entry *entry = calloc(1, sizeof *entry);
	if (entry == NULL)
		return STATUS_NO_MEMORY;
	entry->identity = strdup(identity);
	entry->domain = strdup(key->domain);
	entry->slot = strdup(key->slot);
	if (entry->identity == NULL || entry->domain == NULL || entry->slot == NULL) {
		entry_free(entry);
		return STATUS_NO_MEMORY;
	}
	memcpy(entry->id, id, len + 1);
	memcpy(entry->application, key->id, sizeof entry->application);
	entry->process = process;
	entry->forget_at = forget_at;
	pthread_mutex_lock(&operations->mutex);
	/* A worker that names another's operation does not get hold of it. */
	bool taken = find(operations, id) != NULL;
	if (!taken)
		add(operations, entry);
	pthread_mutex_unlock(&operations->mutex);
	if (taken)
		entry_free(entry);
	return taken ? STATUS_REFUSED : STATUS_OK;
}

enum status operation_find(struct operations *operations, const char *id, const char *identity, struct arena *arena,
	struct application_key *ret_key)
{
	struct application_key key = {.domain = NULL};
	pthread_mutex_lock(&operations->mutex);
	struct operation_entry *entry = find(operations, id);
	bool found = entry != NULL && strcmp(entry->identity, identity) == 0 && entry->forget_at > clock_ms();
	if (found) {
		key.domain = arena_copy(arena, entry->domain, strlen(entry->domain));
		key.slot = arena_copy(arena, entry->slot, strlen(entry->slot));
		memcpy(key.id, entry->application, sizeof key.id);
	}
	pthread_mutex_unlock(&operations->mutex);
	if (!found)
		return STATUS_NOT_FOUND;
	if (key.domain == NULL || key.slot == NULL)
		return STATUS_NO_MEMORY;
	*ret_key = key;
	return STATUS_OK;
}

void operations_expire(struct operations *operations)
{
	int64_t now = clock_ms();
	pthread_mutex_lock(&operations->mutex);
	while (operations->oldest != NULL && operations->oldest->forget_at <= now)
		drop(operations, operations->oldest);
	pthread_mutex_unlock(&operations->mutex);
}

void operations_forget_process(struct operations *operations, uint64_t process)
{
	pthread_mutex_lock(&operations->mutex);
	for (struct operation_entry *entry = operations->oldest, *next; entry != NULL; entry = next) {
		next = entry->younger;
		if (entry->process == process)
			drop(operations, entry);
	}
	pthread_mutex_unlock(&operations->mutex);
}
