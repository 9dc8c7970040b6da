#include "tests/integration/policy_key.h"

#include <criterion/criterion.h>
#include <stdio.h>

static bool only_inventory(const struct gateway *g, void *argument)
{
	pid_t workers[8];

	(void)argument;
	return worker_processes(g, workers, 8) == 1;
}

void policy_key_make(const struct gateway *g)
{
	char path[200];

	rest_login(g, ALICE, NULL);
	rest_key(g, "{\"type\":\"EC\",\"label\":\"policy\",\"id\":\"696431\"}");
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/applications/current", g->slot);
	ANSWER_AUTO closed = request(g, ALICE, "DELETE", path, NULL, NULL);
	cr_assert_eq(closed.status, 204, "%ld %s", closed.status, closed.text);
	cr_assert(await_condition(only_inventory, g, NULL, 10), "the worker does not end");
	shell("cd '%s' && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout "
	      "nr.key "
	      "-addext keyUsage=nonRepudiation -outform DER -out nr.der 2> nr.log && "
	      "SOFTHSM2_CONF='%s' pkcs11-tool --module '%s' --token-label '%s' --write-object nr.der --type cert "
	      "--id 696431 > nr.log 2>&1 || { cat nr.log >&2; false; }",
		g->directory, g->softhsm_conf, g->direct_module, g->slot);
}

CK_OBJECT_HANDLE policy_key_find(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof(class)};
	CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
	CK_ULONG count = 0;

	cr_assert_eq(f->C_FindObjectsInit(session, &template, 1), CKR_OK);
	cr_assert_eq(f->C_FindObjects(session, &key, 1, &count), CKR_OK);
	cr_assert_eq(f->C_FindObjectsFinal(session), CKR_OK);
	cr_assert_eq(count, 1);
	return key;
}
