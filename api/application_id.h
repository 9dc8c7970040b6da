/*
 * The text of an application ID (requirements C1, C15): 32 hexadecimal digits, or MAJOR-MINOR in decimal.
 */
#ifndef P11GATE_API_APPLICATION_ID_H
#define P11GATE_API_APPLICATION_ID_H

#include <stdbool.h>
#include <stddef.h>

#include "limits.h"

/* Reads an ID. MAJOR and MINOR become bytes 0 to 3 and 4 to 7, big-endian, the rest is 0. False for anything else. */
bool application_id_parse(const char *text, size_t len, unsigned char ret_id[APPLICATION_ID_LEN])
	__attribute__((warn_unused_result));

#endif
