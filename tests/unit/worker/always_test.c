/*
 * Keys that ask for their PIN at each use (A1 to A15). Every table is driven on SoftHSM itself, on a worker in front of it, and on
 * workers in front of modules that see these things otherwise: the codes are the same everywhere (A23).
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/lib/sequence.h"
#include "tests/unit/worker/remote.h"
#include "tests/unit/worker/resource_fixture.h"

/* What other modules make of it; each must not show. */
static const struct mode {
	const char *control;
	bool ignorant; /* it does not verify a PIN for an operation, so that another process has to ask the token */
} modes[] = {
	{"# as the standard has it\n", false},
	{"context_idle CKR_USER_TYPE_INVALID\n", false},
	{"context_idle CKR_USER_NOT_LOGGED_IN\n", false},
	{"context_verifies 1\n", false},
	{"refusal_keeps 1\n", false},
	{"logout_keeps 1\n", false},
	{"always_authenticate_stored 1\ncontext_verifies 1\n", false},
	{"always_authenticate_stored 1\ncontext_idle CKR_USER_ALREADY_LOGGED_IN\n", true},
	{"always_authenticate_stored 1\ncontext_idle CKR_USER_TYPE_INVALID\n", true},
};

static struct token_fixture token;
static struct mock mock;
static struct worker_fixture worker, hostile;

static void start(void)
{
	token_fixture_new(&token);
	mock_new(&mock);
}

TestSuite(always, .init = start, .timeout = 120);

static void run_on(const CK_FUNCTION_LIST *f, CK_SLOT_ID slot, const char *who, enum use use, const struct step *steps)
{
	const struct sequence_token place = {f, slot, who, FIXTURE_PIN, 1024, CK_FALSE};

	cr_expect_eq(sequence_run(&place, use, steps), 0, "%s: standard error says what differs", who);
}

static void on_worker(enum use use, const struct step *steps)
{
	const struct client client = {.worker = &worker};

	worker_fixture_start(&token, NULL, &worker);
	run_on(remote_functions(&client), 0, "worker on SoftHSM", use, steps);
}

static void on_softhsm(enum use use, const struct step *steps)
{
	CK_SLOT_ID slot;
	const CK_FUNCTION_LIST *f = softhsm_functions(&slot);

	run_on(f, slot, "SoftHSM", use, steps);
	f->C_Finalize(NULL);
}

/* How often the token was given a PIN, the logins of the user aside. */
static unsigned pins_given(const struct mode *mode)
{
	if (!mode->ignorant)
		return mock_logins(&mock, CKU_CONTEXT_SPECIFIC);
	return mock_logins_answered(&mock, CKU_USER, CKR_OK) + mock_logins_answered(&mock, CKU_USER, CKR_PIN_INCORRECT);
}

static void on_mock(enum use use, const struct step *steps)
{
	const struct client client = {.worker = &hostile};

	worker_fixture_start(&token, &(struct worker_options){.mock = &mock}, &hostile);
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		unsigned needed = sequence_pins(steps) + (modes[i].ignorant ? sequence_logins(steps) : 0);
		mock_control(&mock, "%s", modes[i].control);
		unsigned before = pins_given(&modes[i]);
		run_on(remote_functions(&client), 0, modes[i].control, use, steps);
		unsigned given = pins_given(&modes[i]) - before;
		cr_expect_eq(given, needed, "%s: %u PINs instead of %u", modes[i].control, given, needed);
	}
}

static void everywhere(enum use use, const struct step *steps)
{
	on_softhsm(use, steps);
	on_worker(use, steps);
	on_mock(use, steps);
}

Test(always, A1_a_context_login_without_operation_has_nothing_to_be_for)
{
	everywhere(USE_SIGN_EC, sequence_a1);
}

Test(always, A2_nor_has_one_with_nobody_logged_in)
{
	everywhere(USE_SIGN_EC, sequence_a2);
}

Test(always, A3_the_key_works_after_its_own_login)
{
	everywhere(USE_SIGN_EC, sequence_a3);
}

Test(always, A4_a_use_or_a_question_for_the_length_without_the_login_ends_the_operation)
{
	everywhere(USE_SIGN_EC, sequence_a4);
}

Test(always, A5_the_operation_survives_a_wrong_pin)
{
	everywhere(USE_SIGN_EC, sequence_a5);
}

Test(always, A6_a_wrong_pin_allows_nothing_and_leaves_the_session_as_it_was)
{
	everywhere(USE_SIGN_EC, sequence_a6);
}

Test(always, A7_one_pin_covers_the_length_a_buffer_too_small_and_the_result)
{
	everywhere(USE_SIGN_EC, sequence_a7);
}

Test(always, A8_a_second_login_is_not_asked_for_and_takes_nothing_away)
{
	everywhere(USE_SIGN_EC, sequence_a8);
}

Test(always, A9_the_next_operation_needs_a_login_of_its_own)
{
	everywhere(USE_SIGN_EC, sequence_a9);
}

Test(always, A10_in_parts_the_first_part_needs_the_login)
{
	everywhere(USE_SIGN_RSA, sequence_a10);
}

static const struct step *const a11[] = {
	sequence_a3, sequence_a4, sequence_a5, sequence_a6, sequence_a7, sequence_a8, sequence_a9};

Test(always, A11_decryption_has_the_same_codes)
{
	for (size_t i = 0; i < sizeof a11 / sizeof a11[0]; i++)
		everywhere(USE_DECRYPT_RSA, a11[i]);
}

Test(always, A12_a_key_that_asks_for_no_pin_gets_none)
{
	everywhere(USE_SIGN_EC, sequence_a12);
}

Test(always, A13_the_login_of_another_session_does_not_count)
{
	everywhere(USE_SIGN_EC, sequence_a13);
}

Test(always, A14_questions_between_init_and_login_leave_the_operation_alone)
{
	everywhere(USE_SIGN_EC, sequence_a14);
}

Test(always, A15_a_second_init_is_refused_and_the_first_operation_still_works)
{
	everywhere(USE_SIGN_EC, sequence_a15);
}

/* SoftHSM itself still signs then, and so does the mock in one of its modes. */
Test(always, X4_a_logout_ends_operations_that_the_module_would_complete)
{
	for (enum use use = USE_SIGN_EC; use < USE_COUNT; use++) {
		on_worker(use, sequence_x4);
		on_mock(use, sequence_x4);
		on_worker(use, sequence_x4_authenticated);
		on_mock(use, sequence_x4_authenticated);
	}
}

/* Over REST, on the modules of another mind: refused without the PIN, done with it, each PIN given once. */
Test(always, A23_modules_that_know_no_context_logins_are_normalised_over_rest_too)
{
	struct rest answer;

	worker_fixture_start(&token, &(struct worker_options){.mock = &mock, .operations_max = 64}, &hostile);
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		mock_control(&mock, "%s", modes[i].control);
		if (i == 0) {
			REST_ONLY(&hostile, 200, .route = ROUTE_login, .body = PIN_BODY);
			make_resource_key(&hostile, "EC", "careful", ",\"always_authenticate\":true");
		}
		unsigned before = pins_given(&modes[i]);
		REST_ONLY(&hostile, 401, .route = ROUTE_key_sign, .key = "careful",
			.body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}");
		REST_ONLY(&hostile, 401, .route = ROUTE_key_sign, .key = "careful",
			.body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\",\"pin\":\"wrong pin\"}");
		answer = REST(&hostile, 200, .route = ROUTE_key_sign, .key = "careful",
			.body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\",\"pin\":\"1234\"}");
		cr_expect_eq(strlen(text_at(answer.json, "signature")), 86, "%s", modes[i].control);
		rest_free(&answer);
		cr_expect_eq(pins_given(&modes[i]) - before, 2, "%s", modes[i].control);
	}
}

#define RSA_INIT(call) \
	"{\"" call "Init\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_RSA_PKCS\"},\"key\":%lld}}"

/* An RSA key pair of the mock's that asks for its PIN or not; the private key. */
static json_int_t make_rsa_key(const struct client *client, json_int_t session, const char *asks)
{
	return number(client, "private_key",
		"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_RSA_PKCS_KEY_PAIR_GEN\"},"
		"\"public_attributes\":[{\"CKA_MODULUS_BITS\":2048}],\"private_attributes\":[{\"CKA_PRIVATE\":true},"
		"{\"CKA_SIGN\":true},{\"CKA_DECRYPT\":true},{\"CKA_ALWAYS_AUTHENTICATE\":%s}]}}",
		session, asks);
}

/* The mock lets a session sign and decrypt at once, and each mode leaves the asking to the gateway or not. */
Test(always, A9_one_pin_is_for_one_of_a_sessions_operations)
{
	const struct client client = {.worker = &hostile};

	worker_fixture_start(&token, &(struct worker_options){.mock = &mock}, &hostile);
	json_int_t session = open_logged_in(&client);
	json_int_t key = make_rsa_key(&client, session, "true"), plain = make_rsa_key(&client, session, "false");
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		mock_control(&mock, "%s", modes[i].control);
		expect(&client, "CKR_OK", RSA_INIT("Sign"), session, key);
		expect(&client, "CKR_OPERATION_ACTIVE", RSA_INIT("Decrypt"), session, key);
		expect(&client, "CKR_OK", CONTEXT_LOGIN, session);
		expect(&client, "CKR_OPERATION_NOT_INITIALIZED",
			"{\"Decrypt\":{\"session\":%lld,\"encrypted\":\"AAAA\",\"data\":256}}", session);
		/* What has its PIN awaits none. */
		expect(&client, "CKR_OK", RSA_INIT("Decrypt"), session, key);
		expect(&client, "CKR_OK", "{\"Sign\":{\"session\":%lld,\"data\":\"AAAA\",\"signature\":256}}", session);
		expect(&client, "CKR_USER_NOT_LOGGED_IN",
			"{\"Decrypt\":{\"session\":%lld,\"encrypted\":\"AAAA\",\"data\":256}}", session);
		/* A key that asks for nothing may be used beside one that does. */
		expect(&client, "CKR_OK", RSA_INIT("Sign"), session, key);
		expect(&client, "CKR_OK", RSA_INIT("Decrypt"), session, plain);
		expect(&client, "CKR_USER_NOT_LOGGED_IN",
			"{\"Sign\":{\"session\":%lld,\"data\":\"AAAA\",\"signature\":256}}", session);
	}
}

/* A derivation with a second key, on a worker with these rules: with one that asks for its PIN, and with one that does not. */
static void derive_with_two_keys(const struct login_policy *rules, const char *careful)
{
	const struct client client = {.worker = &worker};
	static const char derive[] = "{\"DeriveKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_ECMQV_"
				     "DERIVE\",\"parameter\":{\"kdf\":"
				     "\"CKD_NULL\",\"pSharedData\":null,\"pPublicData\":\"BA\",\"ulPrivateDataLen\":32,"
				     "\"hPrivateData\":%lld,"
				     "\"pPublicData2\":\"BA\",\"publicKey\":0}},\"base_key\":%lld,\"attributes\":[]}}";

	worker_fixture_start(&token, &(struct worker_options){.login = *rules}, &worker);
	json_int_t session = open_logged_in(&client);
	json_int_t plain = make_key(&client, session, "plain", "");
	json_int_t key = make_key(&client, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");
	expect(&client, careful, derive, session, key, plain);
	/* SoftHSM does not know the mechanism. */
	expect(&client, "CKR_MECHANISM_INVALID", derive, session, plain, plain);
}

Test(always, A18_a_key_in_a_mechanisms_parameter_has_no_place_for_its_pin_either)
{
	derive_with_two_keys(&(struct login_policy){0}, "CKR_USER_NOT_LOGGED_IN");
}

Test(always, A18_nor_needs_it_one_where_the_rules_allow_it)
{
	derive_with_two_keys(&(struct login_policy){.aa_oneshot = 1}, "CKR_MECHANISM_INVALID");
}
