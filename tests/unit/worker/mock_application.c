#include "tests/unit/worker/mock_application.h"

#include <criterion/criterion.h>

struct mock mock;
struct client guest = {.worker = &one, .pair = 1, .instance = {9}};
json_int_t other;

struct worker_options mock_options(bool cache, enum logout_after after)
{
	struct worker_options options = {.login = rules(cache, after)};

	options.login.internal_wait_ms = 1000;
	return options;
}

void start_on_mock(const struct worker_options *options)
{
	struct worker_options with_mock = *options;

	token = (struct token_fixture){.generation = 1, .last_tries = true};
	mock_new(&mock);
	with_mock.mock = &mock;
	worker_fixture_start(&token, &with_mock, &one);
	cr_assert_eq(one.started_rv, 0, "%s", one.started_detail);
	session = open_logged_in(&first);
}
