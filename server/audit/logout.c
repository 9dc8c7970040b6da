#include "server/audit/audit.h"

#include "api/json.h"

enum { LOGOUT_EVENT_MAX = 1024 };

static void member(struct json_writer *w, const char *name, const char *value)
{
	json_name(w, name);
	json_write_string(w, value);
}

enum status audit_logout(struct audit *audit, const struct audit_subject *subject, const char *user, const char *reason)
{
	struct buffer event BUFFER_AUTO;
	struct json_writer w;
	uint64_t last;

	buffer_init(&event, LOGOUT_EVENT_MAX);
	json_writer_init(&w, &event);
	json_begin_object(&w);
	member(&w, "kind", "login");
	member(&w, "function", "C_Logout");
	member(&w, "user", user);
	member(&w, "reason", reason);
	json_end_object(&w);
	if (event.failed)
		return STATUS_NO_MEMORY;
	struct bytes item = {event.data, event.len};
	return audit_write(audit, subject, &(struct bytes_list){&item, 1}, &last);
}
