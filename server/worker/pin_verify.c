#include "server/worker/internal.h"

#include <errno.h>
#include <time.h>

/*
 * The PIN for a use that the policy, not the token, asks a PIN for (B20). A context-specific login would get no answer from the token, and
 * a login on a module that is logged in would not look at the PIN, so it takes a login of its own: where a PIN is kept, the module's
 * next one; otherwise one in another process, which the gateway starts for it.
 */

enum { ELSEWHERE_SPARE_MS = 40000 }; /* beyond the waits for the token: the start of a worker */

/* The token has locked its PIN (A16). */
static void lock_out(struct request *request)
{
	bool recorded;
	bool held = login_lock(request);

	(void)!login_end_locked(request->worker, request, LOGIN_END_LOCKED, &recorded);
	login_unlock(request, held);
}

/* In a worker that the gateway starts for this question alone. */
static CK_RV verify_elsewhere(struct request *request, const union wire_value *pin)
{
	struct worker *worker = request->worker;
	const struct pin_verify question = {
		.given = pin->bytes.data != NULL, .pin = {pin->bytes.data, pin->bytes.data ? pin->bytes.len : 0}};
	struct pin_verified answer;
	struct buffer payload BUFFER_AUTO;
	struct arena arena ARENA_AUTO;

	buffer_init(&payload, FRAME_CHUNK);
	arena_init(&arena, FRAME_CHUNK);
	pin_verify_pack(&payload, &question);
	if (payload.failed)
		return CKR_HOST_MEMORY;
	if (!gateway_ask(request->channel, FRAME_PIN_VERIFY, &payload,
		    3 * (int)worker->start.token_wait_ms + ELSEWHERE_SPARE_MS, FRAME_PIN_VERIFIED) ||
		pin_verified_unpack(payload.data, payload.len, &arena, &answer) != STATUS_OK)
		return CKR_DEVICE_ERROR;
	request->attempts_known = answer.attempts_known != 0;
	request->attempts_left = answer.attempts_left;
	if (answer.rv == CKR_PIN_LOCKED && answer.asked)
		lock_out(request);
	return (CK_RV)answer.rv;
}

/* True if nobody needs the module to be logged in. */
static bool module_idle(struct worker *worker)
{
	return atomic_load(&worker->login.private_uses) == 0 && track_keeping_login() == 0 &&
	       atomic_load(&worker->objects.private_owned) == 0;
}

/*
 * Under login.lock, which is given up meanwhile: until the application's private uses have ended (X13). The request's own has, so that
 * of several who wait here none waits for another.
 */
static bool await_idle(struct request *request)
{
	struct worker *worker = request->worker;
	int64_t until = clock_ms() + (int64_t)login_rules(worker).wait_ms;
	bool in_time = true;

	private_use_let_go(request);
	if (module_idle(worker))
		return true;
	gateway_wait_begin(request);
	atomic_fetch_add(&worker->login.awaiting, 1);
	while (!module_idle(worker) && in_time)
		in_time = clock_wait(&worker->login.changed, &worker->login.lock, until);
	atomic_fetch_sub(&worker->login.awaiting, 1);
	bool idle = module_idle(worker);
	gateway_wait_end(request);
	return idle;
}

/* With the token and the module: the module's login is that of this PIN afterwards, or there is none. */
static CK_RV login_anew(
	struct request *request, const struct token_grant *grant, const union wire_value *pin, bool *ret_tried)
{
	struct worker *worker = request->worker;
	struct lever lever;
	CK_RV rv = token_try_allowed(worker, CKU_USER, grant);

	if (rv == CKR_OK)
		rv = lever_take(worker, &lever);
	if (rv != CKR_OK)
		return rv;
	if (login_native_state(worker) != LOGIN_NONE)
		rv = logout_internal(worker, request, lever.session);
	*ret_tried = rv == CKR_OK;
	if (*ret_tried)
		rv = login_internal(request, lever.session, pin);
	lever_give_back(worker, &lever);
	if (rv != CKR_OK)
		return rv;
	atomic_fetch_add(&worker->login.private_uses, 1);
	request->private_use = true;
	return CKR_OK;
}

/* Under login.lock, with a kept PIN, which is not compared with the given one: the token judges (B17). */
static CK_RV verify_here(struct request *request, const union wire_value *pin)
{
	struct worker *worker = request->worker;
	struct token_grant grant;
	enum login_end end = LOGIN_END_COUNT;
	bool tried = false, recorded = true;
	CK_RV rv = token_acquire(worker, request->channel, TOKEN_FOR_KEY_LOGIN, CKU_USER, &grant);

	if (rv != CKR_OK)
		return rv;
	if (grant.generation != worker->module.generation) {
		end = LOGIN_END_PIN_CHANGED;
		rv = CKR_USER_NOT_LOGGED_IN;
	} else {
		module_quiet(request);
		rv = login_anew(request, &grant, pin, &tried);
		if (tried && rv == CKR_PIN_INCORRECT)
			token_try_failed(request, CKU_USER, &grant);
		module_unshare(request);
		end = tried && rv == CKR_PIN_LOCKED ? LOGIN_END_LOCKED : LOGIN_END_COUNT;
	}
	token_release(worker, request->channel, tried ? rv : CKR_CANCEL);
	if (end != LOGIN_END_COUNT)
		(void)!login_end_locked(worker, request, end, &recorded);
	return recorded ? rv : CKR_HOST_MEMORY;
}

/* While a PIN is kept. */
static CK_RV verify_kept(struct request *request, unsigned login, const union wire_value *pin)
{
	struct worker *worker = request->worker;
	CK_RV rv = CKR_USER_NOT_LOGGED_IN;

	bool held = login_lock(request);
	if (pin_cache_kept(worker) && login_epoch(worker) == login)
		rv = await_idle(request) ? CKR_OK : CKR_DEVICE_ERROR;
	/* While it waited, others may have logged out. */
	if (rv == CKR_OK)
		rv = pin_cache_kept(worker) ? verify_here(request, pin) : CKR_USER_NOT_LOGGED_IN;
	login_unlock(request, held);
	return rv;
}

CK_RV pin_verify(struct request *request, unsigned login, const union wire_value *pin, bool begun)
{
	struct worker *worker = request->worker;
	bool held = request->holds_module;
	CK_RV rv = pin_check(worker, pin, PIN_GIVEN);

	if (rv != CKR_OK)
		return rv;
	module_unshare(request);
	/* What this waits for may wait for its turn. */
	bool one_use = one_use_end(request);
	rv = !begun && pin_cache_kept(worker) ? verify_kept(request, login, pin) : verify_elsewhere(request, pin);
	CK_RV again = one_use ? one_use_begin(request) : CKR_OK;
	if (held)
		module_share(request);
	if (rv == CKR_OK && again != CKR_OK)
		return again;
	return rv == CKR_OK && login_epoch(worker) != login ? CKR_USER_NOT_LOGGED_IN : rv;
}

CK_RV login_verify(struct request *request, unsigned login, CK_SESSION_HANDLE *session, CK_OBJECT_HANDLE *object,
	const unsigned char *pin, size_t pin_len)
{
	const union wire_value value = {.bytes = {(CK_BYTE *)(uintptr_t)pin, pin_len}};
	CK_OBJECT_HANDLE name;
	CK_RV rv = object_name(request, *session, *object, &name);

	if (rv != CKR_OK)
		return rv;
	/* It may be a client's, or end with the module. */
	session_give_back(request, *session, true);
	*session = CK_INVALID_HANDLE;
	rv = pin_verify(request, login, &value, false);
	CK_RV again = pool_lend(request, SESSION_TO_OPERATE, session);
	if (rv == CKR_OK)
		rv = again;
	if (rv == CKR_OK)
		*object = object_module(request, name);
	return rv;
}

void pin_verify_serve(struct request *request, const struct pin_verify *question)
{
	static const struct worker_request nobody = {.anonymous = 1};
	struct pin_verified answer;
	struct buffer payload BUFFER_AUTO;

	request->message = &nobody;
	request->pin_tried = request->attempts_known = false;
	answer.rv = login_user(request, CKU_USER, question->given ? question->pin.data : NULL, question->pin.len);
	answer.asked = request->pin_tried;
	answer.attempts_known = request->attempts_known;
	answer.attempts_left = request->attempts_known ? request->attempts_left : 0;
	if (answer.rv == CKR_OK)
		(void)!login_out(request);
	buffer_init(&payload, FRAME_CHUNK);
	pin_verified_pack(&payload, &answer);
	if (!payload.failed)
		(void)!frame_send(request->channel, FRAME_PIN_VERIFIED, payload.data, payload.len);
}
