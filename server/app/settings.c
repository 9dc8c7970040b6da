#include "server/app/internal.h"
#include "api/hex.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTINGS_MAX = 64 << 20 }; /* bytes of all text of a configuration */

static const char *copy_text(struct settings *settings, const char *text)
{
	text = text == NULL ? "" : text;
	return arena_copy(&settings->arena, text, strlen(text));
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 32 bytes from 64 hex digits, colons allowed between them. False: something else. */
static bool read_sha256(const char *text, unsigned char out[32])
{
	size_t digits = 0;
	for (; *text != '\0'; text++) {
		int digit = hex_digit(*text);
		if (digit < 0 && *text == ':')
			continue;
		if (digit < 0 || digits == 64)
			return false;
		out[digits / 2] = (unsigned char)(out[digits / 2] << 4 | digit);
		digits++;
	}
	return digits == 64;
}

/* Modules that share their files share their lock, whatever they are called. */
static bool make_lock_key(struct module_settings *module)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool made = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
		    EVP_DigestUpdate(context, module->path, strlen(module->path) + 1) == 1 &&
		    EVP_DigestUpdate(context, module->init_args, strlen(module->init_args) + 1) == 1;

	for (char **entry = module->environment; made && *entry != NULL; entry++)
		made = EVP_DigestUpdate(context, *entry, strlen(*entry) + 1) == 1;
	made = made && EVP_DigestFinal_ex(context, hash, NULL) == 1;
	EVP_MD_CTX_free(context);
	if (made)
		hex_encode(module->lock_key, hash, TOKEN_LOCK_KEY_LEN / 2);
	return made;
}

static bool copy_environment(
	struct settings *settings, const struct config_module *from, struct module_settings *module)
{
	module->environment = arena_array(&settings->arena, (size_t)from->environment_count + 1, sizeof(char *));
	if (module->environment == NULL)
		return false;
	for (unsigned i = 0; i < from->environment_count; i++) {
		const char *name = from->environment[i].name, *value = from->environment[i].value;
		size_t size = strlen(name) + strlen(value) + 2;
		module->environment[i] = arena_alloc(&settings->arena, size);
		if (module->environment[i] == NULL)
			return false;
		snprintf(module->environment[i], size, "%s=%s", name, value);
	}
	return true;
}

static enum status copy_module(struct settings *settings, const struct config *config, const struct config_module *from,
	struct module_settings *module)
{
	module->name = copy_text(settings, from->name);
	module->path = copy_text(settings, from->path);
	module->init_args = copy_text(settings, from->init_args);
	module->sandbox = copy_text(settings, from->sandbox);
	module->user = copy_text(settings, config->worker_user);
	module->user_id = config->worker_user_id;
	module->group_id = config->worker_group_id;
	module->rescan_reinit = from->rescan_reinit;
	module->verify_login_fresh = from->verify_login_fresh;
	if (module->name == NULL || module->path == NULL || module->init_args == NULL || module->sandbox == NULL ||
		module->user == NULL)
		return STATUS_NO_MEMORY;
	if (from->sha256 != NULL && from->sha256[0] != '\0') {
		if (!read_sha256(from->sha256, module->sha256))
			return STATUS_MALFORMED;
		module->sha256_len = sizeof module->sha256;
	}
	if (!copy_environment(settings, from, module) || !make_lock_key(module))
		return STATUS_NO_MEMORY;
	return STATUS_OK;
}

static enum status copy_slot(struct settings *settings, const struct config_slot *from, struct slot_settings *slot)
{
	slot->name = copy_text(settings, from->name);
	slot->match_label = copy_text(settings, from->token_label);
	slot->match_serial = copy_text(settings, from->token_serial);
	slot->match_reader = copy_text(settings, from->reader);
	slot->class_name = copy_text(settings, from->class_name);
	if (slot->name == NULL || slot->match_label == NULL || slot->match_serial == NULL ||
		slot->match_reader == NULL || slot->class_name == NULL)
		return STATUS_NO_MEMORY;
	slot->module = from->module == NULL ? NULL : settings_module(settings, from->module);
	return slot->module == NULL ? STATUS_MALFORMED : STATUS_OK;
}

static enum status pack_policy(struct settings *settings, const struct config *config, uint64_t generation)
{
	struct bytes *labels = arena_array(&settings->arena, config->challenge_only_labels_count, sizeof *labels);
	if (labels == NULL)
		return STATUS_NO_MEMORY;
	for (unsigned i = 0; i < config->challenge_only_labels_count; i++) {
		const char *label = config->challenge_only_labels[i];
		labels[i] = (struct bytes){(const unsigned char *)label, strlen(label)};
	}
	struct worker_policy policy = {
		.generation = generation, .challenge_only_labels = {labels, config->challenge_only_labels_count}};
	BUFFER_AUTO struct buffer packed;
	buffer_init(&packed, FRAME_PAYLOAD_MAX / 2);
	worker_policy_pack(&packed, &policy);
	if (packed.failed)
		return STATUS_TOO_LARGE;
	settings->policy = (struct bytes){arena_copy(&settings->arena, packed.data, packed.len), packed.len};
	return settings->policy.data == NULL ? STATUS_NO_MEMORY : STATUS_OK;
}

static enum status fill(struct settings *settings, const struct config *config, uint64_t generation)
{
	settings->worker_program = copy_text(settings, config->worker_program);
	settings->runtime_directory = copy_text(settings, config->runtime_directory);
	settings->limits = config->limits;
	settings->modules = arena_array(&settings->arena, config->modules_count, sizeof *settings->modules);
	settings->slots = arena_array(&settings->arena, config->slots_count, sizeof *settings->slots);
	if (settings->worker_program == NULL || settings->runtime_directory == NULL || settings->modules == NULL ||
		settings->slots == NULL)
		return STATUS_NO_MEMORY;
	if (settings->limits.worker_threads < 1)
		settings->limits.worker_threads = 1;
	if (settings->limits.worker_threads > WORKER_THREADS_MAX)
		settings->limits.worker_threads = WORKER_THREADS_MAX;
	for (unsigned i = 0; i < config->modules_count; i++) {
		enum status status = copy_module(settings, config, &config->modules[i], &settings->modules[i]);
		if (status != STATUS_OK)
			return status;
		settings->modules_count++;
	}
	for (unsigned i = 0; i < config->slots_count; i++) {
		enum status status = copy_slot(settings, &config->slots[i], &settings->slots[i]);
		if (status != STATUS_OK)
			return status;
		settings->slots_count++;
	}
	return pack_policy(settings, config, generation);
}

enum status settings_new(const struct config *config, uint64_t generation, struct settings **ret_settings)
{
	struct settings *settings = calloc(1, sizeof *settings);
	if (settings == NULL)
		return STATUS_NO_MEMORY;
	atomic_init(&settings->refs, 1);
	arena_init(&settings->arena, SETTINGS_MAX);
	enum status status = fill(settings, config, generation);
	if (status != STATUS_OK) {
		settings_unref(settings);
		return status;
	}
	*ret_settings = settings;
	return STATUS_OK;
}

struct settings *settings_ref(struct settings *settings)
{
	atomic_fetch_add(&settings->refs, 1);
	return settings;
}

void settings_unref(struct settings *settings)
{
	if (settings == NULL || atomic_fetch_sub(&settings->refs, 1) > 1)
		return;
	arena_done(&settings->arena);
	free(settings);
}

const struct slot_settings *settings_slot(const struct settings *settings, const char *name)
{
	for (unsigned i = 0; i < settings->slots_count; i++)
		if (strcmp(settings->slots[i].name, name) == 0)
			return &settings->slots[i];
	return NULL;
}

const struct module_settings *settings_module(const struct settings *settings, const char *name)
{
	for (unsigned i = 0; i < settings->modules_count; i++)
		if (strcmp(settings->modules[i].name, name) == 0)
			return &settings->modules[i];
	return NULL;
}

bool module_settings_equal(const struct module_settings *a, const struct module_settings *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->sandbox, b->sandbox) == 0 && strcmp(a->user, b->user) == 0 &&
	       a->user_id == b->user_id && a->group_id == b->group_id && strcmp(a->lock_key, b->lock_key) == 0 &&
	       a->sha256_len == b->sha256_len && memcmp(a->sha256, b->sha256, sizeof a->sha256) == 0 &&
	       a->rescan_reinit == b->rescan_reinit && a->verify_login_fresh == b->verify_login_fresh;
}

bool slot_settings_equal(const struct slot_settings *a, const struct slot_settings *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->match_label, b->match_label) == 0 &&
	       strcmp(a->match_serial, b->match_serial) == 0 && strcmp(a->match_reader, b->match_reader) == 0 &&
	       strcmp(a->class_name, b->class_name) == 0 && module_settings_equal(a->module, b->module);
}
