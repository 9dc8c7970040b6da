/*
 * The configuration on hostile text: whatever it is, it becomes a configuration or one line that says where the mistake is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config/internal.h"

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* The message is "fuzz:LINE:COLUMN: …; …" and one line. */
static void check_message(const char *message)
{
	size_t line = 0, column = 0;
	int used = 0;

	check(sscanf(message, "fuzz:%zu:%zu: %n", &line, &column, &used) == 2 && used > 0 && line > 0 && column > 0);
	check(strchr(message, '\n') == NULL && message[used] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	ARENA_AUTO struct arena arena;
	struct config config = {.file = "fuzz"};
	char message[512] = "";
	struct loader loader = {
		.file = "fuzz",
		.directory = "/nonexistent",
		.arena = &arena,
		.config = &config,
		.error = message,
		.error_size = sizeof message,
	};

	arena_init(&arena, LIMIT_MEMORY);
	enum status status = document_parse(&loader, data, len);
	if (status == STATUS_OK)
		status = config_read(&loader);
	if (status == STATUS_OK)
		status = config_check(&loader);
	loader_done(&loader);
	if (status == STATUS_MALFORMED)
		check_message(message);
	else
		check(status == STATUS_OK || status == STATUS_NO_MEMORY);
	/* Whoever reads the result follows these without asking. */
	for (unsigned i = 0; status == STATUS_OK && i < config.slots_count; i++)
		check(config.slots[i].module_row && config.slots[i].name && config_slot(&config, config.slots[i].name));
	for (unsigned i = 0; status == STATUS_OK && i < config.identities_count; i++)
		config_permissions(&config, config.identities[i].name, "demo");
	return 0;
}
