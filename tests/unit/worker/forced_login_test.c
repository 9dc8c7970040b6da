/* Keys of non-repudiation certificates ask for their PIN at each use, by policy (B18–B21). */
#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <poll.h>

#include "tests/unit/worker/forced_login.h"

/* A key pair of the label "release" whose private key is a session object with another label. */
#define MAKE_SAME_LABEL \
	"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"}," \
	"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":false}," \
	"{\"CKA_LABEL\":\"release\"}%s],\"private_attributes\":[{\"CKA_TOKEN\":false},{\"CKA_LABEL\":\"another\"}]}}"
#define MAKE_EPHEMERAL \
	"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"}," \
	"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},{\"CKA_TOKEN\":false}]," \
	"\"private_attributes\":[{\"CKA_TOKEN\":false},{\"CKA_SIGN\":true}]}}"

static void start(void)
{
	const struct worker_options options = forced_options(false, false);

	start_forced(&options, WITH_ID);
}

static void start_allowed(void)
{
	struct worker_options options = forced_options(false, false);

	options.login.aa_oneshot = 1;
	start_forced(&options, WITH_ID);
}

TestSuite(forced_login_allowed, .init = start_allowed, .timeout = 60);
TestSuite(forced_login, .init = start, .timeout = 60);

Test(forced_login, B18_a_key_of_a_non_repudiation_certificate_asks_for_its_pin)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect_a_pin_per_signature();
}

Test(forced_login, B18_any_of_several_certificates_suffices_and_further_usages_do_not_matter)
{
	add_certificate(NULL, "digitalSignature", "aWQx");
	add_certificate(NULL, "digitalSignature,nonRepudiation", "aWQx");
	expect_a_pin_per_signature();
}

Test(forced_login, B18_a_certificate_for_other_usages_or_of_another_key_does_not_matter)
{
	add_certificate(NULL, "digitalSignature", "aWQx");
	add_certificate(NULL, "nonRepudiation", "aWQy");
	expect_no_pin_per_signature();
}

Test(forced_login, B19_a_certificate_without_key_usage_does_not_matter)
{
	add_certificate(NULL, NULL, "aWQx");
	expect_no_pin_per_signature();
}

Test(forced_login, B20_the_pin_is_tried_on_the_token_in_a_process_of_its_own)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	unsigned logins = token.asked[TOKEN_FOR_LOGIN];
	expect(&first, "CKR_PIN_INCORRECT", CONTEXT(WRONG), session);
	expect(&first, "CKR_OK", CONTEXT(RIGHT), session);
	cr_expect_eq(one.verified, 2);
	cr_expect_eq(token.asked[TOKEN_FOR_LOGIN], logins + 2);
	expect(&first, "CKR_OK", SIGN, session);
}

Test(forced_login, B21_a_certificate_counts_from_the_next_init_on)
{
	expect_no_pin_per_signature();
	json_int_t certificate = add_certificate(NULL, "nonRepudiation", "aWQx");
	expect_a_pin_per_signature();
	expect(&first, "CKR_OK", DESTROY, session, certificate);
	expect_no_pin_per_signature();
}

Test(forced_login, B18_a_key_without_an_id_has_the_certificate_of_its_public_key, .init = NULL)
{
	const struct worker_options options = forced_options(false, false);

	start_forced(&options, "");
	EVP_PKEY *public_key = public_key_of(&one, "release");
	cr_assert(public_key);
	add_certificate(NULL, "nonRepudiation", "");
	expect_no_pin_per_signature();
	add_certificate(public_key, "nonRepudiation", "");
	expect_a_pin_per_signature();
	EVP_PKEY_free(public_key);
}

/* Destroys the public key, or keys, with the label "release"; the pair's private key stays. */
static void destroy_public_keys(void)
{
	json_t *found = client_call(&first,
		"{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_PUBLIC_KEY\"}]}},{"
		"\"FindObjects\":{\"session\":%lld,\"objects\":10}}",
		session, session);
	size_t i;
	json_t *handle;

	expect(&first, "CKR_OK", SEARCH_END, session);
	json_array_foreach(json_object_get(found, "objects"), i, handle)
		expect(&first, "CKR_OK", DESTROY, session, json_integer_value(handle));
	json_decref(found);
}

/* A key without CKA_ID, and nothing on the token that tells its public part. */
static void start_untold(void)
{
	const struct worker_options options = forced_options(false, false);

	start_forced(&options, "");
	destroy_public_keys();
}

Test(forced_login, B18_a_key_that_cannot_be_told_from_the_certificates_key_asks_for_its_pin, .init = start_untold)
{
	add_certificate(NULL, "digitalSignature", "aWQy");
	expect_no_pin_per_signature();
	add_certificate(NULL, "nonRepudiation", "aWQy");
	expect_a_pin_per_signature();
}

Test(forced_login, B18_a_certificate_of_another_type_or_curve_is_not_of_a_key_that_tells_nothing, .init = start_untold)
{
	EVP_PKEY *others[] = {EVP_EC_gen("P-384"), EVP_RSA_gen(2048), EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};

	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		add_certificate(others[i], "nonRepudiation", "");
		EVP_PKEY_free(others[i]);
	}
	expect_no_pin_per_signature();
}

Test(forced_login, B18_a_public_key_of_the_same_label_proves_nothing_if_it_has_an_id_or_is_not_the_only_one,
	.init = NULL)
{
	const struct worker_options options = forced_options(false, false);

	start_forced(&options, "");
	add_certificate(NULL, "nonRepudiation", "");
	expect_no_pin_per_signature();
	json_int_t same_label = number(&first, "public_key", MAKE_SAME_LABEL, session, "");
	expect_a_pin_per_signature();
	expect(&first, "CKR_OK", DESTROY, session, same_label);
	expect_no_pin_per_signature();
	destroy_public_keys();
	number(&first, "public_key", MAKE_SAME_LABEL, session, ",{\"CKA_ID\":\"aWQy\"}");
	expect_a_pin_per_signature();
}

Test(forced_login, B18_a_session_key_without_an_id_is_not_taken_for_the_certificates_key, .init = NULL)
{
	const struct worker_options options = forced_options(false, false);

	start_forced(&options, WITH_ID);
	add_certificate(NULL, "nonRepudiation", "");
	for (int i = 0; i < 2; i++)
		key = number(&first, "private_key", MAKE_EPHEMERAL, session);
	expect_no_pin_per_signature();
}

Test(forced_login, B18_without_the_rule_nothing_is_asked, .init = NULL)
{
	const struct worker_options options = {0};

	start_forced(&options, WITH_ID);
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect_no_pin_per_signature();
}

Test(forced_login, B1_a_client_can_ask_for_it, .init = NULL)
{
	first.login = "{\"force_login\":64}";
	start_forced(&(struct worker_options){0}, WITH_ID);
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect_a_pin_per_signature();
}

Test(forced_login, B18_searches_see_the_effective_value)
{
	expect_searches_by_the_effective_value();
}

/* Without a peer's point, which the module looks at. */
#define DERIVE \
	"{\"DeriveKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_ECDH1_DERIVE\",\"parameter\":{\"kdf\":" \
	"\"CKD_NULL\",\"pSharedData\":null,\"pPublicData\":\"BA\"}},\"base_key\":%lld,\"attributes\":[]}}"

Test(forced_login, B18_derivation_has_no_place_for_a_pin)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect(&first, "CKR_USER_NOT_LOGGED_IN", DERIVE, session, key);
}

Test(forced_login_allowed, A18_where_the_rules_allow_it_the_policy_does_not_ask_for_derivation)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	/* The module's own objection: it was not made for derivation. */
	expect(&first, "CKR_KEY_FUNCTION_NOT_PERMITTED", DERIVE, session, key);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN, session);
}

Test(forced_login, B18_the_resource_routes_ask_as_well_and_say_why)
{
	expect_a_pin_per_signature_over_rest();
	cr_expect_eq(one.verified, 4);
}

Test(forced_login, X10_a_session_that_the_module_lost_while_the_pin_was_verified_is_not_used_again)
{
	struct client signer = {.worker = &one, .key = "id:696431"}, other = {.worker = &one, .pair = 1};
	struct pollfd asked = {.fd = one.pairs[0], .events = POLLIN};

	add_certificate(NULL, "nonRepudiation", "aWQx");
	client_send(&signer, ROUTE_key_sign, "", text_of(REST_SIGN, ",\"pin\":\"" FIXTURE_PIN "\""));
	/* Its question for the PIN. */
	cr_assert_eq(poll(&asked, 1, -1), 1);
	expect(&other, "CKR_OK", LOGOUT, session);
	token.generation++;
	expect(&other, "CKR_OK", LOGIN, session, "CKU_USER", RIGHT);
	struct answer answer = client_await(&signer);
	cr_expect_eq(answer.status, 401);
	answer_free(&answer);
	REST_ONLY(&one, 200, .route = ROUTE_keys);
}

Test(forced_login, A25_a_pin_that_was_tried_elsewhere_tells_how_many_attempts_are_left)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	token.tries = 3;
	REST_AUTO struct rest rest = REST(&one, 401, .route = ROUTE_key_sign, .key = "id:696431",
		.body = text_of(REST_SIGN, ",\"pin\":\"9999\""));
	cr_expect_eq(json_integer_value(json_at(rest.json, "attempts_left")), 2);
}

Test(forced_login, A28_one_pin_that_logs_in_and_signs_is_one_login_in_the_audit)
{
	const struct worker_options options = forced_options(false, false);

	add_certificate(NULL, "nonRepudiation", "aWQx");
	worker_fixture_start(&token, &options, &two);
	REST_AUTO struct rest rest = REST(&two, 200, .route = ROUTE_key_sign, .key = "id:696431",
		.body = text_of(REST_SIGN, ",\"pin\":\"" FIXTURE_PIN "\""), .anonymous = true);
	cr_expect(json_is_true(json_at(rest.json, "reauthenticated")));
	cr_expect_eq(calls_of(&rest, "Login"), 1);
	cr_expect_eq(events_with(&rest, "function", "C_Login"), 1);
	cr_expect_eq(events_with(&rest, "user", "CKU_CONTEXT_SPECIFIC"), 0);
	cr_expect_eq(two.verified, 0);
}

Test(forced_login, B21_another_applications_certificate_counts_for_the_resource_routes_at_once)
{
	const struct worker_options options = forced_options(false, false);

	REST_ONLY(&one, 200, .route = ROUTE_key_sign, .key = "id:696431", .body = text_of(REST_SIGN, ""));
	worker_fixture_start(&token, &options, &two);
	json_int_t on = open_logged_in(&second);
	REST_ONLY(&one, 200, .route = ROUTE_key_sign, .key = "id:696431", .body = text_of(REST_SIGN, ""));
	add_certificate_as(&second, on, NULL, "nonRepudiation", "aWQx");
	REST_ONLY(&one, 401, .route = ROUTE_key_sign, .key = "id:696431", .body = text_of(REST_SIGN, ""));
}

Test(forced_login, A27_a_held_operation_whose_key_does_not_ask_any_more_takes_no_pin)
{
	json_int_t certificate = add_certificate(NULL, "nonRepudiation", "aWQx");
	REST_AUTO struct rest asked = REST(
		&one, 401, .route = ROUTE_key_sign, .key = "id:696431", .body = text_of(REST_SIGN, ""));
	const char *id = text_at(asked.json, "operation/id");
	expect(&first, "CKR_OK", DESTROY, session, certificate);
	REST_AUTO struct rest refused = REST(
		&one, 409, .route = ROUTE_operation_reauthenticate, .operation = id, .body = "{\"pin\":\"9999\"}");
	cr_expect_str_eq(text_at(refused.json, "ckr"), "CKR_OPERATION_NOT_INITIALIZED");
	cr_expect_eq(calls_of(&refused, "Sign") + calls_of(&refused, "Login"), 0);
	/* The operation is as it was. */
	add_certificate(NULL, "nonRepudiation", "aWQx");
	REST_ONLY(&one, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
}
