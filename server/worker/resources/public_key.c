#include "server/worker/resources/public_key.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <string.h>

#include "server/worker/resources/attribute.h"

/* CKA_EC_POINT is the DER of an OCTET STRING; some tokens give its contents alone. */
static struct bytes unwrap_point(struct bytes value, size_t point_len)
{
	const unsigned char *at = value.data;
	if (value.len == point_len)
		return value;
	ASN1_OCTET_STRING *string = d2i_ASN1_OCTET_STRING(NULL, &at, (long)value.len);
	bool fits = string != NULL && at == value.data + value.len && (size_t)ASN1_STRING_length(string) == point_len;
	ASN1_OCTET_STRING_free(string);
	/* The contents are the last bytes of the encoding. */
	return fits ? (struct bytes){value.data + value.len - point_len, point_len} : (struct bytes){NULL, 0};
}

static CK_RV read_point(const struct key *key, struct bytes value, struct public_key *ret_public)
{
	if (key->curve == NULL)
		return CKR_KEY_TYPE_INCONSISTENT;
	if (value.data == NULL)
		return CKR_ATTRIBUTE_TYPE_INVALID;
	/* RFC 8032 has one bit more than the field: the sign of x. */
	size_t number = key->type == CKK_EC ? (key->curve->bits + 7) / 8 : key->curve->bits / 8 + 1;
	ret_public->point = unwrap_point(value, key->type == CKK_EC ? 1 + 2 * number : number);
	return ret_public->point.data == NULL ? CKR_DEVICE_ERROR : CKR_OK;
}

CK_RV public_key_read(
	struct request *request, CK_SESSION_HANDLE session, const struct key *key, struct public_key *ret_public)
{
	static const CK_ATTRIBUTE_TYPE rsa[] = {CKA_MODULUS, CKA_PUBLIC_EXPONENT}, ec[] = {CKA_EC_POINT};
	CK_OBJECT_HANDLE object = key->public_object != CK_INVALID_HANDLE ? key->public_object : key->object;
	struct bytes values[2];
	bool is_rsa = key->type == CKK_RSA;
	*ret_public = (struct public_key){.key = key};
	if (key->class == CKO_SECRET_KEY || (!is_rsa && key->type != CKK_EC && key->type != CKK_EC_EDWARDS))
		return CKR_KEY_TYPE_INCONSISTENT;
	CK_RV rv = attribute_read(request, session, object, is_rsa ? rsa : ec, is_rsa ? 2 : 1, values);
	if (rv != CKR_OK)
		return rv;
	if (!is_rsa)
		return read_point(key, values[0], ret_public);
	if (values[0].data == NULL || values[1].data == NULL || values[0].len == 0 || values[1].len == 0)
		return CKR_ATTRIBUTE_TYPE_INVALID;
	ret_public->modulus = values[0];
	ret_public->exponent = values[1];
	return CKR_OK;
}

static EVP_PKEY *from_parameters(const char *type, OSSL_PARAM_BLD *build)
{
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
	if (context != NULL && parameters != NULL && EVP_PKEY_fromdata_init(context) == 1 &&
		EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
		key = NULL;
	OSSL_PARAM_free(parameters);
	EVP_PKEY_CTX_free(context);
	return key;
}

static EVP_PKEY *rsa_key(const struct public_key *public_key, OSSL_PARAM_BLD *build)
{
	BIGNUM *n = BN_bin2bn(public_key->modulus.data, (int)public_key->modulus.len, NULL);
	BIGNUM *e = BN_bin2bn(public_key->exponent.data, (int)public_key->exponent.len, NULL);
	EVP_PKEY *key = NULL;
	if (n != NULL && e != NULL && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
		OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		key = from_parameters("RSA", build);
	BN_free(n);
	BN_free(e);
	return key;
}

static EVP_PKEY *ec_key(const struct public_key *public_key, OSSL_PARAM_BLD *build)
{
	const struct curve *curve = public_key->key->curve;
	if (public_key->key->type == CKK_EC_EDWARDS)
		return EVP_PKEY_new_raw_public_key_ex(
			NULL, curve->openssl, NULL, public_key->point.data, public_key->point.len);
	if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curve->openssl, 0) != 1 ||
		OSSL_PARAM_BLD_push_octet_string(
			build, OSSL_PKEY_PARAM_PUB_KEY, public_key->point.data, public_key->point.len) != 1)
		return NULL;
	return from_parameters("EC", build);
}

EVP_PKEY *public_key_openssl(const struct public_key *public_key)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	if (build == NULL)
		return NULL;
	EVP_PKEY *key = public_key->key->type == CKK_RSA ? rsa_key(public_key, build) : ec_key(public_key, build);
	OSSL_PARAM_BLD_free(build);
	return key;
}

static void write_number(struct json_writer *w, const char *name, const unsigned char *data, size_t len)
{
	json_name(w, name);
	json_write_bytes(w, data, len);
}

/* Base64urlUInt of RFC 7518: no leading zero bytes. */
static void write_uint(struct json_writer *w, const char *name, struct bytes number)
{
	while (number.len > 1 && number.data[0] == 0) {
		number.data++;
		number.len--;
	}
	write_number(w, name, number.data, number.len);
}

void public_key_write_jwk(const struct public_key *public_key, struct json_writer *w)
{
	const struct key *key = public_key->key;
	json_begin_object(w);
	json_name(w, "kty");
	json_write_string(w, key->type == CKK_RSA ? "RSA" : key->type == CKK_EC ? "EC" : "OKP");
	if (key->type == CKK_RSA) {
		write_uint(w, "n", public_key->modulus);
		write_uint(w, "e", public_key->exponent);
	} else {
		size_t number = key->type == CKK_EC ? (public_key->point.len - 1) / 2 : public_key->point.len;
		const unsigned char *x = public_key->point.data + (key->type == CKK_EC);
		json_name(w, "crv");
		json_write_string(w, key->curve->name);
		write_number(w, "x", x, number);
		if (key->type == CKK_EC)
			write_number(w, "y", x + number, number);
	}
	json_end_object(w);
}
