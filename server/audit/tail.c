/*
 * The end of an existing log: where to go on, and what a crash left behind it.
 */
#include "server/audit/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/json.h"

enum { CHUNK = 64 << 10 };

/* `len` bytes at `offset`; less is STATUS_IO, for nobody else may change the file. */
static enum status read_at(int fd, void *data, size_t len, off_t offset)
{
	for (size_t used = 0; used < len;) {
		ssize_t got = pread(fd, (char *)data + used, len - used, offset + (off_t)used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			errno = got == 0 ? EIO : errno;
			return STATUS_IO;
		}
		used += (size_t)got;
	}
	return STATUS_OK;
}

/* The offset just behind the last line break before `end`, or 0. */
static enum status line_start(int fd, off_t end, off_t *ret_start)
{
	char chunk[CHUNK];

	while (end > 0) {
		size_t len = end < CHUNK ? (size_t)end : CHUNK;
		enum status status = read_at(fd, chunk, len, end - (off_t)len);

		if (status != STATUS_OK)
			return status;
		const char *found = memrchr(chunk, '\n', len);
		if (found) {
			*ret_start = end - (off_t)len + (found - chunk) + 1;
			return STATUS_OK;
		}
		end -= (off_t)len;
	}
	*ret_start = 0;
	return STATUS_OK;
}

static enum status seq_read(const char *line, size_t len, uint64_t *ret_seq)
{
	ARENA_AUTO struct arena arena;
	struct json_reader in;
	struct json_text name;
	uint64_t seq = 0;

	arena_init(&arena, 2 * AUDIT_LINE_MAX);
	json_reader_init(&in, line, len, &arena);
	if (json_enter_object(&in)) {
		while (json_next_member(&in, &name)) {
			if (json_text_is(name, "seq"))
				json_read_uint(&in, &seq);
			else
				json_skip(&in);
		}
	}
	if (!json_end(&in) || json_failed(&in) || seq == 0)
		return STATUS_MALFORMED;
	*ret_seq = seq;
	return STATUS_OK;
}

static enum status last_seq(int fd, off_t complete, uint64_t *ret_seq)
{
	off_t start;
	enum status status = line_start(fd, complete - 1, &start);

	if (status != STATUS_OK)
		return status;
	if (complete - start > AUDIT_LINE_MAX)
		return STATUS_MALFORMED;
	size_t len = (size_t)(complete - start);
	char *line = malloc(len);
	if (!line)
		return STATUS_NO_MEMORY;
	status = read_at(fd, line, len, start);
	if (status == STATUS_OK)
		status = seq_read(line, len, ret_seq);
	free(line);
	return status;
}

enum status tail_read(int fd, struct audit_tail *ret_tail)
{
	struct audit_tail tail = {0};
	struct stat about;

	if (fstat(fd, &about) != 0)
		return STATUS_IO;
	tail.size = about.st_size;
	enum status status = line_start(fd, tail.size, &tail.complete);
	if (status == STATUS_OK && tail.complete > 0)
		status = last_seq(fd, tail.complete, &tail.last_seq);
	if (status == STATUS_OK)
		*ret_tail = tail;
	return status;
}

static enum status copy_rest(int fd, const struct audit_tail *tail, int out)
{
	char chunk[CHUNK];

	for (off_t at = tail->complete; at < tail->size;) {
		size_t len = tail->size - at < CHUNK ? (size_t)(tail->size - at) : CHUNK;
		enum status status = read_at(fd, chunk, len, at);

		if (status != STATUS_OK)
			return status;
		if (write(out, chunk, len) != (ssize_t)len)
			return STATUS_IO;
		at += (off_t)len;
	}
	return write(out, "\n", 1) == 1 && fsync(out) == 0 ? STATUS_OK : STATUS_IO;
}

enum status tail_cut(int fd, const struct audit_tail *tail, const char *torn_file)
{
	int out = open(torn_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (out < 0)
		return STATUS_IO;
	enum status status = copy_rest(fd, tail, out);
	int saved = errno;
	if (close(out) != 0 && status == STATUS_OK)
		return STATUS_IO;
	errno = saved;
	if (status == STATUS_OK && ftruncate(fd, tail->complete) != 0)
		return STATUS_IO;
	return status;
}
