#include "tests/support/mock/mock.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <string.h>

enum { INPUT_MAX = 4096, SIGNATURE_MAX = 512 };

bool key_rsa(EVP_PKEY *pkey, int (*init)(EVP_PKEY_CTX *), key_step step, const unsigned char *in, size_t in_len,
	unsigned char *out, size_t *len)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
	bool good = context && init(context) == 1 && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
		    step(context, out, len, in, in_len) == 1;

	EVP_PKEY_CTX_free(context);
	return good;
}

/* SHA-256's DigestInfo or hash before the operation's data, where its mechanism hashes. */
static size_t prepared(const struct operation_state *state, unsigned char ret_data[INPUT_MAX])
{
	static const unsigned char info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
		0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
	bool rsa = state->mechanism == CKM_SHA256_RSA_PKCS;

	if (!rsa && state->mechanism != CKM_ECDSA_SHA256) {
		size_t len = state->len < INPUT_MAX ? state->len : INPUT_MAX;
		if (len > 0)
			memcpy(ret_data, state->data, len);
		return len;
	}
	size_t before = rsa ? sizeof info : 0;
	memcpy(ret_data, info, before);
	EVP_Digest(state->data, state->len, ret_data + before, NULL, EVP_sha256(), NULL);
	return before + 32;
}

static bool ecdsa_sign(EVP_PKEY *pkey, const unsigned char *in, size_t in_len, unsigned char *out, size_t *len)
{
	unsigned char der[256];
	const unsigned char *at = der;
	size_t der_len = sizeof der, half = (size_t)(EVP_PKEY_get_bits(pkey) + 7) / 8;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
	bool good = context && EVP_PKEY_sign_init(context) == 1 &&
		    EVP_PKEY_sign(context, der, &der_len, in, in_len) == 1;
	ECDSA_SIG *signature = good ? d2i_ECDSA_SIG(NULL, &at, (long)der_len) : NULL;

	good = signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, (int)half) > 0 &&
	       BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + half, (int)half) > 0;
	*len = 2 * half;
	ECDSA_SIG_free(signature);
	EVP_PKEY_CTX_free(context);
	return good;
}

static CK_RV asymmetric_run(const struct object *key, enum operation operation, const struct operation_state *state,
	CK_BYTE *out, size_t *len)
{
	unsigned char in[INPUT_MAX];
	size_t in_len = prepared(state, in);
	EVP_PKEY *pkey = key_pkey(key);
	bool good = false;

	if (pkey && object_number(key, CKA_KEY_TYPE) == CKK_EC)
		good = ecdsa_sign(pkey, in, in_len, out, len);
	else if (pkey && operation == OPERATION_SIGN)
		good = key_rsa(pkey, EVP_PKEY_sign_init, EVP_PKEY_sign, in, in_len, out, len);
	else if (pkey && operation == OPERATION_DECRYPT)
		good = key_rsa(pkey, EVP_PKEY_decrypt_init, EVP_PKEY_decrypt, in, in_len, out, len);
	else if (pkey)
		good = key_rsa(pkey, EVP_PKEY_encrypt_init, EVP_PKEY_encrypt, in, in_len, out, len);
	EVP_PKEY_free(pkey);
	return good ? CKR_OK : operation == OPERATION_DECRYPT ? CKR_ENCRYPTED_DATA_INVALID : CKR_DATA_LEN_RANGE;
}

static CK_RV aes_run(
	const struct object *key, bool encrypt, const struct operation_state *state, CK_BYTE *out, size_t *len)
{
	size_t value_len = 0;
	const unsigned char *value = object_attribute(key, CKA_VALUE, &value_len);
	const EVP_CIPHER *cipher = value_len == 32   ? EVP_aes_256_cbc()
				   : value_len == 24 ? EVP_aes_192_cbc()
						     : EVP_aes_128_cbc();
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int first = 0, rest = 0;
	bool good = context && value && EVP_CipherInit_ex(context, cipher, NULL, value, state->iv, encrypt) == 1 &&
		    EVP_CipherUpdate(context, out, &first, state->data, (int)state->len) == 1 &&
		    EVP_CipherFinal_ex(context, out + first, &rest) == 1;

	EVP_CIPHER_CTX_free(context);
	*len = (size_t)(first + rest);
	return good ? CKR_OK : CKR_ENCRYPTED_DATA_INVALID;
}

static CK_RV hmac_run(const struct object *key, const struct operation_state *state, CK_BYTE *out, size_t *len)
{
	size_t value_len = 0;
	const unsigned char *value = object_attribute(key, CKA_VALUE, &value_len);
	unsigned got = 0;

	if (!value || !HMAC(EVP_sha256(), value, (int)value_len, state->data, state->len, out, &got))
		return CKR_FUNCTION_FAILED;
	*len = got;
	return CKR_OK;
}

size_t key_output_len(const struct object *key, enum operation operation, const struct operation_state *state)
{
	size_t modulus = 0, point = 0;

	if (operation == OPERATION_DIGEST || state->mechanism == CKM_SHA256_HMAC)
		return 32;
	if (state->mechanism == CKM_AES_CBC_PAD)
		return operation == OPERATION_ENCRYPT ? state->len / 16 * 16 + 16 : state->len;
	if (object_number(key, CKA_KEY_TYPE) == CKK_EC)
		return object_attribute(key, CKA_EC_POINT, &point) ? point - 3 : 0;
	return object_attribute(key, CKA_MODULUS, &modulus) ? modulus : 0;
}

CK_RV key_run(const struct object *key, enum operation operation, const struct operation_state *state, CK_BYTE *out,
	size_t *len)
{
	if (operation == OPERATION_DIGEST) {
		*len = 32;
		return EVP_Digest(state->data, state->len, out, NULL, EVP_sha256(), NULL) == 1 ? CKR_OK
											       : CKR_FUNCTION_FAILED;
	}
	if (state->mechanism == CKM_SHA256_HMAC)
		return hmac_run(key, state, out, len);
	if (state->mechanism == CKM_AES_CBC_PAD)
		return aes_run(key, operation == OPERATION_ENCRYPT, state, out, len);
	return asymmetric_run(key, operation, state, out, len);
}

static bool ecdsa_verify(EVP_PKEY *pkey, const unsigned char *in, size_t in_len, const CK_BYTE *raw, size_t len)
{
	unsigned char *der = NULL;
	ECDSA_SIG *signature = ECDSA_SIG_new();
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
	bool good = false;

	if (signature && ECDSA_SIG_set0(signature, BN_bin2bn(raw, (int)len / 2, NULL),
				 BN_bin2bn(raw + len / 2, (int)len / 2, NULL)) == 1) {
		int der_len = i2d_ECDSA_SIG(signature, &der);
		good = context && der_len > 0 && EVP_PKEY_verify_init(context) == 1 &&
		       EVP_PKEY_verify(context, der, (size_t)der_len, in, in_len) == 1;
	}
	OPENSSL_free(der);
	ECDSA_SIG_free(signature);
	EVP_PKEY_CTX_free(context);
	return good;
}

CK_RV key_verify(const struct object *key, const struct operation_state *state, const CK_BYTE *signature, size_t len)
{
	unsigned char in[INPUT_MAX], recovered[SIGNATURE_MAX];
	size_t recovered_len = sizeof recovered, in_len = prepared(state, in);
	bool good = false;

	if (len != key_output_len(key, OPERATION_VERIFY, state))
		return CKR_SIGNATURE_LEN_RANGE;
	if (state->mechanism == CKM_SHA256_HMAC) {
		good = hmac_run(key, state, recovered, &recovered_len) == CKR_OK &&
		       memcmp(recovered, signature, len) == 0;
		return good ? CKR_OK : CKR_SIGNATURE_INVALID;
	}
	EVP_PKEY *pkey = key_pkey(key);
	if (pkey && object_number(key, CKA_KEY_TYPE) == CKK_EC)
		good = ecdsa_verify(pkey, in, in_len, signature, len);
	else if (pkey)
		good = key_rsa(pkey, EVP_PKEY_verify_recover_init, EVP_PKEY_verify_recover, signature, len, recovered,
			       &recovered_len) &&
		       recovered_len == in_len && memcmp(recovered, in, in_len) == 0;
	EVP_PKEY_free(pkey);
	return good ? CKR_OK : CKR_SIGNATURE_INVALID;
}
