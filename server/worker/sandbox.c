#include "server/worker/internal.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

/*
 * What the process gives up. The deny-list answers with EPERM and never kills, because a kill inside a write to a token can destroy it.
 */

static const int denied[] = {
#define DENY(name) SCMP_SYS(name),
#include "server/worker/sandbox.def"
};

bool sandbox_begin(const char **ret_why)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
		*ret_why = "core dumps cannot be switched off";
		return false;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		*ret_why = "no_new_privs cannot be set";
		return false;
	}
	return true;
}

static int deny_calls(scmp_filter_ctx filter)
{
	int failed = 0;

	for (size_t i = 0; i < sizeof denied / sizeof denied[0] && failed == 0; i++) {
		/* One that this architecture does not have needs no rule. */
		if (denied[i] != __NR_SCMP_ERROR)
			failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), denied[i], 0);
	}
	return failed;
}

/* New user namespaces bring back what was given up. clone3 hides its flags in memory, so libc has to fall back to clone. */
static int deny_namespaces(scmp_filter_ctx filter)
{
	int failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
		SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER));

	return failed ? failed : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int build(scmp_filter_ctx filter)
{
	/* Old kernels cannot log refusals; that alone is no reason to run without the filter. */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
	int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

	if (failed == 0)
		failed = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));
	if (failed == 0)
		failed = deny_calls(filter);
	if (failed == 0)
		failed = deny_namespaces(filter);
	if (failed == 0)
		failed = seccomp_rule_add(
			filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX));
	return failed == 0 ? seccomp_load(filter) : failed;
}

bool sandbox_enter(const char *profile, const char **ret_why)
{
	if (strcmp(profile, "none") == 0)
		return true;
	if (strcmp(profile, "generic") != 0) {
		*ret_why = "the sandbox profile is unknown; generic is the one there is";
		return false;
	}
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int failed = filter ? build(filter) : -ENOMEM;
	seccomp_release(filter);
	if (failed != 0)
		*ret_why = "the system-call filter cannot be loaded";
	return failed == 0;
}
