#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <string.h>

#include "api/base64url.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/material.h"

bool material_bytes(
	struct request *request, const json_t *object, const char *name, const char *pointer, struct bytes *ret_bytes)
{
	const json_t *member = body_member(object, name);
	size_t len = json_string_length(member), decoded_len;
	if (member == NULL) {
		body_refuse(request, pointer, "the member is missing");
		return false;
	}
	unsigned char *decoded = arena_alloc(request->arena, base64url_decoded_max(len));
	if (decoded == NULL) {
		reply_return(request, CKR_HOST_MEMORY, "The request needs more memory than a request may take.");
		return false;
	}
	if (!base64url_decode(decoded, &decoded_len, json_string_value(member), len) || decoded_len == 0) {
		body_refuse(request, pointer, "the string is not base64url (RFC 4648, section 5)");
		return false;
	}
	*ret_bytes = (struct bytes){decoded, decoded_len};
	return true;
}

static bool read_member(struct request *request, const json_t *jwk, const char *name, struct bytes *ret_bytes)
{
	char pointer[16];
	snprintf(pointer, sizeof pointer, "/jwk/%s", name);
	return material_bytes(request, jwk, name, pointer, ret_bytes);
}

static EVP_PKEY *refuse(struct request *request, const char *pointer, const char *detail)
{
	body_refuse(request, pointer, detail);
	return NULL;
}

static EVP_PKEY *from_parameters(const char *type, OSSL_PARAM_BLD *build)
{
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
	if (context == NULL || parameters == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
		EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, parameters) != 1)
		key = NULL;
	OSSL_PARAM_free(parameters);
	EVP_PKEY_CTX_free(context);
	return key;
}

/* MEMBER(name of RFC 7518, section 6.3, OpenSSL's name) */
#define RSA_MEMBERS(MEMBER) \
	MEMBER("n", OSSL_PKEY_PARAM_RSA_N) \
	MEMBER("e", OSSL_PKEY_PARAM_RSA_E) \
	MEMBER("d", OSSL_PKEY_PARAM_RSA_D) \
	MEMBER("p", OSSL_PKEY_PARAM_RSA_FACTOR1) \
	MEMBER("q", OSSL_PKEY_PARAM_RSA_FACTOR2) \
	MEMBER("dp", OSSL_PKEY_PARAM_RSA_EXPONENT1) \
	MEMBER("dq", OSSL_PKEY_PARAM_RSA_EXPONENT2) \
	MEMBER("qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1)

static const struct {
	const char *name, *openssl;
} rsa_members[] = {
#define MEMBER(name, openssl) {name, openssl},
	RSA_MEMBERS(MEMBER)
#undef MEMBER
};

enum { RSA_MEMBER_COUNT = sizeof rsa_members / sizeof rsa_members[0] };

static EVP_PKEY *rsa_of(struct request *request, const json_t *jwk)
{
	BIGNUM *numbers[RSA_MEMBER_COUNT] = {NULL};
	struct bytes bytes[RSA_MEMBER_COUNT];
	EVP_PKEY *key = NULL;
	for (size_t i = 0; i < RSA_MEMBER_COUNT; i++)
		if (!read_member(request, jwk, rsa_members[i].name, &bytes[i]))
			return NULL;
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	bool pushed = build != NULL;
	for (size_t i = 0; i < RSA_MEMBER_COUNT && pushed; i++) {
		numbers[i] = BN_bin2bn(bytes[i].data, (int)bytes[i].len, NULL);
		pushed = numbers[i] != NULL && OSSL_PARAM_BLD_push_BN(build, rsa_members[i].openssl, numbers[i]) == 1;
	}
	if (pushed)
		key = from_parameters("RSA", build);
	OSSL_PARAM_BLD_free(build);
	for (size_t i = 0; i < RSA_MEMBER_COUNT; i++)
		BN_clear_free(numbers[i]);
	return key != NULL ? key : refuse(request, "/jwk", "the numbers are no RSA key");
}

/* 04 ‖ x ‖ y, each as long as the field. */
static EVP_PKEY *ec_of(struct request *request, const json_t *jwk, const struct curve *curve)
{
	enum { FIELD_MAX = 66 };
	struct bytes x, y, d;
	unsigned char point[1 + 2 * FIELD_MAX] = {4 /* uncompressed */};
	size_t field = (curve->bits + 7) / 8;
	if (!read_member(request, jwk, "x", &x) || !read_member(request, jwk, "y", &y) ||
		!read_member(request, jwk, "d", &d))
		return NULL;
	if (field > FIELD_MAX || x.len != field || y.len != field || d.len != field)
		return refuse(request,
			x.len != field   ? "/jwk/x"
			: y.len != field ? "/jwk/y"
					 : "/jwk/d",
			"the number has not the length of the curve's field");
	memcpy(point + 1, x.data, field);
	memcpy(point + 1 + field, y.data, field);
	BIGNUM *scalar = BN_bin2bn(d.data, (int)d.len, NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY *key = NULL;
	if (scalar != NULL && build != NULL &&
		OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curve->openssl, 0) == 1 &&
		OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * field) == 1 &&
		OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar) == 1)
		key = from_parameters("EC", build);
	OSSL_PARAM_BLD_free(build);
	BN_clear_free(scalar);
	return key != NULL ? key : refuse(request, "/jwk", "the numbers are no key of this curve");
}

static EVP_PKEY *okp_of(struct request *request, const json_t *jwk, const struct curve *curve)
{
	unsigned char public_key[64];
	size_t len = sizeof public_key;
	struct bytes x, d;
	if (!read_member(request, jwk, "x", &x) || !read_member(request, jwk, "d", &d))
		return NULL;
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key_ex(NULL, curve->openssl, NULL, d.data, d.len);
	if (key == NULL)
		return refuse(request, "/jwk/d", "it is no private key of this curve");
	if (EVP_PKEY_get_raw_public_key(key, public_key, &len) == 1 && x.len == len &&
		memcmp(public_key, x.data, len) == 0)
		return key;
	EVP_PKEY_free(key);
	return refuse(request, "/jwk/x", "it is not the public key of d");
}

EVP_PKEY *material_of_jwk(struct request *request, const json_t *jwk)
{
	const char *kty = body_text(jwk, "kty"), *crv = body_text(jwk, "crv");
	if (strcmp(kty, "RSA") == 0)
		return rsa_of(request, jwk);
	const struct curve *curve = crv == NULL ? NULL : curve_by_name(crv);
	if (curve == NULL || curve->type != (strcmp(kty, "EC") == 0 ? CKK_EC : CKK_EC_EDWARDS))
		return refuse(request, "/jwk/crv", "no key of this kind can be imported on this curve");
	return curve->type == CKK_EC ? ec_of(request, jwk, curve) : okp_of(request, jwk, curve);
}
