/* What is refused, where, and that none of it reaches the vendor module. */
#include "tests/integration/fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(refusal, .timeout = 120);

/* What calls need beside the body. */
static const char *const instance[] = {"X-Client-Instance: 0123456789abcdef0123456789abcdef", NULL};

Test(refusal, no_certificate_is_refused_at_the_handshake)
{
	struct gateway g;
	char answer[256];

	gateway_shared(&g);
	cr_expect_eq(
		raw_request(&g, NOBODY, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 34, answer, sizeof(answer)), -1);
}

Test(refusal, a_certificate_of_a_foreign_ca_is_refused_at_the_handshake)
{
	struct gateway g;
	char answer[256];

	gateway_shared(&g);
	cr_expect_eq(
		raw_request(&g, FOREIGNER, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 34, answer, sizeof(answer)), -1);
}

Test(refusal, a_certificate_of_no_identity_gets_403_everywhere)
{
	static const char *const paths[] = {"/healthz", "/v1/slots", "/v1/slots/demo", "/v1/slots/demo/keys",
		"/metrics", "/openapi.json", "/v1/nothing"};
	struct gateway g;

	gateway_shared(&g);
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		ANSWER_AUTO answer = request(&g, STRANGER, "GET", paths[i], NULL, NULL);
		cr_expect_eq(answer.status, 403, "%s: %ld", paths[i], answer.status);
	}
}

static char *deep(size_t depth)
{
	char *text = malloc(2 * depth + 64);
	size_t at = (size_t)sprintf(text, "{\"algorithm\":");

	memset(text + at, '[', depth);
	memset(text + at + depth, ']', depth);
	strcpy(text + at + 2 * depth, "}");
	return text;
}

Test(refusal, broken_json_gets_a_400_problem_and_never_reaches_the_module)
{
	static const char *const bodies[] = {"", "{", "[]", "nonsense", "{\"algorithm\":\"ES256\"",
		"{\"algorithm\":\"ES256\",\"algorithm\":\"ES256\",\"data\":\"AA\"}",
		"{\"algorithm\":\"ES256\",\"data\":\"AA\"} x", "{\"algorithm\":\"ES256\",\"data\":\"\\u0000\"}",
		"{\"algorithm\":\"ES256\",\"data\":\"\\ud800\"}", "{\"algorithm\":\"ES256\",\"data\":\"*\"}",
		"{\"algorithm\":\"ES256\",\"date\":\"AA\"}", "{\"algorithm\":5,\"data\":\"AA\"}",
		"{\"algorithm\":\"ES256\"}", "{\"data\":\"AA\"}", "\xef\xbb\xbf{}",
		"{\"algorithm\":\"ES256\",\"data\":1e400}"};
	struct gateway g;
	char *nested = deep(200);

	gateway_start(&g);
	rest_login(&g, ALICE, NULL);
	rest_key(&g, "{\"type\":\"EC\",\"label\":\"broken\"}");
	long before = calls_counted(&g, "C_SignInit") + calls_counted(&g, "C_FindObjectsInit");
	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		ANSWER_AUTO answer = request(&g, ALICE, "POST", "/v1/slots/demo/keys/broken/sign", bodies[i], NULL);
		cr_expect_eq(answer.status, 400, "%s: %ld %s", bodies[i], answer.status, answer.text);
		cr_expect_not_null(strstr(answer.headers, "application/problem+json"), "%s", bodies[i]);
		ANSWER_AUTO call = request(&g, ALICE, "POST", "/v1/slots/demo/calls", bodies[i], instance);
		cr_expect_eq(call.status, 400, "calls %s: %ld %s", bodies[i], call.status, call.text);
	}
	ANSWER_AUTO answer = request(&g, ALICE, "POST", "/v1/slots/demo/keys/broken/sign", nested, NULL);
	cr_expect_eq(answer.status, 400, "%s", answer.text);
	cr_expect_eq(calls_counted(&g, "C_SignInit") + calls_counted(&g, "C_FindObjectsInit"), before);
	free(nested);
	gateway_stop(&g);
}

Test(refusal, an_oversized_body_gets_413)
{
	struct gateway g;
	size_t len = 3 << 20;
	char *body = malloc(len + 1);

	gateway_shared(&g);
	memset(body, ' ', len);
	body[len] = '\0';
	memcpy(body, "{}", 2);
	ANSWER_AUTO answer = request(&g, ALICE, "POST", "/v1/slots/demo/calls", body, instance);
	cr_expect_eq(answer.status, 413, "%ld %s", answer.status, answer.text);
	free(body);
}

Test(refusal, X9_unknown_and_foreign_slots_and_operations_look_alike)
{
	struct gateway g;

	gateway_shared(&g);
	ANSWER_AUTO one = request(&g, ALICE, "POST", "/v1/operations/00000000000000000000000000000000/reauthenticate",
		"{\"pin\":\"0000\"}", NULL);
	ANSWER_AUTO two = request(&g, BOB, "POST", "/v1/operations/0123456789abcdef0123456789abcdef/reauthenticate",
		"{\"pin\":\"0000\"}", NULL);
	cr_expect_eq(one.status, 404);
	cr_expect_eq(two.status, 404);
	json_object_del(one.json, "trace_id");
	json_object_del(two.json, "trace_id");
	cr_expect(json_equal(one.json, two.json), "%s\n%s", one.text, two.text);
}

Test(refusal, X11_a_malformed_application_id_gets_400)
{
	static const char *const ids[] = {"X-Application-Id: 1", "X-Application-Id: 1-2-3", "X-Application-Id: xyz",
		"X-Application-Id: 0123456789abcdef0123456789abcde",
		"X-Application-Id: 0123456789abcdef0123456789abcdef0", "X-Application-Id: 4294967296-1",
		"X-Client-Instance: 12"};
	struct gateway g;

	gateway_shared(&g);
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		const char *const headers[] = {ids[i], NULL};
		ANSWER_AUTO answer = request(&g, ALICE, "GET", "/v1/slots/demo/keys", NULL, headers);
		cr_expect_eq(answer.status, 400, "%s: %ld", ids[i], answer.status);
	}
	const char *const twice[] = {"X-Application-Id: 1-2", "X-Application-Id: 1-2", NULL};
	ANSWER_AUTO answer = request(&g, ALICE, "GET", "/v1/slots/demo/keys", NULL, twice);
	cr_expect_eq(answer.status, 400);
}

Test(refusal, a_class_of_operation_that_the_policy_does_not_list_is_refused)
{
	struct gateway g;
	char body[200];

	gateway_shared(&g);
	CK_FUNCTION_LIST *f = module_load(&g, BOB);
	CK_SESSION_HANDLE session = module_session(f, &g, false);
	CK_RV rv = f->C_InitPIN(session, (CK_BYTE *)"1234", 4);
	cr_expect_neq(rv, CKR_OK);
	cr_expect_neq(rv, CKR_USER_NOT_LOGGED_IN, "bob is no administrator: the module must not have been asked");
	(void)snprintf(body, sizeof(body), "{\"groups\":[{\"op\":\"%032x\",\"calls\":[{\"GenerateRandom\":{}}]}]}", 7);
	ANSWER_AUTO answer = request(&g, BOB, "POST", "/v1/slots/demo/calls", body, instance);
	cr_expect_eq(answer.status, 400);
	f->C_Finalize(NULL);
}

Test(refusal, a_reload_with_a_mistake_keeps_the_old_configuration_and_names_the_line)
{
	struct gateway g;
	char command[2400];

	gateway_start(&g);
	(void)snprintf(command, sizeof(command),
		"set -e; c='%s/p11gated.yaml'; cp \"$c\" \"$c.good\"; printf 'nonsense_key: 1\\n' >> \"$c\";"
		"line=$(wc -l < \"$c\"); ! '%s' reload --config \"$c\" > '%s/reload' 2>&1; grep -q "
		"\"p11gated.yaml:$line:\" '%s/reload';"
		"grep -q nonsense_key '%s/reload'; mv \"$c.good\" \"$c\"; '%s' reload --config \"$c\"",
		g.directory, g.tool, g.directory, g.directory, g.directory, g.tool);
	cr_expect_eq(system(command), 0);
	ANSWER_AUTO answer = request(&g, ALICE, "GET", "/v1/slots", NULL, NULL);
	cr_expect_eq(answer.status, 200);
	gateway_stop(&g);
}
