#include "client-module/session.h"

#include <stdlib.h>
#include <string.h>

enum {
	PLACE_BITS = 15, /* of a handle; the rest counts the uses of the place */
	USES_MAX = (1 << 16) - 1,
	FIRST_CAPACITY = 16,
};

_Static_assert(SESSIONS_MAX < 1 << PLACE_BITS, "a handle must be able to name every place");

struct session_entry {
	struct session session; /* slot NULL: the place is free */
	unsigned uses;
};

CK_RV sessions_init(struct sessions *sessions, const struct locking *how)
{
	sessions->entries = NULL;
	sessions->capacity = 0;
	return lock_init(&sessions->lock, how);
}

void sessions_done(struct sessions *sessions)
{
	free(sessions->entries);
	lock_done(&sessions->lock);
}

/* Doubles the table. The lock is held. */
static CK_RV session_grow(struct sessions *sessions)
{
	if (sessions->capacity >= SESSIONS_MAX) {
		return CKR_SESSION_COUNT;
	}
	size_t capacity = sessions->capacity == 0 ? FIRST_CAPACITY : 2 * sessions->capacity;
	struct session_entry *entries = realloc(sessions->entries, capacity * sizeof(*entries));
	if (entries == NULL) {
		return CKR_HOST_MEMORY;
	}
	for (size_t i = sessions->capacity; i < capacity; i++) {
		entries[i] = (struct session_entry){0};
	}
	sessions->entries = entries;
	sessions->capacity = capacity;
	return CKR_OK;
}

CK_RV session_add(struct sessions *sessions, const struct session *session, CK_SESSION_HANDLE *ret_handle)
{
	lock_take(&sessions->lock);
	size_t place = 0;
	while (place < sessions->capacity && sessions->entries[place].session.slot != NULL) {
		place++;
	}
	CK_RV rv = place < sessions->capacity ? CKR_OK : session_grow(sessions);
	if (rv == CKR_OK) {
		struct session_entry *entry = &sessions->entries[place];
		entry->session = *session;
		entry->uses = entry->uses % USES_MAX + 1;
		*ret_handle = (CK_SESSION_HANDLE)entry->uses << PLACE_BITS | (CK_SESSION_HANDLE)place;
	}
	lock_release(&sessions->lock);
	return rv;
}

/* The lock is held. */
static struct session_entry *session_entry(struct sessions *sessions, CK_SESSION_HANDLE handle)
{
	size_t place = handle & ((1 << PLACE_BITS) - 1);
	if (place >= sessions->capacity) {
		return NULL;
	}
	struct session_entry *entry = &sessions->entries[place];
	return entry->session.slot != NULL && entry->uses == handle >> PLACE_BITS ? entry : NULL;
}

bool session_find(struct sessions *sessions, CK_SESSION_HANDLE handle, struct session *ret_session)
{
	lock_take(&sessions->lock);
	const struct session_entry *entry = session_entry(sessions, handle);
	if (entry != NULL) {
		*ret_session = entry->session;
	}
	lock_release(&sessions->lock);
	return entry != NULL;
}

/* Sessions of a slot, and how many of them are read-write. The lock is held. */
static CK_ULONG session_matching(
	const struct sessions *sessions, const struct slot_route *slot, CK_ULONG *ret_read_write)
{
	CK_ULONG count = 0;
	*ret_read_write = 0;
	for (size_t i = 0; i < sessions->capacity; i++) {
		const struct session *session = &sessions->entries[i].session;
		if (session->slot == slot) {
			count++;
			*ret_read_write += session->read_write;
		}
	}
	return count;
}

void session_forget(struct sessions *sessions, CK_SESSION_HANDLE handle)
{
	lock_take(&sessions->lock);
	struct session_entry *entry = session_entry(sessions, handle);
	if (entry != NULL) {
		entry->session.slot = NULL;
	}
	lock_release(&sessions->lock);
}

static int application_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(CK_APPLICATION_ID));
}

void session_forget_application(
	struct sessions *sessions, const struct slot_route *slot, const CK_APPLICATION_ID *application)
{
	lock_take(&sessions->lock);
	for (size_t i = 0; i < sessions->capacity; i++) {
		struct session *session = &sessions->entries[i].session;
		if (session->slot == slot && application_compare(&session->application, application) == 0) {
			session->slot = NULL;
		}
	}
	lock_release(&sessions->lock);
}

/* Drops what repeats in a sorted list; the count that is left. */
static size_t application_unique(CK_APPLICATION_ID *ids, size_t count)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		if (kept == 0 || application_compare(&ids[kept - 1], &ids[i]) != 0) {
			ids[kept++] = ids[i];
		}
	}
	return kept;
}

CK_RV session_applications(
	struct sessions *sessions, const struct slot_route *slot, CK_APPLICATION_ID **ret_ids, size_t *ret_count)
{
	CK_APPLICATION_ID *ids = NULL;
	CK_ULONG read_write;
	size_t count = 0;
	lock_take(&sessions->lock);
	size_t most = session_matching(sessions, slot, &read_write);
	if (most > 0) {
		ids = calloc(most, sizeof(*ids));
	}
	for (size_t i = 0; ids != NULL && i < sessions->capacity; i++) {
		if (sessions->entries[i].session.slot == slot) {
			ids[count++] = sessions->entries[i].session.application;
		}
	}
	lock_release(&sessions->lock);
	if (most > 0 && ids == NULL) {
		return CKR_HOST_MEMORY;
	}
	if (ids != NULL) {
		qsort(ids, count, sizeof(*ids), application_compare);
		count = application_unique(ids, count);
	}
	*ret_ids = ids;
	*ret_count = count;
	return CKR_OK;
}

CK_ULONG session_count(struct sessions *sessions, const struct slot_route *slot, CK_ULONG *ret_read_write)
{
	lock_take(&sessions->lock);
	CK_ULONG count = session_matching(sessions, slot, ret_read_write);
	lock_release(&sessions->lock);
	return count;
}
