#include "server/worker/internal.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "api/secret.h"

/*
 * C_GetOperationState and C_SetOperationState (requirement F5). What a module calls a state is its own memory in some form, so it never
 * leaves the worker and none that a client made up comes in: the client gets a random reference to it. Beside it is kept what was known of
 * its operations, so that a logout ends them here as well as in a session (X4).
 */

enum { STATE_MAX = 64 << 10 }; /* bytes of a state */

static void state_drop(struct saved_state *state)
{
	secret_wipe(state->data, state->len);
	free(state->data);
	for (int i = 0; i < OPERATION_COUNT; i++)
		track_forget(&state->operations[i]);
	memset(state, 0, sizeof *state);
}
#define STATE_AUTO __attribute__((cleanup(state_drop)))

void saved_states_clear(struct worker *worker)
{
	struct saved_states *states = &worker->states;

	pthread_mutex_lock(&states->lock);
	for (size_t i = 0; i < SAVED_STATES_MAX; i++)
		state_drop(&states->items[i]);
	pthread_mutex_unlock(&states->lock);
}

static bool needs_login(const struct saved_state *state)
{
	bool needs = false;

	for (int i = 0; i < OPERATION_COUNT; i++)
		needs = needs || state->operations[i].private;
	return needs;
}

/* Under lock: the login that it needs has ended. */
static bool is_over(const struct worker *worker, const struct saved_state *state)
{
	unsigned login = login_epoch(worker);
	bool over = false;

	for (int i = 0; i < OPERATION_COUNT; i++)
		over = over || (state->operations[i].private && state->operations[i].logouts != login);
	return over;
}

/* Under lock. */
static void settle(struct worker *worker)
{
	for (size_t i = 0; i < SAVED_STATES_MAX; i++) {
		if (is_over(worker, &worker->states.items[i]))
			state_drop(&worker->states.items[i]);
	}
}

void saved_states_settle(struct worker *worker)
{
	pthread_mutex_lock(&worker->states.lock);
	settle(worker);
	pthread_mutex_unlock(&worker->states.lock);
}

/* Under lock: fills an empty place. */
static CK_RV state_fill(struct saved_state *state, const struct session *session, struct bytes data)
{
	state->data = malloc(data.len);
	if (!state->data || RAND_bytes(state->reference, SAVED_STATE_REFERENCE) != 1 ||
		!track_copy(session->operations, state->operations))
		return CKR_HOST_MEMORY;
	memcpy(state->data, data.data, data.len);
	state->len = data.len;
	return CKR_OK;
}

/* The oldest state makes room. */
static CK_RV state_keep(
	struct worker *worker, const struct session *session, struct bytes data, unsigned char *ret_reference)
{
	struct saved_states *states = &worker->states;

	pthread_mutex_lock(&states->lock);
	struct saved_state *state = &states->items[states->next];
	state_drop(state);
	CK_RV rv = state_fill(state, session, data);
	if (rv == CKR_OK) {
		memcpy(ret_reference, state->reference, SAVED_STATE_REFERENCE);
		states->next = (states->next + 1) % SAVED_STATES_MAX;
	} else {
		state_drop(state);
	}
	pthread_mutex_unlock(&states->lock);
	return rv;
}

/* Under lock: the state of that name whose login lives, or NULL. */
static const struct saved_state *state_find(struct worker *worker, const union wire_value *reference)
{
	const struct saved_state *found = NULL;

	if (!reference->bytes.data || reference->bytes.len != SAVED_STATE_REFERENCE)
		return NULL;
	/* One that was being saved while the login ended was not there to be settled. */
	settle(worker);
	for (size_t i = 0; i < SAVED_STATES_MAX && !found; i++) {
		const struct saved_state *state = &worker->states.items[i];
		if (state->data && secret_equal(state->reference, reference->bytes.data, SAVED_STATE_REFERENCE))
			found = state;
	}
	return found;
}

bool saved_state_is_private(struct worker *worker, const union wire_value *reference)
{
	pthread_mutex_lock(&worker->states.lock);
	const struct saved_state *state = state_find(worker, reference);
	bool private = state && needs_login(state);
	pthread_mutex_unlock(&worker->states.lock);
	return private;
}

static CK_RV copy_to(const struct saved_state *state, struct saved_state *ret_copy)
{
	ret_copy->data = malloc(state->len);
	if (!ret_copy->data || !track_copy(state->operations, ret_copy->operations))
		return CKR_HOST_MEMORY;
	memcpy(ret_copy->data, state->data, state->len);
	ret_copy->len = state->len;
	return CKR_OK;
}

/* A copy of the state that `reference` names, empty if there is none; the caller drops it. */
static CK_RV state_copy(struct worker *worker, const union wire_value *reference, struct saved_state *ret_copy)
{
	pthread_mutex_lock(&worker->states.lock);
	const struct saved_state *state = state_find(worker, reference);
	CK_RV rv = state ? copy_to(state, ret_copy) : CKR_OK;
	pthread_mutex_unlock(&worker->states.lock);
	return rv;
}

/* The module's state, in the request's arena. */
static CK_RV state_fetch(struct request *request, CK_SESSION_HANDLE session, struct bytes *ret_data)
{
	unsigned char *data = arena_alloc(request->arena, STATE_MAX);
	CK_ULONG len = STATE_MAX;
	const union wire_value v[] = {{.number = session}, {.buffer = {data, &len}}};
	CK_RV rv = data ? invoke(request, CALL_GetOperationState, v) : CKR_HOST_MEMORY;

	if (rv != CKR_OK || len == 0 || len > STATE_MAX)
		return rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL ? CKR_STATE_UNSAVEABLE : rv;
	*ret_data = (struct bytes){data, len};
	return CKR_OK;
}

CK_RV saved_state_get(
	struct request *request, const struct session *session, CK_SESSION_HANDLE module, const union wire_value *out)
{
	struct bytes data;
	CK_ULONG len = 0;
	const union wire_value query[] = {{.number = module}, {.buffer = {NULL, &len}}};

	if (!session || !out->buffer.data || *out->buffer.len < SAVED_STATE_REFERENCE) {
		CK_RV rv = invoke(request, CALL_GetOperationState, query);
		*out->buffer.len = SAVED_STATE_REFERENCE;
		return rv == CKR_OK && out->buffer.data ? CKR_BUFFER_TOO_SMALL : rv;
	}
	CK_RV rv = state_fetch(request, module, &data);
	if (rv != CKR_OK)
		return rv;
	/* Restored twice, it would be a second use under one PIN (A21). */
	if (track_reauthenticates(session))
		return CKR_STATE_UNSAVEABLE;
	rv = state_keep(request->worker, session, data, out->buffer.data);
	if (rv == CKR_OK)
		*out->buffer.len = SAVED_STATE_REFERENCE;
	return rv;
}

static CK_RV restore(
	struct request *request, struct session *session, struct saved_state *state, const union wire_value v[])
{
	union wire_value native[] = {v[0], {.bytes = {state->data, state->len}}, v[2], v[3]};

	/* An operation that awaits its PIN must not go on as one that needs none. */
	if (track_reauthenticates(session)) {
		CK_RV rv = session_cancel(request->worker, session);
		if (rv != CKR_OK)
			return rv;
		native[0].number = session->module;
	}
	CK_RV rv = invoke(request, CALL_SetOperationState, native);
	if (rv == CKR_OK)
		track_restore(session, state->operations);
	return rv;
}

CK_RV saved_state_set(struct request *request, struct session *session, const union wire_value v[])
{
	STATE_AUTO struct saved_state state = {0};
	union wire_value native[] = {v[0], v[1], v[2], v[3]};
	CK_RV rv = session ? state_copy(request->worker, &v[1], &state) : CKR_OK;

	if (rv != CKR_OK)
		return rv;
	if (state.data)
		return restore(request, session, &state, v);
	/* The module still says whether it has the function and the session. */
	native[1].bytes.len = 0;
	rv = invoke(request, CALL_SetOperationState, native);
	bool its_own = rv == CKR_FUNCTION_NOT_SUPPORTED || rv == CKR_SESSION_HANDLE_INVALID || !v[1].bytes.data;
	return its_own && rv != CKR_OK ? rv : CKR_SAVED_STATE_INVALID;
}
