#include "server/worker/internal.h"

/*
 * Making and changing objects beside logins. SoftHSM keeps a token in files: a login rewrites one of them, in this process or in
 * another, and an object that is made meanwhile fails now and then with CKR_GENERAL_ERROR. For modules of that kind – those
 * whose logins are verified afresh for the same reason – both take turns.
 */

CK_RV making_begin(struct request *request, bool private)
{
	struct worker *worker = request->worker;
	struct token_grant grant;

	if (!worker->start.verify_login_fresh)
		return private ? private_use_begin(request) : CKR_OK;
	(void)!login_lock(request);
	/* Under the same lock as the turn: a login that comes in between would leave the use to be begun within it. */
	CK_RV rv = private ? private_use_begin_locked(request) : CKR_OK;
	if (rv == CKR_OK)
		rv = token_acquire(worker, request->channel, TOKEN_FOR_OBJECTS, CKU_USER, &grant);
	if (rv != CKR_OK)
		pthread_mutex_unlock(&worker->login.lock);
	request->making = rv == CKR_OK;
	return rv;
}

void making_end(struct request *request)
{
	struct worker *worker = request->worker;

	if (!request->making)
		return;
	request->making = false;
	token_release(worker, request->channel, CKR_OK);
	pthread_mutex_unlock(&worker->login.lock);
}

CK_RV object_making_begin(struct request *request, CK_SESSION_HANDLE *session, CK_OBJECT_HANDLE *object)
{
	CK_OBJECT_HANDLE name;
	CK_RV rv = object_name(request, *session, *object, &name);

	if (rv != CKR_OK)
		return rv;
	session_give_back(request, *session, true);
	*session = CK_INVALID_HANDLE;
	module_unshare(request);
	rv = making_begin(request, true);
	module_share(request);
	if (rv == CKR_OK)
		rv = session_lend(request, session);
	if (rv == CKR_OK)
		*object = object_module(request, name);
	return rv;
}

void object_making_end(struct request *request)
{
	module_unshare(request);
	making_end(request);
	module_share(request);
}
