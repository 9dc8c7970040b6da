#include "tests/support/mock/mock.h"

#include <stdlib.h>
#include <string.h>

/* Every operation keeps its parts and does its work at the end. */

enum { DATA_MAX = 1 << 20 };

static const struct use {
	CK_FLAGS mechanism;
	CK_ATTRIBUTE_TYPE attribute;
} uses[OPERATION_COUNT] = {
	[OPERATION_ENCRYPT] = {CKF_ENCRYPT, CKA_ENCRYPT},
	[OPERATION_DECRYPT] = {CKF_DECRYPT, CKA_DECRYPT},
	[OPERATION_SIGN] = {CKF_SIGN, CKA_SIGN},
	[OPERATION_VERIFY] = {CKF_VERIFY, CKA_VERIFY},
};

static bool key_fits(const struct object *key, CK_MECHANISM_TYPE mechanism)
{
	CK_KEY_TYPE type = object_number(key, CKA_KEY_TYPE);

	switch (mechanism) {
	case CKM_RSA_PKCS:
	case CKM_SHA256_RSA_PKCS: return type == CKK_RSA;
	case CKM_ECDSA:
	case CKM_ECDSA_SHA256: return type == CKK_EC;
	case CKM_AES_CBC_PAD: return type == CKK_AES;
	default: return object_number(key, CKA_CLASS) == CKO_SECRET_KEY;
	}
}

static CK_RV key_check(const struct object *key, enum operation operation, CK_MECHANISM_TYPE mechanism)
{
	if (!key || !object_visible(key))
		return CKR_KEY_HANDLE_INVALID;
	if (!object_flag(key, uses[operation].attribute))
		return CKR_KEY_FUNCTION_NOT_PERMITTED;
	return key_fits(key, mechanism) ? CKR_OK : CKR_KEY_TYPE_INCONSISTENT;
}

static CK_RV begin(const union wire_value v[], enum operation operation)
{
	CK_MECHANISM_INFO info;
	CK_RV rv;
	struct session *session = session_get(v[0].number, &rv);

	if (!session)
		return rv;
	struct operation_state *state = &session->operations[operation];
	if (state->active)
		return CKR_OPERATION_ACTIVE;
	const CK_MECHANISM *mechanism = v[1].mechanism;
	if (!mechanism)
		return CKR_ARGUMENTS_BAD;
	CK_FLAGS use = operation == OPERATION_DIGEST ? CKF_DIGEST : uses[operation].mechanism;
	if (key_mechanism_info(mechanism->mechanism, &info) != CKR_OK || !(info.flags & use))
		return CKR_MECHANISM_INVALID;
	if (mechanism->mechanism == CKM_AES_CBC_PAD && (!mechanism->pParameter || mechanism->ulParameterLen != 16))
		return CKR_MECHANISM_PARAM_INVALID;
	if (operation != OPERATION_DIGEST) {
		const struct object *key = object_get(v[2].number);
		rv = key_check(key, operation, mechanism->mechanism);
		if (rv != CKR_OK)
			return rv;
		state->key = key->handle;
		state->awaiting = object_flag(key, CKA_ALWAYS_AUTHENTICATE) &&
				  !control_now()->always_authenticate_stored;
	}
	if (mechanism->mechanism == CKM_AES_CBC_PAD)
		memcpy(state->iv, mechanism->pParameter, sizeof state->iv);
	state->mechanism = mechanism->mechanism;
	state->active = true;
	return CKR_OK;
}

/* The active operation of the session, authorised; NULL and what to answer. */
static struct operation_state *operation_get(CK_SESSION_HANDLE handle, enum operation operation, CK_RV *ret_rv)
{
	struct session *session = session_get(handle, ret_rv);
	struct operation_state *state = session ? &session->operations[operation] : NULL;

	if (!state)
		return NULL;
	if (!state->active) {
		*ret_rv = CKR_OPERATION_NOT_INITIALIZED;
		return NULL;
	}
	if (!state->awaiting)
		return state;
	if (!control_now()->refusal_keeps)
		operation_end(state);
	*ret_rv = CKR_USER_NOT_LOGGED_IN;
	return NULL;
}

static CK_RV append(struct operation_state *state, const union wire_value *part)
{
	if (part->bytes.len > DATA_MAX - state->len)
		return CKR_DATA_LEN_RANGE;
	if (part->bytes.len == 0)
		return CKR_OK;
	if (!part->bytes.data)
		return CKR_ARGUMENTS_BAD;
	CK_BYTE *grown = realloc(state->data, state->len + part->bytes.len);
	if (!grown)
		return CKR_HOST_MEMORY;
	memcpy(grown + state->len, part->bytes.data, part->bytes.len);
	state->data = grown;
	state->len += part->bytes.len;
	return CKR_OK;
}

static CK_RV update(const union wire_value v[], enum operation operation)
{
	CK_RV rv;
	struct operation_state *state = operation_get(v[0].number, operation, &rv);

	if (!state)
		return rv;
	rv = append(state, &v[1]);
	if (rv != CKR_OK)
		operation_end(state);
	return rv;
}

/* The output of the whole operation, in two calls if the caller likes; `part` is the data of a single call, or NULL. */
static CK_RV finish(
	CK_SESSION_HANDLE handle, enum operation operation, const union wire_value *part, const union wire_value *out)
{
	CK_RV rv;
	struct operation_state *state = operation_get(handle, operation, &rv);

	if (!state)
		return rv;
	const struct object *key = object_get(state->key);
	size_t before = state->len;
	rv = !out->buffer.len ? CKR_ARGUMENTS_BAD : part ? append(state, part) : CKR_OK;
	size_t need = rv == CKR_OK ? key_output_len(key, operation, state) : 0;
	if (rv == CKR_OK && (!out->buffer.data || *out->buffer.len < need)) {
		rv = out->buffer.data ? CKR_BUFFER_TOO_SMALL : CKR_OK;
		*out->buffer.len = need;
		state->len = before;
		return rv;
	}
	size_t len = rv == CKR_OK ? *out->buffer.len : 0;
	if (rv == CKR_OK)
		rv = key_run(key, operation, state, out->buffer.data, &len);
	if (rv == CKR_OK)
		*out->buffer.len = len;
	operation_end(state);
	return rv;
}

/* Everything comes out at the end. */
static CK_RV update_cipher(const union wire_value v[], enum operation operation)
{
	CK_RV rv = v[2].buffer.data ? update(v, operation) : CKR_OK;

	if (rv == CKR_OK && v[2].buffer.len)
		*v[2].buffer.len = 0;
	return rv;
}

static CK_RV verify(CK_SESSION_HANDLE handle, const union wire_value *part, const union wire_value *signature)
{
	CK_RV rv;
	struct operation_state *state = operation_get(handle, OPERATION_VERIFY, &rv);

	if (!state)
		return rv;
	rv = part ? append(state, part) : CKR_OK;
	if (rv == CKR_OK)
		rv = key_verify(object_get(state->key), state, signature->bytes.data, signature->bytes.len);
	operation_end(state);
	return rv;
}

#define INIT(name, operation) \
	CK_RV mock_##name(const union wire_value v[]) \
	{ \
		return begin(v, operation); \
	}
#define SINGLE(name, operation) \
	CK_RV mock_##name(const union wire_value v[]) \
	{ \
		return finish(v[0].number, operation, &v[1], &v[2]); \
	}
#define FINAL(name, operation) \
	CK_RV mock_##name(const union wire_value v[]) \
	{ \
		return finish(v[0].number, operation, NULL, &v[1]); \
	}
#define UPDATE(name, operation) \
	CK_RV mock_##name(const union wire_value v[]) \
	{ \
		return update(v, operation); \
	}
#define UPDATE_CIPHER(name, operation) \
	CK_RV mock_##name(const union wire_value v[]) \
	{ \
		return update_cipher(v, operation); \
	}

INIT(EncryptInit, OPERATION_ENCRYPT)
SINGLE(Encrypt, OPERATION_ENCRYPT)
UPDATE_CIPHER(EncryptUpdate, OPERATION_ENCRYPT)
FINAL(EncryptFinal, OPERATION_ENCRYPT)
INIT(DecryptInit, OPERATION_DECRYPT)
SINGLE(Decrypt, OPERATION_DECRYPT)
UPDATE_CIPHER(DecryptUpdate, OPERATION_DECRYPT)
FINAL(DecryptFinal, OPERATION_DECRYPT)
INIT(DigestInit, OPERATION_DIGEST)
SINGLE(Digest, OPERATION_DIGEST)
UPDATE(DigestUpdate, OPERATION_DIGEST)
FINAL(DigestFinal, OPERATION_DIGEST)
INIT(SignInit, OPERATION_SIGN)
SINGLE(Sign, OPERATION_SIGN)
UPDATE(SignUpdate, OPERATION_SIGN)
FINAL(SignFinal, OPERATION_SIGN)
INIT(VerifyInit, OPERATION_VERIFY)
UPDATE(VerifyUpdate, OPERATION_VERIFY)

CK_RV mock_Verify(const union wire_value v[])
{
	return verify(v[0].number, &v[1], &v[2]);
}

CK_RV mock_VerifyFinal(const union wire_value v[])
{
	return verify(v[0].number, NULL, &v[1]);
}
