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

/* True if the call as it ended is one that the audit wants (the row's `audit`). */
static bool completed(const struct running_call *run, CK_RV rv)
{
	switch (run->row->audit) {
	case AUDIT_NONE: return false;
	case AUDIT_OBJECT: return rv == CKR_OK;
	case AUDIT_KEY_USE:
		return rv != CKR_OPERATION_NOT_INITIALIZED && rv != CKR_SESSION_HANDLE_INVALID &&
		       !call_asks_length(run->call, rv);
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

static void event_of_mechanism(struct event *event, const struct running_call *run, char scratch[24])
{
	const struct session_operation *operation = run->session ? &run->session->operations[run->row->operation]
								 : NULL;
	size_t at = call_argument(run->row, WIRE_MECHANISM);

	if (at < run->row->argument_count && run->call->values[at].mechanism)
		event->mechanism = name_text(NAMES_MECHANISM, run->call->values[at].mechanism->mechanism, scratch);
	else if (run->has_mechanism)
		event->mechanism = name_text(NAMES_MECHANISM, run->mechanism, scratch);
	else if (run->row->operation != OPERATION_NONE && operation && operation->has_mechanism)
		event->mechanism = name_text(NAMES_MECHANISM, operation->mechanism, scratch);
}

bool call_record(const struct running_call *run, CK_RV rv)
{
	char function[40], class[24], mechanism[24], user[24];
	const struct session_operation *operation = run->session && run->row->operation != OPERATION_NONE
							    ? &run->session->operations[run->row->operation]
							    : NULL;
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

	if (!run->refused && !completed(run, rv))
		return true;
	snprintf(function, sizeof function, "C_%s", run->row->name);
	event_of_key(&event, run->key ? run->key : operation ? operation->key : NULL, class);
	event_of_mechanism(&event, run, mechanism);
	if (run->row->id == CALL_Login)
		event.user = name_text(NAMES_USER, run->call->values[1].number, user);
	return event_add(run->request, &event);
}
