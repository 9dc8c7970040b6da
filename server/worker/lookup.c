#include "server/worker/lookup.h"

enum { OBJECTS_AT_ONCE = 32 };

bool lookup_attribute(struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
	void *data, size_t size, size_t *ret_len)
{
	CK_ATTRIBUTE attribute = {type, data, size};
	const union wire_value v[] = {{.number = session}, {.number = object}, {.attributes = {&attribute, 1}}};
	CK_RV rv = invoke_uncounted(worker, CALL_GetAttributeValue, v);

	if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE)
		attribute.ulValueLen = 0;
	else if (rv != CKR_OK || attribute.ulValueLen > size)
		return false;
	*ret_len = attribute.ulValueLen;
	return true;
}

CK_RV lookup_each(struct worker *worker, CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count,
	bool (*look)(void *context, CK_OBJECT_HANDLE object), void *context, bool *ret_hit)
{
	CK_OBJECT_HANDLE found[OBJECTS_AT_ONCE];
	CK_ULONG got = 0;
	const union wire_value start[] = {{.number = session}, {.attributes = {template, count}}};
	const union wire_value next[] = {{.number = session}, {.found = {found, OBJECTS_AT_ONCE, &got}}};
	bool hit = false;
	CK_RV rv = invoke_uncounted(worker, CALL_FindObjectsInit, start);

	if (rv != CKR_OK)
		return rv;
	do {
		rv = invoke_uncounted(worker, CALL_FindObjects, next);
		for (CK_ULONG i = 0; rv == CKR_OK && !hit && i < got && i < OBJECTS_AT_ONCE; i++)
			hit = look(context, found[i]);
	} while (rv == CKR_OK && !hit && got > 0);
	CK_RV ended = invoke_uncounted(worker, CALL_FindObjectsFinal, start);
	*ret_hit = hit;
	return rv != CKR_OK ? rv : ended;
}
