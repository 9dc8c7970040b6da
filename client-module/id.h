/*
 * The 128-bit identifiers of the wire: application, client instance, operation.
 */
#ifndef P11GATE_CLIENT_MODULE_ID_H
#define P11GATE_CLIENT_MODULE_ID_H

#include <stdbool.h>

#include "api/limits.h"

enum { ID_LEN = 16, ID_HEX_SIZE = 2 * ID_LEN + 1 };

_Static_assert((int)APPLICATION_ID_LEN == ID_LEN && (int)INSTANCE_ID_LEN == ID_LEN && (int)OPERATION_ID_LEN == ID_LEN,
	"identifiers are alike");

/* Fills `ret_id` with random bytes. */
bool id_random(unsigned char ret_id[ID_LEN]) __attribute__((warn_unused_result));

/* Writes the 32 lower-case hexadecimal digits and a NUL. */
void id_hex(char out[ID_HEX_SIZE], const unsigned char id[ID_LEN]);

#endif
