/*
 * The gate in front of libmicrohttpd: reads the head of a request from the decrypted bytes and refuses every shape on
 * which two HTTP parsers could disagree (RFC 9112, section 11.2).
 *
 * It is stricter than the standard where the standard is lenient: single spaces, CRLF only, no line folding, no
 * Transfer-Encoding, one Content-Length without leading zeros, one Host, names of letters, digits and '-', HTTP/1.1 only.
 * A pure function over bytes; knows nothing of TLS, libmicrohttpd or routes.
 */
#ifndef P11GATE_HTTP_GATE_H
#define P11GATE_HTTP_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	GATE_HEAD_MAX = 8192, /* bytes of a request line with its header fields */
	GATE_FIELDS_MAX = 64, /* header fields in a request */
	GATE_METHOD_MAX = 16, /* bytes of a method */
};

/*
 * FIELD(CONSTANT, name in lower case, rule): the header fields that mean something here. Each may appear once.
 *
 *   TEXT     kept as it is: printable ASCII
 *   REFUSED  its mere presence is refused
 */
#define GATE_FIELDS(FIELD) \
	FIELD(HOST, "host", TEXT) \
	FIELD(CONTENT_LENGTH, "content-length", TEXT) \
	FIELD(CONTENT_TYPE, "content-type", TEXT) \
	FIELD(ACCEPT, "accept", TEXT) \
	FIELD(IF_MATCH, "if-match", TEXT) \
	FIELD(CONNECTION, "connection", TEXT) \
	FIELD(EXPECT, "expect", TEXT) \
	FIELD(TRACEPARENT, "traceparent", TEXT) \
	FIELD(APPLICATION_ID, "x-application-id", TEXT) \
	FIELD(CLIENT_INSTANCE, "x-client-instance", TEXT) \
	FIELD(DEADLINE, "x-deadline-ms", TEXT) \
	FIELD(IDEMPOTENCY_KEY, "idempotency-key", TEXT) \
	FIELD(TRANSFER_ENCODING, "transfer-encoding", REFUSED) \
	FIELD(UPGRADE, "upgrade", REFUSED) \
	FIELD(TRAILER, "trailer", REFUSED)

enum gate_field {
#define FIELD(constant, name, rule) GATE_##constant,
	GATE_FIELDS(FIELD)
#undef FIELD
		GATE_FIELD_COUNT
};

struct gate_text {
	const char *data;
	size_t len;
}; /* not NUL-terminated; data is NULL when absent */

struct gate_head {
	unsigned status; /* REFUSED: 400, 417, 431 or 505 */
	const char *problem; /* REFUSED: a static sentence; else NULL */
	size_t len; /* PASSED: bytes of the head with its empty line */
	struct gate_text method, path; /* PASSED: as sent */
	struct gate_text query; /* PASSED: behind '?'; data NULL without '?' */
	struct gate_text fields[GATE_FIELD_COUNT];
	uint64_t content_length; /* 0 without a body */
	bool close; /* the client wants the connection closed after the answer */
	bool expects_continue; /* Expect: 100-continue */
};

enum gate_verdict { GATE_MORE, GATE_PASSED, GATE_REFUSED };

/*
 * Judges the `len` bytes at `bytes`, the beginning of a request. GATE_MORE while the head is incomplete and could still be good.
 * Texts in `ret_head` point into `bytes`. After GATE_REFUSED nothing behind those bytes can be trusted: answer and close.
 */
enum gate_verdict gate_head(const char *bytes, size_t len, struct gate_head *ret_head)
	__attribute__((warn_unused_result));

#endif
