#include "tests/support/lib/mock.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/names.h"
#include "tests/support/lib/scratch.h"
#include "tests/support/mock/mock.h"

enum { DIRECTORIES_MAX = 16, AWAIT_MS = 10000 };

static char directories[DIRECTORIES_MAX][64];
static unsigned directories_count;

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static void remove_directories(void)
{
	for (unsigned i = 0; i < directories_count; i++)
		(void)nftw(directories[i], remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

void mock_new(struct mock *mock)
{
	scratch_directory(mock->directory, sizeof mock->directory);
	cr_assert_lt(directories_count, DIRECTORIES_MAX);
	if (directories_count == 0)
		atexit(remove_directories);
	memcpy(directories[directories_count++], mock->directory, sizeof mock->directory);
	snprintf(mock->control, sizeof mock->control, "%s/mock", mock->directory);
	mock_control(mock, "# a token that behaves\n");
}

void mock_control(const struct mock *mock, const char *format, ...)
{
	char path[128];
	va_list arguments;

	snprintf(path, sizeof path, "%s.new", mock->control);
	FILE *file = fopen(path, "we");
	cr_assert_not_null(file);
	va_start(arguments, format);
	cr_assert_geq(vfprintf(file, format, arguments), 0);
	va_end(arguments);
	cr_assert_eq(fclose(file), 0);
	/* Workers may read it at any time. */
	cr_assert_eq(rename(path, mock->control), 0);
}

/* `user` and `rv` are names, or NULL for any. */
static unsigned count(const struct mock *mock, const char *user, const char *rv)
{
	char path[128], line[128], theirs[64], answered[64];
	unsigned found = 0;

	snprintf(path, sizeof path, "%s.logins", mock->control);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file)) {
		cr_assert_eq(sscanf(line, "%63s %63s", theirs, answered), 2);
		found += (!user || strcmp(user, theirs) == 0) && (!rv || strcmp(rv, answered) == 0);
	}
	if (file)
		(void)fclose(file);
	return found;
}

static const char *user_text(CK_USER_TYPE user, char scratch[24])
{
	return user == CK_UNAVAILABLE_INFORMATION ? NULL : name_text(NAMES_USER, user, scratch);
}

unsigned mock_logins(const struct mock *mock, CK_USER_TYPE user)
{
	char scratch[24];

	return count(mock, user_text(user, scratch), NULL);
}

unsigned mock_logins_answered(const struct mock *mock, CK_USER_TYPE user, CK_RV rv)
{
	char scratch[24], code[24];

	return count(mock, user_text(user, scratch), name_text(NAMES_RETURN, rv, code));
}

/* The token's file, mapped and locked; token_unmap gives it back. */
static struct token *token_map(const struct mock *mock, int *ret_fd)
{
	char path[128];

	snprintf(path, sizeof path, "%s.token", mock->control);
	*ret_fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert(*ret_fd >= 0, "no worker has made the token yet");
	cr_assert_eq(flock(*ret_fd, LOCK_EX), 0);
	struct token *token = mmap(NULL, sizeof *token, PROT_READ | PROT_WRITE, MAP_SHARED, *ret_fd, 0);
	cr_assert_neq(token, MAP_FAILED);
	return token;
}

static void token_unmap(struct token *token, int fd)
{
	munmap(token, sizeof *token);
	close(fd);
}

static unsigned calls(const struct mock *mock, enum call_id id)
{
	struct stat now;
	int fd;
	struct token *token = token_map(mock, &fd);

	cr_assert_eq(stat(mock->control, &now), 0);
	/* Counts of the control file before this one are none. */
	unsigned seen = token->stamp == control_stamp(&now) ? token->calls[id] : 0;
	token_unmap(token, fd);
	return seen;
}

void mock_await_call(const struct mock *mock, const char *function, unsigned wanted)
{
	const struct timespec pause = {0, 1000000};
	const struct call_row *row = call_row_by_name(function + 2, strlen(function + 2));

	cr_assert_not_null(row);
	for (int ms = 0; calls(mock, row->id) < wanted; ms++) {
		cr_assert_lt(ms, AWAIT_MS, "%s was not called", function);
		nanosleep(&pause, NULL);
	}
}

void mock_change_pin(const struct mock *mock, const char *pin)
{
	int fd;
	struct token *token = token_map(mock, &fd);

	token->user.len = (unsigned)snprintf(token->user.text, sizeof token->user.text, "%s", pin);
	token->user.wrong = 0;
	token_unmap(token, fd);
}
