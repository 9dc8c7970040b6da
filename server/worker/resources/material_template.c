#include <openssl/asn1.h>
#include <openssl/core_names.h>

#include "api/secret.h"
#include "server/worker/resources/material.h"

enum { POINT_MAX = 256 }; /* bytes of a public key on a curve, in DER too */

/* A number of the key, `len` bytes with zeros in front; 0: as many as it has. */
static CK_RV add_number(struct request *request, const EVP_PKEY *key, const char *name, size_t len,
	CK_ATTRIBUTE_TYPE type, struct key_template *template)
{
	BIGNUM *number = NULL;
	CK_RV rv = CKR_HOST_MEMORY;
	if (EVP_PKEY_get_bn_param(key, name, &number) != 1)
		return rv;
	size_t size = len != 0 ? len : (size_t)BN_num_bytes(number);
	unsigned char *bytes = arena_alloc(request->arena, size);
	if (bytes != NULL && BN_bn2binpad(number, bytes, (int)size) == (int)size) {
		key_template_add(template, type, bytes, size);
		rv = CKR_OK;
	}
	BN_clear_free(number);
	return rv;
}

/* NUMBER(half, OpenSSL's name, attribute) */
#define RSA_NUMBERS(NUMBER) \
	NUMBER(HALF_BOTH, OSSL_PKEY_PARAM_RSA_N, CKA_MODULUS) \
	NUMBER(HALF_BOTH, OSSL_PKEY_PARAM_RSA_E, CKA_PUBLIC_EXPONENT) \
	NUMBER(HALF_PRIVATE, OSSL_PKEY_PARAM_RSA_D, CKA_PRIVATE_EXPONENT) \
	NUMBER(HALF_PRIVATE, OSSL_PKEY_PARAM_RSA_FACTOR1, CKA_PRIME_1) \
	NUMBER(HALF_PRIVATE, OSSL_PKEY_PARAM_RSA_FACTOR2, CKA_PRIME_2) \
	NUMBER(HALF_PRIVATE, OSSL_PKEY_PARAM_RSA_EXPONENT1, CKA_EXPONENT_1) \
	NUMBER(HALF_PRIVATE, OSSL_PKEY_PARAM_RSA_EXPONENT2, CKA_EXPONENT_2) \
	NUMBER(HALF_PRIVATE, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, CKA_COEFFICIENT)

static CK_RV add_rsa(struct request *request, const EVP_PKEY *key, enum key_half half, struct key_template *template)
{
	static const struct {
		enum key_half half;
		const char *name;
		CK_ATTRIBUTE_TYPE type;
	} numbers[] = {
#define NUMBER(half, name, type) {half, name, type},
		RSA_NUMBERS(NUMBER)
#undef NUMBER
	};
	CK_RV rv = CKR_OK;
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && rv == CKR_OK; i++)
		if ((numbers[i].half & half) != 0)
			rv = add_number(request, key, numbers[i].name, 0, numbers[i].type, template);
	return rv;
}

/* CKA_EC_POINT: the DER of an OCTET STRING around the public key. */
static CK_RV add_point(struct request *request, EVP_PKEY *key, struct key_template *template)
{
	unsigned char point[POINT_MAX], der[POINT_MAX + 8], *end = der;
	size_t len;
	CK_RV rv = CKR_HOST_MEMORY;
	ASN1_OCTET_STRING *string = ASN1_OCTET_STRING_new();
	if (EVP_PKEY_is_a(key, "EC"))
		(void)EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
			OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED);
	if (string != NULL &&
		EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &len) == 1 &&
		ASN1_OCTET_STRING_set(string, point, (int)len) == 1) {
		int der_len = i2d_ASN1_OCTET_STRING(string, &end);
		void *copy = der_len > 0 ? arena_copy(request->arena, der, (size_t)der_len) : NULL;
		if (copy != NULL) {
			key_template_add(template, CKA_EC_POINT, copy, (CK_ULONG)der_len);
			rv = CKR_OK;
		}
	}
	ASN1_OCTET_STRING_free(string);
	return rv;
}

static CK_RV add_raw_private(struct request *request, const EVP_PKEY *key, struct key_template *template)
{
	unsigned char raw[POINT_MAX];
	size_t len = sizeof raw;
	if (EVP_PKEY_get_raw_private_key(key, raw, &len) != 1)
		return CKR_HOST_MEMORY;
	void *copy = arena_copy(request->arena, raw, len);
	secret_wipe(raw, sizeof raw);
	if (copy != NULL)
		key_template_add(template, CKA_VALUE, copy, len);
	return copy == NULL ? CKR_HOST_MEMORY : CKR_OK;
}

static CK_RV add_curve(
	struct request *request, const struct material *material, enum key_half half, struct key_template *template)
{
	const struct curve *curve = material->curve;
	key_template_add(template, CKA_EC_PARAMS, curve->params.data, curve->params.len);
	if (half == HALF_PUBLIC)
		return add_point(request, material->pair, template);
	if (curve->type == CKK_EC_EDWARDS)
		return add_raw_private(request, material->pair, template);
	return add_number(
		request, material->pair, OSSL_PKEY_PARAM_PRIV_KEY, (curve->bits + 7) / 8, CKA_VALUE, template);
}

CK_RV material_template(
	struct request *request, const struct material *material, enum key_half half, struct key_template *template)
{
	static const CK_OBJECT_CLASS classes[] = {
		[HALF_PRIVATE] = CKO_PRIVATE_KEY, [HALF_PUBLIC] = CKO_PUBLIC_KEY, [HALF_BOTH] = CKO_SECRET_KEY};
	key_template_add(template, CKA_CLASS, &classes[half], sizeof classes[half]);
	key_template_add(template, CKA_KEY_TYPE, &material->kind->type, sizeof material->kind->type);
	if (material->pair == NULL) {
		key_template_add(template, CKA_VALUE, material->secret.data, material->secret.len);
		return CKR_OK;
	}
	return material->kind->type == CKK_RSA ? add_rsa(request, material->pair, half, template)
					       : add_curve(request, material, half, template);
}
