#include "server/worker/internal.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <string.h>

/*
 * Keys of non-repudiation certificates (B18, B19): by policy they ask for their PIN at each use, although the token does not. Read anew
 * whenever it counts, so that a certificate that comes or goes is noticed at the next use (B21).
 */

enum {
	CERTIFICATES_AT_ONCE = 32,
	CERTIFICATE_MAX = 64 << 10, /* bytes */
	PUBLIC_MAX = 4096, /* bytes of a modulus or a point */
};

/* OpenSC's attribute for what a PKCS #15 card says of the key itself. */
#define CKA_OPENSC_NON_REPUDIATION (CKA_VENDOR_DEFINED | 0x4F534300UL | 1UL)

/* What tells a public key from others: the modulus, or the point. */
struct public_part {
	unsigned char data[PUBLIC_MAX];
	size_t len; /* 0: not known */
};

struct looking {
	struct request *request;
	CK_SESSION_HANDLE session;
	const struct public_part *public; /* NULL: the CKA_ID tells */
};

/* One attribute into `data`; its length, 0 if the object has none that fits. */
static size_t read_one(
	const struct looking *looking, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, void *data, size_t size)
{
	CK_ATTRIBUTE attribute = {type, data, size};
	const union wire_value v[] = {
		{.number = looking->session}, {.number = object}, {.attributes = {&attribute, 1}}};
	CK_RV rv = invoke_uncounted(looking->request->worker, CALL_GetAttributeValue, v);

	return rv == CKR_OK && attribute.ulValueLen <= size ? attribute.ulValueLen : 0;
}

static bool public_is(const struct public_part *public, const unsigned char *data, size_t len)
{
	return len > 0 && len == public->len && memcmp(public->data, data, len) == 0;
}

/* Whether the certificate is of that public key. */
static bool public_matches(const struct public_part *public, X509 *certificate)
{
	unsigned char data[PUBLIC_MAX];
	EVP_PKEY *key = X509_get0_pubkey(certificate);
	BIGNUM *modulus = NULL;
	size_t len = 0;

	if (!key)
		return false;
	if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &modulus) == 1) {
		len = (size_t)BN_num_bytes(modulus) <= sizeof data ? (size_t)BN_bn2bin(modulus, data) : 0;
		BN_free(modulus);
	} else if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, data, sizeof data, &len) != 1) {
		len = 0;
	}
	return public_is(public, data, len);
}

/* X509_get_key_usage says "everything" of a certificate without the extension, so that is asked first (B19). */
static bool certificate_demands(const struct looking *looking, const unsigned char *der, size_t len)
{
	X509 *certificate = d2i_X509(NULL, &der, (long)len);
	bool demands = certificate && (X509_get_extension_flags(certificate) & EXFLAG_KUSAGE) != 0 &&
		       (X509_get_key_usage(certificate) & KU_NON_REPUDIATION) != 0 &&
		       (!looking->public || public_matches(looking->public, certificate));

	X509_free(certificate);
	return demands;
}

static CK_RV find(const struct looking *looking, CK_ATTRIBUTE *template, CK_ULONG count,
	bool (*look)(const struct looking *, CK_OBJECT_HANDLE, void *), void *context, bool *ret_hit)
{
	struct worker *worker = looking->request->worker;
	CK_OBJECT_HANDLE found[CERTIFICATES_AT_ONCE];
	CK_ULONG got = 0;
	const union wire_value start[] = {{.number = looking->session}, {.attributes = {template, count}}};
	const union wire_value next[] = {{.number = looking->session}, {.found = {found, CERTIFICATES_AT_ONCE, &got}}};
	CK_RV rv = invoke_uncounted(worker, CALL_FindObjectsInit, start);

	if (rv != CKR_OK)
		return rv;
	*ret_hit = false;
	do {
		rv = invoke_uncounted(worker, CALL_FindObjects, next);
		for (CK_ULONG i = 0; rv == CKR_OK && !*ret_hit && i < got && i < CERTIFICATES_AT_ONCE; i++)
			*ret_hit = look(looking, found[i], context);
	} while (rv == CKR_OK && !*ret_hit && got > 0);
	CK_RV ended = invoke_uncounted(worker, CALL_FindObjectsFinal, start);
	return rv != CKR_OK ? rv : ended;
}

static bool look_at_certificate(const struct looking *looking, CK_OBJECT_HANDLE object, void *der)
{
	size_t len = read_one(looking, object, CKA_VALUE, der, CERTIFICATE_MAX);

	return len > 0 && certificate_demands(looking, der, len);
}

/* CKA_EC_POINT is a DER OCTET STRING around the point. */
static void unwrap_point(struct public_part *public)
{
	const unsigned char *at = public->data;
	ASN1_OCTET_STRING *point = d2i_ASN1_OCTET_STRING(NULL, &at, (long)public->len);

	if (!point)
		return;
	public->len = (size_t)ASN1_STRING_length(point);
	memmove(public->data, ASN1_STRING_get0_data(point), public->len);
	ASN1_OCTET_STRING_free(point);
}

static bool look_at_public_key(const struct looking *looking, CK_OBJECT_HANDLE object, void *context)
{
	struct public_part *public = context;

	public->len = read_one(looking, object, CKA_EC_POINT, public->data, sizeof public->data);
	unwrap_point(public);
	return public->len > 0;
}

/* An EC private key does not tell its point: the public key of the same label does. */
static CK_RV read_public(const struct looking *looking, CK_OBJECT_HANDLE key, struct public_part *ret_public)
{
	CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
	unsigned char label[OBJECT_LABEL_MAX];
	bool hit;

	ret_public->len = read_one(looking, key, CKA_MODULUS, ret_public->data, sizeof ret_public->data);
	while (ret_public->len > 0 && ret_public->data[0] == 0)
		memmove(ret_public->data, ret_public->data + 1, --ret_public->len);
	if (ret_public->len > 0)
		return CKR_OK;
	CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class},
		{CKA_LABEL, label, read_one(looking, key, CKA_LABEL, label, sizeof label)}};
	return find(looking, template, 2, look_at_public_key, ret_public, &hit);
}

/* Whether a certificate of the key demands it; what cannot be read demands it too. */
static bool certificates_demand(struct looking *looking, CK_OBJECT_HANDLE key)
{
	CK_OBJECT_CLASS class = CKO_CERTIFICATE;
	unsigned char id[OBJECT_ID_MAX];
	size_t id_len = read_one(looking, key, CKA_ID, id, sizeof id);
	CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}, {CKA_ID, id, id_len}};
	struct public_part *public = arena_alloc(looking->request->arena, sizeof *public);
	void *der = arena_alloc(looking->request->arena, CERTIFICATE_MAX);
	bool hit = false;

	if (!public || !der)
		return true;
	public->len = 0;
	if (id_len == 0) {
		if (read_public(looking, key, public) != CKR_OK)
			return true;
		looking->public = public;
	}
	return find(looking, template, id_len > 0 ? 2 : 1, look_at_certificate, der, &hit) != CKR_OK || hit;
}

bool forced_login_demanded(struct request *request, CK_OBJECT_HANDLE key)
{
	struct looking looking = {.request = request};
	CK_BBOOL said = CK_FALSE;

	if (!login_rules(request->worker).force_login)
		return false;
	if (pool_lend(request, &looking.session) != CKR_OK)
		return true;
	bool demanded = (read_one(&looking, key, CKA_OPENSC_NON_REPUDIATION, &said, sizeof said) == sizeof said &&
				said) ||
			certificates_demand(&looking, key);
	session_give_back(request, looking.session, true);
	return demanded;
}

bool forced_login_applies(struct request *request, CK_OBJECT_HANDLE key, const struct object_info *info)
{
	return info && info->class == CKO_PRIVATE_KEY && !info->always_authenticate &&
	       forced_login_demanded(request, key);
}

/* Writes CK_TRUE as the module would have. */
static void attribute_say_true(CK_ATTRIBUTE *attribute, const struct query *asked)
{
	static const CK_BBOOL yes = CK_TRUE;

	attribute->ulValueLen = sizeof yes;
	if (!asked->data)
		return;
	if (asked->capacity < sizeof yes) {
		attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return;
	}
	attribute->pValue = asked->data;
	memcpy(asked->data, &yes, sizeof yes);
}

CK_RV forced_login_show(const struct call *call, CK_RV rv)
{
	CK_ATTRIBUTE *attributes = call->values[2].attributes.items;
	CK_ULONG count = call->values[2].attributes.count;
	bool missing = false;

	for (CK_ULONG i = 0; i < count; i++) {
		if (attributes[i].type == CKA_ALWAYS_AUTHENTICATE)
			attribute_say_true(&attributes[i], &call->queries[2][i]);
		missing = missing || attributes[i].ulValueLen == CK_UNAVAILABLE_INFORMATION;
	}
	/* A token that does not know the attribute has nothing else to complain of. */
	return rv == CKR_ATTRIBUTE_TYPE_INVALID && !missing ? CKR_OK : rv;
}
