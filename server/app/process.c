#include "server/app/process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>

#include "api/route.h"
#include "server/app/token.h"
#include "server/common/log.h"

static const char *const cause_labels[] = {
#define CAUSE(constant, label, news, reason) label,
	END_CAUSES(CAUSE)
#undef CAUSE
};

static const bool cause_is_news[] = {
#define CAUSE(constant, label, news, reason) news,
	END_CAUSES(CAUSE)
#undef CAUSE
};

struct worker_process *process_ref(struct worker_process *process)
{
	atomic_fetch_add(&process->refs, 1);
	return process;
}

void process_free(struct worker_process *process)
{
	/* Not before: whoever ends a process makes its application forget it, also after it was reaped. */
	if (process->application != NULL)
		application_unref(process->registry, process->application);
	fifo_done(&process->pool);
	pthread_mutex_destroy(&process->mutex);
	settings_unref(process->settings);
	principal_done(&process->owner);
	free(process->domain);
	free(process);
}

void process_unref(struct worker_process *process)
{
	if (process == NULL || atomic_fetch_sub(&process->refs, 1) > 1)
		return;
	spawned_close(&process->os, process->threads);
	process_free(process);
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

/* When the token was granted for the login that has begun. Mutex held. */
static int64_t granted_at(const struct worker_process *process)
{
	for (unsigned i = 0; process->holder >= 0 && i < process->hold_depth; i++)
		if (process->holds[i].question.purpose == TOKEN_FOR_LOGIN)
			return process->holds[i].since;
	return clock_ms();
}

bool process_take_state(struct worker_process *process, const struct worker_state *state)
{
	if (state->login > LOGIN_SO || state->native > LOGIN_SO)
		return false;
	/* Old news of another thread of the worker. */
	if (state->state_serial != 0 && state->state_serial < process->state_serial)
		return false;
	if (process->login == LOGIN_NONE && state->login != LOGIN_NONE) {
		process->login_since = clock_ms();
		process->login_granted = granted_at(process);
	}
	bool moved = process->native != (enum login_state)state->native;
	process->state_serial = state->state_serial;
	process->sessions = state->sessions;
	process->login = (enum login_state)state->login;
	process->native = (enum login_state)state->native;
	return moved;
}

void process_state_news(struct worker_process *process, const struct worker_state *state)
{
	pthread_mutex_lock(&process->mutex);
	bool moved = process_take_state(process, state);
	bool follows = state->policy_generation > process->policy_generation;
	if (follows)
		process->policy_generation = state->policy_generation;
	pthread_mutex_unlock(&process->mutex);
	if (moved)
		token_changed(process->token);
	if (!follows)
		return;
	pthread_mutex_lock(&process->registry->mutex);
	pthread_cond_broadcast(&process->registry->processes_changed);
	pthread_mutex_unlock(&process->registry->mutex);
}

void process_policy(struct worker_process *process, const struct settings *settings)
{
	struct config_login login;
	if (process->slot == NULL || process->domain == NULL)
		return;
	config_login(&settings->rules, process->domain, process->slot->name, &login);
	pthread_mutex_lock(&process->mutex);
	process->rules = login;
	pthread_mutex_unlock(&process->mutex);
	token_changed(process->token);
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

void process_enter(struct worker_process *process)
{
	pthread_mutex_lock(&process->mutex);
	process->uses++;
	pthread_mutex_unlock(&process->mutex);
}

void process_leave(struct worker_process *process, const struct process_use *use)
{
	pthread_mutex_lock(&process->mutex);
	process->uses--;
	process->uses_login -= use->login;
	pthread_mutex_unlock(&process->mutex);
	logout_settle(process, false);
	logout_with_process(process);
}

/*
 * Whether it may change the token without having the token's lock. What logs in or out or changes a PIN has the lock, and
 * process_may_be_writing sees that.
 */
static bool may_write(const struct worker_request *request)
{
	const unsigned writing = PERMISSIONS_WRITE | PERMISSIONS_ADMIN;
	if (request->route >= ROUTE_COUNT)
		return true;
	/* Which calls there are is in the body. */
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
	struct buffer *payload, struct worker_response *ret_response, struct process_use *use)
{
	*use = (struct process_use){.client = use->client, .asked = use->asked};
	int64_t allowed_ms = request->deadline_ms > INT32_MAX ? INT32_MAX : (int64_t)request->deadline_ms;
	enum status status = fifo_enter(&process->pool, clock_ms() + allowed_ms);
	if (status != STATUS_OK)
		return status == STATUS_TIMEOUT ? STATUS_BUSY : status;
	unsigned pair = 0;
	if (!take_pair(process, &pair)) {
		fifo_leave(&process->pool);
		return STATUS_CLOSED;
	}
	status = exchange_request(process, pair, request, clock_ms() + allowed_ms, arena, payload, ret_response, use);
	if (status != STATUS_OK && !(status == STATUS_NO_MEMORY && !use->sent))
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
		writing |= process->holds[i].question.purpose != TOKEN_FOR_MODULE;
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

void process_void_login(struct worker_process *process, enum login_end cause)
{
	const struct login_voided message = {.cause = cause};
	BUFFER_AUTO struct buffer payload;
	buffer_init(&payload, FRAME_CHUNK);
	login_voided_pack(&payload, &message);
	process_command(process, FRAME_LOGIN_VOIDED, &payload);
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
	pthread_cond_broadcast(&registry->processes_changed);
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
	pthread_mutex_lock(&registry->mutex);
	process->detached = true;
	if (process->token != NULL)
		token_detach(process->token, process);
	pthread_mutex_unlock(&registry->mutex);
	operations_forget_process(registry->operations, process->serial);
	atomic_fetch_add(&registry->metrics.workers_ended[cause], 1);
	char pid[16];
	snprintf(pid, sizeof pid, "%d", (int)process->os.pid);
	log_event(cause_is_news[cause] ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "worker ended", "module",
		process->module->name, "slot", process->slot == NULL ? "" : process->slot->name, "pid", pid, "cause",
		cause_labels[cause], NULL);
	if (process->application != NULL)
		application_forget(process->application, process);
	/* Before it is unlisted: who waits for that may close the audit log next. */
	logout_with_process(process);
	unlist(process);
	process_unref(process);
}
