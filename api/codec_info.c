#include <string.h>

#include "api/codec_internal.h"

enum struct_id info_structure(enum wire_kind kind)
{
	switch (kind) {
	case WIRE_SLOT_INFO: return STRUCT_SLOT_INFO;
	case WIRE_TOKEN_INFO: return STRUCT_TOKEN_INFO;
	case WIRE_SESSION_INFO: return STRUCT_SESSION_INFO;
	case WIRE_MECHANISM_INFO: return STRUCT_MECHANISM_INFO;
	default: return STRUCT_INFO;
	}
}

void info_encode(struct json_writer *w, enum wire_kind kind, const void *info)
{
	structure_write(w, info_structure(kind), info);
}

bool info_decode(struct json_reader *in, enum wire_kind kind, void *ret_info)
{
	enum struct_id id = info_structure(kind);
	void *info = arena_alloc(in->arena, structure_size(id));

	if (info == NULL)
		return json_fail(in, "the answer needs too much memory");
	if (!structure_read(in, id, info))
		return false;
	memcpy(ret_info, info, structure_size(id));
	return true;
}
