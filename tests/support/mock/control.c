#include "tests/support/mock/mock.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/names.h"

enum setting_kind { SETTING_NUMBER, SETTING_RETURN, SETTING_TEXT };

static const struct setting {
	const char *name;
	enum setting_kind kind;
	size_t offset, size;
} settings[] = {
#define SETTING(name, kind) \
	{ \
#name, SETTING_##kind, offsetof(struct control, name), sizeof(((struct control *)0)->name) \
	}
	SETTING(label, TEXT),
	SETTING(serial, TEXT),
	SETTING(pin, TEXT),
	SETTING(so_pin, TEXT),
	SETTING(user_tries, NUMBER),
	SETTING(so_tries, NUMBER),
	SETTING(sessions, NUMBER),
	SETTING(person_ms, NUMBER),
	SETTING(protected_path, NUMBER),
	SETTING(removed, NUMBER),
	SETTING(always_authenticate_stored, NUMBER),
	SETTING(context_verifies, NUMBER),
	SETTING(refusal_keeps, NUMBER),
	SETTING(lock_keeps_login, NUMBER),
	SETTING(logout_keeps, NUMBER),
	SETTING(exclusive, RETURN),
	SETTING(context_idle, RETURN),
	SETTING(finalize, RETURN),
};

static const char *const actions[] = {
	[ACTION_RETURN] = "return",
	[ACTION_AFTER] = "after",
	[ACTION_HANG] = "hang",
	[ACTION_CRASH] = "crash",
	[ACTION_SLOW] = "slow",
	[ACTION_LENGTH] = "length",
	[ACTION_REMOVE] = "remove",
};

static const char *const people[] = {
	[PERSON_WAIT] = "wait", [PERSON_APPROVE] = "approve", [PERSON_DENY] = "deny", [PERSON_CANCEL] = "cancel"};

static void mistake(const char *line)
{
	fprintf(stderr, "mock: the control file has a line that means nothing: %s\n", line);
	abort();
}

static size_t position(const char *const names[], size_t count, const char *name, const char *line)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return i;
	}
	mistake(line);
	return 0;
}

static CK_RV return_value(const char *text, const char *line)
{
	CK_ULONG number = 0;

	if (!name_number(NAMES_RETURN, (struct json_text){text, strlen(text)}, &number))
		mistake(line);
	return number;
}

static void setting_read(struct control *control, const char *name, const char *value, const char *line)
{
	for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
		char *at = (char *)control + settings[i].offset;
		if (strcmp(settings[i].name, name) != 0)
			continue;
		if (settings[i].kind == SETTING_NUMBER)
			*(unsigned *)(void *)at = (unsigned)strtoul(value, NULL, 10);
		else if (settings[i].kind == SETTING_RETURN)
			*(CK_RV *)(void *)at = return_value(value, line);
		else
			snprintf(at, settings[i].size, "%s", value);
		return;
	}
	if (strcmp(name, "person") != 0)
		mistake(line);
	control->person = (enum person)position(people, sizeof people / sizeof people[0], value, line);
}

/* "fault C_Sign 2 return CKR_DEVICE_ERROR": `when` is N, N+ (from the n-th on) or * (every one). */
static void fault_read(struct control *control, const char *line)
{
	char function[40] = "", when[12] = "", action[12] = "", argument[64] = "";
	struct fault fault = {.to = UINT32_MAX};

	if (control->faults_count == MOCK_FAULTS_MAX ||
		sscanf(line, "fault %39s %11s %11s %63s", function, when, action, argument) < 3)
		mistake(line);
	fault.everywhere = strcmp(function, "*") == 0;
	const struct call_row *row = strncmp(function, "C_", 2) == 0
					     ? call_row_by_name(function + 2, strlen(function + 2))
					     : NULL;
	if (!fault.everywhere && !row)
		mistake(line);
	fault.id = row ? row->id : CALL_COUNT;
	fault.from = strcmp(when, "*") == 0 ? 1 : (unsigned)strtoul(when, NULL, 10);
	if (fault.from == 0)
		mistake(line);
	if (when[0] != '*' && !strchr(when, '+'))
		fault.to = fault.from;
	fault.action = (enum action)position(actions, sizeof actions / sizeof actions[0], action, line);
	if (fault.action == ACTION_RETURN || fault.action == ACTION_AFTER)
		fault.argument = return_value(argument, line);
	else
		fault.argument = strtoul(argument, NULL, 10);
	control->faults[control->faults_count++] = fault;
}

static void line_read(struct control *control, char *line)
{
	char name[40], value[64] = "";

	line[strcspn(line, "#\n")] = '\0';
	if (sscanf(line, "%39s %63s", name, value) < 1)
		return;
	if (strcmp(name, "fault") == 0)
		fault_read(control, line);
	else
		setting_read(control, name, value, line);
}

void control_path(const char *suffix, char ret_path[256])
{
	const char *file = getenv("P11GATE_MOCK");

	if (!file) {
		fprintf(stderr, "mock: P11GATE_MOCK names no control file\n");
		abort();
	}
	snprintf(ret_path, 256, "%s%s", file, suffix);
}

const struct control *control_now(void)
{
	static struct control control;
	struct stat now;
	char path[256], line[256];

	control_path("", path);
	FILE *file = fopen(path, "re");
	/* A test may be over and its files gone before its processes are. */
	if (!file && control.stamp != 0)
		return &control;
	if (!file || fstat(fileno(file), &now) != 0) {
		fprintf(stderr, "mock: no control file at %s\n", path);
		abort();
	}
	if (control.stamp != control_stamp(&now)) {
		control = (struct control){.label = "mock",
			.serial = "0001",
			.pin = "1234",
			.so_pin = "12345678",
			.user_tries = 3,
			.so_tries = 3,
			.person_ms = 30000,
			.context_idle = CKR_OPERATION_NOT_INITIALIZED};
		while (fgets(line, sizeof line, file))
			line_read(&control, line);
		control.stamp = control_stamp(&now);
	}
	(void)fclose(file);
	return &control;
}
