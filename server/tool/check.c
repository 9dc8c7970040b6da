#include "server/tool/internal.h"

#include <stdio.h>

#include "server/config/config.h"

int command_check(int argc, char **argv)
{
	struct config *config;
	char error[2048];

	if (argc != 2)
		return command_usage(argv[0]);
	if (config_load(argv[1], &config, error, sizeof error) != STATUS_OK) {
		fprintf(stderr, "%s\n", error);
		return EXIT_FAILED;
	}
	printf("%s: good: %u modules, %u slots, %u identities, %u rules\n", argv[1], config->modules_count,
		config->slots_count, config->identities_count, config->rules_count);
	config_free(config);
	return EXIT_OK;
}
