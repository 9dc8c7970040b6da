#include "server/app/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/cryptoki.h"
#include "api/hex.h"
#include "server/common/log.h"

/*
 * Requirement B16: whoever guesses PINs is stopped before the token locks them. Two counts: of each identity on a slot, in
 * memory, and of each token, in a file that gateways share. The file is read and written under the token's lock.
 */

enum { GUARD_PATH_MAX = 4096, TRIES_TEXT = 64 };

/* Wrong PINs in a row of one identity. */
struct guard_entry {
	struct guard_entry *next;
	char *identity;
	unsigned failures;
	int64_t last; /* of the last one */
};

/* --- the token's count --- */

/* Wrong PINs in a row of all identities, of the user and of the security officer. */
struct tries {
	unsigned user, so;
};

/* The file of the token that a slot names; false: the path is too long. */
static bool tries_path(const struct settings *settings, const struct slot_settings *slot, char path[GUARD_PATH_MAX])
{
	const char *const parts[] = {slot->module->lock_key, slot->match_label, slot->match_serial, slot->match_reader};
	unsigned char hash[EVP_MAX_MD_SIZE];
	char name[TOKEN_LOCK_KEY_LEN + 1];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool made = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
	for (size_t i = 0; made && i < sizeof parts / sizeof *parts; i++)
		made = EVP_DigestUpdate(context, parts[i], strlen(parts[i]) + 1) == 1;
	made = made && EVP_DigestFinal_ex(context, hash, NULL) == 1;
	EVP_MD_CTX_free(context);
	if (!made)
		return false;
	hex_encode(name, hash, TOKEN_LOCK_KEY_LEN / 2);
	return (size_t)snprintf(path, GUARD_PATH_MAX, "%s/token-%s.tries", settings->runtime_directory, name) <
	       GUARD_PATH_MAX;
}

static struct tries tries_read(const char *path)
{
	char text[TRIES_TEXT] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
	struct tries tries = {0, 0};
	char *end;
	if (fd >= 0)
		close(fd);
	if (len <= 0)
		return tries;
	tries.user = (unsigned)strtoul(text, &end, 10);
	tries.so = (unsigned)strtoul(end, NULL, 10);
	return tries;
}

static void tries_write(const char *path, struct tries tries)
{
	char text[TRIES_TEXT];
	int len = snprintf(text, sizeof text, "%010u %010u\n", tries.user, tries.so);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
	/* Always of the same length, so that nothing of an older text is left. */
	if (fd < 0 || write(fd, text, (size_t)len) != len)
		log_event(LOG_LEVEL_ERROR, "the count of wrong PINs cannot be kept; check runtime_directory", "file",
			path, "error", strerror(errno), NULL);
	if (fd >= 0)
		close(fd);
}

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

/* Whose PIN it is. */
static CK_USER_TYPE owner_of(struct worker_process *process, uint32_t purpose, uint64_t user)
{
	if (purpose == TOKEN_FOR_LOGIN && user != CKU_CONTEXT_SPECIFIC)
		return user;
	if (purpose == TOKEN_FOR_INIT_TOKEN)
		return CKU_SO;
	pthread_mutex_lock(&process->mutex);
	CK_USER_TYPE owner = process->login == LOGIN_SO ? CKU_SO : CKU_USER;
	pthread_mutex_unlock(&process->mutex);
	return owner;
}

/* Whether an application that is logged in brings a PIN for what it does, and not for another login. */
static bool is_logged_in(struct worker_process *process, const struct token_acquire *question)
{
	if (question->purpose == TOKEN_FOR_LOGIN)
		return question->user_type == CKU_CONTEXT_SPECIFIC || process->asker != NULL;
	pthread_mutex_lock(&process->mutex);
	bool in = process->login != LOGIN_NONE;
	pthread_mutex_unlock(&process->mutex);
	return in;
}

/* The token's count is used up for this PIN. */
static bool token_is_guarded(
	struct worker_process *process, const struct settings *settings, const struct token_acquire *question)
{
	char path[GUARD_PATH_MAX];
	unsigned most = settings->limits.token_pin_failures;
	if (most == 0 || !tries_path(settings, process->slot, path))
		return false;
	struct tries tries = tries_read(path);
	return *tries_of(&tries, owner_of(process, question->purpose, question->user_type)) >= most;
}

CK_RV guard_admits(struct worker_process *process, const char *identity, const struct token_acquire *question,
	uint32_t *ret_last_tries)
{
	struct config_login rules;
	if (process->token == NULL || identity == NULL)
		return CKR_OK;
	struct settings *settings = registry_settings(process->registry);
	config_login(&settings->rules, identity, process->slot->name, &rules);
	*ret_last_tries = rules.may_use_last_tries;
	CK_RV rv = CKR_OK;
	/* An application that is logged in goes on: only the token's own count stops its further PINs. */
	bool guarded = rules.max_pin_failures > 0 && brings_pin(question) && !is_logged_in(process, question);
	if (guarded && failures_of(process->token, identity, settings) >= rules.max_pin_failures)
		rv = CKR_PIN_LOCKED;
	else if (brings_pin(question) && !rules.may_use_last_tries && token_is_guarded(process, settings, question))
		rv = CKR_PIN_LOCKED;
	settings_unref(settings);
	if (rv == CKR_PIN_LOCKED)
		log_event(LOG_LEVEL_WARNING, "PIN not sent to the token: too many wrong ones; see p11gate guard list",
			"identity", identity, "slot", process->slot->name, NULL);
	return rv;
}

void guard_note(struct worker_process *process, const char *identity, uint32_t purpose, uint64_t user, uint64_t rv)
{
	char path[GUARD_PATH_MAX];
	const struct token_acquire question = {.purpose = purpose, .user_type = user};
	bool kept_pin = purpose == TOKEN_FOR_PRIVATE_USE;
	if (process->token == NULL || !(brings_pin(&question) || kept_pin) || (rv != CKR_OK && rv != CKR_PIN_INCORRECT))
		return;
	struct settings *settings = registry_settings(process->registry);
	/* A kept PIN was right once: that it is wrong now says nothing about who uses the key. */
	if (rv == CKR_PIN_INCORRECT && identity != NULL && !kept_pin)
		fail(process->token, identity, settings);
	if (rv == CKR_OK && identity != NULL && !kept_pin)
		(void)forget(process->token, identity);
	if (tries_path(settings, process->slot, path)) {
		struct tries before = tries_read(path), after = before;
		CK_USER_TYPE owner = owner_of(process, purpose, user);
		*tries_of(&after, owner) = rv == CKR_OK ? 0 : *tries_of(&after, owner) + 1;
		/* The security officer has given the user a new PIN, or taken it away. */
		if (rv == CKR_OK && (purpose == TOKEN_FOR_PIN_CHANGE || purpose == TOKEN_FOR_INIT_TOKEN))
			after.user = 0;
		if (after.user != before.user || after.so != before.so)
			tries_write(path, after);
	}
	settings_unref(settings);
}

/* --- operators --- */

static struct token *first_token(struct registry *registry)
{
	/* Tokens are only ever added, at the front: what is behind this pointer stays as it is. */
	pthread_mutex_lock(&registry->mutex);
	struct token *token = registry->tokens;
	pthread_mutex_unlock(&registry->mutex);
	return token;
}

void registry_guards(
	struct registry *registry, void (*each)(void *context, const struct guard_summary *summary), void *context)
{
	struct settings *settings = registry_settings(registry);
	char path[GUARD_PATH_MAX];
	for (unsigned i = 0; i < settings->slots_count; i++) {
		const struct slot_settings *slot = &settings->slots[i];
		struct tries tries = {0, 0};
		if (tries_path(settings, slot, path))
			tries = tries_read(path);
		if (tries.user > 0 || tries.so > 0)
			each(context, &(struct guard_summary){
					      .slot = slot->name, .failures = tries.user, .so_failures = tries.so});
	}
	for (struct token *token = first_token(registry); token != NULL; token = token->next) {
		pthread_mutex_lock(&token->mutex);
		for (const struct guard_entry *entry = token->guards; entry != NULL; entry = entry->next)
			if (!is_over(entry, settings))
				each(context, &(struct guard_summary){.slot = token->name,
						      .identity = entry->identity,
						      .failures = entry->failures});
		pthread_mutex_unlock(&token->mutex);
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
	struct token *token = first_token(registry);
	struct config_login rules;
	char path[GUARD_PATH_MAX];
	CK_FLAGS flags = 0;
	config_login(&settings->rules, identity, slot, &rules);
	while (token != NULL && strcmp(token->name, slot) != 0)
		token = token->next;
	if (token != NULL) {
		unsigned failures = failures_of(token, identity, settings);
		flags |= flags_of(failures, rules.max_pin_failures, CKU_USER) |
			 flags_of(failures, rules.max_pin_failures, CKU_SO);
	}
	if (about != NULL && !rules.may_use_last_tries && tries_path(settings, about, path)) {
		struct tries tries = tries_read(path);
		flags |= flags_of(tries.user, settings->limits.token_pin_failures, CKU_USER) |
			 flags_of(tries.so, settings->limits.token_pin_failures, CKU_SO);
	}
	settings_unref(settings);
	return flags;
}

/* True if there was something to forget. STATUS_OK, or what the lock says. */
static enum status tries_forget(
	struct registry *registry, const struct settings *settings, const struct slot_settings *slot, bool *ret_found)
{
	char path[GUARD_PATH_MAX];
	struct token_lock *lock;
	enum status status = registry_lock(registry, settings, slot->module, &lock);
	if (status == STATUS_OK)
		status = token_lock_enter(lock, clock_ms() + (int64_t)settings->limits.token_wait_s * 1000);
	if (status != STATUS_OK)
		return status;
	if (tries_path(settings, slot, path)) {
		struct tries tries = tries_read(path);
		*ret_found = tries.user > 0 || tries.so > 0;
		if (*ret_found)
			tries_write(path, (struct tries){0, 0});
	}
	token_lock_leave(lock);
	return STATUS_OK;
}

enum status registry_guard_reset(struct registry *registry, const char *identity, const char *slot, unsigned *ret_count)
{
	enum status status = STATUS_OK;
	unsigned count = 0;
	for (struct token *token = first_token(registry); token != NULL; token = token->next)
		if (slot == NULL || strcmp(token->name, slot) == 0)
			count += forget(token, identity);
	struct settings *settings = registry_settings(registry);
	/* The token's own count is nobody's: it goes when all are let in again. */
	for (unsigned i = 0; identity == NULL && i < settings->slots_count && status == STATUS_OK; i++) {
		bool found = false;
		if (slot == NULL || strcmp(settings->slots[i].name, slot) == 0)
			status = tries_forget(registry, settings, &settings->slots[i], &found);
		count += found;
	}
	settings_unref(settings);
	*ret_count = count;
	return status;
}
