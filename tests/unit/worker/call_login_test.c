/* What the end of a login, of a session and of a hold does to handles, operations and objects (X3–X5, C7, C15, C16). */
#include <criterion/criterion.h>

#include "tests/unit/worker/resource_fixture.h"

#define READ_VALUE "{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_VALUE\":16}]}}"
#define SO_LOGIN "{\"Login\":{\"session\":%lld,\"user_type\":\"CKU_SO\",\"pin\":\"MTIzNDU2Nzg\"}}"

CLIENT_SUITE(call_login);

Test(call_login, X3_private_handles_end_with_a_logout_even_after_a_new_login)
{
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "release", "");

	expect(&client, "CKR_OK", LOGOUT, session);
	expect(&client, "CKR_OK", USER_LOGIN, session);
	expect(&client, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, key);
}

Test(call_login, X4_a_logout_ends_the_operation_and_no_signature_comes_out)
{
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "release", "");

	expect(&client, "CKR_OK", SIGN_INIT, session, key);
	expect(&client, "CKR_OK", LOGOUT, session);
	expect(&client, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
}

Test(call_login, X4_a_new_login_does_not_revive_the_operation)
{
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "release", "");

	expect(&client, "CKR_OK", SIGN_INIT, session, key);
	expect(&client, "CKR_OK", LOGOUT, session);
	expect(&client, "CKR_OK", USER_LOGIN, session);
	expect(&client, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
}

Test(call_login, X4_session_objects_outlive_the_end_of_an_operation_by_logout)
{
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "release", "");
	json_int_t data = number(&client, "object",
		"{\"CreateObject\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_DATA\"},{\"CKA_PRIVATE\":"
		"false},{\"CKA_LABEL\":\"note\"},{\"CKA_VALUE\":\"YQ\"}]}}",
		session);

	expect(&client, "CKR_OK", SIGN_INIT, session, key);
	expect(&client, "CKR_OK", LOGOUT, session);
	expect(&client, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
	expect(&client, "CKR_OK",
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}",
		session, data);
	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
}

Test(call_login, session_objects_end_with_their_session)
{
	json_int_t session = open_session(&client), other = open_session(&client);
	json_int_t data = number(&client, "object",
		"{\"CreateObject\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_DATA\"},{\"CKA_PRIVATE\":"
		"false},{\"CKA_VALUE\":\"YQ\"}]}}",
		session);

	expect(&client, "CKR_OK", READ_VALUE, other, data);
	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	expect(&client, "CKR_OBJECT_HANDLE_INVALID", READ_VALUE, other, data);
}

Test(call_login, C7_closing_the_last_session_logs_the_application_out)
{
	json_int_t session = open_logged_in(&client);
	struct answer answer;

	make_key(&client, session, "release", "");
	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	session = open_session(&client);
	answer = client_post(&client, "{\"groups\":[]}");
	cr_assert_eq(answer.login, LOGIN_NONE);
	answer_free(&answer);
	json_t *info = client_call(&client, "{\"GetSessionInfo\":{\"session\":%lld}}", session);
	cr_assert_str_eq(
		json_string_value(json_object_get(json_object_get(info, "info"), "state")), "CKS_RW_PUBLIC_SESSION");
	json_decref(info);
}

Test(call_login, X5_the_login_outlives_the_session_it_was_made_in)
{
	json_int_t session = open_logged_in(&client), other = open_session(&client);

	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	json_t *info = client_call(&client, "{\"GetSessionInfo\":{\"session\":%lld}}", other);
	cr_assert_str_eq(
		json_string_value(json_object_get(json_object_get(info, "info"), "state")), "CKS_RW_USER_FUNCTIONS");
	json_decref(info);
}

Test(call_login, X5_the_login_of_a_held_application_outlives_its_last_session)
{
	struct client holder = {.worker = client.worker, .held = true};
	json_int_t session = open_logged_in(&holder);

	expect(&holder, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	struct answer answer = client_post(&holder, "{\"groups\":[]}");
	cr_assert_eq(answer.sessions, 0);
	cr_assert_eq(answer.login, LOGIN_USER);
	answer_free(&answer);
	session = open_session(&holder);
	json_t *info = client_call(&holder, "{\"GetSessionInfo\":{\"session\":%lld}}", session);
	cr_assert_str_eq(
		json_string_value(json_object_get(json_object_get(info, "info"), "state")), "CKS_RW_USER_FUNCTIONS");
	json_decref(info);
	/* The module itself is logged in: it shows private objects. */
	make_key(&holder, session, "release", "");
}

Test(call_login, C16_a_login_that_the_hold_alone_kept_ends_with_it)
{
	struct client holder = {.worker = client.worker, .held = true};
	json_int_t session = open_logged_in(&holder);

	expect(&holder, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	worker_fixture_end_hold(holder.worker);
	struct worker_state state = worker_fixture_state(holder.worker);
	cr_expect_eq(state.login, LOGIN_NONE);
	cr_expect_eq(state.ended_login, LOGIN_USER);
	cr_expect_eq(state.ended_cause, LOGIN_END_HOLD);
}

Test(call_login, C16_open_sessions_keep_their_login_over_the_end_of_the_hold)
{
	struct client holder = {.worker = client.worker, .held = true};
	json_int_t session = open_logged_in(&holder);

	worker_fixture_end_hold(holder.worker);
	struct worker_state state = worker_fixture_state(holder.worker);
	cr_expect_eq(state.login, LOGIN_USER);
	cr_expect_eq(state.ended_login, LOGIN_NONE);
	holder.held = false;
	expect(&holder, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	struct answer answer = client_post(&holder, "{\"groups\":[]}");
	cr_expect_eq(answer.login, LOGIN_NONE, "nothing holds the application");
	answer_free(&answer);
}

Test(call_login, C15_a_login_over_rest_stays_when_the_hold_ends)
{
	struct client holder = {.worker = client.worker, .held = true};
	struct answer login = client_request(&holder, ROUTE_login, "", "{\"pin\":\"1234\"}");

	cr_assert_eq(login.status, 200);
	answer_free(&login);
	worker_fixture_end_hold(holder.worker);
	struct worker_state state = worker_fixture_state(holder.worker);
	cr_expect_eq(state.login, LOGIN_USER);
	cr_expect_eq(state.ended_login, LOGIN_NONE);
}

Test(call_login, X5_read_only_rules_follow_the_clients_sessions)
{
	json_int_t session = open_session(&client);
	json_int_t read_only = number(&client, "session", "{\"OpenSession\":{\"flags\":4}}");

	expect(&client, "CKR_SESSION_READ_ONLY_EXISTS", SO_LOGIN, session);
	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", read_only);
	expect(&client, "CKR_OK", SO_LOGIN, session);
	expect(&client, "CKR_SESSION_READ_WRITE_SO_EXISTS", "{\"OpenSession\":{\"flags\":4}}");
}
