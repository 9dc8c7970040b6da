#include "server/worker/internal.h"

#include <time.h>

uint64_t clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

enum login_state login_state(const struct worker *worker)
{
	return (enum login_state)atomic_load(&worker->login.state);
}

enum login_state login_native_state(const struct worker *worker)
{
	return (enum login_state)atomic_load(&worker->login.native);
}

unsigned login_epoch(const struct worker *worker)
{
	return atomic_load(&worker->login.logouts);
}

bool login_lock(struct request *request)
{
	bool held = request->holds_module;

	module_unshare(request);
	if (pthread_mutex_trylock(&request->worker->login.lock) == 0)
		return held;
	gateway_wait_begin(request);
	pthread_mutex_lock(&request->worker->login.lock);
	gateway_wait_end(request);
	return held;
}

void login_unlock(struct request *request, bool held)
{
	/* In this order, so that what was seen of logins and module handles under the lock still holds. */
	if (held)
		module_share(request);
	pthread_mutex_unlock(&request->worker->login.lock);
}

/* What PKCS#11 says to a login while somebody is logged in (B13: the module is not asked). */
static CK_RV login_taken(struct worker *worker, CK_USER_TYPE user)
{
	enum login_state wanted = user == CKU_SO ? LOGIN_SO : LOGIN_USER;

	if (user == CKU_SO && sessions_read_only(worker) > 0)
		return CKR_SESSION_READ_ONLY_EXISTS;
	return login_state(worker) == wanted ? CKR_USER_ALREADY_LOGGED_IN : CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
}

static CK_RV login_invoke(
	struct request *request, CK_SESSION_HANDLE session, CK_USER_TYPE user, const union wire_value *pin)
{
	const union wire_value v[] = {{.number = session}, {.number = user}, *pin};

	return invoke(request, CALL_Login, v);
}

CK_RV login_internal(struct request *request, CK_SESSION_HANDLE session, const union wire_value *pin)
{
	struct worker *worker = request->worker;
	CK_RV rv = login_invoke(request, session, CKU_USER, pin);
	bool taken = rv == CKR_USER_ALREADY_LOGGED_IN || rv == CKR_USER_ANOTHER_ALREADY_LOGGED_IN;

	if (rv == CKR_OK || taken)
		atomic_store(&worker->login.native, LOGIN_USER);
	if (!taken)
		return rv;
	/* Nobody should be: the PIN was not looked at (X1). */
	(void)!logout_internal(worker, request, session);
	return CKR_FUNCTION_FAILED;
}

/*
 * C_Login itself. The module's "already logged in" is never taken for success (X1): it would not have looked at the
 * PIN, and nobody should be logged in here.
 */
static CK_RV login_native(
	struct request *request, CK_SESSION_HANDLE session, CK_USER_TYPE user, const union wire_value *pin)
{
	struct worker *worker = request->worker;
	CK_RV rv = login_invoke(request, session, user, pin);

	if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN || rv == CKR_USER_ANOTHER_ALREADY_LOGGED_IN)
		atomic_store(&worker->login.native, user == CKU_SO ? LOGIN_SO : LOGIN_USER);
	if (rv == CKR_OK) {
		sessions_wishes_keep(worker);
		atomic_store(&worker->login.state, user == CKU_SO ? LOGIN_SO : LOGIN_USER);
	} else {
		anchor_close(worker);
	}
	return rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_FUNCTION_FAILED : rv;
}

/* On the client's session, or on the worker's own for handle 0. Under login.lock and the token's lock. */
static CK_RV login_on(struct request *request, CK_ULONG handle, CK_USER_TYPE user, const union wire_value *pin)
{
	struct worker *worker = request->worker;
	struct lever lever;

	if (handle == 0) {
		CK_RV rv = lever_take(worker, &lever);
		if (rv != CKR_OK)
			return rv;
		rv = login_native(request, lever.session, user, pin);
		lever_give_back(worker, &lever);
		return rv;
	}
	anchor_open(worker);
	const struct session *session = session_acquire(request, handle);
	CK_RV rv = login_native(request, session ? session->module : CK_INVALID_HANDLE, user, pin);
	session_release(request);
	return rv;
}

/* Keeps the PIN that has just logged in, and logs the module out; without a place for the PIN the module stays logged in. */
static void pin_keep(struct request *request, const union wire_value *pin)
{
	struct worker *worker = request->worker;
	CK_TOKEN_INFO token = {0};
	const union wire_value v[] = {{.number = worker->module.slot}, {.info = &token}};
	struct lever lever;

	if (!pin_cache_takes(worker, pin))
		return;
	module_quiet(request);
	if (invoke_uncounted(worker, CALL_GetTokenInfo, v) == CKR_OK && lever_take(worker, &lever) == CKR_OK) {
		if (logout_internal(worker, request, lever.session) == CKR_OK)
			pin_cache_store(worker, pin, &token);
		lever_give_back(worker, &lever);
	}
	module_unshare(request);
}

/* The whole login; the request does not hold the module. */
static CK_RV login_run(struct request *request, CK_ULONG handle, CK_USER_TYPE user, const union wire_value *pin)
{
	struct worker *worker = request->worker;
	struct token_grant grant;

	if (login_state(worker) != LOGIN_NONE || (user == CKU_SO && sessions_read_only(worker) > 0))
		return login_taken(worker, user);
	CK_RV rv = pin_check(worker, pin, PIN_GIVEN);
	if (rv == CKR_OK)
		rv = token_acquire(worker, request->channel, TOKEN_FOR_LOGIN, user, &grant);
	if (rv != CKR_OK)
		return rv;
	rv = module_freshen(worker, grant.generation);
	if (rv != CKR_OK) {
		token_release(worker, request->channel, rv);
		return rv;
	}
	module_share(request);
	rv = token_try_allowed(worker, user, &grant);
	bool tried = rv == CKR_OK;
	request->pin_tried = tried;
	if (tried)
		rv = login_on(request, handle, user, pin);
	if (tried && rv == CKR_PIN_INCORRECT)
		token_try_failed(request, user, &grant);
	module_unshare(request);
	/* Another application may use the token until this one needs it (B13). */
	if (rv == CKR_OK && user == CKU_USER && login_rules(worker).cache_pin && !request->message->anonymous)
		pin_keep(request, pin);
	token_release(worker, request->channel, tried ? rv : CKR_CANCEL);
	if (rv != CKR_OK && login_native_state(worker) != LOGIN_NONE)
		login_drop(request);
	return rv;
}

/* What the client asks for holds from this login on (B1). */
static void login_wish(struct request *request, CK_ULONG handle)
{
	struct session *session = session_acquire(request, handle);

	if (!session)
		return;
	session_wish(request->worker, session, &request->wishes);
	session_release(request);
}

/*
 * True if the module has not looked at the PIN although the operation awaits it: it keeps CKA_ALWAYS_AUTHENTICATE without knowing what
 * it means, as NSS's does (A23).
 */
static bool context_unknown(CK_RV rv)
{
	return rv == CKR_USER_ALREADY_LOGGED_IN || rv == CKR_USER_TYPE_INVALID;
}

/* On a client's session: CKR_OK if an operation of it awaits its PIN. */
static CK_RV context_awaited(struct request *request, CK_ULONG handle)
{
	const struct session *session = session_acquire(request, handle);

	if (!session)
		return CKR_SESSION_HANDLE_INVALID;
	CK_RV rv = track_awaits(session) ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED;
	session_release(request);
	return rv;
}

/* With the token and the module: gives the PIN to what awaits it, unless that has ended meanwhile. *ret_tried: the module was asked. */
static CK_RV context_on_client(struct request *request, CK_ULONG handle, const union wire_value *pin, bool *ret_tried)
{
	struct session *session = session_acquire(request, handle);

	if (!session)
		return CKR_SESSION_HANDLE_INVALID;
	CK_RV rv = session_settle(request->worker, session);
	if (rv == CKR_OK && !track_awaits(session))
		rv = CKR_OPERATION_NOT_INITIALIZED;
	*ret_tried = rv == CKR_OK;
	if (*ret_tried)
		rv = login_invoke(request, session->module, CKU_CONTEXT_SPECIFIC, pin);
	if (rv == CKR_OK)
		track_reauthenticated(session);
	if (context_unknown(rv))
		track_force(session);
	session_release(request);
	return rv;
}

/* On a lent session, likewise. */
static CK_RV context_on_lent(
	struct request *request, CK_SESSION_HANDLE session, const union wire_value *pin, bool *ret_tried)
{
	*ret_tried = true;
	return login_invoke(request, session, CKU_CONTEXT_SPECIFIC, pin);
}

/* Where a PIN goes that an operation awaits: a client's session, or a lent one. */
struct context {
	bool lent;
	CK_ULONG handle; /* the client's */
	CK_SESSION_HANDLE session; /* the module's, of a lent one */
};

/* Under login.lock, without the module held, when an operation awaits the PIN: asks for the token, then gives the PIN to the module. */
static CK_RV context_give(struct request *request, const struct context *to, const union wire_value *pin)
{
	struct worker *worker = request->worker;
	struct token_grant grant;
	bool tried = false;
	CK_RV rv = pin_check(worker, pin, PIN_GIVEN);

	if (rv == CKR_OK)
		rv = token_acquire(worker, request->channel, TOKEN_FOR_LOGIN, CKU_CONTEXT_SPECIFIC, &grant);
	if (rv != CKR_OK)
		return rv;
	module_share(request);
	rv = token_try_allowed(worker, CKU_USER, &grant);
	if (rv == CKR_OK)
		rv = to->lent ? context_on_lent(request, to->session, pin, &tried)
			      : context_on_client(request, to->handle, pin, &tried);
	if (tried && rv == CKR_PIN_INCORRECT)
		token_try_failed(request, CKU_USER, &grant);
	module_unshare(request);
	token_release(worker, request->channel, tried && !context_unknown(rv) ? rv : CKR_CANCEL);
	if (tried)
		login_lock_out(request, rv);
	return rv;
}

static CK_RV context_run(struct request *request, CK_ULONG handle, const union wire_value *pin)
{
	const struct context to = {.handle = handle};
	struct forced_operation forced;

	bool held = login_lock(request);
	/* Decided here, once: an operation that begins from now on does not get this PIN (A23). */
	bool elsewhere = forced_operation_awaits(request, handle, &forced);
	CK_RV rv = elsewhere ? CKR_OK : context_awaited(request, handle);
	if (rv == CKR_OK && !elsewhere)
		rv = context_give(request, &to, pin);
	if (context_unknown(rv))
		elsewhere = forced_operation_awaits(request, handle, &forced);
	login_unlock(request, held);
	return elsewhere ? forced_operation_login(request, handle, &forced, pin) : rv;
}

CK_RV login_session(struct request *request, CK_ULONG handle, CK_USER_TYPE user, const union wire_value *pin)
{
	struct worker *worker = request->worker;

	/* The module has its own answer to that, and no token to try the PIN on. */
	if (!session_exists(request, handle))
		return login_invoke(request, CK_INVALID_HANDLE, user, pin);
	if (pin_check(worker, pin, PIN_GIVEN) == CKR_ARGUMENTS_BAD)
		return CKR_ARGUMENTS_BAD;
	if (user != CKU_USER && user != CKU_SO && user != CKU_CONTEXT_SPECIFIC)
		return CKR_USER_TYPE_INVALID;
	if (user == CKU_CONTEXT_SPECIFIC)
		return context_run(request, handle, pin);
	login_wish(request, handle);
	bool held = login_lock(request);
	CK_RV rv = login_run(request, handle, user, pin);
	login_unlock(request, held);
	return rv;
}

static const char *user_name(CK_USER_TYPE user, char scratch[24])
{
	return name_text(NAMES_USER, user, scratch);
}

CK_RV login_user(struct request *request, CK_USER_TYPE user, const unsigned char *pin, size_t pin_len)
{
	const union wire_value value = {.bytes = {(CK_BYTE *)(uintptr_t)pin, pin_len}};
	uint64_t began = clock_us();
	char scratch[24];

	bool held = login_lock(request);
	CK_RV rv = login_run(request, 0, user, &value);
	login_unlock(request, held);
	const struct event event = {
		.kind = AUDIT_LOGIN,
		.function = "C_Login",
		.rv = rv,
		.user = user_name(user, scratch),
		.latency_us = clock_us() - began,
	};
	/* What is lost here makes the whole answer withheld: the module's outcome is not another. */
	(void)!event_add(request, &event);
	return rv;
}

CK_RV login_context(
	struct request *request, CK_SESSION_HANDLE *session, unsigned login, const unsigned char *pin, size_t pin_len)
{
	struct worker *worker = request->worker;
	const union wire_value value = {.bytes = {(CK_BYTE *)(uintptr_t)pin, pin_len}};
	const struct context to = {.lent = true, .session = *session};
	uint64_t epoch = atomic_load(&worker->module.epoch);
	CK_RV rv = CKR_USER_NOT_LOGGED_IN;

	if (session_is_clients(request, *session))
		return CKR_SESSION_COUNT;
	bool held = login_lock(request);
	/* Until the lock was free others may have logged out and in; from here on nobody does. */
	if (atomic_load(&worker->module.epoch) == epoch && login_epoch(worker) == login)
		rv = context_give(request, &to, &value);
	login_unlock(request, held);
	if (context_unknown(rv))
		rv = pin_verify(request, login, &value, true);
	if (atomic_load(&worker->module.epoch) == epoch)
		return rv;
	*session = CK_INVALID_HANDLE;
	return rv == CKR_OK ? CKR_USER_NOT_LOGGED_IN : rv;
}
