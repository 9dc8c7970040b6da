#include "server/worker/resources/material.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"

/* Nobody is asked for the passphrase of an encrypted key. */
static int no_passphrase(char *text, int size, int writing, void *context)
{
	(void)text;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

static EVP_PKEY *refuse(struct request *request, const char *pointer, const char *detail)
{
	body_refuse(request, pointer, detail);
	return NULL;
}

static EVP_PKEY *pair_of_pem(struct request *request, const char *pem)
{
	BIO *in = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = in == NULL ? NULL : PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);
	char *rest = NULL;
	long rest_len = in == NULL ? 0 : BIO_get_mem_data(in, &rest);
	bool alone = true;
	for (long i = 0; i < rest_len; i++)
		alone = alone && strchr(" \t\r\n", rest[i]) != NULL;
	BIO_free(in);
	if (key != NULL && alone)
		return key;
	EVP_PKEY_free(key);
	return refuse(request, "/pem",
		key != NULL                        ? "there is something behind the key"
		: strstr(pem, "ENCRYPTED") != NULL ? "the key is encrypted; decrypt it first"
						   : "it is not one private key in PEM");
}

static EVP_PKEY *pair_of_der(struct request *request, const json_t *body)
{
	struct bytes der;
	if (!material_bytes(request, body, "pkcs8", "/pkcs8", &der))
		return NULL;
	const unsigned char *at = der.data;
	PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.len);
	EVP_PKEY *key = info == NULL || at != der.data + der.len ? NULL : EVP_PKCS82PKEY(info);
	PKCS8_PRIV_KEY_INFO_free(info);
	return key != NULL ? key
			   : refuse(request, "/pkcs8", "it is not a PrivateKeyInfo of PKCS #8 that is not encrypted");
}

/* Whether product ≡ 1 modulo (prime - 1), with those two factors. */
static bool is_inverse(const BIGNUM *a, const BIGNUM *b, const BIGNUM *modulus, BN_CTX *context)
{
	BIGNUM *product = BN_CTX_get(context);
	return product != NULL && BN_mod_mul(product, a, b, modulus, context) == 1 && BN_is_one(product);
}

/* What a factor's exponent has to be: `exponent` is d modulo factor - 1, and inverse to e there. */
static bool exponent_fits(
	const BIGNUM *factor, const BIGNUM *d, const BIGNUM *e, const BIGNUM *exponent, BN_CTX *context)
{
	BIGNUM *below = BN_CTX_get(context), *reduced = BN_CTX_get(context);
	return reduced != NULL && BN_sub(below, factor, BN_value_one()) == 1 && !BN_is_zero(below) &&
	       BN_mod(reduced, d, below, context) == 1 && BN_cmp(reduced, exponent) == 0 &&
	       is_inverse(e, exponent, below, context);
}

enum { N, E, D, P, Q, DP, DQ, QI, NUMBERS };

/*
 * Whether the numbers belong together. EVP_PKEY_check would also look whether the factors are primes, for minutes with a long key;
 * whoever imports a key knows where it comes from.
 */
static bool rsa_fits(const EVP_PKEY *key)
{
	static const char *const names[NUMBERS] = {
		[N] = OSSL_PKEY_PARAM_RSA_N,
		[E] = OSSL_PKEY_PARAM_RSA_E,
		[D] = OSSL_PKEY_PARAM_RSA_D,
		[P] = OSSL_PKEY_PARAM_RSA_FACTOR1,
		[Q] = OSSL_PKEY_PARAM_RSA_FACTOR2,
		[DP] = OSSL_PKEY_PARAM_RSA_EXPONENT1,
		[DQ] = OSSL_PKEY_PARAM_RSA_EXPONENT2,
		[QI] = OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
	};
	BIGNUM *v[NUMBERS] = {NULL};
	BN_CTX *context = BN_CTX_secure_new();
	bool fits = context != NULL;
	for (size_t i = 0; i < NUMBERS && fits; i++)
		fits = EVP_PKEY_get_bn_param(key, names[i], &v[i]) == 1 && !BN_is_zero(v[i]);
	if (fits) {
		BN_CTX_start(context);
		BIGNUM *product = BN_CTX_get(context);
		fits = product != NULL && BN_mul(product, v[P], v[Q], context) == 1 && BN_cmp(product, v[N]) == 0 &&
		       exponent_fits(v[P], v[D], v[E], v[DP], context) &&
		       exponent_fits(v[Q], v[D], v[E], v[DQ], context) && is_inverse(v[Q], v[QI], v[P], context);
		BN_CTX_end(context);
	}
	for (size_t i = 0; i < NUMBERS; i++)
		BN_clear_free(v[i]);
	BN_CTX_free(context);
	return fits;
}

static bool halves_fit(EVP_PKEY *key)
{
	if (EVP_PKEY_is_a(key, "RSA"))
		return rsa_fits(key);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	bool fits = context != NULL && EVP_PKEY_pairwise_check(context) == 1;
	EVP_PKEY_CTX_free(context);
	return fits;
}

/* Kind and curve of the pair. */
static bool judge_pair(struct request *request, struct material *material)
{
	char group[64];
	EVP_PKEY *key = material->pair;
	if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1)
		material->curve = curve_by_openssl(group);
	else if (!EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get0_type_name(key) != NULL)
		material->curve = curve_by_openssl(EVP_PKEY_get0_type_name(key));
	material->kind = EVP_PKEY_is_a(key, "RSA") ? key_kind_of(CKK_RSA, NULL)
			 : material->curve != NULL ? key_kind_of(material->curve->type, material->curve)
						   : NULL;
	if (material->kind == NULL) {
		body_refuse(request, material->pointer, "no key of this kind or curve can be imported");
		return false;
	}
	if (!halves_fit(key)) {
		body_refuse(request, material->pointer, "the parts of the key do not belong together");
		return false;
	}
	return true;
}

/* The value of a secret key, whose kind the member type has to tell. */
static bool read_secret(
	struct request *request, const json_t *object, const char *name, const json_t *body, struct material *material)
{
	const char *type = body_text(body, "type");
	if (type == NULL) {
		body_refuse(request, "/type", "say what the secret key is for: AES or HMAC");
		return false;
	}
	material->kind = key_kind_by_name(type);
	return material_bytes(request, object, name, material->pointer, &material->secret);
}

static bool read_pair(struct request *request, const json_t *body, struct material *material)
{
	if (body_has(body, "type")) {
		body_refuse(request, "/type", "a private key tells its type itself");
		return false;
	}
	material->pair = body_has(body, "pem")     ? pair_of_pem(request, body_text(body, "pem"))
			 : body_has(body, "pkcs8") ? pair_of_der(request, body)
						   : material_of_jwk(request, body_member(body, "jwk"));
	if (material->pair == NULL)
		return false;
	if (judge_pair(request, material))
		return true;
	EVP_PKEY_free(material->pair);
	material->pair = NULL;
	return false;
}

bool material_read(struct request *request, const json_t *body, struct material *ret_material)
{
	static const char *const pointers[] = {"/pem", "/pkcs8", "/jwk", "/value"};
	const json_t *jwk = body_member(body, "jwk");
	bool oct = jwk != NULL && strcmp(body_text(jwk, "kty"), "oct") == 0;
	size_t count = 0;
	*ret_material = (struct material){.pair = NULL};
	for (size_t i = 0; i < sizeof pointers / sizeof pointers[0]; i++) {
		if (!body_has(body, pointers[i] + 1))
			continue;
		ret_material->pointer = pointers[i];
		count++;
	}
	if (count != 1) {
		body_refuse(request, count == 0 ? "" : ret_material->pointer, "give one of pem, pkcs8, jwk and value");
		return false;
	}
	if (body_has(body, "value"))
		return read_secret(request, body, "value", body, ret_material);
	if (!oct)
		return read_pair(request, body, ret_material);
	ret_material->pointer = "/jwk/k";
	return read_secret(request, jwk, "k", body, ret_material);
}
