#include "api/call.h"

#include <string.h>

#define ARGUMENT(index, kind, name) \
	{ \
		WIRE_##kind, #name, sizeof(#name) - 1 \
	}

static const struct call_row rows[CALL_COUNT] = {
#define CALL(name, place, permission, audit, operation, step, ...) \
	{CALL_##name, #name, PLACE_##place, PERMISSIONS_##permission, AUDIT_##audit, OPERATION_##operation, \
		STEP_##step, EACH_COUNT(__VA_ARGS__), {EACH(ARGUMENT, __VA_ARGS__)}},
#include "api/calls.def"
};

static const unsigned char name_lengths[CALL_COUNT] = {
#define CALL(name, ...) sizeof(#name) - 1,
#include "api/calls.def"
};

const struct call_row *call_row(enum call_id id)
{
	return &rows[id];
}

const struct call_row *call_row_by_name(const char *name, size_t len)
{
	for (size_t i = 0; i < CALL_COUNT; i++) {
		if (name_lengths[i] == len && memcmp(rows[i].name, name, len) == 0)
			return &rows[i];
	}
	return NULL;
}
