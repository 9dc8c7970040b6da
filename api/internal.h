/*
 * What the files of api/ share and nobody else uses: UTF-8 and the lexical level of JSON.
 */
#ifndef P11GATE_API_INTERNAL_H
#define P11GATE_API_INTERNAL_H

#include "api/json.h"

/*
 * Bytes (1 to 4) of the UTF-8 sequence at `at`, which is before `end`; 0 if it is none: cut off, overlong, a surrogate
 * or above U+10FFFF (RFC 3629).
 */
size_t utf8_len(const unsigned char *at, const unsigned char *end);

/* True if the 8 bytes at `at` are written in a JSON string as they are: ASCII, no control character, DEL, quote or backslash. */
bool json_plain_8(const unsigned char *at);

/* Moves the cursor over white space (RFC 8259, section 2). */
void json_scan_space(struct json_reader *in);

/*
 * Moves the cursor over the string at the cursor, checking all of it. `ret_raw` is what is between the quotes, still
 * escaped if `*ret_escaped`. False: the reader holds the error, the cursor is at it.
 */
bool json_scan_string(struct json_reader *in, struct json_text *ret_raw, bool *ret_escaped)
	__attribute__((warn_unused_result));

/* Moves the cursor over the number at the cursor, checking that an int64 or a double can hold it. */
bool json_scan_number(struct json_reader *in) __attribute__((warn_unused_result));

/* Moves the cursor over `literal`. */
bool json_scan_literal(struct json_reader *in, const char *literal) __attribute__((warn_unused_result));

/* As json_next_member, with the name as json_scan_string gives it. */
bool json_next_name(struct json_reader *in, struct json_text *ret_raw, bool *ret_escaped)
	__attribute__((warn_unused_result));

/*
 * The next piece of a string that json_scan_string accepted: one byte or one escape at `*at`, which moves over it.
 * Writes 1 to 4 bytes to `out` and returns how many.
 */
size_t json_unescape(const char **at, unsigned char out[4]);

#endif
