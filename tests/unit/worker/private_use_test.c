/* Private uses of one application at the same time (B5–B8, B11, B20). */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "tests/unit/worker/application.h"

#define LABEL "{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}"
#define REST_SIGN "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}"

enum { LOGINS = 40 };

TestSuite(private_use, .timeout = 60);

static void *log_in_beside(void *unused)
{
	log_in();
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
	cr_assert_eq(pthread_create(&thread, NULL, log_in_beside, NULL), 0);
	mock_await_call(&mock, "C_Login", 1);
	/* Nobody is logged in and no PIN is kept yet: both are so when its turn comes. */
	REST_ONLY(&one, 201, .route = ROUTE_key_generate, .pair = 1, .body = "{\"type\":\"EC\",\"label\":\"release\"}");
	pthread_join(thread, NULL);
}

/* --- one use per login, however many come at once (B5–B8) --- */

/* One thread's part: a pair and a session of its own. */
struct part {
	pthread_t thread;
	struct client client;
	json_int_t session;
	json_t *(*call)(const struct part *part); /* its result, which the caller owns */
	unsigned succeeded, refused; /* how often: CKR_OK, and what it has to be after the logout */
	const char *refusal;
	char strange[64]; /* an answer that is neither */
};

static struct part parts[FIXTURE_PAIRS];
static pthread_barrier_t together;

/* A worker with these rules and a private key, and a session for each thread. */
static void start(bool cache, enum logout_after after)
{
	struct worker_fixture maker;
	struct client another = {.worker = &maker};

	token_fixture_new(&token);
	worker_fixture_start(&token, NULL, &maker);
	json_int_t theirs = open_logged_in(&another);
	make_key(&another, theirs, "release", "");
	(void)number(&another, "key", MAKE_SECRET, theirs);
	worker_fixture_stop(&maker);
	worker_fixture_start(
		&token, &(struct worker_options){.login = rules(cache, after), .threads = FIXTURE_PAIRS}, &one);
	cr_assert_eq(one.started_rv, 0, "%s", one.started_detail);
	session = open_session(&first);
	for (unsigned i = 0; i < FIXTURE_PAIRS; i++) {
		parts[i].client = (struct client){.worker = &one, .pair = i};
		parts[i].session = open_session(&parts[i].client);
	}
	log_in();
	key = find_private(&first, session);
	expect(&first, "CKR_OK", CLOSE, session);
	session = parts[0].session;
}

static unsigned login_now(void)
{
	struct answer answer = client_post(&first, "{\"groups\":[]}");
	unsigned login = answer.login;

	cr_expect_eq(answer.native, login == LOGIN_NONE ? LOGIN_NONE : answer.native);
	answer_free(&answer);
	return login;
}

static json_t *sign_part(const struct part *part)
{
	return client_call(&part->client, SIGN, part->session);
}

static json_t *decrypt_part(const struct part *part)
{
	return client_call(&part->client, DECRYPT_PART, part->session);
}

static json_t *read_label(const struct part *part)
{
	return client_call(&part->client, LABEL, part->session, key);
}

static void *call_together(void *argument)
{
	struct part *part = argument;

	pthread_barrier_wait(&together);
	json_t *last = part->call(part);
	const char *rv = text_at(last, "rv");
	if (strcmp(rv, "CKR_OK") == 0)
		part->succeeded++;
	else if (strcmp(rv, part->refusal) == 0)
		part->refused++;
	else
		strncpy(part->strange, rv, sizeof part->strange - 1);
	json_decref(last);
	return NULL;
}

/* All threads make this call at the same time; how many succeed. The others get `refusal`. */
static unsigned successes_of(json_t *(*call)(const struct part *), const char *refusal)
{
	unsigned succeeded = 0;

	pthread_barrier_init(&together, NULL, FIXTURE_PAIRS);
	for (unsigned i = 0; i < FIXTURE_PAIRS; i++) {
		parts[i].call = call;
		parts[i].refusal = refusal;
		parts[i].succeeded = parts[i].refused = 0;
		cr_assert_eq(pthread_create(&parts[i].thread, NULL, call_together, &parts[i]), 0);
	}
	for (unsigned i = 0; i < FIXTURE_PAIRS; i++) {
		pthread_join(parts[i].thread, NULL);
		cr_assert_eq(parts[i].succeeded + parts[i].refused, 1, "it answered %s", parts[i].strange);
		succeeded += parts[i].succeeded;
	}
	pthread_barrier_destroy(&together);
	return succeeded;
}

static void expect_nobody_in(void)
{
	cr_assert_eq(login_now(), LOGIN_NONE);
	for (unsigned i = 0; i < FIXTURE_PAIRS; i++)
		expect(&parts[i].client, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, parts[i].session, key);
}

/* Every session has begun a signature under the one login: one of them gets it. */
static void expect_one_signature_per_login(void)
{
	for (unsigned i = 0; i < LOGINS; i++) {
		if (login_now() == LOGIN_NONE)
			log_in();
		for (unsigned j = 0; j < FIXTURE_PAIRS; j++)
			expect(&parts[j].client, "CKR_OK", SIGN_INIT, parts[j].session, key);
		cr_assert_eq(login_now(), LOGIN_USER);
		unsigned signatures = successes_of(sign_part, "CKR_OPERATION_NOT_INITIALIZED");
		cr_assert_eq(signatures, 1, "%u signatures of one login", signatures);
		expect_nobody_in();
	}
}

static void expect_one_private_use_per_login(void)
{
	for (unsigned i = 0; i < LOGINS; i++) {
		if (login_now() == LOGIN_NONE)
			log_in();
		unsigned uses = successes_of(read_label, "CKR_USER_NOT_LOGGED_IN");
		cr_assert_eq(uses, 1, "%u private uses of one login", uses);
		expect_nobody_in();
	}
}

Test(private_use, B5_of_signatures_that_one_login_began_one_is_made)
{
	start(false, LOGOUT_AFTER_SIGN);
	expect_one_signature_per_login();
}

Test(private_use, B6_of_signatures_that_one_kept_pin_began_one_is_made)
{
	start(true, LOGOUT_AFTER_SIGN);
	expect_one_signature_per_login();
}

Test(private_use, B7_of_signatures_that_one_login_began_one_is_made)
{
	start(false, LOGOUT_AFTER_PRIVATE_OP);
	expect_one_signature_per_login();
}

Test(private_use, B8_of_signatures_that_one_kept_pin_began_one_is_made)
{
	start(true, LOGOUT_AFTER_PRIVATE_OP);
	expect_one_signature_per_login();
}

Test(private_use, B7_of_private_uses_that_come_at_once_one_is_made_per_login)
{
	start(false, LOGOUT_AFTER_PRIVATE_OP);
	expect_one_private_use_per_login();
}

Test(private_use, B8_of_private_uses_that_come_at_once_one_is_made_per_kept_pin)
{
	start(true, LOGOUT_AFTER_PRIVATE_OP);
	expect_one_private_use_per_login();
}

static json_int_t find_secret(void)
{
	json_t *found = client_call(&first, SEARCH, session, "CKO_SECRET_KEY", session);
	json_int_t secret = json_integer_value(json_at(found, "objects/0"));

	json_decref(found);
	expect(&first, "CKR_OK", SEARCH_END, session);
	return secret;
}

/* Every session has begun to decrypt under the one login: one of them gets its parts. */
static void expect_one_operation_in_parts_per_login(void)
{
	log_in();
	json_int_t secret = find_secret();
	for (unsigned i = 0; i < LOGINS; i++) {
		log_in();
		for (unsigned j = 0; j < FIXTURE_PAIRS; j++)
			expect(&parts[j].client, "CKR_OK", DECRYPT_INIT, parts[j].session, secret);
		unsigned uses = successes_of(decrypt_part, "CKR_OPERATION_NOT_INITIALIZED");
		cr_assert_eq(uses, 1, "%u operations of one login", uses);
		cr_assert_eq(login_now(), LOGIN_USER);
		for (unsigned j = 0; j < FIXTURE_PAIRS; j++)
			json_decref(client_call(&parts[j].client, DECRYPT_FINAL, parts[j].session));
		expect_nobody_in();
	}
}

Test(private_use, B7_of_operations_in_parts_that_one_login_began_one_gets_its_parts)
{
	start(false, LOGOUT_AFTER_PRIVATE_OP);
	expect_one_operation_in_parts_per_login();
}

Test(private_use, B8_of_operations_in_parts_that_one_kept_pin_began_one_gets_its_parts)
{
	start(true, LOGOUT_AFTER_PRIVATE_OP);
	expect_one_operation_in_parts_per_login();
}

static void *sign_over_rest(void *argument)
{
	struct part *part = argument;

	pthread_barrier_wait(&together);
	struct rest rest = rest_ask(&one,
		(struct ask){.route = ROUTE_key_sign, .key = "release", .pair = part->client.pair, .body = REST_SIGN});
	part->succeeded = rest.status == 200;
	part->refused = rest.status == 401;
	rest_free(&rest);
	return NULL;
}

static void expect_one_signature_over_rest_per_login(void)
{
	for (unsigned i = 0; i < LOGINS; i++) {
		unsigned signatures = 0, refused = 0;
		if (login_now() == LOGIN_NONE)
			log_in();
		pthread_barrier_init(&together, NULL, FIXTURE_PAIRS);
		for (unsigned j = 0; j < FIXTURE_PAIRS; j++)
			cr_assert_eq(pthread_create(&parts[j].thread, NULL, sign_over_rest, &parts[j]), 0);
		for (unsigned j = 0; j < FIXTURE_PAIRS; j++) {
			pthread_join(parts[j].thread, NULL);
			signatures += parts[j].succeeded;
			refused += parts[j].refused;
		}
		pthread_barrier_destroy(&together);
		cr_assert_eq(signatures, 1, "%u signatures of one login", signatures);
		cr_assert_eq(refused, FIXTURE_PAIRS - 1);
	}
}

Test(private_use, B5_of_signatures_over_rest_that_come_at_once_one_is_made_per_login)
{
	start(false, LOGOUT_AFTER_SIGN);
	expect_one_signature_over_rest_per_login();
}

Test(private_use, B8_of_signatures_over_rest_that_come_at_once_one_is_made_per_kept_pin)
{
	start(true, LOGOUT_AFTER_PRIVATE_OP);
	expect_one_signature_over_rest_per_login();
}
