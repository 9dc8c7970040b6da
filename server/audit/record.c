#include "server/audit/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/json.h"

const char *record_problem(const struct bytes *event)
{
	const char *text = (const char *)event->data;
	const char *error;
	size_t offset;

	if (event->len > AUDIT_EVENT_MAX)
		return "too long";
	if (event->len == 0 || text[0] != '{')
		return "not an object";
	/* Line breaks are white space to JSON, but here they end the record: another one could be forged behind them. */
	for (size_t i = 0; i < event->len; i++) {
		if (event->data[i] < ' ')
			return "control character";
	}
	return json_validate(text, event->len, &error, &offset) ? NULL : "not JSON";
}

static void write_member(struct json_writer *w, const char *name, const char *text)
{
	json_name(w, name);
	json_write_string(w, text);
}

static void write_event(struct json_writer *w, const struct bytes *event)
{
	const char *problem = record_problem(event);

	if (problem == NULL) {
		json_write_raw(w, (const char *)event->data, event->len);
		return;
	}
	json_begin_object(w);
	write_member(w, "kind", "unrecordable");
	write_member(w, "reason", problem);
	json_end_object(w);
}

void record_write(struct buffer *out, uint64_t seq, const char *time, const char *boot,
	const struct audit_subject *subject, const struct bytes *event)
{
	struct json_writer w;

	json_writer_init(&w, out);
	json_begin_object(&w);
	json_name(&w, "seq");
	json_write_uint(&w, seq);
	write_member(&w, "time", time);
	write_member(&w, "boot", boot);
	if (subject) {
		write_member(&w, "trace", subject->trace);
		write_member(&w, "identity", subject->identity);
		write_member(&w, "certificate", subject->certificate_sha256);
		write_member(&w, "peer", subject->peer);
		write_member(&w, "slot", subject->slot);
		write_member(&w, "application", subject->application);
	}
	json_name(&w, "event");
	write_event(&w, event);
	json_end_object(&w);
	buffer_byte(out, '\n');
}

void record_time(char ret_time[AUDIT_TIME])
{
	struct timespec now;
	struct tm parts;
	char seconds[AUDIT_TIME - 8];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(ret_time, AUDIT_TIME, "%s.%06uZ", seconds, (unsigned)(now.tv_nsec / 1000) % 1000000);
}

void record_boot(char ret_boot[AUDIT_BOOT_ID])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, ret_boot, AUDIT_BOOT_ID - 1);

	ret_boot[got > 0 ? got : 0] = '\0';
	ret_boot[strcspn(ret_boot, "\n")] = '\0';
	if (fd >= 0)
		close(fd);
}
