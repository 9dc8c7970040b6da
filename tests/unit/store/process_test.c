#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/store/process.h"

TestSuite(process, .timeout = 60);

Test(process, this_one_exists_since_its_start_and_not_since_another)
{
	uint64_t started = process_started(getpid());
	cr_assert_gt(started, 0);
	cr_expect(process_exists(getpid(), started));
	cr_expect(process_exists(getpid(), 0));
	cr_expect_not(process_exists(getpid(), started + 1));
	cr_expect_not(process_exists(0, 0));
}

Test(process, X22_one_that_has_ended_exists_no_more_though_nobody_has_waited_for_it)
{
	siginfo_t info;
	pid_t child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	uint64_t started = process_started(child);
	cr_expect(process_exists(child, started));
	cr_assert_eq(kill(child, SIGKILL), 0);
	cr_assert_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
	cr_expect_not(process_exists(child, started));
	cr_assert_eq(waitpid(child, NULL, 0), child);
	cr_expect_not(process_exists(child, started));
}
