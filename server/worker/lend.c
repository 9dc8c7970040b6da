#include "server/worker/internal.h"

/*
 * Module sessions lent to requests. On a token whose sessions the clients have all, one of theirs is lent (X5): the session of the
 * request's own call, or another one, which is locked for as long. So whoever holds a lent session waits for no login.
 */

/* What was lent before a re-initialisation is gone with the old module; its handle may name another session by now. */
static void lent_forget_old(struct request *request)
{
	uint64_t epoch = atomic_load(&request->worker->module.epoch);
	unsigned kept = 0;

	for (unsigned i = 0; i < request->lent_count; i++) {
		struct lent_session *lent = &request->lent[i];
		if (lent->epoch == epoch)
			request->lent[kept++] = *lent;
		else if (lent->client)
			session_return(request->worker, lent->client);
	}
	request->lent_count = kept;
}

/* NULL: it was not lent by the module as it is now. One that was lent twice is given back last lent first. */
static struct lent_session *lent_find(struct request *request, CK_SESSION_HANDLE session)
{
	lent_forget_old(request);
	for (unsigned i = request->lent_count; i-- > 0;) {
		if (request->lent[i].session == session)
			return &request->lent[i];
	}
	return NULL;
}

/* One that the request has already, to search in. False: it has none, or none that serves. */
static bool lend_own(const struct request *request, struct lent_session *ret_lent)
{
	if (request->lent_count > 0)
		ret_lent->session = request->lent[request->lent_count - 1].session;
	else if (request->client && session_serves(request->client, SESSION_TO_SEARCH))
		ret_lent->session = request->client->module;
	else
		return false;
	ret_lent->own = true;
	return true;
}

/* One of the clients'. Whoever holds one, or looks for an object again, waits for none. */
static bool lend_clients(struct request *request, enum session_use use, struct lent_session *ret_lent)
{
	bool wait = use == SESSION_TO_OPERATE && !request->client && request->lent_count == 0;

	ret_lent->client = session_take_any(request->worker, use, wait);
	if (ret_lent->client)
		ret_lent->session = ret_lent->client->module;
	return ret_lent->client != NULL;
}

static bool lend_idle(struct pool *pool, struct lent_session *ret_lent)
{
	pthread_mutex_lock(&pool->lock);
	bool idle = pool->count > 0;
	if (idle)
		ret_lent->session = pool->idle[--pool->count];
	pthread_mutex_unlock(&pool->lock);
	return idle;
}

static CK_RV lend(struct request *request, enum session_use use, struct lent_session *ret_lent)
{
	struct worker *worker = request->worker;

	if (lend_idle(&worker->pool, ret_lent))
		return CKR_OK;
	CK_RV rv = pool_open_widest(worker, &ret_lent->session);
	if (rv != CKR_SESSION_COUNT)
		return rv;
	if (use == SESSION_TO_SEARCH && lend_own(request, ret_lent))
		return CKR_OK;
	if (use != SESSION_TO_TRY && lend_clients(request, use, ret_lent))
		return CKR_OK;
	pool_give_way(worker);
	return pool_open_widest(worker, &ret_lent->session);
}

CK_RV pool_lend(struct request *request, enum session_use use, CK_SESSION_HANDLE *ret_session)
{
	struct lent_session lent = {.epoch = atomic_load(&request->worker->module.epoch)};

	lent_forget_old(request);
	if (request->lent_count == REQUEST_LENT_MAX)
		return CKR_SESSION_COUNT;
	CK_RV rv = lend(request, use, &lent);
	if (rv != CKR_OK)
		return rv;
	request->lent[request->lent_count++] = lent;
	*ret_session = lent.session;
	return CKR_OK;
}

CK_RV session_lend(struct request *request, CK_SESSION_HANDLE *ret_session)
{
	if (request->logout_after == LOGOUT_AFTER_PRIVATE_OP && one_use_is_anothers(request->worker, 0))
		return CKR_USER_NOT_LOGGED_IN;
	CK_RV rv = private_use_begin(request);
	if (rv != CKR_OK)
		return rv;
	request->private_used = login_state(request->worker) == LOGIN_USER;
	return pool_lend(request, SESSION_TO_OPERATE, ret_session);
}

CK_RV session_lend_public(struct request *request, CK_SESSION_HANDLE *ret_session)
{
	return pool_lend(request, SESSION_TO_OPERATE, ret_session);
}

bool session_is_clients(struct request *request, CK_SESSION_HANDLE session)
{
	const struct lent_session *lent = lent_find(request, session);

	return lent && (lent->client || lent->own);
}

void session_spoil(struct request *request, CK_SESSION_HANDLE session)
{
	struct lent_session *lent = lent_find(request, session);

	if (lent)
		lent->spoiled = true;
}

/* A client's: what may have stayed active in it is not for the client to go on with. */
static void return_clients(struct worker *worker, struct session *client, bool clean)
{
	if (!clean && session_cancel(worker, client) != CKR_OK)
		client->spoiled = true;
	session_return(worker, client);
}

static void return_pools(struct worker *worker, CK_SESSION_HANDLE session, bool clean)
{
	struct pool *pool = &worker->pool;
	bool kept = false;

	pthread_mutex_lock(&pool->lock);
	if (clean && pool->count < POOL_MAX) {
		pool->idle[pool->count++] = session;
		kept = true;
	}
	pthread_mutex_unlock(&pool->lock);
	if (!kept)
		pool_close(worker, session);
}

void session_give_back(struct request *request, CK_SESSION_HANDLE session, bool clean)
{
	struct lent_session *lent = lent_find(request, session);

	if (!lent)
		return;
	const struct lent_session back = *lent;
	*lent = request->lent[--request->lent_count];
	clean = clean && !back.spoiled;
	if (back.client)
		return_clients(request->worker, back.client, clean);
	else if (!back.own)
		return_pools(request->worker, back.session, clean);
	else if (!clean && lent_find(request, back.session))
		session_spoil(request, back.session);
	else if (!clean && request->client)
		request->client->spoiled = true;
}
