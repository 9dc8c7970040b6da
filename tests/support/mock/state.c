#include "tests/support/mock/mock.h"

#include <stdlib.h>
#include <string.h>

/* The state of an operation: the operation itself and its parts so far. Whoever brings it back is asked neither for the key nor for a login. */

struct saved {
	enum operation operation;
	CK_MECHANISM_TYPE mechanism;
	CK_BYTE iv[16];
	CK_OBJECT_HANDLE key;
};

/* The session's first operation, or OPERATION_NONE. */
static enum operation active_of(const struct session *session)
{
	for (int i = 0; i < OPERATION_COUNT; i++) {
		if (i != OPERATION_FIND && session->operations[i].active)
			return (enum operation)i;
	}
	return OPERATION_NONE;
}

CK_RV mock_GetOperationState(const union wire_value v[])
{
	CK_RV rv;
	const struct session *session = session_get(v[0].number, &rv);

	if (!session)
		return rv;
	enum operation operation = active_of(session);
	if (operation == OPERATION_NONE)
		return CKR_OPERATION_NOT_INITIALIZED;
	const struct operation_state *state = &session->operations[operation];
	struct saved saved = {.operation = operation, .mechanism = state->mechanism, .key = state->key};
	CK_ULONG room = *v[1].buffer.len;
	memcpy(saved.iv, state->iv, sizeof saved.iv);
	*v[1].buffer.len = sizeof saved + state->len;
	if (!v[1].buffer.data)
		return CKR_OK;
	if (room < sizeof saved + state->len)
		return CKR_BUFFER_TOO_SMALL;
	memcpy(v[1].buffer.data, &saved, sizeof saved);
	if (state->len > 0)
		memcpy((CK_BYTE *)v[1].buffer.data + sizeof saved, state->data, state->len);
	return CKR_OK;
}

CK_RV mock_SetOperationState(const union wire_value v[])
{
	CK_RV rv;
	struct session *session = session_get(v[0].number, &rv);
	struct saved saved;

	if (!session)
		return rv;
	if (v[1].bytes.len < sizeof saved)
		return CKR_SAVED_STATE_INVALID;
	memcpy(&saved, v[1].bytes.data, sizeof saved);
	struct operation_state *state = &session->operations[saved.operation];
	operation_end(state);
	state->len = v[1].bytes.len - sizeof saved;
	state->data = malloc(state->len + 1);
	if (!state->data)
		return CKR_HOST_MEMORY;
	memcpy(state->data, v[1].bytes.data + sizeof saved, state->len);
	state->mechanism = saved.mechanism;
	memcpy(state->iv, saved.iv, sizeof state->iv);
	state->key = saved.key;
	state->active = true;
	return CKR_OK;
}
