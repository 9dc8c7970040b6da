#include "tests/unit/audit/fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/json.h"
#include "tests/support/lib/scratch.h"

const struct audit_subject alice = {
	.trace = "0123456789abcdef0123456789abcdef",
	.identity = "alice",
	.certificate_sha256 = "ab12",
	.peer = "127.0.0.1:5000",
	.slot = "demo",
	.application = "77aa",
};

char folder[64];
char file[96];
char torn[96];
char error[512];

void fixture_make(void)
{
	scratch_directory(folder, sizeof(folder));
	snprintf(file, sizeof file, "%s/audit.log", folder);
	snprintf(torn, sizeof torn, "%s/audit.log.torn", folder);
}

void fixture_remove(void)
{
	unlink(file);
	unlink(torn);
	rmdir(folder);
}

struct audit *opened(void)
{
	struct audit *audit = NULL;

	cr_assert_eq(audit_open(file, &audit, error, sizeof error), STATUS_OK, "%s", error);
	return audit;
}

enum status put(struct audit *audit, const char *event, uint64_t *ret_seq)
{
	struct bytes item = {(const unsigned char *)event, strlen(event)};

	return audit_write(audit, &alice, &(struct bytes_list){&item, 1}, ret_seq);
}

uint64_t put_ok(struct audit *audit, const char *event)
{
	uint64_t seq = 0;

	cr_assert_eq(put(audit, event, &seq), STATUS_OK);
	return seq;
}

char *contents(const char *path)
{
	char *text = calloc(1, TEXT_MAX);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
	ssize_t len = read(fd, text, TEXT_MAX - 1);
	cr_assert(len >= 0);
	close(fd);
	return text;
}

void append(const char *text)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

uint64_t check_gapless(void)
{
	char *text = contents(file), *rest = text;
	uint64_t lines = 0;

	for (char *line; (line = strsep(&rest, "\n")) && *line;) {
		char start[40];
		const char *problem;
		size_t offset;

		snprintf(start, sizeof start, "{\"seq\":%llu,", (unsigned long long)++lines);
		cr_assert(json_validate(line, strlen(line), &problem, &offset), "line %llu: %s",
			(unsigned long long)lines, line);
		cr_assert_eq(
			strncmp(line, start, strlen(start)), 0, "line %llu is %s", (unsigned long long)lines, line);
	}
	free(text);
	return lines;
}
