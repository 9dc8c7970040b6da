/* Operations that are never completed, where each private use logs out (B7), on the mock. */
#include <criterion/criterion.h>

#include "tests/unit/worker/fixture.h"

#define CLOSE "{\"CloseSession\":{\"session\":%lld}}"
#define MAKE_SECRET \
	"{\"GenerateKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_KEY_GEN\"},\"attributes\":[{" \
	"\"CKA_VALUE_LEN\":16},{\"CKA_PRIVATE\":true},{\"CKA_DECRYPT\":true},{\"CKA_TOKEN\":true}]}}"
#define DECRYPT_INIT \
	"{\"DecryptInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_CBC_PAD\",\"parameter\":" \
	"\"AAECAwQFBgcICQoLDA0ODw\"},\"key\":%lld}}"
#define DECRYPT_PART "{\"DecryptUpdate\":{\"session\":%lld,\"encrypted\":\"AAECAwQFBgcICQoLDA0ODw\",\"part\":64}}"
#define SEARCH \
	"{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"%s\"}]}},{\"FindObjects\":{" \
	"\"session\":%lld,\"objects\":10}}"

enum { HOUR_MS = 3600000 };

static struct token_fixture token = {.generation = 1, .last_tries = true};
static struct mock mock;
static struct worker_fixture one;
static struct client first = {.worker = &one};
static json_int_t session, busy, secret;

/* Logged in, with a private key and two sessions. */
static void start(void)
{
	const struct worker_options options = {.mock = &mock,
		.login = {.logout_after = LOGOUT_AFTER_PRIVATE_OP,
			.pin_cache_ttl_ms = 8 * HOUR_MS,
			.pin_cache_idle_ms = HOUR_MS,
			.internal_wait_ms = 1000}};

	mock_new(&mock);
	worker_fixture_start(&token, &options, &one);
	cr_assert_eq(one.started_rv, 0, "%s", one.started_detail);
	session = open_logged_in(&first);
	secret = number(&first, "key", MAKE_SECRET, session);
	busy = open_session(&first);
	/* Making the key was a private use. */
	expect(&first, "CKR_OK", USER_LOGIN, session);
}

TestSuite(given_up, .init = start, .timeout = 60);

static void expect_login(unsigned login)
{
	struct answer answer = client_post(&first, "{\"groups\":[]}");

	cr_expect_eq(answer.login, login, "the application is logged in as %u", answer.login);
	cr_expect_eq(answer.native, login, "the module is logged in as %u", answer.native);
	answer_free(&answer);
}

static void decrypt_part(void)
{
	expect(&first, "CKR_OK", DECRYPT_INIT "," DECRYPT_PART, busy, secret, busy);
	expect_login(LOGIN_USER);
}

Test(given_up, B7_an_operation_that_goes_with_its_session_was_a_private_use)
{
	decrypt_part();
	expect(&first, "CKR_OK", CLOSE, busy);
	expect_login(LOGIN_NONE);
}

Test(given_up, B7_a_part_that_fails_ends_a_private_use)
{
	mock_control(&mock, "fault C_DecryptUpdate 2 return CKR_ENCRYPTED_DATA_INVALID\n");
	decrypt_part();
	expect(&first, "CKR_ENCRYPTED_DATA_INVALID", DECRYPT_PART, busy);
	expect_login(LOGIN_NONE);
}

Test(given_up, B7_a_search_that_goes_with_its_session_was_a_private_use)
{
	json_decref(client_call(&first, SEARCH, busy, "CKO_SECRET_KEY", busy));
	expect_login(LOGIN_USER);
	expect(&first, "CKR_OK", CLOSE, busy);
	expect_login(LOGIN_NONE);
}

Test(given_up, B7_all_sessions_of_a_client_count)
{
	const struct client guest = {.worker = &one, .pair = 1, .instance = {9}};

	(void)open_session(&guest);
	decrypt_part();
	expect(&first, "CKR_OK", "{\"CloseAllSessions\":{}}");
	expect_login(LOGIN_NONE);
}

Test(given_up, B7_an_operation_of_an_earlier_login_takes_no_later_one_along)
{
	decrypt_part();
	expect(&first, "CKR_OK", LOGOUT "," USER_LOGIN "," CLOSE, session, session, busy);
	expect_login(LOGIN_USER);
}

Test(given_up, B7_a_session_that_used_nothing_private_takes_no_login_along)
{
	json_decref(client_call(&first, SEARCH, busy, "CKO_CERTIFICATE", busy));
	expect(&first, "CKR_OK", CLOSE, busy);
	expect_login(LOGIN_USER);
}
