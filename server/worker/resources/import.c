#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/key_names.h"
#include "server/worker/resources/material.h"
#include "server/worker/resources/resource.h"

/* Bits as the kind counts them; false: the reply is 422 with a pointer to where the key came from. */
static bool check_size(struct request *request, const struct material *material, struct key_plan *plan)
{
	if (material->pair == NULL)
		plan->bits = material->secret.len * 8;
	else if (plan->kind->type == CKK_RSA)
		plan->bits = (CK_ULONG)EVP_PKEY_get_bits(material->pair);
	return key_plan_check_bits(request, plan, material->pointer);
}

static CK_RV create(struct request *request, CK_SESSION_HANDLE session, const struct key_plan *plan,
	const struct material *material, enum key_half half, CK_OBJECT_HANDLE *ret_object)
{
	struct key_template template = {.count = 0};
	CK_RV rv = material_template(request, material, half, &template);
	if (rv != CKR_OK)
		return rv;
	key_template_plan(&template, plan, half);
	union wire_value v[] = {
		{.number = session},
		{.attributes = {template.items, template.count}},
		{.number_out = ret_object},
	};
	return invoke(request, CALL_CreateObject, v);
}

/* The private half is of no use without the public one, and would be in the way of the next attempt. */
static CK_RV take_back(
	struct request *request, CK_SESSION_HANDLE session, const struct key_plan *plan, CK_OBJECT_HANDLE object)
{
	const union wire_value v[] = {{.number = session}, {.number = object}};
	CK_RV rv = invoke(request, CALL_DestroyObject, v);
	return key_plan_record(request, plan, "C_DestroyObject", NULL, rv) ? rv : CKR_OK;
}

/* Both halves or none. False: the reply is complete. */
static bool create_all(struct request *request, CK_SESSION_HANDLE session, const struct key_plan *plan,
	const struct material *material)
{
	CK_OBJECT_HANDLE object = CK_INVALID_HANDLE, public_object;
	CK_RV rv = create(request, session, plan, material, plan->kind->pair ? HALF_PRIVATE : HALF_BOTH, &object);
	if (!key_plan_record(request, plan, "C_CreateObject", NULL, rv))
		return false;
	if (rv != CKR_OK) {
		reply_return_at(request, rv, "The token did not take the key.", material->pointer);
		return false;
	}
	if (!plan->kind->pair)
		return true;
	rv = create(request, session, plan, material, HALF_PUBLIC, &public_object);
	if (rv == CKR_OK)
		return true;
	CK_RV undone = take_back(request, session, plan, object);
	if (!request->reply.event_lost)
		reply_return_at(request, rv,
			undone == CKR_OK
				? "The token did not take the public key; nothing was imported."
				: "The token did not take the public key, and kept the private one; delete it.",
			material->pointer);
	return false;
}

static CK_RV import(struct request *request, CK_SESSION_HANDLE session, const struct key_plan *plan,
	const struct material *material)
{
	if (!key_names_free(request, session, plan->label, plan->id, NULL) ||
		!create_all(request, session, plan, material))
		return CKR_OK;
	CK_RV rv = key_plan_answer(request, session, plan);
	if (rv != CKR_OK)
		reply_return(request, rv, "The key was imported, but cannot be shown.");
	return rv;
}

static void run(struct request *request, const json_t *body, const struct material *material)
{
	struct key_plan plan;
	CK_SESSION_HANDLE session;
	if (!key_plan_read(request, body, material->kind, &plan) || !check_size(request, material, &plan))
		return;
	if (key_login_missing(request)) {
		reply_return(request, CKR_USER_NOT_LOGGED_IN, "Keys are imported after a login.");
		return;
	}
	CK_RV rv = session_lend(request, &session);
	if (rv != CKR_OK) {
		reply_return(request, rv, "No session with the token could be opened.");
		return;
	}
	key_names_lock();
	rv = import(request, session, &plan, material);
	key_names_unlock();
	session_give_back(request, session, rv == CKR_OK);
}

void resource_key_import(struct request *request)
{
	BODY_AUTO json_t *body = NULL;
	struct material material;
	if (!body_read(request, SCHEMA_ImportRequest, &body) || !material_read(request, body, &material))
		return;
	run(request, body, &material);
	EVP_PKEY_free(material.pair);
}
