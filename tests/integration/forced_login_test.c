/* A key of a non-repudiation certificate asks for its PIN by policy, and a process of its own tries the PIN (B18, B20). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/integration/fixture.h"

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static unsigned char id[] = "id1";

static void make_pair(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *ret_key)
{
	CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	unsigned char p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
	CK_ATTRIBUTE public_key[] = {{CKA_EC_PARAMS, p256, sizeof(p256)}, {CKA_ID, id, 3}, {CKA_TOKEN, &yes, 1}};
	CK_ATTRIBUTE private_key[] = {
		{CKA_ID, id, 3}, {CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SIGN, &yes, 1}};
	CK_OBJECT_HANDLE other;
	cr_assert_eq(f->C_GenerateKeyPair(session, &mechanism, public_key, 3, private_key, 4, &other, ret_key), CKR_OK);
}

/* A certificate for non-repudiation with that id; of which key does not matter. */
static void add_certificate(const struct gateway *g, CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session)
{
	static unsigned char der[4096];
	char path[300];
	CK_OBJECT_CLASS class = CKO_CERTIFICATE;
	CK_CERTIFICATE_TYPE type = CKC_X_509;
	CK_OBJECT_HANDLE object;
	shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout '%s/nr.key' "
	      "-addext "
	      "keyUsage=nonRepudiation -outform DER -out '%s/nr.der' 2>/dev/null",
		g->directory, g->directory);
	(void)snprintf(path, sizeof(path), "%s/nr.der", g->directory);
	FILE *file = fopen(path, "re");
	cr_assert_not_null(file);
	CK_ULONG len = fread(der, 1, sizeof(der), file);
	(void)fclose(file);
	CK_ATTRIBUTE certificate[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_CERTIFICATE_TYPE, &type, sizeof(type)},
		{CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &no, 1}, {CKA_SUBJECT, "0", 2}, {CKA_ID, id, 3},
		{CKA_VALUE, der, len}};
	cr_assert_eq(f->C_CreateObject(session, certificate, 7, &object), CKR_OK);
}

Test(forced_login, B20_the_gateway_has_the_pin_tried_in_a_process_of_its_own, .timeout = 60)
{
	struct gateway g;
	CK_OBJECT_HANDLE key;
	CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
	unsigned char digest[32] = {1}, signature[64], wrong[] = "wrong";
	CK_BBOOL asks = CK_FALSE;
	CK_ATTRIBUTE query = {CKA_ALWAYS_AUTHENTICATE, &asks, 1};
	CK_ULONG len = sizeof(signature);
	gateway_start(&g);
	shell("printf 'login:\\n  - {identities: [alice], slots: [\"*\"], force_login_before_sign_key_usage: 0x40}\\n' "
	      ">> "
	      "'%s/p11gated.yaml'",
		g.directory);
	shell("'%s' reload --config '%s/p11gated.yaml'", g.tool, g.directory);
	CK_FUNCTION_LIST *f = module_load(&g, ALICE);
	CK_SESSION_HANDLE session = module_session(f, &g, true);
	make_pair(f, session, &key);
	add_certificate(&g, f, session);
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
