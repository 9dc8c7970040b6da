/*
 * An OpenSSL provider that loads the client module while OpenSSL reads its configuration, as a PKCS#11 provider may. What
 * C_Initialize and the first call returned is left in the environment variable NESTED ("0x0 0x0").
 */
#include <dlfcn.h>
#include <openssl/core.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/cryptoki.h"

int OSSL_provider_init(
	const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **context);

int OSSL_provider_init(
	const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **context)
{
	static const OSSL_DISPATCH NOTHING[] = {{0, NULL}};
	const char *module = getenv("P11GATE_MODULE");
	void *library = module != NULL ? dlopen(module, RTLD_NOW | RTLD_LOCAL) : NULL;
	CK_C_GetFunctionList get = library != NULL ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;
	CK_FUNCTION_LIST *functions;
	if (get == NULL || get(&functions) != CKR_OK) {
		return 0;
	}
	CK_ULONG count = 0;
	char result[64];
	CK_RV initialized = functions->C_Initialize(NULL);
	snprintf(result, sizeof(result), "0x%lx 0x%lx", initialized, functions->C_GetSlotList(CK_TRUE, NULL, &count));
	setenv("NESTED", result, 1);
	(void)handle;
	(void)in;
	*out = NOTHING;
	*context = library;
	return 1;
}
