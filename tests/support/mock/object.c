#include "tests/support/mock/mock.h"

#include <string.h>

/* Attributes are packed one behind the other: type, length, value. */
struct item {
	CK_ATTRIBUTE_TYPE type;
	uint32_t len;
};

static struct object session_objects[MOCK_OBJECTS_MAX];

/* Place `i` of all objects, the token's first. */
static struct object *object_at(size_t i)
{
	return i < MOCK_OBJECTS_MAX ? &token_shared()->objects[i] : &session_objects[i - MOCK_OBJECTS_MAX];
}

struct object *object_get(CK_OBJECT_HANDLE handle)
{
	for (size_t i = 0; handle != 0 && i < 2 * (size_t)MOCK_OBJECTS_MAX; i++) {
		if (object_at(i)->handle == handle)
			return object_at(i);
	}
	return NULL;
}

/* Offset of the attribute, or the object's length. */
static size_t item_find(const struct object *object, CK_ATTRIBUTE_TYPE type, struct item *ret_item)
{
	for (size_t at = 0; at < object->len; at += sizeof *ret_item + ret_item->len) {
		memcpy(ret_item, object->attributes + at, sizeof *ret_item);
		if (ret_item->type == type)
			return at;
	}
	return object->len;
}

const void *object_attribute(const struct object *object, CK_ATTRIBUTE_TYPE type, size_t *ret_len)
{
	struct item item;
	size_t at = item_find(object, type, &item);

	if (at == object->len)
		return NULL;
	*ret_len = item.len;
	return object->attributes + at + sizeof item;
}

bool object_flag(const struct object *object, CK_ATTRIBUTE_TYPE type)
{
	size_t len;
	const CK_BBOOL *value = object_attribute(object, type, &len);

	return value && len == sizeof *value && *value;
}

CK_ULONG object_number(const struct object *object, CK_ATTRIBUTE_TYPE type)
{
	CK_ULONG number = CK_UNAVAILABLE_INFORMATION;
	size_t len;
	const void *value = object_attribute(object, type, &len);

	if (value && len == sizeof number)
		memcpy(&number, value, sizeof number);
	return number;
}

CK_RV object_set(struct object *object, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
	struct item item;
	size_t at = item_find(object, type, &item);

	if (at < object->len) {
		size_t whole = sizeof item + item.len;
		memmove(object->attributes + at, object->attributes + at + whole, object->len - at - whole);
		object->len -= whole;
	}
	if (sizeof item + len > sizeof object->attributes - object->len)
		return CKR_DEVICE_MEMORY;
	memset(&item, 0, sizeof item);
	item.type = type;
	item.len = (uint32_t)len;
	memcpy(object->attributes + object->len, &item, sizeof item);
	if (len > 0)
		memcpy(object->attributes + object->len + sizeof item, value, len);
	object->len += sizeof item + len;
	return CKR_OK;
}

bool object_visible(const struct object *object)
{
	return login_who() == CKU_USER || !object_flag(object, CKA_PRIVATE);
}

/* --- making and changing --- */

static bool template_flag(const union wire_value *template, CK_ATTRIBUTE_TYPE type)
{
	for (CK_ULONG i = 0; i < template->attributes.count; i++) {
		const CK_ATTRIBUTE *attribute = &template->attributes.items[i];
		if (attribute->type == type && attribute->pValue && attribute->ulValueLen == sizeof(CK_BBOOL))
			return *(const CK_BBOOL *)attribute->pValue;
	}
	return false;
}

static void set_flags(struct object *object, const CK_ATTRIBUTE_TYPE types[], size_t count, CK_BBOOL value)
{
	for (size_t i = 0; i < count; i++)
		(void)object_set(object, types[i], &value, sizeof value);
}

static void set_defaults(struct object *object, CK_OBJECT_CLASS class, CK_KEY_TYPE type)
{
	static const CK_ATTRIBUTE_TYPE off[] = {CKA_TOKEN, CKA_SIGN, CKA_VERIFY, CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP,
		CKA_UNWRAP, CKA_DERIVE, CKA_LOCAL, CKA_EXTRACTABLE},
				       on[] = {CKA_MODIFIABLE};
	CK_BBOOL private = class == CKO_PRIVATE_KEY || class == CKO_SECRET_KEY, no = CK_FALSE;

	(void)object_set(object, CKA_CLASS, &class, sizeof class);
	(void)object_set(object, CKA_LABEL, "", 0);
	(void)object_set(object, CKA_PRIVATE, &private, sizeof private);
	set_flags(object, on, sizeof on / sizeof on[0], CK_TRUE);
	if (type == CK_UNAVAILABLE_INFORMATION) {
		(void)object_set(object, CKA_TOKEN, &no, sizeof no);
		return;
	}
	(void)object_set(object, CKA_KEY_TYPE, &type, sizeof type);
	(void)object_set(object, CKA_ID, "", 0);
	set_flags(object, off, sizeof off / sizeof off[0], CK_FALSE);
	(void)object_set(object, CKA_SENSITIVE, &private, sizeof private);
	if (class == CKO_PRIVATE_KEY)
		(void)object_set(object, CKA_ALWAYS_AUTHENTICATE, &no, sizeof no);
}

static CK_RV set_template(struct object *object, const union wire_value *template)
{
	CK_RV rv = CKR_OK;

	for (CK_ULONG i = 0; i < template->attributes.count && rv == CKR_OK; i++) {
		const CK_ATTRIBUTE *attribute = &template->attributes.items[i];
		if (attribute->ulValueLen > 0 && !attribute->pValue)
			rv = CKR_ATTRIBUTE_VALUE_INVALID;
		else if (attribute->type == CKA_MOCK_MATERIAL)
			rv = CKR_ATTRIBUTE_TYPE_INVALID;
		else
			rv = object_set(object, attribute->type, attribute->pValue, attribute->ulValueLen);
	}
	return rv;
}

CK_RV object_new(struct session *session, CK_OBJECT_CLASS class, CK_KEY_TYPE type, const union wire_value *template,
	struct object **ret_object)
{
	bool token = template_flag(template, CKA_TOKEN);

	if (token && !(session->flags & CKF_RW_SESSION))
		return CKR_SESSION_READ_ONLY;
	for (size_t i = token ? 0 : MOCK_OBJECTS_MAX; i < (token ? 1U : 2U) * MOCK_OBJECTS_MAX; i++) {
		struct object *object = object_at(i);
		if (object->handle != 0)
			continue;
		memset(object, 0, sizeof *object);
		set_defaults(object, class, type);
		CK_RV rv = set_template(object, template);
		if (rv == CKR_OK && object_flag(object, CKA_PRIVATE) && login_who() != CKU_USER)
			rv = CKR_USER_NOT_LOGGED_IN;
		if (rv != CKR_OK)
			return rv;
		object->handle = ++token_shared()->last;
		object->session = token ? 0 : session->handle;
		*ret_object = object;
		return CKR_OK;
	}
	return CKR_DEVICE_MEMORY;
}

void objects_end_session(CK_SESSION_HANDLE session)
{
	for (int i = 0; i < MOCK_OBJECTS_MAX; i++) {
		if (session_objects[i].session == session)
			session_objects[i].handle = 0;
	}
}

void objects_end_private(void)
{
	for (int i = 0; i < MOCK_OBJECTS_MAX; i++) {
		if (object_flag(&session_objects[i], CKA_PRIVATE))
			session_objects[i].handle = 0;
	}
}

static CK_ULONG template_number(const union wire_value *template, CK_ATTRIBUTE_TYPE type)
{
	CK_ULONG number = CK_UNAVAILABLE_INFORMATION;

	for (CK_ULONG i = 0; i < template->attributes.count; i++) {
		const CK_ATTRIBUTE *attribute = &template->attributes.items[i];
		if (attribute->type == type && attribute->pValue && attribute->ulValueLen == sizeof number)
			memcpy(&number, attribute->pValue, sizeof number);
	}
	return number;
}

CK_RV mock_CreateObject(const union wire_value v[])
{
	CK_RV rv;
	struct session *session = session_get(v[0].number, &rv);
	struct object *object = NULL;

	if (!session)
		return rv;
	if (!v[2].number_out)
		return CKR_ARGUMENTS_BAD;
	CK_OBJECT_CLASS class = template_number(&v[1], CKA_CLASS);
	if (class == CK_UNAVAILABLE_INFORMATION)
		return CKR_TEMPLATE_INCOMPLETE;
	rv = object_new(session, class, template_number(&v[1], CKA_KEY_TYPE), &v[1], &object);
	if (rv == CKR_OK)
		*v[2].number_out = object->handle;
	return rv;
}

/* Of a call whose first two arguments are a session and an object; NULL and what to answer. */
static struct object *object_of(const union wire_value v[], struct session **ret_session, CK_RV *ret_rv)
{
	*ret_session = session_get(v[0].number, ret_rv);
	if (!*ret_session)
		return NULL;
	struct object *object = object_get(v[1].number);
	bool good = object && object_visible(object);
	*ret_rv = good ? CKR_OK : CKR_OBJECT_HANDLE_INVALID;
	return good ? object : NULL;
}

CK_RV mock_CopyObject(const union wire_value v[])
{
	struct session *session;
	CK_RV rv;
	const struct object *object = object_of(v, &session, &rv);
	struct object *copy = NULL;

	if (!object)
		return rv;
	rv = object_new(session, CKO_DATA, CK_UNAVAILABLE_INFORMATION, &v[2], &copy);
	if (rv != CKR_OK)
		return rv;
	CK_BBOOL token = copy->session == 0;
	memcpy(copy->attributes, object->attributes, object->len);
	copy->len = object->len;
	rv = object_set(copy, CKA_TOKEN, &token, sizeof token);
	if (rv == CKR_OK)
		rv = set_template(copy, &v[2]);
	*v[3].number_out = copy->handle;
	return rv;
}

CK_RV mock_DestroyObject(const union wire_value v[])
{
	struct session *session;
	CK_RV rv;
	struct object *object = object_of(v, &session, &rv);

	if (object)
		object->handle = 0;
	return rv;
}

CK_RV mock_GetObjectSize(const union wire_value v[])
{
	struct session *session;
	CK_RV rv;
	const struct object *object = object_of(v, &session, &rv);

	if (object && v[2].number_out)
		*v[2].number_out = object->len;
	return rv;
}

CK_RV mock_SetAttributeValue(const union wire_value v[])
{
	struct session *session;
	CK_RV rv;
	struct object *object = object_of(v, &session, &rv);

	return object ? set_template(object, &v[2]) : rv;
}

static CK_RV attribute_get(const struct object *object, CK_ATTRIBUTE *attribute)
{
	size_t len = 0;
	const void *value = attribute->type == CKA_MOCK_MATERIAL ? NULL
								 : object_attribute(object, attribute->type, &len);
	bool hidden = attribute->type == CKA_VALUE && object_flag(object, CKA_SENSITIVE);
	CK_ULONG room = attribute->ulValueLen;

	attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
	if (!value || hidden)
		return value ? CKR_ATTRIBUTE_SENSITIVE : CKR_ATTRIBUTE_TYPE_INVALID;
	if (attribute->pValue && room < len)
		return CKR_BUFFER_TOO_SMALL;
	attribute->ulValueLen = len;
	if (attribute->pValue)
		memcpy(attribute->pValue, value, len);
	return CKR_OK;
}

CK_RV mock_GetAttributeValue(const union wire_value v[])
{
	struct session *session;
	CK_RV rv;
	const struct object *object = object_of(v, &session, &rv);

	for (CK_ULONG i = 0; object && i < v[2].attributes.count; i++) {
		CK_RV one = attribute_get(object, &v[2].attributes.items[i]);
		rv = one != CKR_OK ? one : rv;
	}
	return rv;
}

/* --- searches --- */

static bool matches(const struct object *object, const union wire_value *template)
{
	for (CK_ULONG i = 0; i < template->attributes.count; i++) {
		const CK_ATTRIBUTE *wanted = &template->attributes.items[i];
		size_t len;
		const void *value = object_attribute(object, wanted->type, &len);
		if (!value || len != wanted->ulValueLen || (len > 0 && memcmp(value, wanted->pValue, len) != 0))
			return false;
	}
	return true;
}

CK_RV mock_FindObjectsInit(const union wire_value v[])
{
	CK_RV rv;
	struct session *session = session_get(v[0].number, &rv);

	if (!session)
		return rv;
	struct operation_state *find = &session->operations[OPERATION_FIND];
	if (find->active)
		return CKR_OPERATION_ACTIVE;
	find->active = true;
	for (size_t i = 0; i < 2 * (size_t)MOCK_OBJECTS_MAX; i++) {
		const struct object *object = object_at(i);
		if (object->handle != 0 && object_visible(object) && matches(object, &v[1]))
			find->found[find->found_count++] = object->handle;
	}
	return CKR_OK;
}

CK_RV mock_FindObjects(const union wire_value v[])
{
	CK_RV rv;
	struct session *session = session_get(v[0].number, &rv);

	if (!session)
		return rv;
	struct operation_state *find = &session->operations[OPERATION_FIND];
	if (!find->active)
		return CKR_OPERATION_NOT_INITIALIZED;
	if (!v[1].found.items || !v[1].found.count)
		return CKR_ARGUMENTS_BAD;
	CK_ULONG count = 0;
	while (count < v[1].found.max && find->found_next < find->found_count)
		v[1].found.items[count++] = find->found[find->found_next++];
	*v[1].found.count = count;
	return CKR_OK;
}

CK_RV mock_FindObjectsFinal(const union wire_value v[])
{
	CK_RV rv;
	struct session *session = session_get(v[0].number, &rv);

	if (!session)
		return rv;
	if (!session->operations[OPERATION_FIND].active)
		return CKR_OPERATION_NOT_INITIALIZED;
	operation_end(&session->operations[OPERATION_FIND]);
	return CKR_OK;
}
