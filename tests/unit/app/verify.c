#include <criterion/criterion.h>
#include <signal.h>

#include "api/cryptoki.h"
#include "server/app/process.h"
#include "tests/unit/app/fixture.h"

FIXTURE_SUITE(verify);

Test(verify, B20_a_pin_is_verified_by_a_worker_of_its_own_that_ends_then)
{
	struct asked right = ask(&fixture, 1, "verify=1234"), wrong = ask(&fixture, 1, "verify=9999");
	cr_expect_eq(number_of(&right, "rv"), CKR_OK);
	cr_expect_eq(number_of(&wrong, "rv"), CKR_PIN_INCORRECT);
	cr_expect_eq(number_of(&right, "pid"), number_of(&wrong, "pid"));
	cr_expect(metrics_show(&fixture, "p11gate_workers_live{slot=\"demo\"} 1\n"));
}

Test(verify, B20_a_worker_that_dies_over_the_question_verifies_nothing)
{
	struct asked asked = ask(&fixture, 1, "verify=die");
	cr_expect_eq(number_of(&asked, "rv"), CKR_DEVICE_ERROR);
	asked = ask(&fixture, 1, "verify=1234");
	cr_expect_eq(number_of(&asked, "rv"), CKR_OK);
}

/* Its worker goes on under the new configuration, and so does what it asks for. */
Test(verify, B20_a_pin_is_verified_for_a_worker_from_before_a_reload)
{
	struct asked before = ask(&fixture, 1, "");
	registry_reload(fixture.registry, &fixture.config);
	struct asked right = ask(&fixture, 1, "verify=1234"), wrong = ask(&fixture, 1, "verify=9999");
	cr_expect_eq(number_of(&right, "pid"), number_of(&before, "pid"), "the worker is still the same");
	cr_expect_eq(number_of(&right, "rv"), CKR_OK);
	cr_expect_eq(number_of(&wrong, "rv"), CKR_PIN_INCORRECT);
}

static bool verifies_with_token(const struct worker_process *process, const void *context)
{
	struct worker_process *self = (struct worker_process *)(uintptr_t)process;
	(void)context;
	return process->asker != NULL && process_may_be_writing(self);
}

/* Another login beside one that may still be writing, or an early SIGKILL, would destroy a token of SoftHSM. */
Test(verify, B20_a_worker_that_was_given_up_in_its_login_has_the_token_until_it_is_gone)
{
	struct asked asked = ask(&fixture, 1, "verify=babble");
	cr_expect_eq(number_of(&asked, "rv"), CKR_DEVICE_ERROR);
	size_t count = 0;
	struct worker_process **processes = registry_processes(fixture.registry, verifies_with_token, NULL, &count);
	cr_assert_eq(count, 1);
	cr_assert_eq(kill(processes[0]->os.pid, SIGKILL), 0);
	processes_unref(processes, count);
	asked = ask(&fixture, 1, "verify=1234");
	cr_expect_eq(number_of(&asked, "rv"), CKR_OK, "now it is free");
}

static unsigned wanted;

static bool is_told(void *context)
{
	(void)context;
	struct asked asked = ask(&fixture, 2, "");
	return number_of(&asked, "voided") == wanted;
}

Test(verify, B14_other_workers_of_the_token_hear_of_a_changed_pin_at_once)
{
	ask(&fixture, 2, "");
	ask(&fixture, 1, "acquire=3;release=0");
	wanted = 1 + LOGIN_END_PIN_CHANGED;
	cr_expect(becomes(is_told, NULL));
	struct asked own = ask(&fixture, 1, "");
	cr_expect_eq(number_of(&own, "voided"), 0);
}

Test(verify, B14_other_workers_of_the_token_hear_of_its_lock_at_once)
{
	ask(&fixture, 2, "");
	ask(&fixture, 1, "acquire=1,1;release=0xA4,0");
	wanted = 1 + LOGIN_END_LOCKED;
	cr_expect(becomes(is_told, NULL));
}
