/*
 * Every attribute of the table, with a usual value.
 */
#ifndef P11GATE_TESTS_ATTRIBUTE_VALUES_H
#define P11GATE_TESTS_ATTRIBUTE_VALUES_H

#include "api/codec.h"

enum {
#define ATTRIBUTE(...) +1
	ATTRIBUTE_TYPES = 0
#include "api/attributes.def"
};

/* An attribute of NSS, which the table does not have. */
#define NSS_TRUST_SERVER_AUTH ((CK_ATTRIBUTE_TYPE)0xce536358)

extern const CK_ATTRIBUTE_TYPE attribute_types[ATTRIBUTE_TYPES];

/* A usual value of the type, at most 32 bytes, and its length. */
CK_ULONG usual_value(const struct attribute_row *row, void *out);

#endif
