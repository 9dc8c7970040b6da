/* Private uses of one application at the same time (B5–B8, B11, B20). */
#include <criterion/criterion.h>
#include <pthread.h>

#include "tests/unit/worker/resource_fixture.h"

#define LOGIN "{\"Login\":{\"session\":%lld,\"user_type\":\"CKU_USER\",\"pin\":\"MTIzNA\"}}"

enum { HOUR_MS = 3600000 };

static struct token_fixture token;
static struct worker_fixture one;
static struct client first = {.worker = &one};
static json_int_t session;

static struct login_policy rules(bool cache, enum logout_after after)
{
	return (struct login_policy){
		.cache_pin = cache,
		.logout_after = after,
		.pin_cache_ttl_ms = 8 * HOUR_MS,
		.pin_cache_idle_ms = HOUR_MS,
		.internal_wait_ms = 10000,
	};
}

TestSuite(private_use, .timeout = 60);

static void *log_in(void *unused)
{
	expect(&first, "CKR_OK", LOGIN, session);
	return unused;
}

Test(private_use, B11_a_key_is_made_while_its_application_logs_in)
{
	struct mock mock;
	pthread_t thread;

	token.generation = 1;
	mock_new(&mock);
	worker_fixture_start(&token,
		&(struct worker_options){.mock = &mock, .login = rules(true, LOGOUT_AFTER_NEVER), .fresh = true}, &one);
	cr_assert_eq(one.started_rv, 0, "%s", one.started_detail);
	session = open_session(&first);
	mock_control(&mock, "fault C_Login 1 slow 500\n");
	cr_assert_eq(pthread_create(&thread, NULL, log_in, NULL), 0);
	mock_await_call(&mock, "C_Login", 1);
	/* Nobody is logged in and no PIN is kept yet: both are so when its turn comes. */
	REST_ONLY(&one, 201, .route = ROUTE_key_generate, .pair = 1, .body = "{\"type\":\"EC\",\"label\":\"release\"}");
	pthread_join(thread, NULL);
}
