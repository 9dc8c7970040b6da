/*
 * usage: sequence MODULE TOKEN-LABEL PIN [lock]
 *
 * Drives the sequences of keys that ask for their PIN at each use (tests/support/lib/sequence.h) on a module whose keys live in the token.
 * With "lock" it gives wrong PINs for an operation until the token locks, which must log the application out (A16): the token is of no use
 * afterwards. The last line is "N passed, N failed".
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/lib/sequence.h"

enum { SLOTS_MAX = 16, WRONG_MAX = 40 };

static CK_FUNCTION_LIST *load(const char *path)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	CK_FUNCTION_LIST *f = NULL;
	CK_C_GetFunctionList get = NULL;
	void *library = dlopen(path, RTLD_NOW), *symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;

	memcpy(&get, &symbol, sizeof get);
	return get && get(&f) == CKR_OK && f->C_Initialize(&args) == CKR_OK ? f : NULL;
}

static bool slot_of(const CK_FUNCTION_LIST *f, const char *label, CK_SLOT_ID *ret_slot)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG count = SLOTS_MAX;
	CK_TOKEN_INFO info;

	if (f->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK)
		return false;
	for (CK_ULONG i = 0; i < count; i++) {
		if (f->C_GetTokenInfo(slots[i], &info) == CKR_OK && memcmp(info.label, label, strlen(label)) == 0) {
			*ret_slot = slots[i];
			return true;
		}
	}
	return false;
}

static unsigned sequences(const struct sequence_token *token, unsigned *ret_wrong)
{
	static const struct {
		enum use use;
		const struct step *steps;
	} all[] = {
		{USE_SIGN_EC, sequence_a1},
		{USE_SIGN_EC, sequence_a2},
		{USE_SIGN_EC, sequence_a3},
		{USE_SIGN_EC, sequence_a4},
		{USE_SIGN_EC, sequence_a5},
		{USE_SIGN_EC, sequence_a6},
		{USE_SIGN_EC, sequence_a7},
		{USE_SIGN_EC, sequence_a8},
		{USE_SIGN_EC, sequence_a9},
		{USE_SIGN_RSA, sequence_a10},
		{USE_DECRYPT_RSA, sequence_a4},
		{USE_SIGN_EC, sequence_a12},
		{USE_SIGN_EC, sequence_a13},
		{USE_SIGN_EC, sequence_a14},
		{USE_SIGN_EC, sequence_a15},
	};
	unsigned count = sizeof all / sizeof all[0];

	for (unsigned i = 0; i < count; i++)
		*ret_wrong += sequence_run(token, all[i].use, all[i].steps) > 0;
	return count;
}

static bool session_public(const CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session)
{
	CK_SESSION_INFO info = {.state = CKS_RW_USER_FUNCTIONS};

	return f->C_GetSessionInfo(session, &info) == CKR_OK && info.state == CKS_RW_PUBLIC_SESSION;
}

/* A16 on a token that really locks. */
static bool lock(const struct sequence_token *token)
{
	const CK_FUNCTION_LIST *f = token->f;
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_BBOOL yes = CK_TRUE;
	CK_MECHANISM generate = {CKM_EC_KEY_PAIR_GEN, NULL, 0}, ecdsa = {CKM_ECDSA, NULL, 0};
	CK_ATTRIBUTE public[] = {{CKA_TOKEN, &yes, 1}, {CKA_EC_PARAMS, p256, sizeof p256}};
	CK_ATTRIBUTE private[] = {{CKA_TOKEN, &yes, 1}, {CKA_SIGN, &yes, 1}, {CKA_ALWAYS_AUTHENTICATE, &yes, 1}};
	CK_UTF8CHAR *pin = (CK_UTF8CHAR *)token->pin;
	CK_SESSION_HANDLE session, other;
	CK_OBJECT_HANDLE half, key;
	CK_RV rv = CKR_OK;

	if (f->C_OpenSession(token->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session) != CKR_OK ||
		f->C_OpenSession(token->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &other) != CKR_OK ||
		f->C_Login(session, CKU_USER, pin, strlen(token->pin)) != CKR_OK ||
		f->C_GenerateKeyPair(session, &generate, public, 2, private, 3, &half, &key) != CKR_OK ||
		f->C_SignInit(session, &ecdsa, key) != CKR_OK)
		return false;
	for (int i = 0; i < WRONG_MAX && rv != CKR_PIN_LOCKED; i++)
		rv = f->C_Login(session, CKU_CONTEXT_SPECIFIC, (CK_UTF8CHAR *)"wrong pin", 9);
	CK_RV again = f->C_Login(session, CKU_USER, pin, strlen(token->pin)),
	      handle = f->C_SignInit(other, &ecdsa, key);
	(void)fprintf(stderr, "locked: 0x%lx, login: 0x%lx, the key: 0x%lx\n", rv, again, handle);
	return rv == CKR_PIN_LOCKED && session_public(f, session) && session_public(f, other) &&
	       again == CKR_PIN_LOCKED && handle != CKR_OK;
}

int main(int argc, char **argv)
{
	unsigned count = 1, wrong = 0;

	if (argc < 4) {
		(void)fprintf(stderr, "usage: %s MODULE TOKEN-LABEL PIN [lock]\n", argv[0]);
		return 2;
	}
	struct sequence_token token = {
		.f = load(argv[1]), .who = argv[1], .pin = argv[3], .rsa_bits = 2048, .token_keys = CK_TRUE};
	if (!token.f || !slot_of(token.f, argv[2], &token.slot)) {
		(void)fprintf(stderr, "%s shows no token %s\n", argv[1], argv[2]);
		return 1;
	}
	if (argc > 4)
		wrong = !lock(&token);
	else
		count = sequences(&token, &wrong);
	(void)token.f->C_Finalize(NULL);
	printf("%u passed, %u failed\n", count - wrong, wrong);
	return wrong == 0 ? 0 : 1;
}
