#include "server/worker/call_run.h"

/*
 * What speaks against a call: the permissions of its arguments, the rules about its key, and a PIN that its key still waits for.
 */

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

CK_RV call_check_parameter(struct running_call *run, CK_OBJECT_HANDLE theirs)
{
	CK_RV rv = check_challenge_key(run, theirs);
	if (rv != CKR_OK || !run->session)
		return rv;
	struct object_info *key = object_describe(run->request->worker, run->session->module, theirs);
	if (lacks_pin(run, key, object_module(run->request, theirs)))
		rv = refuse_without_pin(run);
	object_info_release(key);
	return rv;
}

bool call_is_forced(struct running_call *run)
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

CK_RV call_check(struct running_call *run)
{
	CK_RV rv = check_key(run);

	if (rv == CKR_OK)
		rv = key_type_check(run);
	if (rv == CKR_OK)
		rv = check_reauthentication(run);
	return rv == CKR_OK ? check_one_awaits(run) : rv;
}

/* After a forced logout the handles of private objects stay, but the objects show again only after a login (B10). */
CK_RV call_check_login(struct running_call *run)
{
	for (size_t i = 0; i < run->row->argument_count; i++) {
		if (run->row->arguments[i].kind == WIRE_OBJECT &&
			object_awaits_login(run->request->worker, run->call->values[i].number))
			return CKR_USER_NOT_LOGGED_IN;
	}
	return CKR_OK;
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

CK_RV call_check_permission(struct running_call *run)
{
	if (run->row->place != PLACE_MODULE)
		return CKR_FUNCTION_NOT_SUPPORTED;
	if ((permissions_needed(run->call) & ~run->request->message->permissions) != 0) {
		run->refused = "the identity has no permission for this class of operation on the slot";
		return CKR_FUNCTION_REJECTED;
	}
	return CKR_OK;
}
