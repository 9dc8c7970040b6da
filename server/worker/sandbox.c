#include "server/worker/internal.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * What the process gives up. The deny-list answers with EPERM and never kills, because a kill inside a write to a token can destroy it.
 */

static const int denied[] = {
#define DENY(name) SCMP_SYS(name),
#include "server/worker/sandbox.def"
};

/* The user's own group and no others: nothing may be left of the user it was. */
static bool become(const struct worker_start *start, char ret_why[SANDBOX_WHY_MAX])
{
	const gid_t group = start->group_id;
	const uid_t user = start->user_id;

	if (start->user[0] == '\0')
		return true;
	if (user == 0 || setgroups(0, NULL) != 0 || setresgid(group, group, group) != 0 ||
		setresuid(user, user, user) != 0) {
		snprintf(ret_why, SANDBOX_WHY_MAX,
			"it cannot become the user %.64s (worker_user): %s; run p11gated as root or with the "
			"capabilities that it needs for that, or leave worker_user out",
			start->user, user == 0 ? "that is root" : strerror(errno));
		return false;
	}
	return true;
}

/* An ordinary user's gateway may have some to change its workers' user; a change between ordinary users keeps them. */
static bool drop_capabilities(char ret_why[SANDBOX_WHY_MAX])
{
	struct __user_cap_header_struct version = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	if (geteuid() == 0 || syscall(SYS_capset, &version, none) == 0)
		return true;
	snprintf(ret_why, SANDBOX_WHY_MAX, "it cannot give up its capabilities: %s", strerror(errno));
	return false;
}

static bool stay_small(char ret_why[SANDBOX_WHY_MAX])
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
		snprintf(ret_why, SANDBOX_WHY_MAX, "core dumps cannot be switched off");
		return false;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		snprintf(ret_why, SANDBOX_WHY_MAX, "no_new_privs cannot be set");
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

static int deny_arguments(scmp_filter_ctx filter)
{
	const scmp_datum_t self = (scmp_datum_t)getpid();
	const struct {
		int call;
		unsigned count;
		struct scmp_arg_cmp conditions[2];
	} rules[] = {
#define INT_IS(argument, value) SCMP_CMP64(argument, SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)(value))
#define DENY_WHERE(name, ...) \
	{SCMP_SYS(name), sizeof(struct scmp_arg_cmp[]){__VA_ARGS__} / sizeof(struct scmp_arg_cmp), {__VA_ARGS__}},
#include "server/worker/sandbox.def"
	};
	int failed = 0;

	for (size_t i = 0; i < sizeof rules / sizeof rules[0] && failed == 0; i++)
		failed = seccomp_rule_add_array(
			filter, SCMP_ACT_ERRNO(EPERM), rules[i].call, rules[i].count, rules[i].conditions);
	return failed;
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
		failed = deny_arguments(filter);
	/* clone3 hides its flags in memory: without it libc falls back to clone, whose flags can be looked at. */
	if (failed == 0)
		failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return failed == 0 ? seccomp_load(filter) : failed;
}

static bool filter_calls(const char *profile, char ret_why[SANDBOX_WHY_MAX])
{
	if (strcmp(profile, "none") == 0)
		return true;
	if (strcmp(profile, "generic") != 0) {
		snprintf(ret_why, SANDBOX_WHY_MAX, "the sandbox profile is unknown; generic is the one there is");
		return false;
	}
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int failed = filter ? build(filter) : -ENOMEM;
	seccomp_release(filter);
	if (failed != 0)
		snprintf(ret_why, SANDBOX_WHY_MAX, "the system-call filter cannot be loaded: %s", strerror(-failed));
	return failed == 0;
}

bool sandbox_enter(const struct worker_start *start, char ret_why[SANDBOX_WHY_MAX])
{
	/* The change of user first: it is what makes a process dumpable or not anew. */
	return become(start, ret_why) && drop_capabilities(ret_why) && stay_small(ret_why) &&
	       filter_calls(start->sandbox, ret_why);
}
