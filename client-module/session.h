/*
 * The application's session handles: each stands for a slot and the handle that the slot's worker gave.
 *
 * A handle is a place in the table and the number of times that place was used, so that a closed session's handle is not
 * taken for a newer session. It fits 32 bits and is never 0.
 */
#ifndef P11GATE_CLIENT_MODULE_SESSION_H
#define P11GATE_CLIENT_MODULE_SESSION_H

#include "api/cryptoki.h"
#include "client-module/include/p11gate/ca.h"
#include "client-module/lock.h"
#include "client-module/slots.h"

enum { SESSIONS_MAX = 16384 }; /* open sessions of one process */

struct session_entry;

struct sessions {
	struct lock lock;
	struct session_entry *entries;
	size_t capacity;
};

/* What a handle stands for. */
struct session {
	const struct slot_route *slot;
	CK_APPLICATION_ID application; /* it was opened with, which it keeps (requirement C5) */
	CK_SESSION_HANDLE wire; /* the worker's handle */
	bool read_write;
};

CK_RV sessions_init(struct sessions *sessions, const struct locking *how) __attribute__((warn_unused_result));
void sessions_done(struct sessions *sessions);

/* CKR_SESSION_COUNT or CKR_HOST_MEMORY when there is no room. */
CK_RV session_add(struct sessions *sessions, const struct session *session, CK_SESSION_HANDLE *ret_handle)
	__attribute__((warn_unused_result));

/* False if the handle is none of an open session. */
bool session_find(struct sessions *sessions, CK_SESSION_HANDLE handle, struct session *ret_session)
	__attribute__((warn_unused_result));

/* Forgets one session, or all of an application (a slot and an ID); what is not there is ignored. */
void session_forget(struct sessions *sessions, CK_SESSION_HANDLE handle);
void session_forget_application(
	struct sessions *sessions, const struct slot_route *slot, const CK_APPLICATION_ID *application);

/* The IDs that open sessions of the slot have, each once. The caller frees them; none: NULL and 0. CKR_HOST_MEMORY. */
CK_RV session_applications(struct sessions *sessions, const struct slot_route *slot, CK_APPLICATION_ID **ret_ids,
	size_t *ret_count) __attribute__((warn_unused_result));

/* Open sessions of this process on a slot (requirement C11), and how many of them are read-write. */
CK_ULONG session_count(struct sessions *sessions, const struct slot_route *slot, CK_ULONG *ret_read_write);

#endif
