#include "server/worker/call_run.h"

#include <stdlib.h>
#include <string.h>

#include "api/secret.h"

/*
 * One call of a group: is it allowed (call_rules.c), whose handles are they (call_translate.c), run it, record it.
 */

enum { WRAPPED_KEY = 3 }; /* place among the arguments of WrapKey */

/* True for calls whose rules or record need to know the object before it runs. */
static bool needs_object(const struct call_row *row)
{
	if (row->operation != OPERATION_NONE && row->step == STEP_INIT)
		return true;
	return row->audit == AUDIT_KEY_USE || row->audit == AUDIT_OBJECT;
}

static void describe(struct running_call *run)
{
	size_t at = call_argument(run->row, WIRE_OBJECT);

	if (at < run->row->argument_count && needs_object(run->row) && run->session)
		run->key = object_describe(run->request->worker, run->session->module, run->call->values[at].number);
	if (run->row->id == CALL_WrapKey && run->session)
		run->wrapped = object_describe(
			run->request->worker, run->session->module, run->call->values[WRAPPED_KEY].number);
}

/* After DestroyObject, SetAttributeValue: what is known of the object is old. */
static void object_follow(struct running_call *run)
{
	CK_OBJECT_HANDLE object = run->call->values[1].number;

	if (run->row->id == CALL_DestroyObject)
		object_remove(run->request->worker, object);
	else if (run->row->id == CALL_SetAttributeValue)
		object_changed(run->request->worker, object);
}

static CK_RV invoke_native(struct running_call *run)
{
	if (run->row->id == CALL_GetOperationState)
		return saved_state_get(run->request, run->session, run->native[0].number, &run->native[1]);
	if (run->row->id == CALL_SetOperationState)
		return saved_state_set(run->request, run->session, run->native);
	return invoke(run->request, run->row->id, run->native);
}

/* What the token says of CKA_ALWAYS_AUTHENTICATE is not all there is to it (B18). */
static CK_RV show_forced(struct running_call *run, CK_RV rv)
{
	const union wire_value *asked = &run->call->values[2];
	bool concerned = false;

	for (CK_ULONG i = 0; i < asked->attributes.count; i++)
		concerned = concerned || asked->attributes.items[i].type == CKA_ALWAYS_AUTHENTICATE;
	if (!concerned || (rv != CKR_OK && rv != CKR_ATTRIBUTE_TYPE_INVALID && rv != CKR_ATTRIBUTE_SENSITIVE))
		return rv;
	if (!run->key)
		run->key = object_describe(run->request->worker, run->session->module, run->call->values[1].number);
	return call_is_forced(run) ? forced_login_show(run->call, rv) : rv;
}

static CK_RV invoke_translated(struct running_call *run)
{
	unsigned logouts = atomic_load(&run->request->worker->login.logouts);
	/* Checked before anything reads an output: a module may claim to have written more than it had room for. */
	CK_RV rv = call_outputs_check(run->call, invoke_native(run));

	if (rv == CKR_OK)
		rv = always_check_made(run);
	if (rv == CKR_OK) {
		object_follow(run);
		rv = call_translate_results(run);
	}
	if (run->row->step == STEP_INIT && rv == CKR_OK && run->session)
		run->forced = call_is_forced(run);
	if (run->row->id == CALL_GetAttributeValue && run->session)
		rv = show_forced(run, rv);
	if (run->session) {
		run->has_input = !call_asks_length(run->call, rv) &&
				 track_input_sha256(run->session, run->call, run->input);
		track_after(run->session, run->call, rv, run->key, run->forced, logouts);
	}
	return rv;
}

bool call_is_part(const struct call_row *row)
{
	return row->step != STEP_NONE && row->id != CALL_DigestKey;
}

/* A search by the effective value of CKA_ALWAYS_AUTHENTICATE, which the token does not know. */
static CK_RV run_forced_search(struct running_call *run)
{
	struct session_operation search = {0}, *operation = &run->session->operations[OPERATION_FIND];
	CK_RV rv = forced_search_begin(run->request, run->session, run->call, &search);

	if (rv != CKR_OK)
		return rv;
	track_after(run->session, run->call, rv, NULL, false, login_epoch(run->request->worker));
	operation->listed = true;
	operation->found = search.found;
	operation->found_count = search.found_count;
	operation->found_private = search.found_private;
	return rv;
}

/* The later calls of such a search; CKR_FUNCTION_NOT_SUPPORTED: it is none of them. */
static CK_RV go_on_with_forced_search(struct running_call *run)
{
	struct session_operation *operation = run->session ? &run->session->operations[OPERATION_FIND] : NULL;

	if (!operation || run->row->operation != OPERATION_FIND || !operation->listed)
		return CKR_FUNCTION_NOT_SUPPORTED;
	if (run->row->step == STEP_UPDATE)
		return forced_search_next(operation, run->call);
	if (run->row->step == STEP_INIT)
		return CKR_OPERATION_ACTIVE;
	track_forget(operation);
	return CKR_OK;
}

/* With a kept PIN such an operation begins only with its own login. CKR_FUNCTION_NOT_SUPPORTED: this one does not wait. */
static CK_RV run_deferred(struct running_call *run)
{
	const struct session_operation *operation;

	if (!run->session || run->row->step != STEP_INIT || run->row->operation == OPERATION_NONE)
		return CKR_FUNCTION_NOT_SUPPORTED;
	operation = &run->session->operations[run->row->operation];
	if (operation->begun && operation->deferred)
		return CKR_OPERATION_ACTIVE;
	if (!run->init || !call_is_forced(run))
		return CKR_FUNCTION_NOT_SUPPORTED;
	CK_RV rv = forced_operation_defer(
		run->request, run->session, run->call, run->native, run->key, run->init, run->init_len);
	if (rv == CKR_OK)
		run->init = NULL;
	return rv;
}

/* An Init with a private key's handle, while the policy may defer it. */
static bool may_defer(const struct running_call *run)
{
	const struct worker *worker = run->request->worker;

	return (run->row->operation == OPERATION_SIGN || run->row->operation == OPERATION_SIGN_RECOVER ||
		       run->row->operation == OPERATION_DECRYPT) &&
	       run->row->step == STEP_INIT && pin_cache_kept(worker) && login_rules(worker).force_login;
}

static CK_RV run_checked(struct running_call *run)
{
	CK_RV rv = go_on_with_forced_search(run);

	if (rv != CKR_FUNCTION_NOT_SUPPORTED)
		return rv;
	if (run->session && forced_search_needed(run->request->worker, run->call))
		return run_forced_search(run);
	if (may_defer(run))
		run->init = forced_operation_copy(run->call, &run->init_len);
	rv = call_check_login(run);
	if (rv == CKR_OK)
		rv = call_translate(run);
	if (rv == CKR_OK) {
		describe(run);
		rv = call_check(run);
	}
	if (rv == CKR_OK)
		call_use_look(run);
	if (rv != CKR_OK)
		return rv;
	rv = run_deferred(run);
	return rv == CKR_FUNCTION_NOT_SUPPORTED ? invoke_translated(run) : rv;
}

/* Any call on a session that has no rules of its own. */
static CK_RV run_on_session(struct running_call *run)
{
	struct worker *worker = run->request->worker;
	struct session_operation before = {0};

	run->session = session_acquire(run->request, run->handle);
	if (!run->session)
		return run_checked(run);
	CK_RV rv = session_settle(worker, run->session);
	if (rv != CKR_OK)
		return rv;
	rv = call_use_check(run);
	if (run->row->operation != OPERATION_NONE)
		before = run->session->operations[run->row->operation];
	if (rv == CKR_OK)
		rv = run_checked(run);
	call_use_note(run, &before, rv);
	return rv;
}

static CK_RV run_session_info(struct running_call *run)
{
	struct worker *worker = run->request->worker;
	CK_SESSION_INFO *info = run->call->values[1].info;
	CK_RV rv = run_on_session(run);

	if (rv != CKR_OK)
		return rv;
	info->slotID = slot_id_of(worker->slots[0].name, strlen(worker->slots[0].name));
	/* With a kept PIN the module is mostly logged out, and the application is in (B4). */
	if (login_state(worker) == LOGIN_USER)
		info->state = (info->flags & CKF_RW_SESSION) ? CKS_RW_USER_FUNCTIONS : CKS_RO_USER_FUNCTIONS;
	return rv;
}

static CK_RV run_open(struct running_call *run)
{
	return session_open(run->request, run->call->values);
}

static CK_RV run_close(struct running_call *run)
{
	struct worker *worker = run->request->worker;
	const union wire_value none[] = {{.number = CK_INVALID_HANDLE}};
	struct session *session = session_acquire(run->request, run->handle);

	if (!session)
		return invoke(run->request, CALL_CloseSession, none);
	run->request->private_used = track_used_private(session, login_epoch(worker));
	CK_RV rv = session_close(worker, session);
	session_release(run->request);
	return rv;
}

static CK_RV run_close_all(struct running_call *run)
{
	struct request *request = run->request;

	request->private_used = sessions_close_instance(request->worker, request->message->instance);
	return CKR_OK;
}

static CK_RV run_login(struct running_call *run)
{
	const union wire_value *v = run->call->values;

	return login_session(run->request, run->handle, v[1].number, &v[2]);
}

static CK_RV run_logout(struct running_call *run)
{
	return logout_session(run->request, run->handle, &run->logged_out);
}

static CK_RV run_pin_change(struct running_call *run)
{
	return pin_change(run->request, run->call);
}

static CK_RV run_init_token(struct running_call *run)
{
	return token_initialise(run->request, run->call);
}

static CK_RV (*const special[CALL_COUNT])(struct running_call *run) = {
	[CALL_OpenSession] = run_open,
	[CALL_CloseSession] = run_close,
	[CALL_CloseAllSessions] = run_close_all,
	[CALL_GetSessionInfo] = run_session_info,
	[CALL_Login] = run_login,
	[CALL_Logout] = run_logout,
	[CALL_InitPIN] = run_pin_change,
	[CALL_SetPIN] = run_pin_change,
	[CALL_InitToken] = run_init_token,
};

/* PINs are not needed any more; the arena they are in lives until the request ends. */
static void wipe_pins(const struct call *call)
{
	for (size_t i = 0; i < call->row->argument_count; i++) {
		if (call->row->arguments[i].kind == WIRE_PIN && call->values[i].bytes.data)
			secret_wipe(call->values[i].bytes.data, call->values[i].bytes.len);
	}
}

static CK_RV run_it(struct running_call *run)
{
	return special[run->row->id] ? special[run->row->id](run) : run_on_session(run);
}

static bool makes_objects(const struct call_row *row)
{
	bool makes = row->audit == AUDIT_OBJECT;

	for (size_t i = 0; i < row->argument_count; i++)
		makes = makes || row->arguments[i].kind == WIRE_NEW_OBJECT;
	return makes;
}

/* What the call has to wait for before it holds the module. */
static CK_RV turns_begin(struct request *request, const struct call *call)
{
	struct worker *worker = request->worker;
	bool makes = makes_objects(call->row);
	CK_RV rv = one_use_begin_call(request, call);

	if (rv != CKR_OK)
		return rv;
	bool private = (makes || pin_cache_kept(worker)) && private_use_needed(worker, call);
	if (makes)
		return making_begin(request, private);
	return private ? private_use_begin(request) : CKR_OK;
}

bool call_run(struct request *request, struct call *call, CK_RV *ret_rv)
{
	struct running_call run = {.request = request, .call = call, .row = call->row, .began = clock_us()};

	if (call->row->arguments[0].kind == WIRE_SESSION)
		run.handle = call->values[0].number;
	/* Who may not make the call neither waits for it nor logs the token in. */
	CK_RV rv = call_check_permission(&run);
	if (rv == CKR_OK)
		rv = turns_begin(request, call);
	module_share(request);
	if (rv == CKR_OK)
		rv = run_it(&run);
	bool recorded = call_record(&run, rv);
	session_release(request);
	free(run.init);
	object_info_release(run.key);
	object_info_release(run.wrapped);
	object_info_release(run.made);
	module_unshare(request);
	recorded = turns_end(request) && recorded;
	wipe_pins(call);
	if (call->row->id == CALL_CloseSession || call->row->id == CALL_CloseAllSessions) {
		if (request->logout_after != LOGOUT_AFTER_PRIVATE_OP)
			one_use_settle(request->worker);
		recorded = recorded && login_rest(request->worker, request, LOGIN_END_LAST_SESSION);
	}
	*ret_rv = rv;
	return recorded;
}
