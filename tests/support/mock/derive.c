#include "tests/support/mock/mock.h"

#include <openssl/evp.h>
#include <openssl/kdf.h>

static EVP_PKEY *peer_of(const EVP_PKEY *own, const CK_ECDH1_DERIVE_PARAMS *parameter)
{
	const unsigned char *point = parameter->pPublicData;
	size_t len = parameter->ulPublicDataLen;
	EVP_PKEY *peer = EVP_PKEY_new();

	/* As a DER OCTET STRING, or bare. */
	if (len > 2 && point[0] == 4 && point[1] == len - 2) {
		point += 2;
		len -= 2;
	}
	if (peer &&
		(EVP_PKEY_copy_parameters(peer, own) != 1 || EVP_PKEY_set1_encoded_public_key(peer, point, len) != 1)) {
		EVP_PKEY_free(peer);
		peer = NULL;
	}
	return peer;
}

static bool agree(EVP_PKEY *own, EVP_PKEY *peer, unsigned char *out, size_t *len)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(own, NULL);
	bool good = context && EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, peer) == 1 &&
		    EVP_PKEY_derive(context, out, len) == 1;

	EVP_PKEY_CTX_free(context);
	return good;
}

static CK_RV derive_by_agreement(
	const struct object *base, const CK_MECHANISM *mechanism, unsigned char *out, size_t *len)
{
	if (!mechanism->pParameter || mechanism->ulParameterLen != sizeof(CK_ECDH1_DERIVE_PARAMS))
		return CKR_MECHANISM_PARAM_INVALID;
	EVP_PKEY *own = key_pkey(base), *peer = own ? peer_of(own, mechanism->pParameter) : NULL;
	bool good = peer && agree(own, peer, out, len);
	EVP_PKEY_free(peer);
	EVP_PKEY_free(own);
	return good ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

/* With SHA-256, extract and expand, a salt that is data, and what info there is. */
static CK_RV derive_by_hkdf(const struct object *base, const CK_MECHANISM *mechanism, unsigned char *out, size_t *len)
{
	const CK_HKDF_PARAMS *parameter = mechanism->pParameter;
	size_t value_len = 0;
	const unsigned char *value = object_attribute(base, CKA_VALUE, &value_len);

	if (!parameter || mechanism->ulParameterLen != sizeof *parameter || !parameter->bExtract ||
		!parameter->bExpand || parameter->prfHashMechanism != CKM_SHA256 ||
		parameter->ulSaltType != CKF_HKDF_SALT_DATA)
		return CKR_MECHANISM_PARAM_INVALID;
	if (!value)
		return CKR_KEY_TYPE_INCONSISTENT;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	bool good = context && EVP_PKEY_derive_init(context) == 1 &&
		    EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()) == 1 &&
		    EVP_PKEY_CTX_set1_hkdf_key(context, value, (int)value_len) == 1 &&
		    EVP_PKEY_CTX_set1_hkdf_salt(context, parameter->pSalt, (int)parameter->ulSaltLen) == 1 &&
		    (parameter->ulInfoLen == 0 ||
			    EVP_PKEY_CTX_add1_hkdf_info(context, parameter->pInfo, (int)parameter->ulInfoLen) == 1) &&
		    EVP_PKEY_derive(context, out, len) == 1;
	EVP_PKEY_CTX_free(context);
	return good ? CKR_OK : CKR_FUNCTION_FAILED;
}

/* Careless on purpose: it asks no always-authenticate key for its PIN (A18). */
CK_RV mock_DeriveKey(const union wire_value v[])
{
	unsigned char secret[128];
	size_t len = sizeof secret;
	CK_RV rv;
	struct session *session = session_get(v[0].number, &rv);
	const struct object *base = session ? object_get(v[2].number) : NULL;

	if (!session)
		return rv;
	if (!base || !object_visible(base))
		return CKR_KEY_HANDLE_INVALID;
	CK_MECHANISM_TYPE type = v[1].mechanism ? v[1].mechanism->mechanism : CK_UNAVAILABLE_INFORMATION;
	if (type == CKM_HKDF_DERIVE) {
		len = key_template_ulong(&v[3], CKA_VALUE_LEN, 32);
		rv = len > sizeof secret ? CKR_KEY_SIZE_RANGE : derive_by_hkdf(base, v[1].mechanism, secret, &len);
	} else {
		rv = type == CKM_ECDH1_DERIVE ? derive_by_agreement(base, v[1].mechanism, secret, &len)
					      : CKR_MECHANISM_INVALID;
	}
	if (rv != CKR_OK)
		return rv;
	CK_ULONG wanted = key_template_ulong(&v[3], CKA_VALUE_LEN, len);
	if (wanted > len)
		return CKR_KEY_SIZE_RANGE;
	return key_secret_store(session, key_template_ulong(&v[3], CKA_KEY_TYPE, CKK_GENERIC_SECRET), &v[3], secret,
		wanted, v[4].number_out);
}
