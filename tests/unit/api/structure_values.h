/*
 * A value of every structure of structs.def, with a value of its own in each member, and whether two are the same member by member.
 */
#ifndef P11GATE_TESTS_UNIT_API_STRUCTURE_VALUES_H
#define P11GATE_TESTS_UNIT_API_STRUCTURE_VALUES_H

#include "api/codec_internal.h"
#include "tests/unit/api/codec_case.h"

struct filler {
	struct codec_case *c;
	bool full; /* false: NULL pointers */
	CK_ULONG next;
};

/* In guarded memory of the case. */
void *structure_filled(struct filler *f, enum struct_id id);
bool structure_same(enum struct_id id, const void *a, const void *b);

extern const char *const struct_names[];

/* The structure of a row's parameter, or STRUCT_COUNT. */
enum struct_id struct_named(const char *name);

#endif
