#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/worker/resource_fixture.h"

#define SIGN_BODY "{\"algorithm\":\"ES256\",\"data\":\"d2hhdCBpcyBzaWduZWQ\",\"format\":\"der\"}"
#define SIGN_BODY_PIN(pin) \
	"{\"algorithm\":\"ES256\",\"data\":\"d2hhdCBpcyBzaWduZWQ\",\"format\":\"der\",\"pin\":\"" pin "\"}"
#define DATA "what is signed"

static struct token_fixture token;
static struct worker_fixture worker;

static void setup(void)
{
	const struct worker_options options = {.operations_max = 3, .threads = 4};
	resource_setup_logged_in(&token, &worker, &options);
	make_resource_key(&worker, "EC", "guarded", ",\"always_authenticate\":true");
	make_resource_key(&worker, "EC", "plain", "");
}

static void teardown(void)
{
	worker_fixture_stop(&worker);
}

TestSuite(resource_operation, .init = setup, .fini = teardown);

/* Asks for a signature without the PIN; the id of the operation, in memory of the turns. */
static const char *open_operation(void)
{
	REST_AUTO struct rest rest = REST(&worker, 401, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY);
	return text_of("%s", text_at(rest.json, "operation/id"));
}

static void expect_verified(const struct rest *rest, const char *key)
{
	unsigned char signature[128];
	size_t len = bytes_at(rest->json, "signature", signature, sizeof signature);
	EVP_PKEY *public_key = public_key_of(&worker, key);
	cr_expect(verifies(public_key, "SHA256", false, DATA, sizeof DATA - 1, signature, len));
	EVP_PKEY_free(public_key);
}

Test(resource_operation, A24_a_use_without_the_pin_is_held)
{
	unsigned char digest[32];
	char hex[65];
	EVP_Digest(DATA, sizeof DATA - 1, digest, NULL, EVP_sha256(), NULL);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	REST_AUTO struct rest rest = REST(&worker, 401, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY);
	const char *id = text_at(rest.json, "operation/id");
	cr_expect_str_eq(rest.content_type, "application/problem+json");
	cr_expect_str_eq(text_at(rest.json, "type"), "/docs/errors/reauthentication-required");
	cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_USER_NOT_LOGGED_IN");
	cr_expect_eq(strlen(id), 32);
	cr_expect_str_eq(text_at(rest.json, "operation/href"), text_of("/v1/operations/%s", id));
	cr_expect_str_eq(text_at(rest.json, "operation/data_sha256"), hex);
	cr_expect_eq(strlen(text_at(rest.json, "operation/expires_at")), 20);
	cr_expect_str_eq(text_at(rest.json, "reauthenticate/href"), text_of("/v1/operations/%s/reauthenticate", id));
	cr_expect_str_eq(text_at(rest.json, "reauthenticate/methods/0"), "pin");
	cr_expect_eq(json_array_size(json_at(rest.json, "reauthenticate/methods")), 1);
	cr_expect(has_header(&rest, text_of("WWW-Authenticate: PKCS11-PIN realm=\"demo\", operation=\"%s\"", id)));
	cr_expect_str_eq(rest.opened, id);
	cr_expect_eq(calls_of(&rest, "SignInit"), 0);
	cr_expect_eq(calls_of(&rest, "Sign"), 0);
}

Test(resource_operation, A25_the_right_pin_gives_the_signature_of_the_held_bytes)
{
	const char *id = open_operation();
	REST_AUTO struct rest rest = REST(
		&worker, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	cr_expect_str_eq(text_at(rest.json, "algorithm"), "ES256");
	cr_expect(json_is_true(json_at(rest.json, "reauthenticated")));
	expect_verified(&rest, "guarded");
	cr_expect_str_eq(rest.closed, id);
	cr_expect_eq(events_with(&rest, "function", "C_Sign"), 1);
	cr_expect_eq(events_with(&rest, "user", "CKU_CONTEXT_SPECIFIC"), 1);
}

Test(resource_operation, A25_a_wrong_pin_keeps_the_operation)
{
	const char *id = open_operation();
	REST_AUTO struct rest wrong = REST(
		&worker, 401, .route = ROUTE_operation_reauthenticate, .operation = id, .body = "{\"pin\":\"9999\"}");
	cr_expect_str_eq(text_at(wrong.json, "type"), "/docs/errors/pin-incorrect");
	cr_expect_eq(events_with(&wrong, "rv", "CKR_PIN_INCORRECT") >= 1, true);
	cr_expect_str_eq(wrong.closed, "");
	cr_expect_eq(calls_of(&wrong, "Sign"), 0);
	REST_AUTO struct rest right = REST(
		&worker, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	expect_verified(&right, "guarded");
}

#define WRONG_PIN_BODY "{\"pin\":\"9999\"}"

Test(resource_operation, A25_a_wrong_pin_says_that_the_operation_waits_and_how_many_attempts_are_left)
{
	const char *id = open_operation();
	REST_AUTO struct rest unknown = REST(
		&worker, 401, .route = ROUTE_operation_reauthenticate, .operation = id, .body = WRONG_PIN_BODY);
	cr_expect_null(json_at(unknown.json, "attempts_left"));
	cr_expect_not_null(strstr(text_at(unknown.json, "detail"), "the operation still waits"));
	token.tries = 3;
	REST_AUTO struct rest wrong = REST(
		&worker, 401, .route = ROUTE_operation_reauthenticate, .operation = id, .body = WRONG_PIN_BODY);
	cr_expect_eq(json_integer_value(json_at(wrong.json, "attempts_left")), 2);
	REST_AUTO struct rest once = REST(
		&worker, 401, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("9999"));
	cr_expect_eq(json_integer_value(json_at(once.json, "attempts_left")), 2);
	cr_expect_null(strstr(text_at(once.json, "detail"), "waits"));
	REST_ONLY(&worker, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
	REST_AUTO struct rest login = REST(&worker, 401, .route = ROUTE_login, .body = WRONG_PIN_BODY);
	cr_expect_eq(json_integer_value(json_at(login.json, "attempts_left")), 2);
}

Test(resource_operation, B16_a_pin_that_the_gateway_holds_back_says_when_to_come_again_where_that_is_known)
{
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
	token.refuse = CKR_PIN_LOCKED;
	REST_AUTO struct rest unknown = REST(&worker, 423, .route = ROUTE_login, .body = PIN_BODY);
	cr_expect_null(strstr(unknown.headers, "Retry-After"));
	token.refuse = CKR_PIN_LOCKED;
	token.retry_after_s = 321;
	REST_AUTO struct rest known = REST(&worker, 423, .route = ROUTE_login, .body = PIN_BODY);
	cr_expect(has_header(&known, "Retry-After: 321"));
}

Test(resource_operation, A25_a_body_that_is_refused_keeps_the_operation)
{
	const char *id = open_operation();
	REST_ONLY(&worker, 400, .route = ROUTE_operation_reauthenticate, .operation = id,
		.body = "{\"pin\":\"1234\",\"data\":\"AA\"}");
	REST_ONLY(&worker, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
}

Test(resource_operation, A26_an_operation_is_used_once)
{
	const char *id = open_operation();
	REST_ONLY(&worker, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	REST_AUTO struct rest again = REST(
		&worker, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	cr_expect_str_eq(text_at(again.json, "type"), "/docs/errors/operation-finished");
	cr_expect_eq(calls_of(&again, "Login"), 0);
	REST_ONLY(&worker, 410, .route = ROUTE_operation_cancel, .operation = id);
}

Test(resource_operation, A26_ids_are_random_and_bound_to_the_identity)
{
	const char *one = open_operation(), *two = open_operation();
	cr_expect_str_neq(one, two);
	REST_AUTO struct rest other = REST(&worker, 404, .route = ROUTE_operation_reauthenticate, .operation = one,
		.body = PIN_BODY, .identity = "mallory");
	REST_AUTO struct rest none = REST(&worker, 404, .route = ROUTE_operation_reauthenticate,
		.operation = "00000000000000000000000000000000", .body = PIN_BODY);
	cr_expect_str_eq(other.body, none.body);
	REST_ONLY(&worker, 404, .route = ROUTE_operation_cancel, .operation = one, .identity = "mallory");
	REST_ONLY(&worker, 404, .route = ROUTE_operation_cancel, .operation = "");
	REST_ONLY(&worker, 200, .route = ROUTE_operation_reauthenticate, .operation = one, .body = PIN_BODY);
}

Test(resource_operation, A26_too_many_are_429_until_one_ends)
{
	const char *id = open_operation();
	open_operation();
	open_operation();
	REST_AUTO struct rest rest = REST(&worker, 429, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY);
	cr_expect_not_null(strstr(rest.headers, "Retry-After: "));
	cr_expect_str_eq(rest.opened, "");
	REST_ONLY(&worker, 204, .route = ROUTE_operation_cancel, .operation = id);
	open_operation();
}

Test(resource_operation, A26_delete_cancels)
{
	const char *id = open_operation();
	REST_AUTO struct rest cancel = REST(&worker, 204, .route = ROUTE_operation_cancel, .operation = id);
	cr_expect_str_eq(cancel.closed, id);
	cr_expect_eq(cancel.body_len, 0);
	REST_ONLY(&worker, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
}

Test(resource_operation, A26_an_expired_operation_is_410_operation_expired)
{
	worker_fixture_stop(&worker);
	worker_fixture_start(&token, &(struct worker_options){.operation_ttl_ms = 1}, &worker);
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
	const char *id = open_operation();
	/* Its life is a millisecond; a clock tick later it is over. */
	nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	REST_AUTO struct rest rest = REST(
		&worker, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	cr_expect_str_eq(text_at(rest.json, "type"), "/docs/errors/operation-expired");
	cr_expect_eq(calls_of(&rest, "Login"), 0);
}

Test(resource_operation, X4_a_logout_ends_what_waits)
{
	const char *id = open_operation();
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
	REST_AUTO struct rest rest = REST(
		&worker, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	cr_expect_eq(calls_of(&rest, "Sign"), 0);
}

Test(resource_operation, X4_a_logout_over_the_calls_route_ends_what_waits)
{
	const struct client client = {.worker = &worker, .instance = {7}};
	json_int_t session = open_session(&client);
	const char *id = open_operation();
	expect(&client, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	REST_ONLY(&worker, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
}

Test(resource_operation, A27_an_operation_that_needs_no_pin_is_never_held)
{
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY);
	cr_expect_str_eq(rest.opened, "");
	REST_ONLY(&worker, 404, .route = ROUTE_operation_reauthenticate,
		.operation = "0123456789abcdef0123456789abcdef", .body = PIN_BODY);
}

Test(resource_operation, A28_a_pin_in_the_body_signs_in_one_step)
{
	REST_AUTO struct rest rest = REST(
		&worker, 200, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("1234"));
	expect_verified(&rest, "guarded");
	cr_expect(json_is_true(json_at(rest.json, "reauthenticated")));
	cr_expect_eq(calls_of(&rest, "Login"), 1);
	cr_expect_str_eq(rest.opened, "");
}

static void expect_pin_refused(const struct rest *rest)
{
	cr_expect_str_eq(text_at(rest->json, "type"), "/docs/errors/permission-denied");
	cr_expect_eq(events_with(rest, "kind", "refusal"), 1);
	cr_expect_eq(calls_of(rest, "Login") + calls_of(rest, "OpenSession") + calls_of(rest, "FindObjectsInit"), 0);
}

Test(resource_operation, a_pin_in_a_body_is_refused_and_recorded_without_the_permission_to_log_in)
{
	static const struct ask asks[] = {
		{.route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("1234")},
		{.route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY_PIN("1234"), .anonymous = true},
		{.route = ROUTE_challenge, .body = "{\"challenge\":\"AAEC\",\"pin\":\"1234\"}"},
		{.route = ROUTE_challenge_check, .body = PIN_BODY},
	};
	for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
		struct ask ask = asks[i];
		ask.without = 1u << PERMISSION_LOGIN;
		REST_AUTO struct rest rest = rest_expecting(&worker, 403, ask);
		expect_pin_refused(&rest);
	}
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY,
		.without = 1u << PERMISSION_LOGIN);
}

Test(resource_operation, A28_a_wrong_pin_in_the_body_leaves_nothing)
{
	REST_AUTO struct rest rest = REST(
		&worker, 401, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("9999"));
	cr_expect_str_eq(text_at(rest.json, "type"), "/docs/errors/pin-incorrect");
	cr_expect_str_eq(rest.opened, "");
	cr_expect_null(json_at(rest.json, "operation"));
	cr_expect_eq(calls_of(&rest, "Sign"), 0);
	REST_ONLY(&worker, 401, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY);
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY);
}

Test(resource_operation, A28_a_pin_that_is_not_needed_is_not_sent)
{
	REST_AUTO struct rest rest = REST(
		&worker, 200, .route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY_PIN("9999"));
	cr_expect(json_is_false(json_at(rest.json, "reauthenticated")));
	cr_expect_eq(calls_of(&rest, "Login"), 0);
	expect_verified(&rest, "plain");
}

Test(resource_operation, A28_without_a_login_the_shared_worker_does_nothing)
{
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
	REST_AUTO struct rest rest = REST(
		&worker, 0, .route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY_PIN("1234"));
	cr_expect_eq(json_array_size(rest.events), 0);
	cr_expect_eq(calls_of(&rest, "Login") + calls_of(&rest, "FindObjectsInit") + calls_of(&rest, "SignInit"), 0);
	cr_expect_eq(rest.login, LOGIN_NONE);
}

Test(resource_operation, A28_an_anonymous_worker_logs_in_signs_and_logs_out)
{
	static const char *const keys[] = {"plain", "guarded"};
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
	for (int i = 0; i < 2; i++) {
		struct worker_fixture anonymous;
		worker_fixture_start(&token, NULL, &anonymous);
		REST_AUTO struct rest rest = REST(&anonymous, 200, .route = ROUTE_key_sign, .key = keys[i],
			.body = SIGN_BODY_PIN("1234"), .anonymous = true);
		expect_verified(&rest, keys[i]);
		cr_expect_eq(rest.login, LOGIN_NONE);
		cr_expect_eq(events_with(&rest, "function", "C_Login"), i == 0 ? 1 : 2);
		cr_expect_eq(events_with(&rest, "function", "C_Logout"), 1);
		REST_ONLY(
			&anonymous, 401, .route = ROUTE_key_sign, .key = keys[i], .body = SIGN_BODY, .anonymous = true);
		worker_fixture_stop(&anonymous);
	}
}

Test(resource_operation, A28_an_anonymous_worker_with_a_wrong_pin_is_401)
{
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
	REST_AUTO struct rest rest = REST(&worker, 401, .route = ROUTE_key_sign, .key = "plain",
		.body = SIGN_BODY_PIN("9999"), .anonymous = true);
	cr_expect_str_eq(text_at(rest.json, "type"), "/docs/errors/pin-incorrect");
	cr_expect_eq(calls_of(&rest, "Sign"), 0);
	cr_expect_eq(rest.login, LOGIN_NONE);
}

Test(resource_operation, A28_a_batch_with_a_key_that_asks_each_time_is_refused)
{
	REST_AUTO struct rest rest = REST(&worker, 422, .route = ROUTE_key_sign, .key = "guarded",
		.body = "{\"algorithm\":\"ES256\",\"items\":[{\"data\":\"\"},{\"data\":\"\"}],\"pin\":\"1234\"}");
	cr_expect_eq(calls_of(&rest, "Login"), 0);
}

Test(resource_operation, the_held_key_is_not_exchanged_for_another_of_its_name)
{
	const struct client client = {.worker = &worker, .instance = {7}};
	json_int_t session = open_session(&client);
	const char *id = open_operation();
	/* The label moves to a key that needs no PIN. */
	json_t *found = client_call(&client,
		"{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_LABEL\":\"guarded\"}]}},"
		"{\"FindObjects\":{\"session\":%lld,\"objects\":4}}",
		session, session);
	json_t *objects = json_object_get(found, "objects");
	cr_assert_eq(json_array_size(objects), 2);
	expect(&client, "CKR_OK", "{\"FindObjectsFinal\":{\"session\":%lld}}", session);
	for (size_t i = 0; i < 2; i++)
		expect(&client, "CKR_OK", "{\"DestroyObject\":{\"session\":%lld,\"object\":%lld}}", session,
			json_integer_value(json_array_get(objects, i)));
	json_decref(found);
	make_resource_key(&worker, "EC", "guarded", "");
	REST_AUTO struct rest rest = REST(
		&worker, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	cr_expect_eq(calls_of(&rest, "Sign"), 0);
}

static void restart_with(const struct worker_options *options)
{
	worker_fixture_stop(&worker);
	worker_fixture_start(&token, options, &worker);
	REST_ONLY(&worker, 200, .route = ROUTE_login, .body = PIN_BODY);
}

static void restart_with_shim(const char *faults)
{
	restart_with(&(struct worker_options){.shim = faults});
}

Test(resource_operation, A25_a_locked_pin_is_423_and_ends_operation_and_login)
{
	restart_with_shim("lock=2");
	const char *id = open_operation(), *other = open_operation();
	REST_ONLY(&worker, 401, .route = ROUTE_operation_reauthenticate, .operation = id, .body = "{\"pin\":\"9999\"}");
	REST_AUTO struct rest locked = REST(
		&worker, 423, .route = ROUTE_operation_reauthenticate, .operation = id, .body = "{\"pin\":\"9999\"}");
	cr_expect_str_eq(text_at(locked.json, "type"), "/docs/errors/pin-locked");
	cr_expect_str_eq(locked.closed, id);
	cr_expect_eq(locked.login, LOGIN_NONE);
	REST_ONLY(&worker, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	REST_ONLY(&worker, 410, .route = ROUTE_operation_reauthenticate, .operation = other, .body = PIN_BODY);
	REST_ONLY(&worker, 401, .route = ROUTE_key_sign, .key = "plain", .body = SIGN_BODY);
	REST_ONLY(&worker, 423, .route = ROUTE_login, .body = PIN_BODY);
}

Test(resource_operation, A28_a_pin_in_the_body_that_locks_is_423_and_ends_the_login)
{
	restart_with_shim("lock=1");
	REST_AUTO struct rest locked = REST(
		&worker, 423, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("9999"));
	cr_expect_eq(locked.login, LOGIN_NONE);
	cr_expect_eq(calls_of(&locked, "Sign"), 0);
}

Test(resource_operation, A24_a_module_that_does_not_insist_on_the_pin_is_not_asked_without_it)
{
	restart_with_shim("careless");
	REST_AUTO struct rest rest = REST(&worker, 401, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY);
	cr_expect_eq(calls_of(&rest, "SignInit"), 0);
	REST_AUTO struct rest wrong = rest_ask(
		&worker, (struct ask){.route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("9999")});
	cr_expect_gt(wrong.status, 400);
	cr_expect_eq(calls_of(&wrong, "Sign"), 0);
}

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
					   ? rest_ask(&worker, (struct ask){.route = ROUTE_operation_reauthenticate,
								       .operation = racer->operation,
								       .body = PIN_BODY,
								       .pair = racer->pair})
					   : rest_ask(&worker, (struct ask){.route = ROUTE_key_sign,
								       .key = "guarded",
								       .body = racer->body,
								       .pair = racer->pair});
		racer->statuses[rest.status]++;
		if (rest.opened[0] != '\0')
			rest_only(&worker, 204,
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

Test(resource_operation, no_request_without_a_pin_rides_the_pin_of_another)
{
	struct racer racers[4] = {{.body = SIGN_BODY_PIN("1234")}, {.body = SIGN_BODY}, {.body = SIGN_BODY_PIN("1234")},
		{.body = SIGN_BODY}};
	run_racers(racers);
	cr_expect_eq(racers[0].statuses[200] + racers[2].statuses[200], 120);
	cr_expect_eq(racers[1].statuses[200] + racers[3].statuses[200], 0);
	cr_expect_eq(racers[1].statuses[401] + racers[3].statuses[401], 120);
}

Test(resource_operation, of_four_that_give_the_pin_at_once_one_gets_the_signature)
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
	asking->rest = rest_ask(&worker, asking->ask);
	return NULL;
}

/*
 * Holds a request with a PIN behind its C_SignInit. Then the application logs out, and is about to log in again: it asks for
 * the token when the request goes on to its own login. Waits for both; the login must succeed.
 */
static void log_in_anew_amid(struct asking *asking)
{
	const struct client other = {.worker = &worker};
	struct pollfd asked = {.fd = worker.pairs[other.pair], .events = POLLIN};
	const char *path = text_of("%s/softhsm2.conf.hold", token.directory);
	cr_assert_eq(mkfifo(path, 0600), 0);
	asking->ask.pair = 1;
	cr_assert_eq(pthread_create(&asking->thread, NULL, ask_and_wait, asking), 0);
	close(open(path, O_RDONLY));
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
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

static void expect_logged_out(const struct rest *rest)
{
	cr_expect_eq(rest->status, 401);
	cr_expect_str_eq(text_at(rest->json, "ckr"), "CKR_USER_NOT_LOGGED_IN");
	cr_expect_eq(calls_of(rest, "SignInit"), 1);
	cr_expect_eq(calls_of(rest, "Login") + calls_of(rest, "Sign"), 0);
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("1234"));
}

Test(resource_operation, X4_a_logout_between_init_and_pin_ends_the_signature_and_the_pin_is_not_used, .timeout = 60)
{
	restart_with_shim("hold");
	struct asking asking = {.ask = {.route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("1234")}};
	log_in_anew_amid(&asking);
	expect_logged_out(&asking.rest);
	rest_free(&asking.rest);
}

Test(resource_operation, X10_a_login_that_starts_the_module_anew_and_a_pin_in_the_body_do_not_wait_for_each_other,
	.timeout = 60)
{
	restart_with(&(struct worker_options){.shim = "hold", .fresh = true});
	struct asking asking = {.ask = {.route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY_PIN("1234")}};
	log_in_anew_amid(&asking);
	expect_logged_out(&asking.rest);
	rest_free(&asking.rest);
}

Test(resource_operation, X10_a_login_that_starts_the_module_anew_and_the_pin_of_an_operation_do_not_wait_for_each_other,
	.timeout = 60)
{
	restart_with(&(struct worker_options){.shim = "hold", .fresh = true});
	const char *id = open_operation();
	struct asking asking = {.ask = {.route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY}};
	log_in_anew_amid(&asking);
	expect_logged_out(&asking.rest);
	cr_expect_str_eq(asking.rest.closed, id);
	rest_free(&asking.rest);
	REST_ONLY(&worker, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
}
