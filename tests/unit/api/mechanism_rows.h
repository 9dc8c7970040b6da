/*
 * The rows of mechanisms.def, as text.
 */
#ifndef P11GATE_TESTS_UNIT_API_MECHANISM_ROWS_H
#define P11GATE_TESTS_UNIT_API_MECHANISM_ROWS_H

#include "api/cryptoki.h"

static const struct {
	CK_MECHANISM_TYPE type;
	const char *name, *parameter, *key_types;
} rows[] = {
#define MECHANISM(name, parameter, ...) {name, #name, #parameter, #__VA_ARGS__},
#include "api/mechanisms.def"
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

#endif
