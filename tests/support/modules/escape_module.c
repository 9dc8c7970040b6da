/*
 * A module with one slot whose C_SeedRandom tries what an intruder would: the seed names it. CKR_OK if it worked,
 * CKR_ACTION_PROHIBITED if the kernel said EPERM (or the process is not dumpable), else CKR_GENERAL_ERROR.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
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

static long try_execve(void)
{
	char *const none[] = {NULL};

	return execve("/bin/true", none, none);
}

static long try_ptrace(void)
{
	return ptrace(PTRACE_ATTACH, getppid(), 0, 0);
}

static long try_inet(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static long try_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long try_userns(void)
{
	return unshare(CLONE_NEWUSER);
}

static long try_io_uring(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL);
}

/* What is not dumpable lets nobody look in. */
static long try_dump(void)
{
	errno = EPERM;
	return prctl(PR_GET_DUMPABLE) != 0 ? 0 : -1;
}

static long try_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

/* The kernel ignores the upper half of the option. */
static long try_dumpable_wide(void)
{
	return syscall(SYS_prctl, (1ull << 32) | PR_SET_DUMPABLE, 1ul, 0ul, 0ul, 0ul);
}

static long try_ptracer(void)
{
	return prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
}

static long try_fork(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	return child;
}

/* Signals that do nothing if they arrive: the parent is the test. */
static long try_kill(void)
{
	return kill(getppid(), SIGCONT);
}

static long try_kill_zero(void)
{
	return kill(getppid(), 0);
}

static long try_kill_all(void)
{
	return kill(-1, 0);
}

static long try_tkill(void)
{
	return syscall(SYS_tkill, getppid(), SIGCONT);
}

static long try_tgkill(void)
{
	return syscall(SYS_tgkill, getppid(), getppid(), SIGCONT);
}

static long try_sigqueue(void)
{
	return sigqueue(getppid(), SIGCONT, (union sigval){0});
}

static long try_tgsigqueue(void)
{
	siginfo_t info = {.si_signo = SIGCONT, .si_code = SI_QUEUE};

	return syscall(SYS_rt_tgsigqueueinfo, getppid(), getppid(), SIGCONT, &info);
}

static long try_kill_self(void)
{
	return kill(getpid(), SIGCONT) == 0 ? pthread_kill(pthread_self(), SIGCONT) : -1;
}

static long try_pidfd_open(void)
{
	return syscall(SYS_pidfd_open, getppid(), 0);
}

static long try_pidfd_getfd(void)
{
	return syscall(SYS_pidfd_getfd, 0, 0, 0);
}

static long try_pidfd_signal(void)
{
	return syscall(SYS_pidfd_send_signal, 0, SIGCONT, NULL, 0);
}

static long try_madvise(void)
{
	return syscall(SYS_process_madvise, 0, NULL, 0, 0, 0);
}

static long try_setown(void)
{
	return fcntl(STDIN_FILENO, F_SETOWN, getppid());
}

static long try_prlimit(void)
{
	struct rlimit limit;

	return prlimit(getppid(), RLIMIT_CPU, NULL, &limit);
}

/* Of the test, which is the gateway: EACCES is as good as EPERM. */
static long open_other(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	errno = fd < 0 && errno == EACCES ? EPERM : errno;
	return fd;
}

static long try_configuration(void)
{
	return open_other(getenv("SOFTHSM2_CONF"));
}

static long try_memory(void)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/mem", getppid());
	return open_other(path);
}

static int early_errno; /* what the loader's call of the constructor met */

__attribute__((constructor)) static void load(void)
{
	early_errno = try_inet() < 0 ? errno : 0;
}

static long try_early(void)
{
	errno = early_errno;
	return early_errno == 0 ? 0 : -1;
}

static const struct {
	const char *name;
	long (*run)(void);
} attempts[] = {
	{"execve", try_execve},
	{"ptrace", try_ptrace},
	{"inet", try_inet},
	{"unix", try_unix},
	{"userns", try_userns},
	{"io_uring", try_io_uring},
	{"dump", try_dump},
	{"dumpable", try_dumpable},
	{"dumpable_wide", try_dumpable_wide},
	{"ptracer", try_ptracer},
	{"fork", try_fork},
	{"kill", try_kill},
	{"kill_zero", try_kill_zero},
	{"kill_all", try_kill_all},
	{"tkill", try_tkill},
	{"tgkill", try_tgkill},
	{"sigqueue", try_sigqueue},
	{"tgsigqueue", try_tgsigqueue},
	{"kill_self", try_kill_self},
	{"pidfd_open", try_pidfd_open},
	{"pidfd_getfd", try_pidfd_getfd},
	{"pidfd_signal", try_pidfd_signal},
	{"madvise", try_madvise},
	{"setown", try_setown},
	{"prlimit", try_prlimit},
	{"configuration", try_configuration},
	{"memory", try_memory},
	{"early", try_early},
};

static long attempt(const char *what, size_t len)
{
	for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
		if (strlen(attempts[i].name) == len && memcmp(attempts[i].name, what, len) == 0)
			return attempts[i].run();
	}
	errno = EINVAL;
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
