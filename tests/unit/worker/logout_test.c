#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

/* What logouts leave for the audit, whoever asks for them. */

#define SO_BODY "{\"pin\":\"" FIXTURE_SO_PIN "\",\"user\":\"so\"}"
#define GROUP(calls) "{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[" calls "]}]}"

static struct token_fixture token;
static struct worker_fixture worker;
static const struct client client = {.worker = &worker};

TestSuite(logout, .timeout = 60);

static void start(const struct worker_options *options)
{
	resource_setup(&token, &worker, options);
}

/* The answer's one record of a logout; `reason` "": it was asked for. */
static void expect_logout(const struct rest *rest, const char *user, const char *reason)
{
	const json_t *record = NULL, *event;
	size_t i;

	cr_expect_eq(events_with(rest, "function", "C_Logout"), 1);
	json_array_foreach(rest->events, i, event)
	{
		if (strcmp(text_at(event, "function"), "C_Logout") == 0)
			record = event;
	}
	cr_assert_not_null(record);
	cr_expect_str_eq(text_at(record, "kind"), "login");
	cr_expect_str_eq(text_at(record, "rv"), "CKR_OK");
	cr_expect_str_eq(text_at(record, "user"), user);
	cr_expect_str_eq(text_at(record, "reason"), reason);
	cr_expect_gt(json_integer_value(json_at(record, "latency_us")), 0);
	cr_expect_eq(rest->login, LOGIN_NONE);
}

Test(logout, that_is_asked_for_names_who_was_logged_in)
{
	start(NULL);
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = SO_BODY);
	REST_AUTO struct rest officer = REST(&worker, 204, .route = ROUTE_logout);
	expect_logout(&officer, "CKU_SO", "");

	json_int_t session = open_logged_in(&client);
	const char *body = text_of(GROUP("{\"Logout\":{\"session\":%lld}}"), session);
	REST_AUTO struct rest user = REST(&worker, 200, .route = ROUTE_calls, .body = body);
	expect_logout(&user, "CKU_USER", "");
	REST_AUTO struct rest nobody = REST(&worker, 200, .route = ROUTE_calls, .body = body);
	cr_expect_eq(events_with(&nobody, "function", "C_Logout"), 1);
	cr_expect_eq(events_with(&nobody, "user", "CKU_USER"), 0);
}

Test(logout, with_the_last_session_names_who_was_logged_in)
{
	start(NULL);
	json_int_t session = open_logged_in(&client);
	REST_AUTO struct rest closed = REST(&worker, 200, .route = ROUTE_calls,
		.body = text_of(GROUP("{\"CloseSession\":{\"session\":%lld}}"), session));
	expect_logout(&closed, "CKU_USER", "nobody uses the application any more");
}

Test(logout, that_a_rule_asks_for_names_who_was_logged_in)
{
	start(&(struct worker_options){.login.logout_after = LOGOUT_AFTER_SIGN});
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "once", "");
	REST_AUTO struct rest signed_ = REST(&worker, 200, .route = ROUTE_calls,
		.body = text_of(GROUP("{\"SignInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_ECDSA\"},"
				      "\"key\":%lld}},{\"Sign\":{\"session\":%lld,\"data\":"
				      "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\",\"signature\":64}}"),
			session, key, session));
	expect_logout(&signed_, "CKU_USER", "the policy wants a login for each signature");
}

Test(logout, by_a_pin_that_locks_names_who_was_logged_in)
{
	start(&(struct worker_options){.shim = "lock=1"});
	json_int_t session = open_logged_in(&client);
	json_int_t key = make_key(&client, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");
	expect(&client, "CKR_OK",
		"{\"SignInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_ECDSA\"},\"key\":%lld}}", session,
		key);
	REST_AUTO struct rest locked = REST(&worker, 200, .route = ROUTE_calls,
		.body = text_of(GROUP("{\"Login\":{\"session\":%lld,\"user_type\":\"CKU_CONTEXT_SPECIFIC\",\"pin\":"
				      "\"OTk5OQ\"}}"),
			session));
	expect_logout(&locked, "CKU_USER", "the token has locked its PIN");
}

/* --- a login over REST whose time runs out --- */

static struct rest listed;

static void *list_keys(void *unused)
{
	(void)unused;
	listed = rest_ask(&worker, (struct ask){.route = ROUTE_keys, .pair = 1});
	return NULL;
}

/* The login begins and runs out while another request is with the module; that request's end ends it. */
static void expect_end_within_a_request(const struct worker_options *options, const char *reason)
{
	struct worker_options with_mock = *options;
	struct mock mock;
	pthread_t asking;

	mock_new(&mock);
	with_mock.mock = &mock;
	token = (struct token_fixture){.generation = 1};
	worker_fixture_start(&token, &with_mock, &worker);
	cr_assert_eq(worker.started_rv, 0, "%s", worker.started_detail);
	mock_control(&mock, "fault C_OpenSession 1 hang\n");
	cr_assert_eq(pthread_create(&asking, NULL, list_keys, NULL), 0);
	mock_await_call(&mock, "C_OpenSession", 1);
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
	struct worker_state state = worker_fixture_state(&worker);
	cr_expect_eq(state.ended_login, LOGIN_NONE);
	cr_expect_eq(state.login, LOGIN_USER);
	mock_control(&mock, "#\n");
	pthread_join(asking, NULL);
	expect_logout(&listed, "CKU_USER", reason);
	rest_free(&listed);
}

Test(logout, C15_says_that_the_login_over_rest_has_lasted_as_long_as_it_may_when_a_request_outlives_it)
{
	expect_end_within_a_request(
		&(struct worker_options){.rest_max_ms = 50}, "the login over REST has lasted as long as it may");
}

Test(logout, C15_says_that_the_login_over_rest_was_idle_when_a_request_outlives_it)
{
	expect_end_within_a_request(
		&(struct worker_options){.rest_idle_ms = 50}, "the login over REST was idle for too long");
}

Test(logout, C15_a_login_over_rest_that_ran_out_says_nothing_about_the_next_login)
{
	start(&(struct worker_options){.rest_max_ms = 50});
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
	cr_assert_eq(worker_fixture_state(&worker).ended_cause, LOGIN_END_REST_MAXIMUM);
	json_int_t session = open_logged_in(&client);
	REST_AUTO struct rest closed = REST(&worker, 200, .route = ROUTE_calls,
		.body = text_of(GROUP("{\"CloseSession\":{\"session\":%lld}}"), session));
	expect_logout(&closed, "CKU_USER", "nobody uses the application any more");
}
