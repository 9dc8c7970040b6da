#include "server/app/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cryptoki.h"
#include "server/app/token.h"
#include "server/common/log.h"

static struct worker_process *process_alloc(struct registry *registry, const struct process_kind *kind)
{
	struct worker_process *process = calloc(1, sizeof *process);
	char *domain = kind->domain == NULL ? NULL : strdup(kind->domain);
	if (process == NULL || (domain == NULL && kind->domain != NULL)) {
		free(process);
		free(domain);
		return NULL;
	}
	process->domain = domain;
	snprintf(process->application_hash, sizeof process->application_hash, "%s",
		kind->application_hash == NULL ? "" : kind->application_hash);
	atomic_init(&process->refs, 1);
	process->registry = registry;
	process->settings = settings_ref(kind->settings);
	process->slot = kind->slot;
	process->module = kind->module;
	process->asker = kind->asker;
	process->application = kind->application == NULL ? NULL : application_share(registry, kind->application);
	process->threads = kind->slot == NULL ? 1 : kind->settings->limits.worker_threads;
	process->holder = -1;
	process->state = PROCESS_STARTING;
	process->last_used = clock_ms();
	pthread_mutex_init(&process->mutex, NULL);
	fifo_init(&process->pool, process->threads, kind->settings->limits.queue_max);
	for (unsigned i = 0; i < process->threads; i++)
		process->free_pairs[i] = (unsigned char)(process->threads - 1 - i);
	process->free_count = process->threads;
	process_policy(process, kind->settings);
	return process;
}

/*
 * Into the registry's list: from here on a reload reaches the process, and the keeper reaps it. `ret_outdated`: a reload
 * has replaced the settings that it was made for before it could be reached.
 */
static enum status process_enlist(struct worker_process *process, bool *ret_outdated)
{
	struct registry *registry = process->registry;
	pthread_mutex_lock(&registry->mutex);
	bool stopping = registry->stopping;
	/* The inventory follows a reload by itself. */
	*ret_outdated = process->slot != NULL && process->settings != registry->settings;
	if (!stopping) {
		process->serial = ++registry->process_serial;
		process->next = registry->processes;
		registry->processes = process;
		registry->processes_count++;
	}
	pthread_mutex_unlock(&registry->mutex);
	if (stopping)
		return STATUS_CLOSED;
	if (process->token != NULL)
		token_attach(process->token, process);
	atomic_fetch_add(&registry->metrics.workers_started, 1);
	return STATUS_OK;
}

/* Whether it works for the domain; NULL: for any. */
static bool is_of_domain(const struct worker_process *process, const void *domain)
{
	return process->domain != NULL && (domain == NULL || strcmp(process->domain, domain) == 0);
}

/* Ends a worker of the domain (NULL: of any) that nobody needs. False: there is none. */
static bool make_room(struct registry *registry, const char *domain)
{
	size_t count = 0;
	struct worker_process **processes = registry_processes(registry, is_of_domain, domain, &count);
	struct worker_process *oldest = NULL;
	int64_t oldest_used = INT64_MAX, used;
	for (size_t i = 0; i < count; i++) {
		if (!process_is_spare(processes[i], &used) || used >= oldest_used)
			continue;
		oldest = processes[i];
		oldest_used = used;
	}
	if (oldest != NULL)
		process_end(oldest, END_ROOM);
	bool made = oldest != NULL;
	processes_unref(processes, count);
	return made;
}

static bool counts_as_worker(const struct worker_process *process, const void *domain)
{
	if (!is_of_domain(process, domain))
		return false;
	struct worker_process *self = (struct worker_process *)(uintptr_t)process;
	pthread_mutex_lock(&self->mutex);
	bool counts = self->state <= PROCESS_LIVE;
	pthread_mutex_unlock(&self->mutex);
	return counts;
}

static enum status check_room(struct registry *registry, const struct process_kind *kind)
{
	__typeof__(kind->settings->limits) *limits = &kind->settings->limits;
	if (kind->domain == NULL)
		return STATUS_OK;
	/* First: who has too many must not take the room of others. */
	if (registry_count(registry, counts_as_worker, kind->domain) >= limits->workers_per_identity &&
		!make_room(registry, kind->domain)) {
		log_event(LOG_LEVEL_WARNING, "no worker started: limits.workers_per_identity is reached", "identity",
			kind->domain, "slot", kind->slot->name, NULL);
		return STATUS_BUSY;
	}
	if (registry_count(registry, counts_as_worker, NULL) < limits->workers_max || make_room(registry, NULL))
		return STATUS_OK;
	log_event(
		LOG_LEVEL_WARNING, "no worker started: limits.workers_max is reached", "slot", kind->slot->name, NULL);
	return STATUS_BUSY;
}

static enum status spawn(struct registry *registry, const struct process_kind *kind,
	struct worker_process **ret_process, char reason[REASON_LEN])
{
	struct worker_process *process = process_alloc(registry, kind);
	if (process == NULL)
		return STATUS_NO_MEMORY;
	enum status status = registry_lock(registry, kind->settings, kind->module, &process->lock);
	struct token *token = NULL;
	if (status == STATUS_OK && kind->slot != NULL)
		status = registry_slot(registry, kind->slot, &process->record, &token);
	process->token = token;
	if (status == STATUS_OK)
		status = spawn_worker(
			kind->settings->worker_program, kind->module->environment, process->threads, &process->os);
	if (status != STATUS_OK) {
		snprintf(reason, REASON_LEN, "the worker program %s could not be started: %s",
			kind->settings->worker_program, status == STATUS_IO ? strerror(errno) : "out of memory");
		process_free(process);
		return status;
	}
	bool outdated = false;
	status = process_enlist(process, &outdated);
	if (status != STATUS_OK) {
		/* Nobody reaps it in a registry that is being freed: its sockets close and it exits. */
		process_unref(process);
		return status;
	}
	*ret_process = process_ref(process);
	status = keeper_watch(registry, process);
	if (status != STATUS_OK)
		snprintf(reason, REASON_LEN, "the worker could not be watched: %s", strerror(errno));
	if (status == STATUS_OK && outdated) {
		process_end(process, END_RELOAD);
		status = STATUS_CLOSED;
	}
	return status;
}

static enum status introduce(
	struct worker_process *process, const char *application_hash, uint64_t *ret_rv, char reason[REASON_LEN])
{
	ARENA_AUTO struct arena arena;
	BUFFER_AUTO struct buffer payload;
	struct worker_started started = {.detail = ""};
	int64_t limit_ms = clock_ms() + START_EXTRA_MS;
	arena_init(&arena, FRAME_PAYLOAD_MAX);
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	enum status status = exchange_start(process, application_hash, limit_ms, &arena, &payload, &started);
	if (status == STATUS_OK && started.rv != CKR_OK) {
		*ret_rv = started.rv;
		snprintf(reason, REASON_LEN, "%s", started.detail);
		return STATUS_UNAVAILABLE;
	}
	if (status != STATUS_OK)
		snprintf(reason, REASON_LEN, "the worker %s while it loaded the module",
			status == STATUS_TIMEOUT  ? "did not answer"
			: status == STATUS_CLOSED ? "ended"
						  : "sent what it should not");
	return status;
}

/* Whether it was ended for a reason that has nothing to do with it, so that another start may well succeed. */
static bool was_called_off(struct worker_process *process)
{
	pthread_mutex_lock(&process->mutex);
	bool called_off = process->state >= PROCESS_ENDING &&
			  (process->cause == END_TOKEN_INITIALISED || process->cause == END_RELOAD);
	pthread_mutex_unlock(&process->mutex);
	return called_off;
}

static enum status start_in_turn(struct registry *registry, const struct process_kind *kind,
	struct worker_process **ret_process, uint64_t *ret_rv, char reason[REASON_LEN])
{
	struct worker_process *process = NULL;
	enum status status = check_room(registry, kind);
	if (status != STATUS_OK)
		return status;
	status = spawn(registry, kind, &process, reason);
	if (status == STATUS_OK)
		status = introduce(process, kind->application_hash, ret_rv, reason);
	if (status == STATUS_OK) {
		pthread_mutex_lock(&process->mutex);
		if (process->state == PROCESS_STARTING)
			process->state = PROCESS_LIVE;
		else
			status = STATUS_CLOSED;
		pthread_mutex_unlock(&process->mutex);
	}
	if (status == STATUS_OK) {
		*ret_process = process;
		return STATUS_OK;
	}
	bool again = process != NULL && was_called_off(process);
	if (process != NULL) {
		process_end(process, END_START);
		process_disconnect(process);
		process_unref(process);
	}
	return again ? STATUS_CLOSED : STATUS_UNAVAILABLE;
}

enum status process_start(struct registry *registry, const struct process_kind *kind, int64_t deadline_ms,
	struct worker_process **ret_process, uint64_t *ret_rv, char ret_reason[REASON_LEN])
{
	uint64_t rv = CKR_DEVICE_ERROR;
	char reason[REASON_LEN] = "the gateway is overloaded or out of memory";
	enum status status = fifo_enter(&registry->starts, deadline_ms);
	if (status == STATUS_OK) {
		status = start_in_turn(registry, kind, ret_process, &rv, reason);
		fifo_leave(&registry->starts);
	} else {
		status = status == STATUS_CLOSED ? STATUS_UNAVAILABLE : STATUS_BUSY;
	}
	if (status != STATUS_UNAVAILABLE)
		return status;
	log_event(LOG_LEVEL_WARNING, "worker not started", "module", kind->module->name, "slot",
		kind->slot == NULL ? "" : kind->slot->name, "reason", reason, NULL);
	*ret_rv = rv;
	snprintf(ret_reason, REASON_LEN, "%s", reason);
	return STATUS_UNAVAILABLE;
}
