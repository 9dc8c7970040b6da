/* Operations that are saved and brought back, on the mock module: SoftHSM saves none, and this one asks nobody for a login. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

#define LOGIN_AS "{\"Login\":{\"session\":%lld,\"user_type\":\"%s\",\"pin\":\"MTIzNA\"}}"
#define SIGN_DATA_INIT \
	"{\"SignInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_ECDSA_SHA256\"},\"key\":%lld}}"
#define UPDATE "{\"SignUpdate\":{\"session\":%lld,\"part\":\"AAEC\"}}"
#define FINAL "{\"SignFinal\":{\"session\":%lld,\"signature\":128}}"
#define SET \
	"{\"SetOperationState\":{\"session\":%lld,\"state\":\"%s\",\"encryption_key\":0,\"authentication_key\":" \
	"0}}"

static struct token_fixture token;
static struct mock mock;
static struct worker_fixture worker;
static const struct client client = {.worker = &worker};
static json_int_t session, key;
static char state[64];

/* Logged in, with a signature half made in the session and its state saved. The token lets operations live on after a logout. */
static void start_with(const struct login_policy *login)
{
	token = (struct token_fixture){.generation = 1};
	mock_new(&mock);
	mock_control(&mock, "logout_keeps 1\n");
	worker_fixture_start(&token, &(struct worker_options){.mock = &mock, .login = *login}, &worker);
	cr_assert_eq(worker.started_rv, 0, "%s", worker.started_detail);
	session = open_session(&client);
	expect(&client, "CKR_OK", LOGIN_AS, session, "CKU_USER");
	key = make_key(&client, session, "release", "");
}

static void save(void)
{
	json_t *saved = client_call(&client, "{\"GetOperationState\":{\"session\":%lld,\"state\":100}}", session);
	cr_assert_str_eq(text_at(saved, "rv"), "CKR_OK");
	snprintf(state, sizeof state, "%s", text_at(saved, "state"));
	json_decref(saved);
}

static void start(void)
{
	start_with(&(struct login_policy){0});
	expect(&client, "CKR_OK", SIGN_DATA_INIT "," UPDATE, session, key, session);
	save();
}

TestSuite(saved_state, .init = start, .timeout = 60);

Test(saved_state, F5_an_operation_goes_on_where_it_was_saved)
{
	json_int_t other = open_session(&client);
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_calls,
		.body = text_of("{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[" SET "," UPDATE
				"," FINAL "]}]}",
			other, state, other, other));
	cr_expect_str_eq(text_at(rest.json, "groups/0/results/2/rv"), "CKR_OK");
	/* The record tells the key, and the hash of all parts: 00 01 02 00 01 02. */
	cr_expect_eq(events_with(&rest, "key/label", "release"), 1);
	cr_expect_eq(
		events_with(&rest, "input_sha256", "ddbadcc1c88a1cb459ec8b5784a498abcc01c0e3199e0c7bf2f32d20b03692e9"),
		1);
}

Test(saved_state, X4_of_a_private_key_ends_with_its_login)
{
	expect(&client, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	expect(&client, "CKR_SAVED_STATE_INVALID", SET, session, state);
	expect(&client, "CKR_OK", LOGIN_AS, session, "CKU_USER");
	expect(&client, "CKR_SAVED_STATE_INVALID", SET, session, state);
	expect(&client, "CKR_OPERATION_NOT_INITIALIZED", FINAL, session);
}

Test(saved_state, X4_an_operation_that_was_brought_back_ends_with_the_login)
{
	json_int_t other = open_session(&client);
	expect(&client, "CKR_OK", SET, other, state);
	expect(&client, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	expect(&client, "CKR_OPERATION_NOT_INITIALIZED", FINAL, other);
}

Test(saved_state, of_an_operation_without_a_key_outlives_the_login)
{
	expect(&client, "CKR_OK", FINAL, session);
	expect(&client, "CKR_OK",
		"{\"DigestInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_SHA256\"}}},"
		"{\"DigestUpdate\":{\"session\":%lld,\"part\":\"AAEC\"}}",
		session, session);
	save();
	expect(&client, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	json_int_t other = open_session(&client);
	expect(&client, "CKR_OK", SET ",{\"DigestFinal\":{\"session\":%lld,\"digest\":32}}", other, state, other);
}

Test(saved_state, X9_of_another_application_is_as_unknown_as_one_of_nobody)
{
	struct worker_fixture other;
	const struct client stranger = {.worker = &other};
	worker_fixture_start(&token, &(struct worker_options){.mock = &mock}, &other);
	json_int_t theirs = open_session(&stranger);
	expect(&stranger, "CKR_OK", LOGIN_AS, theirs, "CKU_USER");
	expect(&stranger, "CKR_SAVED_STATE_INVALID", SET, theirs, state);
	expect(&stranger, "CKR_SAVED_STATE_INVALID", SET, theirs, "AAECAwQFBgcICQoLDA0ODw");
	expect(&stranger, "CKR_OPERATION_NOT_INITIALIZED", FINAL, theirs);
	expect(&client, "CKR_OK", SET "," FINAL, session, state, session);
}

Test(saved_state, A4_an_operation_that_awaits_its_pin_does_not_go_on_beside_one_that_was_brought_back)
{
	json_int_t other = open_session(&client);
	json_int_t careful = make_key(&client, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");
	mock_control(&mock, "logout_keeps 1\nalways_authenticate_stored 1\n");
	expect(&client, "CKR_OK", SIGN_DATA_INIT, other, careful);
	expect(&client, "CKR_OK", SET, other, state);
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_calls,
		.body = text_of(
			"{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[" FINAL "]}]}", other));
	cr_expect_eq(events_with(&rest, "key/label", "release"), 1);
	cr_expect_eq(events_with(&rest, "key/label", "careful"), 0);
}

Test(saved_state, B10_an_operation_that_was_brought_back_keeps_the_module_logged_in, .init = NULL)
{
	start_with(
		&(struct login_policy){.cache_pin = 1, .pin_cache_ttl_ms = 8 * 3600000, .pin_cache_idle_ms = 3600000});
	expect(&client, "CKR_OK", SIGN_DATA_INIT "," UPDATE, session, key, session);
	save();
	expect(&client, "CKR_OK", FINAL, session);
	json_int_t other = open_session(&client);
	struct answer answer = client_post(
		&client, text_of("{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[" SET "]}]}",
				 other, state));
	cr_expect_eq(answer.native, LOGIN_USER);
	answer_free(&answer);
	answer = client_post(&client,
		text_of("{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[" FINAL "]}]}", other));
	cr_expect_eq(answer.native, LOGIN_NONE);
	answer_free(&answer);
}
