#include "client-module/session.h"

#include <stdlib.h>

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

void session_forget(struct sessions *sessions, CK_SESSION_HANDLE handle)
{
	lock_take(&sessions->lock);
	struct session_entry *entry = session_entry(sessions, handle);
	if (entry != NULL) {
		entry->session.slot = NULL;
	}
	lock_release(&sessions->lock);
}

void session_forget_slot(struct sessions *sessions, const struct slot_route *slot)
{
	lock_take(&sessions->lock);
	for (size_t i = 0; i < sessions->capacity; i++) {
		if (sessions->entries[i].session.slot == slot) {
			sessions->entries[i].session.slot = NULL;
		}
	}
	lock_release(&sessions->lock);
}

CK_ULONG session_count(struct sessions *sessions, const struct slot_route *slot, CK_ULONG *ret_read_write)
{
	CK_ULONG count = 0, read_write = 0;
	lock_take(&sessions->lock);
	for (size_t i = 0; i < sessions->capacity; i++) {
		if (sessions->entries[i].session.slot == slot) {
			count++;
			read_write += sessions->entries[i].session.read_write;
		}
	}
	lock_release(&sessions->lock);
	*ret_read_write = read_write;
	return count;
}
