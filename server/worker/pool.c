#include "server/worker/internal.h"

/*
 * Module sessions that no client sees: those lent to the resource routes, and the anchor that keeps the application logged in
 * while client sessions come and go (X5).
 */

static CK_RV open_native(struct worker *worker, CK_FLAGS flags, CK_SESSION_HANDLE *ret_session)
{
	const union wire_value v[] = {
		{.number = worker->module.slot},
		{.number = flags},
		{.notify = {NULL, NULL}},
		{.number_out = ret_session},
	};

	if (!worker->module.slot_found)
		return CKR_TOKEN_NOT_PRESENT;
	return invoke_uncounted(worker, CALL_OpenSession, v);
}

static void close_native(struct worker *worker, CK_SESSION_HANDLE session)
{
	const union wire_value v[] = {{.number = session}};

	(void)!invoke_uncounted(worker, CALL_CloseSession, v);
}

CK_RV pool_open(struct worker *worker, CK_SESSION_HANDLE *ret_session)
{
	CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
	CK_RV rv = open_native(worker, CKF_SERIAL_SESSION | CKF_RW_SESSION, &session);

	if (rv == CKR_TOKEN_WRITE_PROTECTED)
		rv = open_native(worker, CKF_SERIAL_SESSION, &session);
	if (rv == CKR_OK)
		*ret_session = session;
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
		close_native(worker, idle[i]);
}

void pool_forget(struct worker *worker)
{
	pthread_mutex_lock(&worker->pool.lock);
	worker->pool.count = 0;
	worker->pool.anchor = CK_INVALID_HANDLE;
	pthread_mutex_unlock(&worker->pool.lock);
}

CK_RV anchor_open(struct worker *worker, CK_SESSION_HANDLE *ret_session)
{
	CK_SESSION_HANDLE session;

	pthread_mutex_lock(&worker->pool.lock);
	session = worker->pool.anchor;
	pthread_mutex_unlock(&worker->pool.lock);
	if (session == CK_INVALID_HANDLE) {
		CK_RV rv = pool_open(worker, &session);
		if (rv != CKR_OK)
			return rv;
		pthread_mutex_lock(&worker->pool.lock);
		worker->pool.anchor = session;
		pthread_mutex_unlock(&worker->pool.lock);
	}
	*ret_session = session;
	return CKR_OK;
}

void anchor_close(struct worker *worker)
{
	pthread_mutex_lock(&worker->pool.lock);
	CK_SESSION_HANDLE session = worker->pool.anchor;
	worker->pool.anchor = CK_INVALID_HANDLE;
	pthread_mutex_unlock(&worker->pool.lock);
	if (session != CK_INVALID_HANDLE)
		close_native(worker, session);
}

CK_RV lever_take(struct worker *worker, struct lever *ret_lever)
{
	struct lever lever = {CK_INVALID_HANDLE, NULL};
	CK_RV rv = anchor_open(worker, &lever.session);

	if (rv == CKR_SESSION_COUNT) {
		pool_close_idle(worker);
		rv = anchor_open(worker, &lever.session);
	}
	if (rv == CKR_SESSION_COUNT && (lever.client = session_acquire_any(worker)) != NULL) {
		lever.session = lever.client->module;
		rv = CKR_OK;
	}
	*ret_lever = lever;
	return rv;
}

void lever_give_back(struct worker *worker, const struct lever *lever)
{
	if (lever->client)
		session_release(worker, lever->client);
}

CK_RV session_lend(struct request *request, CK_SESSION_HANDLE *ret_session)
{
	CK_RV rv = private_use_begin(request);

	if (rv != CKR_OK)
		return rv;
	request->private_used = login_state(request->worker) == LOGIN_USER;
	return pool_lend(request, ret_session);
}

/* What was lent before a re-initialisation is gone with the old module; its handle may name another session by now. */
static void lent_forget_old(struct request *request)
{
	uint64_t epoch = atomic_load(&request->worker->module.epoch);
	unsigned kept = 0;

	for (unsigned i = 0; i < request->lent_count; i++) {
		if (request->lent[i].epoch == epoch)
			request->lent[kept++] = request->lent[i];
	}
	request->lent_count = kept;
}

/* NULL: it was not lent by the module as it is now. */
static struct lent_session *lent_find(struct request *request, CK_SESSION_HANDLE session)
{
	lent_forget_old(request);
	for (unsigned i = 0; i < request->lent_count; i++) {
		if (request->lent[i].session == session)
			return &request->lent[i];
	}
	return NULL;
}

CK_RV pool_lend(struct request *request, CK_SESSION_HANDLE *ret_session)
{
	struct worker *worker = request->worker;
	struct pool *pool = &worker->pool;
	CK_SESSION_HANDLE session = CK_INVALID_HANDLE;

	lent_forget_old(request);
	if (request->lent_count == REQUEST_LENT_MAX)
		return CKR_SESSION_COUNT;
	pthread_mutex_lock(&pool->lock);
	if (pool->count > 0)
		session = pool->idle[--pool->count];
	pthread_mutex_unlock(&pool->lock);
	if (session == CK_INVALID_HANDLE) {
		CK_RV rv = pool_open(worker, &session);
		if (rv != CKR_OK)
			return rv;
	}
	request->lent[request->lent_count++] = (struct lent_session){
		session, atomic_load(&worker->module.epoch), false};
	*ret_session = session;
	return CKR_OK;
}

void session_spoil(struct request *request, CK_SESSION_HANDLE session)
{
	struct lent_session *lent = lent_find(request, session);

	if (lent)
		lent->spoiled = true;
}

void session_give_back(struct request *request, CK_SESSION_HANDLE session, bool clean)
{
	struct pool *pool = &request->worker->pool;
	struct lent_session *lent = lent_find(request, session);
	bool kept = false;

	if (!lent)
		return;
	clean = clean && !lent->spoiled;
	*lent = request->lent[--request->lent_count];
	pthread_mutex_lock(&pool->lock);
	if (clean && pool->count < POOL_MAX) {
		pool->idle[pool->count++] = session;
		kept = true;
	}
	pthread_mutex_unlock(&pool->lock);
	if (!kept)
		close_native(request->worker, session);
}
