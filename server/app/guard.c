#include "server/app/token.h"

#include <stdlib.h>
#include <string.h>

#include "api/cryptoki.h"
#include "server/app/process.h"
#include "server/common/log.h"

/*
 * Requirement B16: whoever guesses PINs is stopped before the token locks them. Two counts: of each identity on a slot, in
 * memory, and of each token, in a file that gateways share (tries.c).
 */

/* Wrong PINs in a row of one identity. */
struct guard_entry {
	struct guard_entry *next;
	char *identity;
	unsigned failures;
	int64_t last; /* of the last one */
};

/* --- the token's count --- */

static unsigned *tries_of(struct tries *tries, CK_USER_TYPE user)
{
	return user == CKU_SO ? &tries->so : &tries->user;
}

/* --- an identity's count --- */

/* Token's mutex held. */
static struct guard_entry *entry_of(struct token *token, const char *identity)
{
	struct guard_entry *entry = token->guards;
	while (entry != NULL && strcmp(entry->identity, identity) != 0)
		entry = entry->next;
	return entry;
}

static bool is_over(const struct guard_entry *entry, const struct settings *settings)
{
	return clock_ms() >= entry->last + (int64_t)settings->limits.guard_reset_s * 1000;
}

static unsigned failures_of(struct token *token, const char *identity, const struct settings *settings)
{
	pthread_mutex_lock(&token->mutex);
	const struct guard_entry *entry = entry_of(token, identity);
	unsigned failures = entry == NULL || is_over(entry, settings) ? 0 : entry->failures;
	pthread_mutex_unlock(&token->mutex);
	return failures;
}

static void entry_free(struct guard_entry *entry)
{
	free(entry->identity);
	free(entry);
}

static void fail(struct token *token, const char *identity, const struct settings *settings)
{
	pthread_mutex_lock(&token->mutex);
	struct guard_entry *entry = entry_of(token, identity);
	if (entry == NULL) {
		entry = calloc(1, sizeof *entry);
		char *copy = strdup(identity);
		if (entry != NULL && copy != NULL) {
			entry->identity = copy;
			entry->next = token->guards;
			token->guards = entry;
		} else {
			free(entry);
			free(copy);
			entry = NULL;
		}
	}
	if (entry != NULL) {
		entry->failures = is_over(entry, settings) ? 1 : entry->failures + 1;
		entry->last = clock_ms();
	}
	pthread_mutex_unlock(&token->mutex);
}

/* Forgets what is counted of an identity; NULL: of all. The number of those forgotten. */
static unsigned forget(struct token *token, const char *identity)
{
	unsigned count = 0;
	pthread_mutex_lock(&token->mutex);
	for (struct guard_entry **at = &token->guards; *at != NULL;) {
		struct guard_entry *entry = *at;
		if (identity != NULL && strcmp(entry->identity, identity) != 0) {
			at = &entry->next;
			continue;
		}
		*at = entry->next;
		entry_free(entry);
		count++;
	}
	pthread_mutex_unlock(&token->mutex);
	return count;
}

void guards_free(struct token *token)
{
	(void)forget(token, NULL);
}

/* --- questions and outcomes --- */

/* Whether somebody sends a PIN that the token is to judge. */
static bool brings_pin(const struct token_acquire *question)
{
	return question->purpose == TOKEN_FOR_LOGIN || question->purpose == TOKEN_FOR_KEY_LOGIN ||
	       question->purpose == TOKEN_FOR_PIN_CHANGE || question->purpose == TOKEN_FOR_INIT_TOKEN;
}

bool guard_tries_pin(const struct token_acquire *question)
{
	return brings_pin(question) || question->purpose == TOKEN_FOR_PRIVATE_USE;
}

CK_USER_TYPE guard_owner(struct worker_process *process, const struct token_acquire *question)
{
	if (question->purpose == TOKEN_FOR_LOGIN && question->user_type != CKU_CONTEXT_SPECIFIC)
		return question->user_type;
	if (question->purpose == TOKEN_FOR_INIT_TOKEN)
		return CKU_SO;
	pthread_mutex_lock(&process->mutex);
	CK_USER_TYPE owner = process->login == LOGIN_SO ? CKU_SO : CKU_USER;
	pthread_mutex_unlock(&process->mutex);
	return owner;
}

/* Whether an application that is logged in brings a PIN for what it does, and not for another login. */
static bool is_logged_in(struct worker_process *process, const struct token_acquire *question)
{
	if (process->asker != NULL)
		return true;
	if (question->purpose == TOKEN_FOR_LOGIN)
		return question->user_type == CKU_CONTEXT_SPECIFIC;
	pthread_mutex_lock(&process->mutex);
	bool in = process->login != LOGIN_NONE;
	pthread_mutex_unlock(&process->mutex);
	return in;
}

enum { NO_BOUND = UINT32_MAX };

static uint32_t left_of(unsigned failures, unsigned most)
{
	return failures >= most ? 0 : most - failures;
}

/* How many wrong PINs the token's count bears from here. */
static uint32_t token_left(struct worker_process *process, const struct settings *settings,
	const struct config_login *rules, const struct token_acquire *question)
{
	unsigned most = settings->limits.token_pin_failures;
	if (most == 0 || !brings_pin(question) || rules->may_use_last_tries)
		return NO_BOUND;
	struct tries tries = tries_read(settings, process->token);
	return left_of(*tries_of(&tries, guard_owner(process, question)), most);
}

/* How many those of the identity. An application that is logged in goes on: only the token's own count stops its further PINs. */
static uint32_t identity_left(struct worker_process *process, const struct settings *settings,
	const struct config_login *rules, const char *identity, const struct token_acquire *question)
{
	if (rules->max_pin_failures == 0 || !brings_pin(question) || is_logged_in(process, question))
		return NO_BOUND;
	return left_of(failures_of(process->token, identity, settings), rules->max_pin_failures);
}

/* Seconds until the identity's wrong PINs are forgotten. */
static uint32_t reset_in(struct token *token, const char *identity, const struct settings *settings)
{
	pthread_mutex_lock(&token->mutex);
	const struct guard_entry *entry = entry_of(token, identity);
	int64_t left_ms = entry == NULL ? 0 : entry->last + (int64_t)settings->limits.guard_reset_s * 1000 - clock_ms();
	pthread_mutex_unlock(&token->mutex);
	return left_ms <= 0 ? 1 : (uint32_t)((left_ms + 999) / 1000);
}

CK_RV guard_admits(struct worker_process *process, const char *identity, const struct token_acquire *question,
	struct token_grant *grant)
{
	struct config_login rules;
	if (process->token == NULL || identity == NULL)
		return CKR_OK;
	struct settings *settings = registry_settings(process->registry);
	config_login(&settings->rules, identity, process->slot->name, &rules);
	uint32_t own = identity_left(process, settings, &rules, identity, question);
	uint32_t shared = token_left(process, settings, &rules, question);
	uint32_t left = own < shared ? own : shared;
	grant->last_tries = rules.may_use_last_tries;
	grant->tries = left == NO_BOUND ? 0 : left;
	/* The token's own count goes down with a good login or by the operator alone. */
	if (own == 0 && shared > 0)
		grant->retry_after_s = reset_in(process->token, identity, settings);
	settings_unref(settings);
	if (left > 0)
		return CKR_OK;
	log_event(LOG_LEVEL_WARNING, "PIN not sent to the token: too many wrong ones; see p11gate guard list",
		"identity", identity, "slot", process->slot->name, NULL);
	return CKR_PIN_LOCKED;
}

/* What a PIN that was right or not makes of the token's count. */
static struct tries count_of(struct tries tries, const struct token_acquire *question, CK_USER_TYPE owner, bool right)
{
	unsigned *count = tries_of(&tries, owner);
	if (right)
		*count = 0;
	else if (*count < TRIES_UNKNOWN)
		++*count;
	/* The security officer has given the user a new PIN, or taken it away. */
	if (right && (question->purpose == TOKEN_FOR_PIN_CHANGE || question->purpose == TOKEN_FOR_INIT_TOKEN))
		tries.user = 0;
	return tries;
}

static void note(struct worker_process *process, const char *identity, const struct token_acquire *question, bool right)
{
	bool kept_pin = question->purpose == TOKEN_FOR_PRIVATE_USE;
	struct token *token = process->token;
	if (token == NULL || !guard_tries_pin(question))
		return;
	struct settings *settings = registry_settings(process->registry);
	/* A kept PIN was right once: that it is wrong now says nothing about who uses the key. */
	if (!right && identity != NULL && !kept_pin)
		fail(token, identity, settings);
	if (right && identity != NULL && !kept_pin)
		(void)forget(token, identity);
	struct tries before = tries_read(settings, token);
	struct tries after = count_of(before, question, guard_owner(process, question), right);
	if (after.user != before.user || after.so != before.so)
		(void)!tries_write(settings, token, &after);
	settings_unref(settings);
}

void guard_note(struct worker_process *process, const char *identity, const struct token_acquire *question, uint64_t rv)
{
	if (rv == CKR_OK || rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LOCKED)
		note(process, identity, question, rv == CKR_OK);
}

void guard_note_lost(struct worker_process *process, const char *identity, const struct token_acquire *question)
{
	note(process, identity, question, false);
}

/* --- operators --- */

struct listing {
	const struct settings *settings;
	const char *slot;
	void (*each)(void *context, const struct guard_summary *summary);
	void *context;
};

static void list_token(const struct listing *listing, struct token *token)
{
	struct tries tries = tries_read(listing->settings, token);
	if (tries.user > 0 || tries.so > 0)
		listing->each(
			listing->context, &(struct guard_summary){.slot = listing->slot,
						  .failures = tries.user,
						  .so_failures = tries.so,
						  .unknown = tries.user == TRIES_UNKNOWN || tries.so == TRIES_UNKNOWN});
	pthread_mutex_lock(&token->mutex);
	for (const struct guard_entry *entry = token->guards; entry != NULL; entry = entry->next)
		if (!is_over(entry, listing->settings))
			listing->each(listing->context, &(struct guard_summary){.slot = listing->slot,
								.identity = entry->identity,
								.failures = entry->failures});
	pthread_mutex_unlock(&token->mutex);
}

void registry_guards(
	struct registry *registry, void (*each)(void *context, const struct guard_summary *summary), void *context)
{
	struct settings *settings = registry_settings(registry);
	for (unsigned i = 0; i < settings->slots_count; i++) {
		const struct listing listing = {settings, settings->slots[i].name, each, context};
		struct token *token;
		if (registry_token(registry, &settings->slots[i], &token) == STATUS_OK)
			list_token(&listing, token);
	}
	settings_unref(settings);
}

/* What so many wrong PINs of `most` mean; `most` 0: nothing. */
static CK_FLAGS flags_of(unsigned failures, unsigned most, CK_USER_TYPE user)
{
	bool so = user == CKU_SO;
	if (most == 0 || failures == 0)
		return 0;
	if (failures >= most)
		return so ? CKF_SO_PIN_LOCKED : CKF_USER_PIN_LOCKED;
	if (failures + 1 == most)
		return so ? CKF_SO_PIN_FINAL_TRY | CKF_SO_PIN_COUNT_LOW
			  : CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_COUNT_LOW;
	return so ? CKF_SO_PIN_COUNT_LOW : CKF_USER_PIN_COUNT_LOW;
}

uint64_t registry_guard_flags(struct registry *registry, const char *identity, const char *slot)
{
	struct settings *settings = registry_settings(registry);
	const struct slot_settings *about = settings_slot(settings, slot);
	struct token *token;
	struct config_login rules;
	CK_FLAGS flags = 0;
	if (about != NULL && registry_token(registry, about, &token) == STATUS_OK) {
		config_login(&settings->rules, identity, slot, &rules);
		unsigned failures = failures_of(token, identity, settings);
		flags |= flags_of(failures, rules.max_pin_failures, CKU_USER) |
			 flags_of(failures, rules.max_pin_failures, CKU_SO);
		struct tries tries = rules.may_use_last_tries ? (struct tries){0, 0} : tries_read(settings, token);
		flags |= flags_of(tries.user, settings->limits.token_pin_failures, CKU_USER) |
			 flags_of(tries.so, settings->limits.token_pin_failures, CKU_SO);
	}
	settings_unref(settings);
	return flags;
}

/* `ret_found`: there was something to forget. STATUS_IO, STATUS_NO_MEMORY, or what the lock says. */
static enum status tries_forget(struct registry *registry, const struct settings *settings,
	const struct slot_settings *slot, struct token *token, bool *ret_found)
{
	static const struct tries none = {0, 0};
	struct token_lock *lock;
	enum status status = registry_lock(registry, settings, slot->module, &lock);
	if (status == STATUS_OK)
		status = token_lock_enter(lock, clock_ms() + (int64_t)settings->limits.token_wait_s * 1000);
	if (status != STATUS_OK)
		return status;
	struct tries tries = tries_read(settings, token);
	bool found = tries.user > 0 || tries.so > 0;
	if (found)
		status = tries_write(settings, token, &none);
	token_lock_leave(lock);
	if (status == STATUS_OK)
		*ret_found = found;
	return status;
}

enum status registry_guard_reset(struct registry *registry, const char *identity, const char *slot, unsigned *ret_count)
{
	enum status status = STATUS_OK;
	unsigned count = 0;
	struct settings *settings = registry_settings(registry);
	for (unsigned i = 0; i < settings->slots_count && status == STATUS_OK; i++) {
		struct token *token;
		bool found = false;
		if (slot != NULL && strcmp(settings->slots[i].name, slot) != 0)
			continue;
		status = registry_token(registry, &settings->slots[i], &token);
		if (status == STATUS_OK)
			count += forget(token, identity);
		/* The token's own count is nobody's: it goes when all are let in again. */
		if (status == STATUS_OK && identity == NULL)
			status = tries_forget(registry, settings, &settings->slots[i], token, &found);
		count += found;
	}
	settings_unref(settings);
	*ret_count = count;
	return status;
}
