#include "server/tool/internal.h"

#include <stdio.h>

int command_version(int argc, char **argv)
{
	if (argc != 1)
		return command_usage(argv[0]);
	printf("p11gate %s\n", P11GATE_VERSION);
	return EXIT_OK;
}
