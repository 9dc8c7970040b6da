/* Requests with and without the PIN of a key at the same time, and logins and logouts amid them. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/worker/guarded_key.h"

TestSuite(resource_race, .init = guarded_key_setup, .fini = guarded_key_teardown, .timeout = 120);

/* What one of several threads does. */
struct racer {
	const char *operation, *body;
	unsigned pair, statuses[700];
};

static void *race(void *argument)
{
	struct racer *racer = argument;
	for (int i = 0; i < 60; i++) {
		struct rest rest = racer->operation != NULL
					   ? rest_ask(&one, (struct ask){.route = ROUTE_operation_reauthenticate,
								    .operation = racer->operation,
								    .body = PIN_BODY,
								    .pair = racer->pair})
					   : rest_ask(&one, (struct ask){.route = ROUTE_key_sign,
								    .key = "guarded",
								    .body = racer->body,
								    .pair = racer->pair});
		racer->statuses[rest.status]++;
		if (rest.opened[0] != '\0')
			rest_only(&one, 204,
				(struct ask){.route = ROUTE_operation_cancel,
					.operation = rest.opened,
					.pair = racer->pair});
		rest_free(&rest);
		if (racer->operation != NULL)
			break;
	}
	return NULL;
}

static void run_racers(struct racer racers[4])
{
	pthread_t threads[4];
	for (unsigned i = 0; i < 4; i++) {
		racers[i].pair = i;
		cr_assert_eq(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

Test(resource_race, no_request_without_a_pin_rides_the_pin_of_another)
{
	struct racer racers[4] = {{.body = SIGN_BODY_PIN("1234")}, {.body = SIGN_BODY}, {.body = SIGN_BODY_PIN("1234")},
		{.body = SIGN_BODY}};
	run_racers(racers);
	cr_expect_eq(racers[0].statuses[200] + racers[2].statuses[200], 120);
	cr_expect_eq(racers[1].statuses[200] + racers[3].statuses[200], 0);
	cr_expect_eq(racers[1].statuses[401] + racers[3].statuses[401], 120);
}

Test(resource_race, of_four_that_give_the_pin_at_once_one_gets_the_signature)
{
	struct racer racers[4] = {0};
	const char *id = open_operation();
	unsigned signatures = 0, refused = 0;
	for (int i = 0; i < 4; i++)
		racers[i].operation = id;
	run_racers(racers);
	for (int i = 0; i < 4; i++) {
		signatures += racers[i].statuses[200];
		refused += racers[i].statuses[409] + racers[i].statuses[410];
	}
	cr_expect_eq(signatures, 1);
	cr_expect_eq(refused, 3);
}

/* A request that a thread of its own waits for. */
struct asking {
	pthread_t thread;
	struct ask ask;
	struct rest rest;
};

static void *ask_and_wait(void *argument)
{
	struct asking *asking = argument;
	asking->rest = rest_ask(&one, asking->ask);
	return NULL;
}

/*
 * Holds a request with a PIN behind its C_SignInit. Then the application logs out, and is about to log in again: it asks for
 * the token when the request goes on to its own login. Waits for both; the login must succeed.
 */
static void log_in_anew_amid(struct asking *asking)
{
	const struct client other = {.worker = &one};
	struct pollfd asked = {.fd = one.pairs[other.pair], .events = POLLIN};
	const char *path = text_of("%s/softhsm2.conf.hold", token.directory);
	cr_assert_eq(mkfifo(path, 0600), 0);
	asking->ask.pair = 1;
	cr_assert_eq(pthread_create(&asking->thread, NULL, ask_and_wait, asking), 0);
	close(open(path, O_RDONLY));
	REST_ONLY(&one, 204, .route = ROUTE_logout);
	client_send(&other, ROUTE_login, "", PIN_BODY);
	cr_assert_eq(poll(&asked, 1, -1), 1);
	int go = open(path, O_WRONLY);
	unlink(path);
	close(go);
	struct answer login = client_await(&other);
	cr_expect_eq(login.status, 200, "the login got %u: %.*s", login.status, (int)login.raw.len, login.raw.data);
	answer_free(&login);
	pthread_join(asking->thread, NULL);
}

static void expect_no_signature(const struct rest *rest)
{
	cr_expect_eq(rest->status, 401);
	cr_expect_str_eq(text_at(rest->json, "ckr"), "CKR_USER_NOT_LOGGED_IN");
	cr_expect_eq(calls_of(rest, "SignInit"), 1);
	cr_expect_eq(calls_of(rest, "Login") + calls_of(rest, "Sign"), 0);
	REST_ONLY(&one, 200, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("1234"));
}

Test(resource_race, X4_a_logout_between_init_and_pin_ends_the_signature_and_the_pin_is_not_used)
{
	restart_with_shim("hold");
	struct asking asking = {.ask = {.route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("1234")}};
	log_in_anew_amid(&asking);
	expect_no_signature(&asking.rest);
	rest_free(&asking.rest);
}

Test(resource_race, X10_a_login_that_starts_the_module_anew_and_a_pin_in_the_body_do_not_wait_for_each_other)
{
	restart_with(&(struct worker_options){.shim = "hold", .fresh = true});
	struct asking asking = {.ask = {.route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("1234")}};
	log_in_anew_amid(&asking);
	expect_no_signature(&asking.rest);
	rest_free(&asking.rest);
}

Test(resource_race, X10_a_login_that_starts_the_module_anew_and_the_pin_of_an_operation_do_not_wait_for_each_other)
{
	restart_with(&(struct worker_options){.shim = "hold", .fresh = true});
	const char *id = open_operation();
	struct asking asking = {.ask = {.route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY}};
	log_in_anew_amid(&asking);
	expect_no_signature(&asking.rest);
	cr_expect_str_eq(asking.rest.closed, id);
	rest_free(&asking.rest);
	REST_ONLY(&one, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
}
