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

static bool copy_names(struct settings *settings, const char **names, unsigned count, const char ***ret_names)
{
	*ret_names = arena_array(&settings->arena, count, sizeof(char *));
	for (unsigned i = 0; *ret_names != NULL && i < count; i++) {
		(*ret_names)[i] = copy_text(settings, names[i]);
		if ((*ret_names)[i] == NULL)
			return false;
	}
	return *ret_names != NULL;
}

static bool copy_logins(struct settings *settings, const struct config *config)
{
	struct config_login_rule *rules = arena_array(&settings->arena, config->logins_count, sizeof *rules);
	settings->rules.logins = rules;
	settings->rules.login_defaults = config->login_defaults;
	for (unsigned i = 0; rules != NULL && i < config->logins_count; i++) {
		const struct config_login_rule *from = &config->logins[i];
		rules[i] = *from;
		if (!copy_names(settings, from->identities, from->identities_count, &rules[i].identities) ||
			!copy_names(settings, from->slots, from->slots_count, &rules[i].slots))
			return false;
		settings->rules.logins_count++;
	}
	return rules != NULL;
}

static bool copy_permissions(struct settings *settings, const struct config *config)
{
	struct config_rule *rules = arena_array(&settings->arena, config->rules_count, sizeof *rules);
	settings->rules.rules = rules;
	for (unsigned i = 0; rules != NULL && i < config->rules_count; i++) {
		const struct config_rule *from = &config->rules[i];
		rules[i] = *from;
		if (!copy_names(settings, from->identities, from->identities_count, &rules[i].identities) ||
			!copy_names(settings, from->slots, from->slots_count, &rules[i].slots))
			return false;
		settings->rules.rules_count++;
	}
	return rules != NULL;
}

static bool copy_share_groups(struct settings *settings, const struct config *config)
{
	struct config_share_group *groups = arena_array(&settings->arena, config->share_groups_count, sizeof *groups);
	settings->rules.share_groups = groups;
	for (unsigned i = 0; groups != NULL && i < config->share_groups_count; i++) {
		const struct config_share_group *from = &config->share_groups[i];
		groups[i] = *from;
		groups[i].name = copy_text(settings, from->name);
		if (groups[i].name == NULL ||
			!copy_names(settings, from->members, from->members_count, &groups[i].members) ||
			!copy_names(settings, from->slots, from->slots_count, &groups[i].slots) ||
			!copy_names(settings, from->app_ids, from->app_ids_count, &groups[i].app_ids))
			return false;
		settings->rules.share_groups_count++;
	}
	return groups != NULL;
}

static bool copy_identities(struct settings *settings, const struct config *config)
{
	struct config_identity *identities = arena_array(
		&settings->arena, config->identities_count, sizeof *identities);
	settings->rules.identities = identities;
	for (unsigned i = 0; identities != NULL && i < config->identities_count; i++) {
		identities[i].name = copy_text(settings, config->identities[i].name);
		if (identities[i].name == NULL)
			return false;
		settings->rules.identities_count++;
	}
	return identities != NULL;
}

static bool settings_knows(const struct settings *settings, const char *identity)
{
	for (unsigned i = 0; i < settings->rules.identities_count; i++)
		if (strcmp(settings->rules.identities[i].name, identity) == 0)
			return true;
	return false;
}

/* The parts of the configuration that config_domain, config_login and config_permissions read. */
static bool copy_rules(struct settings *settings, const struct config *config)
{
	struct config *rules = &settings->rules;
	struct config_slot *slots = arena_array(&settings->arena, settings->slots_count, sizeof *slots);
	if (slots == NULL || !copy_names(settings, config->challenge_only_labels, config->challenge_only_labels_count,
				     &rules->challenge_only_labels))
		return false;
	rules->challenge_only_labels_count = config->challenge_only_labels_count;
	for (unsigned i = 0; i < settings->slots_count; i++)
		slots[i] = (struct config_slot){
			.name = settings->slots[i].name, .class_name = settings->slots[i].class_name};
	rules->slots = slots;
	rules->slots_count = settings->slots_count;
	return copy_identities(settings, config) && copy_permissions(settings, config) &&
	       copy_logins(settings, config) && copy_share_groups(settings, config);
}

bool settings_reaches(const struct settings *settings, const char *identity, const struct application *application,
	unsigned permissions)
{
	return settings_knows(settings, identity) &&
	       (config_permissions(&settings->rules, identity, application->slot) & permissions) != 0 &&
	       strcmp(config_domain(&settings->rules, identity, application->slot, application->id),
		       application->domain) == 0;
}

bool settings_reachable(const struct settings *settings, const struct application *application)
{
	for (unsigned i = 0; i < settings->rules.identities_count; i++)
		if (settings_reaches(settings, settings->rules.identities[i].name, application, ANY_PERMISSION))
			return true;
	return false;
}

static void pack_login(const struct settings *settings, const char *domain, const char *slot, struct buffer *out)
{
	struct config_login login;
	config_login(&settings->rules, domain, slot, &login);
	struct login_policy policy = {
		.cache_pin = login.cache_pin,
		.logout_after = login.logout_after,
		.force_login = login.force_login,
		.pin_cache_ttl_ms = (uint64_t)login.pin_cache_ttl_s * 1000,
		.pin_cache_idle_ms = (uint64_t)login.pin_cache_idle_s * 1000,
		.aa_oneshot = login.aa_oneshot,
		.internal_wait_ms = (uint64_t)settings->limits.internal_logout_wait_s * 1000,
	};
	login_policy_pack(out, &policy);
}

enum status settings_policy(const struct settings *settings, const char *domain, const char *slot, struct buffer *out)
{
	ARENA_AUTO struct arena arena;
	BUFFER_AUTO struct buffer login;
	const struct config *rules = &settings->rules;
	arena_init(&arena, FRAME_PAYLOAD_MAX);
	buffer_init(&login, FRAME_CHUNK);
	struct bytes *labels = arena_array(&arena, rules->challenge_only_labels_count, sizeof *labels);
	if (labels == NULL)
		return STATUS_NO_MEMORY;
	for (unsigned i = 0; i < rules->challenge_only_labels_count; i++) {
		const char *label = rules->challenge_only_labels[i];
		labels[i] = (struct bytes){(const unsigned char *)label, strlen(label)};
	}
	if (domain != NULL)
		pack_login(settings, domain, slot, &login);
	struct worker_policy policy = {.generation = settings->generation,
		.challenge_only_labels = {labels, rules->challenge_only_labels_count},
		.login = {login.data, login.len}};
	worker_policy_pack(out, &policy);
	return login.failed || out->failed ? STATUS_NO_MEMORY : STATUS_OK;
}

static enum status fill(struct settings *settings, const struct config *config, uint64_t generation)
{
	settings->worker_program = copy_text(settings, config->worker_program);
	settings->runtime_directory = copy_text(settings, config->runtime_directory);
	settings->limits = config->limits;
	settings->require_mlock = config->require_mlock;
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
	settings->generation = generation;
	return copy_rules(settings, config) ? STATUS_OK : STATUS_NO_MEMORY;
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
