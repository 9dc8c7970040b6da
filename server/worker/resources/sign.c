#include "server/worker/resources/sign.h"

#include <stdio.h>
#include <string.h>

#include "api/names.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/resource.h"
#include "server/worker/resources/signer.h"

/* What a SignRequest asks for. */
struct sign_request {
	struct key_query key;
	struct signer signer;
	struct signer_input *inputs;
	size_t count;
	bool batch;
	const char *pin;
};

/* Exactly one of data and digest. `pointer` is the place of the object, "" for the body itself. */
static bool read_input(struct request *request, const json_t *object, const char *pointer, const struct signer *signer,
	struct signer_input *ret_input)
{
	char place[64], detail[160];
	struct bytes bytes;
	bool is_digest = body_has(object, "digest");
	if (is_digest == body_has(object, "data")) {
		body_refuse(request, pointer, "give either data or digest");
		return false;
	}
	if (!body_bytes(request, object, is_digest ? "digest" : "data", &bytes))
		return false;
	size_t digest_len = signer_digest_len(signer);
	bool hashes = signer->algorithm != NULL ? !signer->by_mechanism : false;
	bool combined = signer->by_mechanism && algorithm_by_combined(signer->mechanism) != NULL;
	if (is_digest && ((hashes && bytes.len != digest_len) || combined)) {
		snprintf(place, sizeof place, "%s/digest", pointer);
		if (digest_len == 0 || combined)
			snprintf(detail, sizeof detail, "%s takes the data, not a digest", signer->asked);
		else
			snprintf(detail, sizeof detail, "the digest of %s is %zu bytes", signer->asked, digest_len);
		body_refuse(request, place, detail);
		return false;
	}
	if (!signer_input_init(ret_input, bytes, is_digest)) {
		reply_return(request, CKR_HOST_MEMORY, "The data could not be hashed.");
		return false;
	}
	return true;
}

static bool read_inputs(struct request *request, const json_t *body, struct sign_request *sign)
{
	const json_t *items = body_member(body, "items");
	sign->batch = items != NULL;
	sign->count = sign->batch ? json_array_size(items) : 1;
	if (sign->batch && (body_has(body, "data") || body_has(body, "digest") || sign->count == 0)) {
		body_refuse(request, "/items",
			sign->count == 0 ? "the array is empty" : "items take the place of data and digest");
		return false;
	}
	sign->inputs = arena_array(request->arena, sign->count, sizeof *sign->inputs);
	if (sign->inputs == NULL) {
		reply_return(request, CKR_HOST_MEMORY, "The request needs more memory than a request may take.");
		return false;
	}
	if (!sign->batch)
		return read_input(request, body, "", &sign->signer, &sign->inputs[0]);
	for (size_t i = 0; i < sign->count; i++) {
		char pointer[40];
		snprintf(pointer, sizeof pointer, "/items/%zu", i);
		if (!read_input(request, json_array_get(items, i), pointer, &sign->signer, &sign->inputs[i]))
			return false;
	}
	return true;
}

static bool read_mechanism(struct request *request, const char *name, struct signer *ret_signer)
{
	CK_MECHANISM_TYPE mechanism;
	if (!name_number(NAMES_MECHANISM, (struct json_text){name, strlen(name)}, &mechanism))
		return answer_refuse(request, CKR_MECHANISM_INVALID, "/mechanism",
			"There is no mechanism of that name; write CKM_… or 0x….");
	const struct algorithm *row = algorithm_by_mechanism(mechanism);
	if (row != NULL && row->prepare == PREPARE_PSS)
		return answer_refuse(request, CKR_MECHANISM_PARAM_INVALID, "/mechanism",
			"The mechanism needs parameters; use algorithm PS256, PS384 or PS512.");
	signer_of_mechanism(request, mechanism, ret_signer);
	return true;
}

static bool read_signer(struct request *request, const json_t *body, struct signer *ret_signer)
{
	const char *algorithm = body_text(body, "algorithm"), *mechanism = body_text(body, "mechanism");
	const char *format = body_text(body, "format");
	if ((algorithm == NULL) == (mechanism == NULL)) {
		body_refuse(request, "/algorithm", "give either algorithm or mechanism");
		return false;
	}
	if (algorithm != NULL) {
		const struct algorithm *row = algorithm_by_name(algorithm);
		if (row == NULL)
			return answer_refuse(request, CKR_MECHANISM_INVALID, "/algorithm",
				"There is no signature algorithm of that name.");
		signer_of_algorithm(request, row, ret_signer);
	} else if (!read_mechanism(request, mechanism, ret_signer)) {
		return false;
	}
	ret_signer->asked = algorithm != NULL ? algorithm : mechanism;
	ret_signer->der = format != NULL && strcmp(format, "der") == 0;
	if (format != NULL && !ret_signer->ecdsa) {
		body_refuse(request, "/format", "only an ECDSA signature has a format");
		return false;
	}
	return true;
}

static bool sign_request_read(struct request *request, const json_t *body, struct sign_request *ret_sign)
{
	*ret_sign = (struct sign_request){.pin = body_text(body, "pin")};
	return key_query_of_path(request, &ret_sign->key) && read_signer(request, body, &ret_sign->signer) &&
	       read_inputs(request, body, ret_sign);
}

static void write_asked(struct json_writer *w, const struct signer *signer)
{
	json_name(w, signer->by_mechanism ? "mechanism" : "algorithm");
	json_write_string(w, signer->asked);
}

static void sign_one(struct use *use, const struct key *key, const struct sign_request *sign)
{
	struct json_writer w;
	struct bytes signature;
	bool withheld;
	CK_RV rv = signer_sign(use, key, &sign->signer, &sign->inputs[0], &signature, &withheld);
	if (withheld)
		return;
	if (rv != CKR_OK) {
		use_refuse(use, rv, "The token did not sign.");
		return;
	}
	answer_begin(use->request, 200, "application/json", &w);
	json_begin_object(&w);
	json_name(&w, "signature");
	json_write_bytes(&w, signature.data, signature.len);
	write_asked(&w, &sign->signer);
	use_write_pin_effect(use, &w);
	json_end_object(&w);
	answer_end(use->request);
}

/* False: the audit failed, and the reply is complete. */
static bool write_result(
	struct use *use, const struct key *key, const struct sign_request *sign, size_t i, struct json_writer *w)
{
	struct bytes signature;
	bool withheld = false;
	CK_RV rv = use_renew(use);
	if (rv == CKR_OK)
		rv = signer_sign(use, key, &sign->signer, &sign->inputs[i], &signature, &withheld);
	if (withheld)
		return false;
	if (rv != CKR_OK) {
		answer_problem_value(use->request, w, rv, "The token did not sign this item.");
		return true;
	}
	json_begin_object(w);
	json_name(w, "signature");
	json_write_bytes(w, signature.data, signature.len);
	json_end_object(w);
	return true;
}

static void sign_batch(struct use *use, const struct key *key, const struct sign_request *sign)
{
	struct json_writer w;
	answer_begin(use->request, 200, "application/json", &w);
	json_begin_object(&w);
	json_name(&w, "results");
	json_begin_array(&w);
	for (size_t i = 0; i < sign->count; i++)
		if (!write_result(use, key, sign, i, &w))
			return;
	json_end_array(&w);
	write_asked(&w, &sign->signer);
	use_write_pin_effect(use, &w);
	json_end_object(&w);
	answer_end(use->request);
}

/* Whether key and request go together; false: the reply says why not. */
static bool check_key(struct request *request, const struct key *key, const struct sign_request *sign)
{
	if (key->class == CKO_PUBLIC_KEY) {
		key_refuse_missing(request, "Only the public half of this key is in the token.");
		return false;
	}
	if (!signer_fits(&sign->signer, key))
		return answer_refuse(request, CKR_KEY_TYPE_INCONSISTENT,
			sign->signer.by_mechanism ? "/mechanism" : "/algorithm",
			"The key is of another type or curve; GET the key to see which.");
	if (sign->batch && (key->always_authenticate || login_is_for_one_use(request))) {
		reply_problem(request, PROBLEM_ONE_ITEM_PER_PIN, "Send each item as a request of its own.", "/items");
		return false;
	}
	return true;
}

void sign_serve(struct request *request, struct held_pin *held)
{
	BODY_AUTO json_t *body = NULL;
	struct sign_request sign;
	struct key key;
	if (!body_read(request, SCHEMA_SignRequest, &body) || !sign_request_read(request, body, &sign))
		return;
	struct use use = {
		.request = request,
		.pin = held != NULL ? held->pin : sign.pin,
		.held = held != NULL ? held->object : CK_INVALID_HANDLE,
	};
	if (!use_begin(&use))
		return;
	if (key_find(request, use.session, &sign.key, &key) && check_key(request, &key, &sign) &&
		use_authorise(&use, &key, sign.inputs[0].sha256)) {
		if (sign.batch)
			sign_batch(&use, &key, &sign);
		else
			sign_one(&use, &key, &sign);
	}
	use_end(&use);
	if (held != NULL)
		held->rv = use.pin_rv;
}

void resource_key_sign(struct request *request)
{
	sign_serve(request, NULL);
}
