#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/route.h"
#include "tests/unit/worker/resource_fixture.h"

/*
 * The mode table (B3–B8) and the kept PIN (B11–B15) on SoftHSM: the first application's worker and that of a second application on
 * the same token.
 */

#define LOGIN "{\"Login\":{\"session\":%lld,\"user_type\":\"%s\",\"pin\":\"%s\"}}"
#define LOGOUT "{\"Logout\":{\"session\":%lld}}"
#define RIGHT "MTIzNA"
#define WRONG "OTk5OQ"
#define DIGEST "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define SIGN_INIT "{\"SignInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_ECDSA\"},\"key\":%lld}}"
#define SIGN "{\"Sign\":{\"session\":%lld,\"data\":\"" DIGEST "\",\"signature\":128}}"
#define SIGN_LENGTH "{\"Sign\":{\"session\":%lld,\"data\":\"" DIGEST "\",\"signature\":null}}"
#define SIGN_SHORT "{\"Sign\":{\"session\":%lld,\"data\":\"" DIGEST "\",\"signature\":1}}"
#define INFO "{\"GetSessionInfo\":{\"session\":%lld}}"
#define SEARCH \
	"{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"%s\"}]}},{\"FindObjects\":{" \
	"\"session\":%lld,\"objects\":10}}"
#define SEARCH_END "{\"FindObjectsFinal\":{\"session\":%lld}}"
/* Needs a login, whatever became of handles. */
#define MAKE_PRIVATE \
	"{\"GenerateKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_KEY_GEN\"},\"attributes\":[{" \
	"\"CKA_VALUE_LEN\":16},{\"CKA_PRIVATE\":true},{\"CKA_TOKEN\":%s}]}}"

#define GET_LABEL "{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":null}]}}"

enum { HOUR_MS = 3600000 };

static struct token_fixture token;
static struct worker_fixture one, two;
static struct client first = {.worker = &one}, second = {.worker = &two},
		     other_instance = {.worker = &one, .instance = {9}};
static json_int_t session, key;

static struct login_policy rules(bool cache, enum logout_after after)
{
	return (struct login_policy){
		.cache_pin = cache,
		.logout_after = after,
		.pin_cache_ttl_ms = 8 * HOUR_MS,
		.pin_cache_idle_ms = HOUR_MS,
		.internal_wait_ms = 10000,
	};
}

/* A worker with these rules, logged in, with the private key "release". */
static void start_with(const struct worker_options *options)
{
	token_fixture_new(&token);
	worker_fixture_start(&token, options, &one);
	cr_assert_eq(one.started_rv, 0, "%s", one.started_detail);
	session = open_session(&first);
	/* The key is made by somebody else, so that the rules have not been applied to its making. */
	worker_fixture_start(&token, NULL, &two);
	json_int_t theirs = open_logged_in(&second);
	make_key(&second, theirs, "release", "");
	expect(&second, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", theirs);
	worker_fixture_stop(&two);
	worker_fixture_start(&token, NULL, &two);
}

static void log_in(void)
{
	expect(&first, "CKR_OK", LOGIN, session, "CKU_USER", RIGHT);
}

static void start(bool cache, enum logout_after after)
{
	start_with(&(struct worker_options){.login = rules(cache, after)});
	log_in();
}

/* What the gateway knows of the worker after a call that changes nothing. */
static struct answer state_of(const struct client *client)
{
	struct answer answer = client_post(client, "{\"groups\":[]}");

	cr_assert_eq(answer.status, 200);
	return answer;
}

static void expect_state(const struct client *client, unsigned login, unsigned native)
{
	struct answer answer = state_of(client);

	cr_expect_eq(answer.login, login, "the application is logged in as %u", answer.login);
	cr_expect_eq(answer.native, native, "the module is logged in as %u", answer.native);
	answer_free(&answer);
}

static void expect_session(const struct client *client, json_int_t handle, const char *state)
{
	json_t *info = client_call(client, INFO, handle);

	cr_expect_str_eq(text_at(info, "info/state"), state);
	json_decref(info);
}

static json_int_t find_private(const struct client *client, json_int_t in)
{
	json_t *found = client_call(client, SEARCH, in, "CKO_PRIVATE_KEY", in);
	json_int_t handle = json_integer_value(json_at(found, "objects/0"));

	json_decref(found);
	expect(client, "CKR_OK", SEARCH_END, in);
	return handle;
}

static void sign(const struct client *client, json_int_t in, json_int_t with)
{
	expect(client, "CKR_OK", SIGN_INIT "," SIGN, in, with, in);
}

/* The second application logs in, finds its key, signs and logs out. */
static void second_signs(void)
{
	json_int_t theirs = open_logged_in(&second);

	sign(&second, theirs, find_private(&second, theirs));
	expect(&second, "CKR_OK", LOGOUT, theirs);
	expect(&second, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", theirs);
}

/* Nobody is logged in: not as the application sees it, nor as the module does, and nothing private can be had. */
static void expect_logged_out(const struct client *client, json_int_t in)
{
	expect_state(client, LOGIN_NONE, LOGIN_NONE);
	expect_session(client, in, "CKS_RW_PUBLIC_SESSION");
	expect(client, "CKR_USER_NOT_LOGGED_IN", MAKE_PRIVATE, in, "false");
}

TestSuite(pin_cache, .timeout = 60);

/* --- the mode table --- */

Test(pin_cache, B3_without_the_cache_the_login_is_held_from_login_to_logout)
{
	start(false, LOGOUT_AFTER_NEVER);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	key = find_private(&first, session);
	for (int i = 0; i < 3; i++)
		sign(&first, session, key);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", LOGOUT, session);
	expect_logged_out(&first, session);
}

Test(pin_cache, B3_the_last_session_takes_the_login_along)
{
	start(false, LOGOUT_AFTER_NEVER);
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	expect_logged_out(&first, open_session(&first));
}

Test(pin_cache, B4_between_uses_the_module_is_logged_out_and_the_session_says_user)
{
	start(true, LOGOUT_AFTER_NEVER);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	expect_session(&first, session, "CKS_RW_USER_FUNCTIONS");
	key = find_private(&first, session);
	cr_assert_neq(key, 0);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	for (int i = 0; i < 3; i++) {
		sign(&first, session, key);
		expect_state(&first, LOGIN_USER, LOGIN_NONE);
		second_signs();
	}
	expect_session(&first, session, "CKS_RW_USER_FUNCTIONS");
	cr_expect_eq(find_private(&first, session), key, "an object keeps its handle over internal logouts");
}

Test(pin_cache, B4_a_module_that_starts_anew_for_every_login_works_as_well)
{
	start_with(&(struct worker_options){.login = rules(true, LOGOUT_AFTER_NEVER), .fresh = true});
	log_in();
	key = find_private(&first, session);
	for (int i = 0; i < 3; i++) {
		sign(&first, session, key);
		expect_state(&first, LOGIN_USER, LOGIN_NONE);
	}
	cr_expect_eq(find_private(&first, session), key);
}

Test(pin_cache, B4_what_needs_no_login_gets_none)
{
	start(true, LOGOUT_AFTER_NEVER);
	unsigned asked = token.asked[TOKEN_FOR_PRIVATE_USE];
	expect(&first, "CKR_OK", "{\"GenerateRandom\":{\"session\":%lld,\"random\":16}}", session);
	expect(&first, "CKR_OK", "{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_PRIVATE\":false}]}}",
		session);
	json_t *found = client_call(&first, "{\"FindObjects\":{\"session\":%lld,\"objects\":10}}", session);
	json_int_t public_key = json_integer_value(json_at(found, "objects/0"));
	json_decref(found);
	expect(&first, "CKR_OK", SEARCH_END, session);
	expect(&first, "CKR_OK",
		"{\"VerifyInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_ECDSA\"},\"key\":%lld}}", session,
		public_key);
	expect(&first, "CKR_OK",
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}",
		session, public_key);
	cr_expect_eq(token.asked[TOKEN_FOR_PRIVATE_USE], asked);
}

Test(pin_cache, B4_the_resource_routes_log_in_with_the_kept_pin)
{
	start(true, LOGOUT_AFTER_NEVER);
	for (int i = 0; i < 2; i++) {
		REST_AUTO struct rest rest = REST(&one, 200, .route = ROUTE_key_sign, .key = "release",
			.body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}");
		cr_expect_eq(calls_of(&rest, "Login"), 1);
		cr_expect_eq(calls_of(&rest, "Logout"), 1);
		expect_state(&first, LOGIN_USER, LOGIN_NONE);
	}
	make_resource_key(&one, "EC", "another", "");
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(pin_cache, B5_each_signature_logs_out_and_other_uses_do_not)
{
	start(false, LOGOUT_AFTER_SIGN);
	key = find_private(&first, session);
	expect(&first, "CKR_OK",
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}",
		session, key);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	sign(&first, session, key);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	expect_logged_out(&first, session);
	second_signs();
	log_in();
	sign(&first, session, key);
	expect_logged_out(&first, session);
}

Test(pin_cache, B6_the_kept_pin_goes_with_the_signature)
{
	start(true, LOGOUT_AFTER_SIGN);
	key = find_private(&first, session);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	second_signs();
	sign(&first, session, key);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	expect_logged_out(&first, session);
	log_in();
	sign(&first, session, key);
}

static void expect_a_login_per_private_use(void)
{
	key = find_private(&first, session);
	cr_assert_neq(key, 0);
	expect_logged_out(&first, session);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	log_in();
	expect(&first, "CKR_OK",
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}",
		session, key);
	expect_logged_out(&first, session);
	log_in();
	sign(&first, session, key);
	expect_logged_out(&first, session);
	log_in();
	expect(&first, "CKR_OK", MAKE_PRIVATE, session, "true");
	expect_logged_out(&first, session);
	second_signs();
}

Test(pin_cache, B7_each_private_use_logs_out)
{
	start(false, LOGOUT_AFTER_PRIVATE_OP);
	expect_a_login_per_private_use();
}

Test(pin_cache, B8_the_cache_changes_nothing_about_a_login_per_private_use)
{
	start(true, LOGOUT_AFTER_PRIVATE_OP);
	expect_a_login_per_private_use();
}

Test(pin_cache, B7_what_is_public_does_not_log_out)
{
	start(false, LOGOUT_AFTER_PRIVATE_OP);
	json_t *found = client_call(&first, SEARCH, session, "CKO_PUBLIC_KEY", session);
	json_int_t public_key = json_integer_value(json_at(found, "objects/0"));
	json_decref(found);
	expect(&first, "CKR_OK", SEARCH_END, session);
	expect(&first, "CKR_OK",
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}",
		session, public_key);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
}

Test(pin_cache, B7_a_resource_request_is_one_private_use)
{
	start(false, LOGOUT_AFTER_PRIVATE_OP);
	REST_ONLY(&one, 200, .route = ROUTE_key_sign, .key = "release",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}");
	expect_logged_out(&first, session);
	REST_ONLY(&one, 401, .route = ROUTE_key_sign, .key = "release",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}");
}

Test(pin_cache, B9_a_length_query_is_no_signature_and_a_failed_one_is)
{
	start(false, LOGOUT_AFTER_SIGN);
	key = find_private(&first, session);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_OK", SIGN_LENGTH, session);
	expect(&first, "CKR_BUFFER_TOO_SMALL", SIGN_SHORT, session);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", SIGN, session);
	expect_logged_out(&first, session);
	log_in();
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
}

/* --- the internal logout --- */

Test(pin_cache, B10_a_forced_logout_leaves_the_handles_of_token_objects)
{
	start(true, LOGOUT_AFTER_SIGN);
	key = find_private(&first, session);
	sign(&first, session, key);
	expect(&first, "CKR_USER_NOT_LOGGED_IN",
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}",
		session, key);
	log_in();
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
}

Test(pin_cache, B10_a_forced_logout_destroys_private_session_objects)
{
	start(true, LOGOUT_AFTER_SIGN);
	key = find_private(&first, session);
	json_int_t object = number(&first, "key", MAKE_PRIVATE, session, "false");
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	sign(&first, session, key);
	expect_logged_out(&first, session);
	log_in();
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", "{\"GetObjectSize\":{\"session\":%lld,\"object\":%lld}}", session,
		object);
}

Test(pin_cache, B10_the_internal_logout_waits_for_private_session_objects)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t object = number(&first, "key", MAKE_PRIVATE, session, "false");
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", "{\"DestroyObject\":{\"session\":%lld,\"object\":%lld}}", session, object);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	json_int_t maker = open_session(&first);
	number(&first, "key", MAKE_PRIVATE, maker, "false");
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", maker);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(pin_cache, B10_the_internal_logout_waits_for_operations_and_searches)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", SIGN_LENGTH, session);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", SIGN, session);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	expect(&first, "CKR_OK", SEARCH, session, "CKO_PRIVATE_KEY", session);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", SEARCH_END, session);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(pin_cache, B10_an_operation_that_ends_with_its_session_keeps_nobody_logged_in)
{
	start(true, LOGOUT_AFTER_NEVER);
	open_session(&first);
	json_int_t theirs = open_session(&other_instance);
	key = find_private(&other_instance, theirs);
	expect(&other_instance, "CKR_OK", SIGN_INIT, theirs, key);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	worker_fixture_end_instance(&one, other_instance.instance, false);
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_USER);
	cr_expect_eq(state.native, LOGIN_NONE);
}

Test(pin_cache, B11_concurrent_uses_share_one_login_and_the_last_one_logs_out)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t another = open_session(&first);
	key = find_private(&first, session);
	unsigned logins = token.asked[TOKEN_FOR_PRIVATE_USE], logouts = token.asked[TOKEN_FOR_LOGOUT];
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_OK", SIGN_INIT, another, key);
	cr_expect_eq(token.asked[TOKEN_FOR_PRIVATE_USE], logins + 1);
	expect(&first, "CKR_OK", SIGN, session);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	cr_expect_eq(token.asked[TOKEN_FOR_LOGOUT], logouts);
	expect(&first, "CKR_OK", SIGN, another);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	cr_expect_eq(token.asked[TOKEN_FOR_LOGOUT], logouts + 1);
}

/* --- the kept PIN --- */

Test(pin_cache, B12_all_sessions_of_the_application_use_it_and_no_other_application)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t theirs = open_session(&other_instance);
	expect_session(&other_instance, theirs, "CKS_RW_USER_FUNCTIONS");
	sign(&other_instance, theirs, find_private(&other_instance, theirs));
	json_int_t foreign = open_session(&second);
	expect_logged_out(&second, foreign);
}

Test(pin_cache, B12_the_pin_of_the_security_officer_is_not_kept)
{
	start_with(&(struct worker_options){.login = rules(true, LOGOUT_AFTER_NEVER)});
	expect(&first, "CKR_OK", LOGIN, session, "CKU_SO", "MTIzNDU2Nzg");
	expect_state(&first, LOGIN_SO, LOGIN_SO);
	expect_session(&first, session, "CKS_RW_SO_FUNCTIONS");
}

Test(pin_cache, B13_a_failed_login_keeps_nothing)
{
	start_with(&(struct worker_options){.login = rules(true, LOGOUT_AFTER_NEVER)});
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_USER", WRONG);
	unsigned asked = token.asked[TOKEN_FOR_PRIVATE_USE];
	expect_logged_out(&first, session);
	cr_expect_eq(token.asked[TOKEN_FOR_PRIVATE_USE], asked, "there is no PIN to log in with");
}

Test(pin_cache, B13_a_login_while_logged_in_changes_nothing_and_sends_no_pin)
{
	start(true, LOGOUT_AFTER_NEVER);
	unsigned asked = token.asked[TOKEN_FOR_LOGIN];
	expect(&first, "CKR_USER_ALREADY_LOGGED_IN", LOGIN, session, "CKU_USER", WRONG);
	expect(&first, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", LOGIN, session, "CKU_SO", WRONG);
	cr_expect_eq(token.asked[TOKEN_FOR_LOGIN], asked);
	sign(&first, session, find_private(&first, session));
}

/* --- what erases it: each cause ends in CKR_USER_NOT_LOGGED_IN --- */

Test(pin_cache, B14_a_logout_from_any_session_erases_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t theirs = open_session(&other_instance);
	key = find_private(&first, session);
	expect(&other_instance, "CKR_OK", LOGOUT, theirs);
	expect_logged_out(&first, session);
	log_in();
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", "{\"GetObjectSize\":{\"session\":%lld,\"object\":%lld}}", session,
		key);
}

Test(pin_cache, B14_the_close_of_the_last_session_erases_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t another = open_session(&first);
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", another);
	expect_logged_out(&first, open_session(&first));
}

Test(pin_cache, B14_closing_all_sessions_erases_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	open_session(&first);
	expect(&first, "CKR_OK", "{\"CloseAllSessions\":{}}");
	expect_logged_out(&first, open_session(&first));
}

Test(pin_cache, B14_the_end_of_the_last_clients_lease_erases_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	worker_fixture_end_instance(&one, first.instance, false);
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_NONE);
	expect_logged_out(&first, open_session(&first));
}

Test(pin_cache, C8_an_application_that_is_held_open_keeps_it_without_a_session)
{
	start(true, LOGOUT_AFTER_NEVER);
	first.held = true;
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	other_instance.held = true;
	json_int_t theirs = open_session(&other_instance);
	expect_session(&other_instance, theirs, "CKS_RW_USER_FUNCTIONS");
	sign(&other_instance, theirs, find_private(&other_instance, theirs));
	other_instance.held = false;
	expect(&other_instance, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", theirs);
	expect_logged_out(&other_instance, open_session(&other_instance));
}

Test(pin_cache, C7_the_end_of_a_lease_and_of_the_hold_leave_nobody_logged_in)
{
	start(false, LOGOUT_AFTER_NEVER);
	worker_fixture_end_instance(&one, first.instance, true);
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_USER);
	cr_expect_eq(state.sessions, 0);
	worker_fixture_end_instance(&one, first.instance, false);
	state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_NONE);
}

Test(pin_cache, B14_a_change_of_the_pin_by_the_application_itself_erases_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	expect(&first, "CKR_OK", "{\"SetPIN\":{\"session\":%lld,\"old_pin\":\"" RIGHT "\",\"new_pin\":\"" WRONG "\"}}",
		session);
	expect_logged_out(&first, session);
	expect(&first, "CKR_OK", LOGIN, session, "CKU_USER", WRONG);
}

Test(pin_cache, B14_a_change_of_the_pin_by_another_application_erases_it_and_costs_no_try)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	json_int_t theirs = open_logged_in(&second);
	expect(&second, "CKR_OK", "{\"SetPIN\":{\"session\":%lld,\"old_pin\":\"" RIGHT "\",\"new_pin\":\"" WRONG "\"}}",
		theirs);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT, session, key);
	cr_expect_eq(token.released_rv, CKR_CANCEL, "the token is not asked");
	expect_logged_out(&first, session);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_USER", RIGHT);
	expect(&first, "CKR_OK", LOGIN, session, "CKU_USER", WRONG);
	sign(&first, session, key);
}

Test(pin_cache, B14_a_new_user_pin_set_by_the_security_officer_erases_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t theirs = open_session(&second);
	expect(&second, "CKR_OK", LOGIN, theirs, "CKU_SO", "MTIzNDU2Nzg");
	expect(&second, "CKR_OK", "{\"InitPIN\":{\"session\":%lld,\"pin\":\"" WRONG "\"}}", theirs);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", MAKE_PRIVATE, session, "false");
	expect_logged_out(&first, session);
}

Test(pin_cache, B14_its_age_erases_it)
{
	struct login_policy short_lived = rules(true, LOGOUT_AFTER_NEVER);

	short_lived.pin_cache_ttl_ms = 100;
	start_with(&(struct worker_options){.login = short_lived});
	log_in();
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_NONE);
	expect_logged_out(&first, session);
}

Test(pin_cache, B14_idleness_erases_it)
{
	struct login_policy short_lived = rules(true, LOGOUT_AFTER_NEVER);

	short_lived.pin_cache_idle_ms = 100;
	start_with(&(struct worker_options){.login = short_lived});
	log_in();
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_NONE);
	expect_logged_out(&first, session);
}

Test(pin_cache, B14_a_policy_without_the_cache_erases_it)
{
	const struct login_policy without = rules(false, LOGOUT_AFTER_NEVER);

	start(true, LOGOUT_AFTER_NEVER);
	worker_fixture_policy(&one, &without);
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_NONE);
	expect_logged_out(&first, session);
}

Test(pin_cache, B1_a_client_that_wants_no_cache_erases_it_and_holds_the_login_itself)
{
	start(true, LOGOUT_AFTER_NEVER);
	first.login = "{\"cache_pin\":0}";
	json_int_t strict = open_session(&first);
	first.login = NULL;
	expect_logged_out(&first, session);
	log_in();
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", strict);
	expect(&first, "CKR_OK", LOGOUT, session);
	log_in();
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(pin_cache, B1_a_client_can_ask_for_more_but_never_for_less)
{
	start(false, LOGOUT_AFTER_SIGN);
	first.login = "{\"cache_pin\":1,\"logout_after\":\"never\"}";
	open_session(&first);
	key = find_private(&first, session);
	sign(&first, session, key);
	expect_logged_out(&first, session);
	first.login = "{\"logout_after\":\"private-op\"}";
	log_in();
	first.login = NULL;
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	key = find_private(&first, session);
	expect_logged_out(&first, session);
}

#define DESTROY "{\"DestroyObject\":{\"session\":%lld,\"object\":%lld}}"

/* The second application destroys what it finds of that class first. */
static void destroy_theirs(json_int_t theirs, const char *class)
{
	json_t *found = client_call(&second, SEARCH, theirs, class, theirs);

	expect(&second, "CKR_OK", SEARCH_END, theirs);
	expect(&second, "CKR_OK", DESTROY, theirs, json_integer_value(json_at(found, "objects/0")));
	json_decref(found);
}

Test(pin_cache, X3_the_handle_of_a_key_that_was_destroyed_meanwhile_is_invalid)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	destroy_theirs(open_logged_in(&second), "CKO_PRIVATE_KEY");
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, key);
}

/* SoftHSM's EC private keys tell nothing of themselves in which the two would differ. */
Test(pin_cache, X3_a_key_that_was_replaced_meanwhile_is_not_taken_for_the_old_one)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	json_int_t theirs = open_logged_in(&second);
	destroy_theirs(theirs, "CKO_PRIVATE_KEY");
	destroy_theirs(theirs, "CKO_PUBLIC_KEY");
	make_key(&second, theirs, "release", "");
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, key);
	/* A search gives the new one a handle of its own. */
	json_int_t another = find_private(&first, session);
	cr_expect_neq(another, key);
	sign(&first, session, another);
}

Test(pin_cache, X3_a_new_key_that_is_found_does_not_get_the_handle_of_the_one_it_replaced)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	json_int_t theirs = open_logged_in(&second);
	destroy_theirs(theirs, "CKO_PRIVATE_KEY");
	destroy_theirs(theirs, "CKO_PUBLIC_KEY");
	make_key(&second, theirs, "release", "");
	json_int_t another = find_private(&first, session);
	cr_expect_neq(another, key);
	sign(&first, session, another);
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, key);
}

Test(pin_cache, X3_a_secret_key_that_was_replaced_meanwhile_is_not_taken_for_the_old_one)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t theirs = open_logged_in(&second);
	expect(&second, "CKR_OK", MAKE_PRIVATE, theirs, "true");
	json_t *found = client_call(&first, SEARCH, session, "CKO_SECRET_KEY", session);
	json_int_t secret = json_integer_value(json_at(found, "objects/0"));
	json_decref(found);
	expect(&first, "CKR_OK", SEARCH_END, session);
	destroy_theirs(theirs, "CKO_SECRET_KEY");
	expect(&second, "CKR_OK", MAKE_PRIVATE, theirs, "true");
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", GET_LABEL, session, secret);
}

Test(pin_cache, X3_a_key_whose_public_key_is_nowhere_keeps_its_handle)
{
	start(true, LOGOUT_AFTER_NEVER);
	destroy_theirs(open_logged_in(&second), "CKO_PUBLIC_KEY");
	key = find_private(&first, session);
	for (int i = 0; i < 3; i++)
		sign(&first, session, key);
	cr_expect_eq(find_private(&first, session), key);
}

Test(pin_cache, X3_of_two_keys_that_look_alike_neither_is_taken_for_the_old_one)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	json_int_t theirs = open_logged_in(&second);
	make_key(&second, theirs, "release", "");
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, key);
}

Test(pin_cache, X3_a_forced_logout_leaves_the_handle_and_a_logout_takes_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	sign(&first, session, key);
	expect(&first, "CKR_OK", LOGOUT, session);
	log_in();
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, key);
}

Test(pin_cache, C11_closing_all_sessions_closes_those_of_the_calling_process)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t theirs = open_session(&other_instance);
	expect(&first, "CKR_OK", "{\"CloseAllSessions\":{}}");
	expect(&first, "CKR_SESSION_HANDLE_INVALID", INFO, session);
	expect_session(&other_instance, theirs, "CKS_RW_USER_FUNCTIONS");
}

Test(pin_cache, X4_an_operation_does_not_survive_the_logout_of_its_application)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_OK", LOGOUT, session);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
}

Test(pin_cache, X4_an_operation_does_not_survive_a_forced_logout)
{
	start(false, LOGOUT_AFTER_SIGN);
	json_int_t another = open_session(&first);
	key = find_private(&first, session);
	expect(&first, "CKR_OK", SIGN_INIT, another, key);
	sign(&first, session, key);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, another);
}

/* --- the same over the resource routes --- */

#define REST_SIGN .route = ROUTE_key_sign, .key = "release", .body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}"

Test(pin_cache, B5_a_signature_of_the_resource_routes_logs_out_as_well)
{
	start(false, LOGOUT_AFTER_SIGN);
	REST_ONLY(&one, 200, .route = ROUTE_keys);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	REST_ONLY(&one, 200, REST_SIGN);
	expect_logged_out(&first, session);
	REST_ONLY(&one, 401, REST_SIGN);
}

Test(pin_cache, B5_one_login_signs_no_batch)
{
	start(false, LOGOUT_AFTER_SIGN);
	REST_AUTO struct rest rest = REST(&one, 422, .route = ROUTE_key_sign, .key = "release",
		.body = "{\"algorithm\":\"ES256\",\"items\":[{\"data\":\"YQ\"},{\"data\":\"Yg\"}]}");
	cr_expect_str_eq(text_at(rest.json, "type"), "/docs/errors/one-item-per-pin");
	cr_expect_eq(calls_of(&rest, "Sign"), 0);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
}

Test(pin_cache, B6_the_kept_pin_goes_with_a_signature_of_the_resource_routes)
{
	start(true, LOGOUT_AFTER_SIGN);
	REST_ONLY(&one, 200, REST_SIGN);
	expect_logged_out(&first, session);
	REST_ONLY(&one, 401, REST_SIGN);
}

Test(pin_cache, A24_an_operation_waits_for_its_pin_while_the_module_is_logged_out)
{
	start(true, LOGOUT_AFTER_NEVER);
	make_resource_key(&one, "EC", "guarded", ",\"always_authenticate\":true");
	REST_AUTO struct rest asked = REST(&one, 401, .route = ROUTE_key_sign, .key = "guarded",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}");
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	REST_ONLY(&one, 401, .route = ROUTE_operation_reauthenticate, .operation = text_at(asked.json, "operation/id"),
		.body = "{\"pin\":\"9999\"}");
	REST_ONLY(&one, 200, .route = ROUTE_operation_reauthenticate, .operation = text_at(asked.json, "operation/id"),
		.body = PIN_BODY);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
}

Test(pin_cache, B17_a_context_login_never_uses_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t careful = make_key(&first, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");
	expect(&first, "CKR_OK", SIGN_INIT, session, careful);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN, session);
	expect(&first, "CKR_OK", SIGN_INIT, session, careful);
	expect(&first, "CKR_OK", LOGIN, session, "CKU_CONTEXT_SPECIFIC", RIGHT);
	expect(&first, "CKR_OK", SIGN, session);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT "," SIGN, session, careful, session);
}

/* --- what the gateway orders --- */

static void expect_voided(enum login_end cause)
{
	start(true, LOGOUT_AFTER_NEVER);
	worker_fixture_void_login(&one, cause);
	struct worker_state state = worker_fixture_state(&one);
	cr_expect_eq(state.login, LOGIN_NONE);
	expect_logged_out(&first, session);
}

Test(pin_cache, B14_a_lock_seen_by_another_application_erases_it)
{
	expect_voided(LOGIN_END_LOCKED);
}

Test(pin_cache, B14_the_gateway_tells_of_a_changed_pin_at_once)
{
	expect_voided(LOGIN_END_PIN_CHANGED);
}

Test(pin_cache, B14_an_identity_that_is_removed_or_revoked_erases_it)
{
	expect_voided(LOGIN_END_REVOKED);
}

Test(pin_cache, B16_a_login_without_a_kept_pin_does_not_mind_what_happens_to_the_tokens_pin)
{
	start(false, LOGOUT_AFTER_NEVER);
	worker_fixture_void_login(&one, LOGIN_END_LOCKED);
	sign(&first, session, find_private(&first, session));
	worker_fixture_void_login(&one, LOGIN_END_REVOKED);
	cr_expect_eq(worker_fixture_state(&one).login, LOGIN_NONE);
}

/* --- many at once --- */

enum { SIGNERS = 4, ROUNDS = 40 };

static void *sign_often(void *argument)
{
	const struct client *client = argument;
	json_int_t own = open_session(client);

	for (int i = 0; i < ROUNDS; i++) {
		if (i % 4 == 3)
			sign(client, own, find_private(client, own));
		else
			sign(client, own, key);
	}
	return NULL;
}

static void many_sign(bool fresh)
{
	static struct client clients[SIGNERS];
	pthread_t threads[SIGNERS];

	start_with(
		&(struct worker_options){.login = rules(true, LOGOUT_AFTER_NEVER), .threads = SIGNERS, .fresh = fresh});
	log_in();
	key = find_private(&first, session);
	for (unsigned i = 0; i < SIGNERS; i++) {
		clients[i] = (struct client){.worker = &one, .pair = i, .instance = {(unsigned char)i}};
		cr_assert_eq(pthread_create(&threads[i], NULL, sign_often, &clients[i]), 0);
	}
	for (unsigned i = 0; i < SIGNERS; i++)
		pthread_join(threads[i], NULL);
	expect_state(&first, LOGIN_USER, LOGIN_NONE);
	sign(&first, session, key);
}

Test(pin_cache, B11_many_threads_sign_with_the_kept_pin)
{
	many_sign(false);
}

Test(pin_cache, B11_many_threads_sign_while_the_module_starts_anew_for_every_login)
{
	many_sign(true);
}
