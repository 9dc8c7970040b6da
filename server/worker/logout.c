#include "server/worker/internal.h"

#include <unistd.h>

#include "server/common/log.h"

static const struct {
	enum logout_handles handles;
	const char *reason;
} ends[LOGIN_END_COUNT] = {
#define END(constant, handles, reason) [LOGIN_END_##constant] = {LOGOUT_HANDLES_##handles, reason},
	LOGIN_ENDS(END)
#undef END
};

/* True if nobody is logged in after the module's answer to C_Logout: it did so, or the token has gone and the login with it. */
static bool logout_done(const struct worker *worker, CK_SESSION_HANDLE session, CK_RV rv)
{
	CK_TOKEN_INFO token = {0};
	const union wire_value v[] = {{.number = worker->module.slot}, {.info = &token}};

	if (rv == CKR_OK || rv == CKR_USER_NOT_LOGGED_IN)
		return true;
	if (session == CK_INVALID_HANDLE || (rv != CKR_DEVICE_REMOVED && rv != CKR_TOKEN_NOT_PRESENT))
		return false;
	/* One that is there all the same has its login still. */
	return invoke_uncounted(worker, CALL_GetTokenInfo, v) != CKR_OK;
}

static CK_RV logout_invoke(struct worker *worker, struct request *request, CK_SESSION_HANDLE session)
{
	const union wire_value v[] = {{.number = session}};
	CK_RV rv = request ? invoke(request, CALL_Logout, v) : invoke_uncounted(worker, CALL_Logout, v);

	if (!logout_done(worker, session, rv))
		return rv;
	atomic_store(&worker->login.native, LOGIN_NONE);
	return rv;
}

CK_RV logout_internal(struct worker *worker, struct request *request, CK_SESSION_HANDLE session)
{
	objects_remember_private(worker, session);
	CK_RV rv = logout_invoke(worker, request, session);
	if (login_native_state(worker) != LOGIN_NONE)
		return rv;
	objects_unbind_private(worker);
	return CKR_OK;
}

/* With the module, which is logged out: nothing of the application's login is left. */
static void login_gone(struct worker *worker, enum logout_handles handles)
{
	if (handles == LOGOUT_HANDLES_STAY)
		objects_unbind_private(worker);
	else
		objects_remove_private(worker);
	pin_cache_erase(worker);
	atomic_store(&worker->login.state, LOGIN_NONE);
	sessions_wishes_end(worker);
	/* After the module's own logout: what began before this has ended, what begins later finds nobody logged in. */
	atomic_fetch_add(&worker->login.logouts, 1);
	saved_states_settle(worker);
	atomic_store(&worker->login.keep_until_ms, 0);
	atomic_store(&worker->login.keep_end, LOGIN_END_LAST_SESSION);
	anchor_close(worker);
}

/* With the module: its own logout, if somebody is logged in to it. Any CKR of C_Logout. */
static CK_RV logout_native(
	struct worker *worker, struct request *request, CK_SESSION_HANDLE session, enum logout_handles handles)
{
	if (login_native_state(worker) == LOGIN_NONE && login_state(worker) == LOGIN_NONE)
		return logout_invoke(worker, request, session);
	if (handles == LOGOUT_HANDLES_STAY)
		objects_remember_private(worker, session);
	else
		objects_classify(worker, session);
	/* With a kept PIN the module may be logged out already; it still judges a session that is none. */
	if (login_native_state(worker) == LOGIN_NONE && pin_cache_kept(worker) && session != CK_INVALID_HANDLE)
		return CKR_OK;
	return logout_invoke(worker, request, session);
}

/* The same through the client's session `handle`, or the anchor for 0. *ret_unknown: the client has no such session. */
static CK_RV logout_through(
	struct worker *worker, struct request *request, CK_ULONG handle, enum logout_handles handles, bool *ret_unknown)
{
	struct lever lever;
	CK_RV rv;

	if (handle != 0) {
		const struct session *session = session_acquire(request, handle);
		*ret_unknown = !session;
		rv = logout_native(worker, request, session ? session->module : CK_INVALID_HANDLE, handles);
		session_release(request);
		return rv;
	}
	*ret_unknown = false;
	rv = lever_take(worker, &lever);
	if (rv != CKR_OK)
		return rv;
	rv = logout_native(worker, request, lever.session, handles);
	lever_give_back(worker, &lever);
	return rv;
}

/*
 * Under login.lock, without the module held: starts the module anew, since it has not logged out. A token that is not found then is
 * logged out as well. Where the module cannot be started anew either, the process ends: nobody uses keys under a login that was ended.
 */
static void logout_by_restart(struct worker *worker, enum logout_handles handles)
{
	uint64_t epoch = atomic_load(&worker->module.epoch);

	log_event(LOG_LEVEL_WARNING, "the module does not log out and is started anew", "module",
		worker->start.module_name, NULL);
	(void)!module_reinitialise(worker, true);
	if (atomic_load(&worker->module.epoch) == epoch)
		worker_abandon(worker, "the module neither logs out nor ends");
	atomic_store(&worker->login.native, LOGIN_NONE);
	pthread_rwlock_rdlock(&worker->module.lock);
	login_gone(worker, handles);
	pthread_rwlock_unlock(&worker->module.lock);
}

static void hold_module(struct worker *worker, struct request *request)
{
	if (request)
		module_quiet(request);
	else
		pthread_rwlock_rdlock(&worker->module.lock);
}

static void let_go_module(struct worker *worker, struct request *request)
{
	if (request)
		module_unshare(request);
	else
		pthread_rwlock_unlock(&worker->module.lock);
}

/*
 * Under login.lock, without the module held: asks for the token, then ends the login through the client's session `handle`, or the
 * anchor for 0. Nobody is logged in afterwards, whatever the module says, unless it says that the client has no such session.
 */
static CK_RV logout_run(struct worker *worker, struct request *request, CK_ULONG handle, enum logout_handles handles)
{
	struct token_grant grant;
	bool native = login_native_state(worker) != LOGIN_NONE, unknown;
	bool over = native || login_state(worker) != LOGIN_NONE;
	/* A logout goes on without the token: it takes nothing from anybody. */
	bool granted = request && native &&
		       token_acquire(worker, request->channel, TOKEN_FOR_LOGOUT, CKU_USER, &grant) == CKR_OK;

	hold_module(worker, request);
	CK_RV rv = logout_through(worker, request, handle, handles, &unknown);
	over = over && (!unknown || (native && login_native_state(worker) == LOGIN_NONE));
	bool restart = over && login_native_state(worker) != LOGIN_NONE;
	if (over && !restart)
		login_gone(worker, handles);
	let_go_module(worker, request);
	if (restart) {
		logout_by_restart(worker, handles);
		rv = CKR_OK;
	}
	if (granted)
		token_release(worker, request->channel, rv);
	return rv;
}

void login_drop(struct request *request)
{
	(void)!logout_run(request->worker, request, 0, LOGOUT_HANDLES_GO);
}

/* The record of a logout that began at `began`, when `before` was logged in. */
static bool logout_record(
	struct request *request, enum login_state before, uint64_t began, enum login_end end, CK_RV rv)
{
	const struct event event = {
		.kind = AUDIT_LOGIN,
		.function = "C_Logout",
		.rv = rv,
		.user = login_state_user(before),
		.reason = ends[end].reason,
		.latency_us = clock_us() - began,
	};

	return event_add(request, &event);
}

CK_RV login_end_locked(struct worker *worker, struct request *request, enum login_end end, bool *ret_recorded)
{
	enum login_state before = login_state(worker);
	uint64_t began = clock_us();

	*ret_recorded = true;
	if (before == LOGIN_NONE)
		return CKR_OK;
	CK_RV rv = logout_run(worker, request, 0, ends[end].handles);
	if (request)
		*ret_recorded = logout_record(request, before, began, end, rv);
	return rv;
}

void login_lock_out(struct request *request, CK_RV rv)
{
	bool recorded;

	/* An event that is lost makes the whole answer withheld. */
	if (rv == CKR_PIN_LOCKED)
		(void)!login_end_locked(request->worker, request, LOGIN_END_LOCKED, &recorded);
}

enum login_state login_revoke(struct worker *worker, enum login_end end)
{
	bool recorded;

	pthread_mutex_lock(&worker->login.lock);
	enum login_state before = login_state(worker);
	(void)!login_end_locked(worker, NULL, end, &recorded);
	pthread_mutex_unlock(&worker->login.lock);
	return before;
}

CK_RV logout_session(struct request *request, CK_ULONG handle, enum login_state *ret_before)
{
	bool held = login_lock(request);
	*ret_before = login_state(request->worker);
	CK_RV rv = logout_run(request->worker, request, handle, ends[LOGIN_END_LOGOUT].handles);
	login_unlock(request, held);
	return rv;
}

CK_RV login_out(struct request *request)
{
	struct worker *worker = request->worker;
	uint64_t began = clock_us();
	bool held = login_lock(request);
	enum login_state before = login_state(worker);
	CK_RV rv = before == LOGIN_NONE ? CKR_USER_NOT_LOGGED_IN
					: logout_run(worker, request, 0, ends[LOGIN_END_LOGOUT].handles);
	login_unlock(request, held);
	/* What is lost here makes the whole answer withheld: the logout is done, and its outcome is not another. */
	(void)!logout_record(request, before, began, LOGIN_END_LOGOUT, rv);
	return rv;
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

/* `until`: keep_until_ms as it was read. */
static int keep_left(struct worker *worker, uint64_t until)
{
	uint64_t now = (uint64_t)clock_ms();
	uint64_t idle = atomic_load(&worker->login.used_ms) + atomic_load(&worker->login.keep_idle_ms);

	if (until == 0)
		return -1;
	uint64_t end = idle < until ? idle : until;
	return end <= now ? 0 : end - now > INT32_MAX ? INT32_MAX : (int)(end - now);
}

int login_keep_left(struct worker *worker)
{
	return keep_left(worker, atomic_load(&worker->login.keep_until_ms));
}

bool login_keep_over(struct worker *worker)
{
	uint64_t until = atomic_load(&worker->login.keep_until_ms);

	if (keep_left(worker, until) != 0)
		return false;
	enum login_end end = (uint64_t)clock_ms() >= until ? LOGIN_END_REST_MAXIMUM : LOGIN_END_REST_IDLE;
	/* Somebody who has logged in since keeps what they were given. */
	if (!atomic_compare_exchange_strong(&worker->login.keep_until_ms, &until, 0))
		return false;
	if (sessions_count(worker) == 0)
		atomic_store(&worker->login.keep_end, end);
	return true;
}

static bool at_rest(struct worker *worker)
{
	return sessions_count(worker) == 0 && !atomic_load(&worker->login.held) && login_keep_left(worker) <= 0 &&
	       atomic_load(&worker->login.resources) == 0;
}

/* Under login.lock; `request` is NULL outside of one. */
static bool rest(struct worker *worker, struct request *request, enum login_end end, enum login_state *ret_ended)
{
	enum login_state before = login_state(worker);
	bool recorded;

	saved_states_clear(worker);
	(void)!login_end_locked(worker, request, end, &recorded);
	pthread_rwlock_rdlock(&worker->module.lock);
	objects_remove_all(worker);
	pthread_rwlock_unlock(&worker->module.lock);
	*ret_ended = before;
	return recorded;
}

enum login_end login_keep_end(struct worker *worker)
{
	/* The control thread may not have come to it yet. */
	(void)login_keep_over(worker);
	return (enum login_end)atomic_load(&worker->login.keep_end);
}

/* Under login.lock; `request` is NULL outside of one. */
static bool rest_if_unused(
	struct worker *worker, struct request *request, enum login_end end, enum login_state *ret_ended)
{
	return !at_rest(worker) || rest(worker, request, end, ret_ended);
}

bool login_rest(struct worker *worker, struct request *request, enum login_end end)
{
	enum login_state ended;

	if (!at_rest(worker))
		return true;
	bool held = login_lock(request);
	bool kept = rest_if_unused(worker, request, end, &ended);
	login_unlock(request, held);
	return kept;
}

enum login_state login_expire(struct worker *worker, enum login_end end)
{
	enum login_state ended = LOGIN_NONE;

	if (!at_rest(worker))
		return ended;
	pthread_mutex_lock(&worker->login.lock);
	(void)!rest_if_unused(worker, NULL, end, &ended);
	pthread_mutex_unlock(&worker->login.lock);
	return ended;
}
