#include "tests/unit/worker/forced_login.h"

#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/x509v3.h>

struct worker_options forced_options(bool cache, bool fresh)
{
	struct worker_options options = {.fresh = fresh, .login = rules(cache, LOGOUT_AFTER_NEVER)};

	options.login.force_login = FORCE_LOGIN_NON_REPUDIATION;
	options.login.internal_wait_ms = 200;
	return options;
}

void start_forced(const struct worker_options *options, const char *more)
{
	resource_setup(&token, &one, options);
	session = open_logged_in(&first);
	key = make_key(&first, session, "release", more);
}

json_int_t add_certificate_as(
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

json_int_t add_certificate(EVP_PKEY *subject, const char *usage, const char *id)
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

void expect_a_pin_per_signature(void)
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
	json_t *info = client_call(&first, INFO, session);
	cr_expect_str_eq(text_at(info, "info/state"), "CKS_RW_USER_FUNCTIONS");
	json_decref(info);
}

void expect_no_pin_per_signature(void)
{
	cr_expect_not(asks_for_pin(key));
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", CONTEXT(RIGHT), session);
	expect(&first, "CKR_OK", SIGN, session);
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
	expect(&first, "CKR_OK", SEARCH_END, session);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SEARCH_END, session);
}

void expect_searches_by_the_effective_value(void)
{
	add_certificate(NULL, "nonRepudiation", "aWQx");
	json_int_t plain = make_key(&first, session, "plain", ",{\"CKA_ID\":\"aWQz\"}");
	expect_found("{\"CKA_ALWAYS_AUTHENTICATE\":true}", key);
	expect_found("{\"CKA_ALWAYS_AUTHENTICATE\":false}", plain);
	expect_found("{\"CKA_LABEL\":\"release\"},{\"CKA_ALWAYS_AUTHENTICATE\":false}", 0);
}

void expect_a_pin_per_signature_over_rest(void)
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
