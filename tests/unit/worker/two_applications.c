#include "tests/unit/worker/two_applications.h"

#include <criterion/criterion.h>

struct token_fixture token;
struct worker_fixture one, two;
struct client first = {.worker = &one}, second = {.worker = &two}, other_instance = {.worker = &one, .instance = {9}};
json_int_t session, key;

struct login_policy rules(bool cache, enum logout_after after)
{
	return (struct login_policy){
		.cache_pin = cache,
		.logout_after = after,
		.pin_cache_ttl_ms = 8 * HOUR_MS,
		.pin_cache_idle_ms = HOUR_MS,
		.internal_wait_ms = 10000,
	};
}

void start_with(const struct worker_options *options)
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

void log_in(void)
{
	expect(&first, "CKR_OK", LOGIN, session, "CKU_USER", RIGHT);
}

void start(bool cache, enum logout_after after)
{
	start_with(&(struct worker_options){.login = rules(cache, after)});
	log_in();
}

struct answer state_of(const struct client *client)
{
	struct answer answer = client_post(client, "{\"groups\":[]}");

	cr_assert_eq(answer.status, 200);
	return answer;
}

void expect_state(const struct client *client, unsigned login, unsigned native)
{
	struct answer answer = state_of(client);

	cr_expect_eq(answer.login, login, "the application is logged in as %u", answer.login);
	cr_expect_eq(answer.native, native, "the module is logged in as %u", answer.native);
	answer_free(&answer);
}

void expect_session(const struct client *client, json_int_t handle, const char *state)
{
	json_t *info = client_call(client, INFO, handle);

	cr_expect_str_eq(text_at(info, "info/state"), state);
	json_decref(info);
}

json_int_t find_private(const struct client *client, json_int_t in)
{
	json_t *found = client_call(client, SEARCH, in, "CKO_PRIVATE_KEY", in);
	json_int_t handle = json_integer_value(json_at(found, "objects/0"));

	json_decref(found);
	expect(client, "CKR_OK", SEARCH_END, in);
	return handle;
}

void sign(const struct client *client, json_int_t in, json_int_t with)
{
	expect(client, "CKR_OK", SIGN_INIT "," SIGN, in, with, in);
}

void second_signs(void)
{
	json_int_t theirs = open_logged_in(&second);

	sign(&second, theirs, find_private(&second, theirs));
	expect(&second, "CKR_OK", LOGOUT, theirs);
	expect(&second, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", theirs);
}

void expect_logged_out(const struct client *client, json_int_t in)
{
	expect_state(client, LOGIN_NONE, LOGIN_NONE);
	expect_session(client, in, "CKS_RW_PUBLIC_SESSION");
	expect(client, "CKR_USER_NOT_LOGGED_IN", MAKE_PRIVATE, in, "false");
}
