/* The function list and the interfaces (PKCS#11 2.40, section 5.4; 3.0, section 5.4.5). */
#include <criterion/criterion.h>
#include <string.h>

#include "api/cryptoki.h"

enum { FUNCTIONS_IN_2_40 = 68 };

Test(functions, the_list_is_complete)
{
	CK_FUNCTION_LIST *list = NULL;
	cr_assert_eq(C_GetFunctionList(NULL), CKR_ARGUMENTS_BAD);
	cr_assert_eq(C_GetFunctionList(&list), CKR_OK);
	cr_expect_eq(list->version.major, 2);
	cr_expect_eq(list->version.minor, 40);
	cr_expect_eq(list->C_Initialize, C_Initialize);
	cr_expect_eq(list->C_WaitForSlotEvent, C_WaitForSlotEvent);
	enum { COUNT = (sizeof(*list) - offsetof(CK_FUNCTION_LIST, C_Initialize)) / sizeof(list->C_Initialize) };
	cr_expect_eq((int)COUNT, (int)FUNCTIONS_IN_2_40);
	void (*functions[COUNT])(void);
	memcpy(functions, &list->C_Initialize, sizeof(functions));
	for (int i = 0; i < COUNT; i++) {
		cr_expect(functions[i] != NULL, "function %d", i);
	}
}

Test(functions, there_is_one_interface)
{
	CK_INTERFACE interfaces[2];
	CK_ULONG count = 0;
	CK_FUNCTION_LIST *list;
	cr_expect_eq(C_GetInterfaceList(NULL, NULL), CKR_ARGUMENTS_BAD);
	cr_expect_eq(C_GetInterfaceList(NULL, &count), CKR_OK);
	cr_expect_eq(count, 1);
	count = 0;
	cr_expect_eq(C_GetInterfaceList(interfaces, &count), CKR_BUFFER_TOO_SMALL);
	cr_expect_eq(count, 1);
	cr_assert_eq(C_GetInterfaceList(interfaces, &count), CKR_OK);
	cr_expect_str_eq((const char *)interfaces[0].pInterfaceName, "PKCS 11");
	cr_assert_eq(C_GetFunctionList(&list), CKR_OK);
	cr_expect_eq(interfaces[0].pFunctionList, list);
}

Test(functions, an_interface_is_found_by_name_and_version)
{
	CK_INTERFACE *interface = NULL;
	CK_VERSION version = {2, 40}, newer = {3, 0};
	CK_UTF8CHAR name[] = "PKCS 11", other[] = "Vendor X";
	cr_expect_eq(C_GetInterface(NULL, NULL, NULL, 0), CKR_ARGUMENTS_BAD);
	cr_expect_eq(C_GetInterface(NULL, NULL, &interface, 0), CKR_OK);
	cr_expect_not_null(interface);
	cr_expect_eq(C_GetInterface(name, &version, &interface, 0), CKR_OK);
	cr_expect_eq(C_GetInterface(name, &newer, &interface, 0), CKR_FUNCTION_FAILED);
	cr_expect_eq(C_GetInterface(other, NULL, &interface, 0), CKR_FUNCTION_FAILED);
	cr_expect_eq(C_GetInterface(name, NULL, &interface, CKF_INTERFACE_FORK_SAFE), CKR_FUNCTION_FAILED);
}
