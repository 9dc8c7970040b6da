/*
 * Asking for a PIN.
 */
#ifndef P11GATE_TOOL_PIN_H
#define P11GATE_TOOL_PIN_H

#include <stdbool.h>
#include <stddef.h>

#include "api/limits.h"

/*
 * Reads a PIN into `ret_pin` of LIMIT_PIN bytes: up to the end of the line or of the input from descriptor `fd`; with -1 from
 * the terminal, without showing it, behind `prompt`. Its length goes to *ret_len. False when there is none; the reason has been
 * said on standard error. The caller wipes it.
 */
bool pin_read(int fd, const char *prompt, unsigned char ret_pin[LIMIT_PIN], size_t *ret_len)
	__attribute__((warn_unused_result));

#endif
