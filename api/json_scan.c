#include <stdint.h>
#include <string.h>

#include "api/internal.h"

/* A byte in each of the 8 bytes of a word. */
static uint64_t each_byte(unsigned char byte)
{
	return UINT64_C(0x0101010101010101) * byte;
}

/* Has the top bit set in (at least) each byte of `word` below `bound`, where no byte has its own top bit set. */
static uint64_t bytes_below(uint64_t word, unsigned char bound)
{
	return (word - each_byte(bound)) & ~word & each_byte(0x80);
}

bool json_plain_8(const unsigned char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return ((word & each_byte(0x80)) | bytes_below(word, 0x20) | bytes_below(word ^ each_byte('"'), 1) |
		       bytes_below(word ^ each_byte('\\'), 1) | bytes_below(word ^ each_byte(0x7f), 1)) == 0;
}

void json_scan_space(struct json_reader *in)
{
	while (in->at < in->end && (*in->at == ' ' || *in->at == '\n' || *in->at == '\r' || *in->at == '\t'))
		in->at++;
}

static int hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

/* The value of the 4 hexadecimal digits at `at`, or -1. */
static long hex_4(const char *at, const char *end)
{
	long value = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(at[i]);
		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

static bool is_high_surrogate(long unit)
{
	return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low_surrogate(long unit)
{
	return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* Moves over \uXXXX, or over two of them that are one character. The cursor is at the backslash. */
static bool scan_unicode_escape(struct json_reader *in)
{
	long unit = hex_4(in->at + 2, in->end);

	if (unit < 0)
		return json_fail(in, "\\u without four hexadecimal digits");
	if (unit == 0)
		return json_fail(in, "\\u0000 is not accepted");
	if (is_low_surrogate(unit))
		return json_fail(in, "surrogate without its pair");
	if (!is_high_surrogate(unit)) {
		in->at += 6;
		return true;
	}
	const char *pair = in->at + 6;
	if (in->end - pair < 6 || pair[0] != '\\' || pair[1] != 'u' || !is_low_surrogate(hex_4(pair + 2, in->end)))
		return json_fail(in, "surrogate without its pair");
	in->at += 12;
	return true;
}

static bool scan_escape(struct json_reader *in)
{
	if (in->end - in->at < 2)
		return json_fail(in, "string without end");
	switch (in->at[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't': in->at += 2; return true;
	case 'u': return scan_unicode_escape(in);
	default: return json_fail(in, "unknown escape");
	}
}

/* Moves over one character of a string that is not plain; the closing quote is the caller's. */
static bool scan_special(struct json_reader *in, bool *ret_escaped)
{
	const unsigned char *at = (const unsigned char *)in->at;

	if (*at == '\\') {
		*ret_escaped = true;
		return scan_escape(in);
	}
	if (*at < 0x20)
		return json_fail(in, "control character in a string");
	size_t len = utf8_len(at, (const unsigned char *)in->end);
	if (len == 0)
		return json_fail(in, "not UTF-8");
	in->at += len;
	return true;
}

bool json_scan_string(struct json_reader *in, struct json_text *ret_raw, bool *ret_escaped)
{
	bool escaped = false;

	if (in->error != NULL)
		return false;
	if (in->at == in->end || *in->at != '"')
		return json_fail(in, "expected a string");
	const char *start = ++in->at;
	for (;;) {
		while (in->end - in->at >= 8 && json_plain_8((const unsigned char *)in->at))
			in->at += 8;
		if (in->at == in->end)
			return json_fail(in, "string without end");
		if (*in->at == '"')
			break;
		if (!scan_special(in, &escaped))
			return false;
	}
	*ret_raw = (struct json_text){start, (size_t)(in->at - start)};
	*ret_escaped = escaped;
	in->at++;
	return true;
}

bool json_scan_literal(struct json_reader *in, const char *literal)
{
	size_t len = strlen(literal);

	if (in->error != NULL)
		return false;
	if ((size_t)(in->end - in->at) < len || memcmp(in->at, literal, len) != 0)
		return json_fail(in, "expected a value");
	in->at += len;
	return true;
}

static size_t utf8_write(unsigned char out[4], long code)
{
	if (code < 0x80) {
		out[0] = (unsigned char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (unsigned char)(0xC0 | code >> 6);
		out[1] = (unsigned char)(0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (unsigned char)(0xE0 | code >> 12);
		out[1] = (unsigned char)(0x80 | (code >> 6 & 0x3F));
		out[2] = (unsigned char)(0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (unsigned char)(0xF0 | code >> 18);
	out[1] = (unsigned char)(0x80 | (code >> 12 & 0x3F));
	out[2] = (unsigned char)(0x80 | (code >> 6 & 0x3F));
	out[3] = (unsigned char)(0x80 | (code & 0x3F));
	return 4;
}

size_t json_unescape(const char **at, unsigned char out[4])
{
	static const char letters[] = "bfnrt", bytes[] = "\b\f\n\r\t";
	const char *start = *at;

	if (start[0] != '\\') {
		out[0] = (unsigned char)start[0];
		*at += 1;
		return 1;
	}
	if (start[1] == 'u') {
		long code = hex_4(start + 2, start + 6);
		*at += 6;
		if (is_high_surrogate(code)) {
			code = 0x10000 + ((code - 0xD800) << 10) + (hex_4(start + 8, start + 12) - 0xDC00);
			*at += 6;
		}
		return utf8_write(out, code);
	}
	const char *letter = strchr(letters, start[1]);
	out[0] = (unsigned char)(letter != NULL ? bytes[letter - letters] : start[1]);
	*at += 2;
	return 1;
}
