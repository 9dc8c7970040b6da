#include <criterion/criterion.h>

#include <stdio.h>

#include "api/cryptoki.h"
#include "tests/unit/app/fixture.h"

enum { APPLICATIONS = 200 };

Test(crowd, two_hundred_applications_that_start_and_log_in_at_once_all_succeed, .timeout = 120)
{
	static struct fixture fixture;
	static struct asked asked[APPLICATIONS];
	fixture_init(&fixture);
	/* Module initialisation and login take their time under the token's lock, as SoftHSM's do. */
	fixture.modules[0].init_args = "acquire=0;sleep=5;release=0";
	fixture_start(&fixture);
	for (unsigned i = 0; i < APPLICATIONS; i++) {
		asked[i] = (struct asked){.fixture = &fixture,
			.domain = i % 2 ? "alice" : "bob",
			.slot = "demo",
			.id = (char)(i / 2 + 1),
			.query = "acquire=1,1;sleep=5;release=0,1",
			.deadline_ms = 10000};
		ask_begin(&asked[i]);
	}
	for (unsigned i = 0; i < APPLICATIONS; i++) {
		ask_join(&asked[i]);
		cr_expect_eq(asked[i].status, STATUS_OK, "application %u: status %d", i, asked[i].status);
		if (asked[i].status == STATUS_OK)
			cr_expect_eq(number_of(&asked[i], "rv"), CKR_OK, "application %u", i);
	}
	cr_expect(metrics_show(&fixture, "p11gate_workers_live{slot=\"demo\"} 200\n"));
	fixture_done(&fixture);
}
