#include "client-module/debug.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINE_MAX_LEN = 1024 };

void debug_line(const char *format, ...)
{
	if (secure_getenv("P11GATE_DEBUG") == NULL) {
		return;
	}
	char line[LINE_MAX_LEN];
	int used = snprintf(line, sizeof(line), "p11gate-client: ");
	va_list arguments;
	va_start(arguments, format);
	int more = vsnprintf(line + used, sizeof(line) - (size_t)used - 1, format, arguments);
	va_end(arguments);
	if (more < 0) {
		return;
	}
	used += more;
	if (used > LINE_MAX_LEN - 2) {
		used = LINE_MAX_LEN - 2;
	}
	line[used] = '\n';
	/* One write, so that lines of several threads do not mix; nobody is there to be told that it failed. */
	ssize_t written = write(STDERR_FILENO, line, (size_t)used + 1);
	(void)written;
}
