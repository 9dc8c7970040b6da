#include "server/worker/resources/attribute.h"

#include <string.h>

#include "api/limits.h"

enum { FIRST_GUESS = 512 }; /* bytes; labels, identifiers and an RSA-4096 modulus fit, so that one call does */

static CK_RV get(
	struct request *request, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *items, size_t count)
{
	union wire_value v[] = {{.number = session}, {.number = object}, {.attributes = {items, count}}};
	return invoke(request, CALL_GetAttributeValue, v);
}

/* The return values that leave the other attributes of the query filled in (PKCS#11 2.40, section 5.7). */
static bool is_partial(CK_RV rv)
{
	return rv == CKR_OK || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID ||
	       rv == CKR_BUFFER_TOO_SMALL;
}

/* Once more with the length that the module names, for a value that did not fit. */
static CK_RV read_long(struct request *request, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
	CK_ATTRIBUTE_TYPE type, struct bytes *ret_value)
{
	CK_ATTRIBUTE item = {type, NULL, 0};
	CK_RV rv = get(request, session, object, &item, 1);
	if (rv != CKR_OK || item.ulValueLen == CK_UNAVAILABLE_INFORMATION)
		return is_partial(rv) ? CKR_OK : rv;
	if (item.ulValueLen > LIMIT_ATTRIBUTE_VALUE)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	CK_ULONG size = item.ulValueLen;
	item.pValue = arena_alloc(request->arena, size + 1); /* with a NUL behind it, like the short ones */
	if (item.pValue == NULL)
		return CKR_HOST_MEMORY;
	rv = get(request, session, object, &item, 1);
	if (rv == CKR_OK && item.ulValueLen <= size)
		*ret_value = (struct bytes){item.pValue, item.ulValueLen};
	return is_partial(rv) ? CKR_OK : rv;
}

/* Whether a value may be longer than the guess: a module marks a value that is too long like one that is missing. */
static bool can_be_long(CK_ATTRIBUTE_TYPE type)
{
	return type == CKA_LABEL || type == CKA_ID || type == CKA_MODULUS || type == CKA_EC_POINT;
}

CK_RV attribute_read(struct request *request, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
	const CK_ATTRIBUTE_TYPE types[], size_t count, struct bytes ret_values[])
{
	unsigned char memory[ATTRIBUTES_READ_MAX][FIRST_GUESS];
	CK_ATTRIBUTE items[ATTRIBUTES_READ_MAX];
	if (count > ATTRIBUTES_READ_MAX)
		return CKR_GENERAL_ERROR;
	for (size_t i = 0; i < count; i++)
		items[i] = (CK_ATTRIBUTE){types[i], &memory[i][0], FIRST_GUESS};
	CK_RV rv = get(request, session, object, items, count);
	if (!is_partial(rv))
		return rv;
	for (size_t i = 0; i < count; i++) {
		ret_values[i] = (struct bytes){NULL, 0};
		if (items[i].ulValueLen <= FIRST_GUESS) {
			ret_values[i] = (struct bytes){
				arena_copy(request->arena, memory[i], items[i].ulValueLen), items[i].ulValueLen};
			if (ret_values[i].data == NULL)
				return CKR_HOST_MEMORY;
		} else if (rv != CKR_OK && can_be_long(types[i])) {
			CK_RV again = read_long(request, session, object, types[i], &ret_values[i]);
			if (again != CKR_OK)
				return again;
		}
	}
	return CKR_OK;
}

CK_ULONG attribute_ulong(struct bytes value, CK_ULONG absent)
{
	CK_ULONG number;
	if (value.data == NULL || value.len != sizeof number)
		return absent;
	memcpy(&number, value.data, sizeof number);
	return number;
}

bool attribute_flag(struct bytes value, bool absent)
{
	return value.data == NULL || value.len != sizeof(CK_BBOOL) ? absent : value.data[0] != CK_FALSE;
}
