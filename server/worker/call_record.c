#include "server/worker/call_run.h"

#include <stdio.h>

/*
 * What a call leaves for the audit.
 */

size_t call_argument(const struct call_row *row, enum wire_kind kind)
{
	for (size_t i = 0; i < row->argument_count; i++) {
		if (row->arguments[i].kind == kind)
			return i;
	}
	return row->argument_count;
}

/* True for a part of an operation that has no key of its own: what one of them records holds for those after it. */
static bool continues(const struct call_row *row)
{
	return row->step == STEP_UPDATE && call_argument(row, WIRE_OBJECT) == row->argument_count;
}

/* True if the call as it ended is one that the audit wants (the row's `audit`). */
static bool completed(const struct running_call *run, const struct session_operation *operation, CK_RV rv)
{
	switch (run->row->audit) {
	case AUDIT_NONE: return false;
	case AUDIT_OBJECT: return rv == CKR_OK;
	case AUDIT_KEY_USE:
		return rv != CKR_OPERATION_NOT_INITIALIZED && rv != CKR_SESSION_HANDLE_INVALID &&
		       !call_asks_length(run->call, rv) &&
		       !(rv == CKR_OK && operation && operation->recorded && continues(run->row));
	default: return true;
	}
}

static void event_of_key(struct event *event, const struct object_info *key, char scratch[24])
{
	if (!key)
		return;
	event->key_label = key->label;
	event->key_id = key->id;
	event->key_id_len = key->id_len;
	event->key_class = name_text(NAMES_CLASS, key->class, scratch);
}

static void event_of_other(struct event_key *ret_key, const struct object_info *info, char scratch[24])
{
	if (info)
		*ret_key = (struct event_key){
			info->label, info->id, info->id_len, name_text(NAMES_CLASS, info->class, scratch)};
}

static void event_of_mechanism(struct event *event, const struct running_call *run,
	const struct session_operation *operation, char scratch[24])
{
	size_t at = call_argument(run->row, WIRE_MECHANISM);

	if (at < run->row->argument_count && run->call->values[at].mechanism)
		event->mechanism = name_text(NAMES_MECHANISM, run->call->values[at].mechanism->mechanism, scratch);
	else if (run->has_mechanism)
		event->mechanism = name_text(NAMES_MECHANISM, run->mechanism, scratch);
	else if (operation && operation->has_mechanism)
		event->mechanism = name_text(NAMES_MECHANISM, operation->mechanism, scratch);
}

bool call_record(const struct running_call *run, CK_RV rv)
{
	char function[40], class[24], wrapped[24], made[24], mechanism[24], user[24];
	struct session_operation *operation = track_operation(run->session, run->row);
	struct event event = {
		.kind = run->refused ? AUDIT_REFUSAL : run->row->audit,
		.function = function,
		.rv = rv,
		.session = run->handle,
		.reason = run->refused,
		.latency_us = clock_us() - run->began,
		.input_sha256 = run->has_input ? run->input : NULL,
		.reauthenticated = operation && operation->reauthenticated,
	};

	if (!run->refused && !completed(run, operation, rv))
		return true;
	snprintf(function, sizeof function, "C_%s", run->row->name);
	event_of_key(&event, run->key ? run->key : operation ? operation->key : NULL, class);
	event_of_other(&event.wrapped, run->wrapped, wrapped);
	event_of_other(&event.made, run->made, made);
	event_of_mechanism(&event, run, operation, mechanism);
	if (run->row->id == CALL_Login)
		event.user = name_text(NAMES_USER, run->call->values[1].number, user);
	else if (run->row->id == CALL_Logout)
		event.user = login_state_user(run->logged_out);
	if (!event_add(run->request, &event))
		return false;
	/* Only now: a part whose event was lost has been withheld, and the next must not pass without one. */
	if (operation && rv == CKR_OK && continues(run->row))
		operation->recorded = true;
	return true;
}
