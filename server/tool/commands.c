#include "server/tool/internal.h"

#include <stdio.h>
#include <string.h>

#define GATEWAY "[--config FILE | --socket PATH]"

const struct command commands[] = {
	{"status", GATEWAY, "Shows how the running gateway is", command_admin},
	{"reload", GATEWAY, "Makes the running gateway read its configuration again; a bad file changes nothing",
		command_admin},
	{"stop", GATEWAY, "Ends the running gateway after the requests in flight", command_admin},
	{"app", "hold|login|logout|close SLOT ID [--pin-fd N] [--module FILE]",
		"Holds an application open at a slot, logs it in or out, or ends it, with the certificate of the "
		"client file; "
		"ID is MAJOR-MINOR or 32 hexadecimal digits",
		command_app},
	{"app list", GATEWAY,
		"Shows the applications of the running gateway; an ID is a hash that changes at each start",
		command_app_list},
	{"guard", "list|reset [IDENTITY [SLOT]] " GATEWAY,
		"Shows how many wrong PINs in a row identities and tokens have had, or forgets them; * is every one",
		command_guard},
	{"check", "FILE", "Finds the first mistake in a configuration: file:line:column: key: what; what to do",
		command_check},
	{"sample", "", "Prints a configuration with every key, its default and what it means", command_sample},
	{"version", "", "Prints the version", command_version},
	{"help", "[COMMAND]", "Explains the commands", command_help},
};
const size_t commands_count = sizeof commands / sizeof *commands;

/* Commands that go by the usual options too. */
static const struct {
	const char *option, *name;
} options[] = {{"--help", "help"}, {"-h", "help"}, {"--version", "version"}};

static const char *name_of(const char *word)
{
	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		if (strcmp(options[i].option, word) == 0)
			return options[i].name;
	}
	return word;
}

const struct command *command_find(const char *word)
{
	const char *name = name_of(word);

	for (size_t i = 0; i < commands_count; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

int command_usage(const char *name)
{
	const struct command *command = command_find(name);

	fprintf(stderr, "usage: p11gate %s%s%s\n", name, *command->arguments ? " " : "", command->arguments);
	return EXIT_USAGE;
}
