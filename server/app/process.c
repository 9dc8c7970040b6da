#include "server/app/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>

#include "api/cryptoki.h"
#include "api/route.h"
#include "server/common/log.h"

static const char *const cause_labels[] = {
#define CAUSE(constant, label, news) label,
	END_CAUSES(CAUSE)
#undef CAUSE
};

static const bool cause_is_news[] = {
#define CAUSE(constant, label, news) news,
	END_CAUSES(CAUSE)
#undef CAUSE
};

struct worker_process *process_ref(struct worker_process *process)
{
	atomic_fetch_add(&process->refs, 1);
	return process;
}

void process_unref(struct worker_process *process)
{
	if (process == NULL || atomic_fetch_sub(&process->refs, 1) > 1)
		return;
	spawned_close(&process->os, process->threads);
	fifo_done(&process->pool);
	pthread_mutex_destroy(&process->mutex);
	settings_unref(process->settings);
	free(process);
}

bool process_is_live(struct worker_process *process)
{
	pthread_mutex_lock(&process->mutex);
	bool live = process->state == PROCESS_LIVE;
	pthread_mutex_unlock(&process->mutex);
	return live;
}

bool process_is_spare(struct worker_process *process, int64_t *ret_last_used)
{
	unsigned waiting = fifo_waiting(&process->pool);
	pthread_mutex_lock(&process->mutex);
	bool spare = process->state == PROCESS_LIVE && process->application != NULL && waiting == 0 &&
		     process->free_count == process->threads && process->sessions == 0 && process->login == LOGIN_NONE;
	*ret_last_used = process->last_used;
	pthread_mutex_unlock(&process->mutex);
	return spare;
}

void process_state_news(struct worker_process *process, uint64_t serial, uint32_t sessions, uint32_t login)
{
	pthread_mutex_lock(&process->mutex);
	if (login <= LOGIN_SO && (serial == 0 || serial >= process->state_serial)) {
		if (process->login == LOGIN_NONE && login != LOGIN_NONE)
			process->login_since = clock_ms();
		process->state_serial = serial;
		process->sessions = sessions;
		process->login = (enum login_state)login;
	}
	pthread_mutex_unlock(&process->mutex);
}

/* --- starting --- */

static struct worker_process *process_alloc(struct registry *registry, const struct process_kind *kind)
{
	struct worker_process *process = calloc(1, sizeof *process);
	if (process == NULL)
		return NULL;
	atomic_init(&process->refs, 1);
	process->registry = registry;
	process->settings = settings_ref(kind->settings);
	process->slot = kind->slot;
	process->module = kind->module;
	process->application = kind->application;
	process->threads = kind->slot == NULL ? 1 : kind->settings->limits.worker_threads;
	process->holder = -1;
	process->state = PROCESS_STARTING;
	process->last_used = clock_ms();
	pthread_mutex_init(&process->mutex, NULL);
	fifo_init(&process->pool, process->threads, kind->settings->limits.queue_max);
	for (unsigned i = 0; i < process->threads; i++)
		process->free_pairs[i] = (unsigned char)(process->threads - 1 - i);
	process->free_count = process->threads;
	return process;
}

static void process_discard(struct worker_process *process)
{
	fifo_done(&process->pool);
	pthread_mutex_destroy(&process->mutex);
	settings_unref(process->settings);
	free(process);
}

/* Into the registry's list and the keeper's care: from here on every end of the process is seen. */
static enum status process_enlist(struct worker_process *process)
{
	struct registry *registry = process->registry;
	pthread_mutex_lock(&registry->mutex);
	bool stopping = registry->stopping;
	if (!stopping) {
		process->serial = ++registry->process_serial;
		process->next = registry->processes;
		registry->processes = process;
		registry->processes_count++;
		if (process->application != NULL)
			process->application->refs++;
	}
	pthread_mutex_unlock(&registry->mutex);
	if (stopping)
		return STATUS_CLOSED;
	if (process->token != NULL)
		token_attach(process->token, process);
	atomic_fetch_add(&registry->metrics.workers_started, 1);
	return STATUS_OK;
}

/* Ends one that nobody needs. False: there is none. */
static bool make_room(struct registry *registry)
{
	size_t count = 0;
	struct worker_process **processes = registry_processes(registry, NULL, NULL, &count);
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

static bool counts_as_worker(const struct worker_process *process, const void *context)
{
	(void)context;
	struct worker_process *self = (struct worker_process *)(uintptr_t)process;
	pthread_mutex_lock(&self->mutex);
	bool counts = self->slot != NULL && self->state <= PROCESS_LIVE;
	pthread_mutex_unlock(&self->mutex);
	return counts;
}

static enum status check_room(struct registry *registry, const struct process_kind *kind)
{
	if (kind->slot == NULL)
		return STATUS_OK;
	size_t count = registry_count(registry, counts_as_worker, NULL);
	if (count < kind->settings->limits.workers_max || make_room(registry))
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
	if (status == STATUS_OK && kind->slot != NULL)
		status = registry_token(registry, kind->slot->name, &process->token);
	if (status == STATUS_OK)
		status = spawn_worker(
			kind->settings->worker_program, kind->module->environment, process->threads, &process->os);
	if (status != STATUS_OK) {
		snprintf(reason, REASON_LEN, "the worker program %s could not be started: %s",
			kind->settings->worker_program, status == STATUS_IO ? strerror(errno) : "out of memory");
		process_discard(process);
		return status;
	}
	status = process_enlist(process);
	if (status == STATUS_OK) {
		*ret_process = process_ref(process);
		status = keeper_watch(registry, process);
		if (status != STATUS_OK)
			snprintf(reason, REASON_LEN, "the worker could not be watched: %s", strerror(errno));
		return status;
	}
	/* Nobody reaps it in a registry that is being freed: its sockets close and it exits. */
	process_unref(process);
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

/* --- requests --- */

static bool take_pair(struct worker_process *process, unsigned *ret_pair)
{
	pthread_mutex_lock(&process->mutex);
	bool taken = process->state == PROCESS_LIVE && process->free_count > 0;
	/* Last in, first out: the thread that worked last has the warmest caches. */
	if (taken)
		*ret_pair = process->free_pairs[--process->free_count];
	pthread_mutex_unlock(&process->mutex);
	return taken;
}

static void give_back_pair(struct worker_process *process, unsigned pair)
{
	pthread_mutex_lock(&process->mutex);
	process->free_pairs[process->free_count++] = (unsigned char)pair;
	process->last_used = clock_ms();
	pthread_mutex_unlock(&process->mutex);
}

static bool may_write(const struct worker_request *request)
{
	unsigned writing = 1u << PERMISSION_WRITE | 1u << PERMISSION_ADMIN;
	if (request->route >= ROUTE_COUNT)
		return true;
	if (request->route == ROUTE_calls)
		return (request->permissions & writing) != 0;
	return (route_row((enum route_id)request->route)->permissions & writing) != 0;
}

/* The outcome for the caller when the exchange failed; the worker is of no more use. */
static enum status process_failed(
	struct worker_process *process, const struct worker_request *request, unsigned pair, enum status status)
{
	if (status == STATUS_TIMEOUT) {
		pthread_mutex_lock(&process->mutex);
		process->overdue_write |= may_write(request);
		pthread_mutex_unlock(&process->mutex);
	}
	process_end(process, status == STATUS_TIMEOUT  ? END_DEADLINE
			     : status == STATUS_CLOSED ? END_DIED
						       : END_PROTOCOL);
	/* If its thread ever comes back it finds nobody, and the worker exits. */
	shutdown(process->os.pairs[pair], SHUT_RDWR);
	return status == STATUS_TIMEOUT ? STATUS_TIMEOUT : STATUS_CLOSED;
}

enum status process_request(struct worker_process *process, const struct worker_request *request, struct arena *arena,
	struct buffer *payload, struct worker_response *ret_response, bool *ret_sent)
{
	*ret_sent = false;
	int64_t allowed_ms = request->deadline_ms > INT32_MAX ? INT32_MAX : (int64_t)request->deadline_ms;
	enum status status = fifo_enter(&process->pool, clock_ms() + allowed_ms);
	if (status != STATUS_OK)
		return status == STATUS_TIMEOUT ? STATUS_BUSY : status;
	unsigned pair = 0;
	if (!take_pair(process, &pair)) {
		fifo_leave(&process->pool);
		return STATUS_CLOSED;
	}
	status = exchange_request(
		process, pair, request, clock_ms() + allowed_ms, arena, payload, ret_response, ret_sent);
	if (status != STATUS_OK && !(status == STATUS_NO_MEMORY && !*ret_sent))
		status = process_failed(process, request, pair, status);
	give_back_pair(process, pair);
	fifo_leave(&process->pool);
	return status;
}

/* --- ending --- */

void process_end(struct worker_process *process, enum end_cause cause)
{
	pthread_mutex_lock(&process->mutex);
	bool begins = process->state < PROCESS_ENDING;
	if (begins) {
		process->state = PROCESS_ENDING;
		process->cause = cause;
		process->end_begun = clock_ms();
	}
	pthread_mutex_unlock(&process->mutex);
	if (!begins)
		return;
	if (process->application != NULL)
		application_forget(process->application, process);
	fifo_close(&process->pool);
	/* Whoever does not take this is ended by the keeper in time. */
	if (frame_send(process->os.control, FRAME_SHUTDOWN, NULL, 0) != STATUS_OK && cause_is_news[cause])
		log_event(LOG_LEVEL_INFO, "worker takes no commands", "module", process->module->name, NULL);
	keeper_poke(process->registry);
}

void process_disconnect(struct worker_process *process)
{
	for (unsigned i = 0; i < process->threads; i++)
		shutdown(process->os.pairs[i], SHUT_RDWR);
}

bool process_may_be_writing(struct worker_process *process)
{
	pthread_mutex_lock(&process->mutex);
	bool writing = process->overdue_write;
	for (unsigned i = 0; process->holder >= 0 && i < process->hold_depth; i++)
		writing |= process->hold_purposes[i] != TOKEN_FOR_MODULE;
	pthread_mutex_unlock(&process->mutex);
	return writing;
}

void process_kill(struct worker_process *process)
{
	pthread_mutex_lock(&process->mutex);
	bool first = !process->killed;
	process->killed = true;
	pthread_mutex_unlock(&process->mutex);
	if (!first)
		return;
	pidfd_send_signal(process->os.pidfd, SIGKILL, NULL, 0);
	atomic_fetch_add(&process->registry->metrics.workers_killed, 1);
	log_event(LOG_LEVEL_WARNING, "worker killed: it did not end when told to", "module", process->module->name,
		"slot", process->slot == NULL ? "" : process->slot->name, NULL);
}

void process_command(struct worker_process *process, enum frame_type type, const struct buffer *payload)
{
	enum status status = payload->failed ? STATUS_NO_MEMORY
					     : frame_send(process->os.control, type, payload->data, payload->len);
	if (status != STATUS_OK)
		process_end(process, status == STATUS_CLOSED ? END_DIED : END_PROTOCOL);
}

static void unlist(struct worker_process *process)
{
	struct registry *registry = process->registry;
	pthread_mutex_lock(&registry->mutex);
	for (struct worker_process **at = &registry->processes; *at != NULL; at = &(*at)->next) {
		if (*at == process) {
			*at = process->next;
			registry->processes_count--;
			break;
		}
	}
	pthread_cond_broadcast(&registry->reaped);
	pthread_mutex_unlock(&registry->mutex);
}

void process_reaped(struct worker_process *process)
{
	struct registry *registry = process->registry;
	pthread_mutex_lock(&process->mutex);
	enum end_cause cause = process->state == PROCESS_ENDING ? process->cause : END_DIED;
	process->state = PROCESS_DEAD;
	process->cause = cause;
	pthread_mutex_unlock(&process->mutex);

	fifo_close(&process->pool);
	/* A child of the module may hold the sockets open, so that no end of file would come. */
	process_disconnect(process);
	token_abandon(process, -1);
	if (process->token != NULL)
		token_detach(process->token, process);
	operations_forget_process(registry->operations, process->serial);
	atomic_fetch_add(&registry->metrics.workers_ended[cause], 1);
	char pid[16];
	snprintf(pid, sizeof pid, "%d", (int)process->os.pid);
	log_event(cause_is_news[cause] ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "worker ended", "module",
		process->module->name, "slot", process->slot == NULL ? "" : process->slot->name, "pid", pid, "cause",
		cause_labels[cause], NULL);
	if (process->application != NULL) {
		application_forget(process->application, process);
		application_unref(registry, process->application);
	}
	unlist(process);
	process_unref(process);
}
