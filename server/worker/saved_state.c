#include "server/worker/internal.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "api/secret.h"

/*
 * C_GetOperationState and C_SetOperationState (requirement F5). What a module calls a state is its own memory in some form, so it never
 * leaves the worker and none that a client made up comes in: the client gets a random reference to it.
 */

enum { STATE_MAX = 64 << 10 }; /* bytes of a state */

static void state_drop(struct saved_state *state)
{
	secret_wipe(state->data, state->len);
	free(state->data);
	memset(state, 0, sizeof *state);
}

void saved_states_clear(struct worker *worker)
{
	struct saved_states *states = &worker->states;

	pthread_mutex_lock(&states->lock);
	for (size_t i = 0; i < SAVED_STATES_MAX; i++)
		state_drop(&states->items[i]);
	pthread_mutex_unlock(&states->lock);
}

/* Takes over `data`; the oldest state makes room. */
static bool state_keep(struct worker *worker, unsigned char *data, size_t len, unsigned char *ret_reference)
{
	struct saved_states *states = &worker->states;
	struct saved_state state = {.data = data, .len = len};

	if (RAND_bytes(state.reference, SAVED_STATE_REFERENCE) != 1)
		return false;
	memcpy(ret_reference, state.reference, SAVED_STATE_REFERENCE);
	pthread_mutex_lock(&states->lock);
	state_drop(&states->items[states->next]);
	states->items[states->next] = state;
	states->next = (states->next + 1) % SAVED_STATES_MAX;
	pthread_mutex_unlock(&states->lock);
	return true;
}

/* A copy of the state that `reference` names; NULL if there is none. The caller wipes and frees it. */
static unsigned char *state_copy(
	struct worker *worker, const CK_BYTE *reference, CK_ULONG reference_len, size_t *ret_len)
{
	struct saved_states *states = &worker->states;
	unsigned char *copy = NULL;

	if (!reference || reference_len != SAVED_STATE_REFERENCE)
		return NULL;
	pthread_mutex_lock(&states->lock);
	for (size_t i = 0; i < SAVED_STATES_MAX && !copy; i++) {
		const struct saved_state *state = &states->items[i];
		if (!state->data || !secret_equal(state->reference, reference, SAVED_STATE_REFERENCE))
			continue;
		copy = malloc(state->len);
		if (copy)
			memcpy(copy, state->data, state->len);
		*ret_len = state->len;
	}
	pthread_mutex_unlock(&states->lock);
	return copy;
}

/* The module's state into a new allocation. */
static CK_RV state_fetch(
	struct request *request, CK_SESSION_HANDLE session, unsigned char **ret_data, CK_ULONG *ret_len)
{
	unsigned char *data = malloc(STATE_MAX);
	CK_ULONG len = STATE_MAX;
	const union wire_value v[] = {{.number = session}, {.buffer = {data, &len}}};
	CK_RV rv = data ? invoke(request, CALL_GetOperationState, v) : CKR_HOST_MEMORY;

	if (rv != CKR_OK || len == 0 || len > STATE_MAX) {
		free(data);
		return rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL ? CKR_STATE_UNSAVEABLE : rv;
	}
	*ret_data = data;
	*ret_len = len;
	return CKR_OK;
}

CK_RV saved_state_get(
	struct request *request, const struct session *session, CK_SESSION_HANDLE module, const union wire_value *out)
{
	unsigned char *data;
	CK_ULONG len = 0;
	const union wire_value query[] = {{.number = module}, {.buffer = {NULL, &len}}};

	if (!out->buffer.data || *out->buffer.len < SAVED_STATE_REFERENCE) {
		CK_RV rv = invoke(request, CALL_GetOperationState, query);
		*out->buffer.len = SAVED_STATE_REFERENCE;
		return rv == CKR_OK && out->buffer.data ? CKR_BUFFER_TOO_SMALL : rv;
	}
	CK_RV rv = state_fetch(request, module, &data, &len);
	if (rv != CKR_OK)
		return rv;
	/* Restored twice, it would be a second use under one PIN (A21). */
	bool saveable = !session || !track_reauthenticates(session);
	if (!saveable || !state_keep(request->worker, data, len, out->buffer.data)) {
		secret_wipe(data, len);
		free(data);
		return saveable ? CKR_FUNCTION_FAILED : CKR_STATE_UNSAVEABLE;
	}
	*out->buffer.len = SAVED_STATE_REFERENCE;
	return CKR_OK;
}

CK_RV saved_state_set(struct request *request, const union wire_value v[])
{
	size_t len = 0;
	unsigned char *data = state_copy(request->worker, v[1].bytes.data, v[1].bytes.len, &len);
	union wire_value native[] = {v[0], v[1], v[2], v[3]};
	CK_RV rv;

	if (data) {
		native[1].bytes.data = data;
		native[1].bytes.len = len;
		rv = invoke(request, CALL_SetOperationState, native);
		secret_wipe(data, len);
		free(data);
		return rv;
	}
	/* The module still says whether it has the function and the session. */
	native[1].bytes.len = 0;
	rv = invoke(request, CALL_SetOperationState, native);
	bool its_own = rv == CKR_FUNCTION_NOT_SUPPORTED || rv == CKR_SESSION_HANDLE_INVALID || !v[1].bytes.data;
	return its_own && rv != CKR_OK ? rv : CKR_SAVED_STATE_INVALID;
}
