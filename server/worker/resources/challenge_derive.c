#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include "server/worker/resources/answer.h"
#include "server/worker/resources/challenge.h"
#include "server/worker/resources/key_operation.h"
#include "server/worker/resources/peer.h"

enum { RANDOM_LEN = 32 }; /* bytes of a test challenge */

bool challenge_fits(struct request *request, const struct key *key, const struct method *method, struct bytes challenge)
{
	if (method->step != METHOD_AGREE || peer_point(request, key, challenge).data != NULL)
		return true;
	return answer_refuse(request, CKR_PUBLIC_KEY_INVALID, "/challenge",
		"The challenge of ecdh is a public key (SubjectPublicKeyInfo, DER) on the curve of the key.");
}

/* Of `len` bytes, as a session object that nobody else sees for long. */
static CK_RV derive_value(struct request *request, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key,
	CK_MECHANISM *mechanism, CK_ULONG len, struct bytes *ret_value)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_GENERIC_SECRET;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE template[] = {
		{CKA_CLASS, &class, sizeof class},
		{CKA_KEY_TYPE, &type, sizeof type},
		{CKA_TOKEN, &no, sizeof no},
		{CKA_PRIVATE, &yes, sizeof yes},
		{CKA_SENSITIVE, &no, sizeof no},
		{CKA_EXTRACTABLE, &yes, sizeof yes},
		{CKA_VALUE_LEN, &len, sizeof len},
	};
	CK_OBJECT_HANDLE made = CK_INVALID_HANDLE;
	const union wire_value derive[] = {{.number = session}, {.mechanism = mechanism}, {.number = key},
		{.attributes = {template, sizeof template / sizeof template[0]}}, {.number_out = &made}};
	unsigned char *out = arena_alloc(request->arena, len);
	if (out == NULL)
		return CKR_HOST_MEMORY;
	CK_RV rv = invoke(request, CALL_DeriveKey, derive);
	if (rv != CKR_OK)
		return rv;
	CK_ATTRIBUTE value = {CKA_VALUE, out, len};
	const union wire_value get[] = {{.number = session}, {.number = made}, {.attributes = {&value, 1}}};
	rv = invoke(request, CALL_GetAttributeValue, get);
	const union wire_value destroy[] = {{.number = session}, {.number = made}};
	CK_RV destroyed = invoke(request, CALL_DestroyObject, destroy);
	*ret_value = (struct bytes){out, value.ulValueLen};
	if (rv == CKR_OK && value.ulValueLen != len)
		return CKR_DEVICE_ERROR;
	return rv == CKR_OK ? destroyed : rv;
}

/* The value, as long as the mechanism gives it, by a key whose PIN has been verified where it asks for one. */
static CK_RV run(struct use *use, const struct key *key, CK_MECHANISM *mechanism, CK_ULONG len, struct bytes *ret_value,
	const char **ret_function, bool *ret_withheld)
{
	CK_OBJECT_HANDLE object = key->object;
	unsigned login = login_epoch(use->request->worker);
	*ret_function = "C_Login";
	CK_RV rv = use->context ? use_verify(use, login, &object, ret_withheld) : CKR_OK;
	if (rv != CKR_OK || *ret_withheld)
		return rv;
	*ret_function = "C_DeriveKey";
	return derive_value(use->request, use->session, object, mechanism, len, ret_value);
}

CK_RV challenge_derive(struct use *use, const struct key *key, const struct method *method, struct bytes challenge,
	struct bytes *ret_value, bool *ret_withheld)
{
	CK_HKDF_PARAMS salt = {
		.bExtract = CK_TRUE,
		.bExpand = CK_TRUE,
		.prfHashMechanism = CKM_SHA256,
		.ulSaltType = CKF_HKDF_SALT_DATA,
		.pSalt = (CK_BYTE *)(uintptr_t)challenge.data,
		.ulSaltLen = challenge.len,
	};
	CK_ECDH1_DERIVE_PARAMS agree = {.kdf = CKD_NULL};
	CK_MECHANISM mechanism = {method->mechanism, &salt, sizeof salt};
	CK_ULONG len = method->raw_len;
	struct signer_input input;
	const char *function = "C_DeriveKey";
	uint64_t begun = key_operation_now_us();
	*ret_withheld = false;
	if (!signer_input_init(&input, challenge, false))
		return CKR_HOST_MEMORY;
	if (method->step == METHOD_AGREE) {
		struct bytes point = peer_point(use->request, key, challenge);
		agree.pPublicData = (CK_BYTE *)(uintptr_t)point.data;
		agree.ulPublicDataLen = point.len;
		mechanism = (CK_MECHANISM){method->mechanism, &agree, sizeof agree};
		len = peer_field_len(key);
	}
	CK_RV rv = run(use, key, &mechanism, len, ret_value, &function, ret_withheld);
	if (!*ret_withheld)
		*ret_withheld = !key_operation_record(use,
			&(struct key_record){.key = key,
				.mechanism = mechanism.mechanism,
				.sha256 = input.sha256,
				.function = function,
				.begun_us = begun},
			rv);
	return rv;
}

/* The public key of a new key on the curve. */
static struct bytes random_peer(struct request *request, const struct key *key)
{
	EVP_PKEY *peer = EVP_EC_gen(key->curve->openssl);
	int len = peer == NULL ? 0 : i2d_PUBKEY(peer, NULL);
	unsigned char *der = len > 0 ? arena_alloc(request->arena, (size_t)len) : NULL, *end = der;
	bool written = der != NULL && i2d_PUBKEY(peer, &end) == len;
	EVP_PKEY_free(peer);
	return written ? (struct bytes){der, (size_t)len} : (struct bytes){NULL, 0};
}

struct bytes challenge_random(struct request *request, const struct key *key, const struct method *method)
{
	if (method->step == METHOD_AGREE)
		return random_peer(request, key);
	unsigned char *random = arena_alloc(request->arena, RANDOM_LEN);
	if (random == NULL || RAND_bytes(random, RANDOM_LEN) != 1)
		return (struct bytes){NULL, 0};
	return (struct bytes){random, RANDOM_LEN};
}
