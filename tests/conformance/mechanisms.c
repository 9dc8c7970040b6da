/* The variants of a MECHANISM argument: each mechanism that the token lists, with a parameter that fits, without one, and with one of a wrong length. */
#include "tests/conformance/parity.h"

#include <stdio.h>
#include <string.h>

#include "tests/conformance/keys.h"

enum { MECHANISMS_MAX = 128 };

static CK_MECHANISM_TYPE listed[MECHANISMS_MAX];
static CK_ULONG listed_count;

static void list_mechanisms(struct world *w)
{
	if (listed_count > 0)
		return;
	listed_count = MECHANISMS_MAX;
	if (w->f->C_GetMechanismList(w->slot, listed, &listed_count) != CKR_OK)
		listed_count = 0;
}

static CK_MECHANISM_TYPE baseline(const struct call_row *row)
{
	switch (row->operation) {
	case OPERATION_ENCRYPT:
	case OPERATION_DECRYPT: return CKM_AES_CBC_PAD;
	case OPERATION_DIGEST: return CKM_SHA256;
	case OPERATION_SIGN:
	case OPERATION_VERIFY: return CKM_SHA256_RSA_PKCS;
	case OPERATION_SIGN_RECOVER:
	case OPERATION_VERIFY_RECOVER: return CKM_RSA_PKCS;
	default: break;
	}
	switch (row->id) {
	case CALL_GenerateKey: return CKM_AES_KEY_GEN;
	case CALL_GenerateKeyPair: return CKM_EC_KEY_PAIR_GEN;
	case CALL_DeriveKey: return CKM_ECDH1_DERIVE;
	default: return CKM_AES_KEY_WRAP;
	}
}

static CK_ULONG put(struct scratch *s, const void *parameter, CK_ULONG len)
{
	memcpy(s->parameter, parameter, len);
	return len;
}

static CK_ULONG pss(struct scratch *s, CK_MECHANISM_TYPE hash, CK_RSA_PKCS_MGF_TYPE mgf, CK_ULONG salt)
{
	CK_RSA_PKCS_PSS_PARAMS p = {.hashAlg = hash, .mgf = mgf, .sLen = salt};

	return put(s, &p, sizeof(p));
}

/* A parameter that fits the mechanism, in scratch memory; its length. */
static CK_ULONG fitting(CK_MECHANISM_TYPE type, struct scratch *s)
{
	static CK_BYTE bytes[32] = "initialisation vector, 32 bytes";
	static CK_BYTE peer[sizeof(EC_POINT) - 2];
	CK_RSA_PKCS_OAEP_PARAMS oaep = {.hashAlg = CKM_SHA_1, .mgf = CKG_MGF1_SHA1, .source = CKZ_DATA_SPECIFIED};
	CK_GCM_PARAMS gcm = {
		.pIv = bytes, .ulIvLen = 12, .ulIvBits = 96, .pAAD = bytes, .ulAADLen = 5, .ulTagBits = 128};
	CK_AES_CTR_PARAMS ctr = {.ulCounterBits = 128};
	CK_KEY_DERIVATION_STRING_DATA string = {.pData = bytes, .ulLen = 32};
	CK_AES_CBC_ENCRYPT_DATA_PARAMS aes_cbc = {.pData = bytes, .length = 32};
	CK_DES_CBC_ENCRYPT_DATA_PARAMS des_cbc = {.pData = bytes, .length = 32};
	CK_ECDH1_DERIVE_PARAMS ecdh = {.kdf = CKD_NULL, .ulPublicDataLen = sizeof(peer), .pPublicData = peer};

	memcpy(peer, EC_POINT + 2, sizeof(peer));
	switch (type) {
	case CKM_AES_CBC:
	case CKM_AES_CBC_PAD: return put(s, bytes, 16);
	case CKM_DES_CBC:
	case CKM_DES_CBC_PAD:
	case CKM_DES3_CBC:
	case CKM_DES3_CBC_PAD: return put(s, bytes, 8);
	case CKM_AES_CTR: return put(s, &ctr, sizeof(ctr));
	case CKM_AES_GCM: return put(s, &gcm, sizeof(gcm));
	case CKM_RSA_PKCS_OAEP: return put(s, &oaep, sizeof(oaep));
	case CKM_RSA_PKCS_PSS:
	case CKM_SHA256_RSA_PKCS_PSS: return pss(s, CKM_SHA256, CKG_MGF1_SHA256, 32);
	case CKM_SHA1_RSA_PKCS_PSS: return pss(s, CKM_SHA_1, CKG_MGF1_SHA1, 20);
	case CKM_SHA224_RSA_PKCS_PSS: return pss(s, CKM_SHA224, CKG_MGF1_SHA224, 28);
	case CKM_SHA384_RSA_PKCS_PSS: return pss(s, CKM_SHA384, CKG_MGF1_SHA384, 48);
	case CKM_SHA512_RSA_PKCS_PSS: return pss(s, CKM_SHA512, CKG_MGF1_SHA512, 64);
	case CKM_ECDH1_DERIVE: return put(s, &ecdh, sizeof(ecdh));
	case CKM_AES_ECB_ENCRYPT_DATA:
	case CKM_DES_ECB_ENCRYPT_DATA:
	case CKM_DES3_ECB_ENCRYPT_DATA: return put(s, &string, sizeof(string));
	case CKM_AES_CBC_ENCRYPT_DATA: return put(s, &aes_cbc, sizeof(aes_cbc));
	case CKM_DES_CBC_ENCRYPT_DATA:
	case CKM_DES3_CBC_ENCRYPT_DATA: return put(s, &des_cbc, sizeof(des_cbc));
	case CKM_DH_PKCS_DERIVE: return put(s, bytes, 32);
	default: return 0;
	}
}

/* Whether a key-generating call in this row would take seconds with the mechanism. */
static bool too_slow(const struct call_row *row, CK_MECHANISM_TYPE type)
{
	return (row->id == CALL_GenerateKey || row->id == CALL_GenerateKeyPair) &&
	       (type == CKM_DSA_PARAMETER_GEN || type == CKM_DH_PKCS_PARAMETER_GEN);
}

static bool is_random(CK_MECHANISM_TYPE type, const struct call_row *row)
{
	switch (type) {
	case CKM_ECDSA:
	case CKM_DSA:
	case CKM_DSA_SHA1:
	case CKM_DSA_SHA224:
	case CKM_DSA_SHA256:
	case CKM_DSA_SHA384:
	case CKM_DSA_SHA512:
	case CKM_RSA_PKCS_PSS:
	case CKM_SHA1_RSA_PKCS_PSS:
	case CKM_SHA224_RSA_PKCS_PSS:
	case CKM_SHA256_RSA_PKCS_PSS:
	case CKM_SHA384_RSA_PKCS_PSS:
	case CKM_SHA512_RSA_PKCS_PSS:
	case CKM_RSA_PKCS_OAEP: return true;
	case CKM_RSA_PKCS: return row->operation == OPERATION_ENCRYPT || row->id == CALL_WrapKey;
	default: return false;
	}
}

const char *mechanism_fill(
	struct world *w, const struct call_row *row, unsigned number, union wire_value *value, struct scratch *s)
{
	static char name[64];
	static const char *const forms[] = {"fitting", "none", "7 bytes"};
	CK_MECHANISM_TYPE type = baseline(row);
	unsigned form = 0;

	list_mechanisms(w);
	value->mechanism = &s->mechanism;
	if (number == 1) {
		value->mechanism = NULL;
		return "null";
	}
	if (number == 2)
		type = 0x7eee;
	if (number == 3)
		type = CKM_VENDOR_DEFINED | 1;
	if (number >= 4) {
		unsigned index = (number - 4) / 3;
		form = (number - 4) % 3;
		if (index >= listed_count)
			return NULL;
		type = listed[index];
		if (too_slow(row, type))
			type = 0x7eef;
	}
	s->mechanism.mechanism = type;
	s->mechanism.ulParameterLen = form == 0 ? fitting(type, s) : form == 1 ? 0 : 7;
	s->mechanism.pParameter = s->mechanism.ulParameterLen > 0 ? s->parameter : NULL;
	w->random = w->random || is_random(type, row);
	(void)snprintf(name, sizeof(name), "0x%lx %s", type, number < 4 ? "as is" : forms[form]);
	return name;
}
