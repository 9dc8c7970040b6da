#include "server/worker/resources/key_attributes.h"

#include <stdio.h>
#include <string.h>

#include "api/codec.h"
#include "api/limits.h"

static bool refuse(struct request *request, const char *name, size_t len)
{
	char detail[160];
	snprintf(detail, sizeof detail, "attributes: %.*s is not the name of an attribute.",
		(int)(len < NAME_MAX_LEN ? len : NAME_MAX_LEN), name);
	reply_problem(request, PROBLEM_INVALID_QUERY, detail, NULL);
	return false;
}

bool key_attributes_read(struct request *request, const char *text, struct key_attributes *ret_attributes)
{
	struct key_attributes read = {.types = arena_array(request->arena, KEY_ATTRIBUTES_MAX, sizeof *read.types)};
	for (const char *at = text; read.types != NULL; at++) {
		size_t len = strcspn(at, ",");
		const struct json_text name = {at, len};
		if (read.count == KEY_ATTRIBUTES_MAX || !name_number(NAMES_ATTRIBUTE, name, &read.types[read.count]))
			return refuse(request, at, len);
		read.count++;
		at += len;
		if (*at == '\0')
			break;
	}
	if (read.types == NULL) {
		reply_return(request, CKR_HOST_MEMORY, "The attributes could not be read.");
		return false;
	}
	*ret_attributes = read;
	return true;
}

static CK_RV get(struct request *request, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE items[],
	CK_ULONG count)
{
	union wire_value v[] = {{.number = session}, {.number = object}, {.attributes = {items, count}}};
	return invoke(request, CALL_GetAttributeValue, v);
}

static bool is_secret(CK_ATTRIBUTE_TYPE type)
{
	const struct attribute_row *row = attribute_row(type);
	return row != NULL && row->secret;
}

/* Whether the value can be shown: it is no key material, and holds no pointers. */
static bool is_plain(CK_ATTRIBUTE_TYPE type)
{
	const struct attribute_row *row = attribute_row(type);
	return row != NULL ? !row->secret && row->value != ATTRIBUTE_TEMPLATE : (type & CKF_ARRAY_ATTRIBUTE) == 0;
}

static void write_sensitive(struct json_writer *w)
{
	json_begin_object(w);
	json_name(w, "sensitive");
	json_write_bool(w, true);
	json_end_object(w);
}

/* What the effective value of CKA_ALWAYS_AUTHENTICATE is where the token's is another (B18). */
static bool asks_by_policy(const struct key *key, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
	return type == CKA_ALWAYS_AUTHENTICATE && object == key->object && key->by_policy;
}

/* Writes one attribute by what the module said of its length. */
static CK_RV write_value(struct request *request, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
	CK_ATTRIBUTE_TYPE type, CK_ULONG len, struct json_writer *w)
{
	CK_ATTRIBUTE item = {type, NULL, len};
	if (!is_plain(type) || len > LIMIT_ATTRIBUTE_VALUE) {
		attribute_encode(w, type, NULL, len);
		return CKR_OK;
	}
	item.pValue = arena_alloc(request->arena, len);
	if (item.pValue == NULL)
		return CKR_HOST_MEMORY;
	CK_RV rv = get(request, session, object, &item, 1);
	if (rv == CKR_OK && item.ulValueLen > len)
		rv = CKR_DEVICE_ERROR;
	if (rv == CKR_OK)
		attribute_encode(w, type, item.pValue, item.ulValueLen);
	return rv;
}

static CK_RV write_named(struct request *request, CK_SESSION_HANDLE session, const struct key *key,
	CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, struct json_writer *w)
{
	CK_ATTRIBUTE item = {type, NULL, 0};
	char scratch[24];
	CK_RV rv = get(request, session, object, &item, 1);
	json_name(w, name_text(NAMES_ATTRIBUTE, type, scratch));
	if (asks_by_policy(key, object, type)) {
		json_write_bool(w, true);
		return CKR_OK;
	}
	if (rv == CKR_ATTRIBUTE_SENSITIVE)
		write_sensitive(w);
	else if (rv == CKR_ATTRIBUTE_TYPE_INVALID || (rv == CKR_OK && item.ulValueLen == CK_UNAVAILABLE_INFORMATION))
		json_write_null(w);
	else
		return rv != CKR_OK ? rv : write_value(request, session, object, type, item.ulValueLen, w);
	return CKR_OK;
}

/* The lengths of all attributes with rows that are no key material, in few calls; *ret_count of them are told. */
static CK_RV read_lengths(struct request *request, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
	CK_ATTRIBUTE **ret_items, size_t *ret_count)
{
	size_t rows = 0, asked = 0, told = 0;
	while (attribute_row_at(rows) != NULL)
		rows++;
	CK_ATTRIBUTE *items = arena_array(request->arena, rows, sizeof *items);
	if (items == NULL)
		return CKR_HOST_MEMORY;
	for (size_t i = 0; i < rows; i++)
		if (!is_secret(attribute_row_at(i)->type))
			items[asked++] = (CK_ATTRIBUTE){attribute_row_at(i)->type, NULL, 0};
	for (size_t begin = 0; begin < asked; begin += LIMIT_ATTRIBUTES) {
		size_t count = asked - begin < LIMIT_ATTRIBUTES ? asked - begin : LIMIT_ATTRIBUTES;
		CK_RV rv = get(request, session, object, items + begin, count);
		if (rv != CKR_OK && rv != CKR_ATTRIBUTE_TYPE_INVALID && rv != CKR_ATTRIBUTE_SENSITIVE)
			return rv;
	}
	for (size_t i = 0; i < asked; i++)
		if (items[i].ulValueLen != CK_UNAVAILABLE_INFORMATION)
			items[told++] = items[i];
	*ret_items = items;
	*ret_count = told;
	return CKR_OK;
}

static CK_RV write_all(struct request *request, CK_SESSION_HANDLE session, const struct key *key,
	CK_OBJECT_HANDLE object, struct json_writer *w)
{
	CK_ATTRIBUTE *items;
	size_t count;
	CK_RV rv = read_lengths(request, session, object, &items, &count);
	for (size_t i = 0; rv == CKR_OK && i < count; i++) {
		json_name(w, name_of(NAMES_ATTRIBUTE, items[i].type));
		if (asks_by_policy(key, object, items[i].type))
			json_write_bool(w, true);
		else
			rv = write_value(request, session, object, items[i].type, items[i].ulValueLen, w);
	}
	return rv;
}

static CK_RV write_object(struct request *request, CK_SESSION_HANDLE session, const struct key *key,
	CK_OBJECT_HANDLE object, const struct key_attributes *attributes, struct json_writer *w)
{
	CK_RV rv = CKR_OK;
	json_begin_object(w);
	const CK_ATTRIBUTE_TYPE *types = attributes->types;
	if (types == NULL)
		rv = write_all(request, session, key, object, w);
	for (size_t i = 0; types != NULL && rv == CKR_OK && i < attributes->count; i++)
		rv = write_named(request, session, key, object, types[i], w);
	json_end_object(w);
	return rv;
}

CK_RV key_attributes_write(struct request *request, CK_SESSION_HANDLE session, const struct key *key,
	const struct key_attributes *attributes, struct json_writer *writer)
{
	json_name(writer, "attributes");
	CK_RV rv = write_object(request, session, key, key->object, attributes, writer);
	if (rv != CKR_OK || key->public_object == CK_INVALID_HANDLE || key->public_object == key->object)
		return rv;
	json_name(writer, "public_attributes");
	return write_object(request, session, key, key->public_object, attributes, writer);
}
