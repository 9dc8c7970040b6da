/*
 * base64url without padding (RFC 4648, section 5) on output; both alphabets, with or without padding, on input.
 */
#ifndef P11GATE_API_BASE64URL_H
#define P11GATE_API_BASE64URL_H

#include <stdbool.h>
#include <stddef.h>

/* Characters that `len` bytes encode to. */
size_t base64url_encoded_len(size_t len);

/* An upper bound of the bytes that `len` characters decode to. */
size_t base64url_decoded_max(size_t len);

/* Writes base64url_encoded_len(len) characters to `out`, no NUL. */
void base64url_encode(char *out, const void *data, size_t len);

/*
 * Decodes `len` characters into `out`, which has room for base64url_decoded_max(len) bytes.
 * False if a character is of neither alphabet, the padding is wrong, the length is impossible, or
 * the unused low bits of the last character are not zero. `*ret_len` is written on success only.
 */
bool base64url_decode(unsigned char *out, size_t *ret_len, const char *text, size_t len)
	__attribute__((warn_unused_result));

#endif
