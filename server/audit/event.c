/*
 * Events that the gateway makes itself, without a request.
 */
#include "server/audit/internal.h"

#include "api/json.h"

void event_write(struct buffer *out, const struct event_member *members)
{
	struct json_writer w;

	json_writer_init(&w, out);
	json_begin_object(&w);
	for (; members->name; members++) {
		json_name(&w, members->name);
		json_write_string(&w, members->value);
	}
	json_end_object(&w);
}

static enum status record(
	struct audit *audit, const struct audit_subject *subject, const struct event_member *members, bool last)
{
	struct buffer event BUFFER_AUTO;

	buffer_init(&event, AUDIT_EVENT_MAX);
	event_write(&event, members);
	if (event.failed)
		return STATUS_NO_MEMORY;
	return record_own(audit, subject, &(struct bytes){event.data, event.len}, last);
}

enum status audit_logout(struct audit *audit, const struct audit_subject *subject, const char *user, const char *reason)
{
	const struct event_member members[] = {
		{"kind", "login"}, {"function", "C_Logout"}, {"user", user}, {"reason", reason}, {NULL, NULL}};

	return record(audit, subject, members, false);
}

enum status audit_guard_reset(struct audit *audit, const char *identity, const char *slot)
{
	const struct event_member members[] = {
		{"kind", "guard-reset"}, {"identity", identity}, {"slot", slot}, {NULL, NULL}};

	return record(audit, NULL, members, false);
}

static enum status configuration(struct audit *audit, const char *reason, const char *file, bool last)
{
	const struct event_member members[] = {
		{"kind", "configuration"}, {"reason", reason}, {"file", file}, {NULL, NULL}};

	return record(audit, NULL, members, last);
}

enum status audit_configuration(struct audit *audit, const char *reason, const char *file)
{
	return configuration(audit, reason, file, false);
}

enum status audit_finish(struct audit *audit, const char *reason, const char *file)
{
	return configuration(audit, reason, file, true);
}
