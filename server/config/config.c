#include "server/config/internal.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The folder that relative paths start from. */
static const char *directory_of(struct arena *arena, const char *file)
{
	char *copy = arena_copy(arena, file, strlen(file));
	char resolved[PATH_MAX];

	if (!copy || !realpath(dirname(copy), resolved))
		return NULL;
	return arena_copy(arena, resolved, strlen(resolved));
}

static enum status read_failed(struct loader *loader, enum status status)
{
	const char *reason = status == STATUS_IO ? strerror(errno) : "too large";

	return fault_at(
		loader, (yaml_mark_t){0}, "", "the file cannot be read: %s; check its path and permissions", reason);
}

enum status loader_open(struct loader *loader)
{
	unsigned char *text;
	size_t len;
	enum status status = file_read(loader->file, &text, &len);

	if (status == STATUS_IO || status == STATUS_TOO_LARGE)
		return read_failed(loader, status);
	if (status != STATUS_OK)
		return status;
	loader->directory = directory_of(loader->arena, loader->file);
	status = loader->directory ? document_parse(loader, text, len) : STATUS_NO_MEMORY;
	free(text);
	return status;
}

void loader_done(struct loader *loader)
{
	yaml_document_delete(&loader->document);
}

static enum status load(struct loader *loader)
{
	static enum status (*const steps[])(struct loader *) = {
		loader_open,
		config_read,
		config_check,
		config_check_tls,
		config_check_modules,
	};
	enum status status = STATUS_OK;

	for (size_t i = 0; i < sizeof steps / sizeof *steps && status == STATUS_OK; i++)
		status = steps[i](loader);
	loader_done(loader);
	return status;
}

enum status config_load(const char *file, struct config **ret_config, char *ret_error, size_t error_size)
{
	struct arena *arena = malloc(sizeof *arena);

	snprintf(ret_error, error_size, "%s:1:1: out of memory; free some and try again", file);
	if (!arena)
		return STATUS_NO_MEMORY;
	arena_init(arena, LIMIT_MEMORY);
	struct loader loader = {
		.file = file,
		.arena = arena,
		.config = arena_alloc(arena, sizeof *loader.config),
		.error = ret_error,
		.error_size = error_size,
	};
	enum status status = STATUS_NO_MEMORY;
	if (loader.config) {
		loader.config->loaded = arena;
		loader.config->file = arena_copy(arena, file, strlen(file));
		if (loader.config->file)
			status = load(&loader);
	}
	if (status != STATUS_OK) {
		arena_done(arena);
		free(arena);
		return status;
	}
	*ret_error = '\0';
	*ret_config = loader.config;
	return STATUS_OK;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	struct arena *arena = config->loaded;
	arena_done(arena);
	free(arena);
}

const struct config_slot *config_slot(const struct config *config, const char *name)
{
	for (unsigned i = 0; i < config->slots_count; i++) {
		if (strcmp(config->slots[i].name, name) == 0)
			return &config->slots[i];
	}
	return NULL;
}

const struct config_module *config_module(const struct config *config, const char *name)
{
	for (unsigned i = 0; i < config->modules_count; i++) {
		if (strcmp(config->modules[i].name, name) == 0)
			return &config->modules[i];
	}
	return NULL;
}

unsigned config_permissions(const struct config *config, const char *identity, const char *slot)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < config->rules_count; i++) {
		const struct config_rule *rule = &config->rules[i];

		if (config_listed(rule->identities, rule->identities_count, identity, false) &&
			config_listed(rule->slots, rule->slots_count, slot, true))
			mask |= rule->permissions;
	}
	return mask;
}
