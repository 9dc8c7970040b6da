/*
 * What a key may be used for: the names that the resource routes have for it, and the attributes.
 */
#ifndef P11GATE_WORKER_RESOURCES_KEY_USAGE_H
#define P11GATE_WORKER_RESOURCES_KEY_USAGE_H

#include "api/cryptoki.h"

/*
 * USAGE(CONSTANT, name in `usage`, attribute, half of a pair that has it)
 */
#define KEY_USAGES(USAGE) \
	USAGE(SIGN, "sign", CKA_SIGN, PRIVATE) \
	USAGE(VERIFY, "verify", CKA_VERIFY, PUBLIC) \
	USAGE(ENCRYPT, "encrypt", CKA_ENCRYPT, PUBLIC) \
	USAGE(DECRYPT, "decrypt", CKA_DECRYPT, PRIVATE) \
	USAGE(WRAP, "wrap", CKA_WRAP, PUBLIC) \
	USAGE(UNWRAP, "unwrap", CKA_UNWRAP, PRIVATE) \
	USAGE(DERIVE, "derive", CKA_DERIVE, PRIVATE)

enum key_usage {
#define USAGE(constant, name, attribute, half) KEY_USAGE_##constant,
	KEY_USAGES(USAGE)
#undef USAGE
		KEY_USAGE_COUNT
};

/* Masks of 1u << enum key_usage. */
enum key_usage_mask {
#define USAGE(constant, name, attribute, half) CAN_##constant = 1u << KEY_USAGE_##constant,
	KEY_USAGES(USAGE)
#undef USAGE
};

#endif
