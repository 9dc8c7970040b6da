/*
 * What the worker itself reads off the token, beside the calls of clients: private to server/worker/.
 *
 * The session may be any that has no search active; the caller holds the module. Nothing is counted or recorded.
 */
#ifndef P11GATE_WORKER_LOOKUP_H
#define P11GATE_WORKER_LOOKUP_H

#include "server/worker/internal.h"

/*
 * One attribute into `data` (`size` bytes). *ret_len is 0 if the object has none, or none that can be read. False: it is longer, or
 * the module will not say.
 */
bool lookup_attribute(struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
	void *data, size_t size, size_t *ret_len) MUST_USE;

/*
 * Looks at every object that matches `count` attributes, until `look` returns true: *ret_hit. `look` may read attributes in the same
 * session. Any CKR of a search.
 */
CK_RV lookup_each(struct worker *worker, CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count,
	bool (*look)(void *context, CK_OBJECT_HANDLE object), void *context, bool *ret_hit) MUST_USE;

#endif
