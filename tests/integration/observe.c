/* Looking at the gateway from outside: its counters and its processes. */
#include "tests/integration/fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

long calls_counted(const struct gateway *g, const char *function)
{
	ANSWER_AUTO metrics = request(g, ALICE, "GET", "/metrics", NULL, NULL);
	char wanted[80];
	long total = 0;

	(void)snprintf(wanted, sizeof(wanted), "function=\"%s\"", function);
	cr_assert_eq(metrics.status, 200);
	for (char *at = metrics.text; at != NULL && *at != '\0';) {
		char *end = strchr(at, '\n');
		if (end != NULL)
			*end = '\0';
		if (strncmp(at, "p11gate_calls_total{", 20) == 0 && strstr(at, wanted) != NULL)
			total += strtol(strrchr(at, ' ') + 1, NULL, 10);
		at = end != NULL ? end + 1 : NULL;
	}
	return total;
}

long process_status(pid_t pid, const char *field)
{
	char path[64], line[256];
	long value = -1;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (file == NULL)
		return -1;
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
			value = strtol(line + strlen(field) + 1, NULL, 10);
	(void)fclose(file);
	return value;
}

/* Adds the children that one thread of the gateway started. */
static size_t children_of(pid_t process, const char *task, pid_t *pids, size_t count, size_t max)
{
	char path[340], line[8192];
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/children", (int)process, task);
	file = fopen(path, "re");
	if (file == NULL)
		return count;
	if (fgets(line, sizeof(line), file) != NULL) {
		char *at = line, *end;
		for (long pid = strtol(at, &end, 10); count < max && end != at; pid = strtol(at, &end, 10)) {
			pids[count++] = (pid_t)pid;
			at = end;
		}
	}
	(void)fclose(file);
	return count;
}

size_t worker_processes(const struct gateway *g, pid_t *ret_pids, size_t max)
{
	char path[64];
	size_t count = 0;
	DIR *tasks;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)g->pid);
	tasks = opendir(path);
	cr_assert_not_null(tasks, "the gateway is not running");
	for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks))
		if (task->d_name[0] != '.')
			count = children_of(g->pid, task->d_name, ret_pids, count, max);
	(void)closedir(tasks);
	return count;
}

pid_t worker_besides(const struct gateway *g, const pid_t *others, size_t others_count)
{
	enum { MAX = 16 };
	pid_t workers[MAX], found = 0;
	size_t count = worker_processes(g, workers, MAX);

	for (size_t i = 0; i < count; i++) {
		bool known = false;
		for (size_t k = 0; k < others_count; k++)
			known = known || others[k] == workers[i];
		found = known ? found : workers[i];
	}
	cr_assert_gt(found, 0);
	return found;
}

bool await_condition(bool (*holds)(const struct gateway *g, void *argument), const struct gateway *g, void *argument,
	unsigned seconds)
{
	for (unsigned i = 0; i < seconds * 100; i++) {
		if (holds(g, argument))
			return true;
		usleep(10000);
	}
	return false;
}

/* The state letter in /proc/PID/task/TID/stat, behind the program's name in brackets; '\0' for a thread that is gone. */
static char thread_state(pid_t process, const char *thread)
{
	char path[340], line[512] = "";

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", (int)process, thread);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return '\0';
	const char *bracket = fgets(line, sizeof(line), file) == NULL ? NULL : strrchr(line, ')');
	(void)fclose(file);
	return bracket == NULL ? '\0' : bracket[2];
}

static bool is_halted(const struct gateway *g, void *argument)
{
	const pid_t *pid = argument;
	bool halted = true;
	char path[64];

	(void)g;
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)*pid);
	DIR *threads = opendir(path);
	cr_assert_not_null(threads, "process %d is gone", (int)*pid);
	for (struct dirent *entry = readdir(threads); entry != NULL; entry = readdir(threads)) {
		char state = entry->d_name[0] == '.' ? '\0' : thread_state(*pid, entry->d_name);
		halted = halted && (state == '\0' || state == 'T');
	}
	(void)closedir(threads);
	return halted;
}

void process_halt(pid_t pid)
{
	cr_assert_eq(kill(pid, SIGSTOP), 0);
	cr_assert(await_condition(is_halted, NULL, &pid, 10), "process %d does not stop", (int)pid);
}
