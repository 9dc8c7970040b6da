#include "tests/support/mock/mock.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

enum { MATERIAL_MAX = 4096, RSA_BYTES_MAX = 512 };

static const struct mechanism {
	CK_MECHANISM_TYPE type;
	CK_MECHANISM_INFO info;
} mechanisms[] = {
	{CKM_RSA_PKCS_KEY_PAIR_GEN, {1024, 4096, CKF_GENERATE_KEY_PAIR}},
	{CKM_EC_KEY_PAIR_GEN, {256, 384, CKF_GENERATE_KEY_PAIR | CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS}},
	{CKM_AES_KEY_GEN, {16, 32, CKF_GENERATE}},
	{CKM_GENERIC_SECRET_KEY_GEN, {1, 256, CKF_GENERATE}},
	{CKM_RSA_PKCS, {1024, 4096, CKF_SIGN | CKF_VERIFY | CKF_ENCRYPT | CKF_DECRYPT | CKF_WRAP | CKF_UNWRAP}},
	{CKM_SHA256_RSA_PKCS, {1024, 4096, CKF_SIGN | CKF_VERIFY}},
	{CKM_ECDSA, {256, 384, CKF_SIGN | CKF_VERIFY | CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS}},
	{CKM_ECDSA_SHA256, {256, 384, CKF_SIGN | CKF_VERIFY | CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS}},
	{CKM_SHA256_HMAC, {1, 256, CKF_SIGN | CKF_VERIFY}},
	{CKM_HKDF_DERIVE, {1, 256, CKF_DERIVE}},
	{CKM_AES_CBC_PAD, {16, 32, CKF_ENCRYPT | CKF_DECRYPT}},
	{CKM_ECDH1_DERIVE, {256, 384, CKF_DERIVE | CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS}},
	{CKM_SHA256, {0, 0, CKF_DIGEST}},
};

enum { MECHANISMS = sizeof mechanisms / sizeof mechanisms[0] };

CK_RV key_mechanisms(CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
	CK_ULONG room = *count;

	*count = MECHANISMS;
	if (!list)
		return CKR_OK;
	if (room < MECHANISMS)
		return CKR_BUFFER_TOO_SMALL;
	for (int i = 0; i < MECHANISMS; i++)
		list[i] = mechanisms[i].type;
	return CKR_OK;
}

CK_RV key_mechanism_info(CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *ret_info)
{
	for (int i = 0; i < MECHANISMS; i++) {
		if (mechanisms[i].type == type) {
			*ret_info = mechanisms[i].info;
			return CKR_OK;
		}
	}
	return CKR_MECHANISM_INVALID;
}

/* --- material --- */

EVP_PKEY *key_pkey(const struct object *key)
{
	size_t len = 0;
	const unsigned char *der = object_attribute(key, CKA_MOCK_MATERIAL, &len);

	if (!der)
		return NULL;
	return object_number(key, CKA_CLASS) == CKO_PRIVATE_KEY ? d2i_AutoPrivateKey(NULL, &der, (long)len)
								: d2i_PUBKEY(NULL, &der, (long)len);
}

static CK_RV material_set(struct object *key, EVP_PKEY *pkey, bool private)
{
	unsigned char der[MATERIAL_MAX], *end = der;
	int len = private ? i2d_PrivateKey(pkey, NULL) : i2d_PUBKEY(pkey, NULL);

	if (len <= 0 || len > MATERIAL_MAX)
		return CKR_FUNCTION_FAILED;
	len = private ? i2d_PrivateKey(pkey, &end) : i2d_PUBKEY(pkey, &end);
	return object_set(key, CKA_MOCK_MATERIAL, der, (size_t)len);
}

static CK_RV set_bignum(struct object *key, CK_ATTRIBUTE_TYPE type, const EVP_PKEY *pkey, const char *name)
{
	unsigned char bytes[RSA_BYTES_MAX];
	BIGNUM *number = NULL;

	if (EVP_PKEY_get_bn_param(pkey, name, &number) != 1)
		return CKR_FUNCTION_FAILED;
	int len = BN_num_bytes(number) <= RSA_BYTES_MAX ? BN_bn2bin(number, bytes) : -1;
	BN_free(number);
	return len < 0 ? CKR_FUNCTION_FAILED : object_set(key, type, bytes, (size_t)len);
}

/* The point as CKA_EC_POINT has it: a DER OCTET STRING, below 128 bytes for the curves of this token. */
static CK_RV set_point(struct object *key, const EVP_PKEY *pkey)
{
	unsigned char point[128];
	size_t len = 0;

	if (EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PUB_KEY, point + 2, sizeof point - 2, &len) != 1)
		return CKR_FUNCTION_FAILED;
	point[0] = 4;
	point[1] = (unsigned char)len;
	return object_set(key, CKA_EC_POINT, point, len + 2);
}

static CK_RV set_public_values(struct object *key, const EVP_PKEY *pkey)
{
	if (object_number(key, CKA_KEY_TYPE) == CKK_EC)
		return set_point(key, pkey);
	CK_RV rv = set_bignum(key, CKA_MODULUS, pkey, OSSL_PKEY_PARAM_RSA_N);
	return rv == CKR_OK ? set_bignum(key, CKA_PUBLIC_EXPONENT, pkey, OSSL_PKEY_PARAM_RSA_E) : rv;
}

/* --- making keys --- */

static const CK_ATTRIBUTE *template_find(const union wire_value *template, CK_ATTRIBUTE_TYPE type)
{
	for (CK_ULONG i = 0; i < template->attributes.count; i++) {
		if (template->attributes.items[i].type == type && template->attributes.items[i].pValue)
			return &template->attributes.items[i];
	}
	return NULL;
}

CK_ULONG key_template_ulong(const union wire_value *template, CK_ATTRIBUTE_TYPE type, CK_ULONG otherwise)
{
	const CK_ATTRIBUTE *attribute = template_find(template, type);

	if (attribute && attribute->ulValueLen == sizeof otherwise)
		memcpy(&otherwise, attribute->pValue, sizeof otherwise);
	return otherwise;
}

static EVP_PKEY *generate(CK_MECHANISM_TYPE mechanism, const union wire_value *template)
{
	static const unsigned char p384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};

	if (mechanism == CKM_RSA_PKCS_KEY_PAIR_GEN)
		return EVP_RSA_gen((unsigned)key_template_ulong(template, CKA_MODULUS_BITS, 2048));
	const CK_ATTRIBUTE *curve = template_find(template, CKA_EC_PARAMS);
	bool large = curve && curve->ulValueLen == sizeof p384 && memcmp(curve->pValue, p384, sizeof p384) == 0;
	return EVP_EC_gen(large ? "P-384" : "P-256");
}

/* Public half, then private half of `pkey`; on failure neither stays. */
static CK_RV pair_store(
	struct session *session, EVP_PKEY *pkey, CK_KEY_TYPE type, const union wire_value v[], struct object *ret[2])
{
	CK_BBOOL yes = CK_TRUE;
	CK_RV rv = object_new(session, CKO_PUBLIC_KEY, type, &v[2], &ret[0]);

	if (rv == CKR_OK)
		rv = object_new(session, CKO_PRIVATE_KEY, type, &v[3], &ret[1]);
	for (int i = 0; i < 2 && rv == CKR_OK; i++) {
		rv = material_set(ret[i], pkey, i == 1);
		if (rv == CKR_OK)
			rv = set_public_values(ret[i], pkey);
		if (rv == CKR_OK)
			rv = object_set(ret[i], CKA_LOCAL, &yes, sizeof yes);
	}
	const CK_ATTRIBUTE *curve = template_find(&v[2], CKA_EC_PARAMS);
	if (rv == CKR_OK && curve)
		rv = object_set(ret[1], CKA_EC_PARAMS, curve->pValue, curve->ulValueLen);
	for (int i = 0; i < 2 && rv != CKR_OK; i++) {
		if (ret[i])
			ret[i]->handle = 0;
	}
	return rv;
}

CK_RV mock_GenerateKeyPair(const union wire_value v[])
{
	struct object *pair[2] = {NULL, NULL};
	CK_RV rv;
	struct session *session = session_get(v[0].number, &rv);

	if (!session)
		return rv;
	if (!v[1].mechanism || !v[4].number_out || !v[5].number_out)
		return CKR_ARGUMENTS_BAD;
	CK_MECHANISM_TYPE type = v[1].mechanism->mechanism;
	if (type != CKM_RSA_PKCS_KEY_PAIR_GEN && type != CKM_EC_KEY_PAIR_GEN)
		return CKR_MECHANISM_INVALID;
	EVP_PKEY *pkey = generate(type, &v[2]);
	if (!pkey)
		return CKR_FUNCTION_FAILED;
	rv = pair_store(session, pkey, type == CKM_EC_KEY_PAIR_GEN ? CKK_EC : CKK_RSA, v, pair);
	EVP_PKEY_free(pkey);
	if (rv == CKR_OK) {
		*v[4].number_out = pair[0]->handle;
		*v[5].number_out = pair[1]->handle;
	}
	return rv;
}

CK_RV key_secret_store(struct session *session, CK_KEY_TYPE type, const union wire_value *template,
	const unsigned char *value, size_t len, CK_OBJECT_HANDLE *ret_handle)
{
	CK_ULONG length = len;
	struct object *key = NULL;
	CK_RV rv = object_new(session, CKO_SECRET_KEY, type, template, &key);

	if (rv == CKR_OK)
		rv = object_set(key, CKA_VALUE, value, len);
	if (rv == CKR_OK)
		rv = object_set(key, CKA_VALUE_LEN, &length, sizeof length);
	if (rv == CKR_OK)
		*ret_handle = key->handle;
	return rv;
}

CK_RV mock_GenerateKey(const union wire_value v[])
{
	unsigned char value[256];
	CK_RV rv;
	struct session *session = session_get(v[0].number, &rv);

	if (!session)
		return rv;
	if (!v[1].mechanism || !v[3].number_out)
		return CKR_ARGUMENTS_BAD;
	bool aes = v[1].mechanism->mechanism == CKM_AES_KEY_GEN;
	if (!aes && v[1].mechanism->mechanism != CKM_GENERIC_SECRET_KEY_GEN)
		return CKR_MECHANISM_INVALID;
	CK_ULONG len = key_template_ulong(&v[2], CKA_VALUE_LEN, 32);
	if (len == 0 || len > sizeof value || RAND_bytes(value, (int)len) != 1)
		return CKR_KEY_SIZE_RANGE;
	return key_secret_store(session, aes ? CKK_AES : CKK_GENERIC_SECRET, &v[2], value, len, v[3].number_out);
}

/* --- wrapping: a secret key under RSA --- */

static CK_RV wrapping_key(const union wire_value v[], struct session **ret_session, EVP_PKEY **ret_pkey)
{
	CK_RV rv;

	*ret_session = session_get(v[0].number, &rv);
	if (!*ret_session)
		return rv;
	if (!v[1].mechanism || v[1].mechanism->mechanism != CKM_RSA_PKCS)
		return CKR_MECHANISM_INVALID;
	const struct object *key = object_get(v[2].number);
	if (!key || !object_visible(key))
		return CKR_KEY_HANDLE_INVALID;
	*ret_pkey = key_pkey(key);
	return *ret_pkey ? CKR_OK : CKR_KEY_TYPE_INCONSISTENT;
}

CK_RV mock_WrapKey(const union wire_value v[])
{
	struct session *session;
	EVP_PKEY *pkey = NULL;
	size_t value_len = 0;
	CK_RV rv = wrapping_key(v, &session, &pkey);

	if (rv != CKR_OK)
		return rv;
	const struct object *key = object_get(v[3].number);
	const unsigned char *value = key ? object_attribute(key, CKA_VALUE, &value_len) : NULL;
	size_t need = (size_t)EVP_PKEY_get_size(pkey), room = v[4].buffer.len ? *v[4].buffer.len : 0;
	if (!value)
		rv = CKR_KEY_HANDLE_INVALID;
	else if (!object_flag(key, CKA_EXTRACTABLE))
		rv = CKR_KEY_UNEXTRACTABLE;
	else if (v[4].buffer.data && room < need)
		rv = CKR_BUFFER_TOO_SMALL;
	else if (v[4].buffer.data &&
		 !key_rsa(pkey, EVP_PKEY_encrypt_init, EVP_PKEY_encrypt, value, value_len, v[4].buffer.data, &room))
		rv = CKR_FUNCTION_FAILED;
	if (v[4].buffer.len && (rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL))
		*v[4].buffer.len = need;
	EVP_PKEY_free(pkey);
	return rv;
}

CK_RV mock_UnwrapKey(const union wire_value v[])
{
	unsigned char value[RSA_BYTES_MAX];
	size_t len = sizeof value;
	struct session *session;
	EVP_PKEY *pkey = NULL;
	CK_RV rv = wrapping_key(v, &session, &pkey);

	if (rv != CKR_OK)
		return rv;
	bool good = key_rsa(
		pkey, EVP_PKEY_decrypt_init, EVP_PKEY_decrypt, v[3].bytes.data, v[3].bytes.len, value, &len);
	EVP_PKEY_free(pkey);
	if (!good)
		return CKR_WRAPPED_KEY_INVALID;
	return key_secret_store(session, key_template_ulong(&v[4], CKA_KEY_TYPE, CKK_GENERIC_SECRET), &v[4], value, len,
		v[5].number_out);
}

CK_RV mock_SeedRandom(const union wire_value v[])
{
	CK_RV rv;

	(void)!session_get(v[0].number, &rv);
	return rv;
}

CK_RV mock_GenerateRandom(const union wire_value v[])
{
	CK_RV rv;

	if (!session_get(v[0].number, &rv))
		return rv;
	if (!v[1].bytes.data)
		return CKR_ARGUMENTS_BAD;
	return RAND_bytes(v[1].bytes.data, (int)v[1].bytes.len) == 1 ? CKR_OK : CKR_FUNCTION_FAILED;
}
