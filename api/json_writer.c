#include <string.h>

#include "api/base64url.h"
#include "api/internal.h"

void json_writer_init(struct json_writer *w, struct buffer *out)
{
	*w = (struct json_writer){.out = out};
}

/* Every value and every name begins here. */
static void item_begin(struct json_writer *w)
{
	if (w->comma)
		buffer_byte(w->out, ',');
	w->comma = true;
}

void json_begin_object(struct json_writer *w)
{
	item_begin(w);
	buffer_byte(w->out, '{');
	w->comma = false;
}

void json_end_object(struct json_writer *w)
{
	buffer_byte(w->out, '}');
	w->comma = true;
}

void json_begin_array(struct json_writer *w)
{
	item_begin(w);
	buffer_byte(w->out, '[');
	w->comma = false;
}

void json_end_array(struct json_writer *w)
{
	buffer_byte(w->out, ']');
	w->comma = true;
}

static void control_write(struct buffer *out, unsigned char byte)
{
	static const char letters[] = "btn\0fr", hex[] = "0123456789abcdef";

	if (byte >= '\b' && byte <= '\r' && letters[byte - '\b'] != '\0')
		buffer_append(out, (const char[]){'\\', letters[byte - '\b']}, 2);
	else
		buffer_append(out, (const char[]){'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]}, 6);
}

/* DEL may stand in a JSON string (RFC 8259, section 7), but terminals and other readers of lines take it for a command. */
static bool is_control(unsigned char byte)
{
	return byte < 0x20 || byte == 0x7f;
}

/* Writes the character at `at`, which is not plain, and returns its length. */
static size_t special_write(struct buffer *out, const unsigned char *at, const unsigned char *end)
{
	size_t len = utf8_len(at, end);

	if (len == 0 || *at == 0)
		buffer_text(out, "\xEF\xBF\xBD");
	else if (*at == '"' || *at == '\\')
		buffer_append(out, (const char[]){'\\', (char)*at}, 2);
	else if (is_control(*at))
		control_write(out, *at);
	else
		buffer_append(out, at, len);
	return len == 0 ? 1 : len;
}

static bool is_plain(unsigned char byte)
{
	return byte < 0x80 && !is_control(byte) && byte != '"' && byte != '\\';
}

static void string_write(struct buffer *out, const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *)(text != NULL ? text : ""), *end = at + len;

	buffer_byte(out, '"');
	while (at < end) {
		const unsigned char *run = at;
		while (end - at >= 8 && json_plain_8(at))
			at += 8;
		while (at < end && is_plain(*at))
			at++;
		buffer_append(out, run, (size_t)(at - run));
		if (at < end)
			at += special_write(out, at, end);
	}
	buffer_byte(out, '"');
}

void json_name(struct json_writer *w, const char *name)
{
	item_begin(w);
	string_write(w->out, name, strlen(name));
	buffer_byte(w->out, ':');
	w->comma = false;
}

void json_write_text(struct json_writer *w, const char *text, size_t len)
{
	item_begin(w);
	string_write(w->out, text, len);
}

void json_write_string(struct json_writer *w, const char *text)
{
	json_write_text(w, text, strlen(text));
}

void json_write_bytes(struct json_writer *w, const void *data, size_t len)
{
	size_t encoded_len = base64url_encoded_len(len);

	item_begin(w);
	buffer_byte(w->out, '"');
	unsigned char *room = buffer_reserve(w->out, encoded_len);
	if (room != NULL) {
		base64url_encode((char *)room, data, len);
		w->out->len += encoded_len;
	}
	buffer_byte(w->out, '"');
}

void json_write_uint(struct json_writer *w, uint64_t number)
{
	char digits[20], *at = digits + sizeof(digits);
	bool as_string = number > UINT64_C(1) << 53;

	do {
		*--at = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	item_begin(w);
	if (as_string)
		buffer_byte(w->out, '"');
	buffer_append(w->out, at, (size_t)(digits + sizeof(digits) - at));
	if (as_string)
		buffer_byte(w->out, '"');
}

void json_write_bool(struct json_writer *w, bool flag)
{
	item_begin(w);
	buffer_text(w->out, flag ? "true" : "false");
}

void json_write_null(struct json_writer *w)
{
	item_begin(w);
	buffer_text(w->out, "null");
}

void json_write_raw(struct json_writer *w, const char *json, size_t len)
{
	item_begin(w);
	buffer_append(w->out, json, len);
}
