/*
 * HTTP/1.1 as bytes: the head of a request and the reading of an answer. No I/O.
 */
#ifndef P11GATE_CLIENT_MODULE_HTTP_H
#define P11GATE_CLIENT_MODULE_HTTP_H

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>

#include "api/buffer.h"
#include "api/limits.h"

enum {
	HTTP_HEAD_MAX = 4096, /* bytes of a request's head */
	HTTP_ANSWER_HEAD_MAX = 16 << 10, /* bytes of an answer that are not body */
	HTTP_ANSWER_BODY_MAX = 2 * LIMIT_BODY, /* bytes of an answer's body */
};

/* An answer being read. */
struct http_answer {
	struct http_parser parser;
	struct buffer *body;
	size_t head_len; /* bytes read that were not body */
	unsigned status; /* of the final answer */
	bool complete; /* everything has arrived */
	bool reusable; /* the connection may carry another request */
};

/*
 * Writes the head of a request for `target` (origin-form) to `out` of HTTP_HEAD_MAX bytes: `fixed` is the lines that do not
 * change, each ended with CR LF; `application` is 32 hexadecimal digits, or NULL for a request that is no application's. Returns
 * its length; 0 if it does not fit.
 */
size_t http_request_head(
	char *out, const char *method, const char *target, const char *fixed, const char *application, size_t body_len);

/* Prepares for an answer whose body goes to `body` (emptied; its limit should be HTTP_ANSWER_BODY_MAX). */
void http_answer_init(struct http_answer *answer, struct buffer *body);

/*
 * Takes the next `len` bytes from the gateway. False if they are no acceptable answer (malformed, too large, an upgrade) or
 * go on behind it; the connection is of no use then.
 */
bool http_answer_read(struct http_answer *answer, const void *data, size_t len) __attribute__((warn_unused_result));

/* The gateway ended the connection. False unless that completed the answer. */
bool http_answer_end(struct http_answer *answer) __attribute__((warn_unused_result));

#endif
