/*
 * p11gate: the tool of whoever runs a gateway.
 */
#include "server/tool/internal.h"

#include <stdio.h>

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: p11gate COMMAND; see p11gate help\n");
		return EXIT_USAGE;
	}
	const struct command *command = command_find(argv[1]);
	if (!command) {
		fprintf(stderr, "p11gate: there is no command %s; see p11gate help\n", argv[1]);
		return EXIT_USAGE;
	}
	return command->run(argc - 1, argv + 1);
}
