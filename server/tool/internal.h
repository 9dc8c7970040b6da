/*
 * The commands of p11gate, one file each; commands.c lists them.
 */
#ifndef P11GATE_TOOL_INTERNAL_H
#define P11GATE_TOOL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

/* What the shell gets. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define DEFAULT_CONFIG "/etc/p11gate/p11gated.yaml"

struct command {
	const char *name;
	const char *arguments; /* as the help shows them; may be empty */
	const char *summary;
	/* argv[0] is the command's name. Gives an exit status; says why on standard error. */
	int (*run)(int argc, char **argv);
};

extern const struct command commands[];
extern const size_t commands_count;

/* The command of that name, or what --help, -h and --version stand for; NULL if there is none. */
const struct command *command_find(const char *word);

/* Says how the command is used, on standard error. Returns EXIT_USAGE. */
int command_usage(const char *name);

/* Sends the command's name to a running gateway. */
int command_admin(int argc, char **argv);
/* What the guard counts of wrong PINs. */
int command_guard(int argc, char **argv);
/*
 * Sends `line` to the running gateway that the options in argv name, of which there may be none, and prints its answer: as it is, or
 * row by row. `command` is for the usage.
 */
int admin_ask(const char *command, const char *line, bool rows, int argc, char **argv);
/* Application IDs, through the client module; their list from a running gateway. */
int command_app(int argc, char **argv);
int command_app_list(int argc, char **argv);
int command_check(int argc, char **argv);
int command_sample(int argc, char **argv);
int command_version(int argc, char **argv);
int command_help(int argc, char **argv);

#endif
