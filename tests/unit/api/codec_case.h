/*
 * What the tests of the codec share: reading and writing in one line, and memory with guards around it.
 */
#ifndef P11GATE_TESTS_CODEC_CASE_H
#define P11GATE_TESTS_CODEC_CASE_H

#include "api/codec.h"

struct codec_case {
	struct arena arena; /* of decoded messages */
	struct arena own; /* of the test */
	struct buffer text; /* what was written last */
	struct guard *guards;
};

void codec_case_init(struct codec_case *c);
void codec_case_done(struct codec_case *c);

#define CODEC_CASE(c) \
	__attribute__((cleanup(codec_case_done))) struct codec_case c; \
	codec_case_init(&c)

/* `size` bytes of 0x5a with guards before and behind them. */
void *guarded(struct codec_case *c, size_t size);

/* True if no guard was written to. */
bool guards_intact(const struct codec_case *c);

/* Writes the request to c->text; asserts that it is not refused. */
void encode_request(struct codec_case *c, const struct call_row *row, const union wire_value values[]);

/* What the client says to a request; asserts that it writes nothing of one that it refuses. */
CK_RV encode_tried(const struct call_row *row, const union wire_value values[]);

/* Reads c->text, which is overwritten afterwards: what is decoded must not depend on it. Asserts success. */
struct call decode_request(struct codec_case *c);

/* False if `text` is refused; then it must be with an error message. */
bool decode_text(struct codec_case *c, const char *text, struct call *ret_call);

/* The worker's answer in c->text. */
void encode_result(struct codec_case *c, const struct call *call, CK_RV rv);

/* Reads c->text as the client does. `ret_failed`: the answer was not what the row says. */
CK_RV decode_result(
	struct codec_case *c, const struct call_row *row, const union wire_value values[], bool *ret_failed);

/* As decode_result for a literal. */
CK_RV decode_result_text(struct codec_case *c, const char *text, const struct call_row *row,
	const union wire_value values[], bool *ret_failed);

void expect_written(const struct codec_case *c, const char *expected);

#endif
