/*
 * The scanner and the writer for the calls path: no tree of values, no allocation per value.
 *
 * Accepted is strict RFC 8259 in UTF-8: no byte order mark, no duplicate members (the callers of
 * json_next_member see to that with a bit per known member, json_skip and json_validate by comparing),
 * no \u0000, no lone surrogate, no number that a double or an int64 cannot hold, nothing behind the value,
 * nesting at most JSON_DEPTH_MAX. What json_validate accepts, jansson accepts (tests/corpus/json/).
 *
 * Errors of the reader are sticky: after the first one every call returns false or 0 and the cursor stays,
 * so that a decoder reads straight on and asks json_failed() once.
 */
#ifndef P11GATE_API_JSON_H
#define P11GATE_API_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "buffer.h"

enum {
	JSON_DEPTH_MAX = 24, /* containers within containers */
	/* members of an object that is skipped or validated, with those before it in the objects around it */
	JSON_MEMBERS_MAX = 1024,
};

/* Not JSON_OBJECT etc.: those are jansson's, and the resource routes include both headers. */
enum json_type {
	JSON_TYPE_OBJECT,
	JSON_TYPE_ARRAY,
	JSON_TYPE_STRING,
	JSON_TYPE_NUMBER,
	JSON_TYPE_TRUE,
	JSON_TYPE_FALSE,
	JSON_TYPE_NULL,
	JSON_TYPE_NOTHING
};

/* Not NUL-terminated. */
struct json_text {
	const char *data;
	size_t len;
};

struct json_reader {
	const char *start, *at, *end;
	struct arena *arena; /* where unescaped strings and decoded bytes go */
	const char *error; /* static text of the first error, or NULL */
	unsigned depth;
	bool first; /* the container just entered has given nothing yet */
};

/* Reads `len` bytes at `text` (NULL with 0); text and arena must outlive the reader and everything read from it. */
void json_reader_init(struct json_reader *in, const char *text, size_t len, struct arena *arena);

/* The type of the value at the cursor; JSON_TYPE_NOTHING at the end or after an error. Moves nothing. */
enum json_type json_peek(struct json_reader *in);

/* Enters an object; then json_next_member until it returns false leaves it. */
bool json_enter_object(struct json_reader *in);

/* Moves to the next member's value and gives its unescaped name. False at the object's end (left then) or after an error. */
bool json_next_member(struct json_reader *in, struct json_text *ret_name);

/* Enters an array; then json_next_element until it returns false leaves it. */
bool json_enter_array(struct json_reader *in);
bool json_next_element(struct json_reader *in);

/* The string at the cursor, unescaped: within the text where it has no escape, else in the arena. */
bool json_read_string(struct json_reader *in, struct json_text *ret_text);

/* The base64url string at the cursor, decoded into the arena (never NULL on success). */
bool json_read_bytes(struct json_reader *in, unsigned char **ret_data, size_t *ret_len);

/* A non-negative integer: a JSON integer up to 2^53, or a decimal string up to 2^64-1. */
bool json_read_uint(struct json_reader *in, uint64_t *ret_number);

bool json_read_bool(struct json_reader *in, bool *ret_flag);
bool json_read_null(struct json_reader *in);

/* Steps over any value, checking it as strictly as if it were read. */
bool json_skip(struct json_reader *in);

/* True at the end of the text: only white space follows. Otherwise an error is set. */
bool json_end(struct json_reader *in);

/* Sets the first error; returns false so that `return json_fail(in, "…")` reads well. `error` is static text. */
bool json_fail(struct json_reader *in, const char *error);

bool json_failed(const struct json_reader *in);

/* Byte offset of the cursor: where the error is. */
size_t json_offset(const struct json_reader *in);

/* True if `len` bytes at `text` are one acceptable JSON value. Used before another parser sees them. */
bool json_validate(const char *text, size_t len, const char **ret_error, size_t *ret_offset);

bool json_text_is(struct json_text text, const char *literal);

/*
 * Writing: values in order; the writer puts the commas. Text must be UTF-8 (json_text_valid); what is not
 * becomes U+FFFD. Containers nest freely; a buffer's `failed` tells at the end.
 */
struct json_writer {
	struct buffer *out;
	bool comma; /* a value was written in the open container */
};

void json_writer_init(struct json_writer *w, struct buffer *out);
void json_begin_object(struct json_writer *w);
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w);
void json_end_array(struct json_writer *w);
void json_name(struct json_writer *w, const char *name); /* member name, then write its value */
void json_write_text(struct json_writer *w, const char *text, size_t len);
void json_write_string(struct json_writer *w, const char *text); /* NUL-terminated */
void json_write_bytes(struct json_writer *w, const void *data, size_t len); /* base64url */
void json_write_uint(struct json_writer *w, uint64_t number); /* above 2^53 a decimal string */
void json_write_bool(struct json_writer *w, bool flag);
void json_write_null(struct json_writer *w);
void json_write_raw(struct json_writer *w, const char *json, size_t len); /* one ready value */

/* True if the bytes are UTF-8 without U+0000 and surrogates. */
bool json_text_valid(const char *text, size_t len);

#endif
