/*
 * A program that logs in and out over a PKCS#11 module and can be looked into meanwhile: login_client MODULE. It reads lines from
 * standard input and answers each with the return value in hexadecimal:
 *
 *   a PIN       C_Login with it
 *   two PINs    C_SetPIN from the first to the second, with a blank between them
 *   ?           a search for private keys, which needs the login
 *   +           makes a key that asks for its PIN at each use; C_SignInit with it
 *   ^           C_SignInit with the first private key that a search finds
 *   @ and a PIN C_Login for that operation (CKU_CONTEXT_SPECIFIC)
 *   =           C_Sign
 *   (nothing)   C_Logout
 *
 * Its own copy of the PINs is wiped before the answer.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/cryptoki.h"
#include "api/secret.h"

static CK_FUNCTION_LIST *load(const char *module)
{
	void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
	CK_C_GetFunctionList get = library != NULL ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;
	CK_FUNCTION_LIST *functions = NULL;

	if (get == NULL || get(&functions) != CKR_OK)
		return NULL;
	return functions;
}

/* One line without its end, read byte by byte so that no buffer but this one sees it; -1 at the end of the input. */
static ssize_t read_line(unsigned char *line, size_t size)
{
	size_t len = 0;

	while (len < size && read(STDIN_FILENO, line + len, 1) == 1) {
		if (line[len] == '\n')
			return (ssize_t)len;
		len++;
	}
	return -1;
}

static void answer(CK_RV rv)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%lx\n", rv);

	if (write(STDOUT_FILENO, text, (size_t)len) != len)
		_exit(3);
}

static CK_RV search(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *ret_found)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof(class)};
	CK_ULONG count = 0;
	CK_RV rv = f->C_FindObjectsInit(session, &template, 1);

	if (rv == CKR_OK)
		rv = f->C_FindObjects(session, ret_found, 1, &count);
	return rv == CKR_OK ? f->C_FindObjectsFinal(session) : rv;
}

static CK_RV sign_init(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};

	return f->C_SignInit(session, &ecdsa, key);
}

static CK_RV make(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_BBOOL yes = CK_TRUE;
	CK_MECHANISM generate = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, p256, sizeof(p256)}};
	CK_ATTRIBUTE private[] = {{CKA_SIGN, &yes, 1}, {CKA_ALWAYS_AUTHENTICATE, &yes, 1}};
	CK_OBJECT_HANDLE half, key;
	CK_RV rv = f->C_GenerateKeyPair(session, &generate, public, 1, private, 2, &half, &key);

	return rv == CKR_OK ? sign_init(f, session, key) : rv;
}

static CK_RV sign(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session)
{
	CK_BYTE signature[128];
	CK_ULONG len = sizeof(signature);

	return f->C_Sign(session, (CK_BYTE *)"0123456789abcdef0123456789abcdef", 32, signature, &len);
}

/* A line that is one character. */
static CK_RV run_sign(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session, unsigned char command)
{
	CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
	CK_RV rv;

	switch (command) {
	case '?': return search(f, session, &key);
	case '+': return make(f, session);
	case '^': rv = search(f, session, &key); return rv == CKR_OK ? sign_init(f, session, key) : rv;
	case '=': return sign(f, session);
	default: return CKR_ARGUMENTS_BAD;
	}
}

static CK_RV run(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session, unsigned char *line, CK_ULONG len)
{
	unsigned char *blank = memchr(line, ' ', len);

	if (len == 0)
		return f->C_Logout(session);
	if (len == 1)
		return run_sign(f, session, line[0]);
	if (line[0] == '@')
		return f->C_Login(session, CKU_CONTEXT_SPECIFIC, line + 1, len - 1);
	if (blank == NULL)
		return f->C_Login(session, CKU_USER, line, len);
	CK_ULONG old_len = (CK_ULONG)(blank - line);
	return f->C_SetPIN(session, line, old_len, blank + 1, len - old_len - 1);
}

int main(int argc, char **argv)
{
	static unsigned char line[256];
	CK_SESSION_HANDLE session;
	CK_SLOT_ID slots[8];
	CK_ULONG count = 8;
	CK_FUNCTION_LIST *f = argc == 2 ? load(argv[1]) : NULL;
	ssize_t len;

	if (f == NULL || f->C_Initialize(NULL) != CKR_OK || f->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK ||
		count == 0 ||
		f->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session) != CKR_OK)
		return 2;
	answer(CKR_OK);
	while ((len = read_line(line, sizeof(line))) >= 0) {
		CK_RV rv = run(f, session, line, (CK_ULONG)len);
		secret_wipe(line, sizeof(line));
		answer(rv);
	}
	return f->C_Finalize(NULL) == CKR_OK ? 0 : 1;
}
