/* A key of a non-repudiation certificate asks for its PIN by policy, and a process of its own tries the PIN (B18, B20). */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/policy_key.h"

Test(forced_login, B20_the_gateway_has_the_pin_tried_in_a_process_of_its_own, .timeout = 60)
{
	struct gateway g;
	CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
	unsigned char digest[32] = {1}, signature[64], wrong[] = "wrong";
	CK_BBOOL asks = CK_FALSE;
	CK_ATTRIBUTE query = {CKA_ALWAYS_AUTHENTICATE, &asks, 1};
	CK_ULONG len = sizeof(signature);
	setenv("MORE", POLICY_KEY_RULE(""), 1);
	gateway_start(&g);
	unsetenv("MORE");
	policy_key_make(&g);
	CK_FUNCTION_LIST *f = module_load(&g, ALICE);
	CK_SESSION_HANDLE session = module_session(f, &g, true);
	CK_OBJECT_HANDLE key = policy_key_find(f, session);
	cr_expect_eq(f->C_GetAttributeValue(session, key, &query, 1), CKR_OK);
	cr_expect_eq(asks, CK_TRUE);
	cr_expect_eq(f->C_SignInit(session, &mechanism, key), CKR_OK);
	cr_expect_eq(f->C_Sign(session, digest, 32, signature, &len), CKR_USER_NOT_LOGGED_IN);
	cr_expect_eq(f->C_SignInit(session, &mechanism, key), CKR_OK);
	cr_expect_eq(f->C_Login(session, CKU_CONTEXT_SPECIFIC, wrong, 5), CKR_PIN_INCORRECT);
	cr_expect_eq(f->C_Login(session, CKU_CONTEXT_SPECIFIC, (CK_UTF8CHAR *)g.pin, strlen(g.pin)), CKR_OK);
	cr_expect_eq(f->C_Sign(session, digest, 32, signature, &len), CKR_OK);
	cr_expect_eq(f->C_SignInit(session, &mechanism, key), CKR_OK);
	cr_expect_eq(f->C_Sign(session, digest, 32, signature, &len), CKR_USER_NOT_LOGGED_IN);
	cr_expect_eq(f->C_Finalize(NULL), CKR_OK);
	gateway_stop(&g);
}
