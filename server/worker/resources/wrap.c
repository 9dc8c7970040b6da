/*
 * Wrapping: one key encrypts another.
 */
#include "api/limits.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/key_operation.h"
#include "server/worker/resources/key_use.h"

enum { WRAPPED_GUESS = 4096 }; /* bytes: an RSA-4096 key; a longer one costs a second call */

static bool read_wrap(struct key_use *use, const json_t *body)
{
	if (!key_use_read_asked(use, body, &use->cipher.mechanism))
		return false;
	if (use->by_mechanism)
		return true;
	use->cipher.row = algorithm_cipher(use->asked, CIPHER_WRAPS);
	return use->cipher.row != NULL || answer_refuse(use->request, CKR_MECHANISM_INVALID, "/algorithm",
						  "There is no algorithm of that name that wraps keys.");
}

static bool read_target(
	const struct key_use *use, const json_t *object, const char *pointer, struct key_use_item *ret_item)
{
	const json_t *key = body_member(object, "key");
	(void)pointer;
	return key_query_of_selector(use->request, body_text(key, "label"), body_text(key, "id"), body_text(key, "uri"),
		"/key", &ret_item->target);
}

static bool check(struct use *use, const struct key *key, const struct key_use *key_use)
{
	CK_RV rv = cipher_fits(use, &key_use->cipher, key);
	return rv == CKR_OK || answer_refuse(use->request, rv, key_use_asked_pointer(key_use),
				       "The key is of another type or size; GET the key to see which.");
}

static CK_RV wrap(struct use *use, CK_MECHANISM *mechanism, const struct key *key, const struct key *target,
	struct bytes *ret_wrapped)
{
	CK_ULONG len = WRAPPED_GUESS;
	for (int attempt = 0; attempt < 2; attempt++) {
		CK_ULONG room = len;
		unsigned char *out = arena_alloc(use->request->arena, room);
		if (out == NULL)
			return CKR_HOST_MEMORY;
		const union wire_value v[] = {{.number = use->session}, {.mechanism = mechanism},
			{.number = key->object}, {.number = target->object}, {.buffer = {out, &len}}};
		CK_RV rv = invoke(use->request, CALL_WrapKey, v);
		if (rv == CKR_OK && len > room)
			return CKR_DEVICE_ERROR;
		if (rv == CKR_OK)
			*ret_wrapped = (struct bytes){out, len};
		if (rv != CKR_BUFFER_TOO_SMALL || len > LIMIT_OUTPUT)
			return rv;
	}
	return CKR_DEVICE_ERROR;
}

static CK_RV run(struct use *use, const struct key *key, const struct key_use *key_use, struct key_use_item *item,
	bool *ret_withheld)
{
	union cipher_parameter_value parameter;
	struct key target;
	CK_MECHANISM mechanism = cipher_mechanism(&key_use->cipher, &item->cipher, &parameter);
	*ret_withheld = true;
	if (!key_find(use->request, use->session, &item->target, &target) ||
		use_refuse_marked(use->request, &target, CKR_KEY_FUNCTION_NOT_PERMITTED))
		return CKR_OK;
	const struct key_record record = {
		.key = key,
		.mechanism = mechanism.mechanism,
		.function = "C_WrapKey",
		.begun_us = key_operation_now_us(),
		.wrapped = key_operation_names(&target),
	};
	CK_RV rv = wrap(use, &mechanism, key, &target, &item->result);
	*ret_withheld = !key_operation_record(use, &record, rv);
	return cipher_refusal(&key_use->cipher, rv);
}

static void write_wrapped(const struct key_use_item *item, struct json_writer *w)
{
	json_name(w, "wrapped");
	json_write_bytes(w, item->result.data, item->result.len);
}

static void write_octets(const struct key_use_item *item, struct buffer *out)
{
	buffer_append(out, item->result.data, item->result.len);
}

const struct key_use_kind key_use_wrap = {
	.schema = SCHEMA_WrapRequest,
	.public_half = true,
	.failed = "The token did not wrap the key.",
	.read = read_wrap,
	.read_item = read_target,
	.check = check,
	.run = run,
	.write = write_wrapped,
	.write_octets = write_octets,
};
