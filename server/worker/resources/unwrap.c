/*
 * Unwrapping and derivation: one key makes another, which is a key of the token with names of its own.
 */
#include <string.h>

#include "api/codec.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/key_cache.h"
#include "server/worker/resources/key_names.h"
#include "server/worker/resources/key_operation.h"
#include "server/worker/resources/key_use.h"
#include "server/worker/resources/peer.h"

enum { BYTE_BITS = 8 };

static bool read_plan(struct key_use *use, const json_t *body)
{
	const struct key_kind *kind = key_kind_by_name(body_text(body, "type"));
	if (kind == NULL) {
		body_refuse(use->request, "/type", "there is no such type of key");
		return false;
	}
	return key_plan_read(use->request, body, kind, &use->plan);
}

static bool read_unwrap(struct key_use *use, const json_t *body)
{
	if (!key_use_read_asked(use, body, &use->cipher.mechanism))
		return false;
	if (!use->by_mechanism) {
		use->cipher.row = algorithm_cipher(use->asked, CIPHER_WRAPS);
		if (use->cipher.row == NULL)
			return answer_refuse(use->request, CKR_MECHANISM_INVALID, "/algorithm",
				"There is no algorithm of that name that wraps keys.");
	}
	return read_plan(use, body);
}

static bool read_wrapped(
	const struct key_use *use, const json_t *object, const char *pointer, struct key_use_item *ret_item)
{
	struct bytes wrapped;
	(void)pointer;
	if (!body_bytes(use->request, object, "wrapped", &wrapped))
		return false;
	if (signer_input_init(&ret_item->input, wrapped, false))
		return true;
	reply_return(use->request, CKR_HOST_MEMORY, "The wrapped key could not be hashed.");
	return false;
}

static bool read_derive(struct key_use *use, const json_t *body)
{
	if (!key_use_read_asked(use, body, &use->cipher.mechanism))
		return false;
	if (use->by_mechanism == body_has(body, "public_key")) {
		body_refuse(use->request, "/public_key",
			use->by_mechanism ? "what a mechanism takes stands in its parameter" : "the member is missing");
		return false;
	}
	if (!body_bytes(use->request, body, "public_key", &use->peer) || !read_plan(use, body))
		return false;
	use->plan.bits = body_number(body, "bits", use->plan.kind->bits_default);
	return key_plan_check_bits(use->request, &use->plan, "/bits");
}

static bool read_peer(
	const struct key_use *use, const json_t *object, const char *pointer, struct key_use_item *ret_item)
{
	(void)object;
	(void)pointer;
	if (signer_input_init(&ret_item->input, use->peer, false))
		return true;
	reply_return(use->request, CKR_HOST_MEMORY, "The public key could not be hashed.");
	return false;
}

static bool check_unwrap(struct use *use, const struct key *key, const struct key_use *key_use)
{
	CK_RV rv = cipher_fits(use, &key_use->cipher, key);
	return rv == CKR_OK || answer_refuse(use->request, rv, key_use_asked_pointer(key_use),
				       "The key is of another type or size; GET the key to see which.");
}

static bool check_derive(struct use *use, const struct key *key, const struct key_use *key_use)
{
	struct request *request = use->request;
	CK_MECHANISM_TYPE mechanism = key_use->by_mechanism ? key_use->cipher.mechanism.mechanism : CKM_ECDH1_DERIVE;
	bool agrees = key_use->by_mechanism || (key->type == CKK_EC && key->curve != NULL);
	if (!agrees || !mechanism_fits_key(mechanism, key->class, key->type))
		return answer_refuse(request, CKR_KEY_TYPE_INCONSISTENT, key_use_asked_pointer(key_use),
			"The key is of another type or curve; GET the key to see which.");
	if (key_use->by_mechanism || peer_point(request, key, key_use->peer).data != NULL)
		return true;
	return answer_refuse(request, CKR_PUBLIC_KEY_INVALID, "/public_key",
		"The peer's public key (SubjectPublicKeyInfo, DER) has to be on the curve of the key.");
}

/* What the key is to be, for the class that its kind has. */
static void describe(const struct key_plan *plan, CK_OBJECT_CLASS *class, struct key_template *ret_template)
{
	*class = plan->kind->pair ? CKO_PRIVATE_KEY : CKO_SECRET_KEY;
	ret_template->count = 0;
	key_template_add(ret_template, CKA_CLASS, class, sizeof *class);
	key_template_add(ret_template, CKA_KEY_TYPE, &plan->kind->type, sizeof plan->kind->type);
	key_template_plan(ret_template, plan, plan->kind->pair ? HALF_PRIVATE : HALF_BOTH);
}

/* One call of the module, which makes the key. */
struct maker {
	bool unwraps; /* else it derives */
	CK_MECHANISM mechanism;
	struct bytes wrapped; /* to unwrap */
};

static CK_RV make(struct use *use, const struct maker *maker, const struct key_plan *plan, CK_OBJECT_HANDLE object)
{
	struct key_template template;
	CK_OBJECT_CLASS class;
	CK_OBJECT_HANDLE made;
	CK_ULONG len = plan->bits / BYTE_BITS;
	CK_MECHANISM mechanism = maker->mechanism;
	describe(plan, &class, &template);
	if (!maker->unwraps)
		key_template_add(&template, CKA_VALUE_LEN, &len, sizeof len);
	const union wire_value attributes = {.attributes = {template.items, template.count}};
	const union wire_value unwrap[] = {{.number = use->session}, {.mechanism = &mechanism}, {.number = object},
		{.bytes = {(CK_BYTE *)maker->wrapped.data, maker->wrapped.len}}, attributes, {.number_out = &made}};
	const union wire_value derive[] = {{.number = use->session}, {.mechanism = &mechanism}, {.number = object},
		attributes, {.number_out = &made}};
	return maker->unwraps ? invoke(use->request, CALL_UnwrapKey, unwrap)
			      : invoke(use->request, CALL_DeriveKey, derive);
}

/* With the turn to make objects. True: the reply is complete. */
static bool make_named(struct use *use, const struct key *key, const struct key_use *key_use, const struct maker *maker,
	CK_OBJECT_HANDLE object, const struct key_use_item *item, CK_RV *ret_rv)
{
	const struct key_plan *plan = &key_use->plan;
	const struct key_record record = {
		.key = key,
		.mechanism = maker->mechanism.mechanism,
		.sha256 = item->input.sha256,
		.function = maker->unwraps ? "C_UnwrapKey" : "C_DeriveKey",
		.begun_us = key_operation_now_us(),
		.made = {(const char *)plan->label.data, plan->id.data, plan->id.len,
			plan->kind->pair ? "CKO_PRIVATE_KEY" : "CKO_SECRET_KEY"},
	};
	*ret_rv = CKR_OK;
	if (!key_names_free(use->request, use->session, plan->label, plan->id, NULL))
		return true;
	CK_RV rv = make(use, maker, plan, object);
	if (!key_operation_record(use, &record, rv))
		return true;
	if (rv == CKR_OK)
		rv = key_plan_answer(use->request, use->session, plan);
	*ret_rv = rv;
	return rv == CKR_OK;
}

static CK_RV run(struct use *use, const struct key *key, const struct key_use *key_use, const struct maker *maker,
	const struct key_use_item *item, bool *ret_complete)
{
	CK_OBJECT_HANDLE object = key->object;
	unsigned login = login_epoch(use->request->worker);
	*ret_complete = false;
	CK_RV rv = use->context ? use_verify(use, login, &object, ret_complete) : CKR_OK;
	if (rv != CKR_OK || *ret_complete)
		return rv;
	rv = object_making_begin(use->request, &use->session, &object);
	if (rv == CKR_OK) {
		key_names_lock();
		*ret_complete = make_named(use, key, key_use, maker, object, item, &rv);
		key_names_unlock();
	}
	object_making_end(use->request);
	if (rv == CKR_KEY_HANDLE_INVALID || rv == CKR_UNWRAPPING_KEY_HANDLE_INVALID)
		key_cache_forget(key->object);
	return rv;
}

static CK_RV run_unwrap(struct use *use, const struct key *key, const struct key_use *key_use,
	struct key_use_item *item, bool *ret_withheld)
{
	union cipher_parameter_value parameter;
	const struct maker maker = {
		.unwraps = true,
		.mechanism = cipher_mechanism(&key_use->cipher, &item->cipher, &parameter),
		.wrapped = item->input.bytes,
	};
	return cipher_refusal(&key_use->cipher, run(use, key, key_use, &maker, item, ret_withheld));
}

static CK_RV run_derive(struct use *use, const struct key *key, const struct key_use *key_use,
	struct key_use_item *item, bool *ret_withheld)
{
	CK_ECDH1_DERIVE_PARAMS agree = {.kdf = CKD_NULL};
	struct maker maker = {.mechanism = key_use->cipher.mechanism};
	if (!key_use->by_mechanism) {
		struct bytes point = peer_point(use->request, key, key_use->peer);
		agree.pPublicData = (CK_BYTE *)point.data;
		agree.ulPublicDataLen = point.len;
		maker.mechanism = (CK_MECHANISM){CKM_ECDH1_DERIVE, &agree, sizeof agree};
	}
	return run(use, key, key_use, &maker, item, ret_withheld);
}

const struct key_use_kind key_use_unwrap = {
	.schema = SCHEMA_UnwrapRequest,
	.derives = true,
	.failed = "The token did not unwrap the key.",
	.read = read_unwrap,
	.read_item = read_wrapped,
	.check = check_unwrap,
	.run = run_unwrap,
};

const struct key_use_kind key_use_derive = {
	.schema = SCHEMA_DeriveRequest,
	.derives = true,
	.failed = "The token did not derive the key.",
	.read = read_derive,
	.read_item = read_peer,
	.check = check_derive,
	.run = run_derive,
};
