/*
 * Reads any JSON text through every entry point of the reader that fits, as a decoder would.
 */
#ifndef P11GATE_TESTS_SUPPORT_JSON_WALK_H
#define P11GATE_TESTS_SUPPORT_JSON_WALK_H

#include "api/json.h"

static bool json_walk(struct json_reader *in)
{
	struct json_text text;
	bool flag;

	switch (json_peek(in)) {
	case JSON_TYPE_OBJECT:
		if (!json_enter_object(in))
			return false;
		while (json_next_member(in, &text))
			if (!json_walk(in))
				return false;
		return !json_failed(in);
	case JSON_TYPE_ARRAY:
		if (!json_enter_array(in))
			return false;
		while (json_next_element(in))
			if (!json_walk(in))
				return false;
		return !json_failed(in);
	case JSON_TYPE_STRING: return json_read_string(in, &text);
	case JSON_TYPE_TRUE:
	case JSON_TYPE_FALSE: return json_read_bool(in, &flag);
	case JSON_TYPE_NULL: return json_read_null(in);
	default: return json_skip(in);
	}
}

/* Calls every entry point at the beginning of the text, each with a reader of its own. */
static void json_poke(const char *data, size_t len, struct arena *arena)
{
	struct json_reader in;
	struct json_text text;
	unsigned char *bytes;
	uint64_t number;
	size_t bytes_len;
	bool flag;

	json_reader_init(&in, data, len, arena);
	(void)json_read_string(&in, &text);
	json_reader_init(&in, data, len, arena);
	(void)json_read_bytes(&in, &bytes, &bytes_len);
	json_reader_init(&in, data, len, arena);
	(void)json_read_uint(&in, &number);
	json_reader_init(&in, data, len, arena);
	(void)json_read_bool(&in, &flag);
	json_reader_init(&in, data, len, arena);
	(void)json_read_null(&in);
	json_reader_init(&in, data, len, arena);
	if (json_enter_object(&in) && json_next_member(&in, &text))
		(void)json_read_bytes(&in, &bytes, &bytes_len);
	json_reader_init(&in, data, len, arena);
	if (json_enter_array(&in) && json_next_element(&in))
		(void)json_read_uint(&in, &number);
	json_reader_init(&in, data, len, arena);
	(void)json_skip(&in);
	(void)json_end(&in);
}

#endif
