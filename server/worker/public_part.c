#include "server/worker/public_part.h"

#include <openssl/core_names.h>
#include <string.h>

#include "server/worker/lookup.h"

/* What public keys are looked for under: one of both is empty. */
struct name {
	unsigned char id[OBJECT_ID_MAX], label[OBJECT_LABEL_MAX];
	size_t id_len, label_len;
};

struct looking {
	struct worker *worker;
	CK_SESSION_HANDLE session;
	const struct name *name;
	struct public_part *part; /* found so far */
	bool found, several;
};

/* CKA_EC_POINT is a DER OCTET STRING around the point; some modules give the bare point. */
static void unwrap_point(struct public_part *part)
{
	const unsigned char *at = part->data;
	ASN1_OCTET_STRING *point = d2i_ASN1_OCTET_STRING(NULL, &at, (long)part->len);

	if (point && at == part->data + part->len) {
		part->len = (size_t)ASN1_STRING_length(point);
		memmove(part->data, ASN1_STRING_get0_data(point), part->len);
	}
	ASN1_OCTET_STRING_free(point);
}

/* What the object, a key of that type, says of itself; 0 bytes if nothing. */
static void read_own(
	struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, struct public_part *part)
{
	bool rsa = part->type == CKK_RSA;

	if (!lookup_attribute(worker, session, object, rsa ? CKA_MODULUS : CKA_EC_POINT, part->data, sizeof part->data,
		    &part->len)) {
		part->len = 0;
		return;
	}
	while (rsa && part->len > 0 && part->data[0] == 0)
		memmove(part->data, part->data + 1, --part->len);
	if (!rsa)
		unwrap_point(part);
}

static bool public_equal(const struct public_part *part, const unsigned char *data, size_t len)
{
	return part->len == len && memcmp(part->data, data, len) == 0;
}

/* Without a CKA_ID to search for, a public key that has one is another key's. */
static bool has_id(const struct looking *looking, CK_OBJECT_HANDLE object)
{
	unsigned char id[OBJECT_ID_MAX];
	size_t len;

	return !lookup_attribute(looking->worker, looking->session, object, CKA_ID, id, sizeof id, &len) || len > 0;
}

/* Ends the search at a public key that is not like the others, or does not tell. */
static bool look_at_public_key(void *context, CK_OBJECT_HANDLE object)
{
	struct looking *looking = context;
	struct public_part *part = looking->part, other = {.type = part->type};

	if (looking->name->id_len == 0 && has_id(looking, object))
		return false;
	looking->found = true;
	read_own(looking->worker, looking->session, object, &other);
	if (other.len == 0)
		looking->several = true;
	else if (part->len > 0)
		looking->several = !public_equal(part, other.data, other.len);
	else
		memcpy(part->data, other.data, part->len = other.len);
	return looking->several;
}

/* The public key objects of that name, and of the key's type and life. */
static CK_RV look_for_public_keys(struct looking *looking)
{
	CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
	CK_BBOOL token = looking->part->token;
	struct name name = *looking->name;
	CK_ATTRIBUTE template[] = {
		{CKA_CLASS, &class, sizeof class},
		{CKA_TOKEN, &token, sizeof token},
		{CKA_KEY_TYPE, &looking->part->type, sizeof looking->part->type},
		name.id_len > 0 ? (CK_ATTRIBUTE){CKA_ID, name.id, name.id_len}
				: (CK_ATTRIBUTE){CKA_LABEL, name.label, name.label_len},
	};
	bool hit;
	CK_RV rv = lookup_each(looking->worker, looking->session, template, sizeof template / sizeof *template,
		look_at_public_key, looking, &hit);

	if (looking->several)
		looking->part->len = 0;
	return rv;
}

static CK_RV read_pair(struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, struct public_part *part)
{
	struct name name;
	struct looking looking = {.worker = worker, .session = session, .name = &name, .part = part};

	/* Cut off, a name would be another key's. */
	if (!lookup_attribute(worker, session, key, CKA_ID, name.id, sizeof name.id, &name.id_len) ||
		!lookup_attribute(worker, session, key, CKA_LABEL, name.label, sizeof name.label, &name.label_len))
		return CKR_OK;
	CK_RV rv = look_for_public_keys(&looking);
	if (rv != CKR_OK || looking.found || name.id_len == 0)
		return rv;
	name.id_len = 0;
	return look_for_public_keys(&looking);
}

CK_RV public_part_read(
	struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, struct public_part *ret_part)
{
	struct public_part *part = ret_part;
	CK_BBOOL token = CK_TRUE;
	size_t len;

	if (!lookup_attribute(worker, session, key, CKA_TOKEN, &token, sizeof token, &len) || len == 0)
		token = CK_TRUE;
	part->token = token;
	if (!lookup_attribute(worker, session, key, CKA_KEY_TYPE, &part->type, sizeof part->type, &len) ||
		len != sizeof part->type)
		part->type = CK_UNAVAILABLE_INFORMATION;
	if (!lookup_attribute(worker, session, key, CKA_EC_PARAMS, part->curve, sizeof part->curve, &part->curve_len) ||
		part->curve[0] != V_ASN1_OBJECT)
		part->curve_len = 0;
	part->len = 0;
	if (part->type == CK_UNAVAILABLE_INFORMATION)
		return CKR_OK;
	read_own(worker, session, key, part);
	return part->len > 0 ? CKR_OK : read_pair(worker, session, key, part);
}

/* --- certificates --- */

static size_t certificate_public(X509 *certificate, unsigned char data[PUBLIC_PART_MAX])
{
	EVP_PKEY *key = X509_get0_pubkey(certificate);
	BIGNUM *modulus = NULL;
	size_t len = 0;

	if (!key)
		return 0;
	if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &modulus) == 1) {
		len = BN_num_bytes(modulus) <= PUBLIC_PART_MAX ? (size_t)BN_bn2bin(modulus, data) : 0;
		BN_free(modulus);
		return len;
	}
	return EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, data, PUBLIC_PART_MAX, &len) == 1 ? len
													       : 0;
}

static bool curve_may_be(const struct public_part *part, const X509_ALGOR *algorithm)
{
	const void *value;
	unsigned char *der = NULL;
	int kind;

	X509_ALGOR_get0(NULL, &kind, &value, algorithm);
	if (kind != V_ASN1_OBJECT || part->curve_len == 0)
		return true;
	int len = i2d_ASN1_OBJECT(value, &der);
	bool same = len < 0 || ((size_t)len == part->curve_len && memcmp(der, part->curve, part->curve_len) == 0);
	OPENSSL_free(der);
	return same;
}

static bool kind_may_be(const struct public_part *part, const X509 *certificate)
{
	static const struct {
		CK_KEY_TYPE type;
		int algorithm;
	} kinds[] = {
		{CKK_RSA, NID_rsaEncryption},
		{CKK_RSA, NID_rsassaPss},
		{CKK_EC, NID_X9_62_id_ecPublicKey},
		{CKK_EC_EDWARDS, NID_ED25519},
		{CKK_EC_EDWARDS, NID_ED448},
		{CKK_DSA, NID_dsa},
	};
	ASN1_OBJECT *object = NULL;
	X509_ALGOR *algorithm = NULL;
	bool known = false;

	if (X509_PUBKEY_get0_param(&object, NULL, NULL, &algorithm, X509_get_X509_PUBKEY(certificate)) != 1)
		return true;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (kinds[i].type == part->type && kinds[i].algorithm == OBJ_obj2nid(object))
			return curve_may_be(part, algorithm);
		known = known || kinds[i].type == part->type;
	}
	return !known;
}

bool public_part_may_be_of(const struct public_part *part, X509 *certificate)
{
	unsigned char data[PUBLIC_PART_MAX];
	size_t len = certificate_public(certificate, data);

	if (part->len > 0 && len > 0)
		return public_equal(part, data, len);
	return part->token && kind_may_be(part, certificate);
}
