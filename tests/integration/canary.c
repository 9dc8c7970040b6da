#include "tests/integration/canary.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/lib/process_memory.h"

enum { WIPED_S = 8 }; /* long enough on a busy machine; less than a login waits for the token (slot_lock_wait) */

void canary_make(char ret_pin[CANARY_MAX], const char *start)
{
	unsigned long long number = 0;

	cr_assert_eq(getentropy(&number, sizeof(number)), 0);
	(void)snprintf(ret_pin, CANARY_MAX, "%s%016llx", start, number);
}

void canary_start(struct gateway *ret_gateway, const char *more)
{
	char pin[CANARY_MAX];

	canary_make(pin, "canary");
	setenv("PIN", pin, 1);
	if (more != NULL)
		setenv("MORE", more, 1);
	gateway_start(ret_gateway);
	unsetenv("PIN");
	unsetenv("MORE");
	cr_assert_str_eq(ret_gateway->pin, pin);
}

struct watched {
	pid_t pid;
	const char *pin;
};

static bool is_there(const struct gateway *g, void *argument)
{
	const struct watched *watched = argument;

	(void)g;
	return process_memory_hits(watched->pid, watched->pin) > 0;
}

static bool is_gone(const struct gateway *g, void *argument)
{
	const struct watched *watched = argument;

	(void)g;
	return process_memory_hits(watched->pid, watched->pin) == 0;
}

/* Two halves. */
static bool is_there_once(const struct gateway *g, void *argument)
{
	const struct watched *watched = argument;

	(void)g;
	return process_memory_hits(watched->pid, watched->pin) == 2;
}

void expect_there(const struct gateway *g, pid_t pid, const char *pin, const char *where)
{
	struct watched watched = {pid, pin};

	cr_assert(await_condition(is_there, g, &watched, WIPED_S), "it is not there: %s", where);
}

void expect_gone(const struct gateway *g, pid_t pid, const char *pin, const char *where)
{
	struct watched watched = {pid, pin};

	if (!await_condition(is_gone, g, &watched, WIPED_S))
		cr_expect_eq(process_memory_show(pid, pin), 0, "%s", where);
}

void expect_kept_once(const struct gateway *g, pid_t pid, const char *pin, const char *when)
{
	struct watched watched = {pid, pin};

	if (!await_condition(is_there_once, g, &watched, WIPED_S))
		cr_expect_eq(process_memory_show(pid, pin), 2, "%s", when);
}

struct watched_all {
	const char *pin;
	size_t workers;
};

/* A worker that ends while it is looked into spoils the look; the next one is without it. */
static bool is_nowhere_by(
	const struct gateway *g, const struct watched_all *watched, int (*look)(pid_t pid, const char *secret))
{
	pid_t workers[WORKERS_MAX];
	size_t count = worker_processes(g, workers, WORKERS_MAX);
	bool nowhere = count >= watched->workers && look(g->pid, watched->pin) == 0;

	for (size_t i = 0; i < count && nowhere; i++)
		nowhere = look(workers[i], watched->pin) == 0;
	return nowhere;
}

static bool is_nowhere(const struct gateway *g, void *argument)
{
	return is_nowhere_by(g, argument, process_memory_hits);
}

void expect_nowhere(const struct gateway *g, const char *pin, size_t workers, const char *when)
{
	struct watched_all watched = {pin, workers};

	if (!await_condition(is_nowhere, g, &watched, WIPED_S))
		cr_expect(is_nowhere_by(g, &watched, process_memory_show), "%s", when);
	expect_in_no_file(g, pin);
}

void expect_in_no_file(const struct gateway *g, const char *pin)
{
	const struct needle needle = needle_of(pin);
	char command[1800];

	(void)snprintf(command, sizeof(command),
		"! grep -rlaF -e '%s' -e '%s' -e '%s' -e '%s' '%s/gateway.log' '%s/state' '%s/run' && test -s "
		"'%s/state/audit.log'",
		needle.texts[0], needle.texts[1], needle.texts[2], needle.texts[3], g->directory, g->directory,
		g->directory, g->directory);
	cr_expect_eq(system(command), 0, "the PIN is in a file"); /* NOLINT(cert-env33-c) */
}
