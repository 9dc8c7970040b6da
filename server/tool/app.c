/*
 * p11gate app: what an application ID stands for at a slot, through the client module as any program does it.
 */
#include "server/tool/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "api/application_id.h"
#include "api/codec.h"
#include "api/secret.h"
#include "server/tool/module.h"
#include "server/tool/pin.h"

enum { SLOTS_MAX = 1024, FD_MAX = 1 << 20 };

/* What the command line says. */
struct task {
	const struct action *action;
	const char *slot_name, *id_text, *module_path;
	int pin_fd; /* -1: the terminal */
	CK_APPLICATION_ID id;
};

struct action {
	const char *name;
	bool asks_for_pin;
	bool (*run)(const struct module *module, CK_SLOT_ID slot, struct task *task);
};

static bool succeeded(const char *what, CK_RV rv)
{
	if (rv != CKR_OK)
		module_failed(what, rv);
	return rv == CKR_OK;
}

static bool hold(const struct module *module, CK_SLOT_ID slot, struct task *task)
{
	return succeeded("hold", module->hold(slot, &task->id));
}

static bool end(const struct module *module, CK_SLOT_ID slot, struct task *task)
{
	return succeeded("close", module->close(slot, &task->id));
}

static bool open_session(
	const struct module *module, CK_SLOT_ID slot, struct task *task, CK_SESSION_HANDLE *ret_session)
{
	return succeeded("opening a session",
		module->open_session(slot, CKF_SERIAL_SESSION, &task->id, NULL, NULL, ret_session));
}

/* Whether somebody is logged in to the application of a session. False if that cannot be found out. */
static bool is_logged_in(const struct module *module, CK_SESSION_HANDLE session, bool *ret_logged_in)
{
	CK_SESSION_INFO info;

	if (!succeeded("asking for the session's state", module->functions->C_GetSessionInfo(session, &info)))
		return false;
	*ret_logged_in = info.state != CKS_RO_PUBLIC_SESSION && info.state != CKS_RW_PUBLIC_SESSION;
	return true;
}

static bool log_in_with_pin(const struct module *module, CK_SESSION_HANDLE session, const struct task *task)
{
	unsigned char pin[LIMIT_PIN];
	char prompt[LIMIT_LABEL + 32];
	size_t len;

	(void)prctl(PR_SET_DUMPABLE, 0);
	snprintf(prompt, sizeof prompt, "PIN of %s: ", task->slot_name);
	if (!pin_read(task->pin_fd, prompt, pin, &len))
		return false;
	CK_RV rv = module->functions->C_Login(session, CKU_USER, pin, (CK_ULONG)len);
	secret_wipe(pin, sizeof pin);
	return succeeded("login", rv);
}

/* A login ends with the last session, and this program's is about to close. */
static bool check_it_lasts(const struct module *module, CK_SLOT_ID slot, CK_SESSION_HANDLE session, struct task *task)
{
	bool logged_in;

	if (!succeeded("closing the session", module->functions->C_CloseSession(session)) ||
		!open_session(module, slot, task, &session) || !is_logged_in(module, session, &logged_in))
		return false;
	if (!logged_in)
		fprintf(stderr,
			"p11gate: login: it ended with this command, since no other program uses the application and "
			"it is not "
			"held open; first: p11gate app hold %s %s\n",
			task->slot_name, task->id_text);
	return logged_in;
}

static bool log_in(const struct module *module, CK_SLOT_ID slot, struct task *task)
{
	CK_SESSION_HANDLE session;
	bool logged_in;

	if (!open_session(module, slot, task, &session) || !is_logged_in(module, session, &logged_in))
		return false;
	if (logged_in)
		return succeeded("login", CKR_USER_ALREADY_LOGGED_IN);
	return log_in_with_pin(module, session, task) && check_it_lasts(module, slot, session, task);
}

static bool log_out(const struct module *module, CK_SLOT_ID slot, struct task *task)
{
	CK_SESSION_HANDLE session;
	bool logged_in;

	if (!open_session(module, slot, task, &session) || !is_logged_in(module, session, &logged_in))
		return false;
	/* Modules do not agree on what a logout is that ends nothing. */
	return succeeded("logout", logged_in ? module->functions->C_Logout(session) : CKR_USER_NOT_LOGGED_IN);
}

static const struct action ACTIONS[] = {
	{"hold", false, hold},
	{"login", true, log_in},
	{"logout", false, log_out},
	{"close", false, end},
};

static const struct action *action_find(const char *name)
{
	for (size_t i = 0; i < sizeof ACTIONS / sizeof *ACTIONS; i++) {
		if (strcmp(ACTIONS[i].name, name) == 0)
			return &ACTIONS[i];
	}
	return NULL;
}

static bool read_option(const char *name, const char *value, struct task *task)
{
	char *rest;

	if (strcmp(name, "--module") == 0) {
		task->module_path = value;
		return true;
	}
	if (strcmp(name, "--pin-fd") != 0 || !task->action->asks_for_pin)
		return false;
	long fd = strtol(value, &rest, 10);
	task->pin_fd = (int)fd;
	return *value >= '0' && *value <= '9' && *rest == '\0' && fd < FD_MAX;
}

/* ACTION SLOT ID, then options. */
static bool read_arguments(int argc, char **argv, struct task *ret_task)
{
	struct task task = {.pin_fd = -1};

	if (argc < 4 || argc % 2 != 0 || !(task.action = action_find(argv[1])))
		return false;
	task.slot_name = argv[2];
	task.id_text = argv[3];
	for (int i = 4; i < argc; i += 2) {
		if (!read_option(argv[i], argv[i + 1], &task))
			return false;
	}
	if (!application_id_parse(task.id_text, strlen(task.id_text), task.id.id)) {
		fprintf(stderr,
			"p11gate: %s is no application ID: write MAJOR-MINOR in decimal, or 32 hexadecimal digits\n",
			task.id_text);
		return false;
	}
	*ret_task = task;
	return true;
}

/* The slot's number follows from its name; whether there is such a slot, the gateway tells. */
static bool find_slot(const struct module *module, const char *name, CK_SLOT_ID *ret_slot)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG count = SLOTS_MAX;

	*ret_slot = slot_id_of(name, strlen(name));
	if (!succeeded("asking for the slots", module->functions->C_GetSlotList(CK_FALSE, slots, &count)))
		return false;
	for (CK_ULONG i = 0; i < count; i++) {
		if (slots[i] == *ret_slot)
			return true;
	}
	fprintf(stderr, "p11gate: the gateway shows no slot %s to the certificate of the client file\n", name);
	return false;
}

int command_app_list(int argc, char **argv)
{
	return admin_ask("app list", "app list", true, argc - 2, argv + 2);
}

int command_app(int argc, char **argv)
{
	struct task task;
	struct module module;
	CK_SLOT_ID slot;

	if (argc > 1 && strcmp(argv[1], "list") == 0)
		return command_app_list(argc, argv);
	if (!read_arguments(argc, argv, &task))
		return command_usage(argv[0]);
	if (!module_load(&module, task.module_path))
		return EXIT_FAILED;
	bool done = find_slot(&module, task.slot_name, &slot) && task.action->run(&module, slot, &task);
	module_finalize(&module);
	return done ? EXIT_OK : EXIT_FAILED;
}
