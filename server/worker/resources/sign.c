/*
 * Signing, MACs and verifying: what is used is a signer.
 */
#include <stdio.h>
#include <string.h>

#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/key_use.h"

/* A digest that the request gives ready has to be one that is asked for. False: the reply is complete. */
static bool check_digest(const struct key_use *use, const char *pointer, size_t len)
{
	const struct signer *signer = &use->signer;
	char place[64], detail[160];
	size_t digest_len = signer_digest_len(signer);
	bool combined = signer->by_mechanism && algorithm_by_combined(signer->mechanism.mechanism) != NULL;
	bool hashes = signer->algorithm != NULL && !signer->by_mechanism;
	snprintf(place, sizeof place, "%s/digest", pointer);
	if (combined || (hashes && digest_len == 0)) {
		snprintf(detail, sizeof detail, "%s takes the data, not a digest", use->asked);
		body_refuse(use->request, place, detail);
		return false;
	}
	if (!hashes || len == digest_len)
		return true;
	snprintf(detail, sizeof detail, "The digest of %s is %zu bytes.", use->asked, digest_len);
	return answer_refuse(use->request, CKR_DATA_LEN_RANGE, place, detail);
}

/* Exactly one of data and digest. */
static bool read_input(
	const struct key_use *use, const json_t *object, const char *pointer, struct key_use_item *ret_item)
{
	struct request *request = use->request;
	struct bytes bytes;
	bool is_digest = body_has(object, "digest");
	if (is_digest == body_has(object, "data")) {
		bool both = schema_member(schema_row(use->kind->schema), "digest", strlen("digest")) != NULL;
		body_refuse(request, pointer, both ? "give either data or digest" : "give data");
		return false;
	}
	if (!body_bytes(request, object, is_digest ? "digest" : "data", &bytes) ||
		(is_digest && !check_digest(use, pointer, bytes.len)))
		return false;
	if (signer_input_init(&ret_item->input, bytes, is_digest))
		return true;
	reply_return(request, CKR_HOST_MEMORY, "The data could not be hashed.");
	return false;
}

static bool read_signed(
	const struct key_use *use, const json_t *object, const char *pointer, struct key_use_item *ret_item)
{
	if (!body_has(object, "signature")) {
		char place[64];
		snprintf(place, sizeof place, "%s/signature", pointer);
		body_refuse(use->request, place, "the member is missing");
		return false;
	}
	return body_bytes(use->request, object, "signature", &ret_item->signature) &&
	       read_input(use, object, pointer, ret_item);
}

static bool read_signer(struct key_use *use, const json_t *body, enum signer_purpose purpose, bool mac)
{
	struct request *request = use->request;
	CK_MECHANISM mechanism;
	if (!key_use_read_asked(use, body, &mechanism))
		return false;
	if (!use->by_mechanism) {
		const struct algorithm *row = algorithm_by_name(use->asked);
		if (row == NULL || (mac && row->form != FORM_MAC))
			return answer_refuse(request, CKR_MECHANISM_INVALID, "/algorithm",
				mac ? "There is no MAC algorithm of that name."
				    : "There is no signature algorithm of that name.");
		signer_of_algorithm(request, row, purpose, &use->signer);
		return true;
	}
	const struct algorithm *row = algorithm_by_mechanism(mechanism.mechanism);
	if (row != NULL && row->prepare == PREPARE_PSS && mechanism.pParameter == NULL)
		return answer_refuse(request, CKR_MECHANISM_PARAM_INVALID, "/mechanism",
			"The mechanism needs a parameter; or use algorithm PS256, PS384 or PS512.");
	signer_of_mechanism(request, &mechanism, purpose, &use->signer);
	return true;
}

static bool read_format(struct key_use *use, const json_t *body)
{
	const char *format = body_text(body, "format");
	use->signer.der = format != NULL && strcmp(format, "der") == 0;
	if (format == NULL || use->signer.ecdsa)
		return true;
	body_refuse(use->request, "/format", "only an ECDSA signature has a format");
	return false;
}

static bool read_sign(struct key_use *use, const json_t *body)
{
	return read_signer(use, body, SIGNER_SIGNS, false) && read_format(use, body);
}

static bool read_verify(struct key_use *use, const json_t *body)
{
	return read_signer(use, body, SIGNER_VERIFIES, false) && read_format(use, body);
}

static bool read_mac(struct key_use *use, const json_t *body)
{
	return read_signer(use, body, SIGNER_SIGNS, true);
}

static bool check(struct use *use, const struct key *key, const struct key_use *key_use)
{
	return signer_fits(&key_use->signer, key) ||
	       answer_refuse(use->request, CKR_KEY_TYPE_INCONSISTENT, key_use_asked_pointer(key_use),
		       "The key is of another type or curve; GET the key to see which.");
}

static bool check_mac(struct use *use, const struct key *key, const struct key_use *key_use)
{
	if (key->class != CKO_SECRET_KEY)
		return answer_refuse(use->request, CKR_KEY_TYPE_INCONSISTENT, key_use_asked_pointer(key_use),
			"A MAC is made with a secret key; this one signs.");
	return check(use, key, key_use);
}

static bool check_verify(struct use *use, const struct key *key, const struct key_use *key_use)
{
	if (!check(use, key, key_use))
		return false;
	return signer_reads_format(&key_use->signer, key) ||
	       answer_refuse(use->request, CKR_CURVE_NOT_SUPPORTED, "/format",
		       "The curve of this key is not known here; give the signature as r‖s.");
}

static CK_RV run_sign(struct use *use, const struct key *key, const struct key_use *key_use, struct key_use_item *item,
	bool *ret_withheld)
{
	return signer_sign(use, key, &key_use->signer, &item->input, &item->result, ret_withheld);
}

static CK_RV run_verify(struct use *use, const struct key *key, const struct key_use *key_use,
	struct key_use_item *item, bool *ret_withheld)
{
	return signer_verify(use, key, &key_use->signer, &item->input, item->signature, &item->valid, ret_withheld);
}

static void write_signature(const struct key_use_item *item, struct json_writer *w)
{
	json_name(w, "signature");
	json_write_bytes(w, item->result.data, item->result.len);
}

static void write_mac(const struct key_use_item *item, struct json_writer *w)
{
	json_name(w, "mac");
	json_write_bytes(w, item->result.data, item->result.len);
}

static void write_valid(const struct key_use_item *item, struct json_writer *w)
{
	json_name(w, "valid");
	json_write_bool(w, item->valid);
}

static void write_octets(const struct key_use_item *item, struct buffer *out)
{
	buffer_append(out, item->result.data, item->result.len);
}

const struct key_use_kind key_use_sign = {
	.schema = SCHEMA_SignRequest,
	.failed = "The token did not sign.",
	.read = read_sign,
	.read_item = read_input,
	.check = check,
	.run = run_sign,
	.write = write_signature,
	.write_octets = write_octets,
};

const struct key_use_kind key_use_mac = {
	.schema = SCHEMA_MacRequest,
	.failed = "The token did not make the MAC.",
	.read = read_mac,
	.read_item = read_input,
	.check = check_mac,
	.run = run_sign,
	.write = write_mac,
	.write_octets = write_octets,
};

const struct key_use_kind key_use_verify = {
	.schema = SCHEMA_VerifyRequest,
	.public_half = true,
	.answers_challenge = true,
	.failed = "The token did not verify the signature.",
	.read = read_verify,
	.read_item = read_signed,
	.check = check_verify,
	.run = run_verify,
	.write = write_valid,
};
