#include "server/worker/internal.h"

#include <unistd.h>

/* Under login.lock, without the module held: asks for the token, then ends the login through `handle`, or the anchor for 0. */
static CK_RV logout_run(struct request *request, CK_ULONG handle)
{
	struct worker *worker = request->worker;
	uint64_t generation;
	struct session *session = NULL;

	/* A logout goes on without the token: it takes nothing from anybody. */
	bool granted = login_state(worker) != LOGIN_NONE &&
		       token_acquire(request->channel, TOKEN_FOR_LOGOUT, CKU_USER, (int)worker->start.token_wait_ms,
			       &generation) == CKR_OK;
	module_quiet(request);
	CK_SESSION_HANDLE native = CK_INVALID_HANDLE;
	CK_RV rv = CKR_OK;
	if (handle == 0) {
		/* The anchor may have given way to a client's session. */
		rv = anchor_open(worker, &native);
	} else {
		session = session_acquire(worker, request->message->instance, handle);
		native = session ? session->module : CK_INVALID_HANDLE;
	}
	if (rv == CKR_OK)
		rv = logout_native(worker, request, native);
	if (session)
		session_release(worker, session);
	module_unshare(request);
	if (granted)
		token_release(request->channel, rv, login_state(worker));
	return rv;
}

CK_RV logout_session(struct request *request, CK_ULONG handle)
{
	bool held = login_lock(request);
	CK_RV rv = logout_run(request, handle);
	login_unlock(request, held);
	return rv;
}

CK_RV login_out(struct request *request)
{
	struct worker *worker = request->worker;
	uint64_t began = clock_us();
	bool held = login_lock(request);
	CK_RV rv = login_state(worker) == LOGIN_NONE ? CKR_USER_NOT_LOGGED_IN : logout_run(request, 0);
	login_unlock(request, held);
	const struct event event = {
		.kind = AUDIT_LOGIN,
		.function = "C_Logout",
		.rv = rv,
		.latency_us = clock_us() - began,
	};
	/* What is lost here makes the whole answer withheld: the logout is done, and its outcome is not another. */
	(void)!event_add(request, &event);
	return rv;
}

void logout_locked(struct request *request, CK_SESSION_HANDLE session)
{
	struct event event = {
		.kind = AUDIT_LOGIN,
		.function = "C_Logout",
		.reason = "the token has locked the PIN",
	};
	uint64_t began = clock_us();

	if (login_state(request->worker) == LOGIN_NONE)
		return;
	event.rv = logout_native(request->worker, request, session);
	event.latency_us = clock_us() - began;
	(void)!event_add(request, &event);
}

void login_keep(struct worker *worker, uint64_t idle_ms, uint64_t max_ms)
{
	uint64_t now = (uint64_t)clock_ms(), one = 1;

	atomic_store(&worker->login.keep_idle_ms, idle_ms);
	atomic_store(&worker->login.used_ms, now);
	atomic_store(&worker->login.keep_until_ms, now + max_ms);
	/* Wakes the control thread, which knows no deadline yet. */
	(void)!write(worker->wake, &one, sizeof one);
}

int login_keep_left(struct worker *worker)
{
	uint64_t until = atomic_load(&worker->login.keep_until_ms), now = (uint64_t)clock_ms();
	uint64_t idle = atomic_load(&worker->login.used_ms) + atomic_load(&worker->login.keep_idle_ms);

	if (until == 0)
		return -1;
	uint64_t end = idle < until ? idle : until;
	return end <= now ? 0 : end - now > INT32_MAX ? INT32_MAX : (int)(end - now);
}

enum logout_cause login_keep_cause(struct worker *worker)
{
	return (uint64_t)clock_ms() >= atomic_load(&worker->login.keep_until_ms) ? LOGOUT_MAXIMUM : LOGOUT_IDLE;
}

static bool at_rest(struct worker *worker)
{
	return sessions_count(worker) == 0 && login_keep_left(worker) <= 0 &&
	       atomic_load(&worker->login.resources) == 0;
}

/* Under login.lock; `request` is NULL outside of one. */
static bool rest(struct worker *worker, struct request *request, enum login_state *ret_ended)
{
	enum login_state before = login_state(worker);
	struct event event = {
		.kind = AUDIT_LOGIN,
		.function = "C_Logout",
		.reason = "nobody uses the application any more",
	};

	saved_states_clear(worker);
	if (before == LOGIN_NONE) {
		pthread_rwlock_rdlock(&worker->module.lock);
		objects_remove_all(worker);
		pthread_rwlock_unlock(&worker->module.lock);
		return true;
	}
	if (request) {
		event.rv = logout_run(request, 0);
	} else {
		CK_SESSION_HANDLE anchor;
		pthread_rwlock_rdlock(&worker->module.lock);
		event.rv = anchor_open(worker, &anchor);
		if (event.rv == CKR_OK)
			event.rv = logout_native(worker, NULL, anchor);
		pthread_rwlock_unlock(&worker->module.lock);
	}
	objects_remove_all(worker);
	if (login_state(worker) == LOGIN_NONE)
		*ret_ended = before;
	return !request || event_add(request, &event);
}

static bool rest_if_unused(struct worker *worker, struct request *request, enum login_state *ret_ended)
{
	bool kept = true;

	if (!at_rest(worker))
		return true;
	bool held = request && request->holds_module;
	if (held)
		module_unshare(request);
	pthread_mutex_lock(&worker->login.lock);
	if (at_rest(worker))
		kept = rest(worker, request, ret_ended);
	pthread_mutex_unlock(&worker->login.lock);
	if (held)
		module_share(request);
	return kept;
}

bool login_rest(struct worker *worker, struct request *request)
{
	enum login_state ended;

	return rest_if_unused(worker, request, &ended);
}

enum login_state login_expire(struct worker *worker)
{
	enum login_state ended = LOGIN_NONE;

	(void)!rest_if_unused(worker, NULL, &ended);
	return ended;
}
