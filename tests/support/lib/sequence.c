#include "tests/support/lib/sequence.h"

#include <stdio.h>
#include <string.h>

struct play {
	const struct sequence_token *token;
	const CK_FUNCTION_LIST *f;
	enum use use;
	unsigned wrong;
	CK_SESSION_HANDLE session, other;
	CK_OBJECT_HANDLE careful, plain;
	CK_BYTE input[512], output[512];
	CK_ULONG input_len;
	CK_STATE state;
};

static const struct {
	const char *name;
	CK_MECHANISM_TYPE mechanism;
	bool decrypt;
} uses[USE_COUNT] = {
	[USE_SIGN_EC] = {"C_Sign with EC", CKM_ECDSA, false},
	[USE_SIGN_RSA] = {"C_Sign with RSA", CKM_SHA256_RSA_PKCS, false},
	[USE_DECRYPT_RSA] = {"C_Decrypt with RSA", CKM_RSA_PKCS, true},
};

static const char *const acts[] = {
	[ACT_INIT] = "init",
	[ACT_INIT_PLAIN] = "init with the plain key",
	[ACT_ONE] = "single call",
	[ACT_LENGTH] = "question for the length",
	[ACT_SMALL] = "small buffer",
	[ACT_UPDATE] = "update",
	[ACT_FINAL] = "final",
	[ACT_RIGHT] = "right PIN",
	[ACT_WRONG] = "wrong PIN",
	[ACT_OTHER_RIGHT] = "right PIN on the other session",
	[ACT_LOGIN] = "login",
	[ACT_LOGOUT] = "logout",
	[ACT_STATE] = "session info",
	[ACT_ATTRIBUTE] = "attribute",
	[ACT_MECHANISM] = "mechanism info",
};

static void must(struct play *p, const char *what, CK_RV rv)
{
	if (rv == CKR_OK)
		return;
	(void)fprintf(stderr, "%s: %s: 0x%lx\n", p->token->who, what, rv);
	p->wrong++;
}

static void expect(struct play *p, bool holds, const char *what)
{
	if (holds)
		return;
	(void)fprintf(stderr, "%s: %s\n", p->token->who, what);
	p->wrong++;
}

static CK_RV login(const struct play *p, CK_SESSION_HANDLE session, CK_USER_TYPE user, const char *pin)
{
	return p->f->C_Login(session, user, (CK_UTF8CHAR *)pin, strlen(pin));
}

/* Returns the private half, and the public one if it is wanted. */
static CK_OBJECT_HANDLE key_pair(struct play *p, CK_BBOOL always, CK_OBJECT_HANDLE *ret_public)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, e[] = {1, 0, 1};
	CK_BBOOL yes = CK_TRUE, token = p->token->token_keys;
	CK_ULONG bits = p->token->rsa_bits;
	bool ec = p->use == USE_SIGN_EC;
	CK_MECHANISM generate = {ec ? CKM_EC_KEY_PAIR_GEN : CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	CK_ATTRIBUTE ec_public[] = {{CKA_TOKEN, &token, 1}, {CKA_VERIFY, &yes, 1}, {CKA_EC_PARAMS, p256, sizeof p256}};
	CK_ATTRIBUTE rsa_public[] = {{CKA_TOKEN, &token, 1}, {CKA_ENCRYPT, &yes, 1},
		{CKA_MODULUS_BITS, &bits, sizeof bits}, {CKA_PUBLIC_EXPONENT, e, sizeof e}};
	CK_ATTRIBUTE private[] = {{CKA_TOKEN, &token, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SIGN, &yes, 1},
		{CKA_ALWAYS_AUTHENTICATE, &always, 1}, {CKA_DECRYPT, &yes, 1}};
	CK_OBJECT_HANDLE public = 0, secret = 0;

	must(p, "C_GenerateKeyPair",
		p->f->C_GenerateKeyPair(p->session, &generate, ec ? ec_public : rsa_public, ec ? 3 : 4, private,
			ec ? 4 : 5, &public, &secret));
	if (ret_public)
		*ret_public = public;
	return secret;
}

/* What is signed; or what is decrypted: something encrypted for the careful key. */
static void input_make(struct play *p, CK_OBJECT_HANDLE public)
{
	CK_MECHANISM mechanism = {CKM_RSA_PKCS, NULL, 0};
	CK_ULONG len = sizeof p->input;

	p->input_len = 32;
	memset(p->input, 'x', p->input_len);
	if (!uses[p->use].decrypt)
		return;
	must(p, "C_EncryptInit", p->f->C_EncryptInit(p->session, &mechanism, public));
	must(p, "C_Encrypt", p->f->C_Encrypt(p->session, (CK_BYTE *)"secret", 6, p->input, &len));
	p->input_len = len;
}

static CK_RV init(struct play *p, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM mechanism = {uses[p->use].mechanism, NULL, 0};

	return uses[p->use].decrypt ? p->f->C_DecryptInit(p->session, &mechanism, key)
				    : p->f->C_SignInit(p->session, &mechanism, key);
}

static CK_RV single(struct play *p, CK_BYTE *output, CK_ULONG room)
{
	return uses[p->use].decrypt ? p->f->C_Decrypt(p->session, p->input, p->input_len, output, &room)
				    : p->f->C_Sign(p->session, p->input, p->input_len, output, &room);
}

static CK_RV update(struct play *p)
{
	CK_ULONG room = sizeof p->output;

	return uses[p->use].decrypt ? p->f->C_DecryptUpdate(p->session, p->input, p->input_len, p->output, &room)
				    : p->f->C_SignUpdate(p->session, p->input, p->input_len);
}

static CK_RV final(struct play *p)
{
	CK_ULONG room = sizeof p->output;

	return uses[p->use].decrypt ? p->f->C_DecryptFinal(p->session, p->output, &room)
				    : p->f->C_SignFinal(p->session, p->output, &room);
}

static CK_RV state(struct play *p, CK_STATE *ret_state)
{
	CK_SESSION_INFO info = {0};
	CK_RV rv = p->f->C_GetSessionInfo(p->session, &info);

	*ret_state = info.state;
	return rv;
}

static CK_RV state_again(struct play *p)
{
	CK_STATE now;
	CK_RV rv = state(p, &now);

	expect(p, now == p->state, "the session's state has changed");
	return rv;
}

static CK_RV attribute(struct play *p)
{
	CK_BBOOL always = CK_FALSE;
	CK_ATTRIBUTE wanted = {CKA_ALWAYS_AUTHENTICATE, &always, sizeof always};
	CK_RV rv = p->f->C_GetAttributeValue(p->session, p->careful, &wanted, 1);

	expect(p, rv != CKR_OK || always == CK_TRUE, "CKA_ALWAYS_AUTHENTICATE is not shown");
	return rv;
}

static CK_RV mechanism_info(struct play *p)
{
	CK_MECHANISM_INFO info;

	/* A worker is not asked for it: the client knows the inventory's. */
	return p->token->slot != 0 ? p->f->C_GetMechanismInfo(p->token->slot, uses[p->use].mechanism, &info) : CKR_OK;
}

static CK_RV act(struct play *p, enum act act)
{
	switch (act) {
	case ACT_INIT: return init(p, p->careful);
	case ACT_INIT_PLAIN: return init(p, p->plain);
	case ACT_ONE: return single(p, p->output, sizeof p->output);
	case ACT_LENGTH: return single(p, NULL, 0);
	case ACT_SMALL: return single(p, p->output, 1);
	case ACT_UPDATE: return update(p);
	case ACT_FINAL: return final(p);
	case ACT_RIGHT: return login(p, p->session, CKU_CONTEXT_SPECIFIC, p->token->pin);
	case ACT_WRONG: return login(p, p->session, CKU_CONTEXT_SPECIFIC, "wrong pin");
	case ACT_OTHER_RIGHT: return login(p, p->other, CKU_CONTEXT_SPECIFIC, p->token->pin);
	case ACT_LOGIN: return login(p, p->session, CKU_USER, p->token->pin);
	case ACT_LOGOUT: return p->f->C_Logout(p->session);
	case ACT_STATE: return state_again(p);
	case ACT_ATTRIBUTE: return attribute(p);
	case ACT_MECHANISM: return mechanism_info(p);
	case ACT_END: break;
	}
	return CKR_GENERAL_ERROR;
}

static void begin(struct play *p)
{
	const CK_FLAGS flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
	CK_OBJECT_HANDLE public;

	must(p, "C_OpenSession", p->f->C_OpenSession(p->token->slot, flags, NULL, NULL, &p->session));
	must(p, "C_OpenSession", p->f->C_OpenSession(p->token->slot, flags, NULL, NULL, &p->other));
	must(p, "C_Login", login(p, p->session, CKU_USER, p->token->pin));
	p->plain = key_pair(p, CK_FALSE, NULL);
	p->careful = key_pair(p, CK_TRUE, &public);
	input_make(p, public);
	must(p, "C_GetSessionInfo", state(p, &p->state));
}

unsigned sequence_run(const struct sequence_token *token, enum use use, const struct step *steps)
{
	struct play p = {.token = token, .f = token->f, .use = use};

	begin(&p);
	for (unsigned i = 0; p.wrong == 0 && steps[i].act != ACT_END; i++) {
		CK_RV rv = act(&p, steps[i].act);
		if (rv == steps[i].rv)
			continue;
		(void)fprintf(stderr, "%s, %s, step %u (%s): 0x%lx instead of 0x%lx\n", token->who, uses[use].name,
			i + 1, acts[steps[i].act], rv, steps[i].rv);
		p.wrong++;
	}
	must(&p, "C_CloseSession", p.f->C_CloseSession(p.other));
	must(&p, "C_CloseSession", p.f->C_CloseSession(p.session));
	return p.wrong;
}

unsigned sequence_pins(const struct step *steps)
{
	unsigned pins = 0;

	for (; steps->act != ACT_END; steps++) {
		bool login = steps->act == ACT_RIGHT || steps->act == ACT_WRONG || steps->act == ACT_OTHER_RIGHT;
		pins += login && (steps->rv == CKR_OK || steps->rv == CKR_PIN_INCORRECT);
	}
	return pins;
}

unsigned sequence_logins(const struct step *steps)
{
	unsigned logins = 1;

	for (; steps->act != ACT_END; steps++)
		logins += steps->act == ACT_LOGIN;
	return logins;
}

/* --- the tables --- */

const struct step sequence_a1[] = {
	{ACT_RIGHT, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_WRONG, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_STATE, CKR_OK},
	{0},
};

const struct step sequence_a2[] = {
	{ACT_LOGOUT, CKR_OK},
	{ACT_RIGHT, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_WRONG, CKR_OPERATION_NOT_INITIALIZED},
	{0},
};

const struct step sequence_a3[] = {
	{ACT_INIT, CKR_OK},
	{ACT_RIGHT, CKR_OK},
	{ACT_ONE, CKR_OK},
	{0},
};

const struct step sequence_a4[] = {
	{ACT_INIT, CKR_OK},
	{ACT_ONE, CKR_USER_NOT_LOGGED_IN},
	{ACT_ONE, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_RIGHT, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_INIT, CKR_OK},
	{ACT_LENGTH, CKR_USER_NOT_LOGGED_IN},
	{ACT_ONE, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_WRONG, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_INIT, CKR_OK},
	{0},
};

const struct step sequence_a5[] = {
	{ACT_INIT, CKR_OK},
	{ACT_WRONG, CKR_PIN_INCORRECT},
	{ACT_RIGHT, CKR_OK},
	{ACT_ONE, CKR_OK},
	{0},
};

const struct step sequence_a6[] = {
	{ACT_INIT, CKR_OK},
	{ACT_WRONG, CKR_PIN_INCORRECT},
	{ACT_STATE, CKR_OK},
	{ACT_ONE, CKR_USER_NOT_LOGGED_IN},
	{ACT_ONE, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_STATE, CKR_OK},
	{0},
};

const struct step sequence_a7[] = {
	{ACT_INIT, CKR_OK},
	{ACT_RIGHT, CKR_OK},
	{ACT_LENGTH, CKR_OK},
	{ACT_SMALL, CKR_BUFFER_TOO_SMALL},
	{ACT_ONE, CKR_OK},
	{ACT_ONE, CKR_OPERATION_NOT_INITIALIZED},
	{0},
};

const struct step sequence_a8[] = {
	{ACT_INIT, CKR_OK},
	{ACT_RIGHT, CKR_OK},
	{ACT_RIGHT, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_WRONG, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_ONE, CKR_OK},
	{0},
};

const struct step sequence_a9[] = {
	{ACT_INIT, CKR_OK},
	{ACT_RIGHT, CKR_OK},
	{ACT_ONE, CKR_OK},
	{ACT_INIT, CKR_OK},
	{ACT_RIGHT, CKR_OK},
	{ACT_ONE, CKR_OK},
	{ACT_INIT, CKR_OK},
	{ACT_ONE, CKR_USER_NOT_LOGGED_IN},
	{0},
};

const struct step sequence_a10[] = {
	{ACT_INIT, CKR_OK},
	{ACT_RIGHT, CKR_OK},
	{ACT_UPDATE, CKR_OK},
	{ACT_UPDATE, CKR_OK},
	{ACT_FINAL, CKR_OK},
	{ACT_INIT, CKR_OK},
	{ACT_UPDATE, CKR_USER_NOT_LOGGED_IN},
	{ACT_UPDATE, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_FINAL, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_INIT, CKR_OK},
	{ACT_FINAL, CKR_USER_NOT_LOGGED_IN},
	{ACT_FINAL, CKR_OPERATION_NOT_INITIALIZED},
	{0},
};

const struct step sequence_a12[] = {
	{ACT_INIT_PLAIN, CKR_OK},
	{ACT_RIGHT, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_WRONG, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_ONE, CKR_OK},
	{0},
};

const struct step sequence_a13[] = {
	{ACT_INIT, CKR_OK},
	{ACT_OTHER_RIGHT, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_ONE, CKR_USER_NOT_LOGGED_IN},
	{0},
};

const struct step sequence_a14[] = {
	{ACT_INIT, CKR_OK},
	{ACT_ATTRIBUTE, CKR_OK},
	{ACT_MECHANISM, CKR_OK},
	{ACT_STATE, CKR_OK},
	{ACT_RIGHT, CKR_OK},
	{ACT_ATTRIBUTE, CKR_OK},
	{ACT_ONE, CKR_OK},
	{0},
};

const struct step sequence_a15[] = {
	{ACT_INIT, CKR_OK},
	{ACT_INIT, CKR_OPERATION_ACTIVE},
	{ACT_INIT_PLAIN, CKR_OPERATION_ACTIVE},
	{ACT_RIGHT, CKR_OK},
	{ACT_INIT, CKR_OPERATION_ACTIVE},
	{ACT_ONE, CKR_OK},
	{0},
};

const struct step sequence_x4[] = {
	{ACT_INIT_PLAIN, CKR_OK},
	{ACT_LOGOUT, CKR_OK},
	{ACT_ONE, CKR_OPERATION_NOT_INITIALIZED},
	{0},
};

const struct step sequence_x4_authenticated[] = {
	{ACT_INIT, CKR_OK},
	{ACT_RIGHT, CKR_OK},
	{ACT_LOGOUT, CKR_OK},
	{ACT_LOGIN, CKR_OK},
	{ACT_RIGHT, CKR_OPERATION_NOT_INITIALIZED},
	{ACT_ONE, CKR_OPERATION_NOT_INITIALIZED},
	{0},
};
