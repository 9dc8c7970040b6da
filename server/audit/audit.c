#include "server/audit/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/json.h"
#include "server/common/log.h"

struct audit {
	int fd;
	char *file;
	char boot[AUDIT_BOOT_ID];
	pthread_mutex_t lock; /* of everything below */
	uint64_t last_seq;
	off_t size; /* bytes up to where the last batch began */
	struct buffer lines; /* of the batch being written */
	char failed_at[AUDIT_TIME]; /* of the first failure since the log was healthy */
	bool finished; /* the last record is written */
	atomic_bool healthy;
};

static enum status open_failed(const char *file, char *ret_error, size_t error_size)
{
	snprintf(ret_error, error_size, "the audit log %s cannot be opened: %s; check its folder and permissions", file,
		strerror(errno));
	return STATUS_IO;
}

static enum status open_file(const char *file, int *ret_fd, char *ret_error, size_t error_size)
{
	int fd = open(file, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	struct stat about;

	if (fd < 0)
		return open_failed(file, ret_error, error_size);
	if (fstat(fd, &about) == 0 && !S_ISREG(about.st_mode)) {
		snprintf(ret_error, error_size, "the audit log %s is no regular file; name a file", file);
		close(fd);
		return STATUS_IO;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		snprintf(ret_error, error_size, "another process writes the audit log %s; give each gateway its own",
			file);
		close(fd);
		return STATUS_BUSY;
	}
	*ret_fd = fd;
	return STATUS_OK;
}

/* Puts a torn last line aside. */
static enum status mend(struct audit *audit, const struct audit_tail *tail)
{
	char torn_file[4096];
	char bytes[24];

	snprintf(torn_file, sizeof torn_file, "%s.torn", audit->file);
	enum status status = tail_cut(audit->fd, tail, torn_file);
	if (status != STATUS_OK)
		return status;
	snprintf(bytes, sizeof bytes, "%lld", (long long)(tail->size - tail->complete));
	log_event(LOG_LEVEL_WARNING, "the last line of the audit log was incomplete and is kept apart", "file",
		audit->file, "kept_in", torn_file, "bytes", bytes, NULL);
	return STATUS_OK;
}

/* Where to go on: after the last complete line. */
static enum status resume(struct audit *audit, char *ret_error, size_t error_size)
{
	struct audit_tail tail;
	enum status status = tail_read(audit->fd, &tail);

	if (status == STATUS_MALFORMED)
		snprintf(ret_error, error_size,
			"the last line of %s is no audit record; move the file away and start again", audit->file);
	if (status == STATUS_OK && tail.complete < tail.size)
		status = mend(audit, &tail);
	if (status == STATUS_IO)
		open_failed(audit->file, ret_error, error_size);
	if (status != STATUS_OK)
		return status;
	audit->last_seq = tail.last_seq;
	audit->size = tail.complete;
	return STATUS_OK;
}

enum status audit_open(const char *file, struct audit **ret_audit, char *ret_error, size_t error_size)
{
	struct audit *audit = calloc(1, sizeof *audit);

	snprintf(ret_error, error_size, "out of memory");
	if (!audit)
		return STATUS_NO_MEMORY;
	audit->fd = -1;
	pthread_mutex_init(&audit->lock, NULL);
	buffer_init(&audit->lines, AUDIT_BATCH_MAX);
	atomic_init(&audit->healthy, true);
	record_boot(audit->boot);
	audit->file = strdup(file);
	enum status status = audit->file ? open_file(file, &audit->fd, ret_error, error_size) : STATUS_NO_MEMORY;
	if (status == STATUS_OK)
		status = resume(audit, ret_error, error_size);
	if (status != STATUS_OK) {
		audit_close(audit);
		return status;
	}
	*ret_error = '\0';
	*ret_audit = audit;
	return STATUS_OK;
}

void audit_close(struct audit *audit)
{
	if (!audit)
		return;
	if (audit->fd >= 0)
		close(audit->fd);
	buffer_done(&audit->lines);
	pthread_mutex_destroy(&audit->lock);
	free(audit->file);
	free(audit);
}

/* Writes the whole batch in one write where the kernel lets it. */
static bool write_lines(const struct audit *audit)
{
	for (size_t used = 0; used < audit->lines.len;) {
		ssize_t put = write(audit->fd, audit->lines.data + used, audit->lines.len - used);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		used += (size_t)put;
	}
	return true;
}

static void failed(struct audit *audit, int error)
{
	if (!atomic_exchange(&audit->healthy, false))
		return;
	record_time(audit->failed_at);
	log_event(LOG_LEVEL_ERROR, "the audit log cannot be written; key uses are refused until it can", "file",
		audit->file, "error", strerror(error), NULL);
}

/* Somebody removed the file: begins a new one. Its first number tells how many records went with the old one. */
static bool begin_again(struct audit *audit)
{
	struct audit_tail tail;
	char error[512];
	int fd;

	if (open_file(audit->file, &fd, error, sizeof error) != STATUS_OK)
		return false;
	if (tail_read(fd, &tail) != STATUS_OK || tail.size > 0) {
		close(fd);
		errno = EEXIST;
		return false;
	}
	close(audit->fd);
	audit->fd = fd;
	log_event(LOG_LEVEL_ERROR, "the audit log was removed; a new one is begun", "file", audit->file, NULL);
	return true;
}

/*
 * Makes the file ready for whole lines: audit->size is where they begin. The size is asked for each time, for the file
 * may have been cut by whoever rotates it.
 */
static bool prepare(struct audit *audit)
{
	struct stat about;

	if (fstat(audit->fd, &about) != 0)
		return false;
	if (about.st_nlink == 0) {
		audit->size = 0;
		return begin_again(audit);
	}
	/* What a failed write left behind would join up with the next line. */
	if (!atomic_load(&audit->healthy) && about.st_size > audit->size)
		return ftruncate(audit->fd, audit->size) == 0;
	audit->size = about.st_size;
	return true;
}

/* Writes the batch in audit->lines, whose last record has number `last_seq`; the lock is held. */
static enum status commit(struct audit *audit, uint64_t last_seq)
{
	if (audit->lines.failed)
		return STATUS_NO_MEMORY;
	bool prepared = prepare(audit);
	if (!prepared || !write_lines(audit)) {
		int error = errno;

		if (prepared && ftruncate(audit->fd, audit->size) != 0)
			log_event(LOG_LEVEL_ERROR,
				"part of a record stays in the audit log until it can be written again", "file",
				audit->file, NULL);
		failed(audit, error);
		errno = error;
		return STATUS_IO;
	}
	audit->last_seq = last_seq;
	if (!atomic_exchange(&audit->healthy, true))
		log_event(LOG_LEVEL_INFO, "the audit log can be written again", "file", audit->file, NULL);
	return STATUS_OK;
}

/* The lock is held. */
static enum status write_batch(
	struct audit *audit, const struct audit_subject *subject, const struct bytes *events, size_t count)
{
	char time[AUDIT_TIME];
	uint64_t seq = audit->last_seq;

	if (audit->finished)
		return STATUS_CLOSED;
	record_time(time);
	buffer_reset(&audit->lines);
	for (size_t i = 0; i < count; i++)
		record_write(&audit->lines, ++seq, time, audit->boot, subject, &events[i]);
	return commit(audit, seq);
}

enum status audit_write(struct audit *audit, const struct audit_subject *subject, const struct bytes_list *events,
	uint64_t *ret_last_seq)
{
	enum status status = STATUS_OK;

	if (events->count > AUDIT_EVENTS_MAX)
		return STATUS_TOO_LARGE;
	pthread_mutex_lock(&audit->lock);
	if (events->count > 0)
		status = write_batch(audit, subject, events->items, events->count);
	uint64_t seq = audit->last_seq;
	pthread_mutex_unlock(&audit->lock);
	if (status == STATUS_OK)
		*ret_last_seq = seq;
	return status;
}

enum status record_own(struct audit *audit, const struct audit_subject *subject, const struct bytes *event, bool last)
{
	pthread_mutex_lock(&audit->lock);
	enum status status = write_batch(audit, subject, event, 1);
	if (last) {
		audit->finished = true;
		atomic_store(&audit->healthy, false);
	}
	pthread_mutex_unlock(&audit->lock);
	return status;
}

int audit_healthy(struct audit *audit)
{
	return atomic_load(&audit->healthy);
}

enum status audit_probe(struct audit *audit)
{
	enum status status = STATUS_OK;

	if (audit_healthy(audit))
		return STATUS_OK;
	pthread_mutex_lock(&audit->lock);
	if (!audit_healthy(audit)) {
		const struct event_member members[] = {
			{"kind", "audit-restored"}, {"since", audit->failed_at}, {NULL, NULL}};
		BUFFER_AUTO struct buffer event;

		buffer_init(&event, AUDIT_EVENT_MAX);
		event_write(&event, members);
		status = write_batch(audit, NULL, &(struct bytes){event.data, event.len}, 1);
	}
	pthread_mutex_unlock(&audit->lock);
	return status;
}
