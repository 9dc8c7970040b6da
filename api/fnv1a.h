/*
 * FNV-1a with 32 bits: for tables and for telling things apart, where nobody gains by a collision.
 */
#ifndef P11GATE_API_FNV1A_H
#define P11GATE_API_FNV1A_H

#include <stddef.h>
#include <stdint.h>

#define FNV1A_START UINT32_C(2166136261)

/* The hash of what `hash` is of, FNV1A_START for nothing, followed by `len` bytes at `data`. */
static inline uint32_t fnv1a(uint32_t hash, const void *data, size_t len)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * UINT32_C(16777619);
	return hash;
}

#endif
