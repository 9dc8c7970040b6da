#include "server/worker/internal.h"

/*
 * Where the rules end the login after a signature or after a private use (B5–B8), what may end it is done by one request at a time, up to and
 * with the logout. Otherwise operations that were begun under one login would all be completed before the first of them has ended it.
 */

static bool try_take(struct one_use *use)
{
	pthread_mutex_lock(&use->lock);
	bool taken = !use->taken;
	use->taken = true;
	pthread_mutex_unlock(&use->lock);
	return taken;
}

static bool take_until(struct one_use *use, int64_t until)
{
	bool in_time = true;

	pthread_mutex_lock(&use->lock);
	while (use->taken && in_time)
		in_time = clock_wait(&use->free, &use->lock, until);
	bool taken = !use->taken;
	use->taken = true;
	pthread_mutex_unlock(&use->lock);
	return taken;
}

CK_RV one_use_begin(struct request *request)
{
	struct worker *worker = request->worker;

	if (request->one_use)
		return CKR_OK;
	if (!try_take(&worker->one_use)) {
		gateway_wait_begin(request);
		bool taken = take_until(&worker->one_use, clock_ms() + (int64_t)login_rules(worker).wait_ms);
		gateway_wait_end(request);
		if (!taken)
			return CKR_DEVICE_ERROR;
	}
	request->one_use = true;
	return CKR_OK;
}

bool one_use_end(struct request *request)
{
	struct one_use *use = &request->worker->one_use;

	if (!request->one_use)
		return false;
	request->one_use = false;
	pthread_mutex_lock(&use->lock);
	use->taken = false;
	pthread_cond_signal(&use->free);
	pthread_mutex_unlock(&use->lock);
	return true;
}

bool one_use_of_call(struct worker *worker, const struct call *call)
{
	const struct call_row *row = call->row;
	enum logout_after after = login_rules(worker).logout_after;
	bool ends = row->step == STEP_SINGLE || row->step == STEP_FINAL;

	if (after == LOGOUT_AFTER_NEVER)
		return false;
	if (ends && (row->operation == OPERATION_SIGN || row->operation == OPERATION_SIGN_RECOVER))
		return true;
	if (after != LOGOUT_AFTER_PRIVATE_OP)
		return false;
	return ends || (!call_is_part(row) && private_use_needed(worker, call));
}

bool one_use_of_route(struct worker *worker, unsigned permissions)
{
	switch (login_rules(worker).logout_after) {
	case LOGOUT_AFTER_SIGN: return (permissions & PERMISSIONS_USE) != 0;
	case LOGOUT_AFTER_PRIVATE_OP:
		return (permissions & (PERMISSIONS_READ | PERMISSIONS_USE | PERMISSIONS_WRITE)) != 0;
	default: return false;
	}
}
