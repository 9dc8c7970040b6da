#include "server/app/token.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "api/hex.h"
#include "server/app/process.h"

/*
 * Which token is in a slot. A token is what it is, and not what its slot is called: one that two slots of the configuration name has one
 * state (login conflicts, generation, wrong PINs). Its module and its serial number identify it.
 */

static bool is_blank(const unsigned char serial[TOKEN_SERIAL_LEN])
{
	for (size_t i = 0; i < TOKEN_SERIAL_LEN; i++)
		if (serial[i] != ' ' && serial[i] != '\0')
			return false;
	return true;
}

/* As long as no serial number is known, the slot's name stands for its token. False: no memory. */
static bool make_key(
	const struct slot_settings *slot, const unsigned char serial[TOKEN_SERIAL_LEN], char ret_key[TOKEN_KEY_LEN + 1])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	const char *module = slot->module->lock_key;
	const bool blank = is_blank(serial);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool made = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(context, module, strlen(module) + 1) == 1 &&
		    EVP_DigestUpdate(context, blank ? "slot" : "token", sizeof "slot") == 1;
	made = made && (blank ? EVP_DigestUpdate(context, slot->name, strlen(slot->name))
			      : EVP_DigestUpdate(context, serial, TOKEN_SERIAL_LEN)) == 1;
	made = made && EVP_DigestFinal_ex(context, hash, NULL) == 1;
	EVP_MD_CTX_free(context);
	if (made)
		hex_encode(ret_key, hash, TOKEN_KEY_LEN / 2);
	return made;
}

/* Made at first use. NULL: no memory, or too many. Registry's mutex held. */
static struct token *find_token(
	struct registry *registry, const struct slot_settings *slot, const unsigned char serial[TOKEN_SERIAL_LEN])
{
	char key[TOKEN_KEY_LEN + 1];
	if (!make_key(slot, serial, key))
		return NULL;
	struct token *token = registry->tokens;
	while (token != NULL && strcmp(token->key, key) != 0)
		token = token->next;
	if (token != NULL)
		return token;
	bool nameless = is_blank(serial);
	if (!nameless && registry->tokens_count >= TOKENS_MAX)
		return NULL;
	if (token_new(key, registry->tokens, &token) != STATUS_OK)
		return NULL;
	token->nameless = nameless;
	registry->tokens_count += !nameless;
	registry->tokens = token;
	return token;
}

static struct slot_record *record_new(const char *name, struct token *token)
{
	struct slot_record *record = calloc(1, sizeof *record);
	char *copy = strdup(name);
	if (record == NULL || copy == NULL) {
		free(record);
		free(copy);
		return NULL;
	}
	record->name = copy;
	record->token = token;
	return record;
}

/* Made at first use. NULL: no memory. Registry's mutex held. */
static struct slot_record *find_record(struct registry *registry, const struct slot_settings *slot)
{
	static const unsigned char none[TOKEN_SERIAL_LEN];
	struct slot_record *record = registry->slots;
	while (record != NULL && strcmp(record->name, slot->name) != 0)
		record = record->next;
	if (record != NULL)
		return record;
	struct token *token = find_token(registry, slot, none);
	record = token == NULL ? NULL : record_new(slot->name, token);
	if (record == NULL)
		return NULL;
	record->next = registry->slots;
	registry->slots = record;
	return record;
}

enum status registry_slot(struct registry *registry, const struct slot_settings *slot, struct slot_record **ret_record,
	struct token **ret_token)
{
	pthread_mutex_lock(&registry->mutex);
	struct slot_record *record = find_record(registry, slot);
	if (record != NULL) {
		*ret_record = record;
		*ret_token = record->token;
	}
	pthread_mutex_unlock(&registry->mutex);
	return record == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

enum status registry_token(struct registry *registry, const struct slot_settings *slot, struct token **ret_token)
{
	struct slot_record *record;
	return registry_slot(registry, slot, &record, ret_token);
}

void slot_record_free(struct slot_record *record)
{
	free(record->name);
	free(record);
}

void slot_count_calls(struct slot_record *record, const struct bytes_list *names)
{
	if (record == NULL)
		return;
	for (size_t i = 0; i < names->count; i++) {
		const struct call_row *row = call_row_by_name((const char *)names->items[i].data, names->items[i].len);
		atomic_fetch_add(&record->calls[row == NULL ? CALL_COUNT : row->id], 1);
	}
}

/* --- which token it is --- */

/* Registry's mutex held. */
static void record_follow(struct slot_record *record, struct token *token)
{
	if (record->token->nameless && record->token != token)
		quiesce_follow(record->token, token);
	record->token = token;
}

void slot_found(struct worker_process *process, const unsigned char serial[TOKEN_SERIAL_LEN])
{
	struct registry *registry = process->registry;
	if (process->slot == NULL || is_blank(serial) || memcmp(process->found_serial, serial, TOKEN_SERIAL_LEN) == 0)
		return;
	pthread_mutex_lock(&registry->mutex);
	struct token *token = find_token(registry, process->slot, serial);
	if (token != NULL)
		memcpy(process->found_serial, serial, TOKEN_SERIAL_LEN);
	if (token != NULL && token != process->token && !process->detached) {
		token_detach(process->token, process);
		token_attach(token, process);
		process->token = token;
		record_follow(process->record, token);
	}
	pthread_mutex_unlock(&registry->mutex);
}

/* Whether a slot is bound to its token in one configuration as in the other. */
static bool is_bound_alike(const struct settings *one, const struct settings *other, const char *name)
{
	const struct slot_settings *slot = settings_slot(one, name), *same = settings_slot(other, name);
	return slot != NULL && same != NULL && slot_settings_equal(slot, same);
}

void slots_follow(struct registry *registry, const struct settings *old, const struct settings *settings)
{
	for (struct slot_record *record = registry->slots; record != NULL; record = record->next)
		if (!is_bound_alike(old, settings, record->name))
			record->presence = TOKEN_UNKNOWN;
}

/* Takes over what the inventory has found: the token that has left the slot, or NULL. Registry's mutex held. */
static struct token *take_over(
	struct registry *registry, const struct slot_settings *slot, const struct slot_documents *found)
{
	struct slot_record *record = find_record(registry, slot);
	if (record == NULL)
		return NULL;
	struct token *before = record->token;
	bool left = found->presence == TOKEN_ABSENT
			    ? record->presence != TOKEN_ABSENT
			    : record->presence == TOKEN_PRESENT &&
				      memcmp(record->serial, found->serial, sizeof record->serial) != 0;
	record->presence = found->presence;
	memcpy(record->serial, found->serial, sizeof record->serial);
	struct token *token = found->presence == TOKEN_PRESENT ? find_token(registry, slot, found->serial)
							       : record->token;
	if (token != NULL)
		record_follow(record, token);
	return left ? before : NULL;
}

static bool is_of_token(const struct worker_process *process, const void *token)
{
	return process->token == token && process->slot != NULL;
}

void token_void_logins(
	struct registry *registry, const struct token *token, const struct worker_process *except, enum login_end cause)
{
	size_t count = 0;
	struct worker_process **processes = registry_processes(registry, is_of_token, token, &count);
	for (size_t i = 0; i < count; i++)
		if (processes[i] != except)
			process_void_login(processes[i], cause);
	processes_unref(processes, count);
}

void slot_seen(struct registry *registry, const struct settings *settings, const struct slot_documents *documents)
{
	/* What could not be asked has not left: which token it is will show when it can be asked again. */
	if (documents->presence == TOKEN_UNKNOWN)
		return;
	struct token *left = NULL;
	pthread_mutex_lock(&registry->mutex);
	if (is_bound_alike(registry->settings, settings, documents->name))
		left = take_over(registry, settings_slot(registry->settings, documents->name), documents);
	pthread_mutex_unlock(&registry->mutex);
	if (left == NULL)
		return;
	token_raise_generation(left);
	token_void_logins(registry, left, NULL, LOGIN_END_TOKEN_CHANGED);
}

void slots_renewed(struct registry *registry, const struct token *token)
{
	pthread_mutex_lock(&registry->mutex);
	for (struct slot_record *record = registry->slots; record != NULL; record = record->next)
		if (record->token == token)
			record->presence = TOKEN_UNKNOWN;
	pthread_mutex_unlock(&registry->mutex);
}
