#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "api/route.h"
#include "tests/unit/worker/fixture.h"

/* Tokens with faults that SoftHSM does not have: tests/support/modules/shim_module.c. */

static struct token_fixture token;
static struct worker_fixture worker;
static struct client client = {.worker = &worker};

static void start_with(const char *faults)
{
	token_fixture_new(&token);
	worker_fixture_start(&token, &(struct worker_options){.shim = faults}, &worker);
	cr_assert_eq(worker.started_rv, 0, "%s", worker.started_detail);
}

static void expect_public(json_int_t session)
{
	json_t *info = client_call(&client, "{\"GetSessionInfo\":{\"session\":%lld}}", session);

	cr_assert_str_eq(
		json_string_value(json_object_get(json_object_get(info, "info"), "state")), "CKS_RW_PUBLIC_SESSION");
	json_decref(info);
}

TestSuite(fault, .timeout = 60);

Test(fault, A17_a_pin_locked_at_reauthentication_logs_the_application_out)
{
	start_with("lock=2");
	json_int_t session = open_logged_in(&client), other = open_session(&client);
	json_int_t key = make_key(&client, session, "careful", CAREFUL);

	expect(&client, "CKR_OK", SIGN_INIT, session, key);
	expect(&client, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect(&client, "CKR_PIN_LOCKED", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect_public(session);
	expect_public(other);
	expect(&client, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
	expect(&client, "CKR_PIN_LOCKED", LOGIN, session, "CKU_USER", RIGHT);
	expect(&client, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, key);
}

Test(fault, X1_already_logged_in_is_never_taken_for_a_login)
{
	start_with("already");
	json_int_t session = open_session(&client);
	char body[512];

	snprintf(body, sizeof body,
		"{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[" LOGIN "]}]}", session,
		"CKU_USER", RIGHT);
	struct answer answer = client_post(&client, body);
	json_t *result = json_array_get(
		json_object_get(json_array_get(json_object_get(answer.body, "groups"), 0), "results"), 0);
	cr_assert_str_eq(json_string_value(json_object_get(result, "rv")), "CKR_FUNCTION_FAILED");
	cr_assert_eq(answer.login, LOGIN_NONE);
	answer_free(&answer);
}

Test(fault, X5_on_a_token_with_few_sessions_the_workers_own_go_first)
{
	start_with("sessions=2");
	json_int_t session = open_logged_in(&client), other = open_session(&client);

	expect(&client, "CKR_SESSION_COUNT", "{\"OpenSession\":{\"flags\":6}}");
	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	json_t *info = client_call(&client, "{\"GetSessionInfo\":{\"session\":%lld}}", other);
	cr_assert_str_eq(
		json_string_value(json_object_get(json_object_get(info, "info"), "state")), "CKS_RW_USER_FUNCTIONS");
	json_decref(info);
	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", other);
	struct answer answer = client_post(&client, "{\"groups\":[]}");
	cr_assert_eq(answer.login, LOGIN_NONE);
	answer_free(&answer);
}

Test(fault, A4_a_module_that_does_not_ask_for_the_pin_is_not_relied_on)
{
	start_with("careless");
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "careful", CAREFUL);

	expect(&client, "CKR_OK", SIGN_INIT, session, key);
	expect(&client, "CKR_USER_NOT_LOGGED_IN", SIGN, session);
	expect(&client, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
}

Test(fault, a_key_use_refused_for_want_of_its_pin_is_in_the_audit_with_its_key)
{
	start_with("careless");
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "careful", CAREFUL);
	char body[1024];

	snprintf(body, sizeof body,
		"{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[" SIGN_INIT "," SIGN "]}]}",
		session, key, session);
	struct answer answer = client_post(&client, body);
	json_t *event = json_array_get(answer.events, 0);
	cr_assert_str_eq(json_string_value(json_object_get(event, "rv")), "CKR_USER_NOT_LOGGED_IN");
	cr_assert_str_eq(json_string_value(json_object_get(event, "mechanism")), "CKM_ECDSA");
	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(event, "key"), "label")), "careful");
	answer_free(&answer);
}

Test(fault, A18_a_key_that_asks_for_its_pin_neither_derives_nor_unwraps)
{
	start_with("careless");
	json_int_t session = open_logged_in(&client);
	json_int_t key = make_key(&client, session, "careful", CAREFUL ",{\"CKA_DERIVE\":true}");

	expect(&client, "CKR_USER_NOT_LOGGED_IN",
		"{\"DeriveKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_ECDH1_DERIVE\",\"parameter\":{"
		"\"kdf\":\"CKD_NULL\","
		"\"pSharedData\":null,\"pPublicData\":\"BA\"}},\"base_key\":%lld,\"attributes\":[]}}",
		session, key);
}

Test(fault, F5_a_saved_state_is_a_reference_that_nobody_can_make_up)
{
	start_with("states");
	json_int_t session = open_session(&client);
	json_t *result = client_call(&client, "{\"GetOperationState\":{\"session\":%lld,\"state\":null}}", session);
	cr_assert_eq(json_integer_value(json_object_get(json_object_get(result, "state"), "length")), 16);
	json_decref(result);
	result = client_call(&client, "{\"GetOperationState\":{\"session\":%lld,\"state\":100}}", session);
	const char *state = json_string_value(json_object_get(result, "state"));
	cr_assert_eq(strlen(state), 22);
	expect(&client, "CKR_OK",
		"{\"SetOperationState\":{\"session\":%lld,\"state\":\"%s\",\"encryption_key\":0,\"authentication_key\":"
		"0}}",
		session, state);
	/* 40 times the letter s: the module's own state. */
	expect(&client, "CKR_SAVED_STATE_INVALID",
		"{\"SetOperationState\":{\"session\":%lld,\"state\":"
		"\"c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzcw\","
		"\"encryption_key\":0,\"authentication_key\":0}}",
		session);
	json_decref(result);
}

Test(fault, A21_the_state_of_a_reauthenticated_operation_cannot_be_saved)
{
	start_with("states");
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "careful", CAREFUL);

	expect(&client, "CKR_OK", SIGN_INIT, session, key);
	expect(&client, "CKR_OK", LOGIN, session, "CKU_CONTEXT_SPECIFIC", RIGHT);
	expect(&client, "CKR_STATE_UNSAVEABLE", "{\"GetOperationState\":{\"session\":%lld,\"state\":100}}", session);
	expect(&client, "CKR_OK", SIGN, session);
}

Test(fault, C15_a_login_of_the_resource_routes_ends_when_it_is_not_used)
{
	token_fixture_new(&token);
	worker_fixture_start(&token, &(struct worker_options){.rest_idle_ms = 200}, &worker);
	struct answer answer = client_request(&client, ROUTE_login, "", "{\"pin\":\"1234\"}");
	cr_assert_eq(answer.status, 200);
	cr_assert_eq(answer.login, LOGIN_USER);
	answer_free(&answer);
	struct worker_state state = worker_fixture_state(&worker);
	cr_assert_eq(state.login, LOGIN_NONE);
	cr_assert_eq(state.ended_login, LOGIN_USER);
	cr_assert_eq(state.ended_cause, LOGIN_END_REST_IDLE);
}

Test(fault, C15_a_login_of_the_resource_routes_ends_after_its_maximum_time)
{
	token_fixture_new(&token);
	worker_fixture_start(&token, &(struct worker_options){.rest_max_ms = 300}, &worker);
	struct answer answer = client_request(&client, ROUTE_login, "", "{\"pin\":\"1234\"}");
	cr_assert_eq(answer.status, 200);
	answer_free(&answer);
	struct worker_state state = worker_fixture_state(&worker);
	cr_assert_eq(state.ended_login, LOGIN_USER);
	cr_assert_eq(state.ended_cause, LOGIN_END_REST_MAXIMUM);
}
