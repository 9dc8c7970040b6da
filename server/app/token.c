#include "server/app/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cryptoki.h"
#include "server/app/process.h"
#include "server/common/log.h"

/* Generations of one token count from a start of its own, so that a worker never takes one token's for another's. */
static uint64_t first_generation(const struct token *before)
{
	return before == NULL ? 1 : ((before->first_generation >> 32) + 1) << 32 | 1;
}

enum status token_new(const char *key, struct token *next, struct token **ret_token)
{
	struct token *token = calloc(1, sizeof *token);
	if (token == NULL)
		return STATUS_NO_MEMORY;
	snprintf(token->key, sizeof token->key, "%s", key);
	token->next = next;
	token->generation = token->first_generation = first_generation(next);
	pthread_mutex_init(&token->mutex, NULL);
	pthread_cond_init(&token->changed, NULL);
	*ret_token = token;
	return STATUS_OK;
}

void token_free(struct token *token)
{
	if (token == NULL)
		return;
	guards_free(token);
	pthread_cond_destroy(&token->changed);
	pthread_mutex_destroy(&token->mutex);
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
	token_changed(token);
}

void token_changed(struct token *token)
{
	if (token == NULL)
		return;
	pthread_mutex_lock(&token->mutex);
	token->news++;
	pthread_cond_broadcast(&token->changed);
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
	/* A PIN that is verified for a login that there is makes no new one. */
	if (question->purpose == TOKEN_FOR_LOGIN && question->user_type == CKU_USER && process->asker == NULL &&
		clock_ms() < token->quiesce_until)
		rv = CKR_DEVICE_ERROR;
	/* The worker that asks knows about its own sessions and login better than anybody. */
	for (struct worker_process *other = token->processes; other != NULL && rv == CKR_OK; other = other->token_next)
		if (other != process)
			rv = conflict_with(other, question);
	pthread_mutex_unlock(&token->mutex);
	return rv;
}

/* --- exclusive logins --- */

static bool logs_in(const struct token_acquire *question)
{
	return question->purpose == TOKEN_FOR_PRIVATE_USE || question->purpose == TOKEN_FOR_KEY_LOGIN ||
	       (question->purpose == TOKEN_FOR_LOGIN && question->user_type != CKU_CONTEXT_SPECIFIC);
}

/* Whether others wait while it is logged in to the token. */
static bool is_exclusive(struct worker_process *process, bool cache_pin)
{
	return process->domain != NULL && config_login_exclusive(&process->rules, cache_pin);
}

/* Whether it is logged in to the token, or may still be, and shares it with nobody, or `alone` is wanted. */
static bool stands_in_the_way(struct worker_process *other, bool alone)
{
	pthread_mutex_lock(&other->mutex);
	bool stands = other->state != PROCESS_DEAD && other->native != LOGIN_NONE &&
		      (alone || is_exclusive(other, other->cache_pin));
	pthread_mutex_unlock(&other->mutex);
	return stands;
}

static bool is_occupied(struct worker_process *process, const struct token_acquire *question)
{
	struct token *token = process->token;
	bool occupied = false;
	if (token == NULL || !logs_in(question))
		return false;
	pthread_mutex_lock(&process->mutex);
	bool alone = is_exclusive(process, question->cache_pin != 0);
	pthread_mutex_unlock(&process->mutex);
	pthread_mutex_lock(&token->mutex);
	for (struct worker_process *other = token->processes; other != NULL && !occupied; other = other->token_next)
		occupied = other != process && other != process->asker && stands_in_the_way(other, alone);
	pthread_mutex_unlock(&token->mutex);
	return occupied;
}

static uint64_t news_of(struct token *token)
{
	if (token == NULL)
		return 0;
	pthread_mutex_lock(&token->mutex);
	uint64_t news = token->news;
	pthread_mutex_unlock(&token->mutex);
	return news;
}

/* Waits for something newer than `news`; false: there was nothing until the deadline. */
static bool await_news(struct token *token, uint64_t news, int64_t deadline_ms)
{
	bool in_time = true;
	pthread_mutex_lock(&token->mutex);
	while (token->news == news && in_time)
		in_time = clock_wait(&token->changed, &token->mutex, deadline_ms);
	in_time = token->news != news;
	pthread_mutex_unlock(&token->mutex);
	return in_time;
}

/* --- the lock --- */

/* Mutex held; there is room. */
static void push_hold(struct worker_process *process, const char *identity, const struct token_acquire *question)
{
	struct token_hold *hold = &process->holds[process->hold_depth++];
	*hold = (struct token_hold){.question = *question, .since = clock_ms()};
	snprintf(hold->identity, sizeof hold->identity, "%s", identity == NULL ? "" : identity);
}

/* True: the thread has the token already and now once more. */
static bool hold_again(struct worker_process *process, unsigned pair, const char *identity,
	const struct token_acquire *question, CK_RV *ret_rv)
{
	pthread_mutex_lock(&process->mutex);
	bool again = process->holder == (int)pair;
	if (again && process->hold_depth < TOKEN_HOLD_DEPTH)
		push_hold(process, identity, question);
	else if (again)
		*ret_rv = CKR_GENERAL_ERROR;
	pthread_mutex_unlock(&process->mutex);
	return again;
}

static CK_RV hold(
	struct worker_process *process, unsigned pair, const char *identity, const struct token_acquire *question)
{
	int64_t deadline_ms = clock_ms() + (int64_t)process->settings->limits.token_wait_s * 1000;
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
		process->hold_depth = 0;
		push_hold(process, identity, question);
	}
	pthread_mutex_unlock(&process->mutex);
	if (dead)
		token_lock_leave(process->lock);
	return dead ? CKR_DEVICE_ERROR : CKR_OK;
}

/* Gives up the thread's innermost hold; true: the token is to be free now. Mutex held. */
static bool pop_hold(struct worker_process *process, unsigned pair)
{
	bool last = process->holder == (int)pair && process->hold_depth > 0 && --process->hold_depth == 0;
	if (last)
		process->holder = -1;
	return last;
}

/* Takes back the hold that the worker has not been told of, or lets it have the token. */
static void settle_hold(struct worker_process *process, unsigned pair, bool granted)
{
	pthread_mutex_lock(&process->mutex);
	if (process->holder == (int)pair && granted)
		process->holds[process->hold_depth - 1].granted = true;
	bool last = !granted && pop_hold(process, pair);
	pthread_mutex_unlock(&process->mutex);
	if (last)
		token_lock_leave(process->lock);
}

/* The lock, at a time when nobody has the token for itself. The lock is not kept while others' logins are waited for. */
static CK_RV hold_free_token(struct worker_process *process, unsigned pair, const char *identity,
	const struct token_acquire *question, uint32_t *ret_busy)
{
	int64_t patience_ms = clock_ms() + (int64_t)process->settings->limits.slot_lock_wait_s * 1000;
	for (;;) {
		uint64_t news = news_of(process->token);
		CK_RV rv = hold(process, pair, identity, question);
		if (rv != CKR_OK)
			return rv;
		rv = find_conflict(process, question);
		if (rv == CKR_OK && !is_occupied(process, question))
			return CKR_OK;
		settle_hold(process, pair, false);
		if (rv != CKR_OK)
			return rv;
		if (!await_news(process->token, news, patience_ms)) {
			*ret_busy = 1;
			return CKR_DEVICE_ERROR;
		}
	}
}

void token_acquire(struct worker_process *process, unsigned pair, const char *identity,
	const struct token_acquire *question, struct token_grant *ret_grant)
{
	struct token_grant grant = {.rv = CKR_OK};
	CK_RV rv = CKR_OK;
	bool again = hold_again(process, pair, identity, question, &rv);
	if (!again)
		rv = hold_free_token(process, pair, identity, question, &grant.busy);
	if (rv == CKR_OK) {
		rv = again ? find_conflict(process, question) : CKR_OK;
		if (rv == CKR_OK)
			rv = guard_admits(process, identity, question, &grant);
		settle_hold(process, pair, rv == CKR_OK);
	}
	grant.rv = rv;
	grant.generation = token_generation(process->token);
	*ret_grant = grant;
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
	slots_renewed(self->registry, self->token);
	inventory_poke(self->registry->inventory, self->module->name);
}

void token_raise_generation(struct token *token)
{
	pthread_mutex_lock(&token->mutex);
	token->generation++;
	pthread_mutex_unlock(&token->mutex);
}

/* Whether what the worker had the token for makes the user's PIN that others keep worth nothing any more (B14). */
static bool outdates(const struct token_acquire *question, CK_USER_TYPE owner, uint64_t rv)
{
	if (rv == CKR_OK)
		return question->purpose == TOKEN_FOR_PIN_CHANGE || question->purpose == TOKEN_FOR_INIT_TOKEN;
	return rv == CKR_PIN_LOCKED && owner == CKU_USER && guard_tries_pin(question);
}

/* The thread's innermost hold. False: it has none. */
static bool hold_of(struct worker_process *process, unsigned pair, struct token_hold *ret_hold)
{
	pthread_mutex_lock(&process->mutex);
	bool held = process->holder == (int)pair && process->hold_depth > 0;
	if (held)
		*ret_hold = process->holds[process->hold_depth - 1];
	pthread_mutex_unlock(&process->mutex);
	return held;
}

enum status token_release(struct worker_process *process, unsigned pair, const char *identity,
	const struct token_release *news, const struct process_use *use)
{
	struct token_hold hold;
	if (!hold_of(process, pair, &hold))
		return STATUS_MALFORMED;
	/* Before anybody else can log in. */
	if (use != NULL && use->client != NULL && news->rv == CKR_OK && hold.question.purpose == TOKEN_FOR_LOGIN &&
		hold.question.user_type != CKU_CONTEXT_SPECIFIC)
		login_claim(process, identity, use->client);
	/* What became of a token that was initialised, later workers will find. */
	if (hold.question.purpose != TOKEN_FOR_INIT_TOKEN)
		slot_found(process, news->serial);
	/* Whose PIN it was, before a login or logout changes that. */
	CK_USER_TYPE owner = guard_owner(process, &hold.question);
	guard_note(process, identity, &hold.question, news->rv);
	bool outdated = process->token != NULL && outdates(&hold.question, owner, news->rv);
	pthread_mutex_lock(&process->mutex);
	(void)process_take_state(process, &(struct worker_state){.state_serial = news->state_serial,
						  .sessions = news->sessions,
						  .login = news->login,
						  .native = news->native});
	process->cache_pin = news->cache_pin != 0;
	bool last = pop_hold(process, pair);
	pthread_mutex_unlock(&process->mutex);
	/* Before anybody else can have the token: the next login must see the new generation. */
	if (outdated)
		token_raise_generation(process->token);
	token_changed(process->token);
	if (last)
		token_lock_leave(process->lock);
	quiesce_late_login(process);
	if (outdated && hold.question.purpose == TOKEN_FOR_INIT_TOKEN)
		token_was_initialised(process);
	else if (outdated)
		token_void_logins(process->registry, process->token, process,
			news->rv == CKR_OK ? LOGIN_END_PIN_CHANGED : LOGIN_END_LOCKED);
	return STATUS_OK;
}

void token_abandon(struct worker_process *process, int pair)
{
	struct token_hold holds[TOKEN_HOLD_DEPTH];
	unsigned count = 0;
	pthread_mutex_lock(&process->mutex);
	bool held = process->holder >= 0 && (pair < 0 || process->holder == pair);
	if (held) {
		count = process->hold_depth;
		memcpy(holds, process->holds, count * sizeof *holds);
		process->holder = -1;
		process->hold_depth = 0;
	}
	pthread_mutex_unlock(&process->mutex);
	for (unsigned i = 0; i < count; i++)
		if (holds[i].granted)
			guard_note_lost(
				process, holds[i].identity[0] == '\0' ? NULL : holds[i].identity, &holds[i].question);
	if (held)
		token_lock_leave(process->lock);
}
