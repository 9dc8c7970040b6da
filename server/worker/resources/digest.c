/*
 * Hashing in the token.
 */
#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/key_use.h"

enum { DIGEST_MAX = 1024 }; /* bytes; far more than any digest has */

static bool read_hash(struct key_use *use, const json_t *body)
{
	CK_MECHANISM *mechanism = &use->cipher.mechanism;
	if (!key_use_read_asked(use, body, mechanism))
		return false;
	if (use->by_mechanism)
		return true;
	const struct hash_row *row = algorithm_hash(use->asked);
	if (row == NULL)
		return answer_refuse(
			use->request, CKR_MECHANISM_INVALID, "/algorithm", "There is no hash algorithm of that name.");
	mechanism->mechanism = row->mechanism;
	return true;
}

static bool read_data(
	const struct key_use *use, const json_t *object, const char *pointer, struct key_use_item *ret_item)
{
	if (body_has(object, "data"))
		return body_bytes(use->request, object, "data", &ret_item->input.bytes);
	body_refuse(use->request, pointer, "give data");
	return false;
}

static CK_RV run(struct use *use, const struct key *key, const struct key_use *key_use, struct key_use_item *item,
	bool *ret_withheld)
{
	struct request *request = use->request;
	CK_ULONG len = DIGEST_MAX;
	unsigned char *out = arena_alloc(request->arena, len);
	const union wire_value init[] = {
		{.number = use->session}, {.mechanism = (CK_MECHANISM *)&key_use->cipher.mechanism}};
	const union wire_value v[] = {{.number = use->session},
		{.bytes = {(CK_BYTE *)item->input.bytes.data, item->input.bytes.len}}, {.buffer = {out, &len}}};
	(void)key;
	*ret_withheld = false;
	if (out == NULL)
		return CKR_HOST_MEMORY;
	CK_RV rv = invoke(request, CALL_DigestInit, init);
	if (rv != CKR_OK)
		return rv;
	rv = invoke(request, CALL_Digest, v);
	use->clean = rv == CKR_OK;
	if (rv != CKR_OK)
		return rv;
	item->result = (struct bytes){out, len};
	return len <= DIGEST_MAX ? CKR_OK : CKR_DEVICE_ERROR;
}

static void write_digest(const struct key_use_item *item, struct json_writer *w)
{
	json_name(w, "digest");
	json_write_bytes(w, item->result.data, item->result.len);
}

static void write_octets(const struct key_use_item *item, struct buffer *out)
{
	buffer_append(out, item->result.data, item->result.len);
}

const struct key_use_kind key_use_digest = {
	.schema = SCHEMA_DigestRequest,
	.keyless = true,
	.failed = "The token did not hash.",
	.read = read_hash,
	.read_item = read_data,
	.run = run,
	.write = write_digest,
	.write_octets = write_octets,
};
