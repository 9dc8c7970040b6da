/* Listing and reading keys: pages, filters, attributes, and public keys for SSH. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_list, resource_setup_logged_in);

/* The labels of the keys that a query lists, with commas behind them. */
static const char *labels(const char *query)
{
	REST_AUTO struct rest list = REST(&worker, 200, .route = ROUTE_keys, .query = query);
	const char *text = "";
	for (size_t i = 0; i < json_array_size(json_at(list.json, "keys")); i++)
		text = text_of("%s%s,", text, text_at(list.json, text_of("keys/%zu/label", i)));
	return text;
}

Test(resource_list, A41_filters_narrow_the_list)
{
	make_resource_key(&worker, "EC", "a", ",\"id\":\"01\"");
	make_resource_key(&worker, "RSA", "b", ",\"id\":\"02\"");
	make_resource_key(&worker, "AES", "c", ",\"id\":\"03\"");
	make_resource_key(&worker, "Ed25519", "d", ",\"id\":\"04\"");
	cr_expect_str_eq(labels("class=private"), "a,b,d,");
	cr_expect_str_eq(labels("class=secret"), "c,");
	cr_expect_str_eq(labels("class=public"), "");
	cr_expect_str_eq(labels("type=EC"), "a,");
	cr_expect_str_eq(labels("type=Ed25519"), "d,");
	cr_expect_str_eq(labels("label=b"), "b,");
	cr_expect_str_eq(labels("id=03"), "c,");
	cr_expect_str_eq(labels("class=private&type=RSA&label=b&id=02"), "b,");
	cr_expect_str_eq(labels("class=secret&label=b"), "");
	cr_expect_str_eq(labels("type=DSA"), "");
}

Test(resource_list, A41_a_filter_shows_a_key_as_the_whole_list_does)
{
	static const char *const queries[] = {"label=a", "id=01", "class=private", "type=EC"};
	make_resource_key(&worker, "EC", "a", ",\"id\":\"01\"");
	REST_AUTO struct rest whole = REST(&worker, 200, .route = ROUTE_keys);
	cr_assert_eq(json_array_size(json_at(whole.json, "keys/0/usage")), 2);
	for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
		REST_AUTO struct rest part = REST(&worker, 200, .route = ROUTE_keys, .query = queries[i]);
		cr_expect(json_equal(json_at(part.json, "keys/0/usage"), json_at(whole.json, "keys/0/usage")));
		cr_expect_str_eq(text_at(part.json, "keys/0/class"), "private");
	}
}

Test(resource_list, A41_halves_of_different_labels_are_one_key_under_its_private_label)
{
	const struct client client = {.worker = &worker, .instance = {7}};
	json_int_t session = open_session(&client);
	expect(&client, "CKR_OK",
		"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"},"
		"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":"
		"false},"
		"{\"CKA_LABEL\":\"public\"},{\"CKA_ID\":\"AQ\"}],\"private_attributes\":[{\"CKA_TOKEN\":true},"
		"{\"CKA_LABEL\":\"private\"},{\"CKA_ID\":\"AQ\"}]}}",
		session);
	cr_expect_str_eq(labels("label=private"), "private,");
	cr_expect_str_eq(labels("label=public"), "");
	cr_expect_str_eq(labels(""), "private,");
}

Test(resource_list, A41_wrong_parameters_are_400)
{
	static const char *const queries[] = {"class=certificate", "class=", "id=x", "id=", "expand=all",
		"expand=attributes&limit=101", "label=a&label=b", "attributes=CKA_LABEL"};
	for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
		REST_AUTO struct rest rest = REST(&worker, 400, .route = ROUTE_keys, .query = queries[i]);
		cr_expect_str_eq(text_at(rest.json, "type"), "/docs/errors/invalid-query");
	}
}

static const char *next_of(const char *query)
{
	REST_AUTO struct rest list = REST(&worker, 200, .route = ROUTE_keys, .query = query);
	return text_of("%s", text_at(list.json, "next"));
}

Test(resource_list, A41_a_cursor_is_for_its_filters_and_identity)
{
	make_resource_key(&worker, "HMAC", "a", "");
	make_resource_key(&worker, "HMAC", "b", "");
	make_resource_key(&worker, "EC", "c", "");
	const char *cursor = next_of("limit=1&class=secret");
	cr_expect_str_eq(labels(text_of("cursor=%s&class=secret", cursor)), "b,");
	REST_ONLY(&worker, 400, .route = ROUTE_keys, .query = text_of("cursor=%s", cursor));
	REST_ONLY(&worker, 400, .route = ROUTE_keys, .query = text_of("cursor=%s&class=private", cursor));
	REST_ONLY(&worker, 400, .route = ROUTE_keys, .query = text_of("cursor=%s&class=secret", cursor),
		.identity = "bob");
	char *changed = strdup(cursor);
	changed[20] = changed[20] == 'A' ? 'B' : 'A';
	REST_ONLY(&worker, 400, .route = ROUTE_keys, .query = text_of("cursor=%s&class=secret", changed));
	free(changed);
}

Test(resource_list, A41_keys_that_no_name_tells_apart_are_all_in_the_pages)
{
	for (size_t i = 0; i < 5; i++)
		import_hmac_key(&worker, "twin", "0123456789abcdef", 16);
	const char *query = "limit=2";
	size_t count = 0, pages = 0;
	for (bool more = true; more; pages++) {
		REST_AUTO struct rest page = REST(&worker, 200, .route = ROUTE_keys, .query = query);
		count += json_array_size(json_at(page.json, "keys"));
		more = json_is_string(json_at(page.json, "next"));
		query = text_of("limit=2&cursor=%s", text_at(page.json, "next"));
	}
	cr_expect_eq(count, 5);
	cr_expect_eq(pages, 3);
}

Test(resource_list, A42_attributes_are_read_by_name)
{
	make_resource_key(&worker, "EC", "a", ",\"id\":\"0102\"");
	REST_AUTO struct rest key = REST(&worker, 200, .route = ROUTE_key, .key = "a",
		.query = "attributes=CKA_LABEL,CKA_ID,CKA_SIGN,CKA_CLASS,CKA_KEY_TYPE,CKA_EC_POINT");
	cr_expect_str_eq(text_at(key.json, "label"), "a");
	cr_expect_str_eq(text_at(key.json, "attributes/CKA_LABEL"), "a");
	cr_expect_str_eq(text_at(key.json, "attributes/CKA_ID"), "AQI");
	cr_expect(json_is_true(json_at(key.json, "attributes/CKA_SIGN")));
	cr_expect_str_eq(text_at(key.json, "attributes/CKA_CLASS"), "CKO_PRIVATE_KEY");
	cr_expect_str_eq(text_at(key.json, "public_attributes/CKA_CLASS"), "CKO_PUBLIC_KEY");
	cr_expect_str_eq(text_at(key.json, "attributes/CKA_KEY_TYPE"), "CKK_EC");
	cr_expect_str_not_empty(text_at(key.json, "public_attributes/CKA_EC_POINT"));
}

Test(resource_list, A42_what_is_sensitive_or_missing_is_told_as_such)
{
	make_resource_key(&worker, "EC", "a", "");
	make_resource_key(&worker, "HMAC", "mac", "");
	REST_AUTO struct rest pair = REST(
		&worker, 200, .route = ROUTE_key, .key = "a", .query = "attributes=CKA_VALUE,CKA_MODULUS,0x80000001");
	cr_expect(json_is_true(json_at(pair.json, "attributes/CKA_VALUE/sensitive")), "%s", pair.body);
	cr_expect(json_is_null(json_at(pair.json, "attributes/CKA_MODULUS")), "%s", pair.body);
	cr_expect(json_is_null(json_at(pair.json, "attributes/0x80000001")), "%s", pair.body);
	REST_AUTO struct rest secret = REST(
		&worker, 200, .route = ROUTE_key, .key = "mac", .query = "attributes=CKA_VALUE");
	cr_expect(json_is_true(json_at(secret.json, "attributes/CKA_VALUE/sensitive")), "%s", secret.body);
}

Test(resource_list, A42_key_material_is_not_shown_even_where_the_token_would)
{
	const struct client client = {.worker = &worker, .instance = {7}};
	json_int_t session = open_session(&client);
	expect(&client, "CKR_OK",
		"{\"CreateObject\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_SECRET_KEY\"},{\"CKA_KEY_"
		"TYPE\":"
		"\"CKK_GENERIC_SECRET\"},{\"CKA_TOKEN\":true},{\"CKA_SENSITIVE\":false},{\"CKA_EXTRACTABLE\":true},"
		"{\"CKA_LABEL\":\"open\"},{\"CKA_VALUE\":\"Y2FuYXJ5LWtleQ\"}]}}",
		session);
	REST_AUTO struct rest named = REST(
		&worker, 200, .route = ROUTE_key, .key = "open", .query = "attributes=CKA_VALUE");
	cr_expect_eq(json_integer_value(json_at(named.json, "attributes/CKA_VALUE/length")), 10, "%s", named.body);
	REST_AUTO struct rest all = REST(&worker, 200, .route = ROUTE_keys, .query = "expand=attributes");
	cr_expect_str_eq(text_at(all.json, "keys/0/attributes/CKA_LABEL"), "open");
	cr_expect_null(strstr(named.body, "Y2FuYXJ5"));
	cr_expect_null(strstr(all.body, "Y2FuYXJ5"));
	cr_expect_null(json_at(all.json, "keys/0/attributes/CKA_VALUE"));
}

Test(resource_list, A42_wrong_names_are_400)
{
	static const char *const queries[] = {"attributes=", "attributes=CKA_LABEL,", "attributes=CKA_X",
		"attributes=CKA_LABEL,,CKA_ID", "attributes=cka_label", "attributes=0x3", "attribute=CKA_ID",
		"limit=1"};
	make_resource_key(&worker, "HMAC", "a", "");
	for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
		REST_ONLY(&worker, 400, .route = ROUTE_key, .key = "a", .query = queries[i]);
}

Test(resource_list, A41_expanded_keys_have_all_attributes_of_both_halves)
{
	make_resource_key(&worker, "RSA", "a", "");
	REST_AUTO struct rest list = REST(&worker, 200, .route = ROUTE_keys, .query = "expand=attributes&limit=100");
	cr_expect_str_eq(text_at(list.json, "keys/0/attributes/CKA_CLASS"), "CKO_PRIVATE_KEY");
	cr_expect(json_is_true(json_at(list.json, "keys/0/attributes/CKA_SENSITIVE")));
	cr_expect_str_eq(text_at(list.json, "keys/0/attributes/CKA_KEY_GEN_MECHANISM"), "CKM_RSA_PKCS_KEY_PAIR_GEN");
	cr_expect_str_eq(text_at(list.json, "keys/0/public_attributes/CKA_PUBLIC_EXPONENT"), "AQAB");
	cr_expect_eq(json_integer_value(json_at(list.json, "keys/0/public_attributes/CKA_MODULUS_BITS")), 2048);
	cr_expect_null(json_at(list.json, "keys/0/attributes/CKA_PRIVATE_EXPONENT"));
}

/* Appends a string of SSH; a number gets a zero byte in front of a set sign (mpint). */
static size_t put_string(unsigned char *out, const void *data, size_t len, bool number)
{
	bool sign = number && (((const unsigned char *)data)[0] & 0x80) != 0;
	size_t all = len + sign;
	const unsigned char head[] = {(unsigned char)(all >> 24), (unsigned char)(all >> 16), (unsigned char)(all >> 8),
		(unsigned char)all, 0};
	memcpy(out, head, 4 + sign);
	memcpy(out + 4 + sign, data, len);
	return 4 + all;
}

/* The encoding of the key by its JWK: RFC 4253, section 6.6; RFC 5656, section 3.1; RFC 8709, section 4. */
static size_t ssh_blob(const json_t *jwk, const char *ssh, unsigned char *out)
{
	unsigned char one[1024], two[1024];
	size_t len = put_string(out, ssh, strlen(ssh), false);
	if (strcmp(text_at(jwk, "kty"), "RSA") == 0) {
		len += put_string(out + len, one, bytes_at(jwk, "e", one, sizeof one), true);
		return len + put_string(out + len, two, bytes_at(jwk, "n", two, sizeof two), true);
	}
	if (strcmp(text_at(jwk, "kty"), "OKP") == 0)
		return len + put_string(out + len, one, bytes_at(jwk, "x", one, sizeof one), false);
	const char *curve = ssh + strlen("ecdsa-sha2-");
	len += put_string(out + len, curve, strlen(curve), false);
	one[0] = 4;
	size_t number = bytes_at(jwk, "x", one + 1, 512);
	number += bytes_at(jwk, "y", one + 1 + number, 512);
	return len + put_string(out + len, one, 1 + number, false);
}

static void expect_ssh(const char *type, const char *more, const char *ssh)
{
	unsigned char blob[2048];
	char base64[4096];
	const char *label = text_of("for %s", ssh);
	make_resource_key(&worker, type, label, more);
	REST_AUTO struct rest jwk = REST(&worker, 200, .route = ROUTE_key_public, .key = label);
	REST_AUTO struct rest line = REST(
		&worker, 200, .route = ROUTE_key_public, .key = label, .accept = "text/x-ssh-public-key");
	cr_expect_str_eq(line.content_type, "text/x-ssh-public-key");
	EVP_EncodeBlock((unsigned char *)base64, blob, (int)ssh_blob(jwk.json, ssh, blob));
	cr_expect_str_eq(line.body, text_of("%s %s %s\n", ssh, base64, label));
}

Test(resource_list, A43_a_public_key_is_a_line_for_ssh)
{
	expect_ssh("EC", "", "ecdsa-sha2-nistp256");
	expect_ssh("EC", ",\"curve\":\"P-384\"", "ecdsa-sha2-nistp384");
	expect_ssh("EC", ",\"curve\":\"P-521\"", "ecdsa-sha2-nistp521");
	expect_ssh("RSA", "", "ssh-rsa");
	expect_ssh("Ed25519", "", "ssh-ed25519");
	expect_ssh("Ed448", "", "ssh-ed448");
}

Test(resource_list, A43_a_label_makes_no_second_line_for_ssh)
{
	make_resource_key(&worker, "Ed25519", "a\\nssh-rsa AAAA evil", "");
	REST_AUTO struct rest line = REST(&worker, 200, .route = ROUTE_key_public, .key = "a\nssh-rsa AAAA evil",
		.accept = "text/x-ssh-public-key");
	cr_expect_eq(strchr(line.body, '\n'), line.body + line.body_len - 1, "%s", line.body);
}

Test(resource_list, A43_what_ssh_has_no_keys_of_is_406)
{
	make_resource_key(&worker, "EC", "a", ",\"curve\":\"secp256k1\"");
	REST_ONLY(&worker, 406, .route = ROUTE_key_public, .key = "a", .accept = "text/x-ssh-public-key");
	REST_ONLY(&worker, 200, .route = ROUTE_key_public, .key = "a", .accept = "application/x-pem-file");
}
