#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/arena.h"
#include "api/json.h"
#include "server/common/log.h"

/* Runs one log_event with standard error turned into a pipe and gives what was written. */
#define LOGGED(line, ...) \
	do { \
		int pipe_fds[2], saved = dup(STDERR_FILENO); \
		cr_assert_eq(pipe(pipe_fds), 0); \
		dup2(pipe_fds[1], STDERR_FILENO); \
		close(pipe_fds[1]); \
		log_event(__VA_ARGS__, NULL); \
		dup2(saved, STDERR_FILENO); \
		close(saved); \
		ssize_t got = read(pipe_fds[0], line, sizeof(line) - 1); \
		close(pipe_fds[0]); \
		line[got > 0 ? got : 0] = '\0'; \
	} while (0)

static bool is_json_line(const char *line)
{
	const char *error;
	size_t offset, len = strlen(line);
	return len > 0 && strchr(line, '\n') == line + len - 1 && json_validate(line, len, &error, &offset);
}

Test(log, writes_one_json_object_per_line_with_escaped_values)
{
	char line[8192];
	log_setup(LOG_LEVEL_INFO, 1);
	LOGGED(line, LOG_LEVEL_WARNING, "worker ended", "slot", "demo", "detail", "a \"b\"\nc\x01");
	cr_assert(is_json_line(line), "%s", line);
	cr_expect(
		strstr(line, "\"level\":\"warning\",\"event\":\"worker ended\",\"slot\":\"demo\"") != NULL, "%s", line);
	cr_expect(strstr(line, "a \\\"b\\\"\\nc\\u0001") != NULL, "%s", line);
}

Test(log, writes_text_for_terminals_without_line_breaks_from_values)
{
	char line[8192];
	log_setup(LOG_LEVEL_INFO, 0);
	LOGGED(line, LOG_LEVEL_INFO, "worker started", "slot", "demo", "detail", "x\ny");
	cr_expect(strstr(line, " info worker started slot=demo detail=\"x\\ny\"\n") != NULL, "%s", line);
}

Test(log, leaves_out_what_is_below_the_level)
{
	char line[8192];
	log_setup(LOG_LEVEL_WARNING, 1);
	LOGGED(line, LOG_LEVEL_INFO, "quiet");
	cr_expect_str_eq(line, "");
}

Test(log, cuts_a_line_that_is_too_long_and_says_so)
{
	char line[8192], longest[6000];
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	log_setup(LOG_LEVEL_INFO, 1);
	LOGGED(line, LOG_LEVEL_INFO, "event", "a", "1", "b", longest, "c", "2");
	cr_assert(is_json_line(line), "%s", line);
	cr_expect(strstr(line, "\"a\":\"1\",\"cut\":true}") != NULL, "%s", line);
}
