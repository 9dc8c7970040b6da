#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "server/worker/public_part.h"

/*
 * A re-initialised module numbers its objects anew, while the application's handles stay. So each token object is remembered by what
 * tells it from others, and found again when its handle is used next. An object that is not found exactly once is lost.
 */

static const CK_ATTRIBUTE_TYPE identifying[] = {
	CKA_CLASS,
	CKA_TOKEN,
	CKA_PRIVATE,
	CKA_LABEL,
	CKA_ID,
	CKA_UNIQUE_ID,
	CKA_KEY_TYPE,
	CKA_LOCAL,
	CKA_SIGN,
	CKA_VERIFY,
	CKA_ENCRYPT,
	CKA_DECRYPT,
	CKA_WRAP,
	CKA_UNWRAP,
	CKA_DERIVE,
	CKA_MODULUS,
	CKA_EC_PARAMS,
	CKA_EC_POINT,
	CKA_VALUE_LEN,
	CKA_SUBJECT,
	CKA_ISSUER,
	CKA_SERIAL_NUMBER,
	CKA_APPLICATION,
	CKA_OBJECT_ID,
	/* Computed by some modules, which need not search for them: only compared. */
	CKA_PUBLIC_KEY_INFO,
	CKA_CHECK_VALUE,
};

enum { IDENTIFYING = sizeof identifying / sizeof identifying[0], ONLY_COMPARED = 2, IDENTITY_MAX = 64 << 10 };

struct object_identity {
	CK_ATTRIBUTE attributes[IDENTIFYING];
	CK_ULONG count;
	CK_ULONG searched; /* how many of them a search is for: all but those that are only compared */
	bool has_public; /* of a private key that does not tell its public part: what does is known … */
	unsigned char public_hash[SHA256_DIGEST_LENGTH]; /* … and this is it */
	unsigned char values[];
};

void object_identity_free(struct object_identity *identity)
{
	free(identity);
}

static bool answered(CK_RV rv)
{
	return rv == CKR_OK || rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE;
}

/* Keeps the attributes that the object has, in order. Returns the bytes of their values. */
static size_t attributes_compact(CK_ATTRIBUTE *attributes, CK_ULONG *count)
{
	size_t total = 0;
	CK_ULONG kept = 0;

	for (CK_ULONG i = 0; i < *count; i++) {
		if (attributes[i].ulValueLen == CK_UNAVAILABLE_INFORMATION || attributes[i].ulValueLen > IDENTITY_MAX)
			continue;
		attributes[kept] = attributes[i];
		total += attributes[kept++].ulValueLen;
	}
	*count = kept;
	return total;
}

static bool is_searched(CK_ATTRIBUTE_TYPE type)
{
	for (size_t i = IDENTIFYING - ONLY_COMPARED; i < IDENTIFYING; i++) {
		if (identifying[i] == type)
			return false;
	}
	return true;
}

/* What the object says of itself. */
static struct object_identity *read_own(struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE module)
{
	CK_ATTRIBUTE attributes[IDENTIFYING];
	CK_ULONG count = IDENTIFYING;
	union wire_value v[] = {{.number = session}, {.number = module}, {.attributes = {attributes, count}}};

	for (size_t i = 0; i < IDENTIFYING; i++)
		attributes[i] = (CK_ATTRIBUTE){identifying[i], NULL, 0};
	if (!answered(invoke_uncounted(worker, CALL_GetAttributeValue, v)))
		return NULL;
	size_t total = attributes_compact(attributes, &count);
	struct object_identity *identity = calloc(1, sizeof *identity + total);
	if (!identity)
		return NULL;
	size_t offset = 0;
	for (CK_ULONG i = 0; i < count; i++) {
		identity->attributes[i] = attributes[i];
		identity->attributes[i].pValue = identity->values + offset;
		offset += attributes[i].ulValueLen;
		identity->searched += is_searched(attributes[i].type);
	}
	identity->count = count;
	v[2].attributes.items = identity->attributes;
	v[2].attributes.count = count;
	if (invoke_uncounted(worker, CALL_GetAttributeValue, v) == CKR_OK)
		return identity;
	free(identity);
	return NULL;
}

static const CK_ATTRIBUTE *identity_attribute(const struct object_identity *identity, CK_ATTRIBUTE_TYPE type)
{
	for (CK_ULONG i = 0; i < identity->count; i++) {
		if (identity->attributes[i].type == type && identity->attributes[i].ulValueLen > 0)
			return &identity->attributes[i];
	}
	return NULL;
}

/* Two keys of the same label, one made in the place of the other, look alike but for what their public keys say. */
static bool needs_public(const struct object_identity *identity)
{
	static const CK_OBJECT_CLASS private = CKO_PRIVATE_KEY;
	const CK_ATTRIBUTE *class = identity_attribute(identity, CKA_CLASS);

	return class && class->ulValueLen == sizeof private && memcmp(class->pValue, &private, sizeof private) == 0 &&
	       !identity_attribute(identity, CKA_MODULUS) && !identity_attribute(identity, CKA_EC_POINT) &&
	       !identity_attribute(identity, CKA_PUBLIC_KEY_INFO);
}

static CK_RV public_hash(struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE module, bool *ret_known,
	unsigned char ret_hash[SHA256_DIGEST_LENGTH])
{
	struct public_part part;
	CK_RV rv = public_part_read(worker, session, module, &part);

	if (rv != CKR_OK)
		return rv;
	*ret_known = part.len > 0;
	SHA256(part.data, part.len, ret_hash);
	return CKR_OK;
}

struct object_identity *object_identity_read(struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE module)
{
	struct object_identity *identity = read_own(worker, session, module);

	if (!identity || !needs_public(identity) ||
		public_hash(worker, session, module, &identity->has_public, identity->public_hash) == CKR_OK)
		return identity;
	free(identity);
	return NULL;
}

void objects_identify(struct worker *worker, CK_SESSION_HANDLE session)
{
	struct objects *objects = &worker->objects;

	/* module.lock is held exclusively: nobody else uses the table. */
	for (size_t i = 0; i < objects->buckets; i++) {
		for (struct object *object = objects->by_handle[i]; object; object = object->next_handle) {
			if (object->owner || object->module == CK_INVALID_HANDLE)
				continue;
			object_identity_free(object->identity);
			object->identity = object_identity_read(worker, session, object->module);
		}
	}
}

/* Searches for at most two objects. */
static CK_RV find_two(struct request *request, CK_SESSION_HANDLE session, struct object_identity *identity,
	CK_OBJECT_HANDLE found[2], CK_ULONG *ret_count)
{
	const union wire_value start[] = {
		{.number = session}, {.attributes = {identity->attributes, identity->searched}}};
	const union wire_value next[] = {{.number = session}, {.found = {found, 2, ret_count}}};
	const union wire_value end[] = {{.number = session}};
	CK_RV rv = invoke(request, CALL_FindObjectsInit, start);

	if (rv != CKR_OK)
		return rv;
	rv = invoke(request, CALL_FindObjects, next);
	CK_RV ended = invoke(request, CALL_FindObjectsFinal, end);
	return rv != CKR_OK ? rv : ended;
}

static bool identity_equal(const struct object_identity *a, const struct object_identity *b)
{
	if (a->count != b->count)
		return false;
	for (CK_ULONG i = 0; i < a->count; i++) {
		const CK_ATTRIBUTE *x = &a->attributes[i], *y = &b->attributes[i];
		if (x->type != y->type || x->ulValueLen != y->ulValueLen ||
			memcmp(x->pValue, y->pValue, x->ulValueLen) != 0)
			return false;
	}
	return true;
}

/* Whether `module` is the object, and not another one that a search for it finds. */
static CK_RV recheck(struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE module,
	const struct object_identity *identity, bool *ret_same)
{
	unsigned char hash[SHA256_DIGEST_LENGTH];
	struct object_identity *own = read_own(worker, session, module);
	bool equal = own && identity_equal(own, identity), known = false;

	object_identity_free(own);
	*ret_same = equal;
	if (!equal || !identity->has_public)
		return CKR_OK;
	CK_RV rv = public_hash(worker, session, module, &known, hash);
	*ret_same = rv == CKR_OK && known && memcmp(hash, identity->public_hash, sizeof hash) == 0;
	return rv;
}

/* The one object of that identity, or CK_INVALID_HANDLE: more than one is as good as none. */
static CK_RV find_one(struct request *request, CK_SESSION_HANDLE session, struct object_identity *identity,
	CK_OBJECT_HANDLE *ret_found)
{
	CK_OBJECT_HANDLE found[2];
	CK_ULONG count = 0;
	bool same = false;
	CK_RV rv = find_two(request, session, identity, found, &count);

	if (rv == CKR_OK && count == 1)
		rv = recheck(request->worker, session, found[0], identity, &same);
	*ret_found = same ? found[0] : CK_INVALID_HANDLE;
	return rv;
}

/* The identity of an unbound object, taken from it; NULL if it has none or is bound by now (`ret_module`). */
static struct object_identity *identity_take(
	struct objects *objects, CK_OBJECT_HANDLE handle, CK_OBJECT_HANDLE *ret_module)
{
	struct object_identity *identity = NULL;

	pthread_mutex_lock(&objects->lock);
	struct object *object = object_find(objects, handle);
	if (object) {
		*ret_module = object->module;
		identity = object->module == CK_INVALID_HANDLE ? object->identity : NULL;
		if (identity)
			object->identity = NULL;
	}
	pthread_mutex_unlock(&objects->lock);
	return identity;
}

/* Binds the object to what was found. Its identity stays for the next time, or for another try if the search itself failed. */
static CK_OBJECT_HANDLE settle(struct objects *objects, CK_OBJECT_HANDLE handle, struct object_identity *identity,
	CK_RV rv, CK_OBJECT_HANDLE found)
{
	bool bound = false;

	pthread_mutex_lock(&objects->lock);
	struct object *object = object_find(objects, handle);
	if (object && rv == CKR_OK && found != CK_INVALID_HANDLE)
		bound = object_bind(objects, object, found);
	if (object && (bound || rv != CKR_OK)) {
		object->identity = identity;
		identity = NULL;
	}
	pthread_mutex_unlock(&objects->lock);
	object_identity_free(identity);
	return bound ? found : CK_INVALID_HANDLE;
}

/* Under objects->refind. */
static CK_OBJECT_HANDLE refind(struct request *request, CK_OBJECT_HANDLE handle)
{
	struct objects *objects = &request->worker->objects;
	CK_OBJECT_HANDLE found = CK_INVALID_HANDLE, module = CK_INVALID_HANDLE;
	CK_SESSION_HANDLE session;

	struct object_identity *identity = identity_take(objects, handle, &module);
	if (!identity)
		return module;
	CK_RV rv = pool_lend(request, SESSION_TO_SEARCH, &session);
	if (rv == CKR_OK) {
		rv = find_one(request, session, identity, &found);
		session_give_back(request, session, rv == CKR_OK);
	}
	return settle(objects, handle, identity, rv, found);
}

CK_OBJECT_HANDLE object_refind(struct request *request, CK_OBJECT_HANDLE handle)
{
	struct objects *objects = &request->worker->objects;

	/* Without the login a search would not show it, and it would be lost. */
	if (object_awaits_login(request->worker, handle))
		return CK_INVALID_HANDLE;
	pthread_mutex_lock(&objects->refind);
	CK_OBJECT_HANDLE module = refind(request, handle);
	pthread_mutex_unlock(&objects->refind);
	return module;
}

static bool any_unbound(struct objects *objects)
{
	pthread_mutex_lock(&objects->lock);
	bool unbound = objects->unbound > 0;
	pthread_mutex_unlock(&objects->lock);
	return unbound;
}

/* Under objects->refind: if `module`, just found, is an object that waits to be found again, it gets its old handle back. */
static void recognise(struct request *request, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE module)
{
	struct objects *objects = &request->worker->objects;
	CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
	struct object_identity *identity = read_own(request->worker, session, module);

	if (!identity)
		return;
	pthread_mutex_lock(&objects->lock);
	for (size_t i = 0; i < objects->buckets && handle == CK_INVALID_HANDLE; i++) {
		for (const struct object *object = objects->by_handle[i]; object; object = object->next_handle) {
			if (object->identity && object->module == CK_INVALID_HANDLE &&
				identity_equal(object->identity, identity))
				handle = object->handle;
		}
	}
	pthread_mutex_unlock(&objects->lock);
	object_identity_free(identity);
	if (handle != CK_INVALID_HANDLE)
		(void)refind(request, handle);
}

CK_RV object_name(
	struct request *request, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_OBJECT_HANDLE *ret_handle)
{
	struct objects *objects = &request->worker->objects;

	if (!any_unbound(objects))
		return object_add(request->worker, object, false, ret_handle);
	/* Nobody may find it again between the look and the new handle, or the old one would be lost. */
	pthread_mutex_lock(&objects->refind);
	recognise(request, session, object);
	CK_RV rv = object_add(request->worker, object, false, ret_handle);
	pthread_mutex_unlock(&objects->refind);
	return rv;
}
