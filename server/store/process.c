#include "server/store/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STARTTIME = 22, STATE = 3 }; /* fields of /proc/PID/stat, counted from 1 */

/* The field's beginning, NULL if the file cannot be read. The second one is a name in brackets, which may hold blanks. */
static const char *stat_field(pid_t pid, int field, char line[1024])
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return NULL;
	bool read = fgets(line, 1024, file) != NULL;
	fclose(file);
	const char *at = read ? strrchr(line, ')') : NULL;
	for (int i = STATE; at != NULL && i <= field; i++) {
		at = strchr(at, ' ');
		at = at == NULL ? NULL : at + 1;
	}
	return at;
}

uint64_t process_started(pid_t pid)
{
	char line[1024];
	const char *field = stat_field(pid, STARTTIME, line);
	return field == NULL ? 0 : strtoull(field, NULL, 10);
}

bool process_exists(pid_t pid, uint64_t started)
{
	char line[1024];
	if (pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH))
		return false;
	const char *state = stat_field(pid, STATE, line);
	/* What cannot be looked at may be it. */
	if (state == NULL)
		return true;
	if (*state == 'Z' || *state == 'X')
		return false;
	uint64_t now = process_started(pid);
	return now == 0 || started == 0 || now == started;
}
