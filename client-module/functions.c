/* The function list and the interfaces (PKCS#11 2.40, section 5.4; 3.0, section 5.4.5), and the functions of the parallel past. */
#include <string.h>

#include "api/cryptoki.h"
#include "client-module/export.h"
#include "client-module/state.h"

enum { CRYPTOKI_MAJOR = 2, CRYPTOKI_MINOR = 40 };

static CK_CHAR INTERFACE_NAME[] = "PKCS 11";

static CK_FUNCTION_LIST FUNCTIONS = {
	.version = {CRYPTOKI_MAJOR, CRYPTOKI_MINOR},
#define CK_PKCS11_2_0_ONLY 1
#define CK_PKCS11_FUNCTION_INFO(function) .function = function,
#include <pkcs11f.h>
#undef CK_PKCS11_FUNCTION_INFO
#undef CK_PKCS11_2_0_ONLY
};

static CK_INTERFACE INTERFACES[] = {{INTERFACE_NAME, &FUNCTIONS, 0}};
enum { INTERFACE_COUNT = sizeof(INTERFACES) / sizeof(INTERFACES[0]) };

EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	if (list == NULL) {
		return CKR_ARGUMENTS_BAD;
	}
	*list = &FUNCTIONS;
	return CKR_OK;
}

EXPORT CK_RV C_GetInterfaceList(CK_INTERFACE_PTR interfaces, CK_ULONG_PTR count)
{
	if (count == NULL) {
		return CKR_ARGUMENTS_BAD;
	}
	CK_RV rv = interfaces != NULL && *count < INTERFACE_COUNT ? CKR_BUFFER_TOO_SMALL : CKR_OK;
	if (interfaces != NULL && rv == CKR_OK) {
		memcpy(interfaces, INTERFACES, sizeof(INTERFACES));
	}
	*count = INTERFACE_COUNT;
	return rv;
}

EXPORT CK_RV C_GetInterface(
	CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR ret_interface, CK_FLAGS flags)
{
	if (ret_interface == NULL) {
		return CKR_ARGUMENTS_BAD;
	}
	bool named = name == NULL || strcmp((const char *)name, (const char *)INTERFACE_NAME) == 0;
	bool versioned = version == NULL || (version->major == CRYPTOKI_MAJOR && version->minor == CRYPTOKI_MINOR);
	if (!named || !versioned || flags != 0) {
		return CKR_FUNCTION_FAILED;
	}
	*ret_interface = &INTERFACES[0];
	return CKR_OK;
}

/* Section 5.16: functions never run in parallel (requirement F6). */
static CK_RV functions_not_parallel(void)
{
	struct client *client;
	CK_RV rv = state_enter(&client);
	if (rv != CKR_OK) {
		return rv;
	}
	state_leave(client);
	return CKR_FUNCTION_NOT_PARALLEL;
}

EXPORT CK_RV C_GetFunctionStatus(CK_SESSION_HANDLE session)
{
	(void)session;
	return functions_not_parallel();
}

EXPORT CK_RV C_CancelFunction(CK_SESSION_HANDLE session)
{
	(void)session;
	return functions_not_parallel();
}
