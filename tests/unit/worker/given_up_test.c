/* Operations that are never completed, where each private use logs out (B7), on the mock. */
#include <criterion/criterion.h>

#include "tests/unit/worker/mock_application.h"

#define MAKE_SECRET \
	"{\"GenerateKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_KEY_GEN\"},\"attributes\":[{" \
	"\"CKA_VALUE_LEN\":16},{\"CKA_PRIVATE\":true},{\"CKA_DECRYPT\":true},{\"CKA_TOKEN\":true}]}}"
#define DECRYPT_INIT \
	"{\"DecryptInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_CBC_PAD\",\"parameter\":" \
	"\"AAECAwQFBgcICQoLDA0ODw\"},\"key\":%lld}}"
#define DECRYPT_PART "{\"DecryptUpdate\":{\"session\":%lld,\"encrypted\":\"AAECAwQFBgcICQoLDA0ODw\",\"part\":64}}"

static json_int_t busy, secret;

/* Logged in, with a private key and two sessions. */
static void start(void)
{
	const struct worker_options options = mock_options(false, LOGOUT_AFTER_PRIVATE_OP);

	start_on_mock(&options);
	secret = number(&first, "key", MAKE_SECRET, session);
	busy = open_session(&first);
	/* Making the key was a private use. */
	log_in();
}

TestSuite(given_up, .init = start, .timeout = 60);

static void decrypt_part(void)
{
	expect(&first, "CKR_OK", DECRYPT_INIT "," DECRYPT_PART, busy, secret, busy);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
}

Test(given_up, B7_an_operation_that_goes_with_its_session_was_a_private_use)
{
	decrypt_part();
	expect(&first, "CKR_OK", CLOSE, busy);
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
}

Test(given_up, B7_a_part_that_fails_ends_a_private_use)
{
	mock_control(&mock, "fault C_DecryptUpdate 2 return CKR_ENCRYPTED_DATA_INVALID\n");
	decrypt_part();
	expect(&first, "CKR_ENCRYPTED_DATA_INVALID", DECRYPT_PART, busy);
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
}

Test(given_up, B7_a_search_that_goes_with_its_session_was_a_private_use)
{
	json_decref(client_call(&first, SEARCH, busy, "CKO_SECRET_KEY", busy));
	expect_state(&first, LOGIN_USER, LOGIN_USER);
	expect(&first, "CKR_OK", CLOSE, busy);
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
}

Test(given_up, B7_all_sessions_of_a_client_count)
{
	(void)open_session(&guest);
	decrypt_part();
	expect(&first, "CKR_OK", "{\"CloseAllSessions\":{}}");
	expect_state(&first, LOGIN_NONE, LOGIN_NONE);
}

Test(given_up, B7_an_operation_of_an_earlier_login_takes_no_later_one_along)
{
	decrypt_part();
	expect(&first, "CKR_OK", LOGOUT "," USER_LOGIN "," CLOSE, session, session, busy);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
}

Test(given_up, B7_a_session_that_used_nothing_private_takes_no_login_along)
{
	json_decref(client_call(&first, SEARCH, busy, "CKO_CERTIFICATE", busy));
	expect(&first, "CKR_OK", CLOSE, busy);
	expect_state(&first, LOGIN_USER, LOGIN_USER);
}
