#include "server/common/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/buffer.h"
#include "api/json.h"

enum {
	LINE_MAX_LEN = 4096, /* bytes of a line; a pipe takes that much in one piece */
	LINE_TAIL = 24, /* kept free for the mark of a cut line and its end */
};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static _Atomic int lowest_level = LOG_LEVEL_INFO;
static _Atomic int json_form = 0;

void log_setup(enum log_level level, int json)
{
	atomic_store(&lowest_level, (int)level);
	atomic_store(&json_form, json);
}

/* RFC 3339 in UTC with milliseconds. */
static void time_text(char out[40])
{
	struct timespec now;
	struct tm parts;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	size_t len = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(out + len, 40 - len, ".%03ldZ", now.tv_nsec / 1000000);
}

static void json_member(struct json_writer *w, const char *name, const char *value)
{
	json_name(w, name);
	json_write_string(w, value);
}

/* True if the value needs no quotes in the form for terminals. */
static int is_plain(const char *value)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:/_-+@,";
	return value[0] != '\0' && value[strspn(value, plain)] == '\0';
}

static void text_member(struct json_writer *w, const char *name, const char *value)
{
	buffer_byte(w->out, ' ');
	buffer_text(w->out, name);
	buffer_byte(w->out, '=');
	if (is_plain(value)) {
		buffer_text(w->out, value);
		return;
	}
	w->comma = false;
	json_write_string(w, value);
}

static void write_fields(struct json_writer *w, int json, va_list fields)
{
	const char *name;
	while ((name = va_arg(fields, const char *)) != NULL) {
		const char *value = va_arg(fields, const char *);
		size_t before = w->out->len;
		bool comma = w->comma;
		if (json)
			json_member(w, name, value == NULL ? "" : value);
		else
			text_member(w, name, value == NULL ? "" : value);
		if (!w->out->failed)
			continue;
		w->out->len = before;
		w->out->failed = false;
		w->out->limit += LINE_TAIL;
		buffer_text(w->out, !json ? " cut" : comma ? ",\"cut\":true" : "\"cut\":true");
		return;
	}
	w->out->limit += LINE_TAIL;
}

static void begin_line(struct json_writer *w, int json, enum log_level level, const char *event)
{
	char now[40];
	time_text(now);
	if (json) {
		json_begin_object(w);
		json_member(w, "time", now);
		json_member(w, "level", level_names[level]);
		json_member(w, "event", event);
		return;
	}
	buffer_text(w->out, now);
	buffer_byte(w->out, ' ');
	buffer_text(w->out, level_names[level]);
	buffer_byte(w->out, ' ');
	buffer_text(w->out, event);
}

void log_event(enum log_level level, const char *event, ...)
{
	if ((int)level > atomic_load(&lowest_level))
		return;
	/* On the stack: a line must come out when there is no memory too. */
	unsigned char line[LINE_MAX_LEN];
	struct buffer out = {.data = line, .capacity = sizeof line, .limit = sizeof line - LINE_TAIL};
	struct json_writer w;
	int json = atomic_load(&json_form);
	va_list fields;

	json_writer_init(&w, &out);
	begin_line(&w, json, level, event);
	va_start(fields, event);
	write_fields(&w, json, fields);
	va_end(fields);
	buffer_text(&out, json ? "}\n" : "\n");
	/* One write per line keeps lines of several processes apart; a log that cannot be written is nobody's error. */
	ssize_t written = write(STDERR_FILENO, out.data, out.len);
	(void)written;
}
