#include "server/worker/resources/signer.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#include "api/codec.h"
#include "api/names.h"
#include "server/worker/resources/ecdsa.h"
#include "server/worker/resources/key_operation.h"

bool signer_token_has(struct request *request, CK_MECHANISM_TYPE mechanism)
{
	return key_operation_possible(request, mechanism, CKF_SIGN);
}

static CK_FLAGS flag_of(enum signer_purpose purpose)
{
	return purpose == SIGNER_VERIFIES ? CKF_VERIFY : CKF_SIGN;
}

void signer_of_algorithm(struct request *request, const struct algorithm *algorithm, enum signer_purpose purpose,
	struct signer *ret_signer)
{
	*ret_signer = (struct signer){
		.algorithm = algorithm,
		.row = algorithm,
		.combined = algorithm->combined == algorithm->mechanism ||
			    key_operation_possible(request, algorithm->combined, flag_of(purpose)),
		.ecdsa = algorithm->form == FORM_ECDSA,
		.asked = algorithm->name,
	};
}

void signer_of_mechanism(
	struct request *request, const CK_MECHANISM *mechanism, enum signer_purpose purpose, struct signer *ret_signer)
{
	const struct algorithm *row = algorithm_by_mechanism(mechanism->mechanism);
	const struct algorithm *combined = algorithm_by_combined(mechanism->mechanism);
	bool replace = combined != NULL && combined->prepare != PREPARE_PSS &&
		       !key_operation_possible(request, mechanism->mechanism, flag_of(purpose));
	*ret_signer = (struct signer){
		.algorithm = replace ? combined : NULL,
		.mechanism = *mechanism,
		.row = row,
		.ecdsa = row != NULL && row->form == FORM_ECDSA,
		.asked = name_of(NAMES_MECHANISM, mechanism->mechanism),
		.by_mechanism = true,
	};
}

bool signer_fits(const struct signer *signer, const struct key *key)
{
	const struct algorithm *row = signer->row;
	if (!mechanism_fits_key(row != NULL ? row->mechanism : signer->mechanism.mechanism, key->class, key->type))
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
	return key_operation_hash(bytes, input->sha256);
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
	if (algorithm == NULL)
		*ret_mechanism = signer->mechanism;
	else
		ret_mechanism->mechanism = algorithm->combined;
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

/* The operation but for the signature of a verification; `pss` outlives it. */
static CK_RV plan(struct request *request, const struct key *key, const struct signer *signer,
	const struct signer_input *input, CK_RSA_PKCS_PSS_PARAMS *pss, struct key_operation *ret_operation)
{
	*ret_operation = (struct key_operation){
		.init = CALL_SignInit, .once = CALL_Sign, .key = key, .sha256 = input->sha256};
	CK_RV rv = prepare(request, signer, input, &ret_operation->mechanism, &ret_operation->input);
	if (rv == CKR_OK && signer->algorithm != NULL && signer->algorithm->prepare == PREPARE_PSS) {
		*pss = algorithm_pss(signer->algorithm);
		ret_operation->mechanism.pParameter = pss;
		ret_operation->mechanism.ulParameterLen = sizeof *pss;
	}
	return rv;
}

CK_RV signer_sign(struct use *use, const struct key *key, const struct signer *signer, const struct signer_input *input,
	struct bytes *ret_signature, bool *ret_withheld)
{
	CK_RSA_PKCS_PSS_PARAMS pss;
	struct key_operation operation;
	struct bytes signature = {NULL, 0};
	*ret_withheld = false;
	CK_RV rv = plan(use->request, key, signer, input, &pss, &operation);
	if (rv == CKR_OK)
		rv = key_operation_run(use, &operation, &signature, ret_withheld);
	if (rv == CKR_OK && signer->ecdsa && signer->der &&
		!ecdsa_raw_to_der(use->request->arena, signature, &signature))
		rv = CKR_DEVICE_ERROR;
	if (rv == CKR_OK)
		*ret_signature = signature;
	return rv;
}

/* Bytes of a number of the key's curve; 0 if the curve is not known. */
static size_t number_len(const struct key *key)
{
	return key->curve == NULL ? 0 : (key->curve->bits + 7) / 8;
}

bool signer_reads_format(const struct signer *signer, const struct key *key)
{
	return !signer->der || number_len(key) > 0;
}

CK_RV signer_verify(struct use *use, const struct key *key, const struct signer *signer,
	const struct signer_input *input, struct bytes signature, bool *ret_valid, bool *ret_withheld)
{
	CK_RSA_PKCS_PSS_PARAMS pss;
	struct key_operation operation;
	struct bytes none;
	*ret_withheld = *ret_valid = false;
	/* What is no DER is no signature, and is recorded as one that the token refused. */
	if (signer->der && !ecdsa_der_to_raw(use->request->arena, signature, number_len(key), &signature))
		signature = (struct bytes){(const unsigned char *)"", 0};
	CK_RV rv = plan(use->request, key, signer, input, &pss, &operation);
	operation.init = CALL_VerifyInit;
	operation.once = CALL_Verify;
	operation.signature = signature;
	if (rv == CKR_OK)
		rv = key_operation_run(use, &operation, &none, ret_withheld);
	*ret_valid = rv == CKR_OK;
	return rv == CKR_SIGNATURE_INVALID || rv == CKR_SIGNATURE_LEN_RANGE ? CKR_OK : rv;
}
