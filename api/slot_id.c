#include <stdint.h>

#include "api/codec.h"

CK_SLOT_ID slot_id_of(const char *name, size_t len)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)name[i]) * 16777619u;
	return hash & 0x7fffffff;
}
