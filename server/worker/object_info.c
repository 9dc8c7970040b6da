#include "server/worker/internal.h"

#include <stdlib.h>
#include <string.h>

/*
 * What is read of an object once, for events, for the rules about private and always-authenticate keys, and for
 * whether a mechanism goes with the key.
 */

struct reading {
	CK_OBJECT_CLASS class;
	CK_KEY_TYPE key_type;
	CK_BBOOL token, private, always_authenticate;
	unsigned char label[OBJECT_LABEL_MAX], id[OBJECT_ID_MAX];
};

enum { READ_CLASS, READ_KEY_TYPE, READ_TOKEN, READ_PRIVATE, READ_ALWAYS, READ_LABEL, READ_ID, READ_COUNT };

/* True if the module told the attribute and it fits. */
static bool told(const CK_ATTRIBUTE *attribute, size_t room)
{
	return attribute->ulValueLen != CK_UNAVAILABLE_INFORMATION && attribute->ulValueLen <= room;
}

static struct object_info *info_of(const struct reading *reading, const CK_ATTRIBUTE *attributes)
{
	struct object_info *info = calloc(1, sizeof *info);

	if (!info)
		return NULL;
	atomic_init(&info->refs, 1);
	info->class = reading->class;
	info->key_type = attributes[READ_KEY_TYPE].ulValueLen == sizeof reading->key_type ? reading->key_type
											  : CK_UNAVAILABLE_INFORMATION;
	info->token = told(&attributes[READ_TOKEN], 1) && reading->token;
	info->private = !told(&attributes[READ_PRIVATE], 1) || reading->private;
	info->always_authenticate = told(&attributes[READ_ALWAYS], 1) && reading->always_authenticate;
	if (told(&attributes[READ_LABEL], OBJECT_LABEL_MAX))
		memcpy(info->label, reading->label, attributes[READ_LABEL].ulValueLen);
	if (told(&attributes[READ_ID], OBJECT_ID_MAX)) {
		info->id_len = attributes[READ_ID].ulValueLen;
		memcpy(info->id, reading->id, info->id_len);
	}
	return info;
}

static struct object_info *info_read(struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE module)
{
	struct reading reading = {0};
	CK_ATTRIBUTE attributes[READ_COUNT] = {
		[READ_CLASS] = {CKA_CLASS, &reading.class, sizeof reading.class},
		[READ_KEY_TYPE] = {CKA_KEY_TYPE, &reading.key_type, sizeof reading.key_type},
		[READ_TOKEN] = {CKA_TOKEN, &reading.token, sizeof reading.token},
		[READ_PRIVATE] = {CKA_PRIVATE, &reading.private, sizeof reading.private},
		[READ_ALWAYS] = {CKA_ALWAYS_AUTHENTICATE, &reading.always_authenticate,
			sizeof reading.always_authenticate},
		[READ_LABEL] = {CKA_LABEL, reading.label, sizeof reading.label},
		[READ_ID] = {CKA_ID, reading.id, sizeof reading.id},
	};
	const union wire_value v[] = {
		{.number = session},
		{.number = module},
		{.attributes = {attributes, READ_COUNT}},
	};
	CK_RV rv = invoke_uncounted(worker, CALL_GetAttributeValue, v);

	if (rv != CKR_OK && rv != CKR_ATTRIBUTE_TYPE_INVALID && rv != CKR_ATTRIBUTE_SENSITIVE &&
		rv != CKR_BUFFER_TOO_SMALL)
		return NULL;
	return told(&attributes[READ_CLASS], sizeof reading.class) ? info_of(&reading, attributes) : NULL;
}

struct object_info *object_info_keep(struct object_info *info)
{
	if (info)
		atomic_fetch_add(&info->refs, 1);
	return info;
}

void object_info_release(struct object_info *info)
{
	if (info && atomic_fetch_sub(&info->refs, 1) == 1)
		free(info);
}

struct object_info *object_describe(struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle)
{
	struct objects *objects = &worker->objects;

	pthread_mutex_lock(&objects->lock);
	const struct object *object = object_find(objects, handle);
	CK_OBJECT_HANDLE module = object ? object->module : CK_INVALID_HANDLE;
	struct object_info *info = object ? object_info_keep(object->info) : NULL;
	pthread_mutex_unlock(&objects->lock);
	if (info || module == CK_INVALID_HANDLE)
		return info;

	info = info_read(worker, session, module);
	if (!info)
		return NULL;
	pthread_mutex_lock(&objects->lock);
	struct object *again = object_find(objects, handle);
	if (again && again->module == module && !again->info)
		again->info = object_info_keep(info);
	pthread_mutex_unlock(&objects->lock);
	return info;
}
