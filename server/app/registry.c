#include "server/app/process.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/secret.h"
#include "server/app/token.h"
#include "server/common/log.h"
#include "api/hex.h"

enum {
	STARTS_AT_ONCE = 8, /* workers that start at one time; starting is processor time and one lock */
	STARTS_WAITING = 65536,
	FREE_GRACE_MS = 5000, /* for workers to end by themselves */
	FREE_KILLED_MS = 1000, /* for killed ones to be reaped */
	RELOAD_FOLLOW_MS = 2000, /* for workers to say that they follow new rules */
};

struct settings *registry_settings(struct registry *registry)
{
	pthread_mutex_lock(&registry->mutex);
	struct settings *settings = settings_ref(registry->settings);
	pthread_mutex_unlock(&registry->mutex);
	return settings;
}

enum status registry_lock(struct registry *registry, const struct settings *settings,
	const struct module_settings *module, struct token_lock **ret_lock)
{
	enum status status = STATUS_OK;
	pthread_mutex_lock(&registry->mutex);
	struct token_lock *lock = registry->locks;
	while (lock != NULL && strcmp(lock->key, module->lock_key) != 0)
		lock = lock->next;
	if (lock == NULL) {
		status = token_lock_new(settings->runtime_directory, module->lock_key, &lock);
		if (status == STATUS_OK) {
			lock->next = registry->locks;
			registry->locks = lock;
		} else {
			log_event(LOG_LEVEL_ERROR, "token lock cannot be opened; check runtime_directory", "directory",
				settings->runtime_directory, "error",
				status == STATUS_IO ? strerror(errno) : "out of memory", NULL);
		}
	}
	pthread_mutex_unlock(&registry->mutex);
	if (status == STATUS_OK)
		*ret_lock = lock;
	return status;
}

struct worker_process **registry_processes(struct registry *registry,
	bool (*wanted)(const struct worker_process *process, const void *context), const void *context,
	size_t *ret_count)
{
	size_t count = 0;
	pthread_mutex_lock(&registry->mutex);
	struct worker_process **found = calloc((size_t)registry->processes_count + 1, sizeof(struct worker_process *));
	for (struct worker_process *process = registry->processes; found != NULL && process != NULL;
		process = process->next)
		if (wanted == NULL || wanted(process, context))
			found[count++] = process_ref(process);
	pthread_mutex_unlock(&registry->mutex);
	*ret_count = count;
	return found;
}

size_t registry_count(struct registry *registry,
	bool (*wanted)(const struct worker_process *process, const void *context), const void *context)
{
	size_t count = 0;
	pthread_mutex_lock(&registry->mutex);
	for (struct worker_process *process = registry->processes; process != NULL; process = process->next)
		count += wanted(process, context);
	pthread_mutex_unlock(&registry->mutex);
	return count;
}

void processes_unref(struct worker_process **processes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		process_unref(processes[i]);
	free(processes);
}

/* --- life --- */

static void registry_release(struct registry *registry)
{
	operations_free(registry->operations);
	for (struct slot_record *record = registry->slots, *next; record != NULL; record = next) {
		next = record->next;
		slot_record_free(record);
	}
	for (struct token *token = registry->tokens, *next; token != NULL; token = next) {
		next = token->next;
		token_free(token);
	}
	for (struct token_lock *lock = registry->locks, *next; lock != NULL; lock = next) {
		next = lock->next;
		token_lock_free(lock);
	}
	settings_unref(registry->settings);
	fifo_done(&registry->starts);
	pthread_mutex_destroy(&registry->reload);
	pthread_cond_destroy(&registry->processes_changed);
	pthread_mutex_destroy(&registry->mutex);
	secret_wipe(registry->hash_key, sizeof registry->hash_key);
	free(registry);
}

static enum status registry_build(struct registry *registry, const struct config *config)
{
	registry->generation = 1;
	registry->leases = leases_new();
	registry->operations = operations_new();
	if (registry->leases == NULL || registry->operations == NULL)
		return STATUS_NO_MEMORY;
	if (RAND_bytes(registry->hash_key, sizeof registry->hash_key) != 1)
		return STATUS_IO;
	enum status status = settings_new(config, registry->generation, &registry->settings);
	if (status != STATUS_OK)
		return status;
	/* A runtime directory that cannot be written is a mistake to be told at the start, not at the first request. */
	for (unsigned i = 0; i < registry->settings->modules_count && status == STATUS_OK; i++) {
		struct token_lock *lock;
		status = registry_lock(registry, registry->settings, &registry->settings->modules[i], &lock);
	}
	return status;
}

enum status registry_new(const struct config *config, struct registry **ret_registry)
{
	struct registry *registry = calloc(1, sizeof *registry);
	if (registry == NULL)
		return STATUS_NO_MEMORY;
	pthread_mutex_init(&registry->mutex, NULL);
	pthread_cond_init(&registry->processes_changed, NULL);
	pthread_mutex_init(&registry->reload, NULL);
	fifo_init(&registry->starts, STARTS_AT_ONCE, STARTS_WAITING);
	enum status status = registry_build(registry, config);
	if (status == STATUS_OK)
		status = inventory_new(registry, &registry->inventory);
	if (status == STATUS_OK)
		status = keeper_start(registry);
	if (status != STATUS_OK) {
		inventory_free(registry->inventory);
		leases_free(registry->leases, registry);
		registry_release(registry);
		return status;
	}
	status = inventory_follow(registry->inventory, registry->settings);
	if (status != STATUS_OK) {
		registry_free(registry);
		return status;
	}
	*ret_registry = registry;
	return STATUS_OK;
}

static bool await_reaped(struct registry *registry, int64_t deadline_ms)
{
	bool in_time = true;
	pthread_mutex_lock(&registry->mutex);
	while (registry->processes != NULL && in_time)
		in_time = clock_wait(&registry->processes_changed, &registry->mutex, deadline_ms);
	bool all = registry->processes == NULL;
	pthread_mutex_unlock(&registry->mutex);
	return all;
}

static void end_all(struct registry *registry)
{
	size_t count = 0;
	struct worker_process **processes = registry_processes(registry, NULL, NULL, &count);
	for (size_t i = 0; i < count; i++)
		process_end(processes[i], END_SHUTDOWN);
	processes_unref(processes, count);
	if (await_reaped(registry, clock_ms() + FREE_GRACE_MS))
		return;
	processes = registry_processes(registry, NULL, NULL, &count);
	for (size_t i = 0; i < count; i++) {
		process_disconnect(processes[i]);
		if (!process_may_be_writing(processes[i]))
			process_kill(processes[i]);
	}
	processes_unref(processes, count);
	await_reaped(registry, clock_ms() + FREE_KILLED_MS);
}

/* What a worker inside a token write leaves behind: it goes on alone, and exits when it finds its sockets closed. */
static void abandon_rest(struct registry *registry)
{
	while (registry->processes != NULL)
		process_reaped(registry->processes);
}

void registry_free(struct registry *registry)
{
	if (registry == NULL)
		return;
	pthread_mutex_lock(&registry->mutex);
	registry->stopping = true;
	pthread_mutex_unlock(&registry->mutex);
	fifo_close(&registry->starts);
	end_all(registry);
	inventory_free(registry->inventory);
	keeper_stop(registry);
	abandon_rest(registry);
	holds_release(registry);
	leases_free(registry->leases, registry);
	registry_release(registry);
}

/* --- reload --- */

static void send_policy(struct worker_process *process, const struct settings *settings)
{
	BUFFER_AUTO struct buffer payload;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	if (settings_policy(settings, process->domain, process->slot->name, &payload) != STATUS_OK)
		payload.failed = true;
	process_policy(process, settings);
	process_command(process, FRAME_POLICY, &payload);
}

static bool follows(struct worker_process *process, uint64_t generation)
{
	pthread_mutex_lock(&process->mutex);
	bool done = process->slot == NULL || process->state != PROCESS_LIVE || process->policy_generation >= generation;
	pthread_mutex_unlock(&process->mutex);
	return done;
}

/* When a reload has returned, nobody works by the old rules any more; except who does not answer. */
static void await_policy(struct registry *registry, struct worker_process *process, uint64_t generation, int64_t until)
{
	bool in_time = true;
	pthread_mutex_lock(&registry->mutex);
	while (!follows(process, generation) && in_time)
		in_time = clock_wait(&registry->processes_changed, &registry->mutex, until);
	pthread_mutex_unlock(&registry->mutex);
	if (!follows(process, generation))
		log_event(LOG_LEVEL_WARNING, "a worker does not answer, and works by the old rules until it does",
			"slot", process->slot->name, "application", process->application_hash, NULL);
}

/* Workers of slots that serve the new configuration as they are get its policy; the others end. */
static void bring_up_to_date(struct registry *registry, const struct settings *settings)
{
	size_t count = 0;
	/* First, so that the records of these logins say why they end. */
	logins_follow(registry, settings, NULL, NULL);
	struct worker_process **processes = registry_processes(registry, NULL, NULL, &count);
	for (size_t i = 0; i < count; i++) {
		/* The inventory sees to its own. */
		if (processes[i]->slot == NULL)
			continue;
		const struct slot_settings *slot = settings_slot(settings, processes[i]->slot->name);
		const struct application *application = processes[i]->application;
		if (slot != NULL && slot_settings_equal(slot, processes[i]->slot) &&
			(application == NULL || settings_reachable(settings, application)))
			send_policy(processes[i], settings);
		else
			process_end(processes[i], END_RELOAD);
	}
	leases_follow(registry->leases, registry, settings);
	holds_follow(registry, settings, NULL, NULL);
	int64_t until = clock_ms() + RELOAD_FOLLOW_MS;
	for (size_t i = 0; i < count; i++)
		await_policy(registry, processes[i], settings->generation, until);
	processes_unref(processes, count);
}

void registry_reload(struct registry *registry, const struct config *config)
{
	struct settings *settings = NULL;
	pthread_mutex_lock(&registry->reload);
	if (settings_new(config, registry->generation + 1, &settings) == STATUS_OK) {
		pthread_mutex_lock(&registry->mutex);
		struct settings *old = registry->settings;
		registry->settings = settings_ref(settings);
		registry->generation++;
		slots_follow(registry, old, settings);
		pthread_mutex_unlock(&registry->mutex);
		bring_up_to_date(registry, settings);
		if (inventory_follow(registry->inventory, settings) != STATUS_OK)
			log_event(LOG_LEVEL_ERROR, "no memory to watch all modules of the new configuration", NULL);
		settings_unref(old);
		settings_unref(settings);
	} else {
		log_event(LOG_LEVEL_ERROR, "the new configuration could not be taken over; the old one stays in force",
			NULL);
	}
	pthread_mutex_unlock(&registry->reload);
}

/* --- the rest of registry.h --- */

enum status registry_operation(struct registry *registry, const char *operation, const char *identity,
	struct arena *arena, struct application_key *ret_key)
{
	return operation_find(registry->operations, operation, identity, arena, ret_key);
}

enum status registry_instance_opened(struct registry *registry, const char *identity, const unsigned char *instance)
{
	return lease_opened(registry->leases, identity, instance);
}

void registry_instance_closed(struct registry *registry, const char *identity, const unsigned char *instance)
{
	lease_closed(registry->leases, identity, instance);
}

enum status registry_instance_keep(struct registry *registry, const char *identity, const unsigned char *instance)
{
	struct settings *settings = registry_settings(registry);
	enum status status = lease_keep(registry->leases, identity, instance,
		(int64_t)settings->limits.rest_idle_ttl_s * 1000, (int64_t)settings->limits.rest_max_ttl_s * 1000);
	settings_unref(settings);
	keeper_poke(registry);
	return status;
}

enum status registry_instance_end(struct registry *registry, const char *identity, const unsigned char *instance,
	const struct application_key *key)
{
	return lease_end(registry->leases, registry, identity, instance, key);
}

void registry_application_hash(struct registry *registry, const struct application_key *key, char ret_hash[33])
{
	unsigned char mac[EVP_MAX_MD_SIZE] = {0};
	unsigned char text[APPLICATION_ID_LEN + 2 * LIMIT_LABEL + 2];
	size_t domain_len = strnlen(key->domain, LIMIT_LABEL), slot_len = strnlen(key->slot, LIMIT_LABEL), len = 0;
	memcpy(text, key->id, APPLICATION_ID_LEN);
	len += APPLICATION_ID_LEN;
	memcpy(text + len, key->domain, domain_len);
	len += domain_len;
	text[len++] = '\0';
	memcpy(text + len, key->slot, slot_len);
	len += slot_len;
	HMAC(EVP_sha256(), registry->hash_key, sizeof registry->hash_key, text, len, mac, NULL);
	hex_encode(ret_hash, mac, 16);
}

bool registry_ready(struct registry *registry, char *ret_detail, size_t detail_size)
{
	return inventory_ready(registry->inventory, ret_detail, detail_size);
}

enum status registry_inventory(struct registry *registry, enum inventory_form form, const char *slot,
	bool (*visible)(void *context, const char *slot), void *context, uint64_t after, unsigned wait_ms,
	struct buffer *out)
{
	return inventory_write(registry->inventory, form, slot, visible, context, after, wait_ms, out);
}
