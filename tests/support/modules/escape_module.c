/*
 * A module with one slot whose C_SeedRandom tries what an intruder would: the seed names it. CKR_OK if it worked,
 * CKR_ACTION_PROHIBITED if the kernel said EPERM (or the process is not dumpable), else CKR_GENERAL_ERROR.
 */
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api/cryptoki.h"

static CK_RV accept_initialize(CK_VOID_PTR args)
{
	(void)args;
	return CKR_OK;
}

static CK_RV one_slot(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
	(void)present;
	if (slots && *count < 1)
		return CKR_BUFFER_TOO_SMALL;
	if (slots)
		slots[0] = 0;
	*count = 1;
	return CKR_OK;
}

static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	(void)slot;
	memset(info, 0, sizeof *info);
	memset(info->label, ' ', sizeof info->label);
	memcpy(info->label, "escape", 6);
	return CKR_OK;
}

static CK_RV open_session(
	CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify, CK_SESSION_HANDLE *session)
{
	(void)slot;
	(void)flags;
	(void)application;
	(void)notify;
	*session = 1;
	return CKR_OK;
}

static CK_RV close_session(CK_SESSION_HANDLE session)
{
	(void)session;
	return CKR_OK;
}

static long attempt(const char *what, size_t len)
{
	char *const none[] = {NULL};

	if (len == 6 && memcmp(what, "execve", 6) == 0)
		return execve("/bin/true", none, none);
	if (len == 6 && memcmp(what, "ptrace", 6) == 0)
		return ptrace(PTRACE_ATTACH, getppid(), 0, 0);
	if (len == 4 && memcmp(what, "inet", 4) == 0)
		return socket(AF_INET, SOCK_STREAM, 0);
	if (len == 4 && memcmp(what, "unix", 4) == 0)
		return socket(AF_UNIX, SOCK_STREAM, 0);
	if (len == 6 && memcmp(what, "userns", 6) == 0)
		return unshare(CLONE_NEWUSER);
	if (len == 8 && memcmp(what, "io_uring", 8) == 0)
		return syscall(SYS_io_uring_setup, 1, NULL);
	if (len == 4 && memcmp(what, "dump", 4) == 0 && prctl(PR_GET_DUMPABLE) != 0)
		return 0;
	errno = len == 4 && memcmp(what, "dump", 4) == 0 ? EPERM : EINVAL;
	return -1;
}

static CK_RV seed_random(CK_SESSION_HANDLE session, CK_BYTE *seed, CK_ULONG len)
{
	(void)session;
	if (attempt((const char *)seed, len) >= 0)
		return CKR_OK;
	return errno == EPERM ? CKR_ACTION_PROHIBITED : CKR_GENERAL_ERROR;
}

static CK_FUNCTION_LIST functions = {
	.version = {2, 40},
	.C_Initialize = accept_initialize,
	.C_Finalize = accept_initialize,
	.C_GetSlotList = one_slot,
	.C_GetTokenInfo = token_info,
	.C_OpenSession = open_session,
	.C_CloseSession = close_session,
	.C_SeedRandom = seed_random,
};

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR ret_functions)
{
	*ret_functions = &functions;
	return CKR_OK;
}
