/*
 * What calls carry in the tests of the codec: an application's arguments of every kind, and a module's answers.
 */
#ifndef P11GATE_TESTS_CODEC_VALUES_H
#define P11GATE_TESTS_CODEC_VALUES_H

#include "tests/unit/api/codec_case.h"

/* What the application passes: everything NULL that may be, empty but there, or as usual. */
enum shape { SHAPE_NULL, SHAPE_EMPTY, SHAPE_USUAL, SHAPE_COUNT };

/* Bytes of the structure that an argument of the kind points to; 0 for all other kinds. */
size_t info_size(enum wire_kind kind);

/* Arguments for every parameter of the row; buffers of 40 bytes, list room for 40, numbers to be written 99. */
void arguments(struct codec_case *c, const struct call_row *row, enum shape shape, union wire_value values[]);

/* The call that the worker reads when the application makes it with `arguments`. */
struct call call_made(struct codec_case *c, const struct call_row *row, enum shape shape, union wire_value values[]);

/* True if the worker got what the application passed. */
bool same_input(enum wire_kind kind, const union wire_value *a, const union wire_value *b);

/* Plays the module: fills every output to its capacity. */
void module_fill(struct call *call);

/* True if the application got what module_fill wrote. */
bool filled(enum wire_kind kind, const union wire_value *value, size_t i);

bool same_bytes(const void *a, CK_ULONG a_len, const void *b, CK_ULONG b_len);
bool all_bytes(const void *data, size_t len, unsigned char byte);

#endif
