/*
 * The two forms of an ECDSA signature: PKCS#11's r‖s and ASN.1's SEQUENCE of two INTEGERs (RFC 3279, section 2.2.3).
 */
#ifndef P11GATE_WORKER_RESOURCES_ECDSA_H
#define P11GATE_WORKER_RESOURCES_ECDSA_H

#include <stdbool.h>

#include "api/arena.h"
#include "server/common/message.h"

/* r‖s (two numbers of equal length) as DER in the arena. False: the length is odd or 0, or no memory. */
bool ecdsa_raw_to_der(struct arena *arena, struct bytes raw, struct bytes *ret_der) __attribute__((warn_unused_result));

/* DER as r‖s, each number `number_len` bytes. False: not DER, bytes behind it, a number too long, or no memory. */
bool ecdsa_der_to_raw(struct arena *arena, struct bytes der, size_t number_len, struct bytes *ret_raw)
	__attribute__((warn_unused_result));

#endif
