/* Calls, one by one: what comes back, what runs, and whose handles are taken. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

CLIENT_SUITE(calls);

Test(calls, a_key_pair_is_made_and_signs)
{
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "release", "");
	json_t *result = client_call(&client, SIGN_INIT "," SIGN, session, key, session);

	cr_assert_str_eq(json_string_value(json_object_get(result, "rv")), "CKR_OK");
	cr_assert_eq(strlen(json_string_value(json_object_get(result, "signature"))), 86);
	json_decref(result);
}

Test(calls, a_length_query_keeps_the_operation_and_leaves_no_event)
{
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "release", "");
	json_t *result = client_call(&client,
		SIGN_INIT ",{\"Sign\":{\"session\":%lld,\"data\":\"" DIGEST "\",\"signature\":null}}", session, key,
		session);

	cr_assert_eq(json_integer_value(json_object_get(json_object_get(result, "signature"), "length")), 64);
	json_decref(result);
	expect(&client, "CKR_BUFFER_TOO_SMALL",
		"{\"Sign\":{\"session\":%lld,\"data\":\"" DIGEST "\",\"signature\":10}}", session);
	expect(&client, "CKR_OK", SIGN, session);
	expect(&client, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
}

Test(calls, a_group_stops_at_the_first_call_that_fails)
{
	struct answer answer = client_post(&client,
		"{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[{\"OpenSession\":{\"flags\":0}},{"
		"\"OpenSession\":{\"flags\":6}}]},"
		"{\"op\":\"000102030405060708090a0b0c0d0e00\",\"calls\":[{\"OpenSession\":{\"flags\":6}},{"
		"\"GetSessionInfo\":{\"session\":{\"from\":0}}}]}]}");
	json_t *groups = json_object_get(answer.body, "groups");
	json_t *first = json_object_get(json_array_get(groups, 0), "results");
	json_t *second = json_object_get(json_array_get(groups, 1), "results");

	cr_assert_eq(json_array_size(first), 1);
	cr_assert_str_eq(json_string_value(json_object_get(json_array_get(first, 0), "rv")),
		"CKR_SESSION_PARALLEL_NOT_SUPPORTED");
	cr_assert_eq(json_array_size(second), 2);
	cr_assert_str_eq(json_string_value(json_object_get(json_array_get(second, 1), "rv")), "CKR_OK");
	cr_assert_eq(answer.sessions, 1);
	answer_free(&answer);
}

Test(calls, a_malformed_body_executes_nothing)
{
	static const char *const bodies[] = {
		"",
		"[]",
		"{}",
		"{\"groups\":[{\"calls\":[{\"OpenSession\":{\"flags\":6}}]}]}",
		"{\"groups\":[{\"op\":\"0001\",\"calls\":[{\"OpenSession\":{\"flags\":6}}]}]}",
		"{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[{\"OpenSession\":{\"flags\":6}},{"
		"\"OpenSession\":{}}]}]}",
		"{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[{\"OpenSession\":{\"flags\":6}}]}"
		"]} x",
		"{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[{\"OpenSession\":{\"flags\":6}}]}"
		"],\"groups\":[]}",
		"{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[{\"OpenSession\":{\"flags\":6}},{"
		"\"CloseSession\":{\"session\":{\"from\":1}}}]}]}",
	};

	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		struct answer answer = client_post(&client, bodies[i]);
		cr_assert_eq(answer.status, 400, "%s", bodies[i]);
		cr_assert_eq(answer.sessions, 0, "%s", bodies[i]);
		cr_assert_str_eq(answer.content_type, "application/problem+json");
		answer_free(&answer);
	}
}

Test(calls, session_handles_belong_to_the_client_instance)
{
	struct client other = client;
	json_int_t session = open_session(&client);

	memset(other.instance, 7, sizeof other.instance);
	expect(&other, "CKR_SESSION_HANDLE_INVALID", "{\"GetSessionInfo\":{\"session\":%lld}}", session);
	expect(&other, "CKR_SESSION_HANDLE_INVALID", "{\"CloseSession\":{\"session\":%lld}}", session);
	expect(&other, "CKR_OK", "{\"CloseAllSessions\":{}}");
	expect(&client, "CKR_OK", "{\"GetSessionInfo\":{\"session\":%lld}}", session);
	expect(&client, "CKR_OK", "{\"CloseAllSessions\":{}}");
	expect(&client, "CKR_SESSION_HANDLE_INVALID", "{\"GetSessionInfo\":{\"session\":%lld}}", session);
}

Test(calls, an_unknown_object_gets_the_modules_own_answer)
{
	json_int_t session = open_logged_in(&client);

	expect(&client, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, (json_int_t)4711);
	expect(&client, "CKR_OBJECT_HANDLE_INVALID", "{\"DestroyObject\":{\"session\":%lld,\"object\":4711}}", session);
}

Test(calls, X3_one_object_keeps_one_handle)
{
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "release", "");
	json_t *result = client_call(&client,
		"{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_PRIVATE_KEY\"}]}},"
		"{\"FindObjects\":{\"session\":%lld,\"objects\":10}}",
		session, session);

	cr_assert_eq(json_integer_value(json_array_get(json_object_get(result, "objects"), 0)), key);
	json_decref(result);
}

Test(calls, a_session_more_than_allowed_is_refused)
{
	struct worker_fixture small;
	struct client few = {.worker = &small};

	worker_fixture_start(&token, &(struct worker_options){.sessions_max = 2}, &small);
	open_session(&few);
	open_session(&few);
	expect(&few, "CKR_SESSION_COUNT", "{\"OpenSession\":{\"flags\":6}}");
}

Test(calls, X15_the_slot_of_a_session_is_the_one_of_its_name)
{
	json_t *result = client_call(
		&client, "{\"OpenSession\":{\"flags\":6}},{\"GetSessionInfo\":{\"session\":{\"from\":0}}}");
	unsigned hash = 2166136261u;

	for (const char *at = "demo-slot"; *at; at++)
		hash = (hash ^ (unsigned char)*at) * 16777619u;
	cr_assert_eq(json_integer_value(json_object_get(json_object_get(result, "info"), "slotID")), hash & 0x7fffffff);
	json_decref(result);
}

Test(calls, D9_a_key_that_only_answers_challenges_does_not_sign)
{
	struct worker_fixture strict;
	struct client user = {.worker = &strict};

	worker_fixture_start(&token, &(struct worker_options){.challenge_only = "unlock"}, &strict);
	json_int_t session = open_logged_in(&user);
	json_int_t key = make_key(&user, session, "unlock", ""), free_key = make_key(&user, session, "release", "");
	expect(&user, "CKR_KEY_FUNCTION_NOT_PERMITTED", SIGN_INIT, session, key);
	expect(&user, "CKR_ACTION_PROHIBITED",
		"{\"SetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":\"release\"}]}"
		"}",
		session, key);
	expect(&user, "CKR_OK", SIGN_INIT "," SIGN, session, free_key, session);
}

Test(calls, D9_nor_does_it_do_anything_else_and_nothing_takes_it_out_of_the_token)
{
	struct worker_fixture strict;
	struct client user = {.worker = &strict};
	const char *const refused = "CKR_KEY_FUNCTION_NOT_PERMITTED";

	worker_fixture_start(&token, &(struct worker_options){.challenge_only = "unlock"}, &strict);
	json_int_t session = open_logged_in(&user);
	json_int_t key = make_key(&user, session, "unlock", ",{\"CKA_DERIVE\":true},{\"CKA_EXTRACTABLE\":true}");
	json_int_t aes = number(&user, "key",
		"{\"GenerateKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_KEY_GEN\"},\"attributes\":[{"
		"\"CKA_VALUE_LEN\":32},"
		"{\"CKA_WRAP\":true},{\"CKA_ENCRYPT\":true}]}}",
		session);
	expect(&user, refused,
		"{\"DecryptInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_RSA_PKCS\"},\"key\":%lld}}",
		session, key);
	expect(&user, refused,
		"{\"DeriveKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_ECDH1_DERIVE\",\"parameter\":{"
		"\"kdf\":\"CKD_NULL\","
		"\"pSharedData\":\"\",\"pPublicData\":\"BAAA\"}},\"base_key\":%lld,\"attributes\":[]}}",
		session, key);
	expect(&user, refused,
		"{\"WrapKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_KEY_WRAP_PAD\"},\"wrapping_"
		"key\":%lld,\"key\":%lld,"
		"\"wrapped\":4096}}",
		session, aes, key);
	expect(&user, "CKR_ACTION_PROHIBITED",
		"{\"CopyObject\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":\"copy\"}]}}",
		session, key);
}
