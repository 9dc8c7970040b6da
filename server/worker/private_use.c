#include "server/worker/internal.h"

#include "server/worker/call_run.h"

/*
 * While a PIN is kept, the module is logged in only around private uses, so that between them other applications have the token (B4).
 */

/* What the token says about trying its PIN. */
static bool try_is_last(const CK_TOKEN_INFO *token)
{
	return (token->flags & (CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED)) != 0;
}

/* Why the kept PIN must not be given to this token; LOGIN_END_COUNT: nothing speaks against it. */
static enum login_end kept_pin_unfit(struct worker *worker)
{
	CK_TOKEN_INFO token = {0};
	const union wire_value v[] = {{.number = worker->module.slot}, {.info = &token}};

	if (!worker->module.slot_found || invoke_uncounted(worker, CALL_GetTokenInfo, v) != CKR_OK ||
		!pin_cache_fits(worker, &token))
		return LOGIN_END_TOKEN_CHANGED;
	return try_is_last(&token) ? LOGIN_END_LAST_TRY : LOGIN_END_COUNT;
}

/* What a failed login with the kept PIN means for it; LOGIN_END_COUNT: nothing. */
static enum login_end rejection(CK_RV rv)
{
	switch (rv) {
	case CKR_PIN_LOCKED: return LOGIN_END_LOCKED;
	case CKR_PIN_INCORRECT:
	case CKR_PIN_INVALID:
	case CKR_PIN_LEN_RANGE:
	case CKR_PIN_EXPIRED:
	case CKR_USER_PIN_NOT_INITIALIZED: return LOGIN_END_REJECTED;
	case CKR_DEVICE_REMOVED:
	case CKR_TOKEN_NOT_PRESENT: return LOGIN_END_TOKEN_CHANGED;
	default: return LOGIN_END_COUNT;
	}
}

/* Gives the kept PIN to the module, once. */
static CK_RV login_kept(struct request *request)
{
	struct worker *worker = request->worker;
	struct lever lever;
	CK_RV rv = lever_take(worker, &lever);

	if (rv != CKR_OK)
		return rv;
	const union wire_value pin = pin_cache_pin(worker);
	rv = login_internal(request, lever.session, &pin);
	lever_give_back(worker, &lever);
	return rv;
}

/* With the token: logs the module in. `ret_end` not LOGIN_END_COUNT: the application's login must end for that reason. */
static CK_RV login_with_token(struct request *request, const struct token_grant *grant, enum login_end *ret_end)
{
	struct worker *worker = request->worker;
	CK_RV rv = CKR_CANCEL;

	*ret_end = LOGIN_END_COUNT;
	/* A PIN of another generation of the token would cost a try. */
	if (grant->generation != worker->module.generation) {
		*ret_end = LOGIN_END_PIN_CHANGED;
		return rv;
	}
	rv = module_freshen(worker, grant->generation);
	if (rv != CKR_OK)
		return rv;
	module_share(request);
	*ret_end = kept_pin_unfit(worker);
	rv = CKR_CANCEL;
	if (*ret_end == LOGIN_END_COUNT) {
		rv = login_kept(request);
		*ret_end = rejection(rv);
	}
	module_unshare(request);
	return rv;
}

/* Under login.lock, with a kept PIN and the module logged out. */
static CK_RV login_for_use(struct request *request)
{
	struct worker *worker = request->worker;
	struct token_grant grant;
	enum login_end end;
	bool recorded = true;
	CK_RV rv = token_acquire(worker, request->channel, TOKEN_FOR_PRIVATE_USE, CKU_USER, &grant);

	if (rv != CKR_OK)
		return rv;
	rv = login_with_token(request, &grant, &end);
	/* The PIN is gone before anybody hears of it; there is no second try (B15). */
	if (end != LOGIN_END_COUNT)
		(void)!login_end_locked(worker, request, end, &recorded);
	token_release(worker, request->channel, rv);
	if (!recorded)
		return CKR_HOST_MEMORY;
	return end == LOGIN_END_COUNT ? rv : CKR_USER_NOT_LOGGED_IN;
}

CK_RV private_use_begin_locked(struct request *request)
{
	struct worker *worker = request->worker;

	if (request->private_use || !pin_cache_kept(worker))
		return CKR_OK;
	CK_RV rv = login_native_state(worker) == LOGIN_NONE ? login_for_use(request) : CKR_OK;
	if (rv != CKR_OK)
		return rv;
	pin_cache_used(worker);
	atomic_fetch_add(&worker->login.private_uses, 1);
	request->private_use = true;
	return CKR_OK;
}

CK_RV private_use_begin(struct request *request)
{
	if (request->private_use || !pin_cache_kept(request->worker))
		return CKR_OK;
	bool held = login_lock(request);
	CK_RV rv = private_use_begin_locked(request);
	login_unlock(request, held);
	return rv;
}

/* True if the module is logged in for nobody. */
static bool logout_due(struct worker *worker)
{
	return pin_cache_kept(worker) && login_native_state(worker) != LOGIN_NONE &&
	       atomic_load(&worker->login.private_uses) == 0 && track_keeping_login() == 0 &&
	       atomic_load(&worker->objects.private_owned) == 0;
}

/* Under login.lock. A logout that fails is due again at the end of the next call. */
static void logout_for_request(struct request *request)
{
	struct worker *worker = request->worker;
	struct lever lever;
	struct token_grant grant;
	bool granted = token_acquire(worker, request->channel, TOKEN_FOR_LOGOUT, CKU_USER, &grant) == CKR_OK;

	module_quiet(request);
	CK_RV rv = lever_take(worker, &lever);
	if (rv == CKR_OK) {
		rv = logout_internal(worker, request, lever.session);
		lever_give_back(worker, &lever);
	}
	module_unshare(request);
	if (granted)
		token_release(worker, request->channel, rv);
}

/* The rule that ends the login now, or LOGIN_END_COUNT (B5–B8, B1). */
static enum login_end end_by_rules(const struct request *request)
{
	const struct worker *worker = request->worker;

	if (!request->signed_ && !request->private_used && !pin_cache_kept(worker))
		return LOGIN_END_COUNT;
	if (login_state(worker) != LOGIN_USER)
		return LOGIN_END_COUNT;
	if (request->logout_after != LOGOUT_AFTER_NEVER && request->signed_)
		return LOGIN_END_SIGNED;
	if (request->logout_after == LOGOUT_AFTER_PRIVATE_OP && request->private_used)
		return LOGIN_END_PRIVATE_OP;
	return pin_cache_kept(worker) && !login_rules(worker).cache_pin ? LOGIN_END_POLICY : LOGIN_END_COUNT;
}

void private_use_let_go(struct request *request)
{
	struct worker *worker = request->worker;

	if (!request->private_use)
		return;
	request->private_use = false;
	atomic_fetch_sub(&worker->login.private_uses, 1);
	pthread_cond_broadcast(&worker->login.changed);
}

/* Wakes who waits for private uses to end. */
static void tell_waiting(struct worker *worker)
{
	if (atomic_load(&worker->login.awaiting) == 0)
		return;
	pthread_mutex_lock(&worker->login.lock);
	pthread_cond_broadcast(&worker->login.changed);
	pthread_mutex_unlock(&worker->login.lock);
}

bool private_use_end(struct request *request)
{
	struct worker *worker = request->worker;
	enum login_end end = end_by_rules(request);
	bool recorded = true;

	if (request->private_use)
		atomic_fetch_sub(&worker->login.private_uses, 1);
	request->private_use = request->signed_ = request->private_used = false;
	tell_waiting(worker);
	if (end == LOGIN_END_COUNT && !logout_due(worker))
		return true;
	bool held = login_lock(request);
	if (end != LOGIN_END_COUNT)
		(void)!login_end_locked(worker, request, end, &recorded);
	else if (logout_due(worker))
		logout_for_request(request);
	login_unlock(request, held);
	return recorded;
}

void private_use_settle(struct worker *worker)
{
	struct lever lever;

	tell_waiting(worker);
	if (!logout_due(worker))
		return;
	pthread_mutex_lock(&worker->login.lock);
	if (logout_due(worker)) {
		pthread_rwlock_rdlock(&worker->module.lock);
		if (lever_take(worker, &lever) == CKR_OK) {
			(void)!logout_internal(worker, NULL, lever.session);
			lever_give_back(worker, &lever);
		}
		pthread_rwlock_unlock(&worker->module.lock);
	}
	pthread_mutex_unlock(&worker->login.lock);
}

/* True unless the template says plainly that it is about public objects. */
static bool template_may_be_private(const union wire_value *template)
{
	for (CK_ULONG i = 0; i < template->attributes.count; i++) {
		const CK_ATTRIBUTE *attribute = &template->attributes.items[i];
		const CK_BBOOL *value = attribute->pValue;
		if (attribute->type == CKA_PRIVATE)
			return !value || attribute->ulValueLen != sizeof *value || *value != CK_FALSE;
	}
	return true;
}

static CK_RV look(void *context, CK_OBJECT_HANDLE *handle)
{
	struct worker *worker = context;

	return object_may_be_private(worker, *handle) ? CKR_USER_NOT_LOGGED_IN : CKR_OK;
}

bool private_use_needed(struct worker *worker, const struct call *call)
{
	const struct call_row *row = call->row;
	bool searches = row->operation == OPERATION_FIND && row->step == STEP_INIT;
	bool makes = call_argument(row, WIRE_NEW_OBJECT) < row->argument_count;

	if (row->id == CALL_SetOperationState && saved_state_is_private(worker, &call->values[1]))
		return true;
	for (size_t i = 0; i < row->argument_count; i++) {
		const union wire_value *value = &call->values[i];
		switch (row->arguments[i].kind) {
		case WIRE_OBJECT:
			if (object_may_be_private(worker, value->number))
				return true;
			break;
		case WIRE_MECHANISM:
			if (value->mechanism && mechanism_visit_handles(value->mechanism, look, worker) != CKR_OK)
				return true;
			break;
		case WIRE_TEMPLATE:
			if ((searches || makes) && template_may_be_private(value))
				return true;
			break;
		default: break;
		}
	}
	return false;
}
