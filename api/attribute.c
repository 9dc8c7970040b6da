#include <string.h>

#include "api/codec_internal.h"

enum attribute_index {
#define ATTRIBUTE(name, ...) INDEX_##name,
#include "api/attributes.def"
};

enum { PUBLIC = 0, SECRET = 1 };

static const struct attribute_row rows[] = {
#define ATTRIBUTE(name, value, names, secrecy) {name, #name, ATTRIBUTE_##value, NAMES_##names, secrecy},
#include "api/attributes.def"
};

const struct attribute_row *attribute_row(CK_ATTRIBUTE_TYPE type)
{
#define ATTRIBUTE(name, ...) \
	case name: return &rows[INDEX_##name];
	switch (type) {
#include "api/attributes.def"
	}
	return NULL;
}

const struct attribute_row *attribute_row_at(size_t index)
{
	return index < sizeof rows / sizeof rows[0] ? &rows[index] : NULL;
}

/* The attributes of NSS (CKA_NSS_…, CKA_TRUST_…), whose vendor number happens to contain CKF_ARRAY_ATTRIBUTE, are plain. */
static bool is_nss(CK_ATTRIBUTE_TYPE type)
{
	return (type & ~0xffffUL) == 0xce530000;
}

bool attribute_opaque(CK_ATTRIBUTE_TYPE type)
{
	return (type & CKF_ARRAY_ATTRIBUTE) != 0 && !is_nss(type) && attribute_row(type) == NULL;
}

size_t attribute_unit(const struct attribute_row *row)
{
	if (row == NULL)
		return 1;
	switch (row->value) {
	case ATTRIBUTE_ULONG:
	case ATTRIBUTE_NAME:
	case ATTRIBUTE_MECHANISMS: return sizeof(CK_ULONG);
	case ATTRIBUTE_TEMPLATE: return sizeof(CK_ATTRIBUTE);
	default: return 1;
	}
}

void attribute_type_write(struct json_writer *w, CK_ATTRIBUTE_TYPE type)
{
	char scratch[24];

	json_name(w, name_text(NAMES_ATTRIBUTE, type, scratch));
}

bool attribute_type_read(struct json_reader *in, struct json_text name, CK_ATTRIBUTE_TYPE *ret_type,
	const struct attribute_row **ret_row)
{
	if (!name_number(NAMES_ATTRIBUTE, name, ret_type))
		return json_fail(in, "unknown attribute name");
	*ret_row = attribute_row(*ret_type);
	return true;
}

void attribute_encode(struct json_writer *w, CK_ATTRIBUTE_TYPE type, const void *data, CK_ULONG len)
{
	const struct attribute_row *row = attribute_row(type);
	size_t unit = attribute_unit(row);
	bool pointers = attribute_opaque(type) || (row != NULL && row->value == ATTRIBUTE_TEMPLATE);

	if (data != NULL && !pointers) {
		attribute_value_write(w, row, data, len);
		return;
	}
	json_begin_object(w);
	json_name(w, "length");
	json_write_uint(w, len / unit + (len % unit != 0));
	json_end_object(w);
}
