/* The client module in this process and in children. */
#include "tests/integration/fixture.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The client file of `who`, or a copy of it with an application ID, which the caller removes. */
static bool client_file(const struct gateway *g, enum person who, const char *application, char *ret_path, size_t size)
{
	const char *own = who == ALICE ? g->configuration : g->configuration2;
	char command[1200];
	char *argv[] = {"sh", "-c", command, NULL};

	if (application == NULL)
		return snprintf(ret_path, size, "%s", own) < (int)size;
	(void)snprintf(ret_path, size, "%s.client-%d.conf", g->directory, (int)getpid());
	(void)snprintf(command, sizeof(command), "{ cat '%s'; printf '\\n[Misc]\\nAppId = %s\\n'; } > '%s'", own,
		application, ret_path);
	return program_run(argv) == 0;
}

/* Asserts nothing, so that a child can call it; what fails besides Cryptoki functions is CKR_FUNCTION_FAILED. */
static CK_RV module_open(
	const struct gateway *g, enum person who, const char *application, CK_FUNCTION_LIST **ret_functions)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	CK_C_GetFunctionList get = NULL;
	char configuration[400];
	void *library = dlopen(g->module, RTLD_NOW);

	if (library == NULL || !client_file(g, who, application, configuration, sizeof(configuration)))
		return CKR_FUNCTION_FAILED;
	setenv("P11GATE_CONF", configuration, 1);
	*(void **)&get = dlsym(library, "C_GetFunctionList");
	CK_RV rv = get != NULL ? get(ret_functions) : CKR_FUNCTION_FAILED;
	if (rv == CKR_OK)
		rv = (*ret_functions)->C_Initialize(&args);
	if (application != NULL)
		(void)unlink(configuration);
	return rv;
}

static CK_RV slot_of(CK_FUNCTION_LIST *f, CK_SLOT_ID *ret_slot)
{
	CK_SLOT_ID slots[8];
	CK_ULONG count = 8;
	CK_RV rv = f->C_GetSlotList(CK_TRUE, slots, &count);

	if (rv != CKR_OK || count == 0)
		return rv != CKR_OK ? rv : CKR_TOKEN_NOT_PRESENT;
	*ret_slot = slots[0];
	return CKR_OK;
}

static CK_RV session_open(CK_FUNCTION_LIST *f, const struct gateway *g, bool login, CK_SESSION_HANDLE *ret_session)
{
	CK_SLOT_ID slot = 0;
	CK_RV rv = slot_of(f, &slot);

	if (rv == CKR_OK)
		rv = f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, ret_session);
	if (rv == CKR_OK && login)
		rv = f->C_Login(*ret_session, CKU_USER, (CK_BYTE *)g->pin, strlen(g->pin));
	return rv;
}

CK_FUNCTION_LIST *module_load(const struct gateway *g, enum person who)
{
	CK_FUNCTION_LIST *f = NULL;
	CK_RV rv = module_open(g, who, NULL, &f);

	cr_assert_eq(rv, CKR_OK, "%s: 0x%lx", g->module, rv);
	return f;
}

CK_SESSION_HANDLE module_session(CK_FUNCTION_LIST *f, const struct gateway *g, bool login)
{
	CK_SESSION_HANDLE session = 0;
	CK_RV rv = session_open(f, g, login, &session);

	cr_assert_eq(rv, CKR_OK, "no session: 0x%lx", rv);
	return session;
}

bool child_session(const struct gateway *g, enum person who, const char *application, bool login,
	CK_FUNCTION_LIST **ret_functions, CK_SESSION_HANDLE *ret_session)
{
	CK_RV rv = module_open(g, who, application, ret_functions);

	if (rv == CKR_OK)
		rv = session_open(*ret_functions, g, login, ret_session);
	if (rv != CKR_OK)
		(void)fprintf(stderr, "child %d has no session: 0x%lx\n", (int)getpid(), rv);
	return rv == CKR_OK;
}

pid_t child_start(int (*body)(const struct gateway *g, void *argument), const struct gateway *g, void *argument)
{
	pid_t child = fork();

	if (child == 0)
		_exit(body(g, argument));
	cr_assert_gt(child, 0);
	return child;
}

int child_end(pid_t child)
{
	int status = -1;

	cr_assert_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int in_child(int (*body)(const struct gateway *g, void *argument), const struct gateway *g, void *argument)
{
	return child_end(child_start(body, g, argument));
}
