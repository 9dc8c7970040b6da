/* Bodies and answers of application/octet-stream: parameters in the query. */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_octets, resource_setup_logged_in);

#define OCTETS "application/octet-stream"
#define DATA "what is to be signed"

Test(resource_octets, octets_are_signed_and_the_signature_comes_as_octets)
{
	make_resource_key(&worker, "EC", "ec", "");
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = "ec", .content_type = OCTETS,
		.query = "algorithm=ES256&format=der", .body = DATA);
	EVP_PKEY *key = public_key_of(&worker, "ec");
	cr_expect_str_eq(rest.content_type, OCTETS);
	cr_expect(verifies(key, "SHA256", false, DATA, sizeof DATA - 1, (unsigned char *)rest.body, rest.body_len));
	EVP_PKEY_free(key);
}

Test(resource_octets, accept_chooses_the_form_of_the_answer_whatever_the_body_is)
{
	make_resource_key(&worker, "HMAC", "mac", "");
	static const struct {
		const char *type, *query, *body, *accept, *answer;
	} rows[] = {
		{OCTETS, "algorithm=HS256", DATA, "", OCTETS},
		{OCTETS, "algorithm=HS256", DATA, "*/*", OCTETS},
		{OCTETS, "algorithm=HS256", DATA, "application/json", "application/json"},
		{"application/json", "", "{\"algorithm\":\"HS256\",\"data\":\"\"}", "", "application/json"},
		{"application/json", "", "{\"algorithm\":\"HS256\",\"data\":\"\"}", "*/*", "application/json"},
		{"application/json", "", "{\"algorithm\":\"HS256\",\"data\":\"\"}", OCTETS, OCTETS},
	};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_mac, .key = "mac",
			.content_type = rows[i].type, .query = rows[i].query, .body = rows[i].body,
			.accept = rows[i].accept);
		cr_expect_str_eq(rest.content_type, rows[i].answer, "%zu", i);
		cr_expect(rest.json != NULL || rest.body_len == 32);
	}
	REST_ONLY(&worker, 406, .route = ROUTE_key_mac, .key = "mac", .accept = "text/plain",
		.body = "{\"algorithm\":\"HS256\",\"data\":\"\"}");
	REST_AUTO struct rest batch = REST(&worker, 406, .route = ROUTE_key_mac, .key = "mac", .accept = OCTETS,
		.body = "{\"algorithm\":\"HS256\",\"items\":[{\"data\":\"\"}]}");
	cr_expect_eq(calls_of(&batch, "SignInit"), 0);
}

Test(resource_octets, what_is_encrypted_decrypts_as_it_came)
{
	make_resource_key(&worker, "AES", "aes", "");
	static const char *const algorithms[] = {"A256GCM", "A256CBC"};
	for (size_t i = 0; i < 2; i++) {
		const char *query = text_of("algorithm=%s%s", algorithms[i], i == 0 ? "&aad=AAAA" : "");
		REST_AUTO struct rest made = REST(&worker, 200, .route = ROUTE_key_encrypt, .key = "aes",
			.content_type = OCTETS, .query = query, .body = DATA);
		cr_expect_eq(made.body_len, i == 0 ? 12 + 20 + 16 : 16 + 32);
		struct ask back = {.route = ROUTE_key_decrypt, .key = "aes", .content_type = OCTETS, .query = query};
		back.body = made.body;
		back.body_len = made.body_len;
		REST_AUTO struct rest rest = rest_expecting(&worker, 200, back);
		cr_expect_str_eq(rest.body, DATA);
		back.body_len = 20;
		REST_AUTO struct rest cut = rest_expecting(&worker, 422, back);
		cr_expect_str_eq(text_at(cut.json, "pointer"), i == 0 ? "/ciphertext" : "");
	}
}

Test(resource_octets, a_signature_to_verify_stands_in_the_query)
{
	make_resource_key(&worker, "Ed25519", "ed", "");
	REST_AUTO struct rest made = REST(&worker, 200, .route = ROUTE_key_sign, .key = "ed",
		.accept = "application/json", .content_type = OCTETS, .query = "algorithm=EdDSA", .body = DATA);
	const char *query = text_of("algorithm=EdDSA&signature=%s", text_at(made.json, "signature"));
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_verify, .key = "ed", .content_type = OCTETS,
		.query = query, .body = DATA);
	cr_expect(json_is_true(json_at(rest.json, "valid")));
}

Test(resource_octets, A24_a_held_request_keeps_its_octets)
{
	make_resource_key(&worker, "EC", "guarded", ",\"always_authenticate\":true");
	REST_AUTO struct rest asked = REST(&worker, 401, .route = ROUTE_key_sign, .key = "guarded",
		.content_type = OCTETS, .query = "algorithm=ES256&format=der", .body = DATA);
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_operation_reauthenticate,
		.operation = text_at(asked.json, "operation/id"), .body = PIN_BODY);
	EVP_PKEY *key = public_key_of(&worker, "guarded");
	cr_expect(verifies(key, "SHA256", false, DATA, sizeof DATA - 1, (unsigned char *)rest.body, rest.body_len));
	EVP_PKEY_free(key);
}

Test(resource_octets, a_query_that_does_not_fit_names_its_parameter)
{
	static const struct {
		const char *query, *pointer;
		unsigned status;
	} rows[] = {
		{"", "/algorithm", 400},
		{"algorithm=ES256&format=both", "/format", 400},
		{"algorithm=", "/algorithm", 400},
		{"algorithm=ES256&digest=", "", 400},
		{"algorithm=RS256", "/algorithm", 422},
		{"mechanism=CKM_NONE", "/mechanism", 422},
		{"algorithm=ES256&pin=1234", NULL, 400},
		{"algorithm=ES256&items=", NULL, 400},
		{"algorithm=ES256&data=AA", NULL, 400},
	};
	make_resource_key(&worker, "EC", "ec", "");
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		REST_AUTO struct rest rest = REST(&worker, rows[i].status, .route = ROUTE_key_sign, .key = "ec",
			.content_type = OCTETS, .query = rows[i].query, .body = DATA);
		if (rows[i].pointer == NULL)
			cr_expect_null(json_at(rest.json, "pointer"), "%s", rest.body);
		else
			cr_expect_str_eq(text_at(rest.json, "pointer"), rows[i].pointer, "%s", rows[i].query);
		if (rows[i].status == 400)
			cr_expect_not_null(strstr(text_at(rest.json, "type"), "invalid-query"), "%s", rest.body);
	}
}

Test(resource_octets, a_query_beside_a_json_body_is_refused_and_not_passed_over)
{
	make_resource_key(&worker, "EC", "ec", "");
	REST_AUTO struct rest rest = REST(&worker, 400, .route = ROUTE_key_sign, .key = "ec", .query = "format=der",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"\"}");
	cr_expect_not_null(strstr(text_at(rest.json, "type"), "invalid-query"));
	REST_ONLY(&worker, 415, .route = ROUTE_key_generate, .content_type = OCTETS, .body = DATA);
}
