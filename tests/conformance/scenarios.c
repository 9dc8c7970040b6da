/* Sequences: what single calls in a fixed state cannot show. */
#include "tests/conformance/parity.h"

#include <stdio.h>
#include <string.h>

#include "api/names.h"

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

#define STEP(function, what, call) print_step(function, what, (call))

static void fresh_session(struct world *w, bool login)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};

	w->f->C_Finalize(NULL);
	w->f->C_Initialize(&args);
	w->f->C_OpenSession(w->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &w->session);
	if (login)
		w->f->C_Login(w->session, CKU_USER, (CK_BYTE *)w->pin, strlen(w->pin));
}

static CK_RV login(struct world *w, CK_SESSION_HANDLE session, CK_USER_TYPE user, const char *pin)
{
	return w->f->C_Login(session, user, (CK_BYTE *)pin, pin != NULL ? strlen(pin) : 0);
}

static CK_OBJECT_HANDLE find(struct world *w, const char *label)
{
	CK_ATTRIBUTE a = {CKA_LABEL, (void *)label, strlen(label)};
	CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
	CK_ULONG count = 0;

	w->f->C_FindObjectsInit(w->session, &a, 1);
	w->f->C_FindObjects(w->session, &object, 1, &count);
	w->f->C_FindObjectsFinal(w->session);
	return count == 1 ? object : CK_INVALID_HANDLE;
}

static void initialize_arguments(struct world *w)
{
	CK_C_INITIALIZE_ARGS os = {.flags = CKF_OS_LOCKING_OK}, none = {.flags = 0}, reserved = {.pReserved = &os},
			     no_threads = {.flags = CKF_LIBRARY_CANT_CREATE_OS_THREADS};
	const struct {
		const char *name;
		void *args;
	} shapes[] = {{"null", NULL}, {"os locking", &os}, {"no flags", &none}, {"no threads", &no_threads},
		{"pReserved", &reserved}};

	w->f->C_Finalize(NULL);
	STEP("C_Finalize", "before initialize", w->f->C_Finalize(NULL));
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		STEP("C_Initialize", shapes[i].name, w->f->C_Initialize(shapes[i].args));
		STEP("C_Initialize", "twice", w->f->C_Initialize(NULL));
		STEP("C_Finalize", "with reserved", w->f->C_Finalize(&os));
		STEP("C_Finalize", "after it", w->f->C_Finalize(NULL));
	}
}

/* The functions that never travel, in every state. */
static void local_functions(struct world *w, const char *state)
{
	const CK_SESSION_HANDLE sessions[] = {0, 1, w->session};
	CK_FUNCTION_LIST *list = NULL;
	CK_SLOT_ID slot = 0;

	for (size_t i = 0; i < sizeof(sessions) / sizeof(*sessions); i++) {
		STEP("C_GetFunctionStatus", state, w->f->C_GetFunctionStatus(sessions[i]));
		STEP("C_CancelFunction", state, w->f->C_CancelFunction(sessions[i]));
	}
	STEP("C_GetFunctionList", state, w->f->C_GetFunctionList(&list));
	STEP("C_GetFunctionList", "null", w->f->C_GetFunctionList(NULL));
	STEP("C_WaitForSlotEvent", state, w->f->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL));
	STEP("C_WaitForSlotEvent", "reserved", w->f->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, &slot));
	STEP("C_WaitForSlotEvent", "null slot", w->f->C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL));
}

static void local_functions_everywhere(struct world *w)
{
	w->f->C_Finalize(NULL);
	local_functions(w, "uninitialized");
	fresh_session(w, false);
	local_functions(w, "public");
	login(w, w->session, CKU_USER, w->pin);
	local_functions(w, "user");
	w->f->C_Logout(w->session);
	login(w, w->session, CKU_SO, w->so_pin);
	local_functions(w, "so");
}

static void logins(struct world *w)
{
	CK_SESSION_HANDLE second = 0, read_only = 0;
	CK_SESSION_INFO info;

	fresh_session(w, false);
	STEP("C_Login", "wrong pin", login(w, w->session, CKU_USER, "wrong pin"));
	STEP("C_Login", "context without operation, public", login(w, w->session, CKU_CONTEXT_SPECIFIC, w->pin));
	STEP("C_Login", "right pin", login(w, w->session, CKU_USER, w->pin));
	STEP("C_Login", "again", login(w, w->session, CKU_USER, w->pin));
	STEP("C_Login", "again, wrong pin", login(w, w->session, CKU_USER, "wrong pin"));
	STEP("C_Login", "so while user", login(w, w->session, CKU_SO, w->so_pin));
	STEP("C_Login", "context without operation, user", login(w, w->session, CKU_CONTEXT_SPECIFIC, w->pin));
	STEP("C_OpenSession", "second", w->f->C_OpenSession(w->slot, CKF_SERIAL_SESSION, NULL, NULL, &second));
	STEP("C_GetSessionInfo", "second is logged in", w->f->C_GetSessionInfo(second, &info));
	printf("C_GetSessionInfo|scenario|state %lu|CKR_OK|\n", info.state);
	STEP("C_Logout", "by the second", w->f->C_Logout(second));
	STEP("C_GetSessionInfo", "first is logged out", w->f->C_GetSessionInfo(w->session, &info));
	printf("C_GetSessionInfo|scenario|state %lu|CKR_OK|\n", info.state);
	STEP("C_Logout", "again", w->f->C_Logout(w->session));
	STEP("C_Login", "so with a read-only session open", login(w, w->session, CKU_SO, w->so_pin));
	STEP("C_CloseSession", "read-only", w->f->C_CloseSession(second));
	STEP("C_Login", "so", login(w, w->session, CKU_SO, w->so_pin));
	STEP("C_OpenSession", "read-only while so",
		w->f->C_OpenSession(w->slot, CKF_SERIAL_SESSION, NULL, NULL, &read_only));
	STEP("C_Login", "user while so", login(w, w->session, CKU_USER, w->pin));
	STEP("C_Logout", "so", w->f->C_Logout(w->session));
	STEP("C_Login", "user", login(w, w->session, CKU_USER, w->pin));
	STEP("C_CloseSession", "last session", w->f->C_CloseSession(w->session));
	STEP("C_OpenSession", "after the last",
		w->f->C_OpenSession(w->slot, CKF_SERIAL_SESSION, NULL, NULL, &w->session));
	STEP("C_GetSessionInfo", "logged out with the last session", w->f->C_GetSessionInfo(w->session, &info));
	printf("C_GetSessionInfo|scenario|state %lu|CKR_OK|\n", info.state);
}

static void private_objects(struct world *w)
{
	CK_OBJECT_HANDLE key;
	CK_MECHANISM rsa = {CKM_SHA256_RSA_PKCS, NULL, 0};
	CK_BYTE signature[256];
	CK_ULONG len = sizeof(signature);
	CK_ATTRIBUTE label = {CKA_LABEL, NULL, 0};

	fresh_session(w, false);
	STEP("C_FindObjects", "private key in public state", find(w, "rsa-private") == 0 ? CKR_OK : CKR_GENERAL_ERROR);
	login(w, w->session, CKU_USER, w->pin);
	key = find(w, "rsa-private");
	STEP("C_FindObjects", "the same handle again", find(w, "rsa-private") == key ? CKR_OK : CKR_GENERAL_ERROR);
	STEP("C_SignInit", "logged in", w->f->C_SignInit(w->session, &rsa, key));
	STEP("C_Sign", "logged in", w->f->C_Sign(w->session, (CK_BYTE *)"data", 4, signature, &len));
	w->f->C_Logout(w->session);
	STEP("C_GetAttributeValue", "private handle after logout",
		w->f->C_GetAttributeValue(w->session, key, &label, 1));
	STEP("C_SignInit", "private handle after logout", w->f->C_SignInit(w->session, &rsa, key));
	login(w, w->session, CKU_USER, w->pin);
	STEP("C_SignInit", "private handle after a new login", w->f->C_SignInit(w->session, &rsa, key));
}

static void sizing(struct world *w)
{
	CK_MECHANISM rsa = {CKM_SHA256_RSA_PKCS, NULL, 0}, digest = {CKM_SHA256, NULL, 0};
	CK_BYTE out[512];
	CK_ULONG len = 0;

	fresh_session(w, true);
	w->f->C_SignInit(w->session, &rsa, find(w, "rsa-private"));
	STEP("C_Sign", "query", w->f->C_Sign(w->session, (CK_BYTE *)"data", 4, NULL, &len));
	printf("C_Sign|scenario|length %lu|CKR_OK|\n", len);
	len = 10;
	STEP("C_Sign", "too small", w->f->C_Sign(w->session, (CK_BYTE *)"data", 4, out, &len));
	printf("C_Sign|scenario|length %lu|CKR_OK|\n", len);
	len = sizeof(out);
	STEP("C_Sign", "ample", w->f->C_Sign(w->session, (CK_BYTE *)"data", 4, out, &len));
	printf("C_Sign|scenario|signature|CKR_OK|");
	print_bytes("signature", out, len);
	putchar('\n');
	STEP("C_Sign", "operation is over", w->f->C_Sign(w->session, (CK_BYTE *)"data", 4, out, &len));
	w->f->C_DigestInit(w->session, &digest);
	STEP("C_Digest", "query", w->f->C_Digest(w->session, (CK_BYTE *)"data", 4, NULL, &len));
	STEP("C_DigestUpdate", "after a query", w->f->C_DigestUpdate(w->session, (CK_BYTE *)"data", 4));
	len = 5;
	STEP("C_DigestFinal", "too small", w->f->C_DigestFinal(w->session, out, &len));
	len = sizeof(out);
	STEP("C_DigestFinal", "ample", w->f->C_DigestFinal(w->session, out, &len));
	STEP("C_DigestFinal", "operation is over", w->f->C_DigestFinal(w->session, out, &len));
}

struct cipher {
	const char *name;
	CK_MECHANISM mechanism;
	const char *key;
};

static void one_cipher(struct world *w, struct cipher *c)
{
	CK_BYTE plain[80] = "forty-eight bytes of plain text for every cipher", cipher[1024], back[1024];
	CK_ULONG cipher_len = sizeof(cipher), part = sizeof(back), rest;
	CK_OBJECT_HANDLE key = find(w, c->key);

	STEP("C_EncryptInit", c->name, w->f->C_EncryptInit(w->session, &c->mechanism, key));
	STEP("C_Encrypt", c->name, w->f->C_Encrypt(w->session, plain, 48, cipher, &cipher_len));
	print_bytes(c->name, cipher, cipher_len);
	putchar('\n');
	STEP("C_DecryptInit", c->name, w->f->C_DecryptInit(w->session, &c->mechanism, key));
	STEP("C_DecryptUpdate", c->name, w->f->C_DecryptUpdate(w->session, cipher, cipher_len, back, &part));
	rest = sizeof(back) - part;
	STEP("C_DecryptFinal", c->name, w->f->C_DecryptFinal(w->session, back + part, &rest));
	printf("C_DecryptFinal|scenario|%s lengths %lu %lu|%s|\n", c->name, part, rest,
		memcmp(plain, back, 48) == 0 ? "CKR_OK" : "differs");
	STEP("C_EncryptInit", c->name, w->f->C_EncryptInit(w->session, &c->mechanism, key));
	for (int i = 0; i < 3; i++) {
		part = sizeof(cipher);
		STEP("C_EncryptUpdate", c->name, w->f->C_EncryptUpdate(w->session, plain + 7 * i, 7, cipher, &part));
		print_bytes(c->name, cipher, part);
		putchar('\n');
	}
	part = sizeof(cipher);
	STEP("C_EncryptFinal", c->name, w->f->C_EncryptFinal(w->session, cipher, &part));
}

static void ciphers(struct world *w)
{
	static CK_BYTE iv[16] = "sixteen byte iv";
	CK_GCM_PARAMS gcm = {.pIv = iv, .ulIvLen = 12, .ulIvBits = 96, .pAAD = iv, .ulAADLen = 3, .ulTagBits = 128};
	CK_AES_CTR_PARAMS ctr = {.ulCounterBits = 128};
	struct cipher all[] = {{"AES_CBC", {CKM_AES_CBC, iv, 16}, "aes"},
		{"AES_CBC_PAD", {CKM_AES_CBC_PAD, iv, 16}, "aes"}, {"AES_ECB", {CKM_AES_ECB, NULL, 0}, "aes"},
		{"AES_CTR", {CKM_AES_CTR, &ctr, sizeof(ctr)}, "aes"},
		{"AES_GCM", {CKM_AES_GCM, &gcm, sizeof(gcm)}, "aes"}, {"DES3_CBC", {CKM_DES3_CBC, iv, 8}, "des3"},
		{"DES3_CBC_PAD", {CKM_DES3_CBC_PAD, iv, 8}, "des3"}};

	fresh_session(w, true);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		one_cipher(w, &all[i]);
}

static void signatures(struct world *w)
{
	const struct {
		const char *name;
		CK_MECHANISM_TYPE type;
		const char *sign, *verify;
		CK_ULONG len;
	} all[] = {{"RSA_PKCS", CKM_RSA_PKCS, "rsa-private", "rsa-public", 32},
		{"SHA512_RSA_PKCS", CKM_SHA512_RSA_PKCS, "rsa-private", "rsa-public", 64},
		{"RSA_X_509", CKM_RSA_X_509, "rsa-private", "rsa-public", 64},
		{"ECDSA", CKM_ECDSA, "ec-private", "ec-public", 32},
		{"SHA256_HMAC", CKM_SHA256_HMAC, "hmac", "hmac", 64},
		{"SHA512_HMAC", CKM_SHA512_HMAC, "hmac", "hmac", 1}, {"AES_CMAC", CKM_AES_CMAC, "aes", "aes", 64}};
	CK_BYTE data[64], signature[512];

	memset(data, 7, sizeof(data));
	fresh_session(w, true);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		CK_MECHANISM m = {all[i].type, NULL, 0};
		CK_ULONG len = sizeof(signature);
		STEP("C_SignInit", all[i].name, w->f->C_SignInit(w->session, &m, find(w, all[i].sign)));
		STEP("C_Sign", all[i].name, w->f->C_Sign(w->session, data, all[i].len, signature, &len));
		printf("C_Sign|scenario|%s length %lu|CKR_OK|\n", all[i].name, len);
		STEP("C_VerifyInit", all[i].name, w->f->C_VerifyInit(w->session, &m, find(w, all[i].verify)));
		STEP("C_Verify", all[i].name, w->f->C_Verify(w->session, data, all[i].len, signature, len));
		w->f->C_VerifyInit(w->session, &m, find(w, all[i].verify));
		signature[0] ^= 1;
		STEP("C_Verify", "one bit changed", w->f->C_Verify(w->session, data, all[i].len, signature, len));
		w->f->C_VerifyInit(w->session, &m, find(w, all[i].verify));
		STEP("C_Verify", "too short", w->f->C_Verify(w->session, data, all[i].len, signature, len - 1));
		STEP("C_SignInit", "multi-part", w->f->C_SignInit(w->session, &m, find(w, all[i].sign)));
		STEP("C_SignUpdate", "multi-part", w->f->C_SignUpdate(w->session, data, 16));
		STEP("C_SignUpdate", "multi-part", w->f->C_SignUpdate(w->session, data + 16, 16));
		len = sizeof(signature);
		STEP("C_SignFinal", "multi-part", w->f->C_SignFinal(w->session, signature, &len));
		STEP("C_VerifyInit", "multi-part", w->f->C_VerifyInit(w->session, &m, find(w, all[i].verify)));
		STEP("C_VerifyUpdate", "multi-part", w->f->C_VerifyUpdate(w->session, data, 32));
		STEP("C_VerifyFinal", "multi-part", w->f->C_VerifyFinal(w->session, signature, len));
	}
}

static void wrapping(struct world *w)
{
	CK_MECHANISM kw = {CKM_AES_KEY_WRAP, NULL, 0}, pkcs = {CKM_RSA_PKCS, NULL, 0};
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_GENERIC_SECRET;
	CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)},
		{CKA_TOKEN, &no, 1}, {CKA_SENSITIVE, &no, 1}, {CKA_EXTRACTABLE, &yes, 1}};
	CK_BYTE wrapped[1024], value[128];
	CK_ULONG len = sizeof(wrapped);
	CK_OBJECT_HANDLE made = 0;
	CK_ATTRIBUTE query = {CKA_VALUE, value, sizeof(value)};

	fresh_session(w, true);
	STEP("C_WrapKey", "aes key wrap",
		w->f->C_WrapKey(w->session, &kw, find(w, "aes"), find(w, "hmac"), wrapped, &len));
	print_bytes("wrapped", wrapped, len);
	putchar('\n');
	STEP("C_UnwrapKey", "aes key wrap",
		w->f->C_UnwrapKey(w->session, &kw, find(w, "aes"), wrapped, len, template, 5, &made));
	STEP("C_GetAttributeValue", "unwrapped value", w->f->C_GetAttributeValue(w->session, made, &query, 1));
	print_bytes("value", value, query.ulValueLen <= sizeof(value) ? query.ulValueLen : 0);
	putchar('\n');
	wrapped[3] ^= 1;
	STEP("C_UnwrapKey", "damaged",
		w->f->C_UnwrapKey(w->session, &kw, find(w, "aes"), wrapped, len, template, 5, &made));
	len = sizeof(wrapped);
	STEP("C_WrapKey", "rsa",
		w->f->C_WrapKey(w->session, &pkcs, find(w, "rsa-public"), find(w, "hmac"), wrapped, &len));
	STEP("C_UnwrapKey", "rsa",
		w->f->C_UnwrapKey(w->session, &pkcs, find(w, "rsa-private"), wrapped, len, template, 5, &made));
	STEP("C_WrapKey", "with a private key",
		w->f->C_WrapKey(w->session, &kw, find(w, "rsa-private"), find(w, "hmac"), wrapped, &len));
}

static CK_OBJECT_HANDLE always_authenticate_key(struct world *w)
{
	CK_MECHANISM m = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	static CK_BYTE curve[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, curve, sizeof(curve)}, {CKA_TOKEN, &no, 1}, {CKA_VERIFY, &yes, 1}};
	CK_ATTRIBUTE private[] = {
		{CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SIGN, &yes, 1}, {CKA_ALWAYS_AUTHENTICATE, &yes, 1}};
	CK_OBJECT_HANDLE pub = 0, priv = 0;

	STEP("C_GenerateKeyPair", "always authenticate",
		w->f->C_GenerateKeyPair(w->session, &m, public, 3, private, 4, &pub, &priv));
	return priv;
}

static CK_RV sign(struct world *w)
{
	CK_BYTE signature[128];
	CK_ULONG len = sizeof(signature);

	return w->f->C_Sign(w->session, (CK_BYTE *)"01234567890123456789012345678901", 32, signature, &len);
}

static void always_authenticate(struct world *w)
{
	CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0}, rsa = {CKM_SHA256_RSA_PKCS, NULL, 0};
	CK_OBJECT_HANDLE key;
	CK_ULONG len = 0;

	fresh_session(w, true);
	key = always_authenticate_key(w);
	STEP("C_SignInit", "A3", w->f->C_SignInit(w->session, &ecdsa, key));
	STEP("C_Login", "A3 right pin", login(w, w->session, CKU_CONTEXT_SPECIFIC, w->pin));
	STEP("C_Sign", "A3", sign(w));
	STEP("C_SignInit", "A4", w->f->C_SignInit(w->session, &ecdsa, key));
	STEP("C_Sign", "A4 without login", sign(w));
	STEP("C_Sign", "A4 again", sign(w));
	STEP("C_SignInit", "A4 anew", w->f->C_SignInit(w->session, &ecdsa, key));
	STEP("C_Login", "A5 wrong pin", login(w, w->session, CKU_CONTEXT_SPECIFIC, "wrong pin"));
	STEP("C_Login", "A5 right pin", login(w, w->session, CKU_CONTEXT_SPECIFIC, w->pin));
	STEP("C_Sign", "A7 query",
		w->f->C_Sign(w->session, (CK_BYTE *)"0123456789012345678901234567890", 31, NULL, &len));
	STEP("C_Sign", "A7", sign(w));
	STEP("C_SignInit", "A9", w->f->C_SignInit(w->session, &ecdsa, key));
	STEP("C_Sign", "A9 without its own login", sign(w));
	STEP("C_SignInit", "A15", w->f->C_SignInit(w->session, &ecdsa, key));
	STEP("C_SignInit", "A15 while active", w->f->C_SignInit(w->session, &ecdsa, key));
	STEP("C_Login", "A15 right pin", login(w, w->session, CKU_CONTEXT_SPECIFIC, w->pin));
	STEP("C_Sign", "A15 first operation still works", sign(w));
	STEP("C_SignInit", "A12 key without it", w->f->C_SignInit(w->session, &rsa, find(w, "rsa-private")));
}

static void searches(struct world *w)
{
	CK_OBJECT_HANDLE found[32];
	CK_ULONG count = 0;
	CK_ATTRIBUTE token = {CKA_TOKEN, &yes, 1};

	fresh_session(w, true);
	STEP("C_FindObjectsInit", "token objects", w->f->C_FindObjectsInit(w->session, &token, 1));
	STEP("C_FindObjectsInit", "while active", w->f->C_FindObjectsInit(w->session, &token, 1));
	for (int i = 0; i < 5; i++) {
		STEP("C_FindObjects", "three at a time", w->f->C_FindObjects(w->session, found, 3, &count));
		printf("C_FindObjects|scenario|%lu found|CKR_OK|\n", count);
	}
	STEP("C_FindObjectsFinal", "once", w->f->C_FindObjectsFinal(w->session));
	STEP("C_FindObjectsFinal", "twice", w->f->C_FindObjectsFinal(w->session));
	STEP("C_FindObjects", "without a search", w->f->C_FindObjects(w->session, found, 3, &count));
	STEP("C_CloseAllSessions", "of the slot", w->f->C_CloseAllSessions(w->slot));
	STEP("C_FindObjectsInit", "closed session", w->f->C_FindObjectsInit(w->session, NULL, 0));
}

static void pins(struct world *w)
{
	CK_BYTE *new = (CK_BYTE *)"new pin", *old = (CK_BYTE *)w->pin;
	CK_ULONG old_len = strlen(w->pin);

	fresh_session(w, true);
	STEP("C_SetPIN", "wrong old", w->f->C_SetPIN(w->session, new, 7, old, old_len));
	STEP("C_SetPIN", "changed", w->f->C_SetPIN(w->session, old, old_len, new, 7));
	w->f->C_Logout(w->session);
	STEP("C_Login", "old pin", login(w, w->session, CKU_USER, w->pin));
	STEP("C_Login", "new pin", login(w, w->session, CKU_USER, "new pin"));
	STEP("C_SetPIN", "back", w->f->C_SetPIN(w->session, new, 7, old, old_len));
	w->f->C_Logout(w->session);
	STEP("C_InitPIN", "not so", w->f->C_InitPIN(w->session, new, 7));
	login(w, w->session, CKU_SO, w->so_pin);
	STEP("C_InitPIN", "so", w->f->C_InitPIN(w->session, new, 7));
	w->f->C_Logout(w->session);
	STEP("C_Login", "pin from the so", login(w, w->session, CKU_USER, "new pin"));
	STEP("C_SetPIN", "back again", w->f->C_SetPIN(w->session, new, 7, old, old_len));
}

/* The last one: it empties the token. */
static void init_token(struct world *w)
{
	CK_BYTE label[32];
	CK_BYTE *so = (CK_BYTE *)w->so_pin;
	CK_TOKEN_INFO info;

	memset(label, ' ', sizeof(label));
	memcpy(label, w->label, strlen(w->label));
	fresh_session(w, false);
	STEP("C_InitToken", "session open", w->f->C_InitToken(w->slot, so, strlen(w->so_pin), label));
	w->f->C_CloseAllSessions(w->slot);
	STEP("C_InitToken", "wrong so pin", w->f->C_InitToken(w->slot, (CK_BYTE *)"wrong pin", 9, label));
	STEP("C_InitToken", "right so pin", w->f->C_InitToken(w->slot, so, strlen(w->so_pin), label));
	STEP("C_GetTokenInfo", "after it", w->f->C_GetTokenInfo(w->slot, &info));
	printf("C_GetTokenInfo|scenario|flags 0x%lx|CKR_OK|\n", info.flags);
	w->f->C_OpenSession(w->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &w->session);
	STEP("C_Login", "no user pin yet", login(w, w->session, CKU_USER, w->pin));
	STEP("C_FindObjects", "keys are gone", find(w, "aes") == 0 ? CKR_OK : CKR_GENERAL_ERROR);
	w->f->C_Finalize(NULL);
}

void scenarios_run(struct world *w)
{
	void (*const all[])(struct world *) = {initialize_arguments, local_functions_everywhere, logins,
		private_objects, sizing, ciphers, signatures, wrapping, always_authenticate, searches, pins,
		init_token};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		all[i](w);
}
