/*
 * Encryption and decryption. In JSON the iv and the tag are members of their own; as octets what is encrypted is iv ‖ ciphertext ‖ tag, so
 * that what one request gives out the other takes.
 */
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "api/limits.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/key_operation.h"
#include "server/worker/resources/key_use.h"

enum { PLACE_SIZE = 64 };

/* A 422 problem about a member of an item; always false. */
static bool refuse(const struct key_use *use, CK_RV rv, const char *pointer, const char *name, const char *detail)
{
	char place[PLACE_SIZE];
	snprintf(place, sizeof place, "%s/%s", pointer, name);
	return answer_refuse(use->request, rv, place, detail);
}

/* The member if it is there; it is none that the algorithm has no use for. */
static bool read_bytes(const struct key_use *use, const json_t *object, const char *pointer, const char *name,
	bool taken, struct bytes *ret_bytes)
{
	char place[PLACE_SIZE], detail[160];
	*ret_bytes = (struct bytes){NULL, 0};
	if (!body_has(object, name))
		return true;
	if (taken)
		return body_bytes(use->request, object, name, ret_bytes);
	snprintf(place, sizeof place, "%s/%s", pointer, name);
	snprintf(detail, sizeof detail, "%s has no %s%s", use->asked, name,
		use->by_mechanism ? "; what a mechanism takes stands in its parameter" : " here");
	body_refuse(use->request, place, detail);
	return false;
}

static bool check_len(const struct key_use *use, struct bytes bytes, size_t len, const char *pointer, const char *name)
{
	char detail[120];
	if (bytes.data == NULL || bytes.len == len)
		return true;
	snprintf(detail, sizeof detail, "The %s of %s is %zu bytes.", name, use->asked, len);
	return refuse(use, CKR_MECHANISM_PARAM_INVALID, pointer, name, detail);
}

static bool check_present(const struct key_use *use, struct bytes bytes, const char *pointer, const char *name)
{
	char place[PLACE_SIZE];
	if (bytes.data != NULL)
		return true;
	snprintf(place, sizeof place, "%s/%s", pointer, name);
	body_refuse(use->request, place, "the member is missing");
	return false;
}

/* The input's bytes, of which all items together have a bound, so that the answer is not larger than one may be. */
static bool read_input(const struct key_use *use, const json_t *object, const char *pointer, const char *name,
	struct key_use_item *item)
{
	struct bytes bytes;
	size_t total = 0;
	if (!read_bytes(use, object, pointer, name, true, &bytes) || !check_present(use, bytes, pointer, name))
		return false;
	for (const struct key_use_item *i = use->items; i < item; i++)
		total += i->input.bytes.len;
	if (bytes.len > LIMIT_BYTES - total) {
		char detail[120];
		snprintf(detail, sizeof detail, "A request has at most %d bytes of it; send less at a time.",
			LIMIT_BYTES);
		return refuse(use, CKR_DATA_LEN_RANGE, pointer, name, detail);
	}
	if (signer_input_init(&item->input, bytes, false))
		return true;
	reply_return(use->request, CKR_HOST_MEMORY, "The data could not be hashed.");
	return false;
}

/* Where the request names no iv, it is made here: a repeated one would give the key's secret away. */
static bool make_iv(const struct key_use *use, struct bytes *iv)
{
	size_t len = cipher_iv_len(&use->cipher);
	if (len == 0 || iv->data != NULL)
		return true;
	unsigned char *made = arena_alloc(use->request->arena, len);
	if (made == NULL || RAND_bytes(made, (int)len) != 1) {
		reply_return(use->request, CKR_HOST_MEMORY, "No iv could be made.");
		return false;
	}
	*iv = (struct bytes){made, len};
	return true;
}

static bool read_plain(
	const struct key_use *use, const json_t *object, const char *pointer, struct key_use_item *ret_item)
{
	struct cipher_input *cipher = &ret_item->cipher;
	size_t iv_len = cipher_iv_len(&use->cipher);
	return read_bytes(use, object, pointer, "iv", iv_len > 0, &cipher->iv) &&
	       check_len(use, cipher->iv, iv_len, pointer, "iv") &&
	       read_bytes(use, object, pointer, "aad", cipher_has_tag(&use->cipher), &cipher->aad) &&
	       read_input(use, object, pointer, "data", ret_item) && make_iv(use, &cipher->iv);
}

/* iv ‖ ciphertext ‖ tag, which has been read as the ciphertext. */
static bool split(const struct key_use *use, struct key_use_item *item)
{
	struct bytes *all = &item->input.bytes;
	size_t iv_len = cipher_iv_len(&use->cipher), tag_len = cipher_has_tag(&use->cipher) ? CIPHER_TAG_LEN : 0;
	if (all->len < iv_len + tag_len)
		return refuse(use, CKR_ENCRYPTED_DATA_LEN_RANGE, "", "ciphertext",
			"The body is iv, ciphertext and tag one after another; it is shorter than iv and tag.");
	item->cipher.iv = (struct bytes){all->data, iv_len};
	item->cipher.tag = (struct bytes){all->data + all->len - tag_len, tag_len};
	*all = (struct bytes){all->data + iv_len, all->len - iv_len - tag_len};
	return true;
}

static bool read_encrypted(
	const struct key_use *use, const json_t *object, const char *pointer, struct key_use_item *ret_item)
{
	struct cipher_input *cipher = &ret_item->cipher;
	bool octets = body_is_octets(use->request), tagged = cipher_has_tag(&use->cipher);
	size_t iv_len = cipher_iv_len(&use->cipher);
	if (!read_bytes(use, object, pointer, "iv", iv_len > 0 && !octets, &cipher->iv) ||
		!read_bytes(use, object, pointer, "tag", tagged && !octets, &cipher->tag) ||
		!read_bytes(use, object, pointer, "aad", tagged, &cipher->aad) ||
		!read_input(use, object, pointer, "ciphertext", ret_item))
		return false;
	if (octets)
		return split(use, ret_item);
	return (iv_len == 0 || check_present(use, cipher->iv, pointer, "iv")) &&
	       (!tagged || check_present(use, cipher->tag, pointer, "tag")) &&
	       check_len(use, cipher->iv, iv_len, pointer, "iv") &&
	       check_len(use, cipher->tag, CIPHER_TAG_LEN, pointer, "tag");
}

static bool read_cipher(struct key_use *use, const json_t *body)
{
	if (!key_use_read_asked(use, body, &use->cipher.mechanism))
		return false;
	if (use->by_mechanism)
		return true;
	use->cipher.row = algorithm_cipher(use->asked, CIPHER_ENCRYPTS);
	return use->cipher.row != NULL || answer_refuse(use->request, CKR_MECHANISM_INVALID, "/algorithm",
						  "There is no encryption algorithm of that name.");
}

static bool check(struct use *use, const struct key *key, const struct key_use *key_use)
{
	CK_RV rv = cipher_fits(use, &key_use->cipher, key);
	return rv == CKR_OK || answer_refuse(use->request, rv, key_use_asked_pointer(key_use),
				       "The key is of another type or size; GET the key to see which.");
}

static CK_RV run_encrypt(struct use *use, const struct key *key, const struct key_use *key_use,
	struct key_use_item *item, bool *ret_withheld)
{
	union cipher_parameter_value parameter;
	const struct key_operation operation = {
		.init = CALL_EncryptInit,
		.once = CALL_Encrypt,
		.key = key,
		.mechanism = cipher_mechanism(&key_use->cipher, &item->cipher, &parameter),
		.input = item->input.bytes,
		.sha256 = item->input.sha256,
	};
	CK_RV rv = key_operation_run(use, &operation, &item->result, ret_withheld);
	if (rv != CKR_OK || !cipher_has_tag(&key_use->cipher))
		return cipher_refusal(&key_use->cipher, rv);
	if (item->result.len < CIPHER_TAG_LEN)
		return CKR_DEVICE_ERROR;
	item->result.len -= CIPHER_TAG_LEN;
	item->cipher.tag = (struct bytes){item->result.data + item->result.len, CIPHER_TAG_LEN};
	return CKR_OK;
}

/* PKCS#11 wants ciphertext ‖ tag. False: no memory. */
static bool join(const struct key_use *use, const struct key_use_item *item, struct bytes *ret_bytes)
{
	const struct bytes *text = &item->input.bytes, *tag = &item->cipher.tag;
	*ret_bytes = *text;
	if (tag->len == 0)
		return true;
	unsigned char *all = arena_alloc(use->request->arena, text->len + tag->len);
	if (all == NULL)
		return false;
	memcpy(all, text->data, text->len);
	memcpy(all + text->len, tag->data, tag->len);
	*ret_bytes = (struct bytes){all, text->len + tag->len};
	return true;
}

/*
 * Some modules have no other answer than a general error to a wrong tag or padding; nor shall which of them was wrong be told. A decryption
 * that was not begun, or not authorised, failed for another reason.
 */
static CK_RV decryption_refusal(const struct use *use, CK_RV rv)
{
	bool begun = !use->clean && use->pin_rv == CKR_OK;
	bool about_data = rv == CKR_GENERAL_ERROR || rv == CKR_DATA_INVALID || rv == CKR_FUNCTION_FAILED;
	return begun && about_data ? CKR_ENCRYPTED_DATA_INVALID : rv;
}

static CK_RV run_decrypt(struct use *use, const struct key *key, const struct key_use *key_use,
	struct key_use_item *item, bool *ret_withheld)
{
	union cipher_parameter_value parameter;
	struct key_operation operation = {
		.init = CALL_DecryptInit,
		.once = CALL_Decrypt,
		.key = key,
		.mechanism = cipher_mechanism(&key_use->cipher, &item->cipher, &parameter),
		.sha256 = item->input.sha256,
	};
	*ret_withheld = false;
	if (!join(key_use, item, &operation.input))
		return CKR_HOST_MEMORY;
	CK_RV rv = key_operation_run(use, &operation, &item->result, ret_withheld);
	return decryption_refusal(use, cipher_refusal(&key_use->cipher, rv));
}

static void write_member(struct json_writer *w, const char *name, struct bytes bytes)
{
	json_name(w, name);
	json_write_bytes(w, bytes.data, bytes.len);
}

static void write_encrypted(const struct key_use_item *item, struct json_writer *w)
{
	write_member(w, "ciphertext", item->result);
	if (item->cipher.iv.len > 0)
		write_member(w, "iv", item->cipher.iv);
	if (item->cipher.tag.len > 0)
		write_member(w, "tag", item->cipher.tag);
}

static void write_encrypted_octets(const struct key_use_item *item, struct buffer *out)
{
	buffer_append(out, item->cipher.iv.data, item->cipher.iv.len);
	buffer_append(out, item->result.data, item->result.len);
	buffer_append(out, item->cipher.tag.data, item->cipher.tag.len);
}

static void write_plain(const struct key_use_item *item, struct json_writer *w)
{
	write_member(w, "data", item->result);
}

static void write_plain_octets(const struct key_use_item *item, struct buffer *out)
{
	buffer_append(out, item->result.data, item->result.len);
}

const struct key_use_kind key_use_encrypt = {
	.schema = SCHEMA_EncryptRequest,
	.public_half = true,
	.failed = "The token did not encrypt.",
	.read = read_cipher,
	.read_item = read_plain,
	.check = check,
	.run = run_encrypt,
	.write = write_encrypted,
	.write_octets = write_encrypted_octets,
};

const struct key_use_kind key_use_decrypt = {
	.schema = SCHEMA_DecryptRequest,
	.failed = "The token did not decrypt.",
	.read = read_cipher,
	.read_item = read_encrypted,
	.check = check,
	.run = run_decrypt,
	.write = write_plain,
	.write_octets = write_plain_octets,
};
