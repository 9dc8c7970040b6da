#include <string.h>

#include "api/names.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/key_made.h"
#include "server/worker/resources/key_names.h"
#include "server/worker/resources/key_plan.h"
#include "server/worker/resources/once.h"
#include "server/worker/resources/resource.h"

static bool read_size(struct request *request, const json_t *body, struct key_plan *plan)
{
	const struct key_kind *kind = plan->kind;
	const char *curve = body_text(body, "curve");
	if (kind->type == CKK_EC || kind->type == CKK_EC_EDWARDS)
		plan->curve = curve_by_name(kind->type == CKK_EC_EDWARDS ? kind->name
					    : curve != NULL              ? curve
									 : "P-256");
	if (curve != NULL && kind->type != CKK_EC) {
		body_refuse(request, "/curve", "only a key of type EC has a curve to choose");
		return false;
	}
	if (curve != NULL && (plan->curve == NULL || plan->curve->type != CKK_EC)) {
		body_refuse(request, "/curve", "no key can be generated on this curve");
		return false;
	}
	if (kind->bits_max == 0 && body_has(body, "bits")) {
		body_refuse(request, "/bits", "the size of this type of key follows from its curve");
		return false;
	}
	plan->bits = body_number(body, "bits", kind->bits_default);
	return key_plan_check_bits(request, plan, "/bits");
}

static bool read_plan(struct request *request, const json_t *body, struct key_plan *ret_plan)
{
	const struct key_kind *kind = key_kind_by_name(body_text(body, "type"));
	if (kind == NULL) {
		body_refuse(request, "/type", "no key of this type can be generated");
		return false;
	}
	return key_plan_read(request, body, kind, ret_plan) && read_size(request, body, ret_plan);
}

static CK_MECHANISM_TYPE mechanism_of(const struct key_plan *plan)
{
	return plan->curve != NULL ? plan->curve->generate : plan->kind->mechanism;
}

static CK_RV generate_pair(struct request *request, CK_SESSION_HANDLE session, const struct key_plan *plan)
{
	static const CK_BYTE exponent[] = {1, 0, 1};
	struct key_template public_template = {.count = 0}, private_template = {.count = 0};
	CK_OBJECT_HANDLE public_key, private_key;
	CK_MECHANISM mechanism = {mechanism_of(plan), NULL, 0};
	key_template_plan(&public_template, plan, HALF_PUBLIC);
	if (plan->curve != NULL) {
		key_template_add(&public_template, CKA_EC_PARAMS, plan->curve->params.data, plan->curve->params.len);
	} else {
		key_template_add(&public_template, CKA_MODULUS_BITS, &plan->bits, sizeof plan->bits);
		key_template_add(&public_template, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
	}
	key_template_plan(&private_template, plan, HALF_PRIVATE);
	union wire_value v[] = {
		{.number = session},
		{.mechanism = &mechanism},
		{.attributes = {public_template.items, public_template.count}},
		{.attributes = {private_template.items, private_template.count}},
		{.number_out = &public_key},
		{.number_out = &private_key},
	};
	return invoke(request, CALL_GenerateKeyPair, v);
}

static CK_RV generate_secret(struct request *request, CK_SESSION_HANDLE session, const struct key_plan *plan)
{
	struct key_template template = {.count = 0};
	CK_OBJECT_HANDLE key;
	CK_MECHANISM mechanism = {mechanism_of(plan), NULL, 0};
	CK_ULONG len = plan->bits / 8;
	key_template_plan(&template, plan, HALF_BOTH);
	key_template_add(&template, CKA_VALUE_LEN, &len, sizeof len);
	union wire_value v[] = {
		{.number = session},
		{.mechanism = &mechanism},
		{.attributes = {template.items, template.count}},
		{.number_out = &key},
	};
	return invoke(request, CALL_GenerateKey, v);
}

static const char *function_of(const struct key_plan *plan)
{
	return plan->kind->pair ? "C_GenerateKeyPair" : "C_GenerateKey";
}

/* Under the lock of names: between the look at what exists and the new key nobody else makes one of the same name. */
static CK_RV generate(struct request *request, CK_SESSION_HANDLE session, const struct key_plan *plan)
{
	char scratch[24];
	if (!key_names_free(request, session, plan->label, plan->id, NULL) || !once_record(request, plan->id))
		return CKR_OK;
	CK_RV rv = plan->kind->pair ? generate_pair(request, session, plan) : generate_secret(request, session, plan);
	if (!key_plan_record(
		    request, plan, function_of(plan), name_text(NAMES_MECHANISM, mechanism_of(plan), scratch), rv))
		return CKR_OK;
	return rv == CKR_OK ? key_plan_answer(request, session, plan) : rv;
}

static CK_RV run(struct request *request, CK_SESSION_HANDLE session, const struct key_plan *plan, enum once once)
{
	bool made = false;
	CK_RV rv = CKR_OK;
	key_names_lock();
	if (once == ONCE_AGAIN)
		rv = key_made_look(request, session, plan, function_of(plan), &made);
	if (rv == CKR_OK && !made)
		rv = generate(request, session, plan);
	key_names_unlock();
	if (rv != CKR_OK)
		reply_return(request, rv, "The token did not generate the key.");
	return rv;
}

void resource_key_generate(struct request *request)
{
	BODY_AUTO json_t *body = NULL;
	struct key_plan plan;
	CK_SESSION_HANDLE session;
	if (!body_read(request, SCHEMA_GenerateRequest, &body) || !read_plan(request, body, &plan))
		return;
	enum once once = once_begin(request, SCHEMA_GenerateRequest, body, &plan.id);
	if (once == ONCE_ANSWERED)
		return;
	CK_RV rv = session_lend(request, &session);
	if (rv != CKR_OK) {
		reply_return(request, rv, "No session with the token could be opened.");
		return;
	}
	rv = run(request, session, &plan, once);
	session_give_back(request, session, rv == CKR_OK);
}
