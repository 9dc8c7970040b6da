#include "server/worker/call_run.h"

/*
 * What of a call is a use of the login, where the rules end it after a signature or a private use.
 */

void call_use_look(struct running_call *run)
{
	if (call_is_part(run->row) || !call_private_counts(run))
		return;
	for (size_t i = 0; i < run->row->argument_count; i++) {
		if (run->row->arguments[i].kind == WIRE_OBJECT)
			run->private = run->private || call_object_is_private(run, run->call->values[i].number);
	}
}

/* Whether the call needs a private object. A search does not: what it would find is left to the module. */
static bool needs_private(struct running_call *run)
{
	if (run->row->operation == OPERATION_FIND)
		return false;
	/* Of objects that nothing is known of yet, private_use_needed assumes the worst. */
	for (size_t i = 0; i < run->row->argument_count; i++) {
		if (run->row->arguments[i].kind == WIRE_OBJECT)
			(void)call_object_is_private(run, run->call->values[i].number);
	}
	return private_use_needed(run->request->worker, run->call);
}

CK_RV call_use_check(struct running_call *run)
{
	struct worker *worker = run->request->worker;
	const struct call_row *row = run->row;
	const struct session_operation *operation = &run->session->operations[row->operation];

	if (!call_private_counts(run) || !one_use_is_anothers(worker, run->session->handle))
		return CKR_OK;
	if (call_is_part(row) && row->step != STEP_INIT)
		return operation->begun && operation->private ? session_cancel(worker, run->session) : CKR_OK;
	if (!needs_private(run))
		return CKR_OK;
	run->refused = "the login is for another session's operation until that ends";
	return CKR_USER_NOT_LOGGED_IN;
}

/* The login is for the session from the first part of an operation with a private key on. */
static void claim_follow(const struct running_call *run)
{
	struct request *request = run->request;
	struct worker *worker = request->worker;
	bool uses = track_has_private_parts(run->session, login_epoch(worker));

	if (uses && call_private_counts(run) && login_state(worker) == LOGIN_USER)
		one_use_claim(worker, run->session->handle);
	/* However the operation ended, it was a use. */
	if (!uses && one_use_is_of(worker, run->session->handle)) {
		request->private_used = true;
		if (!call_private_counts(run))
			one_use_release(worker, run->session->handle);
	}
}

void call_use_note(const struct running_call *run, const struct session_operation *before, CK_RV rv)
{
	const struct call_row *row = run->row;
	bool ends = before->begun && (row->step == STEP_SINGLE || row->step == STEP_FINAL) &&
		    rv != CKR_OPERATION_NOT_INITIALIZED && !call_asks_length(run->call, rv);
	bool signs = row->operation == OPERATION_SIGN || row->operation == OPERATION_SIGN_RECOVER;

	if (ends && signs)
		run->request->signed_ = true;
	/* A part that fails ends the operation as well, section 5.2 of PKCS#11 2.40. */
	bool fails = row->step == STEP_UPDATE && rv != CKR_OK && !call_asks_length(run->call, rv) && before->begun &&
		     before->private && before->has_parts;
	if (fails || run->private ||
		(ends && (row->operation == OPERATION_FIND ? before->found_private : before->private)))
		run->request->private_used = true;
	claim_follow(run);
}
