/*
 * Where a gateway's administration socket is, also when its file has mistakes elsewhere or names keys that the
 * caller may not read.
 */
#include "server/config/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status find(struct loader *loader)
{
	static const char name[] = "runtime_directory";
	const struct key *key = key_find(SECTION_root, name, strlen(name));
	const char *text = document_text(loader, name);

	if (!text)
		text = key->text;
	struct scalar value = {text, strlen(text), document_locate(loader, name), name};
	return value_store(loader, key, &value, &loader->config->runtime_directory);
}

enum status config_runtime_directory(
	const char *file, char *ret_directory, size_t size, char *ret_error, size_t error_size)
{
	ARENA_AUTO struct arena arena;
	struct config config = {.file = file};
	struct loader loader = {
		.file = file, .arena = &arena, .config = &config, .error = ret_error, .error_size = error_size};

	snprintf(ret_error, error_size, "out of memory");
	arena_init(&arena, LIMIT_MEMORY);
	enum status status = loader_open(&loader);
	if (status == STATUS_OK)
		status = find(&loader);
	loader_done(&loader);
	if (status == STATUS_OK && (size_t)snprintf(ret_directory, size, "%s", config.runtime_directory) >= size)
		status = fault(&loader, "", "the path of the runtime directory is too long; shorten it");
	return status;
}
