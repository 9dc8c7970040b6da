#include "api/base64url.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* RFC 4648, section 10, without the padding; and the two characters in which the alphabets differ. */
static const struct {
	const char *bytes, *text;
} vectors[] = {
	{"", ""},
	{"f", "Zg"},
	{"fo", "Zm8"},
	{"foo", "Zm9v"},
	{"foob", "Zm9vYg"},
	{"fooba", "Zm9vYmE"},
	{"foobar", "Zm9vYmFy"},
	{"\xfb\xff\xbf", "-_-_"},
};

Test(base64url, encodes_the_vectors_of_rfc_4648_without_padding)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		char text[16] = "";
		size_t len = strlen(vectors[i].bytes);
		base64url_encode(text, vectors[i].bytes, len);
		cr_expect_str_eq(text, vectors[i].text);
		cr_expect_eq(base64url_encoded_len(len), strlen(vectors[i].text));
	}
}

Test(base64url, decodes_the_vectors_of_rfc_4648)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		unsigned char bytes[16];
		size_t len = 99;
		cr_expect(base64url_decode(bytes, &len, vectors[i].text, strlen(vectors[i].text)));
		cr_expect_eq(len, strlen(vectors[i].bytes));
		cr_expect_arr_eq(bytes, vectors[i].bytes, len);
	}
}

Test(base64url, every_byte_string_up_to_200_bytes_comes_back)
{
	unsigned char bytes[200], decoded[200];
	char text[268];

	srand(1);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		size_t decoded_len = 0, text_len = base64url_encoded_len(len);
		for (size_t i = 0; i < len; i++)
			bytes[i] = (unsigned char)rand();
		base64url_encode(text, bytes, len);
		cr_assert_eq(base64url_decoded_max(text_len), len);
		cr_assert(base64url_decode(decoded, &decoded_len, text, text_len));
		cr_assert_eq(decoded_len, len);
		cr_assert_arr_eq(decoded, bytes, len);
	}
}

static void expect_decoded(const char *text, const char *bytes)
{
	unsigned char decoded[16] = {0};
	size_t len = 0;

	cr_expect(base64url_decode(decoded, &len, text, strlen(text)), "%s", text);
	cr_expect_eq(len, strlen(bytes));
	cr_expect_arr_eq(decoded, bytes, len, "%s", text);
}

Test(base64url, accepts_the_other_alphabet_and_padding)
{
	expect_decoded("Zg==", "f");
	expect_decoded("Zm8=", "fo");
	expect_decoded("Zm9vYg==", "foob");
	expect_decoded("+/+/", "\xfb\xff\xbf");
	expect_decoded("-/+_", "\xfb\xff\xbf");
}

static void expect_refused(const char *text)
{
	unsigned char decoded[16];
	size_t len = 99;

	cr_expect_not(base64url_decode(decoded, &len, text, strlen(text)), "%s", text);
	cr_expect_eq(len, 99, "the length is written on success only");
}

Test(base64url, refuses_lengths_that_no_bytes_encode_to)
{
	expect_refused("A");
	expect_refused("AAAAA");
}

Test(base64url, a_lone_last_character_is_refused_whatever_stands_behind_it)
{
	unsigned char decoded[8];
	size_t len;

	cr_expect_not(base64url_decode(decoded, &len, "AAAAAAAA", 1));
	cr_expect_not(base64url_decode(decoded, &len, "AAAAAAAA", 5));
}

Test(base64url, refuses_wrong_padding)
{
	expect_refused("=");
	expect_refused("==");
	expect_refused("Zg=");
	expect_refused("Zm8==");
	expect_refused("Zm9v=");
	expect_refused("Zm9v==");
	expect_refused("Zm9v====");
	expect_refused("Z===");
	expect_refused("Zg==Zg==");
	expect_refused("Z=g=");
}

Test(base64url, refuses_bits_that_belong_to_no_byte)
{
	expect_refused("Zh");
	expect_refused("Zv");
	expect_refused("Zm9");
	expect_refused("Zm+");
	expect_refused("Zh==");
}

Test(base64url, refuses_every_character_of_neither_alphabet_at_every_place)
{
	const char *alphabets = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/";

	for (int byte = 0; byte < 256; byte++) {
		if (byte != 0 && strchr(alphabets, byte) != NULL)
			continue;
		for (size_t place = 0; place < 6; place++) {
			char text[] = "AAAAAA";
			unsigned char decoded[6];
			size_t len;
			text[place] = (char)byte;
			cr_assert_not(base64url_decode(decoded, &len, text, 6), "byte %d at %zu", byte, place);
		}
	}
}
