#include "server/tool/module.h"

#include <dlfcn.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/names.h"

/* Where the module is, from the folder of this program: as built, and as installed. */
static const char *const PLACES[] = {"p11gate-client.so", "../lib/p11gate/p11gate-client.so"};
enum { PLACE_COUNT = sizeof PLACES / sizeof *PLACES };

static bool find_module(char ret_path[PATH_MAX])
{
	char program[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);

	if (len <= 0)
		return false;
	program[len] = '\0';
	const char *folder = dirname(program);
	for (int i = 0; i < PLACE_COUNT; i++) {
		int used = snprintf(ret_path, PATH_MAX, "%s/%s", folder, PLACES[i]);

		if (used > 0 && used < PATH_MAX && access(ret_path, R_OK) == 0)
			return true;
	}
	return false;
}

static bool look_up(void *library, const char *name, void *ret_function)
{
	void *function = dlsym(library, name);

	memcpy(ret_function, &function, sizeof function);
	return function != NULL;
}

static bool load(struct module *module, const char *path)
{
	CK_C_GetFunctionList get;
	char here[PATH_MAX]; /* dlopen would look a bare name up in the system's folders */
	if (!realpath(path, here)) {
		fprintf(stderr, "p11gate: %s: %s\n", path, strerror(errno));
		return false;
	}
	void *library = dlopen(here, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		fprintf(stderr, "p11gate: %s cannot be loaded: %s\n", path, dlerror());
		return false;
	}
	if (!look_up(library, "C_GetFunctionList", &get) || get(&module->functions) != CKR_OK ||
		!look_up(library, "CA_OpenApplicationIDV2", &module->hold) ||
		!look_up(library, "CA_CloseApplicationIDV2", &module->close) ||
		!look_up(library, "CA_OpenSessionWithAppIDV2", &module->open_session)) {
		fprintf(stderr, "p11gate: %s is not p11gate's client module; name that one with --module\n", path);
		return false;
	}
	return true;
}

bool module_load(struct module *ret_module, const char *path)
{
	char found[PATH_MAX];
	CK_C_INITIALIZE_ARGS arguments = {.flags = CKF_OS_LOCKING_OK};

	if (!path && !find_module(found)) {
		fprintf(stderr, "p11gate: p11gate-client.so is neither beside this program nor installed; name it with "
				"--module\n");
		return false;
	}
	if (!load(ret_module, path ? path : found))
		return false;
	CK_RV rv = ret_module->functions->C_Initialize(&arguments);
	if (rv == CKR_OK)
		return true;
	module_failed("reading the client file", rv);
	return false;
}

void module_finalize(const struct module *module)
{
	(void)!module->functions->C_Finalize(NULL);
}

void module_failed(const char *what, CK_RV rv)
{
	char scratch[24];
	const char *name = name_text(NAMES_RETURN, rv, scratch);

	switch (rv) {
	case CKR_ACCESS_ID_ALREADY_EXISTS:
		fprintf(stderr, "p11gate: %s: the application is held open already (0x%lx)\n", what, rv);
		return;
	case CKR_ACCESS_ID_INVALID:
		fprintf(stderr,
			"p11gate: %s: the application is neither held open nor has sessions, or the gateway accepts no "
			"such ID (0x%lx)\n",
			what, rv);
		return;
	case CKR_ARGUMENTS_BAD:
	case CKR_DEVICE_ERROR:
	case CKR_GENERAL_ERROR:
		fprintf(stderr, "p11gate: %s: %s; with P11GATE_DEBUG=1 in the environment the client module says why\n",
			what, name);
		return;
	default: fprintf(stderr, "p11gate: %s: %s: %s\n", what, name, return_row(rv)->title);
	}
}
