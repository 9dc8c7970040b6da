/* What calls leave on record, and which permissions they need. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

CLIENT_SUITE(call_record);

Test(call_record, every_key_use_login_and_object_change_leaves_an_event)
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
	expect(&client, "CKR_OK", USER_LOGIN, session);
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

Test(call_record, the_input_of_all_parts_is_what_the_event_of_a_multipart_use_hashes)
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

Test(call_record, the_first_part_that_a_key_decrypts_is_on_record_even_if_the_operation_is_never_finished)
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

Test(call_record, an_operation_in_parts_leaves_one_record_at_its_first_part_and_one_with_the_hash_at_its_end)
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

Test(call_record, a_question_for_the_length_of_a_part_is_no_use_and_does_not_stand_for_one)
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

Test(call_record, the_record_of_a_wrapped_key_names_both_keys_and_that_of_an_unwrapped_one_the_key_it_made)
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

Test(call_record, the_record_of_a_derivation_names_the_key_it_made)
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

Test(call_record, a_key_is_unwrapped_only_by_who_may_both_use_keys_and_make_objects)
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

Test(call_record, a_derivation_needs_the_permission_to_write_only_when_it_makes_an_object_of_the_token)
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

Test(call_record, a_call_without_its_permission_is_refused_audited_and_not_run)
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
