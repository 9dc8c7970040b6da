#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <string.h>

#include "api/codec.h"
#include "server/worker/resources/accept.h"
#include "server/worker/resources/algorithm.h"
#include "server/worker/resources/curve.h"
#include "server/worker/resources/ecdsa.h"
#include "server/common/escape.h"
#include "server/common/pkcs11_uri.h"

/* --- PKCS#11 URIs --- */

static bool is(struct bytes bytes, const char *text)
{
	return bytes.data != NULL && bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

Test(resource_uri, reads_every_attribute)
{
	ARENA_AUTO struct arena arena;
	struct pkcs11_uri uri;
	const char *error;
	arena_init(&arena, 1 << 16);
	cr_assert(pkcs11_uri_parse(&arena,
			  "pkcs11:token=My%20token;manufacturer=SoftHSM%20project;serial=1f;model=SoftHSM%20v2;"
			  "object=a%3bb%3Fc;id=%00%01%ff;type=private",
			  &uri, &error),
		"%s", error);
	cr_expect(is(uri.token, "My token"));
	cr_expect(is(uri.manufacturer, "SoftHSM project"));
	cr_expect(is(uri.serial, "1f"));
	cr_expect(is(uri.model, "SoftHSM v2"));
	cr_expect(is(uri.object, "a;b?c"));
	cr_assert_eq(uri.id.len, 3);
	cr_expect_eq(memcmp(uri.id.data, "\0\1\xff", 3), 0);
	cr_expect_eq(pkcs11_uri_class(&uri), CKO_PRIVATE_KEY);
}

Test(resource_uri, says_nothing_where_the_uri_says_nothing)
{
	ARENA_AUTO struct arena arena;
	struct pkcs11_uri uri;
	const char *error;
	arena_init(&arena, 1 << 16);
	cr_assert(pkcs11_uri_parse(&arena, "pkcs11:object=a", &uri, &error));
	cr_expect_null(uri.id.data);
	cr_expect_null(uri.token.data);
	cr_expect_eq(pkcs11_uri_class(&uri), CK_UNAVAILABLE_INFORMATION);
}

struct text {
	char text[96];
};

ParameterizedTestParameters(resource_uri, refuses)
{
	static struct text texts[] = {
		{"object=a"},
		{"PKCS11:object=a"},
		{"pkcs11:"},
		{"pkcs11:token=a"},
		{"pkcs11:object"},
		{"pkcs11:object=a;"},
		{"pkcs11:;object=a"},
		{"pkcs11:object=a;object=b"},
		{"pkcs11:object=a;colour=red"},
		{"pkcs11:object=a b"},
		{"pkcs11:object=a%2"},
		{"pkcs11:object=a%zz"},
		{"pkcs11:id=%"},
		{"pkcs11:id=\x01"},
		{"pkcs11:object=a;type=cert"},
		{"pkcs11:object=a;type=PRIVATE"},
		{"pkcs11:object=a?pin-value=1234"},
		{"pkcs11:object=a?"},
		{"pkcs11:object=a;x-vendor=1"},
	};
	return cr_make_param_array(struct text, texts, sizeof texts / sizeof texts[0]);
}

ParameterizedTest(struct text *text, resource_uri, refuses)
{
	ARENA_AUTO struct arena arena;
	struct pkcs11_uri uri;
	const char *error = NULL;
	arena_init(&arena, 1 << 16);
	cr_expect_not(pkcs11_uri_parse(&arena, text->text, &uri, &error), "accepted: %s", text->text);
	cr_expect_not_null(error);
}

Test(resource_uri, compares_token_fields_without_their_padding)
{
	ARENA_AUTO struct arena arena;
	struct pkcs11_uri uri;
	const char *error;
	CK_TOKEN_INFO token;
	memset(&token, ' ', sizeof token);
	memcpy(token.label, "demo", 4);
	memcpy(token.serialNumber, "0123456789abcdef", 16);
	arena_init(&arena, 1 << 16);
	cr_assert(pkcs11_uri_parse(&arena, "pkcs11:token=demo;serial=0123456789abcdef;object=a", &uri, &error));
	cr_expect(pkcs11_uri_matches_token(&uri, &token));
	cr_assert(pkcs11_uri_parse(&arena, "pkcs11:token=dem;object=a", &uri, &error));
	cr_expect_not(pkcs11_uri_matches_token(&uri, &token));
	cr_assert(pkcs11_uri_parse(&arena, "pkcs11:model=other;object=a", &uri, &error));
	cr_expect_not(pkcs11_uri_matches_token(&uri, &token));
}

/* --- escapes --- */

Test(resource_escape, percent_encoding_comes_back)
{
	ARENA_AUTO struct arena arena;
	BUFFER_AUTO struct buffer text;
	struct bytes back;
	char all[255];
	for (int i = 0; i < 255; i++)
		all[i] = (char)(i + 1);
	arena_init(&arena, 1 << 16);
	buffer_init(&text, 4096);
	percent_encode(&text, all, sizeof all);
	cr_assert(percent_decode(&arena, (const char *)text.data, text.len, &back));
	cr_assert_eq(back.len, sizeof all);
	cr_expect_eq(memcmp(back.data, all, sizeof all), 0);
}

Test(resource_escape, hexadecimal_wants_whole_bytes)
{
	ARENA_AUTO struct arena arena;
	struct bytes bytes;
	arena_init(&arena, 1 << 16);
	cr_assert(hex_bytes(&arena, "00Ff1a", &bytes));
	cr_expect_eq(bytes.len, 3);
	cr_expect_eq(memcmp(bytes.data, "\x00\xff\x1a", 3), 0);
	cr_expect_not(hex_bytes(&arena, "", &bytes));
	cr_expect_not(hex_bytes(&arena, "0", &bytes));
	cr_expect_not(hex_bytes(&arena, "0g", &bytes));
	cr_expect_not(hex_bytes(&arena, "0x11", &bytes));
}

/* --- the Accept header --- */

struct accept {
	char header[96];
	int chosen;
};

ParameterizedTestParameters(resource_accept, chooses)
{
	static struct accept accepts[] = {
		{"", 0},
		{"*/*", 0},
		{"application/x-pem-file", 1},
		{"APPLICATION/X-PEM-FILE", 1},
		{"application/*", 0},
		{"text/plain, application/x-pem-file;q=0.1", 1},
		{"application/jwk+json;q=0.2,application/x-pem-file;q=0.9", 1},
		{"*/*;q=0.5, application/jwk+json;q=0", 1},
		{"application/jwk+json;q=0, application/x-pem-file;q=0", -1},
		{"text/plain", -1},
		{"application/x-pem-file ; q=1.0", 1},
		{"application/x-pem-file;charset=utf-8", 1},
		{"text/*", -1},
		{"*/*;q=0", -1},
		{"application/x-pem-fil", -1},
		{"garbage;;;,,", -1},
	};
	return cr_make_param_array(struct accept, accepts, sizeof accepts / sizeof accepts[0]);
}

ParameterizedTest(struct accept *accept, resource_accept, chooses)
{
	static const char *const offers[] = {"application/jwk+json", "application/x-pem-file"};
	cr_expect_eq(accept_choose(accept->header, offers, 2), accept->chosen, "%s", accept->header);
}

/* --- algorithms and curves --- */

Test(resource_algorithm, every_curve_of_an_algorithm_has_a_row)
{
	static const char *const names[] = {"ES256", "ES384", "ES512"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		const struct algorithm *algorithm = algorithm_by_name(names[i]);
		cr_assert_not_null(algorithm);
		const struct curve *curve = curve_by_name(algorithm->curve);
		cr_assert_not_null(curve);
		cr_expect_eq(curve_of_params(curve->params), curve);
		cr_expect(mechanism_fits_key(algorithm->mechanism, CKO_PRIVATE_KEY, curve->type));
	}
}

Test(resource_algorithm, names_are_jose_names_and_nothing_else)
{
	cr_expect_not_null(algorithm_by_name("EdDSA"));
	cr_expect_null(algorithm_by_name("es256"));
	cr_expect_null(algorithm_by_name("none"));
	cr_expect_null(algorithm_by_name(""));
}

Test(resource_algorithm, a_combined_mechanism_leads_to_the_plain_one)
{
	const struct algorithm *algorithm = algorithm_by_combined(CKM_ECDSA_SHA256);
	cr_assert_not_null(algorithm);
	cr_expect_eq(algorithm->mechanism, CKM_ECDSA);
	cr_expect_str_eq(algorithm->hash, "SHA256");
	cr_expect_null(algorithm_by_combined(CKM_ECDSA));
	cr_expect_null(algorithm_by_combined(CKM_SHA256_HMAC));
}

Test(resource_algorithm, pss_salts_are_as_long_as_the_hash)
{
	cr_expect_eq(algorithm_pss(algorithm_by_name("PS256")).sLen, 32);
	cr_expect_eq(algorithm_pss(algorithm_by_name("PS384")).sLen, 48);
	cr_expect_eq(algorithm_pss(algorithm_by_name("PS512")).sLen, 64);
	cr_expect_eq(algorithm_pss(algorithm_by_name("PS512")).hashAlg, CKM_SHA512);
	cr_expect_eq(algorithm_pss(algorithm_by_name("PS384")).mgf, CKG_MGF1_SHA384);
}

/* --- forms of an ECDSA signature --- */

static void forms(struct arena *arena, const char *raw, size_t raw_len, const char *der, size_t der_len)
{
	struct bytes out, back;
	cr_assert(ecdsa_raw_to_der(arena, (struct bytes){(const unsigned char *)raw, raw_len}, &out));
	cr_assert_eq(out.len, der_len);
	cr_expect_eq(memcmp(out.data, der, der_len), 0);
	cr_assert(ecdsa_der_to_raw(arena, out, raw_len / 2, &back));
	cr_assert_eq(back.len, raw_len);
	cr_expect_eq(memcmp(back.data, raw, raw_len), 0);
}

Test(resource_ecdsa, small_numbers_lose_their_zeros_and_high_bits_gain_one)
{
	ARENA_AUTO struct arena arena;
	arena_init(&arena, 1 << 16);
	forms(&arena, "\x00\x00\x01\x00\x00\x02", 6, "\x30\x06\x02\x01\x01\x02\x01\x02", 8);
	forms(&arena, "\x80\x00\x00\xff", 4, "\x30\x09\x02\x03\x00\x80\x00\x02\x02\x00\xff", 11);
}

Test(resource_ecdsa, refuses_odd_lengths_and_broken_der)
{
	ARENA_AUTO struct arena arena;
	struct bytes out;
	arena_init(&arena, 1 << 16);
	cr_expect_not(ecdsa_raw_to_der(&arena, (struct bytes){(const unsigned char *)"abc", 3}, &out));
	cr_expect_not(ecdsa_raw_to_der(&arena, (struct bytes){(const unsigned char *)"", 0}, &out));
	static const struct {
		const char *der;
		size_t len;
	} broken[] = {
		{"\x30\x06\x02\x01\x01\x02\x01\x02\x00", 9},
		{"\x30\x06\x02\x01\x01\x02\x01", 7},
		{"\x30\x07\x02\x02\x01\x01\x02\x01\x02", 9},
		{"\x30\x06\x02\x01\x81\x02\x01\x02", 8},
		{"", 0},
	};
	for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
		cr_expect_not(ecdsa_der_to_raw(&arena,
				      (struct bytes){(const unsigned char *)broken[i].der, broken[i].len}, 1, &out),
			"%zu", i);
}
