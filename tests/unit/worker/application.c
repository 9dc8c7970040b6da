#include "tests/unit/worker/application.h"

#include <criterion/criterion.h>

struct token_fixture token;
struct worker_fixture one, two;
struct client first = {.worker = &one}, second = {.worker = &two};
json_int_t session, key;

struct login_policy rules(bool cache, enum logout_after after)
{
	const uint32_t hour_ms = 3600000;

	return (struct login_policy){
		.cache_pin = cache,
		.logout_after = after,
		.pin_cache_ttl_ms = 8 * hour_ms,
		.pin_cache_idle_ms = hour_ms,
		.internal_wait_ms = 10000,
	};
}

void log_in(void)
{
	expect(&first, "CKR_OK", LOGIN, session, "CKU_USER", RIGHT);
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

void expect_logged_out(const struct client *client, json_int_t in)
{
	expect_state(client, LOGIN_NONE, LOGIN_NONE);
	expect_session(client, in, "CKS_RW_PUBLIC_SESSION");
	expect(client, "CKR_USER_NOT_LOGGED_IN", MAKE_PRIVATE, in, "false");
}
