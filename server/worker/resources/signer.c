#include "server/worker/resources/signer.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>
#include <time.h>

#include "api/codec.h"
#include "api/limits.h"
#include "api/names.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/ecdsa.h"
#include "server/worker/resources/key_cache.h"

enum { SIGNATURE_GUESS = 1024 }; /* bytes: RSA-8192; a longer signature costs a second call */

bool signer_token_has(struct request *request, CK_MECHANISM_TYPE mechanism)
{
	CK_MECHANISM_INFO info = {.flags = 0};
	union wire_value v[] = {{.number = module_slot(request->worker)}, {.number = mechanism}, {.info = &info}};
	return invoke(request, CALL_GetMechanismInfo, v) == CKR_OK && (info.flags & CKF_SIGN) != 0;
}

void signer_of_algorithm(struct request *request, const struct algorithm *algorithm, struct signer *ret_signer)
{
	*ret_signer = (struct signer){
		.algorithm = algorithm,
		.row = algorithm,
		.combined = algorithm->combined == algorithm->mechanism ||
			    signer_token_has(request, algorithm->combined),
		.ecdsa = algorithm->form == FORM_ECDSA,
		.asked = algorithm->name,
	};
}

void signer_of_mechanism(struct request *request, CK_MECHANISM_TYPE mechanism, struct signer *ret_signer)
{
	const struct algorithm *row = algorithm_by_mechanism(mechanism), *combined = algorithm_by_combined(mechanism);
	bool replace = combined != NULL && combined->prepare != PREPARE_PSS && !signer_token_has(request, mechanism);
	*ret_signer = (struct signer){
		.algorithm = replace ? combined : NULL,
		.mechanism = mechanism,
		.row = row,
		.ecdsa = row != NULL && row->form == FORM_ECDSA,
		.asked = name_of(NAMES_MECHANISM, mechanism),
		.by_mechanism = true,
	};
}

bool signer_fits(const struct signer *signer, const struct key *key)
{
	const struct algorithm *row = signer->row;
	if (!mechanism_fits_key(row != NULL ? row->mechanism : signer->mechanism, key->class, key->type))
		return false;
	/* A mechanism stands for every curve, a JOSE name for one. */
	return signer->by_mechanism || row == NULL || row->curve == NULL ||
	       (key->curve != NULL && strcmp(row->curve, key->curve->name) == 0);
}

size_t signer_digest_len(const struct signer *signer)
{
	const EVP_MD *md = signer->algorithm == NULL || signer->algorithm->hash == NULL
				   ? NULL
				   : EVP_get_digestbyname(signer->algorithm->hash);
	return md == NULL ? 0 : (size_t)EVP_MD_get_size(md);
}

bool signer_input_init(struct signer_input *input, struct bytes bytes, bool is_digest)
{
	input->bytes = bytes;
	input->is_digest = is_digest;
	return EVP_Digest(bytes.data, bytes.len, input->sha256, NULL, EVP_sha256(), NULL) == 1;
}

static void digest_info_done(X509_SIG **info)
{
	X509_SIG_free(*info);
}

/* DigestInfo of RFC 8017, section 9.2, with NULL parameters. */
static CK_RV digest_info(
	struct request *request, const EVP_MD *md, const unsigned char *digest, size_t len, struct bytes *ret_info)
{
	__attribute__((cleanup(digest_info_done))) X509_SIG *info = X509_SIG_new();
	X509_ALGOR *algorithm;
	ASN1_OCTET_STRING *value;
	if (info == NULL)
		return CKR_HOST_MEMORY;
	X509_SIG_getm(info, &algorithm, &value);
	if (X509_ALGOR_set0(algorithm, OBJ_nid2obj(EVP_MD_get_type(md)), V_ASN1_NULL, NULL) != 1 ||
		ASN1_OCTET_STRING_set(value, digest, (int)len) != 1)
		return CKR_HOST_MEMORY;
	int size = i2d_X509_SIG(info, NULL);
	unsigned char *out = size > 0 ? arena_alloc(request->arena, (size_t)size) : NULL, *end = out;
	if (out == NULL || i2d_X509_SIG(info, &end) != size)
		return CKR_HOST_MEMORY;
	*ret_info = (struct bytes){out, (size_t)size};
	return CKR_OK;
}

/* What goes to the token, and by which mechanism. */
static CK_RV prepare(struct request *request, const struct signer *signer, const struct signer_input *input,
	CK_MECHANISM *ret_mechanism, struct bytes *ret_bytes)
{
	const struct algorithm *algorithm = signer->algorithm;
	*ret_bytes = input->bytes;
	ret_mechanism->mechanism = algorithm == NULL ? signer->mechanism : algorithm->combined;
	if (algorithm == NULL || (signer->combined && !input->is_digest))
		return CKR_OK;
	ret_mechanism->mechanism = algorithm->mechanism;
	if (algorithm->hash == NULL)
		return CKR_DATA_LEN_RANGE;
	const EVP_MD *md = EVP_get_digestbyname(algorithm->hash);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = (unsigned)input->bytes.len;
	if (input->is_digest && input->bytes.len == signer_digest_len(signer))
		memcpy(digest, input->bytes.data, input->bytes.len);
	else if (input->is_digest)
		return CKR_DATA_LEN_RANGE;
	else if (EVP_Digest(input->bytes.data, input->bytes.len, digest, &len, md, NULL) != 1)
		return CKR_HOST_MEMORY;
	if (algorithm->prepare == PREPARE_DIGEST_INFO)
		return digest_info(request, md, digest, len, ret_bytes);
	const unsigned char *copy = arena_copy(request->arena, digest, len);
	*ret_bytes = (struct bytes){copy, len};
	return copy == NULL ? CKR_HOST_MEMORY : CKR_OK;
}

static CK_RV sign_bytes(
	struct request *request, CK_SESSION_HANDLE session, struct bytes bytes, struct bytes *ret_signature)
{
	CK_ULONG len = SIGNATURE_GUESS;
	for (int attempt = 0; attempt < 2; attempt++) {
		CK_ULONG room = len;
		unsigned char *out = arena_alloc(request->arena, room);
		if (out == NULL)
			return CKR_HOST_MEMORY;
		union wire_value v[] = {
			{.number = session}, {.bytes = {(CK_BYTE *)bytes.data, bytes.len}}, {.buffer = {out, &len}}};
		CK_RV rv = invoke(request, CALL_Sign, v);
		if (rv == CKR_OK)
			*ret_signature = (struct bytes){out, len};
		if (rv == CKR_OK && len > room)
			return CKR_DEVICE_ERROR;
		if (rv != CKR_BUFFER_TOO_SMALL || len > LIMIT_OUTPUT)
			return rv;
	}
	return CKR_DEVICE_ERROR;
}

/* Notes how the PIN was taken. */
static CK_RV authenticated(struct use *use, CK_RV rv, bool *ret_withheld)
{
	use->pin_rv = rv;
	const struct event event = {
		.kind = AUDIT_LOGIN, .function = "C_Login", .rv = rv, .user = "CKU_CONTEXT_SPECIFIC"};
	*ret_withheld = !answer_event(use->request, &event);
	return rv;
}

/* Gives the PIN between init, begun under `login`, and sign (A28); the use's pin_rv keeps the outcome. */
static CK_RV authenticate(struct use *use, unsigned login, bool *ret_withheld)
{
	const unsigned char *pin = (const unsigned char *)use->pin;
	CK_RV rv = login_context(use->request, &use->session, login, pin, strlen(use->pin));
	return authenticated(use, rv, ret_withheld);
}

CK_RV signer_verify_pin(struct use *use, unsigned login, CK_OBJECT_HANDLE *key, bool *ret_withheld)
{
	const unsigned char *pin = (const unsigned char *)use->pin;
	/* The login of this request alone was this PIN's, and is in the audit as what it was. */
	if (use->logged_in)
		return CKR_OK;
	CK_RV rv = login_verify(use->request, login, &use->session, key, pin, strlen(use->pin));
	return authenticated(use, rv, ret_withheld);
}

/* `ret_function` is the function that had the last word. */
static CK_RV run(struct use *use, const struct key *key, CK_MECHANISM *mechanism, struct bytes bytes,
	struct bytes *ret_signature, const char **ret_function, bool *ret_withheld)
{
	union wire_value init[] = {{.number = use->session}, {.mechanism = mechanism}, {.number = key->object}};
	unsigned login = login_epoch(use->request->worker);
	CK_RV rv = CKR_OK;
	if (use->context && key->by_policy) {
		*ret_function = "C_Login";
		/* Before init: the token would not look at it in between (B20). */
		rv = signer_verify_pin(use, login, &init[2].number, ret_withheld);
		init[0].number = use->session;
		if (rv != CKR_OK || *ret_withheld)
			return rv;
	}
	*ret_function = "C_SignInit";
	rv = invoke(use->request, CALL_SignInit, init);
	if (rv == CKR_KEY_HANDLE_INVALID || rv == CKR_OBJECT_HANDLE_INVALID)
		key_cache_forget(key->object);
	if (rv != CKR_OK)
		return rv;
	use->clean = false;
	if (use->context && !key->by_policy) {
		*ret_function = "C_Login";
		rv = authenticate(use, login, ret_withheld);
		if (rv != CKR_OK || *ret_withheld)
			return rv;
	}
	*ret_function = "C_Sign";
	rv = sign_bytes(use->request, use->session, bytes, ret_signature);
	use->request->signed_ = true;
	use->clean = rv == CKR_OK;
	return rv;
}

uint64_t signer_now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

bool signer_record(struct use *use, const struct key *key, const CK_MECHANISM *mechanism,
	const struct signer_input *input, const char *function, CK_RV rv, uint64_t begun_us)
{
	char scratch[24];
	const struct event event = {
		.kind = AUDIT_KEY_USE,
		.function = function,
		.rv = rv,
		.mechanism = name_text(NAMES_MECHANISM, mechanism->mechanism, scratch),
		.key_label = key_event_label(key),
		.key_id = key->id.data,
		.key_id_len = key->id.len,
		.key_class = name_of(NAMES_CLASS, key->class),
		.input_sha256 = input->sha256,
		.reauthenticated = use->context && use->pin_rv == CKR_OK,
		.latency_us = signer_now_us() - begun_us,
	};
	return answer_event(use->request, &event);
}

CK_RV signer_sign(struct use *use, const struct key *key, const struct signer *signer, const struct signer_input *input,
	struct bytes *ret_signature, bool *ret_withheld)
{
	CK_MECHANISM mechanism = {0};
	CK_RSA_PKCS_PSS_PARAMS pss;
	struct bytes bytes, signature = {NULL, 0};
	const char *function = "C_SignInit";
	uint64_t begun = signer_now_us();
	*ret_withheld = false;
	CK_RV rv = prepare(use->request, signer, input, &mechanism, &bytes);
	if (signer->algorithm != NULL && signer->algorithm->prepare == PREPARE_PSS) {
		pss = algorithm_pss(signer->algorithm);
		mechanism.pParameter = &pss;
		mechanism.ulParameterLen = sizeof pss;
	}
	if (rv == CKR_OK)
		rv = run(use, key, &mechanism, bytes, &signature, &function, ret_withheld);
	if (!*ret_withheld)
		*ret_withheld = !signer_record(use, key, &mechanism, input, function, rv, begun);
	if (rv == CKR_OK && signer->ecdsa && signer->der &&
		!ecdsa_raw_to_der(use->request->arena, signature, &signature))
		rv = CKR_DEVICE_ERROR;
	if (rv == CKR_OK)
		*ret_signature = signature;
	return rv;
}
