#include "tests/support/lib/process_memory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api/base64url.h"

enum { BLOCK = 1 << 20, MAPPINGS_LEAST = 10 };

struct needle needle_of(const char *secret)
{
	struct needle needle;
	char wire[NEEDLE_MAX];
	int half = (int)strlen(secret) / 2, wire_half = (int)base64url_encoded_len(strlen(secret)) / 2;

	cr_assert(strlen(secret) >= 16 && strlen(secret) < 32);
	base64url_encode(wire, secret, strlen(secret));
	(void)snprintf(needle.texts[0], NEEDLE_MAX, "%.*s", half, secret);
	(void)snprintf(needle.texts[1], NEEDLE_MAX, "%s", secret + half);
	(void)snprintf(needle.texts[2], NEEDLE_MAX, "%.*s", wire_half, wire);
	(void)snprintf(needle.texts[3], NEEDLE_MAX, "%.*s", wire_half, wire + wire_half);
	return needle;
}

struct search {
	int memory; /* /proc/PID/mem */
	struct needle needle;
	bool show;
	unsigned char *block;
};

static void show(const unsigned char *data, size_t len, size_t at, const char *where)
{
	fprintf(stderr, "found in %s: ", where);
	for (size_t i = at > 24 ? at - 24 : 0; i < at + 40 && i < len; i++)
		fputc(data[i] >= ' ' && data[i] < 127 ? data[i] : '.', stderr);
	fputc('\n', stderr);
}

static unsigned hits_in(const struct search *search, size_t len, const char *text, const char *where)
{
	const unsigned char *data = search->block, *at = data;
	unsigned hits = 0;

	while ((at = memmem(at, len - (size_t)(at - data), text, strlen(text))) != NULL) {
		if (search->show)
			show(data, len, (size_t)(at - data), where);
		hits++;
		at++;
	}
	return hits;
}

/* A mapping, in blocks that overlap by a needle's length. */
static unsigned hits_in_mapping(const struct search *search, size_t start, size_t end, const char *where)
{
	unsigned hits = 0;

	for (size_t at = start; at < end; at += BLOCK - NEEDLE_MAX) {
		size_t want = end - at < BLOCK ? end - at : BLOCK;
		ssize_t got = pread(search->memory, search->block, want, (off_t)at);
		if (got <= 0)
			continue;
		for (size_t i = 0; i < NEEDLE_TEXTS; i++)
			hits += hits_in(search, (size_t)got, search->needle.texts[i], where);
	}
	return hits;
}

/* All that the process can read; `ret_mappings` is how much there was. */
static unsigned hits_in_mappings(FILE *maps, const struct search *search, unsigned *ret_mappings)
{
	char line[512];
	unsigned hits = 0;

	*ret_mappings = 0;
	while (fgets(line, sizeof(line), maps) != NULL) {
		size_t start, end;
		char mode[5];
		if (sscanf(line, "%zx-%zx %4s", &start, &end, mode) != 3 || mode[0] != 'r' ||
			strstr(line, "[v") != NULL)
			continue;
		line[strcspn(line, "\n")] = '\0';
		hits += hits_in_mapping(search, start, end, line);
		++*ret_mappings;
	}
	return hits;
}

static bool has_ended(int process)
{
	struct pollfd end = {.fd = process, .events = POLLIN};

	return poll(&end, 1, 0) != 0;
}

/* A file of /proc/PID; -1 if the process is no more. */
static int process_open(pid_t pid, const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(fd >= 0 || errno == ENOENT || errno == ESRCH, "the test needs root");
	return fd;
}

static int look(pid_t pid, const char *secret, bool shown)
{
	struct search search = {.needle = needle_of(secret), .show = shown, .block = malloc(BLOCK)};
	unsigned hits = 0, mappings = 0;
	int process = (int)syscall(SYS_pidfd_open, pid, 0);

	cr_assert_not_null(search.block);
	search.memory = process_open(pid, "mem");
	int list = process_open(pid, "maps");
	FILE *maps = list >= 0 ? fdopen(list, "r") : NULL;
	if (search.memory >= 0 && maps != NULL)
		hits = hits_in_mappings(maps, &search, &mappings);
	/* Its memory goes a little before the process itself. */
	bool alive = process >= 0 && mappings > 0 && !has_ended(process);
	if (maps != NULL)
		(void)fclose(maps);
	if (search.memory >= 0)
		close(search.memory);
	if (process >= 0)
		close(process);
	free(search.block);
	cr_assert(!alive || mappings > MAPPINGS_LEAST, "process %d has only %u mappings", (int)pid, mappings);
	return alive ? (int)hits : -1;
}

int process_memory_hits(pid_t pid, const char *secret)
{
	return look(pid, secret, false);
}

int process_memory_show(pid_t pid, const char *secret)
{
	return look(pid, secret, true);
}

unsigned process_memory_unprotected(pid_t pid)
{
	char path[64], line[512], mapping[512] = "";
	unsigned writable = 0, without = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	FILE *smaps = fopen(path, "re");
	cr_assert_not_null(smaps);
	while (fgets(line, sizeof(line), smaps) != NULL) {
		size_t start, end;
		char mode[5];
		if (sscanf(line, "%zx-%zx %4s", &start, &end, mode) == 3)
			(void)snprintf(mapping, sizeof(mapping), "%s", strncmp(mode, "rw", 2) == 0 ? line : "");
		if (strncmp(line, "VmFlags:", 8) != 0 || mapping[0] == '\0')
			continue;
		writable++;
		if (strstr(line, " lo") == NULL || strstr(line, " dd") == NULL) {
			fprintf(stderr, "%s%s", mapping, line);
			without++;
		}
	}
	(void)fclose(smaps);
	cr_assert_gt(writable, 5);
	return without;
}
