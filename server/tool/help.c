#include "server/tool/internal.h"

#include <stdio.h>

static void show(const struct command *command)
{
	printf("  p11gate %s%s%s\n      %s.\n", command->name, *command->arguments ? " " : "", command->arguments,
		command->summary);
}

int command_help(int argc, char **argv)
{
	if (argc > 2)
		return command_usage(argv[0]);
	if (argc == 2) {
		const struct command *command = command_find(argv[1]);

		if (!command) {
			fprintf(stderr, "p11gate: there is no command %s; see p11gate help\n", argv[1]);
			return EXIT_USAGE;
		}
		show(command);
		return EXIT_OK;
	}
	printf("p11gate: for whoever runs a PKCS#11 gateway\n\n");
	for (size_t i = 0; i < commands_count; i++)
		show(&commands[i]);
	printf("\nWithout --config or --socket the gateway of %s is meant.\n", DEFAULT_CONFIG);
	return EXIT_OK;
}
