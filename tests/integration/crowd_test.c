/* Many programs at once. */
#include "tests/integration/fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(crowd, .timeout = 300);

static CK_OBJECT_HANDLE find_private(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session, const char *label)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, (void *)label, strlen(label)}};
	CK_OBJECT_HANDLE key = 0;
	CK_ULONG count = 0;

	(void)f->C_FindObjectsInit(session, template, 2);
	(void)f->C_FindObjects(session, &key, 1, &count);
	(void)f->C_FindObjectsFinal(session);
	return count == 1 ? key : 0;
}

/* The step that failed, and how, for the reader of the log. */
static int failed(int step, CK_RV rv)
{
	(void)fprintf(stderr, "program %d: step %d: 0x%lx\n", (int)getpid(), step, rv);
	return step;
}

/* Start, log in, sign once; which step failed is the exit status. */
static int one_of_many(const struct gateway *g, void *argument)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	CK_FUNCTION_LIST *f = argument;
	CK_SESSION_HANDLE session;
	CK_SLOT_ID slot;
	CK_ULONG count = 1, len = 256;
	CK_BYTE signature[256];
	CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
	CK_OBJECT_HANDLE key;
	CK_RV rv;

	if ((rv = f->C_Initialize(&args)) != CKR_OK)
		return failed(1, rv);
	if ((rv = f->C_GetSlotList(CK_TRUE, &slot, &count)) != CKR_OK)
		return failed(2, rv);
	if (count != 1)
		return failed(9, CKR_TOKEN_NOT_PRESENT);
	if ((rv = f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session)) != CKR_OK)
		return failed(3, rv);
	if ((rv = f->C_Login(session, CKU_USER, (CK_BYTE *)g->pin, strlen(g->pin))) != CKR_OK)
		return failed(4, rv);
	if ((key = find_private(f, session, "crowd")) == 0)
		return failed(5, CKR_OK);
	if ((rv = f->C_SignInit(session, &ecdsa, key)) != CKR_OK)
		return failed(6, rv);
	rv = f->C_Sign(session, (CK_BYTE *)"0123456789abcdef0123456789abcdef", 32, signature, &len);
	if (rv != CKR_OK || len != 64)
		return failed(7, rv);
	return (rv = f->C_Finalize(NULL)) == CKR_OK ? 0 : failed(8, rv);
}

Test(crowd, two_hundred_programs_that_start_log_in_and_sign_at_once_all_succeed)
{
	enum { PROGRAMS = 200 };
	struct gateway g;
	int failures[16] = {0}, gate[2];

	gateway_start(&g);
	rest_login(&g, ALICE, NULL);
	rest_key(&g, "{\"type\":\"EC\",\"label\":\"crowd\"}");
	CK_FUNCTION_LIST *f = module_load(&g, ALICE);
	cr_assert_eq(f->C_Finalize(NULL), CKR_OK);
	setenv("P11GATE_DEBUG", "1", 1); /* a program that fails says why */
	cr_assert_eq(pipe(gate), 0);
	for (int i = 0; i < PROGRAMS; i++)
		if (fork() == 0) {
			char byte;
			close(gate[1]);
			if (read(gate[0], &byte, 1) != 0)
				_exit(15);
			_exit(one_of_many(&g, f));
		}
	close(gate[1]); /* all start here */
	for (int i = 0; i < PROGRAMS; i++) {
		int status = -1;
		wait(&status);
		failures[WIFEXITED(status) ? WEXITSTATUS(status) & 15 : 14]++;
	}
	for (int step = 1; step < 16; step++)
		cr_expect_eq(failures[step], 0, "%d programs failed at step %d", failures[step], step);
	cr_expect_eq(failures[0], PROGRAMS);
	gateway_stop(&g);
}
