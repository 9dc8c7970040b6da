#include "server/worker/resources/cipher.h"

#include "api/codec.h"
#include "server/worker/resources/attribute.h"

enum { GCM_IV_LEN = 12, BLOCK_LEN = 16, BYTE_BITS = 8 };

size_t cipher_iv_len(const struct cipher *cipher)
{
	if (cipher->row == NULL)
		return 0;
	switch (cipher->row->parameter) {
	case PARAMETER_OF_GCM: return GCM_IV_LEN;
	case PARAMETER_OF_IV: return BLOCK_LEN;
	default: return 0;
	}
}

bool cipher_has_tag(const struct cipher *cipher)
{
	return cipher->row != NULL && cipher->row->parameter == PARAMETER_OF_GCM;
}

static CK_MECHANISM gcm(const struct cipher_input *input, CK_GCM_PARAMS_V3 *parameter)
{
	*parameter = (CK_GCM_PARAMS_V3){
		.pIv = (CK_BYTE *)input->iv.data,
		.ulIvLen = input->iv.len,
		.ulIvBits = input->iv.len * BYTE_BITS,
		.pAAD = (CK_BYTE *)input->aad.data,
		.ulAADLen = input->aad.len,
		.ulTagBits = CIPHER_TAG_LEN * BYTE_BITS,
	};
	return (CK_MECHANISM){CKM_AES_GCM, parameter, sizeof *parameter};
}

static CK_MECHANISM oaep(const struct cipher_row *row, CK_RSA_PKCS_OAEP_PARAMS *parameter)
{
	const struct hash_row *hash = algorithm_hash(row->hash);
	*parameter = (CK_RSA_PKCS_OAEP_PARAMS){
		.hashAlg = hash->mechanism, .mgf = hash->mgf, .source = CKZ_DATA_SPECIFIED};
	return (CK_MECHANISM){row->mechanism, parameter, sizeof *parameter};
}

CK_MECHANISM cipher_mechanism(
	const struct cipher *cipher, const struct cipher_input *input, union cipher_parameter_value *value)
{
	const struct cipher_row *row = cipher->row;
	if (row == NULL)
		return cipher->mechanism;
	switch (row->parameter) {
	case PARAMETER_OF_GCM: return gcm(input, &value->gcm);
	case PARAMETER_OF_OAEP: return oaep(row, &value->oaep);
	case PARAMETER_OF_IV: return (CK_MECHANISM){row->mechanism, (CK_BYTE *)input->iv.data, input->iv.len};
	default: return (CK_MECHANISM){row->mechanism, NULL, 0};
	}
}

CK_RV cipher_fits(struct use *use, const struct cipher *cipher, const struct key *key)
{
	static const CK_ATTRIBUTE_TYPE length[] = {CKA_VALUE_LEN};
	const struct cipher_row *row = cipher->row;
	struct bytes value;
	if (!mechanism_fits_key(row != NULL ? row->mechanism : cipher->mechanism.mechanism, key->class, key->type))
		return CKR_KEY_TYPE_INCONSISTENT;
	if (row == NULL || row->bits == 0)
		return CKR_OK;
	CK_RV rv = attribute_read(use->request, use->session, key->object, length, 1, &value);
	if (rv != CKR_OK)
		return rv;
	/* A token that does not say how long its key is judges by itself. */
	CK_ULONG len = attribute_ulong(value, row->bits / BYTE_BITS);
	return len == row->bits / BYTE_BITS ? CKR_OK : CKR_KEY_SIZE_RANGE;
}

CK_RV cipher_refusal(const struct cipher *cipher, CK_RV rv)
{
	bool oaep = cipher->row != NULL && cipher->row->parameter == PARAMETER_OF_OAEP;
	return oaep && rv == CKR_ARGUMENTS_BAD ? CKR_MECHANISM_PARAM_INVALID : rv;
}
