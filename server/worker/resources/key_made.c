#include "server/worker/resources/key_made.h"

#include "server/worker/resources/answer.h"

/* False: the event cannot be kept, and the reply says so. */
static bool record(struct request *request, const struct key_plan *plan, const char *function, CK_RV rv,
	const char *class, const char *reason)
{
	const struct event event = {
		.kind = AUDIT_OBJECT,
		.function = function,
		.rv = rv,
		.key_label = (const char *)plan->label.data,
		.key_id = plan->id.data,
		.key_id_len = plan->id.len,
		.key_class = class,
		.reason = reason,
	};
	return answer_event(request, &event);
}

/* A public key alone would be in the way of the pair. */
static CK_RV destroy_half(
	struct request *request, CK_SESSION_HANDLE session, const struct key_plan *plan, CK_OBJECT_HANDLE half)
{
	union wire_value v[] = {{.number = session}, {.number = half}};
	CK_RV rv = invoke(request, CALL_DestroyObject, v);
	if (rv == CKR_OK)
		object_was_destroyed(request->worker, half);
	/* A lost event is told by the reply when the request ends. */
	(void)record(request, plan, "C_DestroyObject", rv, "CKO_PUBLIC_KEY",
		"half of a key pair, left by an interrupted request with the same Idempotency-Key");
	return rv;
}

CK_RV key_made_look(struct request *request, CK_SESSION_HANDLE session, const struct key_plan *plan,
	const char *function, bool *ret_made)
{
	const CK_OBJECT_CLASS wanted = plan->kind->pair ? CKO_PRIVATE_KEY : CKO_SECRET_KEY;
	const struct key_query query = {.class = CK_UNAVAILABLE_INFORMATION, .label = plan->label, .id = plan->id};
	struct key_list list = {0};
	CK_RV rv = key_search(request, session, &query, &list);
	if (rv != CKR_OK)
		return rv;
	bool made = list.count == 1 && list.items[0].class == wanted;
	if (!made && key_login_missing(request))
		return CKR_USER_NOT_LOGGED_IN;
	if (!made && list.count == 1 && plan->kind->pair && list.items[0].class == CKO_PUBLIC_KEY)
		return destroy_half(request, session, plan, list.items[0].object);
	*ret_made = made;
	if (!made || !record(request, plan, function, CKR_OK,
			     wanted == CKO_SECRET_KEY ? "CKO_SECRET_KEY" : "CKO_PRIVATE_KEY",
			     "made by an interrupted request with the same Idempotency-Key"))
		return CKR_OK;
	return key_plan_answer(request, session, plan);
}
