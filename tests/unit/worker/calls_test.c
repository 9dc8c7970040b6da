#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/route.h"
#include "tests/unit/worker/fixture.h"

/* 32 bytes to sign. */
#define READ_VALUE "{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_VALUE\":16}]}}"
#define SO_LOGIN "{\"Login\":{\"session\":%lld,\"user_type\":\"CKU_SO\",\"pin\":\"MTIzNDU2Nzg\"}}"

static struct token_fixture token;
static struct worker_fixture worker;
static struct client client = {.worker = &worker, .instance = "first instance"};

static void start(void)
{
	token_fixture_new(&token);
	worker_fixture_start(&token, NULL, &worker);
	cr_assert_eq(worker.started_rv, 0, "%s", worker.started_detail);
}

TestSuite(calls, .init = start, .timeout = 60);

Test(calls, a_key_pair_is_made_and_signs)
{
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "release", "");
	json_t *result = client_call(&client, SIGN_INIT "," SIGN, session, key, session);

	cr_assert_str_eq(json_string_value(json_object_get(result, "rv")), "CKR_OK");
	cr_assert_eq(strlen(json_string_value(json_object_get(result, "signature"))), 86);
	json_decref(result);
}

Test(calls, every_key_use_login_and_object_change_leaves_an_event)
{
	json_int_t session = open_session(&client);
	struct answer answer = client_post(&client,
		"{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[{\"Login\":{\"session\":"
		"1,\"user_type\":\"CKU_USER\",\"pin\":\"MTIzNA\"}}]}]}");
	json_t *event = json_array_get(answer.events, 0);

	cr_assert_eq(json_array_size(answer.events), 1);
	cr_assert_str_eq(json_string_value(json_object_get(event, "function")), "C_Login");
	cr_assert_str_eq(json_string_value(json_object_get(event, "rv")), "CKR_SESSION_HANDLE_INVALID");
	answer_free(&answer);
	expect(&client, "CKR_OK", "{\"Login\":{\"session\":%lld,\"user_type\":\"CKU_USER\",\"pin\":\"MTIzNA\"}}",
		session);
	json_int_t key = make_key(&client, session, "release", "");
	char *body;
	cr_assert(asprintf(&body,
			  "{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[" SIGN_INIT "," SIGN
			  "]}]}",
			  session, key, session) > 0);
	answer = client_post(&client, body);
	event = json_array_get(answer.events, 0);
	cr_assert_eq(json_array_size(answer.events), 1);
	cr_assert_str_eq(json_string_value(json_object_get(event, "kind")), "key-use");
	cr_assert_str_eq(json_string_value(json_object_get(event, "mechanism")), "CKM_ECDSA");
	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(event, "key"), "label")), "release");
	cr_assert_str_eq(json_string_value(json_object_get(event, "input_sha256")),
		"630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd");
	answer_free(&answer);
	free(body);
}

Test(calls, the_input_of_all_parts_is_what_the_event_of_a_multipart_use_hashes)
{
	json_int_t session = open_logged_in(&client);
	json_int_t key = number(&client, "key",
		"{\"GenerateKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_GENERIC_SECRET_KEY_GEN\"},"
		"\"attributes\":[{\"CKA_VALUE_LEN\":32},{\"CKA_SIGN\":true},{\"CKA_LABEL\":\"mac\"}]}}",
		session);
	char *body;

	cr_assert(asprintf(&body,
			  "{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":["
			  "{\"SignInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_SHA256_HMAC\"},\"key\":%"
			  "lld}},"
			  "{\"SignUpdate\":{\"session\":%lld,\"part\":\"YQ\"}},{\"SignUpdate\":{\"session\":%lld,"
			  "\"part\":\"YmM\"}},"
			  "{\"SignFinal\":{\"session\":%lld,\"signature\":64}}]}]}",
			  session, key, session, session, session) > 0);
	struct answer answer = client_post(&client, body);
	cr_assert_str_eq(json_string_value(json_object_get(json_array_get(answer.events, 0), "input_sha256")),
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	answer_free(&answer);
	free(body);
}

#define DECRYPT_INIT "{\"DecryptInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_ECB\"},\"key\":%lld}}"
#define DECRYPT_UPDATE "{\"DecryptUpdate\":{\"session\":%lld,\"encrypted\":\"AAECAwQFBgcICQoLDA0ODw\",\"part\":64}}"

static json_int_t make_aes_key(json_int_t session, const char *label)
{
	return number(&client, "key",
		"{\"GenerateKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_KEY_GEN\"},\"attributes\":["
		"{\"CKA_VALUE_LEN\":32},{\"CKA_ENCRYPT\":true},{\"CKA_DECRYPT\":true},{\"CKA_WRAP\":true},"
		"{\"CKA_UNWRAP\":true},{\"CKA_DERIVE\":true},{\"CKA_EXTRACTABLE\":true},{\"CKA_LABEL\":\"%s\"}]}}",
		session, label);
}

/* One group of calls; the caller frees the answer. */
static struct answer post_calls(const struct client *who, const char *format, ...)
{
	char calls[4096], body[4200];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(calls, sizeof calls, format, arguments);
	va_end(arguments);
	snprintf(body, sizeof body, "{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[%s]}]}",
		calls);
	return client_post(who, body);
}

static const char *event_text(const struct answer *answer, size_t index, const char *member)
{
	const char *text = json_string_value(json_object_get(json_array_get(answer->events, index), member));

	return text ? text : "";
}

static const char *event_label(const struct answer *answer, size_t index, const char *object)
{
	json_t *names = json_object_get(json_array_get(answer->events, index), object);
	const char *text = json_string_value(json_object_get(names, "label"));

	return text ? text : "";
}

Test(calls, the_first_part_that_a_key_decrypts_is_on_record_even_if_the_operation_is_never_finished)
{
	json_int_t session = open_logged_in(&client), key = make_aes_key(session, "stream");
	struct answer answer = post_calls(&client,
		DECRYPT_INIT "," DECRYPT_UPDATE "," DECRYPT_UPDATE ",{\"CloseSession\":{\"session\":%lld}}", session,
		key, session, session, session);

	cr_assert_geq(json_array_size(answer.events), 1);
	cr_expect_str_eq(event_text(&answer, 0, "kind"), "key-use");
	cr_expect_str_eq(event_text(&answer, 0, "function"), "C_DecryptUpdate");
	cr_expect_str_eq(event_text(&answer, 0, "mechanism"), "CKM_AES_ECB");
	cr_expect_str_eq(event_label(&answer, 0, "key"), "stream");
	cr_expect_str_neq(event_text(&answer, 1, "function"), "C_DecryptUpdate");
	answer_free(&answer);
}

Test(calls, an_operation_in_parts_leaves_one_record_at_its_first_part_and_one_with_the_hash_at_its_end)
{
	json_int_t session = open_logged_in(&client), key = make_aes_key(session, "stream");

	for (int i = 0; i < 2; i++) {
		struct answer answer = post_calls(&client,
			DECRYPT_INIT "," DECRYPT_UPDATE "," DECRYPT_UPDATE
				     ",{\"DecryptFinal\":{\"session\":%lld,\"part\":64}}",
			session, key, session, session, session);
		cr_expect_eq(json_array_size(answer.events), 2);
		cr_expect_str_eq(event_text(&answer, 0, "function"), "C_DecryptUpdate");
		cr_expect_str_eq(event_text(&answer, 0, "input_sha256"), "");
		cr_expect_str_eq(event_text(&answer, 1, "function"), "C_DecryptFinal");
		cr_expect_eq(strlen(event_text(&answer, 1, "input_sha256")), 64);
		answer_free(&answer);
	}
}

Test(calls, a_question_for_the_length_of_a_part_is_no_use_and_does_not_stand_for_one)
{
	json_int_t session = open_logged_in(&client), key = make_aes_key(session, "stream");
	struct answer answer = post_calls(&client,
		DECRYPT_INIT
		",{\"DecryptUpdate\":{\"session\":%lld,\"encrypted\":\"AAECAwQFBgcICQoLDA0ODw\",\"part\":null}}",
		session, key, session);

	cr_expect_eq(json_array_size(answer.events), 0);
	answer_free(&answer);
	answer = post_calls(&client, DECRYPT_UPDATE, session);
	cr_expect_eq(json_array_size(answer.events), 1);
	answer_free(&answer);
}

#define WRAP \
	"{\"WrapKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_KEY_WRAP\"},\"wrapping_key\":%lld," \
	"\"key\":" \
	"%lld,\"wrapped\":256}}"
#define UNWRAP \
	"{\"UnwrapKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_KEY_WRAP\"},\"unwrapping_key\":%lld," \
	"\"wrapped\":\"%s\",\"attributes\":[{\"CKA_CLASS\":\"CKO_SECRET_KEY\"},{\"CKA_KEY_TYPE\":\"CKK_AES\"}," \
	"{\"CKA_LABEL\":\"unwrapped\"}]}}"
#define DERIVE \
	"{\"DeriveKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_ECB_ENCRYPT_DATA\",\"parameter\":{" \
	"\"pData\":" \
	"\"AAECAwQFBgcICQoLDA0ODw\"}},\"base_key\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_SECRET_KEY\"}," \
	"{\"CKA_KEY_TYPE\":\"CKK_AES\"},{\"CKA_VALUE_LEN\":16},{\"CKA_LABEL\":\"derived\"}%s]}}"

/* The first result's member, or "". */
static const char *result_text(const struct answer *answer, const char *member)
{
	json_t *group = json_array_get(json_object_get(answer->body, "groups"), 0);
	json_t *results = json_object_get(group, "results");
	const char *text = json_string_value(json_object_get(json_array_get(results, 0), member));

	return text ? text : "";
}

Test(calls, the_record_of_a_wrapped_key_names_both_keys_and_that_of_an_unwrapped_one_the_key_it_made)
{
	json_int_t session = open_logged_in(&client);
	json_int_t over = make_aes_key(session, "over"), exported = make_aes_key(session, "exported");
	struct answer wrap = post_calls(&client, WRAP, session, over, exported);

	cr_expect_str_eq(event_label(&wrap, 0, "key"), "over");
	cr_expect_str_eq(event_label(&wrap, 0, "wrapped_key"), "exported");
	struct answer unwrap = post_calls(&client, UNWRAP, session, over, result_text(&wrap, "wrapped"));
	cr_expect_str_eq(event_text(&unwrap, 0, "rv"), "CKR_OK");
	cr_expect_str_eq(event_label(&unwrap, 0, "key"), "over");
	cr_expect_str_eq(event_label(&unwrap, 0, "made_key"), "unwrapped");
	answer_free(&unwrap);
	answer_free(&wrap);
}

Test(calls, the_record_of_a_derivation_names_the_key_it_made)
{
	json_int_t session = open_logged_in(&client), base = make_aes_key(session, "base");
	struct answer answer = post_calls(&client, DERIVE, session, base, "");

	cr_expect_str_eq(event_text(&answer, 0, "rv"), "CKR_OK");
	cr_expect_str_eq(event_label(&answer, 0, "key"), "base");
	cr_expect_str_eq(event_label(&answer, 0, "made_key"), "derived");
	answer_free(&answer);
}

/* All permissions but the one. */
static struct client without(enum permission permission)
{
	struct client other = client;

	other.permissions = ((1u << PERMISSION_COUNT) - 1) & ~(1u << permission);
	return other;
}

static void expect_refused(const struct client *who, const char *call)
{
	struct answer answer = post_calls(who, "%s", call);

	cr_expect_str_eq(result_text(&answer, "rv"), "CKR_FUNCTION_REJECTED", "%s", call);
	cr_expect_str_eq(event_text(&answer, 0, "kind"), "refusal", "%s", call);
	answer_free(&answer);
}

Test(calls, a_key_is_unwrapped_only_by_who_may_both_use_keys_and_make_objects)
{
	json_int_t session = open_logged_in(&client), over = make_aes_key(session, "over");
	struct client user = without(PERMISSION_WRITE), writer = without(PERMISSION_USE);
	struct answer wrap = post_calls(&client, WRAP, session, over, make_aes_key(session, "exported"));
	char call[1024];

	snprintf(call, sizeof call, UNWRAP, session, over, result_text(&wrap, "wrapped"));
	expect_refused(&user, call);
	expect_refused(&writer, call);
	expect(&client, "CKR_OK", "%s", call);
	answer_free(&wrap);
}

Test(calls, a_derivation_needs_the_permission_to_write_only_when_it_makes_an_object_of_the_token)
{
	json_int_t session = open_logged_in(&client), base = make_aes_key(session, "base");
	struct client user = without(PERMISSION_WRITE);
	char call[1024];

	expect(&user, "CKR_OK", DERIVE, session, base, "");
	expect(&user, "CKR_OK", DERIVE, session, base, ",{\"CKA_TOKEN\":false}");
	snprintf(call, sizeof call, DERIVE, session, base, ",{\"CKA_TOKEN\":true}");
	expect_refused(&user, call);
	snprintf(call, sizeof call, DERIVE, session, base, ",{\"CKA_TOKEN\":false},{\"CKA_TOKEN\":true}");
	expect_refused(&user, call);
	expect(&client, "CKR_OK", DERIVE, session, base, ",{\"CKA_TOKEN\":true}");
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

Test(calls, a_call_without_its_permission_is_refused_audited_and_not_run)
{
	struct client reader = client;
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "release", "");
	char *body;

	reader.permissions = 1u << PERMISSION_READ;
	cr_assert(asprintf(&body,
			  "{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[" SIGN_INIT "]}]}",
			  session, key) > 0);
	struct answer answer = client_post(&reader, body);
	json_t *event = json_array_get(answer.events, 0);
	json_t *result = json_array_get(
		json_object_get(json_array_get(json_object_get(answer.body, "groups"), 0), "results"), 0);
	cr_assert_str_eq(json_string_value(json_object_get(result, "rv")), "CKR_FUNCTION_REJECTED");
	cr_assert_str_eq(json_string_value(json_object_get(event, "kind")), "refusal");
	answer_free(&answer);
	free(body);
	expect(&client, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
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

Test(calls, X3_private_handles_end_with_a_logout_even_after_a_new_login)
{
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "release", "");

	expect(&client, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	expect(&client, "CKR_OK", "{\"Login\":{\"session\":%lld,\"user_type\":\"CKU_USER\",\"pin\":\"MTIzNA\"}}",
		session);
	expect(&client, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, key);
}

Test(calls, X4_a_logout_ends_the_operation_and_no_signature_comes_out)
{
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "release", "");

	expect(&client, "CKR_OK", SIGN_INIT, session, key);
	expect(&client, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	expect(&client, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
}

Test(calls, X4_a_new_login_does_not_revive_the_operation)
{
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "release", "");

	expect(&client, "CKR_OK", SIGN_INIT, session, key);
	expect(&client, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	expect(&client, "CKR_OK", "{\"Login\":{\"session\":%lld,\"user_type\":\"CKU_USER\",\"pin\":\"MTIzNA\"}}",
		session);
	expect(&client, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
}

Test(calls, X4_session_objects_outlive_the_end_of_an_operation_by_logout)
{
	json_int_t session = open_logged_in(&client), key = make_key(&client, session, "release", "");
	json_int_t data = number(&client, "object",
		"{\"CreateObject\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_DATA\"},{\"CKA_PRIVATE\":"
		"false},{\"CKA_LABEL\":\"note\"},{\"CKA_VALUE\":\"YQ\"}]}}",
		session);

	expect(&client, "CKR_OK", SIGN_INIT, session, key);
	expect(&client, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	expect(&client, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
	expect(&client, "CKR_OK",
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}",
		session, data);
	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
}

Test(calls, session_objects_end_with_their_session)
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

Test(calls, C7_closing_the_last_session_logs_the_application_out)
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

Test(calls, X5_the_login_outlives_the_session_it_was_made_in)
{
	json_int_t session = open_logged_in(&client), other = open_session(&client);

	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	json_t *info = client_call(&client, "{\"GetSessionInfo\":{\"session\":%lld}}", other);
	cr_assert_str_eq(
		json_string_value(json_object_get(json_object_get(info, "info"), "state")), "CKS_RW_USER_FUNCTIONS");
	json_decref(info);
}

Test(calls, X5_the_login_of_a_held_application_outlives_its_last_session)
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

Test(calls, C16_a_login_that_the_hold_alone_kept_ends_with_it)
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

Test(calls, C16_open_sessions_keep_their_login_over_the_end_of_the_hold)
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

Test(calls, C15_a_login_over_rest_stays_when_the_hold_ends)
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

Test(calls, X5_read_only_rules_follow_the_clients_sessions)
{
	json_int_t session = open_session(&client);
	json_int_t read_only = number(&client, "session", "{\"OpenSession\":{\"flags\":4}}");

	expect(&client, "CKR_SESSION_READ_ONLY_EXISTS", SO_LOGIN, session);
	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", read_only);
	expect(&client, "CKR_OK", SO_LOGIN, session);
	expect(&client, "CKR_SESSION_READ_WRITE_SO_EXISTS", "{\"OpenSession\":{\"flags\":4}}");
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
