#include "server/worker/call_run.h"

/*
 * The handles of a call: the client's become the module's before it, and the module's the client's after it.
 *
 * Unknown handles are passed on as CK_INVALID_HANDLE: the module then answers with its own code in its own order of checks.
 */

static CK_RV translate_parameter(void *context, CK_OBJECT_HANDLE *handle)
{
	struct running_call *run = context;
	CK_OBJECT_HANDLE theirs = *handle;

	*handle = object_module(run->request, theirs);
	return call_check_parameter(run, theirs);
}

CK_RV call_translate(struct running_call *run)
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

bool call_private_counts(const struct running_call *run)
{
	return run->session && run->request->logout_after == LOGOUT_AFTER_PRIVATE_OP;
}

bool call_object_is_private(struct running_call *run, CK_OBJECT_HANDLE handle)
{
	struct object_info *info = object_describe(run->request->worker, run->session->module, handle);
	bool private = info && info->private;

	object_info_release(info);
	return private;
}

static bool found_translate(struct running_call *run, const union wire_value *found)
{
	struct session_operation *search = call_private_counts(run) ? &run->session->operations[OPERATION_FIND] : NULL;

	for (CK_ULONG i = 0; i < *found->found.count; i++) {
		CK_OBJECT_HANDLE *item = &found->found.items[i];
		if (object_name(run->request, run->native[0].number, *item, item) != CKR_OK)
			return false;
		if (search)
			search->found_private = search->found_private || call_object_is_private(run, *item);
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

CK_RV call_translate_results(struct running_call *run)
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
