#include "server/worker/internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/*
 * The application's object handles: two chained tables over the same entries, by virtual and by module handle.
 */

enum { BUCKETS_FIRST = 64 };

static size_t bucket(const struct objects *objects, CK_ULONG number)
{
	return (size_t)(number * 0x9E3779B97F4A7C15u >> 20) & (objects->buckets - 1);
}

static struct object **table_new(size_t buckets)
{
	return calloc(buckets, sizeof(struct object *));
}

bool objects_init(struct objects *objects)
{
	memset(objects, 0, sizeof *objects);
	pthread_mutex_init(&objects->lock, NULL);
	pthread_mutex_init(&objects->refind, NULL);
	objects->buckets = BUCKETS_FIRST;
	objects->by_handle = table_new(BUCKETS_FIRST);
	objects->by_module = table_new(BUCKETS_FIRST);
	/* A handle of the worker before this one must not name an object of this one. */
	return objects->by_handle && objects->by_module &&
	       getrandom(&objects->last, sizeof objects->last, 0) == sizeof objects->last;
}

static void link_handle(struct objects *objects, struct object *object)
{
	struct object **chain = &objects->by_handle[bucket(objects, object->handle)];

	object->next_handle = *chain;
	*chain = object;
}

static void link_module(struct objects *objects, struct object *object)
{
	struct object **chain = &objects->by_module[bucket(objects, object->module)];

	object->next_module = *chain;
	*chain = object;
}

static void unlink_module(struct objects *objects, struct object *object)
{
	struct object **at = &objects->by_module[bucket(objects, object->module)];

	while (*at && *at != object)
		at = &(*at)->next_module;
	if (*at)
		*at = object->next_module;
}

/* Twice the buckets; with the old ones if there is no memory for that. */
static void objects_grow(struct objects *objects)
{
	size_t old_buckets = objects->buckets;
	struct object **old = objects->by_handle;
	struct object **by_handle = table_new(old_buckets * 2);
	struct object **by_module = table_new(old_buckets * 2);

	if (!by_handle || !by_module) {
		free(by_handle);
		free(by_module);
		return;
	}
	free(objects->by_module);
	objects->by_handle = by_handle;
	objects->by_module = by_module;
	objects->buckets = old_buckets * 2;
	for (size_t i = 0; i < old_buckets; i++) {
		for (struct object *object = old[i], *next; object; object = next) {
			next = object->next_handle;
			link_handle(objects, object);
			if (object->module != CK_INVALID_HANDLE)
				link_module(objects, object);
		}
	}
	free(old);
}

struct object *object_find(const struct objects *objects, CK_OBJECT_HANDLE handle)
{
	struct object *object = objects->by_handle[bucket(objects, handle)];

	while (object && object->handle != handle)
		object = object->next_handle;
	return object;
}

static struct object *find_module(const struct objects *objects, CK_OBJECT_HANDLE module)
{
	struct object *object = objects->by_module[bucket(objects, module)];

	while (object && object->module != module)
		object = object->next_module;
	return object;
}

bool object_bind(struct objects *objects, struct object *object, CK_OBJECT_HANDLE module)
{
	if (find_module(objects, module))
		return false;
	object->module = module;
	link_module(objects, object);
	objects->unbound--;
	return true;
}

static void object_free(struct object *object)
{
	object_info_release(object->info);
	object_identity_free(object->identity);
	free(object);
}

/* Takes it off both tables and frees it. */
static void object_drop(struct objects *objects, struct object *object)
{
	struct object **at = &objects->by_handle[bucket(objects, object->handle)];

	while (*at != object)
		at = &(*at)->next_handle;
	*at = object->next_handle;
	if (object->module != CK_INVALID_HANDLE)
		unlink_module(objects, object);
	else
		objects->unbound--;
	objects->count--;
	objects->session_objects -= object->owner != NULL;
	if (object->private_owned)
		atomic_fetch_sub(&objects->private_owned, 1);
	object_free(object);
}

static uint32_t next_handle(struct objects *objects)
{
	do {
		objects->last++;
	} while (objects->last == CK_INVALID_HANDLE || object_find(objects, objects->last));
	return objects->last;
}

static struct object *object_new(struct objects *objects, CK_OBJECT_HANDLE module)
{
	struct object *object = objects->count < OBJECTS_MAX ? calloc(1, sizeof *object) : NULL;

	if (!object)
		return NULL;
	object->handle = next_handle(objects);
	object->module = module;
	if (objects->count >= objects->buckets)
		objects_grow(objects);
	link_handle(objects, object);
	link_module(objects, object);
	objects->count++;
	return object;
}

CK_RV object_add(struct worker *worker, CK_OBJECT_HANDLE module, bool made, CK_OBJECT_HANDLE *ret_virtual)
{
	struct objects *objects = &worker->objects;
	CK_RV rv = CKR_HOST_MEMORY;

	pthread_mutex_lock(&objects->lock);
	struct object *object = find_module(objects, module);
	if (object && made) {
		/* The module has given the number of a vanished object to a new one: that is another object. */
		object_drop(objects, object);
		object = NULL;
	}
	if (!object)
		object = object_new(objects, module);
	if (object) {
		*ret_virtual = object->handle;
		rv = CKR_OK;
	}
	pthread_mutex_unlock(&objects->lock);
	return rv;
}

void object_own(struct worker *worker, CK_OBJECT_HANDLE handle, struct session *session)
{
	struct objects *objects = &worker->objects;

	pthread_mutex_lock(&objects->lock);
	struct object *object = object_find(objects, handle);
	if (object && !object->owner) {
		object->owner = session;
		object->home = session->module;
		object->private_owned = !object->info || object->info->private;
		if (object->private_owned)
			atomic_fetch_add(&objects->private_owned, 1);
		objects->session_objects++;
		session->objects++;
	}
	pthread_mutex_unlock(&objects->lock);
}

CK_OBJECT_HANDLE object_module(struct request *request, CK_OBJECT_HANDLE handle)
{
	struct objects *objects = &request->worker->objects;

	if (handle == CK_INVALID_HANDLE)
		return CK_INVALID_HANDLE;
	pthread_mutex_lock(&objects->lock);
	const struct object *object = object_find(objects, handle);
	CK_OBJECT_HANDLE module = object ? object->module : CK_INVALID_HANDLE;
	bool lost = object && module == CK_INVALID_HANDLE;
	pthread_mutex_unlock(&objects->lock);
	return lost ? object_refind(request, handle) : module;
}

void object_remove(struct worker *worker, CK_OBJECT_HANDLE handle)
{
	struct objects *objects = &worker->objects;

	pthread_mutex_lock(&objects->lock);
	struct object *object = object_find(objects, handle);
	if (object)
		object_drop(objects, object);
	pthread_mutex_unlock(&objects->lock);
}

/* Drops every object for which `gone` holds. */
static void objects_drop_if(
	struct worker *worker, bool (*gone)(const struct object *, const void *), const void *context)
{
	struct objects *objects = &worker->objects;

	pthread_mutex_lock(&objects->lock);
	for (size_t i = 0; i < objects->buckets; i++) {
		for (struct object *object = objects->by_handle[i], *next; object; object = next) {
			next = object->next_handle;
			if (gone(object, context))
				object_drop(objects, object);
		}
	}
	pthread_mutex_unlock(&objects->lock);
}

static bool made_in(const struct object *object, const void *session)
{
	return object->owner == session;
}

static bool any(const struct object *object, const void *context)
{
	(void)object;
	(void)context;
	return true;
}

static bool is_private(const struct object *object, const void *context)
{
	(void)context;
	return !object->info || object->info->private;
}

static bool is_of_session(const struct object *object, const void *context)
{
	(void)context;
	return object->owner != NULL;
}

void objects_remove_of_session(struct worker *worker, const struct session *session)
{
	if (session->objects > 0)
		objects_drop_if(worker, made_in, session);
}

bool objects_hang_on(struct worker *worker, const struct session *session, CK_SESSION_HANDLE module)
{
	struct objects *objects = &worker->objects;
	bool found = false;

	if (session->objects == 0)
		return false;
	pthread_mutex_lock(&objects->lock);
	for (size_t i = 0; i < objects->buckets && !found; i++) {
		for (const struct object *object = objects->by_handle[i]; object && !found;
			object = object->next_handle)
			found = object->owner == session && object->home == module;
	}
	pthread_mutex_unlock(&objects->lock);
	return found;
}

void objects_remove_all(struct worker *worker)
{
	objects_drop_if(worker, any, NULL);
}

/* The handles of all objects for which `wanted` holds; a malloced array, or NULL. */
static CK_OBJECT_HANDLE *handles_if(
	struct objects *objects, bool (*wanted)(const struct object *, const void *), size_t *ret_count)
{
	size_t count = 0;

	pthread_mutex_lock(&objects->lock);
	CK_OBJECT_HANDLE *handles = calloc(objects->count + 1, sizeof *handles);
	for (size_t i = 0; handles && i < objects->buckets; i++) {
		for (const struct object *object = objects->by_handle[i]; object; object = object->next_handle) {
			if (wanted(object, NULL))
				handles[count++] = object->handle;
		}
	}
	pthread_mutex_unlock(&objects->lock);
	*ret_count = count;
	return handles;
}

static bool is_unknown(const struct object *object, const void *context)
{
	(void)context;
	return !object->info;
}

void objects_classify(struct worker *worker, CK_SESSION_HANDLE session)
{
	size_t count;
	CK_OBJECT_HANDLE *handles = handles_if(&worker->objects, is_unknown, &count);

	for (size_t i = 0; handles && i < count; i++)
		object_info_release(object_describe(worker, session, handles[i]));
	free(handles);
}

void objects_remove_private(struct worker *worker)
{
	objects_drop_if(worker, is_private, NULL);
}

/* A private object of the token that could not be found again as it is known now. */
static bool is_unidentified(const struct object *object, const void *context)
{
	return is_private(object, context) && !object->owner && !object->identity &&
	       object->module != CK_INVALID_HANDLE;
}

static void object_identify(struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle)
{
	struct objects *objects = &worker->objects;

	pthread_mutex_lock(&objects->lock);
	const struct object *object = object_find(objects, handle);
	CK_OBJECT_HANDLE module = object ? object->module : CK_INVALID_HANDLE;
	pthread_mutex_unlock(&objects->lock);
	struct object_identity *identity = module != CK_INVALID_HANDLE ? object_identity_read(worker, session, module)
								       : NULL;
	pthread_mutex_lock(&objects->lock);
	struct object *again = object_find(objects, handle);
	if (again && again->module == module && !again->identity) {
		again->identity = identity;
		identity = NULL;
	}
	pthread_mutex_unlock(&objects->lock);
	object_identity_free(identity);
}

void objects_remember_private(struct worker *worker, CK_SESSION_HANDLE session)
{
	size_t count;

	objects_classify(worker, session);
	CK_OBJECT_HANDLE *handles = handles_if(&worker->objects, is_unidentified, &count);
	for (size_t i = 0; handles && i < count; i++)
		object_identify(worker, session, handles[i]);
	free(handles);
}

static bool is_private_of_session(const struct object *object, const void *context)
{
	return object->owner && is_private(object, context);
}

void objects_unbind_private(struct worker *worker)
{
	struct objects *objects = &worker->objects;

	objects_drop_if(worker, is_private_of_session, NULL);
	pthread_mutex_lock(&objects->lock);
	for (size_t i = 0; i < objects->buckets; i++) {
		for (struct object *object = objects->by_handle[i]; object; object = object->next_handle) {
			if (object->module == CK_INVALID_HANDLE || !is_private(object, NULL))
				continue;
			unlink_module(objects, object);
			object->module = CK_INVALID_HANDLE;
			objects->unbound++;
		}
	}
	pthread_mutex_unlock(&objects->lock);
}

bool object_may_be_private(struct worker *worker, CK_OBJECT_HANDLE handle)
{
	struct objects *objects = &worker->objects;

	if (handle == CK_INVALID_HANDLE)
		return false;
	pthread_mutex_lock(&objects->lock);
	const struct object *object = object_find(objects, handle);
	/* Before a logout the worker learns what is private: what it knows nothing of and has a handle for is public without a login. */
	bool private = object &&
		       (object->info ? object->info->private
				     : object->module == CK_INVALID_HANDLE || login_native_state(worker) != LOGIN_NONE);
	pthread_mutex_unlock(&objects->lock);
	return private;
}

bool object_awaits_login(struct worker *worker, CK_OBJECT_HANDLE handle)
{
	struct objects *objects = &worker->objects;

	if (handle == CK_INVALID_HANDLE || login_native_state(worker) != LOGIN_NONE)
		return false;
	pthread_mutex_lock(&objects->lock);
	const struct object *object = object_find(objects, handle);
	bool awaits = object && object->module == CK_INVALID_HANDLE && object->identity && is_private(object, NULL);
	pthread_mutex_unlock(&objects->lock);
	return awaits;
}

void objects_unbind(struct worker *worker)
{
	struct objects *objects = &worker->objects;

	objects_drop_if(worker, is_of_session, NULL);
	pthread_mutex_lock(&objects->lock);
	for (size_t i = 0; i < objects->buckets; i++) {
		objects->by_module[i] = NULL;
		for (struct object *object = objects->by_handle[i]; object; object = object->next_handle)
			object->module = CK_INVALID_HANDLE;
	}
	objects->unbound = objects->count;
	pthread_mutex_unlock(&objects->lock);
}

size_t objects_session_count(struct worker *worker)
{
	pthread_mutex_lock(&worker->objects.lock);
	size_t count = worker->objects.session_objects;
	pthread_mutex_unlock(&worker->objects.lock);
	return count;
}

void object_changed(struct worker *worker, CK_OBJECT_HANDLE handle)
{
	struct objects *objects = &worker->objects;

	pthread_mutex_lock(&objects->lock);
	struct object *object = object_find(objects, handle);
	if (object) {
		object_info_release(object->info);
		object->info = NULL;
		object_identity_free(object->identity);
		object->identity = NULL;
	}
	pthread_mutex_unlock(&objects->lock);
}
