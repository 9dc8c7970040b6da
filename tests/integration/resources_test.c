/* The resource routes, end to end. */
#include "tests/integration/fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(resources, .timeout = 120);

#define DATA "aGVsbG8" /* "hello" */

static void setup(struct gateway *g, const char *key)
{
	gateway_shared(g);
	rest_login(g, ALICE, NULL);
	ANSWER_AUTO made = request(g, ALICE, "POST", "/v1/slots/demo/keys", key, NULL);
	cr_assert(made.status == 201 || made.status == 409, "%ld %s", made.status, made.text);
}

Test(resources, the_slot_list_shows_the_token)
{
	struct gateway g;

	gateway_shared(&g);
	ANSWER_AUTO answer = request(&g, ALICE, "GET", "/v1/slots", NULL, NULL);
	cr_expect_eq(answer.status, 200);
	const json_t *slot = json_array_get(json_object_get(answer.json, "slots"), 0);
	cr_expect_str_eq(json_string_value(json_object_get(slot, "name")), "demo");
	cr_expect_str_eq(json_string_value(json_object_get(slot, "state")), "present");
	ANSWER_AUTO mechanisms = request(&g, ALICE, "GET", "/v1/slots/demo/mechanisms", NULL, NULL);
	cr_expect_eq(mechanisms.status, 200);
	cr_expect_not_null(strstr(mechanisms.text, "CKM_ECDSA"), "%s", mechanisms.text);
}

Test(resources, the_served_openapi_document_is_the_committed_one)
{
	struct gateway g;
	json_t *committed = json_load_file("api/openapi.json", 0, NULL);

	gateway_shared(&g);
	ANSWER_AUTO answer = request(&g, ALICE, "GET", "/openapi.json", NULL, NULL);
	cr_expect_eq(answer.status, 200);
	cr_assert_not_null(committed);
	cr_expect(json_equal(answer.json, committed));
	json_decref(committed);
}

Test(resources, A24_an_always_authenticate_key_answers_401_with_an_operation)
{
	struct gateway g;

	setup(&g, "{\"type\":\"EC\",\"label\":\"a24\",\"always_authenticate\":true}");
	ANSWER_AUTO answer = request(&g, ALICE, "POST", "/v1/slots/demo/keys/a24/sign",
		"{\"algorithm\":\"ES256\",\"data\":\"" DATA "\"}", NULL);
	cr_expect_eq(answer.status, 401, "%s", answer.text);
	cr_expect_str_eq(member(&answer, "ckr"), "CKR_USER_NOT_LOGGED_IN");
	cr_expect_not_null(strstr(member(&answer, "type"), "reauthentication-required"));
	cr_expect_eq(strlen(member(&answer, "operation.id")), 32);
	cr_expect_not_null(strstr(answer.headers, "PKCS11-PIN realm="), "%s", answer.headers);
	cr_expect_str_eq(member(&answer, "operation.data_sha256"),
		"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
}

/* Asks for a signature of the always-authenticate key and gives the operation's path. */
static void ask(const struct gateway *g, const char *label, char *ret_path, size_t size)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "/v1/slots/demo/keys/%s/sign", label);
	ANSWER_AUTO answer = request(g, ALICE, "POST", path, "{\"algorithm\":\"ES256\",\"data\":\"" DATA "\"}", NULL);
	cr_assert_eq(answer.status, 401, "%s", answer.text);
	(void)snprintf(ret_path, size, "/v1/operations/%s/reauthenticate", member(&answer, "operation.id"));
}

Test(resources, A25_the_right_pin_gives_the_result_and_a_wrong_one_keeps_the_operation)
{
	struct gateway g;
	char path[200], body[200];

	setup(&g, "{\"type\":\"EC\",\"label\":\"a25\",\"always_authenticate\":true}");
	ask(&g, "a25", path, sizeof(path));
	ANSWER_AUTO wrong = request(&g, ALICE, "POST", path, "{\"pin\":\"not the pin\"}", NULL);
	cr_expect_eq(wrong.status, 401);
	cr_expect_str_eq(member(&wrong, "ckr"), "CKR_PIN_INCORRECT");
	(void)snprintf(body, sizeof(body), "{\"pin\":\"%s\"}", g.pin);
	ANSWER_AUTO right = request(&g, ALICE, "POST", path, body, NULL);
	cr_expect_eq(right.status, 200, "%s", right.text);
	cr_expect_eq(strlen(member(&right, "signature")), 86);
}

Test(resources, A26_an_operation_is_used_once_and_belongs_to_its_identity)
{
	struct gateway g;
	char path[200], body[200], cancel[200];

	setup(&g, "{\"type\":\"EC\",\"label\":\"a26\",\"always_authenticate\":true}");
	(void)snprintf(body, sizeof(body), "{\"pin\":\"%s\"}", g.pin);
	ask(&g, "a26", path, sizeof(path));
	ANSWER_AUTO foreign = request(&g, BOB, "POST", path, body, NULL);
	cr_expect_eq(foreign.status, 404, "%s", foreign.text);
	ANSWER_AUTO right = request(&g, ALICE, "POST", path, body, NULL);
	cr_expect_eq(right.status, 200, "%s", right.text);
	ANSWER_AUTO again = request(&g, ALICE, "POST", path, body, NULL);
	cr_expect_eq(again.status, 410, "%ld %s", again.status, again.text);
	ask(&g, "a26", path, sizeof(path));
	(void)snprintf(cancel, sizeof(cancel), "%.*s", (int)(strlen(path) - strlen("/reauthenticate")), path);
	ANSWER_AUTO cancelled = request(&g, ALICE, "DELETE", cancel, NULL, NULL);
	cr_expect_eq(cancelled.status, 204, "%s", cancelled.text);
	ANSWER_AUTO gone = request(&g, ALICE, "POST", path, body, NULL);
	cr_expect_eq(gone.status, 410, "%ld %s", gone.status, gone.text);
}

Test(resources, A28_a_one_shot_pin_signs_without_leaving_a_login)
{
	struct gateway g;
	char body[300];
	const char *const fresh[] = {"X-Application-Id: 28-28", NULL};

	setup(&g, "{\"type\":\"EC\",\"label\":\"a28\"}");
	(void)snprintf(body, sizeof(body), "{\"algorithm\":\"ES256\",\"data\":\"" DATA "\",\"pin\":\"%s\"}", g.pin);
	ANSWER_AUTO shot = request(&g, ALICE, "POST", "/v1/slots/demo/keys/a28/sign", body, fresh);
	cr_expect_eq(shot.status, 200, "%ld %s", shot.status, shot.text);
	ANSWER_AUTO after = request(&g, ALICE, "POST", "/v1/slots/demo/keys/a28/sign",
		"{\"algorithm\":\"ES256\",\"data\":\"" DATA "\"}", fresh);
	cr_expect_eq(after.status, 401, "%ld %s", after.status, after.text);
	ANSWER_AUTO needless = request(&g, ALICE, "POST", "/v1/slots/demo/keys/a28/sign", body, NULL);
	cr_expect_eq(needless.status, 200, "%s", needless.text);
	cr_expect(json_is_false(json_object_get(needless.json, "reauthenticated")), "%s", needless.text);
}

static char *challenge(const struct gateway *g, const char *body, const char *const headers[])
{
	ANSWER_AUTO answer = request(g, ALICE, "POST", "/v1/slots/demo/challenge-response", body, headers);

	cr_assert_eq(answer.status, 200, "%ld %s", answer.status, answer.text);
	cr_expect_eq(strlen(member(&answer, "response")), 43);
	return strdup(member(&answer, "response"));
}

Test(resources, D2_D3_hmac_and_rsa_answer_32_bytes_and_always_the_same)
{
	static const char *const bodies[] = {"{\"challenge\":\"AAECAw\",\"key\":{\"label\":\"d-hmac\"}}",
		"{\"challenge\":\"AAECAw\",\"key\":{\"label\":\"d-rsa\"}}"};
	struct gateway g;

	setup(&g, "{\"type\":\"HMAC\",\"label\":\"d-hmac\"}");
	setup(&g, "{\"type\":\"RSA\",\"label\":\"d-rsa\"}");
	for (int i = 0; i < 2; i++) {
		char *one = challenge(&g, bodies[i], NULL), *two = challenge(&g, bodies[i], NULL);
		cr_expect_str_eq(one, two);
		free(one);
		free(two);
	}
}

Test(resources, D3_an_ecdsa_key_is_refused_unless_asked_for)
{
	struct gateway g;

	setup(&g, "{\"type\":\"EC\",\"label\":\"d-ec\"}");
	ANSWER_AUTO refused = request(&g, ALICE, "POST", "/v1/slots/demo/challenge-response",
		"{\"challenge\":\"AAEC\",\"key\":{\"label\":\"d-ec\"}}", NULL);
	cr_expect_eq(refused.status, 422, "%s", refused.text);
	cr_expect_not_null(strstr(member(&refused, "type"), "non-deterministic-response"));
	ANSWER_AUTO allowed = request(&g, ALICE, "POST", "/v1/slots/demo/challenge-response",
		"{\"challenge\":\"AAEC\",\"key\":{\"label\":\"d-ec\"},\"allow_nondeterministic\":true}", NULL);
	cr_expect_eq(allowed.status, 200, "%s", allowed.text);
	cr_expect(json_is_false(json_object_get(allowed.json, "deterministic")));
}

Test(resources, X7_a_wrong_pin_is_a_401_problem_with_the_return_value)
{
	struct gateway g;
	const char *const fresh[] = {"X-Application-Id: 7-7", NULL};

	gateway_shared(&g);
	ANSWER_AUTO answer = request(
		&g, ALICE, "POST", "/v1/slots/demo/applications/current/login", "{\"pin\":\"nope\"}", fresh);
	cr_expect_eq(answer.status, 401, "%s", answer.text);
	cr_expect_str_eq(member(&answer, "ckr"), "CKR_PIN_INCORRECT");
	cr_expect_eq(json_integer_value(json_object_get(answer.json, "ckr_code")), 0xa0);
	cr_expect_not_null(strcasestr(answer.headers, "WWW-Authenticate:"), "%s", answer.headers);
}

static int signs_without_login(const struct gateway *g, void *argument)
{
	CK_FUNCTION_LIST *f;
	CK_SESSION_HANDLE session;
	CK_SESSION_INFO info;

	if (!child_session(g, ALICE, argument, false, &f, &session))
		return 2;
	return f->C_GetSessionInfo(session, &info) == CKR_OK && info.state == CKS_RW_USER_FUNCTIONS ? 0 : 1;
}

Test(resources, C15_the_two_faces_share_a_login_under_one_application_id)
{
	struct gateway g;
	const char *const id[] = {"X-Application-Id: 3-4", NULL};

	gateway_shared(&g);
	rest_login(&g, ALICE, id);
	cr_expect_eq(in_child(signs_without_login, &g, (void *)"00000003000000040000000000000000"), 0);
	cr_expect_eq(in_child(signs_without_login, &g, (void *)"00000003000000050000000000000000"), 1);
}

Test(resources, every_key_use_and_login_leaves_an_audit_record_before_the_answer)
{
	struct gateway g;
	char line[8192], last_sign[8192] = "", last_login[8192] = "";
	FILE *file;

	setup(&g, "{\"type\":\"EC\",\"label\":\"audited\"}");
	ANSWER_AUTO answer = request(&g, ALICE, "POST", "/v1/slots/demo/keys/audited/sign",
		"{\"algorithm\":\"ES256\",\"data\":\"" DATA "\"}", NULL);
	cr_assert_eq(answer.status, 200, "%s", answer.text);
	file = fopen(g.audit_log, "re");
	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file) != NULL) {
		cr_expect_null(strstr(line, g.pin), "a PIN in the audit log");
		if (strstr(line, "C_Sign") != NULL && strstr(line, "audited") != NULL)
			memcpy(last_sign, line, sizeof(line));
		if (strstr(line, "C_Login") != NULL)
			memcpy(last_login, line, sizeof(line));
	}
	(void)fclose(file);
	cr_expect_str_not_empty(last_sign);
	cr_expect_str_not_empty(last_login);
	json_t *record = json_loads(last_sign, 0, NULL);
	cr_assert_not_null(record);
	cr_expect_str_eq(json_string_value(json_object_get(record, "identity")), "alice");
	cr_expect_gt(json_integer_value(json_object_get(record, "seq")), 0);
	json_decref(record);
}
