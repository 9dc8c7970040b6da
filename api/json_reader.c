#include <string.h>

#include "api/base64url.h"
#include "api/internal.h"

void json_reader_init(struct json_reader *in, const char *text, size_t len, struct arena *arena)
{
	/* The body of a request without one is NULL, to which not even 0 may be added. */
	if (text == NULL)
		text = "";
	*in = (struct json_reader){.start = text, .at = text, .end = text + len, .arena = arena};
	json_scan_space(in);
}

bool json_fail(struct json_reader *in, const char *error)
{
	if (in->error == NULL)
		in->error = error;
	return false;
}

bool json_failed(const struct json_reader *in)
{
	return in->error != NULL;
}

size_t json_offset(const struct json_reader *in)
{
	return (size_t)(in->at - in->start);
}

enum json_type json_peek(struct json_reader *in)
{
	if (in->error != NULL || in->at == in->end)
		return JSON_TYPE_NOTHING;
	switch (*in->at) {
	case '{': return JSON_TYPE_OBJECT;
	case '[': return JSON_TYPE_ARRAY;
	case '"': return JSON_TYPE_STRING;
	case 't': return JSON_TYPE_TRUE;
	case 'f': return JSON_TYPE_FALSE;
	case 'n': return JSON_TYPE_NULL;
	case '-': return JSON_TYPE_NUMBER;
	default: return *in->at >= '0' && *in->at <= '9' ? JSON_TYPE_NUMBER : JSON_TYPE_NOTHING;
	}
}

static bool container_enter(struct json_reader *in, const char *open)
{
	if (in->error != NULL || !json_scan_literal(in, open))
		return false;
	if (in->depth == JSON_DEPTH_MAX) {
		in->at--;
		return json_fail(in, "nested too deep");
	}
	in->depth++;
	in->first = true;
	json_scan_space(in);
	return true;
}

/* Moves to the next item of the open container, or leaves it and returns false. */
static bool container_next(struct json_reader *in, char close)
{
	if (in->error != NULL)
		return false;
	json_scan_space(in);
	if (in->at == in->end)
		return json_fail(in, "ends too early");
	if (*in->at == close) {
		in->at++;
		in->depth--;
		in->first = false;
		return false;
	}
	if (!in->first) {
		if (*in->at != ',')
			return json_fail(in, close == '}' ? "expected , or }" : "expected , or ]");
		in->at++;
		json_scan_space(in);
	}
	in->first = false;
	return true;
}

bool json_enter_object(struct json_reader *in)
{
	if (in->error == NULL && json_peek(in) != JSON_TYPE_OBJECT)
		return json_fail(in, "expected an object");
	return container_enter(in, "{");
}

bool json_enter_array(struct json_reader *in)
{
	if (in->error == NULL && json_peek(in) != JSON_TYPE_ARRAY)
		return json_fail(in, "expected an array");
	return container_enter(in, "[");
}

bool json_next_element(struct json_reader *in)
{
	return container_next(in, ']');
}

bool json_next_name(struct json_reader *in, struct json_text *ret_raw, bool *ret_escaped)
{
	if (!container_next(in, '}') || !json_scan_string(in, ret_raw, ret_escaped))
		return false;
	json_scan_space(in);
	if (in->at == in->end || *in->at != ':')
		return json_fail(in, "expected a colon");
	in->at++;
	json_scan_space(in);
	return true;
}

/* The string `raw` without its escapes, which never make it longer, in the arena. */
static bool text_unescape(struct json_reader *in, struct json_text raw, struct json_text *ret_text)
{
	unsigned char *text = in->arena == NULL ? NULL : arena_alloc(in->arena, raw.len);
	unsigned char piece[4];
	size_t len = 0;

	if (text == NULL)
		return json_fail(in, "too long for the memory set aside");
	for (const char *at = raw.data; at < raw.data + raw.len;) {
		size_t piece_len = json_unescape(&at, piece);
		memcpy(text + len, piece, piece_len);
		len += piece_len;
	}
	*ret_text = (struct json_text){(const char *)text, len};
	return true;
}

bool json_next_member(struct json_reader *in, struct json_text *ret_name)
{
	struct json_text raw;
	bool escaped;

	if (!json_next_name(in, &raw, &escaped))
		return false;
	if (escaped)
		return text_unescape(in, raw, ret_name);
	*ret_name = raw;
	return true;
}

bool json_read_string(struct json_reader *in, struct json_text *ret_text)
{
	struct json_text raw;
	bool escaped;

	if (!json_scan_string(in, &raw, &escaped))
		return false;
	if (escaped)
		return text_unescape(in, raw, ret_text);
	*ret_text = raw;
	return true;
}

bool json_read_bytes(struct json_reader *in, unsigned char **ret_data, size_t *ret_len)
{
	struct json_text text;

	if (json_peek(in) != JSON_TYPE_STRING)
		return json_fail(in, "expected a base64url string");
	const char *start = in->at + 1;
	const char *quote = memchr(start, '"', (size_t)(in->end - start));
	/* Most text is base64url up to the quote and need not be looked at as a string first. */
	text = (struct json_text){start, quote == NULL ? 0 : (size_t)(quote - start)};
	const char *position = in->at;
	if (quote != NULL && memchr(start, '\\', text.len) == NULL)
		in->at = quote + 1;
	else if (!json_read_string(in, &text))
		return false;
	unsigned char *data = in->arena == NULL ? NULL : arena_alloc(in->arena, base64url_decoded_max(text.len));
	if (data == NULL)
		return json_fail(in, "too long for the memory set aside");
	if (!base64url_decode(data, ret_len, text.data, text.len)) {
		in->at = position;
		return json_fail(in, "not base64url");
	}
	*ret_data = data;
	return true;
}

/* Decimal digits without sign and leading zeros, at most `max`. */
static bool uint_parse(struct json_text text, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (text.len == 0 || (text.len > 1 && text.data[0] == '0'))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char digit = text.data[i];
		if (digit < '0' || digit > '9' || __builtin_mul_overflow(number, 10, &number) ||
			__builtin_add_overflow(number, (uint64_t)(digit - '0'), &number))
			return false;
	}
	if (number > max)
		return false;
	*ret_number = number;
	return true;
}

bool json_read_uint(struct json_reader *in, uint64_t *ret_number)
{
	const char *start = in->at;
	uint64_t max = UINT64_C(1) << 53;
	struct json_text text;

	if (json_peek(in) == JSON_TYPE_STRING) {
		max = UINT64_MAX;
		if (!json_read_string(in, &text))
			return false;
	} else {
		if (json_peek(in) != JSON_TYPE_NUMBER)
			return json_fail(in, "expected a non-negative integer");
		if (!json_scan_number(in))
			return false;
		text = (struct json_text){start, (size_t)(in->at - start)};
	}
	if (uint_parse(text, max, ret_number))
		return true;
	in->at = start;
	return json_fail(in, "expected a non-negative integer");
}

bool json_read_bool(struct json_reader *in, bool *ret_flag)
{
	enum json_type type = json_peek(in);

	if (type != JSON_TYPE_TRUE && type != JSON_TYPE_FALSE)
		return json_fail(in, "expected true or false");
	if (!json_scan_literal(in, type == JSON_TYPE_TRUE ? "true" : "false"))
		return false;
	*ret_flag = type == JSON_TYPE_TRUE;
	return true;
}

bool json_read_null(struct json_reader *in)
{
	if (json_peek(in) != JSON_TYPE_NULL)
		return json_fail(in, "expected null");
	return json_scan_literal(in, "null");
}

bool json_end(struct json_reader *in)
{
	if (in->error != NULL)
		return false;
	json_scan_space(in);
	return in->at == in->end || json_fail(in, "more behind the value");
}

bool json_text_is(struct json_text text, const char *literal)
{
	return strlen(literal) == text.len && memcmp(text.data, literal, text.len) == 0;
}
