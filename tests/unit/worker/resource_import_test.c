/* Keys that are imported, in every form, with OpenSSL and published vectors as the judge. */
#include <criterion/criterion.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_import, resource_setup_logged_in);

/* A new private key in PEM, with its line breaks as JSON has them; the caller frees *ret_key. */
static const char *new_pem(const char *type, const char *group, EVP_PKEY **ret_key)
{
	char *data, out[8192];
	size_t n = 0;
	BIO *pem = BIO_new(BIO_s_mem());
	*ret_key = strcmp(type, "RSA") == 0  ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
		   : strcmp(type, "EC") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", group)
					     : EVP_PKEY_Q_keygen(NULL, NULL, type);
	cr_assert_not_null(*ret_key);
	cr_assert_eq(PEM_write_bio_PKCS8PrivateKey(pem, *ret_key, NULL, NULL, 0, NULL, NULL), 1);
	long len = BIO_get_mem_data(pem, &data);
	for (long i = 0; i < len && n + 2 < sizeof out; i++) {
		out[n++] = data[i] == '\n' ? '\\' : data[i];
		if (data[i] == '\n')
			out[n++] = 'n';
	}
	out[n] = '\0';
	BIO_free(pem);
	return text_of("%s", out);
}

static void import_key(const char *label, const char *members)
{
	REST_ONLY(&worker, 201, .route = ROUTE_key_import, .body = text_of("{\"label\":\"%s\",%s}", label, members));
}

/* The imported key must sign so that OpenSSL verifies it with the key that was given. */
static void expect_signs(const char *label, const char *algorithm, const char *hash, EVP_PKEY *given)
{
	static const char data[] = "what is signed";
	unsigned char signature[600];
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = label,
		.body = text_of("{\"algorithm\":\"%s\",\"data\":\"%s\"%s}", algorithm, b64(data, sizeof data),
			algorithm[0] == 'E' && algorithm[1] == 'S' ? ",\"format\":\"der\"" : ""));
	size_t len = bytes_at(rest.json, "signature", signature, sizeof signature);
	cr_expect(verifies(given, hash, false, data, sizeof data, signature, len), "%s", label);
	EVP_PKEY *shown = public_key_of(&worker, label);
	cr_expect_eq(EVP_PKEY_eq(shown, given), 1, "%s", label);
	EVP_PKEY_free(shown);
}

Test(resource_import, A44_every_type_of_pair_in_pem_signs_as_the_key_it_was)
{
	static const struct {
		const char *type, *group, *algorithm, *hash;
	} kinds[] = {
		{"EC", "P-256", "ES256", "SHA256"},
		{"EC", "P-384", "ES384", "SHA384"},
		{"EC", "P-521", "ES512", "SHA512"},
		{"RSA", NULL, "RS256", "SHA256"},
		{"ED25519", NULL, "EdDSA", NULL},
		{"ED448", NULL, "EdDSA", NULL},
	};
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		EVP_PKEY *key;
		const char *label = text_of("key%zu", i);
		import_key(label, text_of("\"pem\":\"%s\"", new_pem(kinds[i].type, kinds[i].group, &key)));
		expect_signs(label, kinds[i].algorithm, kinds[i].hash, key);
		EVP_PKEY_free(key);
	}
}

Test(resource_import, A44_an_imported_pair_is_one_protected_key)
{
	EVP_PKEY *key;
	REST_AUTO struct rest made = REST(&worker, 201, .route = ROUTE_key_import,
		.body = text_of("{\"label\":\"a\",\"id\":\"0102\",\"usage\":[\"sign\"],\"pem\":\"%s\"}",
			new_pem("EC", "P-256", &key)));
	cr_expect(has_header(&made, "Location: /v1/slots/demo-slot/keys/a"));
	cr_expect_str_eq(text_at(made.json, "id"), "0102");
	cr_expect_str_eq(text_at(made.json, "class"), "private");
	cr_expect_str_eq(text_at(made.json, "curve"), "P-256");
	cr_expect_eq(json_array_size(json_at(made.json, "usage")), 1);
	cr_expect(json_is_false(json_at(made.json, "extractable")));
	cr_expect_eq(calls_of(&made, "CreateObject"), 2);
	cr_expect_eq(events_with(&made, "function", "C_CreateObject"), 1);
	cr_expect_eq(events_with(&made, "key/label", "a"), 1);
	REST_AUTO struct rest attributes = REST(&worker, 200, .route = ROUTE_key, .key = "a",
		.query = "attributes=CKA_SENSITIVE,CKA_PRIVATE,CKA_TOKEN,CKA_VALUE");
	cr_expect(json_is_true(json_at(attributes.json, "attributes/CKA_SENSITIVE")));
	cr_expect(json_is_true(json_at(attributes.json, "attributes/CKA_PRIVATE")));
	cr_expect(json_is_true(json_at(attributes.json, "attributes/CKA_TOKEN")));
	cr_expect(json_is_true(json_at(attributes.json, "attributes/CKA_VALUE/sensitive")));
	EVP_PKEY_free(key);
}

Test(resource_import, A44_der_of_pkcs8_is_taken_too)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	unsigned char *der = NULL;
	int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
	import_key("a", text_of("\"pkcs8\":\"%s\"", b64(der, (size_t)len)));
	expect_signs("a", "ES256", "SHA256", key);
	REST_ONLY(&worker, 400, .route = ROUTE_key_import,
		.body = text_of("{\"label\":\"b\",\"pkcs8\":\"%s\"}", b64(der, (size_t)len - 1)));
	OPENSSL_free(der);
	PKCS8_PRIV_KEY_INFO_free(info);
	EVP_PKEY_free(key);
}

#define ED25519_JWK \
	"\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"," \
	"\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\""
#define EC_JWK \
	"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"," \
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\""

Test(resource_import, A44_the_jwk_of_rfc_8037_gives_its_signature)
{
	static const char input[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
	import_key("a", "\"jwk\":{" ED25519_JWK ",\"kid\":\"any\",\"key_ops\":[\"sign\"]}");
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = "a",
		.body = text_of("{\"algorithm\":\"EdDSA\",\"data\":\"%s\"}", b64(input, strlen(input))));
	cr_expect_str_eq(text_at(rest.json, "signature"),
		"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
}

/* A number of the key as base64url. */
static const char *number_of(const EVP_PKEY *key, const char *name)
{
	unsigned char bytes[600];
	BIGNUM *number = NULL;
	cr_assert_eq(EVP_PKEY_get_bn_param(key, name, &number), 1, "%s", name);
	int len = BN_bn2bin(number, bytes);
	BN_free(number);
	return b64(bytes, (size_t)len);
}

/* `wrong` gets another value, or is left out if `value` is NULL. */
static const char *rsa_jwk(const EVP_PKEY *key, const char *wrong, const char *value)
{
	static const struct {
		const char *name, *openssl;
	} members[] = {{"n", "n"}, {"e", "e"}, {"d", "d"}, {"p", "rsa-factor1"}, {"q", "rsa-factor2"},
		{"dp", "rsa-exponent1"}, {"dq", "rsa-exponent2"}, {"qi", "rsa-coefficient1"}};
	const char *text = "\"kty\":\"RSA\"";
	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
		bool changed = wrong != NULL && strcmp(wrong, members[i].name) == 0;
		if (!changed || value != NULL)
			text = text_of("%s,\"%s\":\"%s\"", text, members[i].name,
				changed ? value : number_of(key, members[i].openssl));
	}
	return text_of("\"jwk\":{%s}", text);
}

Test(resource_import, A44_jwk_of_ec_and_rsa_sign_as_the_keys_they_were)
{
	EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	import_key("rsa", rsa_jwk(rsa, NULL, NULL));
	expect_signs("rsa", "RS256", "SHA256", rsa);
	import_key("ec", "\"jwk\":{" EC_JWK "}");
	REST_AUTO struct rest jwk = REST(&worker, 200, .route = ROUTE_key_public, .key = "ec");
	cr_expect_str_eq(text_at(jwk.json, "x"), "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
	EVP_PKEY *ec = public_key_of(&worker, "ec");
	expect_signs("ec", "ES256", "SHA256", ec);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
}

/* RFC 4231, test case 6. */
static const char rfc4231_data[] = "Test Using Larger Than Block-Size Key - Hash Key First";
static const char rfc4231_mac[] = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";

static void expect_rfc4231(const char *label)
{
	unsigned char mac[64];
	REST_AUTO struct rest rest = REST(&worker, 200, .route = ROUTE_key_sign, .key = label,
		.body = text_of(
			"{\"algorithm\":\"HS256\",\"data\":\"%s\"}", b64(rfc4231_data, sizeof rfc4231_data - 1)));
	cr_assert_eq(bytes_at(rest.json, "signature", mac, sizeof mac), 32);
	for (size_t i = 0; i < 32; i++)
		cr_expect_eq(strncmp(text_of("%02x", mac[i]), rfc4231_mac + 2 * i, 2), 0);
}

Test(resource_import, A44_secret_keys_are_imported_as_value_and_as_jwk)
{
	unsigned char value[131];
	memset(value, 0xaa, sizeof value);
	import_key("raw", text_of("\"type\":\"HMAC\",\"value\":\"%s\"", b64(value, sizeof value)));
	expect_rfc4231("raw");
	import_key(
		"jwk", text_of("\"type\":\"HMAC\",\"jwk\":{\"kty\":\"oct\",\"k\":\"%s\"}", b64(value, sizeof value)));
	expect_rfc4231("jwk");
	import_key("aes", text_of("\"type\":\"AES\",\"value\":\"%s\"", b64(value, 16)));
	REST_AUTO struct rest aes = REST(&worker, 200, .route = ROUTE_key, .key = "aes");
	cr_expect_str_eq(text_at(aes.json, "type"), "AES");
	cr_expect_eq(json_integer_value(json_at(aes.json, "bits")), 128);
}

struct refusal {
	unsigned status;
	const char *members, *pointer;
};

Test(resource_import, A44_each_wrong_member_is_named_and_nothing_is_imported)
{
	static const struct refusal refusals[] = {
		{400, "\"extractable\":true", ""},
		{400, "\"value\":\"AAAA\"", "/type"},
		{400, "\"type\":\"AES\",\"value\":\"*\"", "/value"},
		{400, "\"type\":\"DES\",\"value\":\"AAAA\"", "/type"},
		{422, "\"type\":\"AES\",\"value\":\"AAAA\"", "/value"},
		{400, "\"type\":\"AES\",\"value\":\"AAAA\",\"pem\":\"x\"", "/value"},
		{400, "\"pem\":\"x\"", "/pem"},
		{400, "\"pem\":\"-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\\n\"", "/pem"},
		{400, "\"pkcs8\":\"AAAA\"", "/pkcs8"},
		{400, "\"jwk\":{}", "/jwk/kty"},
		{400, "\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}", "/type"},
		{400, "\"type\":\"AES\",\"jwk\":{\"kty\":\"oct\"}", "/jwk/k"},
		{422, "\"type\":\"AES\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}", "/jwk/k"},
		{400, "\"type\":\"AES\",\"jwk\":{" ED25519_JWK "}", "/type"},
		{400, "\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-255\"}", "/jwk/crv"},
		{400, "\"jwk\":{\"kty\":\"EC\",\"crv\":\"Ed25519\"}", "/jwk/crv"},
		{400, "\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}", "/jwk/d"},
		{400, "\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\",\"d\":\"AAAA\"}", "/jwk/d"},
		{400, "\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\",\"d\":\"AAAA\"}",
			"/jwk/x"},
		{400, "\"jwk\":{" EC_JWK ",\"more\":1}", "/jwk/more"},
		{400, "\"usage\":[\"wrap\"],\"jwk\":{" EC_JWK "}", "/usage/0"},
		{400, "\"id\":\"x\",\"jwk\":{" EC_JWK "}", "/id"},
	};
	for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
		REST_AUTO struct rest rest = REST(&worker, refusals[i].status, .route = ROUTE_key_import,
			.body = text_of("{\"label\":\"a\",%s}", refusals[i].members));
		cr_expect_str_eq(text_at(rest.json, "pointer"), refusals[i].pointer, "%s", refusals[i].members);
		cr_expect_eq(calls_of(&rest, "CreateObject"), 0);
	}
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "a");
}

Test(resource_import, A44_numbers_that_do_not_belong_together_are_refused)
{
	static const char *const members[] = {"n", "e", "d", "p", "q", "dp", "dq", "qi"};
	EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	char other[400];
	snprintf(other, sizeof other, "%s", number_of(rsa, "rsa-exponent1"));
	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
		REST_AUTO struct rest wrong = REST(&worker, 400, .route = ROUTE_key_import,
			.body = text_of("{\"label\":\"a\",%s}",
				rsa_jwk(rsa, members[i], strcmp(members[i], "dp") == 0 ? "Aw" : other)));
		cr_expect_str_eq(text_at(wrong.json, "pointer"), "/jwk", "%s", wrong.body);
		REST_AUTO struct rest missing = REST(&worker, 400, .route = ROUTE_key_import,
			.body = text_of("{\"label\":\"a\",%s}", rsa_jwk(rsa, members[i], NULL)));
		cr_expect_str_eq(text_at(missing.json, "pointer"), text_of("/jwk/%s", members[i]));
	}
	/* A point that is on the curve and another key's. */
	REST_ONLY(&worker, 400, .route = ROUTE_key_import,
		.body = "{\"label\":\"a\",\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\","
			"\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
			"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\","
			"\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LM\"}}");
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "a");
	EVP_PKEY_free(rsa);
}

Test(resource_import, A44_more_than_one_key_and_encrypted_keys_are_refused)
{
	EVP_PKEY *key;
	const char *pem = new_pem("EC", "P-256", &key);
	REST_ONLY(&worker, 400, .route = ROUTE_key_import,
		.body = text_of("{\"label\":\"a\",\"pem\":\"%s%s\"}", pem, pem));
	REST_AUTO struct rest encrypted = REST(&worker, 400, .route = ROUTE_key_import,
		.body = "{\"label\":\"a\",\"pem\":\"-----BEGIN ENCRYPTED PRIVATE KEY-----\\nAAAA\\n-----END ENCRYPTED "
			"PRIVATE "
			"KEY-----\\n\"}");
	cr_expect_not_null(strstr(text_at(encrypted.json, "detail"), "encrypted"));
	EVP_PKEY_free(key);
}

Test(resource_import, A44_taken_names_are_409_and_a_missing_login_401)
{
	make_resource_key(&worker, "HMAC", "a", "");
	REST_AUTO struct rest taken = REST(
		&worker, 409, .route = ROUTE_key_import, .body = "{\"label\":\"a\",\"jwk\":{" EC_JWK "}}");
	cr_expect_str_eq(text_at(taken.json, "pointer"), "/label");
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
	REST_ONLY(&worker, 401, .route = ROUTE_key_import, .body = "{\"label\":\"b\",\"jwk\":{" EC_JWK "}}");
}

Test(resource_import, A44_no_key_value_is_in_a_problem_or_an_event)
{
	static const char canary[] = "Y2FuYXJ5LXZhbHVlLTA4MTU"; /* 17 bytes, which no AES key has */
	REST_AUTO struct rest rest = REST(&worker, 422, .route = ROUTE_key_import,
		.body = text_of("{\"label\":\"a\",\"type\":\"AES\",\"value\":\"%s\"}", canary));
	REST_AUTO struct rest unknown = REST(&worker, 400, .route = ROUTE_key_import,
		.body = text_of("{\"label\":\"a\",\"type\":\"AES\",\"value\":\"%s\",\"more\":\"%s\"}", canary, canary));
	cr_expect_null(strstr(rest.body, canary));
	cr_expect_null(strstr(unknown.body, canary));
	cr_expect_eq(json_array_size(rest.events), 0);
}
