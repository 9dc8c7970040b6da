#include "server/http/operator.h"

#include <stdio.h>
#include <string.h>

#include "api/limits.h"

enum {
	ROW_MAX = 1024, /* bytes of a row */
	MORE_MAX = 64, /* bytes of the last row, which tells how many did not fit */
	NAME_LEN = LIMIT_LABEL, /* bytes of a name in a command */
};

/* An answer that grows by rows. */
struct rows {
	char *answer;
	size_t size, used;
	unsigned count, left_out;
};

static struct rows rows_begin(char *answer, size_t size)
{
	struct rows rows = {answer, size, 0, 0, 0};
	rows.used = (size_t)snprintf(answer, size, "ok");
	return rows;
}

static void rows_add(struct rows *rows, const char *row)
{
	size_t len = strlen(row);
	if (rows->used + len + 2 + MORE_MAX > rows->size) {
		rows->left_out++;
		return;
	}
	rows->used += (size_t)snprintf(
		rows->answer + rows->used, rows->size - rows->used, "%s%s", rows->count == 0 ? " " : ";", row);
	rows->count++;
}

static void rows_end(struct rows *rows)
{
	if (rows->left_out > 0)
		snprintf(rows->answer + rows->used, rows->size - rows->used, ";and %u more", rows->left_out);
}

static void add_application(void *context, const struct application_summary *summary)
{
	const struct application_view *view = &summary->view;
	char row[ROW_MAX];
	snprintf(row, sizeof row, "slot=%s domain=%s application=%s state=%s login=%s sessions=%u", summary->slot,
		summary->domain, summary->hash, application_view_state(view), login_state_name(view->login),
		view->sessions);
	rows_add(context, row);
}

static void add_guard(void *context, const struct guard_summary *summary)
{
	char row[ROW_MAX];
	if (summary->identity != NULL)
		snprintf(row, sizeof row, "slot=%s identity=%s failures=%u", summary->slot, summary->identity,
			summary->failures);
	else if (summary->unknown)
		snprintf(row, sizeof row, "slot=%s token failures=unknown (see the log; then p11gate guard reset)",
			summary->slot);
	else
		snprintf(row, sizeof row, "slot=%s token user_failures=%u so_failures=%u", summary->slot,
			summary->failures, summary->so_failures);
	rows_add(context, row);
}

/* `arguments`: "IDENTITY SLOT". */
static void reset(struct registry *registry, struct audit *audit, const char *arguments, char *ret_answer, size_t size)
{
	char identity[NAME_LEN + 1], slot[NAME_LEN + 1], rest;
	unsigned count = 0;
	_Static_assert(NAME_LEN == 256, "the format below says how long a name may be");
	if (sscanf(arguments, "%256s %256s %c", identity, slot, &rest) != 2) {
		snprintf(ret_answer, size, "error guard reset needs an identity and a slot; * is every one");
		return;
	}
	if (audit_guard_reset(audit, identity, slot) != STATUS_OK) {
		snprintf(ret_answer, size, "error the audit log cannot be written; make room for it");
		return;
	}
	enum status status = registry_guard_reset(
		registry, strcmp(identity, "*") == 0 ? NULL : identity, strcmp(slot, "*") == 0 ? NULL : slot, &count);
	if (status == STATUS_OK)
		snprintf(ret_answer, size, "ok reset=%u", count);
	else
		snprintf(ret_answer, size,
			"error the token's lock was not to be had, or its count not to be written; see the log, and "
			"try again");
}

bool operator_command(struct registry *registry, struct audit *audit, const char *line, char *ret_answer, size_t size)
{
	static const char reset_command[] = "guard reset ";
	struct rows rows = rows_begin(ret_answer, size);
	if (strcmp(line, "app list") == 0)
		registry_applications(registry, add_application, &rows);
	else if (strcmp(line, "guard list") == 0)
		registry_guards(registry, add_guard, &rows);
	else if (strncmp(line, reset_command, sizeof reset_command - 1) == 0)
		reset(registry, audit, line + sizeof reset_command - 1, ret_answer, size);
	else
		return false;
	rows_end(&rows);
	return true;
}
