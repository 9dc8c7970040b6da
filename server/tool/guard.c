/*
 * p11gate guard: who has sent wrong PINs, and may try again.
 */
#include "server/tool/internal.h"

#include <stdio.h>
#include <string.h>

enum { LINE_SIZE = 1024 };

/* An identity or a slot; options begin with dashes. */
static bool is_name(int argc, char **argv, int index)
{
	return index < argc && strncmp(argv[index], "--", 2) != 0;
}

int command_guard(int argc, char **argv)
{
	char line[LINE_SIZE];
	const char *identity = "*", *slot = "*";
	int used = 2;

	if (argc >= 2 && strcmp(argv[1], "list") == 0)
		return admin_ask(argv[0], "guard list", true, argc - used, argv + used);
	if (argc < 2 || strcmp(argv[1], "reset") != 0)
		return command_usage(argv[0]);
	if (is_name(argc, argv, used))
		identity = argv[used++];
	if (is_name(argc, argv, used))
		slot = argv[used++];
	/* A blank would make two names of one. */
	if (strpbrk(identity, " \t\n") || strpbrk(slot, " \t\n") || *identity == '\0' || *slot == '\0' ||
		(size_t)snprintf(line, sizeof line, "guard reset %s %s", identity, slot) >= sizeof line)
		return command_usage(argv[0]);
	return admin_ask(argv[0], line, false, argc - used, argv + used);
}
