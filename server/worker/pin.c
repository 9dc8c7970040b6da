#include "server/worker/internal.h"

/*
 * Calls that change a PIN of the token. Each raises the token's generation (X10), so that every worker that still knows the old PIN
 * starts its module anew before it logs in again.
 */

CK_RV pin_check(const struct worker *worker, const union wire_value *pin, enum pin_role role)
{
	if (!pin->bytes.data)
		return worker->module.protected_path ? CKR_OK : CKR_ARGUMENTS_BAD;
	if (pin->bytes.len > 0)
		return CKR_OK;
	return role == PIN_NEW ? CKR_PIN_LEN_RANGE : CKR_PIN_INCORRECT;
}

/* The call on the client's session, or on none so that the module tells what is wrong with the handle. */
static CK_RV on_session(struct request *request, const struct call *call)
{
	union wire_value v[CALL_ARGUMENTS_MAX];
	struct session *session = session_acquire(request, call->values[0].number);

	for (int i = 0; i < CALL_ARGUMENTS_MAX; i++)
		v[i] = call->values[i];
	v[0].number = session ? session->module : CK_INVALID_HANDLE;
	CK_RV rv = invoke(request, call->row->id, v);
	session_release(request);
	return rv;
}

/* A kept PIN may be the old one (B14). */
static CK_RV forget_kept(struct request *request)
{
	bool recorded = true;

	if (pin_cache_kept(request->worker))
		(void)!login_end_locked(request->worker, request, LOGIN_END_PIN_CHANGED, &recorded);
	return recorded ? CKR_OK : CKR_HOST_MEMORY;
}

/* The PINs of C_SetPIN or C_InitPIN. A new one that cannot be costs no try of the old one. */
static CK_RV check_pins(struct request *request, const struct call *call)
{
	struct worker *worker = request->worker;
	const union wire_value *pin = &call->values[1];
	CK_RV rv;

	/* The module has its own answer to that. */
	if (!session_exists(request, call->values[0].number))
		return CKR_OK;
	if (call->row->id == CALL_InitPIN) {
		rv = pin_check(worker, pin, PIN_NEW);
		return rv != CKR_OK && login_state(worker) != LOGIN_SO ? CKR_USER_NOT_LOGGED_IN : rv;
	}
	rv = pin_check(worker, &pin[0], PIN_GIVEN);
	CK_RV new = pin_check(worker, &pin[1], PIN_NEW);
	return rv == CKR_ARGUMENTS_BAD || new == CKR_OK ? rv : new;
}

/* Under login.lock, without the module held. */
static CK_RV change_run(struct request *request, const struct call *call)
{
	struct worker *worker = request->worker;
	struct token_grant grant;
	CK_RV rv = check_pins(request, call);

	if (rv == CKR_OK)
		rv = token_acquire(worker, request->channel, TOKEN_FOR_PIN_CHANGE, CKU_USER, &grant);
	if (rv != CKR_OK)
		return rv;
	if (login_native_state(worker) == LOGIN_NONE)
		rv = module_freshen(worker, grant.generation);
	bool tried = rv == CKR_OK;
	if (rv == CKR_OK) {
		module_share(request);
		/* Of the calls that change a PIN, C_SetPIN alone has an old one for the token to judge. */
		if (call->row->id == CALL_SetPIN)
			rv = token_try_allowed(worker, login_state(worker) == LOGIN_SO ? CKU_SO : CKU_USER, &grant);
		tried = rv == CKR_OK;
		if (tried)
			rv = on_session(request, call);
		module_unshare(request);
	}
	/* The gateway raises the generation by one; this worker's module made the change and knows it. */
	if (rv == CKR_OK && worker->module.generation == grant.generation)
		worker->module.generation = grant.generation + 1;
	token_release(worker, request->channel, tried ? rv : CKR_CANCEL);
	if (tried)
		login_lock_out(request, rv);
	return rv == CKR_OK ? forget_kept(request) : rv;
}

CK_RV pin_change(struct request *request, const struct call *call)
{
	bool held = login_lock(request);
	CK_RV rv = change_run(request, call);
	login_unlock(request, held);
	return rv;
}

/* C_InitToken itself: sessions that no client sees must not stand in its way (X5). */
static CK_RV initialise_native(struct request *request, const struct call *call)
{
	struct worker *worker = request->worker;
	const union wire_value v[] = {{.number = worker->module.slot}, call->values[1], call->values[2]};

	if (!worker->module.slot_found)
		return CKR_TOKEN_NOT_PRESENT;
	if (sessions_count(worker) == 0 && login_keep_left(worker) > 0)
		return CKR_SESSION_EXISTS;
	if (sessions_count(worker) == 0) {
		pool_close_idle(worker);
		anchor_close(worker);
	}
	return invoke(request, CALL_InitToken, v);
}

/* A PIN that cannot be right goes to no module; sessions that are in the way are told of before it, as modules do. */
static CK_RV check_initialising_pin(struct worker *worker, const union wire_value *pin)
{
	CK_RV rv = pin_check(worker, pin, PIN_GIVEN);

	return rv != CKR_OK && (sessions_count(worker) > 0 || login_keep_left(worker) > 0) ? CKR_SESSION_EXISTS : rv;
}

/* Under login.lock, without the module held. */
static CK_RV initialise_run(struct request *request, const struct call *call)
{
	struct worker *worker = request->worker;
	struct token_grant grant;
	CK_RV rv = check_initialising_pin(worker, &call->values[1]);

	if (rv == CKR_OK)
		rv = token_acquire(worker, request->channel, TOKEN_FOR_INIT_TOKEN, CKU_SO, &grant);
	if (rv != CKR_OK)
		return rv;
	if (login_native_state(worker) == LOGIN_NONE && sessions_count(worker) == 0)
		rv = module_freshen(worker, grant.generation);
	bool tried = rv == CKR_OK;
	if (rv == CKR_OK) {
		module_share(request);
		rv = token_try_allowed(worker, CKU_SO, &grant);
		tried = rv == CKR_OK;
		if (tried)
			rv = initialise_native(request, call);
		module_unshare(request);
	}
	if (rv == CKR_OK) {
		objects_remove_all(worker);
		/* A new label may not be the configured one: then the slot has no token from now on, and that is no error of this call. */
		(void)!module_reinitialise(worker, true);
		worker->module.generation = grant.generation + 1;
	}
	token_release(worker, request->channel, tried ? rv : CKR_CANCEL);
	return rv == CKR_OK ? forget_kept(request) : rv;
}

CK_RV token_initialise(struct request *request, const struct call *call)
{
	bool held = login_lock(request);
	CK_RV rv = initialise_run(request, call);
	login_unlock(request, held);
	return rv;
}
