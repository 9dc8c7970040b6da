#include "server/worker/call_run.h"

#include <stdlib.h>
#include <string.h>

#include "api/secret.h"

/*
 * One call of a group: is it allowed, whose handles are they, run it, record it.
 *
 * Unknown handles are passed on as CK_INVALID_HANDLE: the module then answers with its own code in its own order of checks.
 */

enum { WRAPPED_KEY = 3 }; /* place among the arguments of WrapKey */

/* Requirement D9: what a key that only answers challenges may still be used for. */
static bool challenge_key_allows(enum call_id id)
{
	return id == CALL_DestroyObject || id == CALL_VerifyInit || id == CALL_VerifyRecoverInit ||
	       id == CALL_GetAttributeValue || id == CALL_GetObjectSize;
}

/* CKR_OK, or how a key that only answers challenges is refused. */
static CK_RV check_challenge_key(struct running_call *run, CK_OBJECT_HANDLE handle)
{
	struct worker *worker = run->request->worker;

	if (!policy_has_labels(worker) || !run->session || challenge_key_allows(run->row->id))
		return CKR_OK;
	struct object_info *info = object_describe(worker, run->session->module, handle);
	bool refused = info && policy_challenge_only(worker, info->label);
	object_info_release(info);
	if (!refused)
		return CKR_OK;
	run->refused = "this key only answers challenges";
	return run->row->audit == AUDIT_OBJECT ? CKR_ACTION_PROHIBITED : CKR_KEY_FUNCTION_NOT_PERMITTED;
}

/* True if each use of the key needs a PIN; `module` is the module's handle of it. */
static bool asks_for_pin(struct running_call *run, const struct object_info *key, CK_OBJECT_HANDLE module)
{
	return key && key->class == CKO_PRIVATE_KEY &&
	       (key->always_authenticate || forced_login_applies(run->request, module, key));
}

static bool derives(const struct call_row *row)
{
	return row->id == CALL_DeriveKey || row->id == CALL_UnwrapKey;
}

/* Whether there is no step in which the key's PIN could be given, and the rules do not leave that to the module (A18). */
static bool lacks_pin(struct running_call *run, const struct object_info *key, CK_OBJECT_HANDLE module)
{
	bool allowed = derives(run->row) && login_rules(run->request->worker).aa_oneshot;

	return !allowed && asks_for_pin(run, key, module);
}

static CK_RV refuse_without_pin(struct running_call *run)
{
	run->refused = "the key asks for its PIN at every use, and this call has no place for one";
	return CKR_USER_NOT_LOGGED_IN;
}

static CK_RV translate_parameter(void *context, CK_OBJECT_HANDLE *handle)
{
	struct running_call *run = context;
	CK_OBJECT_HANDLE theirs = *handle;

	*handle = object_module(run->request, theirs);
	CK_RV rv = check_challenge_key(run, theirs);
	if (rv != CKR_OK || !run->session)
		return rv;
	struct object_info *key = object_describe(run->request->worker, run->session->module, theirs);
	if (lacks_pin(run, key, *handle))
		rv = refuse_without_pin(run);
	object_info_release(key);
	return rv;
}

/* Handles of the client become those of the module; outputs stay where the codec put them. */
static CK_RV translate(struct running_call *run)
{
	const struct call_row *row = run->row;

	for (size_t i = 0; i < row->argument_count; i++) {
		const union wire_value *value = &run->call->values[i];
		run->native[i] = *value;
		if (row->arguments[i].kind == WIRE_SESSION)
			run->native[i].number = run->session ? run->session->module : CK_INVALID_HANDLE;
		else if (row->arguments[i].kind == WIRE_OBJECT)
			run->native[i].number = object_module(run->request, value->number);
		else if (row->arguments[i].kind == WIRE_SLOT)
			run->native[i].number = module_slot(run->request->worker);
		else if (row->arguments[i].kind == WIRE_MECHANISM && value->mechanism) {
			CK_RV rv = mechanism_visit_handles(value->mechanism, translate_parameter, run);
			if (rv != CKR_OK)
				return rv;
		}
	}
	return CKR_OK;
}

/* Only the strictest rule asks for what costs the module a question (B7). */
static bool private_counts(const struct running_call *run)
{
	return run->session && login_rules(run->request->worker).logout_after == LOGOUT_AFTER_PRIVATE_OP;
}

static bool is_private(struct running_call *run, CK_OBJECT_HANDLE handle)
{
	struct object_info *info = object_describe(run->request->worker, run->session->module, handle);
	bool private = info && info->private;

	object_info_release(info);
	return private;
}

static bool found_translate(struct running_call *run, const union wire_value *found)
{
	struct session_operation *search = private_counts(run) ? &run->session->operations[OPERATION_FIND] : NULL;

	for (CK_ULONG i = 0; i < *found->found.count; i++) {
		CK_OBJECT_HANDLE *item = &found->found.items[i];
		if (object_name(run->request, run->native[0].number, *item, item) != CKR_OK)
			return false;
		if (search)
			search->found_private = search->found_private || is_private(run, *item);
	}
	return true;
}

/* A new object: its handle, whether it ends with the session, and what the event says about it. */
static bool made_translate(struct running_call *run, CK_OBJECT_HANDLE *handle)
{
	struct worker *worker = run->request->worker;

	if (object_add(worker, *handle, true, handle) != CKR_OK)
		return false;
	struct object_info *info = object_describe(worker, run->native[0].number, *handle);
	if (info && !info->token && run->session)
		object_own(worker, *handle, run->session);
	run->private = run->private || !info || info->private;
	if (run->row->audit == AUDIT_OBJECT) {
		object_info_release(run->key);
		run->key = object_info_keep(info);
	} else {
		object_info_release(run->made);
		run->made = object_info_keep(info);
	}
	object_info_release(info);
	return true;
}

static CK_RV translate_results(struct running_call *run)
{
	bool good = true;

	for (size_t i = 0; i < run->row->argument_count; i++) {
		const union wire_value *value = &run->call->values[i];
		if (run->row->arguments[i].kind == WIRE_FOUND)
			good = good && found_translate(run, value);
		else if (run->row->arguments[i].kind == WIRE_NEW_OBJECT)
			good = good && made_translate(run, value->number_out);
	}
	return good ? CKR_OK : CKR_HOST_MEMORY;
}

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

/* Whether the call's key asks for its PIN by policy (B18). */
static bool is_forced(struct running_call *run)
{
	size_t at = call_argument(run->row, WIRE_OBJECT);

	return at < run->row->argument_count && forced_login_applies(run->request, run->native[at].number, run->key);
}

/* The rules about the key itself. CKR_OK: none speaks against the call. */
static CK_RV check_key(struct running_call *run)
{
	for (size_t i = 0; i < run->row->argument_count; i++) {
		if (run->row->arguments[i].kind != WIRE_OBJECT)
			continue;
		CK_RV rv = check_challenge_key(run, run->call->values[i].number);
		if (rv != CKR_OK)
			return rv;
	}
	if (!run->key)
		return CKR_OK;
	size_t at = call_argument(run->row, WIRE_OBJECT);
	if (derives(run->row) && lacks_pin(run, run->key, run->native[at].number))
		return refuse_without_pin(run);
	return always_check_change(run);
}

/* A module that does not ask for an always-authenticate key's PIN itself is not relied on (A4). */
static CK_RV check_reauthentication(struct running_call *run)
{
	const struct call_row *row = run->row;

	if (!run->session || row->operation == OPERATION_NONE || row->step == STEP_INIT || row->step == STEP_NONE)
		return CKR_OK;
	struct session_operation *operation = &run->session->operations[row->operation];
	if (!operation->begun || !operation->awaiting)
		return CKR_OK;
	run->key = object_info_keep(operation->key);
	run->mechanism = operation->mechanism;
	run->has_mechanism = operation->has_mechanism;
	if (operation->deferred) {
		track_forget(operation);
		return CKR_USER_NOT_LOGGED_IN;
	}
	CK_RV rv = session_cancel(run->request->worker, run->session);
	return rv == CKR_OK ? CKR_USER_NOT_LOGGED_IN : rv;
}

/*
 * A context-specific login gives its PIN to one operation (A9), so that of a session's operations only one at a time may await
 * it. Whether the same one is begun already is the module's to say.
 */
static CK_RV check_one_awaits(struct running_call *run)
{
	const struct call_row *row = run->row;

	if (!run->session || row->operation == OPERATION_NONE || row->step != STEP_INIT || !run->key ||
		run->session->operations[row->operation].begun || !track_awaits(run->session))
		return CKR_OK;
	return asks_for_pin(run, run->key, run->native[call_argument(row, WIRE_OBJECT)].number) ? CKR_OPERATION_ACTIVE
												: CKR_OK;
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
	return is_forced(run) ? forced_login_show(run->call, rv) : rv;
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
		rv = translate_results(run);
	}
	if (run->row->step == STEP_INIT && rv == CKR_OK && run->session)
		run->forced = is_forced(run);
	if (run->row->id == CALL_GetAttributeValue && run->session)
		rv = show_forced(run, rv);
	if (run->session) {
		run->has_input = !call_asks_length(run->call, rv) &&
				 track_input_sha256(run->session, run->call, run->input);
		track_after(run->session, run->call, rv, run->key, run->forced, logouts);
	}
	return rv;
}

/* After a forced logout the handles of private objects stay, but the objects show again only after a login (B10). */
static CK_RV check_login(struct running_call *run)
{
	for (size_t i = 0; i < run->row->argument_count; i++) {
		if (run->row->arguments[i].kind == WIRE_OBJECT &&
			object_awaits_login(run->request->worker, run->call->values[i].number))
			return CKR_USER_NOT_LOGGED_IN;
	}
	return CKR_OK;
}

bool call_is_part(const struct call_row *row)
{
	return row->step != STEP_NONE && row->id != CALL_DigestKey;
}

/* Before the call: whether it touches private objects by itself. */
static void look_at_objects(struct running_call *run)
{
	if (call_is_part(run->row) || !private_counts(run))
		return;
	for (size_t i = 0; i < run->row->argument_count; i++) {
		if (run->row->arguments[i].kind == WIRE_OBJECT)
			run->private = run->private || is_private(run, run->call->values[i].number);
	}
}

/* What of this call a forced logout may follow; `before` is its operation as it was before the call (B9). */
static void note_use(const struct running_call *run, const struct session_operation *before, CK_RV rv)
{
	const struct call_row *row = run->row;
	bool ends = before->begun && (row->step == STEP_SINGLE || row->step == STEP_FINAL) &&
		    rv != CKR_OPERATION_NOT_INITIALIZED && !call_asks_length(run->call, rv);
	bool signs = row->operation == OPERATION_SIGN || row->operation == OPERATION_SIGN_RECOVER;

	if (ends && signs)
		run->request->signed_ = true;
	if (run->private || (ends && (row->operation == OPERATION_FIND ? before->found_private : before->private)))
		run->request->private_used = true;
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
	if (!run->init)
		return CKR_FUNCTION_NOT_SUPPORTED;
	describe(run);
	if (!is_forced(run))
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
	rv = check_login(run);
	if (rv == CKR_OK)
		rv = translate(run);
	if (rv == CKR_OK) {
		describe(run);
		rv = check_key(run);
	}
	if (rv == CKR_OK)
		rv = key_type_check(run);
	if (rv == CKR_OK)
		rv = check_reauthentication(run);
	if (rv == CKR_OK)
		rv = check_one_awaits(run);
	if (rv == CKR_OK)
		look_at_objects(run);
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

	run->session = session_acquire(worker, run->request->message->instance, run->handle);
	if (!run->session)
		return run_checked(run);
	CK_RV rv = session_settle(worker, run->session);
	if (rv != CKR_OK)
		return rv;
	if (run->row->operation != OPERATION_NONE)
		before = run->session->operations[run->row->operation];
	rv = run_checked(run);
	note_use(run, &before, rv);
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
	struct session *session = session_acquire(worker, run->request->message->instance, run->handle);

	if (!session)
		return invoke(run->request, CALL_CloseSession, none);
	CK_RV rv = session_close(worker, session);
	session_release(worker, session);
	return rv;
}

static CK_RV run_close_all(struct running_call *run)
{
	sessions_close_instance(run->request->worker, run->request->message->instance);
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

/* Of a template: an object of the token, or a value of CKA_TOKEN that is not plainly CK_FALSE. */
static bool makes_token_object(const union wire_value *template)
{
	for (CK_ULONG i = 0; i < template->attributes.count; i++) {
		const CK_ATTRIBUTE *attribute = &template->attributes.items[i];
		if (attribute->type != CKA_TOKEN)
			continue;
		const CK_BBOOL *value = attribute->pValue;
		if (!value || attribute->ulValueLen != sizeof *value || *value != CK_FALSE)
			return true;
	}
	return false;
}

/* The row's, and what the arguments add to it. */
static unsigned permissions_needed(const struct call *call)
{
	const struct call_row *row = call->row;

	if (row->id == CALL_DeriveKey && makes_token_object(&call->values[call_argument(row, WIRE_TEMPLATE)]))
		return row->permissions | PERMISSIONS_WRITE;
	return row->permissions;
}

static CK_RV run_allowed(struct running_call *run)
{
	if (run->row->place != PLACE_MODULE)
		return CKR_FUNCTION_NOT_SUPPORTED;
	if ((permissions_needed(run->call) & ~run->request->message->permissions) != 0) {
		run->refused = "the identity has no permission for this class of operation on the slot";
		return CKR_FUNCTION_REJECTED;
	}
	return special[run->row->id] ? special[run->row->id](run) : run_on_session(run);
}

static bool makes_objects(const struct call_row *row)
{
	bool makes = row->audit == AUDIT_OBJECT;

	for (size_t i = 0; i < row->argument_count; i++)
		makes = makes || row->arguments[i].kind == WIRE_NEW_OBJECT;
	return makes;
}

/* What the call has to wait for before it holds the module. `ret_making`: making_end is due. */
static CK_RV wait_for_turns(struct request *request, const struct call *call, bool *ret_making)
{
	struct worker *worker = request->worker;
	bool makes = makes_objects(call->row);
	CK_RV rv = one_use_of_call(worker, call) ? one_use_begin(request) : CKR_OK;

	*ret_making = false;
	if (rv != CKR_OK)
		return rv;
	bool private = (makes || pin_cache_kept(worker)) && private_use_needed(worker, call);
	if (!makes)
		return private ? private_use_begin(request) : CKR_OK;
	rv = making_begin(request, private);
	*ret_making = rv == CKR_OK;
	return rv;
}

bool call_run(struct request *request, struct call *call, CK_RV *ret_rv)
{
	struct running_call run = {.request = request, .call = call, .row = call->row, .began = clock_us()};
	bool making;

	if (call->row->arguments[0].kind == WIRE_SESSION)
		run.handle = call->values[0].number;
	CK_RV rv = wait_for_turns(request, call, &making);
	module_share(request);
	if (rv == CKR_OK)
		rv = run_allowed(&run);
	bool recorded = call_record(&run, rv);
	if (run.session)
		session_release(request->worker, run.session);
	free(run.init);
	object_info_release(run.key);
	object_info_release(run.wrapped);
	object_info_release(run.made);
	module_unshare(request);
	if (making)
		making_end(request);
	recorded = private_use_end(request) && recorded;
	(void)one_use_end(request);
	wipe_pins(call);
	if (recorded && (call->row->id == CALL_CloseSession || call->row->id == CALL_CloseAllSessions))
		recorded = login_rest(request->worker, request, LOGIN_END_LAST_SESSION);
	*ret_rv = rv;
	return recorded;
}
