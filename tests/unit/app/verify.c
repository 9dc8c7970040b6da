#include <criterion/criterion.h>

#include "api/cryptoki.h"
#include "tests/unit/app/fixture.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_init(&fixture);
	fixture_start(&fixture);
}

static void tear_down(void)
{
	fixture_done(&fixture);
}

TestSuite(verify, .init = set_up, .fini = tear_down, .timeout = 60);

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
