#include "server/worker/internal.h"

/*
 * Where the rules end the login after a signature or after a private use (B5–B8), what may end it is done by one request at a time, up to and
 * with the logout. Otherwise operations that were begun under one login would all be completed before the first of them has ended it.
 *
 * An operation in parts is one private use of many requests. Its session has the login to itself in between.
 */

/* A request that waits for its turn; on its thread's stack. */
struct one_use_waiter {
	struct one_use_waiter *next;
	pthread_cond_t granted;
	bool has_turn;
};

/* Takes the turn, or the last place of those who wait for it. Whether it is taken. */
static bool take_or_queue(struct one_use *use, struct one_use_waiter *waiter)
{
	pthread_mutex_lock(&use->lock);
	bool taken = !use->taken;
	if (!taken) {
		struct one_use_waiter **last = &use->waiting;
		while (*last)
			last = &(*last)->next;
		*last = waiter;
	}
	use->taken = true;
	pthread_mutex_unlock(&use->lock);
	return taken;
}

/* Under lock: one who gives up. */
static void leave_queue(struct one_use *use, const struct one_use_waiter *waiter)
{
	struct one_use_waiter **at = &use->waiting;

	while (*at != waiter)
		at = &(*at)->next;
	*at = waiter->next;
}

static bool await_turn(struct one_use *use, struct one_use_waiter *waiter, int64_t until)
{
	bool in_time = true;

	pthread_mutex_lock(&use->lock);
	while (!waiter->has_turn && in_time)
		in_time = clock_wait(&waiter->granted, &use->lock, until);
	if (!waiter->has_turn)
		leave_queue(use, waiter);
	pthread_mutex_unlock(&use->lock);
	return waiter->has_turn;
}

CK_RV one_use_begin(struct request *request)
{
	struct one_use *use = &request->worker->one_use;
	struct one_use_waiter waiter = {.granted = PTHREAD_COND_INITIALIZER};

	if (request->one_use)
		return CKR_OK;
	request->one_use = take_or_queue(use, &waiter);
	if (!request->one_use) {
		gateway_wait_begin(request);
		int64_t until = clock_ms() + (int64_t)login_rules(request->worker).wait_ms;
		request->one_use = await_turn(use, &waiter, until);
		gateway_wait_end(request);
	}
	pthread_cond_destroy(&waiter.granted);
	return request->one_use ? CKR_OK : CKR_DEVICE_ERROR;
}

bool one_use_end(struct request *request)
{
	struct one_use *use = &request->worker->one_use;

	if (!request->one_use)
		return false;
	request->one_use = false;
	pthread_mutex_lock(&use->lock);
	struct one_use_waiter *next = use->waiting;
	use->taken = next != NULL;
	if (next) {
		use->waiting = next->next;
		next->has_turn = true;
		pthread_cond_signal(&next->granted);
	}
	pthread_mutex_unlock(&use->lock);
	return true;
}

bool turns_end(struct request *request)
{
	making_end(request);
	bool recorded = private_use_end(request);
	(void)one_use_end(request);
	return recorded;
}

/* --- what has to wait for its turn --- */

static void rule_decide(struct request *request)
{
	request->logout_after = login_rules(request->worker).logout_after;
}

/* With the rule decided. */
static CK_RV begin_if(struct request *request, bool ends_login)
{
	CK_RV rv = ends_login ? one_use_begin(request) : CKR_OK;

	/* The login that there is after the wait may be another one, under other rules. */
	if (ends_login && rv == CKR_OK)
		rule_decide(request);
	return rv;
}

static bool call_may_end_login(const struct request *request, const struct call *call)
{
	const struct call_row *row = call->row;
	bool ends = row->step == STEP_SINGLE || row->step == STEP_FINAL;

	if (request->logout_after == LOGOUT_AFTER_NEVER)
		return false;
	if (ends && (row->operation == OPERATION_SIGN || row->operation == OPERATION_SIGN_RECOVER))
		return true;
	if (request->logout_after != LOGOUT_AFTER_PRIVATE_OP)
		return false;
	if (call_is_part(row))
		return row->step != STEP_INIT;
	return private_use_needed(request->worker, call);
}

CK_RV one_use_begin_call(struct request *request, const struct call *call)
{
	rule_decide(request);
	return begin_if(request, call_may_end_login(request, call));
}

CK_RV one_use_begin_route(struct request *request, unsigned permissions)
{
	rule_decide(request);
	switch (request->logout_after) {
	case LOGOUT_AFTER_SIGN: return begin_if(request, (permissions & PERMISSIONS_USE) != 0);
	case LOGOUT_AFTER_PRIVATE_OP:
		return begin_if(request, (permissions & (PERMISSIONS_READ | PERMISSIONS_USE | PERMISSIONS_WRITE)) != 0);
	default: return CKR_OK;
	}
}

bool login_is_for_one_use(const struct request *request)
{
	return request->logout_after != LOGOUT_AFTER_NEVER;
}

/* --- whom the login is for --- */

/* Under lock: the session that has the login to itself, 0: none. A claim ends with its login, and with what its module knew. */
static CK_ULONG claimant(struct worker *worker)
{
	struct one_use *use = &worker->one_use;

	if (use->login != login_epoch(worker) || use->epoch != atomic_load(&worker->module.epoch))
		use->session = 0;
	return use->session;
}

static CK_ULONG claimant_now(struct worker *worker)
{
	pthread_mutex_lock(&worker->one_use.lock);
	CK_ULONG session = claimant(worker);
	pthread_mutex_unlock(&worker->one_use.lock);
	return session;
}

void one_use_claim(struct worker *worker, CK_ULONG session)
{
	struct one_use *use = &worker->one_use;

	pthread_mutex_lock(&use->lock);
	if (claimant(worker) == 0) {
		use->session = session;
		use->login = login_epoch(worker);
		use->epoch = atomic_load(&worker->module.epoch);
	}
	pthread_mutex_unlock(&use->lock);
}

void one_use_release(struct worker *worker, CK_ULONG session)
{
	struct one_use *use = &worker->one_use;

	pthread_mutex_lock(&use->lock);
	if (use->session == session)
		use->session = 0;
	pthread_mutex_unlock(&use->lock);
}

bool one_use_is_of(struct worker *worker, CK_ULONG session)
{
	return session != 0 && claimant_now(worker) == session;
}

bool one_use_is_anothers(struct worker *worker, CK_ULONG session)
{
	CK_ULONG claimed = claimant_now(worker);

	return claimed != 0 && claimed != session;
}

void one_use_settle(struct worker *worker)
{
	CK_ULONG session = claimant_now(worker);

	if (session != 0 && !session_is_open(worker, session))
		one_use_release(worker, session);
}
