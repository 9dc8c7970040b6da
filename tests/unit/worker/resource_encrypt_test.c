/* Encryption and decryption, with OpenSSL as the judge. */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_encrypt, resource_setup_logged_in);

#define HELLO "aGVsbG8" /* "hello" */
enum { HELLO_LEN = 5, KEY_MAX = 32, TAG_LEN = 16 };

static const struct client caller = {.worker = &worker, .instance = {1}};

/* An AES key whose value is 1, 2, 3 … */
static void import_aes(const char *label, size_t len, unsigned char ret_value[KEY_MAX])
{
	json_int_t session = open_session(&caller);
	for (size_t i = 0; i < len; i++)
		ret_value[i] = (unsigned char)(i + 1);
	expect(&caller, "CKR_OK",
		"{\"CreateObject\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_SECRET_KEY\"},{\"CKA_KEY_"
		"TYPE\":\"CKK_AES\"},"
		"{\"CKA_TOKEN\":true},{\"CKA_ENCRYPT\":true},{\"CKA_DECRYPT\":true},{\"CKA_LABEL\":\"%s\"},{\"CKA_"
		"VALUE\":\"%s\"}]}}",
		session, label, b64(ret_value, len));
	expect(&caller, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
}

/* An RSA pair that encrypts and decrypts; `more` are attributes of the private key. */
static void make_rsa(const struct client *client, const char *label, const char *more)
{
	json_int_t session = open_session(client);
	expect(client, "CKR_OK",
		"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_RSA_PKCS_KEY_PAIR_GEN\"},"
		"\"public_attributes\":[{\"CKA_MODULUS_BITS\":2048},{\"CKA_PUBLIC_EXPONENT\":\"AQAB\"},{\"CKA_TOKEN\":"
		"true},"
		"{\"CKA_ENCRYPT\":true},{\"CKA_ID\":\"%s\"},{\"CKA_LABEL\":\"%s\"}],"
		"\"private_attributes\":[{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":true},{\"CKA_DECRYPT\":true},{\"CKA_"
		"ID\":\"%s\"},"
		"{\"CKA_LABEL\":\"%s\"}%s]}}",
		session, b64(label, strlen(label)), label, b64(label, strlen(label)), label, more);
	expect(client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
}

static const EVP_CIPHER *cipher_of(const char *algorithm, size_t key_len)
{
	char name[32];
	snprintf(name, sizeof name, "AES-%zu-%s", key_len * 8, algorithm + 4);
	return EVP_get_cipherbyname(name);
}

/* What `openssl enc` would decrypt it to. */
static size_t openssl_decrypt(const struct rest *rest, const EVP_CIPHER *cipher, const unsigned char *key,
	const char *aad, unsigned char *out)
{
	unsigned char text[256], iv[16], tag[TAG_LEN];
	size_t len = bytes_at(rest->json, "ciphertext", text, sizeof text);
	int n = 0, last = 0;
	bool gcm = EVP_CIPHER_get_mode(cipher) == EVP_CIPH_GCM_MODE;
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	cr_assert_eq(bytes_at(rest->json, "iv", iv, sizeof iv), (size_t)EVP_CIPHER_get_iv_length(cipher));
	cr_assert_eq(EVP_DecryptInit_ex(context, cipher, NULL, key, iv), 1);
	if (gcm) {
		cr_assert_eq(bytes_at(rest->json, "tag", tag, sizeof tag), TAG_LEN);
		cr_assert_eq(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag), 1);
		cr_assert_eq(EVP_DecryptUpdate(context, NULL, &n, (const unsigned char *)aad, (int)strlen(aad)), 1);
	}
	cr_assert_eq(EVP_DecryptUpdate(context, out, &n, text, (int)len), 1);
	cr_assert_eq(EVP_DecryptFinal_ex(context, out + n, &last), 1);
	EVP_CIPHER_CTX_free(context);
	return (size_t)(n + last);
}

/* The other way: a body for the route from what OpenSSL encrypts. */
static const char *openssl_encrypt(
	const char *algorithm, const EVP_CIPHER *cipher, const unsigned char *key, const char *aad)
{
	unsigned char text[256], iv[16] = {9, 8, 7}, tag[TAG_LEN];
	int n = 0, last = 0;
	bool gcm = EVP_CIPHER_get_mode(cipher) == EVP_CIPH_GCM_MODE;
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	cr_assert_eq(EVP_EncryptInit_ex(context, cipher, NULL, key, iv), 1);
	if (gcm)
		cr_assert_eq(EVP_EncryptUpdate(context, NULL, &n, (const unsigned char *)aad, (int)strlen(aad)), 1);
	cr_assert_eq(EVP_EncryptUpdate(context, text, &n, (const unsigned char *)"hello", HELLO_LEN), 1);
	cr_assert_eq(EVP_EncryptFinal_ex(context, text + n, &last), 1);
	if (gcm)
		cr_assert_eq(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, tag), 1);
	EVP_CIPHER_CTX_free(context);
	return text_of("{\"algorithm\":\"%s\",\"ciphertext\":\"%s\",\"iv\":\"%s\"%s}", algorithm,
		b64(text, (size_t)(n + last)), b64(iv, (size_t)EVP_CIPHER_get_iv_length(cipher)),
		gcm ? text_of(",\"tag\":\"%s\",\"aad\":\"%s\"", b64(tag, TAG_LEN), b64(aad, strlen(aad))) : "");
}

Test(resource_encrypt, every_aes_algorithm_goes_with_openssl_both_ways)
{
	static const struct {
		const char *algorithm;
		size_t key_len;
	} rows[] = {
		{"A128GCM", 16}, {"A192GCM", 24}, {"A256GCM", 32}, {"A128CBC", 16}, {"A192CBC", 24}, {"A256CBC", 32}};
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		unsigned char value[KEY_MAX], out[256];
		char label[16];
		const char *algorithm = rows[i].algorithm;
		const EVP_CIPHER *cipher = cipher_of(algorithm, rows[i].key_len);
		bool gcm = strstr(algorithm, "GCM") != NULL;
		snprintf(label, sizeof label, "aes%zu", i);
		import_aes(label, rows[i].key_len, value);
		REST_AUTO struct rest made = REST(&worker, 200, .route = ROUTE_key_encrypt, .key = label,
			.body = text_of("{\"algorithm\":\"%s\",\"data\":\"" HELLO "\"%s}", algorithm,
				gcm ? text_of(",\"aad\":\"%s\"", b64("with it", 7)) : ""));
		cr_assert_eq(openssl_decrypt(&made, cipher, value, "with it", out), HELLO_LEN);
		cr_expect_eq(memcmp(out, "hello", HELLO_LEN), 0, "%s", algorithm);
		cr_expect_eq(events_with(&made, "function", "C_Encrypt"), 1);
		REST_AUTO struct rest back = REST(&worker, 200, .route = ROUTE_key_decrypt, .key = label,
			.body = openssl_encrypt(algorithm, cipher, value, "with it"));
		cr_expect_str_eq(text_at(back.json, "data"), HELLO, "%s", algorithm);
		cr_expect_str_eq(text_at(back.json, "algorithm"), algorithm);
		cr_expect_eq(events_with(&back, "function", "C_Decrypt"), 1);
	}
}

Test(resource_encrypt, an_iv_that_is_left_out_is_another_one_each_time)
{
	unsigned char value[KEY_MAX];
	import_aes("aes", 32, value);
	REST_AUTO struct rest one = REST(&worker, 200, .route = ROUTE_key_encrypt, .key = "aes",
		.body = "{\"algorithm\":\"A256GCM\",\"items\":[{\"data\":\"" HELLO "\"},{\"data\":\"" HELLO "\"}]}");
	cr_expect_str_neq(text_at(one.json, "results/0/iv"), text_at(one.json, "results/1/iv"));
	cr_expect_str_neq(text_at(one.json, "results/0/ciphertext"), text_at(one.json, "results/1/ciphertext"));
	cr_expect_eq(strlen(text_at(one.json, "results/0/iv")), 16);
	REST_AUTO struct rest given = REST(&worker, 200, .route = ROUTE_key_encrypt, .key = "aes",
		.body = "{\"algorithm\":\"A256GCM\",\"data\":\"" HELLO "\",\"iv\":\"AAECAwQFBgcICQoL\"}");
	cr_expect_str_eq(text_at(given.json, "iv"), "AAECAwQFBgcICQoL");
}

/* One byte less or another one in any part. */
Test(resource_encrypt, what_was_changed_does_not_decrypt_and_the_answer_does_not_say_why)
{
	static const char *const parts[] = {"ciphertext", "iv", "tag", "aad"};
	unsigned char value[KEY_MAX], bytes[64];
	import_aes("aes", 16, value);
	REST_AUTO struct rest made = REST(&worker, 200, .route = ROUTE_key_encrypt, .key = "aes",
		.body = "{\"algorithm\":\"A128GCM\",\"data\":\"" HELLO "\",\"aad\":\"AAAA\"}");
	for (size_t i = 0; i < 4; i++) {
		const char *old = i == 3 ? "AAAA" : text_at(made.json, parts[i]);
		json_t *body = json_pack("{s:s,s:O,s:O,s:O,s:s}", "algorithm", "A128GCM", "ciphertext",
			json_at(made.json, "ciphertext"), "iv", json_at(made.json, "iv"), "tag",
			json_at(made.json, "tag"), "aad", "AAAA");
		json_t *wrapped = json_pack("{s:s}", "x", old);
		size_t len = bytes_at(wrapped, "x", bytes, sizeof bytes);
		bytes[0] ^= 1;
		json_object_set_new(body, parts[i], json_string(b64(bytes, len)));
		char *text = json_dumps(body, JSON_COMPACT);
		REST_AUTO struct rest rest = REST(&worker, 422, .route = ROUTE_key_decrypt, .key = "aes", .body = text);
		cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_ENCRYPTED_DATA_INVALID", "%s", parts[i]);
		free(text);
		json_decref(body);
		json_decref(wrapped);
	}
}

Test(resource_encrypt, an_item_that_does_not_decrypt_leaves_the_others)
{
	unsigned char value[KEY_MAX];
	import_aes("aes", 32, value);
	REST_AUTO struct rest made = REST(&worker, 200, .route = ROUTE_key_encrypt, .key = "aes",
		.body = "{\"algorithm\":\"A256GCM\",\"data\":\"" HELLO "\"}");
	const char *good = text_of("{\"ciphertext\":\"%s\",\"iv\":\"%s\",\"tag\":\"%s\"}",
		text_at(made.json, "ciphertext"), text_at(made.json, "iv"), text_at(made.json, "tag"));
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_decrypt, .key = "aes",
		.body = text_of("{\"algorithm\":\"A256GCM\",\"items\":[%s,{\"ciphertext\":\"\",\"iv\":\"%s\",\"tag\":"
				"\"%s\"},%s]}",
			good, text_at(made.json, "iv"), text_at(made.json, "tag"), good));
	cr_expect_str_eq(text_at(rest.json, "results/0/data"), HELLO);
	cr_expect_str_eq(text_at(rest.json, "results/1/ckr"), "CKR_ENCRYPTED_DATA_INVALID");
	cr_expect_eq(json_integer_value(json_at(rest.json, "results/1/status")), 422);
	cr_expect_str_eq(text_at(rest.json, "results/2/data"), HELLO);
	cr_expect_eq(events_with(&rest, "function", "C_Decrypt"), 3);
}

/* With the exported public key, by OpenSSL. */
static const char *encrypt_for(const char *key, int padding)
{
	unsigned char out[256];
	size_t len = sizeof out;
	EVP_PKEY *public_key = public_key_of(&worker, key);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(public_key, NULL);
	cr_assert_eq(EVP_PKEY_encrypt_init(context), 1);
	cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(context, padding), 1);
	cr_assert_eq(EVP_PKEY_encrypt(context, out, &len, (const unsigned char *)"hello", HELLO_LEN), 1);
	EVP_PKEY_CTX_free(context);
	EVP_PKEY_free(public_key);
	return b64(out, len);
}

Test(resource_encrypt, rsa_decrypts_what_openssl_encrypts_and_what_the_route_encrypts)
{
	static const struct {
		const char *algorithm;
		int padding;
	} rows[] = {{"RSA-OAEP", RSA_PKCS1_OAEP_PADDING}, {"RSA1_5", RSA_PKCS1_PADDING}};
	make_rsa(&caller, "rsa", "");
	for (size_t i = 0; i < 2; i++) {
		REST_AUTO struct rest back = REST(&worker, 200, .route = ROUTE_key_decrypt, .key = "rsa",
			.body = text_of("{\"algorithm\":\"%s\",\"ciphertext\":\"%s\"}", rows[i].algorithm,
				encrypt_for("rsa", rows[i].padding)));
		cr_expect_str_eq(text_at(back.json, "data"), HELLO);
		REST_AUTO struct rest made = REST(&worker, 200, .route = ROUTE_key_encrypt, .key = "rsa",
			.body = text_of("{\"algorithm\":\"%s\",\"data\":\"" HELLO "\"}", rows[i].algorithm));
		cr_expect_null(json_at(made.json, "iv"));
		REST_AUTO struct rest own = REST(&worker, 200, .route = ROUTE_key_decrypt, .key = "rsa",
			.body = text_of("{\"algorithm\":\"%s\",\"ciphertext\":\"%s\"}", rows[i].algorithm,
				text_at(made.json, "ciphertext")));
		cr_expect_str_eq(text_at(own.json, "data"), HELLO);
	}
}

Test(resource_encrypt, a_hash_that_the_token_does_not_take_for_oaep_is_422)
{
	static const char *const algorithms[] = {"RSA-OAEP-256", "RSA-OAEP-384", "RSA-OAEP-512"};
	make_rsa(&caller, "rsa", "");
	for (size_t i = 0; i < 3; i++) {
		REST_AUTO struct rest rest = REST(&worker, 422, .route = ROUTE_key_encrypt, .key = "rsa",
			.body = text_of("{\"algorithm\":\"%s\",\"data\":\"" HELLO "\"}", algorithms[i]));
		cr_expect_str_eq(text_at(rest.json, "ckr"), "CKR_MECHANISM_PARAM_INVALID");
	}
}

Test(resource_encrypt, a_mechanism_goes_with_its_parameter_and_gives_what_the_token_gives)
{
	unsigned char value[KEY_MAX], text[64];
	import_aes("aes", 16, value);
#define CTR "\"mechanism\":{\"mechanism\":\"CKM_AES_CBC_PAD\",\"parameter\":\"AAECAwQFBgcICQoLDA0ODw\"}"
	REST_AUTO struct rest made = REST(
		&worker, 200, .route = ROUTE_key_encrypt, .key = "aes", .body = "{" CTR ",\"data\":\"" HELLO "\"}");
	cr_expect_eq(bytes_at(made.json, "ciphertext", text, sizeof text), 16);
	cr_expect_null(json_at(made.json, "iv"));
	cr_expect_str_eq(text_at(made.json, "mechanism"), "CKM_AES_CBC_PAD");
	REST_AUTO struct rest back = REST(&worker, 200, .route = ROUTE_key_decrypt, .key = "aes",
		.body = text_of("{" CTR ",\"ciphertext\":\"%s\"}", text_at(made.json, "ciphertext")));
	cr_expect_str_eq(text_at(back.json, "data"), HELLO);
}

Test(resource_encrypt, every_member_that_does_not_fit_is_named)
{
	static const struct {
		enum route_id route;
		unsigned status;
		const char *body, *pointer;
	} bodies[] = {
		{ROUTE_key_encrypt, 400, "{\"algorithm\":\"A256GCM\"}", "/data"},
		{ROUTE_key_encrypt, 400, "{\"data\":\"\"}", "/algorithm"},
		{ROUTE_key_encrypt, 400, "{\"algorithm\":\"A256GCM\",\"data\":\"\",\"items\":[{\"data\":\"\"}]}",
			"/items"},
		{ROUTE_key_encrypt, 400, "{\"algorithm\":\"A256GCM\",\"iv\":\"\",\"items\":[{\"data\":\"\"}]}",
			"/items"},
		{ROUTE_key_encrypt, 400, "{\"algorithm\":\"A256GCM\",\"items\":[]}", "/items"},
		{ROUTE_key_encrypt, 422, "{\"algorithm\":\"A256GCM\",\"data\":\"\",\"iv\":\"AAAA\"}", "/iv"},
		{ROUTE_key_encrypt, 422, "{\"algorithm\":\"A256GCM\",\"items\":[{\"data\":\"\",\"iv\":\"AAAA\"}]}",
			"/items/0/iv"},
		{ROUTE_key_encrypt, 422, "{\"algorithm\":\"A256CBC\",\"data\":\"\",\"iv\":\"AAECAwQFBgcICQoL\"}",
			"/iv"},
		{ROUTE_key_encrypt, 400, "{\"algorithm\":\"A256CBC\",\"data\":\"\",\"aad\":\"\"}", "/aad"},
		{ROUTE_key_encrypt, 400, "{\"algorithm\":\"RSA-OAEP\",\"data\":\"\",\"iv\":\"\"}", "/iv"},
		{ROUTE_key_encrypt, 400, "{\"mechanism\":\"CKM_AES_CBC_PAD\",\"data\":\"\",\"iv\":\"\"}", "/iv"},
		{ROUTE_key_encrypt, 400, "{\"algorithm\":\"A256GCM\",\"data\":\"\",\"tag\":\"\"}", "/tag"},
		{ROUTE_key_encrypt, 422, "{\"algorithm\":\"A256KW\",\"data\":\"\"}", "/algorithm"},
		{ROUTE_key_encrypt, 422, "{\"algorithm\":\"AES\",\"data\":\"\"}", "/algorithm"},
		{ROUTE_key_encrypt, 422, "{\"algorithm\":\"A128GCM\",\"data\":\"\"}", "/algorithm"},
		{ROUTE_key_encrypt, 422, "{\"algorithm\":\"RSA-OAEP\",\"data\":\"\"}", "/algorithm"},
		{ROUTE_key_encrypt, 422, "{\"mechanism\":\"CKM_RSA_PKCS\",\"data\":\"\"}", "/mechanism"},
		{ROUTE_key_decrypt, 400, "{\"algorithm\":\"A256GCM\"}", "/ciphertext"},
		{ROUTE_key_decrypt, 400, "{\"algorithm\":\"A256GCM\",\"ciphertext\":\"\"}", "/iv"},
		{ROUTE_key_decrypt, 400, "{\"algorithm\":\"A256GCM\",\"ciphertext\":\"\",\"iv\":\"AAECAwQFBgcICQoL\"}",
			"/tag"},
		{ROUTE_key_decrypt, 422,
			"{\"algorithm\":\"A256GCM\",\"ciphertext\":\"\",\"iv\":\"AAECAwQFBgcICQoL\",\"tag\":\"AA\"}",
			"/tag"},
		{ROUTE_key_decrypt, 400, "{\"algorithm\":\"A256CBC\",\"items\":[{\"ciphertext\":\"\"}]}",
			"/items/0/iv"},
		{ROUTE_key_decrypt, 400, "{\"algorithm\":\"A256CBC\",\"ciphertext\":\"\",\"tag\":\"\"}", "/tag"},
	};
	unsigned char value[KEY_MAX];
	import_aes("aes", 32, value);
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		REST_AUTO struct rest rest = REST(
			&worker, bodies[i].status, .route = bodies[i].route, .key = "aes", .body = bodies[i].body);
		cr_expect_str_eq(text_at(rest.json, "pointer"), bodies[i].pointer, "%s", bodies[i].body);
		cr_expect_eq(calls_of(&rest, "EncryptInit") + calls_of(&rest, "DecryptInit"), 0);
	}
}

Test(resource_encrypt, a_parameter_that_names_a_key_by_a_handle_is_refused)
{
	unsigned char value[KEY_MAX];
	import_aes("aes", 16, value);
	REST_AUTO struct rest rest = REST(&worker, 422, .route = ROUTE_key_encrypt, .key = "aes",
		.body = "{\"mechanism\":{\"mechanism\":\"CKM_CONCATENATE_BASE_AND_KEY\",\"parameter\":1},\"data\":"
			"\"\"}");
	cr_expect_str_eq(text_at(rest.json, "pointer"), "/mechanism/parameter");
}

Test(resource_encrypt, more_than_the_bound_of_a_request_is_422)
{
	unsigned char value[KEY_MAX];
	static unsigned char data[40000];
	static char body[1000000];
	size_t n = (size_t)snprintf(body, sizeof body, "{\"algorithm\":\"A128CBC\",\"items\":[");
	import_aes("aes", 16, value);
	for (int i = 0; i < 14; i++)
		n += (size_t)snprintf(
			body + n, sizeof body - n, "%s{\"data\":\"%s\"}", i ? "," : "", b64(data, sizeof data));
	snprintf(body + n, sizeof body - n, "]}");
	REST_AUTO struct rest rest = REST(&worker, 422, .route = ROUTE_key_encrypt, .key = "aes", .body = body);
	cr_expect_str_eq(text_at(rest.json, "pointer"), "/items/13/data");
	cr_expect_eq(calls_of(&rest, "EncryptInit"), 0);
}

Test(resource_encrypt, a_thousand_items_are_encrypted_and_recorded_one_by_one)
{
	static char body[40000];
	unsigned char value[KEY_MAX];
	size_t n = (size_t)snprintf(body, sizeof body, "{\"algorithm\":\"A128GCM\",\"items\":[");
	for (int i = 0; i < 1000; i++)
		n += (size_t)snprintf(
			body + n, sizeof body - n, "%s{\"data\":\"%s\"}", i ? "," : "", b64(&i, sizeof i));
	snprintf(body + n, sizeof body - n, "]}");
	import_aes("aes", 16, value);
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_encrypt, .key = "aes", .body = body);
	cr_assert_eq(json_array_size(json_at(rest.json, "results")), 1000);
	cr_expect_eq(events_with(&rest, "function", "C_Encrypt"), 1000);
}

/* --- keys that ask for their PIN --- */

#define DECRYPT(text, more) text_of("{\"algorithm\":\"RSA-OAEP\",\"ciphertext\":\"%s\"%s}", text, more)

Test(resource_encrypt, A24_a_decryption_without_the_pin_is_held_and_A25_completed_with_it)
{
	make_rsa(&caller, "guarded", CAREFUL);
	const char *text = encrypt_for("guarded", RSA_PKCS1_OAEP_PADDING);
	REST_AUTO struct rest asked = REST(
		&worker, 401, .route = ROUTE_key_decrypt, .key = "guarded", .body = DECRYPT(text, ""));
	const char *id = text_at(asked.json, "operation/id");
	cr_expect_str_eq(text_at(asked.json, "ckr"), "CKR_USER_NOT_LOGGED_IN");
	cr_expect_eq(calls_of(&asked, "DecryptInit"), 0);
	REST_AUTO struct rest wrong = REST(
		&worker, 401, .route = ROUTE_operation_reauthenticate, .operation = id, .body = "{\"pin\":\"9999\"}");
	cr_expect_str_eq(text_at(wrong.json, "ckr"), "CKR_PIN_INCORRECT");
	REST_AUTO struct rest right = REST(
		&worker, 200, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
	cr_expect_str_eq(text_at(right.json, "data"), HELLO);
	cr_expect(json_is_true(json_at(right.json, "reauthenticated")));
	cr_expect_eq(events_with(&right, "function", "C_Decrypt"), 1);
	REST_ONLY(&worker, 410, .route = ROUTE_operation_reauthenticate, .operation = id, .body = PIN_BODY);
}

Test(resource_encrypt, A28_a_one_shot_pin_decrypts_once)
{
	make_rsa(&caller, "guarded", CAREFUL);
	const char *text = encrypt_for("guarded", RSA_PKCS1_OAEP_PADDING);
	REST_AUTO struct rest wrong = REST(
		&worker, 401, .route = ROUTE_key_decrypt, .key = "guarded", .body = DECRYPT(text, ",\"pin\":\"9999\""));
	cr_expect_str_eq(text_at(wrong.json, "ckr"), "CKR_PIN_INCORRECT");
	REST_AUTO struct rest right = REST(&worker, 200, .route = ROUTE_key_decrypt, .key = "guarded",
		.body = DECRYPT(text, ",\"pin\":\"" FIXTURE_PIN "\""));
	cr_expect_str_eq(text_at(right.json, "data"), HELLO);
	REST_AUTO struct rest again = REST(
		&worker, 401, .route = ROUTE_key_decrypt, .key = "guarded", .body = DECRYPT(text, ""));
	cr_expect_not_null(strstr(text_at(again.json, "type"), "reauthentication-required"));
}

Test(resource_encrypt, A24_a_batch_of_decryptions_would_need_as_many_pins)
{
	make_rsa(&caller, "guarded", CAREFUL);
	REST_AUTO struct rest rest = REST(&worker, 422, .route = ROUTE_key_decrypt, .key = "guarded",
		.body = "{\"algorithm\":\"RSA-OAEP\",\"items\":[{\"ciphertext\":\"AA\"}],\"pin\":\"" FIXTURE_PIN "\"}");
	cr_expect_not_null(strstr(text_at(rest.json, "type"), "one-item-per-pin"));
	cr_expect_eq(calls_of(&rest, "Login"), 0);
}

Test(resource_encrypt, D9_a_key_that_only_answers_challenges_neither_encrypts_nor_decrypts)
{
	static struct worker_fixture marked;
	const struct worker_options options = {.challenge_only = "marked"};
	const struct client client = {.worker = &marked, .instance = {2}};
	worker_fixture_start(&token, &options, &marked);
	REST_ONLY(&marked, 200, .route = ROUTE_login, .body = PIN_BODY);
	make_rsa(&client, "marked", "");
	REST_AUTO struct rest made = REST(&marked, 403, .route = ROUTE_key_encrypt, .key = "marked",
		.body = "{\"algorithm\":\"RSA-OAEP\",\"data\":\"" HELLO "\"}");
	cr_expect_eq(calls_of(&made, "EncryptInit"), 0);
	REST_AUTO struct rest back = REST(
		&marked, 403, .route = ROUTE_key_decrypt, .key = "marked", .body = DECRYPT("AA", ""));
	cr_expect_eq(calls_of(&back, "DecryptInit"), 0);
	worker_fixture_stop(&marked);
}
