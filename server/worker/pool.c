#include "server/worker/internal.h"

/*
 * Module sessions: opened and closed, kept idle for who needs one next (lend.c), and the anchor that keeps the application logged in
 * while client sessions come and go (X5).
 */

CK_RV pool_open(struct worker *worker, struct request *request, CK_FLAGS flags, CK_SESSION_HANDLE *ret_session)
{
	CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
	const union wire_value v[] = {
		{.number = worker->module.slot},
		{.number = flags},
		{.notify = {NULL, NULL}},
		{.number_out = &session},
	};

	if (!worker->module.slot_found)
		return CKR_TOKEN_NOT_PRESENT;
	CK_RV rv = request ? invoke(request, CALL_OpenSession, v) : invoke_uncounted(worker, CALL_OpenSession, v);
	/* A module that says so without giving one. */
	if (rv == CKR_OK && session == CK_INVALID_HANDLE)
		return CKR_DEVICE_ERROR;
	if (rv == CKR_OK)
		*ret_session = session;
	return rv;
}

void pool_close(struct worker *worker, CK_SESSION_HANDLE session)
{
	const union wire_value v[] = {{.number = session}};

	(void)!invoke_uncounted(worker, CALL_CloseSession, v);
}

CK_RV pool_open_widest(struct worker *worker, CK_SESSION_HANDLE *ret_session)
{
	CK_RV rv = pool_open(worker, NULL, CKF_SERIAL_SESSION | CKF_RW_SESSION, ret_session);

	if (rv == CKR_TOKEN_WRITE_PROTECTED)
		rv = pool_open(worker, NULL, CKF_SERIAL_SESSION, ret_session);
	return rv;
}

void pool_close_idle(struct worker *worker)
{
	CK_SESSION_HANDLE idle[POOL_MAX];
	unsigned count;

	pthread_mutex_lock(&worker->pool.lock);
	count = worker->pool.count;
	for (unsigned i = 0; i < count; i++)
		idle[i] = worker->pool.idle[i];
	worker->pool.count = 0;
	pthread_mutex_unlock(&worker->pool.lock);
	for (unsigned i = 0; i < count; i++)
		pool_close(worker, idle[i]);
}

void pool_forget(struct worker *worker)
{
	pthread_mutex_lock(&worker->pool.lock);
	worker->pool.count = 0;
	worker->pool.anchor = CK_INVALID_HANDLE;
	pthread_mutex_unlock(&worker->pool.lock);
}

/* The anchor, which nobody closes from now on until anchor_let_go; opened if it is not. */
static CK_RV anchor_take(struct worker *worker, CK_SESSION_HANDLE *ret_session)
{
	struct pool *pool = &worker->pool;
	CK_RV rv = CKR_OK;

	pthread_mutex_lock(&pool->lock);
	CK_SESSION_HANDLE session = pool->anchor;
	pool->anchor_used = true;
	pthread_mutex_unlock(&pool->lock);
	if (session == CK_INVALID_HANDLE)
		rv = pool_open_widest(worker, &session);
	pthread_mutex_lock(&pool->lock);
	pool->anchor_used = rv == CKR_OK;
	if (rv == CKR_OK)
		pool->anchor = session;
	pthread_mutex_unlock(&pool->lock);
	*ret_session = session;
	return rv;
}

static void anchor_let_go(struct worker *worker)
{
	pthread_mutex_lock(&worker->pool.lock);
	worker->pool.anchor_used = false;
	pthread_cond_broadcast(&worker->pool.anchor_free);
	pthread_mutex_unlock(&worker->pool.lock);
}

void anchor_open(struct worker *worker)
{
	CK_SESSION_HANDLE session;

	if (anchor_take(worker, &session) == CKR_OK)
		anchor_let_go(worker);
}

/* Takes the anchor from the pool, `unused`: once nobody uses it. */
static void anchor_end(struct worker *worker, bool unused)
{
	struct pool *pool = &worker->pool;

	pthread_mutex_lock(&pool->lock);
	while (unused && pool->anchor_used)
		pthread_cond_wait(&pool->anchor_free, &pool->lock);
	CK_SESSION_HANDLE session = pool->anchor;
	pool->anchor = CK_INVALID_HANDLE;
	pthread_mutex_unlock(&pool->lock);
	if (session != CK_INVALID_HANDLE)
		pool_close(worker, session);
}

void anchor_close(struct worker *worker)
{
	anchor_end(worker, false);
}

void pool_give_way(struct worker *worker)
{
	pool_close_idle(worker);
	/* The login stays with the clients' sessions. */
	if (sessions_in_module(worker) > 0)
		anchor_end(worker, true);
}

CK_RV pool_open_giving_way(
	struct worker *worker, struct request *request, CK_FLAGS flags, CK_SESSION_HANDLE *ret_session)
{
	CK_RV rv = pool_open(worker, request, flags, ret_session);

	if (rv != CKR_SESSION_COUNT)
		return rv;
	pool_give_way(worker);
	return pool_open(worker, request, flags, ret_session);
}

CK_RV lever_take(struct worker *worker, struct lever *ret_lever)
{
	struct lever lever = {CK_INVALID_HANDLE, NULL};
	CK_RV rv = anchor_take(worker, &lever.session);

	if (rv == CKR_SESSION_COUNT) {
		pool_close_idle(worker);
		rv = anchor_take(worker, &lever.session);
	}
	if (rv == CKR_SESSION_COUNT && (lever.client = session_take_any(worker, SESSION_TO_LOG_IN, true)) != NULL) {
		lever.session = lever.client->module;
		rv = CKR_OK;
	}
	*ret_lever = lever;
	return rv;
}

void lever_give_back(struct worker *worker, const struct lever *lever)
{
	if (lever->client)
		session_return(worker, lever->client);
	else
		anchor_let_go(worker);
}
