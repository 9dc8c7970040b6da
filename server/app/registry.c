#include "server/app/internal.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cryptoki.h"
#include "api/secret.h"
#include "server/common/log.h"

enum {
	STARTS_AT_ONCE = 8, /* workers that start at one time; starting is processor time and one lock */
	STARTS_WAITING = 65536,
	FREE_GRACE_MS = 5000, /* for workers to end by themselves */
	FREE_KILLED_MS = 1000, /* for killed ones to be reaped */
	REQUEST_TRIES = 3, /* starts for one request, when workers end before they have seen it */
};

struct settings *registry_settings(struct registry *registry)
{
	pthread_mutex_lock(&registry->mutex);
	struct settings *settings = settings_ref(registry->settings);
	pthread_mutex_unlock(&registry->mutex);
	return settings;
}

enum status registry_token(struct registry *registry, const char *slot, struct token **ret_token)
{
	enum status status = STATUS_OK;
	pthread_mutex_lock(&registry->mutex);
	struct token *token = registry->tokens;
	while (token != NULL && strcmp(token->name, slot) != 0)
		token = token->next;
	if (token == NULL) {
		status = token_new(slot, &token);
		if (status == STATUS_OK) {
			token->next = registry->tokens;
			registry->tokens = token;
		}
	}
	pthread_mutex_unlock(&registry->mutex);
	if (status == STATUS_OK)
		*ret_token = token;
	return status;
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
	pthread_cond_destroy(&registry->reaped);
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
	pthread_cond_init(&registry->reaped, NULL);
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
		in_time = clock_wait(&registry->reaped, &registry->mutex, deadline_ms);
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
	leases_free(registry->leases, registry);
	registry_release(registry);
}

/* --- reload --- */

static void send_policy(struct worker_process *process, const struct settings *settings)
{
	BUFFER_AUTO struct buffer payload;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	buffer_append(&payload, settings->policy.data, settings->policy.len);
	process_command(process, FRAME_POLICY, &payload);
}

/* Workers of slots that serve the new configuration as they are get its policy; the others end. */
static void bring_up_to_date(struct registry *registry, const struct settings *settings)
{
	size_t count = 0;
	struct worker_process **processes = registry_processes(registry, NULL, NULL, &count);
	for (size_t i = 0; i < count; i++) {
		/* The inventory sees to its own. */
		if (processes[i]->slot == NULL)
			continue;
		const struct slot_settings *slot = settings_slot(settings, processes[i]->slot->name);
		if (slot != NULL && slot_settings_equal(slot, processes[i]->slot))
			send_policy(processes[i], settings);
		else
			process_end(processes[i], END_RELOAD);
	}
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

/* --- requests --- */

static bool is_zero(const unsigned char *bytes, size_t len)
{
	unsigned char all = 0;
	for (size_t i = 0; i < len; i++)
		all |= bytes[i];
	return all == 0;
}

/* What one request needs in all its attempts. */
struct attempt {
	struct registry *registry;
	struct settings *settings;
	const struct slot_settings *slot;
	const struct application_key *key;
	struct arena *arena;
	struct buffer *payload;
	struct worker_response *response;
	uint64_t *rv;
};

static int64_t start_deadline(const struct attempt *attempt)
{
	return clock_ms() + (int64_t)attempt->settings->limits.token_wait_s * 1000 + START_EXTRA_MS;
}

static enum status note_operation(const struct attempt *attempt, const struct worker_process *process)
{
	const char *opened = attempt->response->operation_opened;
	if (opened[0] == '\0')
		return STATUS_OK;
	/* As long again as it lives: the worker says that it has expired, or was used. */
	int64_t forget_at = clock_ms() + 2 * (int64_t)attempt->settings->limits.operation_ttl_s * 1000;
	enum status status = operation_opened(
		attempt->registry->operations, opened, attempt->key, process->serial, forget_at);
	return status == STATUS_OK || status == STATUS_NO_MEMORY ? status : STATUS_CLOSED;
}

static enum status run_shared(
	const struct attempt *attempt, struct application *application, const struct worker_request *request)
{
	enum status status = STATUS_CLOSED;
	bool sent = false;
	for (unsigned i = 0; i < REQUEST_TRIES && status == STATUS_CLOSED && !sent; i++) {
		struct worker_process *process = NULL;
		status = application_process(attempt->registry, application, attempt->settings, attempt->slot,
			start_deadline(attempt), &process, attempt->rv);
		if (status == STATUS_CLOSED)
			continue;
		if (status != STATUS_OK)
			return status;
		status = process_request(process, request, attempt->arena, attempt->payload, attempt->response, &sent);
		if (status == STATUS_OK)
			status = note_operation(attempt, process);
		process_unref(process);
	}
	return status;
}

/* Requirement A28: a worker of its own, of an application that nobody else can name. */
static enum status run_anonymous(const struct attempt *attempt, const struct worker_request *request)
{
	struct application_key key = {.domain = attempt->key->domain, .slot = attempt->key->slot};
	struct worker_request alone = *request;
	struct worker_process *process = NULL;
	char hash[33], reason[REASON_LEN];
	bool sent;

	if (RAND_bytes(key.id, sizeof key.id) != 1)
		return STATUS_NO_MEMORY;
	registry_application_hash(attempt->registry, &key, hash);
	struct process_kind kind = {attempt->settings, attempt->slot, attempt->slot->module, NULL, hash};
	enum status status = process_start(
		attempt->registry, &kind, start_deadline(attempt), &process, attempt->rv, reason);
	if (status != STATUS_OK)
		return status;
	alone.anonymous = 1;
	memset(alone.instance, 0, sizeof alone.instance);
	status = process_request(process, &alone, attempt->arena, attempt->payload, attempt->response, &sent);
	process_end(process, END_ONE_REQUEST);
	process_unref(process);
	if (status == STATUS_OK && attempt->response->status == 0)
		return STATUS_CLOSED;
	return status;
}

static enum status run(const struct attempt *attempt, const struct worker_request *request)
{
	struct registry *registry = attempt->registry;
	struct application *application = application_ref(registry, attempt->key);
	if (application == NULL)
		return STATUS_NO_MEMORY;
	enum status status = STATUS_OK;
	if (!is_zero(request->instance, sizeof request->instance))
		status = lease_use(registry->leases, registry, attempt->key->domain, request->instance, application);
	if (status == STATUS_OK)
		status = run_shared(attempt, application, request);
	application_unref(registry, application);
	if (status == STATUS_OK && attempt->response->status == 0)
		status = run_anonymous(attempt, request);
	return status;
}

enum status registry_request(struct registry *registry, const struct application_key *key,
	const struct worker_request *request, struct arena *arena, struct buffer *ret_payload,
	struct worker_response *ret_response, uint64_t *ret_rv)
{
	struct settings *settings = registry_settings(registry);
	const struct slot_settings *slot = settings_slot(settings, key->slot);
	struct worker_request whole = *request;
	uint64_t rv = CKR_OK;
	enum status status = STATUS_NOT_FOUND;
	if (slot != NULL) {
		if (whole.deadline_ms == 0)
			whole.deadline_ms = (uint64_t)settings->limits.sign_s * 1000;
		struct attempt attempt = {registry, settings, slot, key, arena, ret_payload, ret_response, &rv};
		status = run(&attempt, &whole);
	}
	settings_unref(settings);
	*ret_rv = rv;
	atomic_fetch_add(&registry->metrics.requests[status], 1);
	return status;
}

/* --- the rest of registry.h --- */

enum status registry_operation(struct registry *registry, const char *operation, const char *identity,
	struct arena *arena, struct application_key *ret_key)
{
	return operation_find(registry->operations, operation, identity, arena, ret_key);
}

void registry_instance_opened(struct registry *registry, const char *domain, const unsigned char *instance)
{
	lease_opened(registry->leases, domain, instance);
}

void registry_instance_closed(struct registry *registry, const char *domain, const unsigned char *instance)
{
	lease_closed(registry->leases, domain, instance);
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
	for (unsigned i = 0; i < 16; i++)
		snprintf(ret_hash + 2 * i, 3, "%02x", mac[i]);
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
