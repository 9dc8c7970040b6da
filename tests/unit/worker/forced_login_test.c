/* Keys of non-repudiation certificates ask for their PIN at each use, by policy (B18–B21). */
#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <sched.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

#define CONTEXT(pin) "{\"Login\":{\"session\":%lld,\"user_type\":\"CKU_CONTEXT_SPECIFIC\",\"pin\":\"" pin "\"}}"
#define WITH_ID ",{\"CKA_ID\":\"aWQx\"}"
/* A key pair of the label "release" whose private key is a session object with another label. */
#define MAKE_SAME_LABEL \
	"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"}," \
	"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":false}," \
	"{\"CKA_LABEL\":\"release\"}%s],\"private_attributes\":[{\"CKA_TOKEN\":false},{\"CKA_LABEL\":\"another\"}]}}"
#define MAKE_EPHEMERAL \
	"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"}," \
	"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},{\"CKA_TOKEN\":false}]," \
	"\"private_attributes\":[{\"CKA_TOKEN\":false},{\"CKA_SIGN\":true}]}}"
#define REST_SIGN "{\"algorithm\":\"ES256\",\"data\":\"YQ\"%s}"

enum { HOUR_MS = 3600000 };

static struct token_fixture token;
static struct worker_fixture one, two;
static struct client first = {.worker = &one}, second = {.worker = &two};
static json_int_t session, key;

static struct worker_options options_of(bool cache, bool fresh)
{
	return (struct worker_options){
		.fresh = fresh,
		.login = {.cache_pin = cache,
			.force_login = FORCE_LOGIN_NON_REPUDIATION,
			.pin_cache_ttl_ms = 8 * HOUR_MS,
			.pin_cache_idle_ms = HOUR_MS,
			.internal_wait_ms = 200},
	};
}

static void start_with(const struct worker_options *options, const char *id)
{
	token_fixture_new(&token);
	worker_fixture_start(&token, options, &one);
	cr_assert_eq(one.started_rv, 0, "%s", one.started_detail);
	session = open_logged_in(&first);
	key = make_key(&first, session, "release", id);
}

static void start(void)
{
	const struct worker_options options = options_of(false, false);

	start_with(&options, WITH_ID);
}

static void start_cached(void)
{
	const struct worker_options options = options_of(true, false);

	start_with(&options, WITH_ID);
}

static void start_allowed(void)
{
	struct worker_options options = options_of(false, false);

	options.login.aa_oneshot = 1;
	start_with(&options, WITH_ID);
}

TestSuite(forced_login_allowed, .init = start_allowed, .timeout = 60);
TestSuite(forced_login, .init = start, .timeout = 60);
TestSuite(forced_login_cached, .init = start_cached, .timeout = 60);

/* Puts a certificate of `subject` (NULL: of a key of its own) into the token; `usage` as in openssl.cnf, or NULL. */
static json_int_t add_certificate_as(
	const struct client *client, json_int_t on, EVP_PKEY *subject, const char *usage, const char *id)
{
	EVP_PKEY *issuer = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	unsigned char *der = NULL;

	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_NAME_add_entry_by_txt(
		X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)"x", -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	X509_set_pubkey(certificate, subject ? subject : issuer);
	X509_set_version(certificate, 2);
	if (usage) {
		X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_key_usage, usage);
		X509_add_ext(certificate, extension, -1);
		X509_EXTENSION_free(extension);
	}
	cr_assert(X509_sign(certificate, issuer, EVP_sha256()) > 0);
	int len = i2d_X509(certificate, &der);
	json_int_t handle = number(client, "object",
		"{\"CreateObject\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_CERTIFICATE\"},{\"CKA_"
		"CERTIFICATE_TYPE\":\"CKC_X_509\"},{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":false},{\"CKA_SUBJECT\":"
		"\"MAA\"},{"
		"\"CKA_ID\":\"%s\"},{\"CKA_VALUE\":\"%s\"}]}}",
		on, id, b64(der, (size_t)len));
	OPENSSL_free(der);
	X509_free(certificate);
	EVP_PKEY_free(issuer);
	return handle;
}

static json_int_t add_certificate(EVP_PKEY *subject, const char *usage, const char *id)
{
	return add_certificate_as(&first, session, subject, usage, id);
}

static bool asks_for_pin(json_int_t of)
{
	json_t *answer = client_call(&first,
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_ALWAYS_AUTHENTICATE\":"
		"1}]}}",
		session, of);
	cr_assert_str_eq(text_at(answer, "rv"), "CKR_OK");
	bool asks = json_is_true(json_at(answer, "attributes/0"));
	json_decref(answer);
	return asks;
}

static void expect_a_pin_per_signature(void)
{
	cr_expect(asks_for_pin(key));
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT "," SIGN, session, key, session);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_OPERATION_ACTIVE", SIGN_INIT, session, key);
	expect(&first, "CKR_PIN_INCORRECT", CONTEXT(WRONG), session);
	expect(&first, "CKR_OK", CONTEXT(RIGHT), session);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", CONTEXT(WRONG), session);
	expect(&first, "CKR_OK", SIGN, session);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN_INIT "," SIGN, session, key, session);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_PIN_INCORRECT", CONTEXT(WRONG), session);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN, session);
	/* The application itself is as it was. */
	json_t *info = client_call(&first, "{\"GetSessionInfo\":{\"session\":%lld}}", session);
	cr_expect_str_eq(text_at(info, "info/state"), "CKS_RW_USER_FUNCTIONS");
	json_decref(info);
}

static void expect_no_pin_per_signature(void)
{
	cr_expect_not(asks_for_pin(key));
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", CONTEXT(RIGHT), session);
	expect(&first, "CKR_OK", SIGN, session);
}

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
	expect(&first, "CKR_OK", "{\"DestroyObject\":{\"session\":%lld,\"object\":%lld}}", session, certificate);
	expect_no_pin_per_signature();
}

Test(forced_login, B18_a_key_without_an_id_has_the_certificate_of_its_public_key, .init = NULL)
{
	const struct worker_options options = options_of(false, false);

	start_with(&options, "");
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

	expect(&first, "CKR_OK", "{\"FindObjectsFinal\":{\"session\":%lld}}", session);
	json_array_foreach(json_object_get(found, "objects"), i, handle) expect(&first, "CKR_OK",
		"{\"DestroyObject\":{\"session\":%lld,\"object\":%lld}}", session, json_integer_value(handle));
	json_decref(found);
}

/* A key without CKA_ID, and nothing on the token that tells its public part. */
static void start_untold(void)
{
	const struct worker_options options = options_of(false, false);

	start_with(&options, "");
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
	const struct worker_options options = options_of(false, false);

	start_with(&options, "");
	add_certificate(NULL, "nonRepudiation", "");
	expect_no_pin_per_signature();
	json_int_t same_label = number(&first, "public_key", MAKE_SAME_LABEL, session, "");
	expect_a_pin_per_signature();
	expect(&first, "CKR_OK", "{\"DestroyObject\":{\"session\":%lld,\"object\":%lld}}", session, same_label);
	expect_no_pin_per_signature();
	destroy_public_keys();
	number(&first, "public_key", MAKE_SAME_LABEL, session, ",{\"CKA_ID\":\"aWQy\"}");
	expect_a_pin_per_signature();
}

Test(forced_login, B18_a_session_key_without_an_id_is_not_taken_for_the_certificates_key, .init = NULL)
{
	const struct worker_options options = options_of(false, false);

	start_with(&options, WITH_ID);
	add_certificate(NULL, "nonRepudiation", "");
	for (int i = 0; i < 2; i++)
		key = number(&first, "private_key", MAKE_EPHEMERAL, session);
	expect_no_pin_per_signature();
}

Test(forced_login, B18_without_the_rule_nothing_is_asked, .init = NULL)
{
	const struct worker_options options = {0};

	start_with(&options, WITH_ID);
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect_no_pin_per_signature();
}

Test(forced_login, B1_a_client_can_ask_for_it, .init = NULL)
{
	first.login = "{\"force_login\":64}";
	start_with(&(struct worker_options){0}, WITH_ID);
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect_a_pin_per_signature();
}

static void expect_found(const char *template, json_int_t expected)
{
	expect(&first, "CKR_OK", "{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[%s]}}", session, template);
	expect(&first, "CKR_OPERATION_ACTIVE", "{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[]}}", session);
	json_t *found = client_call(&first, "{\"FindObjects\":{\"session\":%lld,\"objects\":10}}", session);
	json_t *handles = json_object_get(found, "objects");
	cr_expect_eq(json_array_size(handles), expected != 0, "%s", template);
	cr_expect_eq(json_integer_value(json_array_get(handles, 0)), expected);
	json_decref(found);
	expect(&first, "CKR_OK", "{\"FindObjectsFinal\":{\"session\":%lld}}", session);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", "{\"FindObjectsFinal\":{\"session\":%lld}}", session);
}

static void expect_searches_by_the_effective_value(void)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	json_int_t plain = make_key(&first, session, "plain", ",{\"CKA_ID\":\"aWQz\"}");
	expect_found("{\"CKA_ALWAYS_AUTHENTICATE\":true}", key);
	expect_found("{\"CKA_ALWAYS_AUTHENTICATE\":false}", plain);
	expect_found("{\"CKA_LABEL\":\"release\"},{\"CKA_ALWAYS_AUTHENTICATE\":false}", 0);
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

static void expect_a_pin_per_signature_over_rest(void)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	REST_AUTO struct rest shown = REST(&one, 200, .route = ROUTE_key, .key = "id:696431");
	cr_expect(json_is_true(json_at(shown.json, "always_authenticate")));
	cr_expect_str_eq(text_at(shown.json, "always_authenticate_source"), "policy");
	REST_AUTO struct rest asked = REST(
		&one, 401, .route = ROUTE_key_sign, .key = "id:696431", .body = text_of(REST_SIGN, ""));
	cr_expect_str_eq(text_at(asked.json, "type"), "/docs/errors/reauthentication-required");
	const char *id = text_at(asked.json, "operation/id");
	REST_ONLY(&one, 401, .route = ROUTE_operation_reauthenticate, .operation = id, .body = "{\"pin\":\"9999\"}");
	REST_AUTO struct rest signed_ = REST(
		&one, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	cr_expect(json_is_true(json_at(signed_.json, "reauthenticated")));
	REST_ONLY(&one, 200, .route = ROUTE_key_sign, .key = "id:696431",
		.body = text_of(REST_SIGN, ",\"pin\":\"" FIXTURE_PIN "\""));
	REST_ONLY(&one, 401, .route = ROUTE_key_sign, .key = "id:696431",
		.body = text_of(REST_SIGN, ",\"pin\":\"9999\""));
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
	expect(&other, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
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
	const struct worker_options options = options_of(false, false);

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

/* --- the same with a kept PIN: the login of the operation verifies --- */

Test(forced_login, B21_another_applications_certificate_counts_for_the_resource_routes_at_once)
{
	const struct worker_options options = options_of(false, false);

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
	expect(&first, "CKR_OK", "{\"DestroyObject\":{\"session\":%lld,\"object\":%lld}}", session, certificate);
	REST_AUTO struct rest refused = REST(
		&one, 409, .route = ROUTE_operation_reauthenticate, .operation = id, .body = "{\"pin\":\"9999\"}");
	cr_expect_str_eq(text_at(refused.json, "ckr"), "CKR_OPERATION_NOT_INITIALIZED");
	cr_expect_eq(calls_of(&refused, "Sign") + calls_of(&refused, "Login"), 0);
	/* The operation is as it was. */
	add_certificate(NULL, "nonRepudiation", "aWQx");
	REST_ONLY(&one, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
}

static void expect_native(unsigned native)
{
	struct answer answer = client_post(&first, "{\"groups\":[]}");

	cr_expect_eq(answer.login, LOGIN_USER);
	cr_expect_eq(answer.native, native);
	answer_free(&answer);
}

Test(forced_login_cached, B18_a_key_of_a_non_repudiation_certificate_asks_for_its_pin)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect_a_pin_per_signature();
	expect_native(LOGIN_NONE);
}

Test(forced_login_cached, B20_the_login_of_the_operation_itself_verifies_the_pin)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect_native(LOGIN_NONE);
	expect(&first, "CKR_PIN_INCORRECT", CONTEXT(WRONG), session);
	expect_native(LOGIN_NONE);
	expect(&first, "CKR_OK", CONTEXT(RIGHT), session);
	expect_native(LOGIN_USER);
	expect(&first, "CKR_OK", SIGN, session);
	expect_native(LOGIN_NONE);
	cr_expect_eq(one.verified, 0);
	/* Neither waits for others' exclusive logins less than any login, nor is it stopped by what stops new ones. */
	cr_expect_eq(token.asked[TOKEN_FOR_KEY_LOGIN], 2);
}

Test(forced_login_cached, B20_a_login_for_it_waits_for_other_private_uses_and_not_for_ever)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	json_int_t another = open_session(&first), plain = make_key(&first, session, "plain", "");
	expect(&first, "CKR_OK", SIGN_INIT, another, plain);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_DEVICE_ERROR", CONTEXT(RIGHT), session);
	cr_expect_eq(one.waits, 1, "the gateway does not know that the worker waits");
	cr_expect_eq(one.waits_over, 1);
	expect(&first, "CKR_OK", SIGN, another);
	expect(&first, "CKR_OK", CONTEXT(RIGHT), session);
	expect(&first, "CKR_OK", SIGN, session);
}

enum { ROUNDS = 10 };

struct signer {
	pthread_t thread;
	unsigned pair, rounds;
	pthread_barrier_t *together;
	unsigned status; /* the first that is not 200 */
};

static void *sign_over_rest(void *argument)
{
	struct signer *signer = argument;

	signer->status = 200;
	pthread_barrier_wait(signer->together);
	for (unsigned i = 0; i < signer->rounds && signer->status == 200; i++) {
		REST_AUTO struct rest rest = rest_ask(
			&one, (struct ask){.route = ROUTE_key_sign,
				      .key = "id:696431",
				      .pair = signer->pair,
				      .body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\",\"pin\":\"" FIXTURE_PIN "\"}"});
		signer->status = rest.status;
	}
	return NULL;
}

/* Several at once with the same key; the wait of each for the others' logins is long enough for all of them. */
static void expect_signatures_side_by_side(bool fresh)
{
	struct worker_options options = options_of(true, fresh);
	struct signer signers[FIXTURE_PAIRS];
	pthread_barrier_t together;

	options.login.internal_wait_ms = 20000;
	options.threads = FIXTURE_PAIRS;
	start_with(&options, WITH_ID);
	add_certificate(NULL, "nonRepudiation", "aWQx");
	pthread_barrier_init(&together, NULL, FIXTURE_PAIRS);
	for (unsigned i = 0; i < FIXTURE_PAIRS; i++) {
		signers[i] = (struct signer){.pair = i, .rounds = ROUNDS, .together = &together};
		cr_assert_eq(pthread_create(&signers[i].thread, NULL, sign_over_rest, &signers[i]), 0);
	}
	for (unsigned i = 0; i < FIXTURE_PAIRS; i++) {
		pthread_join(signers[i].thread, NULL);
		cr_expect_eq(signers[i].status, 200, "thread %u got %u", i, signers[i].status);
	}
	pthread_barrier_destroy(&together);
	expect_native(LOGIN_NONE);
}

Test(forced_login_cached, B11_signatures_whose_logins_verify_their_pins_do_not_wait_for_each_other, .init = NULL)
{
	expect_signatures_side_by_side(false);
}

Test(forced_login_cached, B20_nor_where_the_module_starts_anew_for_every_login, .init = NULL)
{
	expect_signatures_side_by_side(true);
}

Test(forced_login_cached, B6_a_pin_that_waits_to_be_tried_does_not_hold_up_the_signature_it_waits_for, .init = NULL)
{
	struct worker_options options = options_of(true, false);
	pthread_barrier_t together;
	struct signer signer = {.pair = 1, .rounds = 1, .together = &together};

	options.login.internal_wait_ms = 20000;
	options.login.logout_after = LOGOUT_AFTER_SIGN;
	start_with(&options, WITH_ID);
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect(&first, "CKR_OK", SIGN_INIT, session, make_key(&first, session, "plain", ""));
	pthread_barrier_init(&together, NULL, 1);
	cr_assert_eq(pthread_create(&signer.thread, NULL, sign_over_rest, &signer), 0);
	while (atomic_load(&one.waits) == 0)
		sched_yield();
	expect(&first, "CKR_OK", SIGN, session);
	pthread_join(signer.thread, NULL);
	cr_expect_eq(signer.status, 401, "the signature has ended the login; it got %u", signer.status);
	pthread_barrier_destroy(&together);
}

Test(forced_login_cached, B18_searches_see_the_effective_value)
{
	expect_searches_by_the_effective_value();
	expect_native(LOGIN_NONE);
}

Test(forced_login_cached, B18_the_resource_routes_ask_as_well_and_say_why)
{
	expect_a_pin_per_signature_over_rest();
	cr_expect_eq(one.verified, 0);
	expect_native(LOGIN_NONE);
}

Test(forced_login_cached, X4_an_operation_that_waits_for_its_pin_dies_with_its_login)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	expect(&first, "CKR_OK", LOGIN, session, "CKU_USER", RIGHT);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", CONTEXT(RIGHT), session);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
}

Test(forced_login_cached, B20_a_module_that_starts_anew_for_every_login_works_as_well, .init = NULL)
{
	const struct worker_options options = options_of(true, true);

	start_with(&options, WITH_ID);
	add_certificate(NULL, "nonRepudiation", "aWQx");
	expect_a_pin_per_signature();
}
