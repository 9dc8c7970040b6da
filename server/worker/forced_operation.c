#include "server/worker/internal.h"

#include <stdlib.h>
#include <string.h>

/*
 * Operations with keys that ask for their PIN by policy (B20). Without a kept PIN the module has begun them, and the PIN is
 * verified beside it. With one the login of the operation itself verifies the PIN, so the module begins only after it.
 */

enum { INIT_MAX = 1 << 20 }; /* bytes of an Init as JSON */

char *forced_operation_copy(const struct call *call, size_t *ret_len)
{
	struct buffer text BUFFER_AUTO;
	struct json_writer w;

	buffer_init(&text, INIT_MAX);
	json_writer_init(&w, &text);
	if (call_encode(&w, call->row, call->values) != CKR_OK || text.failed)
		return NULL;
	char *copy = malloc(text.len);
	if (copy)
		memcpy(copy, text.data, text.len);
	*ret_len = text.len;
	return copy;
}

static CK_RV to_module(void *context, CK_OBJECT_HANDLE *handle)
{
	*handle = object_module(context, *handle);
	return CKR_OK;
}

/* What the module says against the Init is said now; the trial ends with its session. Without a session for it, it is said after the login. */
static CK_RV try_init(struct request *request, const struct call *call, const union wire_value native[])
{
	union wire_value trial[] = {native[0], native[1], native[2]};
	CK_RV rv = pool_lend(request, SESSION_TO_TRY, &trial[0].number);

	if (rv != CKR_OK)
		return rv == CKR_SESSION_COUNT ? CKR_OK : rv;
	rv = invoke(request, call->row->id, trial);
	session_give_back(request, trial[0].number, rv != CKR_OK);
	return rv;
}

CK_RV forced_operation_defer(struct request *request, struct session *session, const struct call *call,
	const union wire_value native[], struct object_info *key, char *init, size_t init_len)
{
	struct session_operation *operation = &session->operations[call->row->operation];
	unsigned logouts = login_epoch(request->worker);

	if (operation->begun)
		return CKR_OPERATION_ACTIVE;
	CK_RV rv = try_init(request, call, native);
	if (rv != CKR_OK)
		return rv;
	track_after(session, call, CKR_OK, key, true, logouts);
	track_defer(operation, init, init_len);
	return CKR_OK;
}

/* Under the session's lock, the module logged in with the PIN just given: what was deferred begins. */
static CK_RV begin_deferred(struct request *request, struct session *session, struct session_operation *operation)
{
	struct arena arena ARENA_AUTO;
	struct json_reader in;
	struct call call;

	arena_init(&arena, LIMIT_BODY_ARENA);
	json_reader_init(&in, operation->deferred, operation->deferred_len, &arena);
	if (!call_decode(&in, &call))
		return CKR_HOST_MEMORY;
	call.values[0].number = session->module;
	call.values[2].number = object_module(request, call.values[2].number);
	if (call.values[1].mechanism)
		(void)!mechanism_visit_handles(call.values[1].mechanism, to_module, request);
	return invoke(request, call.row->id, call.values);
}

/* After the PIN was verified: the very operation that awaited it goes on. */
static CK_RV go_on(struct request *request, CK_ULONG handle, uint64_t serial)
{
	struct worker *worker = request->worker;
	struct session *session = session_acquire(request, handle);
	CK_RV rv = CKR_SESSION_HANDLE_INVALID;

	if (!session)
		return rv;
	struct session_operation *operation = track_forced(session);
	if (!operation || operation->serial != serial || operation->logouts != login_epoch(worker))
		rv = CKR_OPERATION_NOT_INITIALIZED;
	else
		rv = operation->deferred ? begin_deferred(request, session, operation) : CKR_OK;
	if (rv == CKR_OK) {
		if (operation->deferred)
			track_begun(operation);
		track_reauthenticated(session);
	}
	session_release(request);
	return rv;
}

bool forced_operation_awaits(struct request *request, CK_ULONG handle, struct forced_operation *ret_operation)
{
	struct session *session = session_acquire(request, handle);
	const struct session_operation *operation = session ? track_forced(session) : NULL;
	bool awaits = operation && operation->logouts == login_epoch(request->worker);

	if (awaits)
		*ret_operation = (struct forced_operation){
			operation->serial, operation->logouts, operation->deferred == NULL};
	session_release(request);
	return awaits;
}

CK_RV forced_operation_login(
	struct request *request, CK_ULONG handle, const struct forced_operation *operation, const union wire_value *pin)
{
	CK_RV rv = pin_verify(request, operation->login, pin, operation->begun);

	return rv == CKR_OK ? go_on(request, handle, operation->serial) : rv;
}
