#include "server/app/internal.h"

#include <stdlib.h>
#include <string.h>

#include "api/cryptoki.h"
#include "server/common/log.h"

enum status token_new(const char *name, struct token **ret_token)
{
	struct token *token = calloc(1, sizeof *token);
	char *copy = strdup(name);
	if (token == NULL || copy == NULL) {
		free(token);
		free(copy);
		return STATUS_NO_MEMORY;
	}
	token->name = copy;
	token->generation = 1;
	pthread_mutex_init(&token->mutex, NULL);
	*ret_token = token;
	return STATUS_OK;
}

void token_free(struct token *token)
{
	if (token == NULL)
		return;
	pthread_mutex_destroy(&token->mutex);
	free(token->name);
	free(token);
}

void token_attach(struct token *token, struct worker_process *process)
{
	pthread_mutex_lock(&token->mutex);
	process->token_next = token->processes;
	token->processes = process;
	pthread_mutex_unlock(&token->mutex);
}

void token_detach(struct token *token, struct worker_process *process)
{
	pthread_mutex_lock(&token->mutex);
	for (struct worker_process **at = &token->processes; *at != NULL; at = &(*at)->token_next) {
		if (*at == process) {
			*at = process->token_next;
			break;
		}
	}
	pthread_mutex_unlock(&token->mutex);
}

uint64_t token_generation(struct token *token)
{
	if (token == NULL)
		return 0;
	pthread_mutex_lock(&token->mutex);
	uint64_t generation = token->generation;
	pthread_mutex_unlock(&token->mutex);
	return generation;
}

/* Requirement X2, as the token itself would answer if the applications were sessions of one. */
static CK_RV conflict_with(struct worker_process *other, const struct token_acquire *question)
{
	CK_RV rv = CKR_OK;
	pthread_mutex_lock(&other->mutex);
	bool lives = other->state == PROCESS_LIVE || other->state == PROCESS_STARTING;
	/* A login over REST has no session of a client, but one of the token all the same. */
	if (lives && question->purpose == TOKEN_FOR_INIT_TOKEN && (other->sessions > 0 || other->login != LOGIN_NONE))
		rv = CKR_SESSION_EXISTS;
	if (lives && question->purpose == TOKEN_FOR_LOGIN &&
		((question->user_type == CKU_USER && other->login == LOGIN_SO) ||
			(question->user_type == CKU_SO && other->login == LOGIN_USER)))
		rv = CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
	pthread_mutex_unlock(&other->mutex);
	return rv;
}

static CK_RV find_conflict(struct worker_process *process, const struct token_acquire *question)
{
	struct token *token = process->token;
	CK_RV rv = CKR_OK;
	if (token == NULL)
		return CKR_OK;
	pthread_mutex_lock(&token->mutex);
	/* The worker that asks knows about its own sessions and login better than anybody. */
	for (struct worker_process *other = token->processes; other != NULL && rv == CKR_OK; other = other->token_next)
		if (other != process)
			rv = conflict_with(other, question);
	pthread_mutex_unlock(&token->mutex);
	return rv;
}

/* True: the thread has the token already and now once more. */
static bool hold_again(struct worker_process *process, unsigned pair, uint32_t purpose, CK_RV *ret_rv)
{
	pthread_mutex_lock(&process->mutex);
	bool again = process->holder == (int)pair;
	if (again && process->hold_depth < TOKEN_HOLD_DEPTH)
		process->hold_purposes[process->hold_depth++] = purpose;
	else if (again)
		*ret_rv = CKR_GENERAL_ERROR;
	pthread_mutex_unlock(&process->mutex);
	return again;
}

static CK_RV hold(struct worker_process *process, unsigned pair, uint32_t purpose, int64_t deadline_ms)
{
	enum status status = token_lock_enter(process->lock, deadline_ms);
	if (status != STATUS_OK) {
		atomic_fetch_add(&process->registry->metrics.token_waits_timed_out, 1);
		log_event(LOG_LEVEL_WARNING, "token not free in time", "module", process->module->name, "slot",
			process->slot == NULL ? "" : process->slot->name, NULL);
		return CKR_DEVICE_ERROR;
	}
	pthread_mutex_lock(&process->mutex);
	bool dead = process->state == PROCESS_DEAD;
	if (!dead) {
		process->holder = (int)pair;
		process->hold_depth = 1;
		process->hold_purposes[0] = purpose;
	}
	pthread_mutex_unlock(&process->mutex);
	if (dead)
		token_lock_leave(process->lock);
	return dead ? CKR_DEVICE_ERROR : CKR_OK;
}

void token_acquire(struct worker_process *process, unsigned pair, const struct token_acquire *question,
	int64_t deadline_ms, struct token_grant *ret_grant)
{
	CK_RV rv = CKR_OK;
	bool again = hold_again(process, pair, question->purpose, &rv);
	if (!again)
		rv = hold(process, pair, question->purpose, deadline_ms);
	if (rv == CKR_OK) {
		rv = find_conflict(process, question);
		if (rv != CKR_OK && again) {
			pthread_mutex_lock(&process->mutex);
			process->hold_depth--;
			pthread_mutex_unlock(&process->mutex);
		} else if (rv != CKR_OK) {
			token_abandon(process, (int)pair);
		}
	}
	*ret_grant = (struct token_grant){.rv = rv, .generation = token_generation(process->token)};
}

static bool is_other_of_token(const struct worker_process *process, const void *context)
{
	const struct worker_process *self = context;
	return process != self && process->token == self->token;
}

/* All that a worker believes about the token is void, its own as well: the next request starts a new one. */
static void token_was_initialised(struct worker_process *self)
{
	size_t count = 0;
	struct worker_process **others = registry_processes(self->registry, is_other_of_token, self, &count);
	for (size_t i = 0; i < count; i++)
		process_end(others[i], END_TOKEN_INITIALISED);
	processes_unref(others, count);
	process_end(self, END_TOKEN_INITIALISED);
	inventory_poke(self->registry->inventory, self->module->name);
}

static void raise_generation(struct token *token)
{
	pthread_mutex_lock(&token->mutex);
	token->generation++;
	pthread_mutex_unlock(&token->mutex);
}

enum status token_release(struct worker_process *process, unsigned pair, const struct token_release *news)
{
	pthread_mutex_lock(&process->mutex);
	if (process->holder != (int)pair) {
		pthread_mutex_unlock(&process->mutex);
		return STATUS_MALFORMED;
	}
	uint32_t purpose = process->hold_purposes[--process->hold_depth];
	bool last = process->hold_depth == 0;
	if (last)
		process->holder = -1;
	if (news->login <= LOGIN_SO) {
		if (process->login == LOGIN_NONE && news->login != LOGIN_NONE)
			process->login_since = clock_ms();
		process->login = (enum login_state)news->login;
	}
	pthread_mutex_unlock(&process->mutex);
	bool changed = news->rv == CKR_OK && process->token != NULL &&
		       (purpose == TOKEN_FOR_PIN_CHANGE || purpose == TOKEN_FOR_INIT_TOKEN);
	/* Before anybody else can have the token: the next login must see the new generation. */
	if (changed)
		raise_generation(process->token);
	if (last)
		token_lock_leave(process->lock);
	if (changed && purpose == TOKEN_FOR_INIT_TOKEN)
		token_was_initialised(process);
	return STATUS_OK;
}

void token_abandon(struct worker_process *process, int pair)
{
	pthread_mutex_lock(&process->mutex);
	bool held = process->holder >= 0 && (pair < 0 || process->holder == pair);
	if (held) {
		process->holder = -1;
		process->hold_depth = 0;
	}
	pthread_mutex_unlock(&process->mutex);
	if (held)
		token_lock_leave(process->lock);
}

void token_count_calls(struct token *token, const struct bytes_list *names)
{
	if (token == NULL)
		return;
	for (size_t i = 0; i < names->count; i++) {
		const struct call_row *row = call_row_by_name((const char *)names->items[i].data, names->items[i].len);
		atomic_fetch_add(&token->calls[row == NULL ? CALL_COUNT : row->id], 1);
	}
}
