#include "api/base64url.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum { INVALID = 0x80 };

#define ROW_INVALID \
	INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, \
		INVALID, INVALID, INVALID, INVALID

/* Value of each character in either alphabet. */
static const unsigned char values[256] = {
	ROW_INVALID,
	ROW_INVALID,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	62,
	INVALID,
	62,
	INVALID,
	63,
	52,
	53,
	54,
	55,
	56,
	57,
	58,
	59,
	60,
	61,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	0,
	1,
	2,
	3,
	4,
	5,
	6,
	7,
	8,
	9,
	10,
	11,
	12,
	13,
	14,
	15,
	16,
	17,
	18,
	19,
	20,
	21,
	22,
	23,
	24,
	25,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	63,
	INVALID,
	26,
	27,
	28,
	29,
	30,
	31,
	32,
	33,
	34,
	35,
	36,
	37,
	38,
	39,
	40,
	41,
	42,
	43,
	44,
	45,
	46,
	47,
	48,
	49,
	50,
	51,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	INVALID,
	ROW_INVALID,
	ROW_INVALID,
	ROW_INVALID,
	ROW_INVALID,
	ROW_INVALID,
	ROW_INVALID,
	ROW_INVALID,
	ROW_INVALID,
};

size_t base64url_encoded_len(size_t len)
{
	return len / 3 * 4 + (len % 3 == 0 ? 0 : len % 3 + 1);
}

size_t base64url_decoded_max(size_t len)
{
	return len / 4 * 3 + (len % 4 == 0 ? 0 : len % 4 - 1);
}

void base64url_encode(char *out, const void *data, size_t len)
{
	const unsigned char *in = data;

	for (; len >= 3; in += 3, len -= 3, out += 4) {
		uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
		out[0] = alphabet[bits >> 18];
		out[1] = alphabet[bits >> 12 & 63];
		out[2] = alphabet[bits >> 6 & 63];
		out[3] = alphabet[bits & 63];
	}
	if (len == 0)
		return;
	uint32_t bits = (uint32_t)in[0] << 16 | (len == 2 ? (uint32_t)in[1] << 8 : 0);
	out[0] = alphabet[bits >> 18];
	out[1] = alphabet[bits >> 12 & 63];
	if (len == 2)
		out[2] = alphabet[bits >> 6 & 63];
}

/* Takes off the padding of the last quadruple. False if there is padding and it does not fill the quadruple. */
static bool padding_strip(const char *text, size_t *len)
{
	size_t padding = 0;

	while (padding < 2 && padding < *len && text[*len - 1 - padding] == '=')
		padding++;
	if (padding > 0 && *len % 4 != 0)
		return false;
	*len -= padding;
	return true;
}

bool base64url_decode(unsigned char *out, size_t *ret_len, const char *text, size_t len)
{
	const unsigned char *in = (const unsigned char *)text;
	unsigned char *start = out, seen = 0;

	if (!padding_strip(text, &len) || len % 4 == 1)
		return false;
	for (; len >= 4; in += 4, len -= 4, out += 3) {
		unsigned char a = values[in[0]], b = values[in[1]], c = values[in[2]], d = values[in[3]];
		seen |= a | b | c | d;
		out[0] = (unsigned char)(a << 2 | b >> 4);
		out[1] = (unsigned char)(b << 4 | c >> 2);
		out[2] = (unsigned char)(c << 6 | d);
	}
	if (len > 0) {
		unsigned char a = values[in[0]], b = values[in[1]], c = len == 3 ? values[in[2]] : 0;
		seen |= a | b | c;
		if ((len == 2 && (b & 15) != 0) || (len == 3 && (c & 3) != 0))
			return false;
		*out++ = (unsigned char)(a << 2 | b >> 4);
		if (len == 3)
			*out++ = (unsigned char)(b << 4 | c >> 2);
	}
	if (seen & INVALID)
		return false;
	*ret_len = (size_t)(out - start);
	return true;
}
