/* Making, showing and listing keys over the resource routes. */
#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_keys, resource_setup_logged_in);

Test(resource_keys, an_ec_pair_is_one_key_with_the_shape_of_the_schema)
{
	REST_AUTO struct rest made = REST(&worker, 201, .route = ROUTE_key_generate,
		.body = "{\"type\":\"EC\",\"curve\":\"P-256\",\"label\":\"release\",\"always_authenticate\":false}");
	cr_expect(has_header(&made, "Location: /v1/slots/demo-slot/keys/release"));
	cr_expect_str_eq(text_at(made.json, "label"), "release");
	cr_expect_eq(strlen(text_at(made.json, "id")), 32);
	cr_expect_str_eq(text_at(made.json, "class"), "private");
	cr_expect_str_eq(text_at(made.json, "type"), "EC");
	cr_expect_str_eq(text_at(made.json, "curve"), "P-256");
	cr_expect_eq(json_integer_value(json_at(made.json, "bits")), 256);
	cr_expect_eq(json_array_size(json_at(made.json, "usage")), 2);
	cr_expect_str_eq(text_at(made.json, "usage/0"), "sign");
	cr_expect_str_eq(text_at(made.json, "usage/1"), "verify");
	cr_expect(json_is_false(json_at(made.json, "extractable")));
	cr_expect(json_is_false(json_at(made.json, "always_authenticate")));
	cr_expect_str_eq(text_at(made.json, "always_authenticate_source"), "token");
	cr_expect_str_eq(text_at(made.json, "href"), "/v1/slots/demo-slot/keys/release");
	cr_expect_eq(events_with(&made, "function", "C_GenerateKeyPair"), 1);
	cr_expect_eq(events_with(&made, "key/label", "release"), 1);
	REST_AUTO struct rest got = REST(&worker, 200, .route = ROUTE_key, .key = "release");
	cr_expect(json_equal(got.json, made.json));
}

struct kind {
	const char *type, *more, *class, *shown;
	int bits;
	const char *usage;
};

Test(resource_keys, every_type_is_generated_as_asked)
{
	static const struct kind kinds[] = {
		{"EC", ",\"curve\":\"P-384\"", "private", "EC", 384, "sign"},
		{"EC", ",\"curve\":\"P-521\"", "private", "EC", 521, "sign"},
		{"RSA", "", "private", "RSA", 2048, "sign"},
		{"RSA", ",\"bits\":3072", "private", "RSA", 3072, "sign"},
		{"Ed25519", "", "private", "Ed25519", 255, "sign"},
		{"AES", "", "secret", "AES", 256, "encrypt"},
		{"AES", ",\"bits\":128", "secret", "AES", 128, "encrypt"},
		{"HMAC", "", "secret", "HMAC", 256, "sign"},
		{"HMAC", ",\"bits\":512", "secret", "HMAC", 512, "sign"},
	};
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		const char *label = text_of("key%zu", i);
		make_resource_key(&worker, kinds[i].type, label, kinds[i].more);
		REST_AUTO struct rest key = REST(&worker, 200, .route = ROUTE_key, .key = label);
		cr_expect_str_eq(text_at(key.json, "class"), kinds[i].class, "%s", key.body);
		cr_expect_str_eq(text_at(key.json, "type"), kinds[i].shown, "%s", key.body);
		cr_expect_eq(json_integer_value(json_at(key.json, "bits")), kinds[i].bits, "%s", key.body);
		cr_expect_str_eq(text_at(key.json, "usage/0"), kinds[i].usage, "%s", key.body);
	}
}

Test(resource_keys, sizes_and_curves_that_do_not_fit_the_type_are_refused)
{
	REST_ONLY(
		&worker, 422, .route = ROUTE_key_generate, .body = "{\"type\":\"RSA\",\"bits\":1024,\"label\":\"a\"}");
	REST_ONLY(&worker, 422, .route = ROUTE_key_generate, .body = "{\"type\":\"AES\",\"bits\":129,\"label\":\"a\"}");
	REST_ONLY(&worker, 422, .route = ROUTE_key_generate, .body = "{\"type\":\"HMAC\",\"bits\":12,\"label\":\"a\"}");
	REST_ONLY(&worker, 400, .route = ROUTE_key_generate, .body = "{\"type\":\"EC\",\"bits\":256,\"label\":\"a\"}");
	REST_ONLY(&worker, 400, .route = ROUTE_key_generate,
		.body = "{\"type\":\"RSA\",\"curve\":\"P-256\",\"label\":\"a\"}");
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "a");
}

Test(resource_keys, a_new_label_has_at_most_255_bytes)
{
	char label[257] = {0};
	memset(label, 'a', 256);
	REST_ONLY(&worker, 400, .route = ROUTE_key_generate,
		.body = text_of("{\"type\":\"HMAC\",\"label\":\"%s\"}", label));
	label[255] = '\0';
	make_resource_key(&worker, "HMAC", label, "");
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = label,
		.body = "{\"algorithm\":\"HS256\",\"data\":\"AA\"}");
}

Test(resource_keys, a_longer_label_made_elsewhere_does_not_keep_its_key_from_signing)
{
	const struct client client = {.worker = &worker, .instance = {7}};
	json_int_t session = open_session(&client);
	char label[2049] = {0};
	memset(label, '\x7f', 2048);
	make_key(&client, session, label, ",{\"CKA_ID\":\"AQI\"}");
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = "id:0102",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"AA\"}");
	cr_expect_eq(events_with(&rest, "key/id", "0102"), 1);
	cr_expect_eq(events_with(&rest, "key/label", ""), 1);
}

Test(resource_keys, A19_a_secret_key_cannot_ask_for_its_pin)
{
	REST_AUTO struct rest made = REST(&worker, 422, .route = ROUTE_key_generate,
		.body = "{\"type\":\"AES\",\"label\":\"a\",\"always_authenticate\":true}");
	cr_expect_str_eq(text_at(made.json, "ckr"), "CKR_ATTRIBUTE_TYPE_INVALID");
	cr_expect_str_eq(text_at(made.json, "pointer"), "/always_authenticate");
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "a");
}

Test(resource_keys, A30_always_authenticate_is_shown)
{
	make_resource_key(&worker, "EC", "guarded", ",\"always_authenticate\":true");
	REST_AUTO struct rest key = REST(&worker, 200, .route = ROUTE_key, .key = "guarded");
	cr_expect(json_is_true(json_at(key.json, "always_authenticate")));
	cr_expect_str_eq(text_at(key.json, "always_authenticate_source"), "token");
	REST_AUTO struct rest list = REST(&worker, 200, .route = ROUTE_keys);
	cr_expect(json_is_true(json_at(list.json, "keys/0/always_authenticate")));
}

Test(resource_keys, A40_a_taken_label_or_id_is_409_key_exists)
{
	make_resource_key(&worker, "EC", "one", ",\"id\":\"0102\"");
	REST_AUTO struct rest label = REST(
		&worker, 409, .route = ROUTE_key_generate, .body = "{\"type\":\"AES\",\"label\":\"one\"}");
	cr_expect_str_eq(text_at(label.json, "type"), "/docs/errors/key-exists");
	cr_expect_str_eq(text_at(label.json, "pointer"), "/label");
	REST_AUTO struct rest id = REST(&worker, 409, .route = ROUTE_key_generate,
		.body = "{\"type\":\"EC\",\"label\":\"two\",\"id\":\"0102\"}");
	cr_expect_str_eq(text_at(id.json, "pointer"), "/id");
	cr_expect_eq(events_with(&id, "kind", "object"), 0);
}

Test(resource_keys, A41_lists_pairs_once_in_order)
{
	make_resource_key(&worker, "EC", "b", "");
	make_resource_key(&worker, "HMAC", "c", "");
	make_resource_key(&worker, "RSA", "a", "");
	REST_AUTO struct rest list = REST(&worker, 200, .route = ROUTE_keys);
	cr_assert_eq(json_array_size(json_at(list.json, "keys")), 3, "%s", list.body);
	cr_expect_str_eq(text_at(list.json, "keys/0/label"), "a");
	cr_expect_str_eq(text_at(list.json, "keys/1/label"), "b");
	cr_expect_str_eq(text_at(list.json, "keys/2/label"), "c");
	cr_expect(json_is_null(json_at(list.json, "next")));
}

Test(resource_keys, A41_pages_show_every_key_once_though_keys_come_and_go)
{
	static const char *const labels[] = {"a", "b", "c", "d", "e"};
	for (size_t i = 0; i < 5; i++)
		make_resource_key(&worker, "HMAC", labels[i], "");
	REST_AUTO struct rest first = REST(&worker, 200, .route = ROUTE_keys, .query = "limit=2");
	cr_expect_eq(json_array_size(json_at(first.json, "keys")), 2);
	/* Before and behind the cursor. */
	make_resource_key(&worker, "HMAC", "aa", "");
	make_resource_key(&worker, "HMAC", "bb", "");
	REST_AUTO struct rest second = REST(
		&worker, 200, .route = ROUTE_keys, .query = text_of("limit=2&cursor=%s", text_at(first.json, "next")));
	cr_expect_str_eq(text_at(second.json, "keys/0/label"), "bb");
	cr_expect_str_eq(text_at(second.json, "keys/1/label"), "c");
	REST_AUTO struct rest third = REST(
		&worker, 200, .route = ROUTE_keys, .query = text_of("limit=2&cursor=%s", text_at(second.json, "next")));
	cr_expect_str_eq(text_at(third.json, "keys/0/label"), "d");
	cr_expect_str_eq(text_at(third.json, "keys/1/label"), "e");
	cr_expect(json_is_null(json_at(third.json, "next")));
}

Test(resource_keys, a_wrong_query_is_400)
{
	static const char *const queries[] = {"limit=0", "limit=1001", "limit=x", "limit=", "limit", "limit=1&limit=2",
		"page=1", "cursor=%", "cursor=AA", "cursor=%00", "limit=-1", "limit=+1", "limit=%201"};
	for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
		REST_ONLY(&worker, 400, .route = ROUTE_keys, .query = queries[i]);
}

Test(resource_keys, A43_the_public_key_is_given_as_pem_der_and_jwk)
{
	make_resource_key(&worker, "EC", "ec", "");
	REST_AUTO struct rest pem = REST(
		&worker, 200, .route = ROUTE_key_public, .key = "ec", .accept = "application/x-pem-file");
	cr_expect_str_eq(pem.content_type, "application/x-pem-file");
	cr_expect_eq(strncmp(pem.body, "-----BEGIN PUBLIC KEY-----\n", 27), 0);
	REST_AUTO struct rest der = REST(
		&worker, 200, .route = ROUTE_key_public, .key = "ec", .accept = "application/pkix-spki");
	const unsigned char *at = (const unsigned char *)der.body;
	EVP_PKEY *from_der = d2i_PUBKEY(NULL, &at, (long)der.body_len), *from_pem = public_key_of(&worker, "ec");
	cr_assert_not_null(from_der);
	cr_expect_eq(EVP_PKEY_eq(from_der, from_pem), 1);
	REST_AUTO struct rest jwk = REST(&worker, 200, .route = ROUTE_key_public, .key = "ec");
	cr_expect_str_eq(jwk.content_type, "application/jwk+json");
	cr_expect_str_eq(text_at(jwk.json, "kty"), "EC");
	cr_expect_str_eq(text_at(jwk.json, "crv"), "P-256");
	unsigned char numbers[80], point[65];
	size_t len;
	cr_assert_eq(bytes_at(jwk.json, "x", numbers, 40), 32);
	cr_assert_eq(bytes_at(jwk.json, "y", numbers + 32, 40), 32);
	cr_assert_eq(EVP_PKEY_get_octet_string_param(from_pem, "pub", point, sizeof point, &len), 1);
	cr_expect_eq(memcmp(point + 1, numbers, 64), 0);
	EVP_PKEY_free(from_der);
	EVP_PKEY_free(from_pem);
	REST_ONLY(&worker, 406, .route = ROUTE_key_public, .key = "ec", .accept = "text/html");
}

Test(resource_keys, public_keys_of_every_type_are_openssl_keys)
{
	static const struct {
		const char *type, *more;
		int id;
		const char *kty;
	} kinds[] = {
		{"EC", ",\"curve\":\"P-384\"", EVP_PKEY_EC, "EC"},
		{"EC", ",\"curve\":\"P-521\"", EVP_PKEY_EC, "EC"},
		{"RSA", "", EVP_PKEY_RSA, "RSA"},
		{"Ed25519", "", EVP_PKEY_ED25519, "OKP"},
	};
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		const char *label = text_of("key%zu", i);
		make_resource_key(&worker, kinds[i].type, label, kinds[i].more);
		EVP_PKEY *key = public_key_of(&worker, label);
		cr_expect_eq(EVP_PKEY_get_base_id(key), kinds[i].id);
		EVP_PKEY_free(key);
		REST_AUTO struct rest jwk = REST(
			&worker, 200, .route = ROUTE_key_public, .key = label, .accept = "application/json");
		cr_expect_str_eq(text_at(jwk.json, "kty"), kinds[i].kty);
	}
}

Test(resource_keys, a_secret_key_has_no_public_half)
{
	make_resource_key(&worker, "HMAC", "secret", "");
	REST_ONLY(&worker, 404, .route = ROUTE_key_public, .key = "secret");
}

static void *generate_same(void *argument)
{
	struct rest *rest = argument;
	*rest = rest_ask(&worker, (struct ask){.route = ROUTE_key_generate,
					  .body = "{\"type\":\"RSA\",\"label\":\"same\"}",
					  .pair = rest->status});
	return NULL;
}

Test(resource_keys, of_two_that_make_a_key_of_one_name_at_once_one_succeeds)
{
	struct rest made[2] = {{.status = 0}, {.status = 1}};
	pthread_t threads[2];
	for (int i = 0; i < 2; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, generate_same, &made[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq((made[0].status == 201) + (made[1].status == 201), 1);
	cr_expect_eq((made[0].status == 409) + (made[1].status == 409), 1);
	REST_ONLY(&worker, 200, .route = ROUTE_key, .key = "same");
	rest_free(&made[0]);
	rest_free(&made[1]);
}
