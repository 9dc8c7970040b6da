#include "api/schema.h"

#include <string.h>

/* required, nullable */
#define PRESENCE_REQUIRED true, false
#define PRESENCE_OPTIONAL false, false
#define PRESENCE_NULLABLE true, true
#define MEMBER(name, type, presence, detail, description) \
	{#name, MEMBER_##type, PRESENCE_##presence, detail, description},
#define SCHEMA(name, description, ...) static const struct schema_member name##_members[] = {__VA_ARGS__};
#include "schemas.def"

static const struct schema_row rows[SCHEMA_COUNT] = {
#define SCHEMA(name, description, ...) \
	[SCHEMA_##name] = {SCHEMA_##name, #name, description, name##_members, \
		sizeof(name##_members) / sizeof(name##_members[0])},
#include "schemas.def"
};

const struct schema_row *schema_row(enum schema_id id)
{
	return id < SCHEMA_COUNT && rows[id].name != NULL ? &rows[id] : NULL;
}

const struct schema_row *schema_row_by_name(const char *name)
{
	for (size_t i = 0; i < SCHEMA_COUNT; i++)
		if (rows[i].name != NULL && strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

const struct schema_member *schema_member(const struct schema_row *row, const char *name, size_t len)
{
	for (size_t i = 0; i < row->member_count; i++)
		if (strlen(row->members[i].name) == len && memcmp(row->members[i].name, name, len) == 0)
			return &row->members[i];
	return NULL;
}

const struct schema_member *schema_content(const struct schema_row *row)
{
	for (size_t i = 0; row != NULL && i < row->member_count; i++)
		if (row->members[i].type == MEMBER_CONTENT)
			return &row->members[i];
	return NULL;
}

bool schema_member_in_query(const struct schema_member *member)
{
	switch (member->type) {
	case MEMBER_TEXT:
	case MEMBER_BASE64URL:
	case MEMBER_MECHANISM:
	case MEMBER_UINT:
	case MEMBER_BOOL:
	case MEMBER_ENUM: return true;
	default: return false;
	}
}

const struct schema_row *schema_member_row(const struct schema_member *member)
{
	if (member->type != MEMBER_OBJECT && member->type != MEMBER_LIST)
		return NULL;
	return schema_row_by_name(member->detail);
}

enum member_type schema_member_item(const struct schema_member *member)
{
	if (schema_member_row(member) != NULL)
		return MEMBER_OBJECT;
	return strcmp(member->detail, "TEXT") == 0 ? MEMBER_TEXT : MEMBER_ANY;
}

bool schema_member_allows(const struct schema_member *member, const char *text, size_t len)
{
	for (const char *value = member->detail; *value != '\0';) {
		size_t value_len = strcspn(value, " ");
		if (value_len == len && memcmp(value, text, len) == 0)
			return true;
		value += value_len;
		value += strspn(value, " ");
	}
	return false;
}
