#include "api/codec.h"
#include "api/fnv1a.h"

CK_SLOT_ID slot_id_of(const char *name, size_t len)
{
	return fnv1a(FNV1A_START, name, len) & 0x7fffffff;
}
