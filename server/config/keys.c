#include "server/config/internal.h"

#include <string.h>

#include "api/call.h"
#include "api/limits.h"

#define ITEM_SIZE(structure, member) sizeof(*((struct structure *)0)->member)

#define OFFSETS_PLAIN(structure, member) .offset = offsetof(struct structure, member)
#define OFFSETS_COUNTED(structure, member) \
	.offset = offsetof(struct structure, member), .count_offset = offsetof(struct structure, member##_count), \
	.item_size = ITEM_SIZE(structure, member)

#define OFFSETS_TEXT OFFSETS_PLAIN
#define OFFSETS_NAME OFFSETS_PLAIN
#define OFFSETS_FILE OFFSETS_PLAIN
#define OFFSETS_DIRECTORY OFFSETS_PLAIN
#define OFFSETS_SHA256 OFFSETS_PLAIN
#define OFFSETS_NUMBER OFFSETS_PLAIN
#define OFFSETS_PORT OFFSETS_PLAIN
#define OFFSETS_FLAG OFFSETS_PLAIN
#define OFFSETS_CHOICE OFFSETS_PLAIN
#define OFFSETS_WORD OFFSETS_PLAIN
#define OFFSETS_SWITCH OFFSETS_PLAIN
#define OFFSETS_MATCH OFFSETS_PLAIN
#define OFFSETS_TEXTS OFFSETS_COUNTED
#define OFFSETS_PERMISSIONS OFFSETS_PLAIN
#define OFFSETS_MAPPING OFFSETS_PLAIN
#define OFFSETS_LIST OFFSETS_COUNTED

#define DETAIL_TEXT(detail) .words = detail
#define DETAIL_NAME DETAIL_TEXT
#define DETAIL_FILE DETAIL_TEXT
#define DETAIL_DIRECTORY DETAIL_TEXT
#define DETAIL_SHA256 DETAIL_TEXT
#define DETAIL_NUMBER DETAIL_TEXT
#define DETAIL_PORT DETAIL_TEXT
#define DETAIL_FLAG DETAIL_TEXT
#define DETAIL_CHOICE DETAIL_TEXT
#define DETAIL_WORD DETAIL_TEXT
#define DETAIL_SWITCH DETAIL_TEXT
#define DETAIL_MATCH DETAIL_TEXT
#define DETAIL_TEXTS DETAIL_TEXT
#define DETAIL_PERMISSIONS DETAIL_TEXT
#define DETAIL_MAPPING(detail) .words = "", .items = SECTION_##detail
#define DETAIL_LIST DETAIL_MAPPING

#define KEY(in, structure, label, KIND, member, PRESENCE, value, low, high, detail, about) \
	{.section = SECTION_##in, \
		.name = #label, \
		.kind = KEY_##KIND, \
		OFFSETS_##KIND(structure, member), \
		.presence = KEY_##PRESENCE, \
		.text = value, \
		.minimum = low, \
		.maximum = high, \
		DETAIL_##KIND(detail), \
		.description = about},
const struct key config_keys[] = {
#include "server/config/keys.def"
};
const size_t config_keys_count = sizeof config_keys / sizeof *config_keys;

const struct key *key_find(enum section section, const char *name, size_t len)
{
	for (size_t i = 0; i < config_keys_count; i++) {
		const struct key *key = &config_keys[i];

		if (key->section == section && strlen(key->name) == len && memcmp(key->name, name, len) == 0)
			return key;
	}
	return NULL;
}

const char *permission_word(unsigned permission)
{
	static const char *const words[PERMISSION_COUNT] = {
		[PERMISSION_READ] = "read",
		[PERMISSION_LOGIN] = "login",
		[PERMISSION_USE] = "use",
		[PERMISSION_WRITE] = "write",
		[PERMISSION_ADMIN] = "admin",
	};

	return permission < PERMISSION_COUNT ? words[permission] : NULL;
}
