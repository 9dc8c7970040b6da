/* Applications held open, shown and closed, sessions of REST, share groups, quiesce and the guard, over TLS with two certificates. */
#include "tests/integration/fixture.h"

#include "api/base64url.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

TestSuite(application_routes, .timeout = 120);

#define INSTANCE_A "000102030405060708090a0b0c0d0e0f"
#define INSTANCE_B "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
#define ACCESS_ID_INVALID 0x80000068
#define ACCESS_ID_ALREADY_EXISTS 0x80000069

static long number(const struct answer *answer, const char *name)
{
	return (long)json_integer_value(json_object_get(answer->json, name));
}

/* /v1/slots/SLOT/applications/ID… */
static struct answer application(
	const struct gateway *g, enum person who, const char *method, const char *id, const char *body)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/applications/%s", g->slot, id);
	return request(g, who, method, path, body, NULL);
}

/* A request about the slot itself in the application `id`. */
static struct answer slot(const struct gateway *g, enum person who, const char *method, const char *what,
	const char *id, const char *body)
{
	char path[256], header[80];
	const char *const headers[] = {header, NULL};
	(void)snprintf(path, sizeof(path), "/v1/slots/%s%s", g->slot, what);
	(void)snprintf(header, sizeof(header), "X-Application-Id: %s", id);
	return request(g, who, method, path, body, headers);
}

/* Calls of one client instance in the application `id`. */
static struct answer calls(
	const struct gateway *g, enum person who, const char *id, const char *instance, const char *body)
{
	char path[128], application_id[80], client[80];
	const char *const headers[] = {application_id, client, NULL};
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/calls", g->slot);
	(void)snprintf(application_id, sizeof(application_id), "X-Application-Id: %s", id);
	(void)snprintf(client, sizeof(client), "X-Client-Instance: %s", instance);
	return request(g, who, "POST", path, body, headers);
}

/* A member of the first group's last result. */
static const json_t *result(const struct answer *answer, const char *name)
{
	const json_t *results = json_object_get(json_array_get(json_object_get(answer->json, "groups"), 0), "results");
	cr_assert_gt(json_array_size(results), 0, "%ld %s", answer->status, answer->text);
	return json_object_get(json_array_get(results, json_array_size(results) - 1), name);
}

static json_int_t session_open(const struct gateway *g, enum person who, const char *id, const char *instance)
{
	ANSWER_AUTO answer = calls(g, who, id, instance,
		"{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[{\"OpenSession\":{\"flags\":4}}]}"
		"]}");
	cr_assert_eq(answer.status, 200, "%s", answer.text);
	cr_assert_str_eq(json_string_value(result(&answer, "rv")), "CKR_OK", "%s", answer.text);
	return json_integer_value(result(&answer, "session"));
}

/* The answer to a call that has a session alone. */
static struct answer on_session(const struct gateway *g, enum person who, const char *id, const char *instance,
	const char *call, json_int_t session)
{
	char body[240];
	(void)snprintf(body, sizeof(body),
		"{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[{\"%s\":{\"session\":%lld}}]}]}",
		call, (long long)session);
	return calls(g, who, id, instance, body);
}

static void log_in_session(const struct gateway *g, const char *id, json_int_t session)
{
	char body[400], pin[128] = "";
	base64url_encode(pin, g->pin, strlen(g->pin));
	(void)snprintf(body, sizeof(body),
		"{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[{\"Login\":{\"session\":%lld,"
		"\"user_type\":\"CKU_USER\",\"pin\":\"%s\"}}]}]}",
		(long long)session, pin);
	ANSWER_AUTO answer = calls(g, ALICE, id, INSTANCE_A, body);
	cr_assert_eq(answer.status, 200, "%s", answer.text);
	cr_assert_str_eq(json_string_value(result(&answer, "rv")), "CKR_OK", "%s", answer.text);
}

static bool in_user_state(
	const struct gateway *g, enum person who, const char *id, const char *instance, json_int_t session)
{
	ANSWER_AUTO answer = on_session(g, who, id, instance, "GetSessionInfo", session);
	cr_assert_str_eq(json_string_value(result(&answer, "rv")), "CKR_OK", "%s", answer.text);
	return strstr(answer.text, "USER_FUNCTIONS") != NULL;
}

static void log_in(const struct gateway *g, enum person who, const char *id)
{
	char path[80], body[128];
	(void)snprintf(path, sizeof(path), "%s/login", id);
	(void)snprintf(body, sizeof(body), "{\"pin\":\"%s\"}", g->pin);
	ANSWER_AUTO answer = application(g, who, "POST", path, body);
	cr_assert_eq(answer.status, 200, "%s", answer.text);
}

static long try_login(const struct gateway *g, enum person who, const char *id, const char *pin, char ret_type[80])
{
	char path[80], body[128];
	(void)snprintf(path, sizeof(path), "%s/login", id);
	(void)snprintf(body, sizeof(body), "{\"pin\":\"%s\"}", pin);
	ANSWER_AUTO answer = application(g, who, "POST", path, body);
	(void)snprintf(ret_type, 80, "%s", member(&answer, "type"));
	return answer.status;
}

static void expect_state(const struct gateway *g, enum person who, const char *id, const char *state, const char *login)
{
	ANSWER_AUTO answer = application(g, who, "GET", id, NULL);
	cr_assert_eq(answer.status, 200, "%s", answer.text);
	cr_expect_str_eq(member(&answer, "state"), state, "%s", answer.text);
	cr_expect_str_eq(member(&answer, "login"), login, "%s", answer.text);
}

static void expect_close(const struct gateway *g, enum person who, const char *id, long status)
{
	ANSWER_AUTO answer = application(g, who, "DELETE", id, NULL);
	cr_expect_eq(answer.status, status, "%s", answer.text);
	if (status == 404)
		cr_expect_eq(number(&answer, "ckr_code"), ACCESS_ID_INVALID, "%s", answer.text);
}

static void expect_hold(const struct gateway *g, enum person who, const char *id, long status)
{
	ANSWER_AUTO answer = application(g, who, "PUT", id, NULL);
	cr_expect_eq(answer.status, status, "%s", answer.text);
	if (status == 409)
		cr_expect_eq(number(&answer, "ckr_code"), ACCESS_ID_ALREADY_EXISTS, "%s", answer.text);
}

Test(application_routes, C10_C15_hold_and_close_have_their_codes)
{
	struct gateway g;
	gateway_shared(&g);
	expect_state(&g, ALICE, "70-1", "dormant", "none");
	expect_close(&g, ALICE, "70-1", 404);
	expect_hold(&g, ALICE, "70-1", 201);
	expect_hold(&g, ALICE, "70-1", 409);
	expect_hold(&g, ALICE, "00000046000000010000000000000000", 409);
	expect_state(&g, ALICE, "70-1", "held", "none");
	expect_close(&g, ALICE, "70-1", 204);
	expect_close(&g, ALICE, "70-1", 404);
	expect_state(&g, ALICE, "70-1", "dormant", "none");
	ANSWER_AUTO unknown = request(&g, ALICE, "PUT", "/v1/slots/nowhere/applications/70-1", NULL, NULL);
	cr_expect_eq(unknown.status, 404);
	ANSWER_AUTO malformed = application(&g, ALICE, "PUT", "seventy", NULL);
	cr_expect_eq(malformed.status, 400);
}

Test(application_routes, C7_an_application_falls_dormant_with_its_last_session)
{
	struct gateway g;
	gateway_shared(&g);
	json_int_t first = session_open(&g, ALICE, "71-1", INSTANCE_A);
	json_int_t second = session_open(&g, ALICE, "71-1", INSTANCE_B);
	log_in(&g, ALICE, "71-1");
	ANSWER_AUTO out = application(&g, ALICE, "POST", "71-1/logout", NULL);
	cr_assert_eq(out.status, 204);
	log_in_session(&g, "71-1", first);
	ANSWER_AUTO closed = on_session(&g, ALICE, "71-1", INSTANCE_A, "CloseSession", first);
	cr_expect(in_user_state(&g, ALICE, "71-1", INSTANCE_B, second));
	ANSWER_AUTO last = on_session(&g, ALICE, "71-1", INSTANCE_B, "CloseSession", second);
	expect_state(&g, ALICE, "71-1", "dormant", "none");
	second = session_open(&g, ALICE, "71-1", INSTANCE_B);
	cr_expect_not(in_user_state(&g, ALICE, "71-1", INSTANCE_B, second));
	expect_close(&g, ALICE, "71-1", 204);
}

Test(application_routes, C8_a_held_application_keeps_its_login_without_a_session)
{
	struct gateway g;
	gateway_shared(&g);
	expect_hold(&g, ALICE, "72-1", 201);
	json_int_t session = session_open(&g, ALICE, "72-1", INSTANCE_A);
	log_in_session(&g, "72-1", session);
	ANSWER_AUTO closed = on_session(&g, ALICE, "72-1", INSTANCE_A, "CloseSession", session);
	expect_state(&g, ALICE, "72-1", "held", "user");
	session = session_open(&g, ALICE, "72-1", INSTANCE_B);
	cr_expect(in_user_state(&g, ALICE, "72-1", INSTANCE_B, session));
	expect_close(&g, ALICE, "72-1", 204);
	expect_state(&g, ALICE, "72-1", "dormant", "none");
}

Test(application_routes, C9_close_ends_all_sessions_of_the_application)
{
	struct gateway g;
	gateway_shared(&g);
	json_int_t first = session_open(&g, ALICE, "73-1", INSTANCE_A);
	json_int_t second = session_open(&g, ALICE, "73-1", INSTANCE_B);
	json_int_t other = session_open(&g, ALICE, "73-2", INSTANCE_A);
	expect_state(&g, ALICE, "73-1", "active", "none");
	expect_close(&g, ALICE, "73-1", 204);
	ANSWER_AUTO one = on_session(&g, ALICE, "73-1", INSTANCE_A, "GetSessionInfo", first);
	ANSWER_AUTO two = on_session(&g, ALICE, "73-1", INSTANCE_B, "GetSessionInfo", second);
	cr_expect_str_eq(json_string_value(result(&one, "rv")), "CKR_SESSION_HANDLE_INVALID");
	cr_expect_str_eq(json_string_value(result(&two, "rv")), "CKR_SESSION_HANDLE_INVALID");
	cr_expect_not(in_user_state(&g, ALICE, "73-2", INSTANCE_A, other));
	expect_close(&g, ALICE, "73-1", 404);
	expect_close(&g, ALICE, "73-2", 204);
}

Test(application_routes, C12_another_certificate_has_its_own_application_of_the_same_id)
{
	struct gateway g;
	gateway_shared(&g);
	log_in(&g, ALICE, "74-1");
	expect_hold(&g, ALICE, "74-1", 201);
	expect_state(&g, BOB, "74-1", "dormant", "none");
	expect_close(&g, BOB, "74-1", 404);
	json_int_t session = session_open(&g, BOB, "74-1", INSTANCE_A);
	cr_expect_not(in_user_state(&g, BOB, "74-1", INSTANCE_A, session));
	expect_state(&g, ALICE, "74-1", "held", "user");
	expect_close(&g, ALICE, "74-1", 204);
	expect_close(&g, BOB, "74-1", 204);
}

Test(application_routes, X11_a_session_belongs_to_the_instance_of_one_identity)
{
	struct gateway g;
	gateway_shared(&g);
	json_int_t session = session_open(&g, ALICE, "75-1", INSTANCE_A);
	ANSWER_AUTO other = on_session(&g, ALICE, "75-1", INSTANCE_B, "GetSessionInfo", session);
	cr_expect_str_eq(json_string_value(result(&other, "rv")), "CKR_SESSION_HANDLE_INVALID");
	expect_close(&g, ALICE, "75-1", 204);
}

Test(application_routes, C15_the_two_faces_share_an_application)
{
	struct gateway g;
	gateway_shared(&g);
	json_int_t session = session_open(&g, ALICE, "3-4", INSTANCE_A);
	log_in(&g, ALICE, "3-4");
	cr_expect(in_user_state(&g, ALICE, "3-4", INSTANCE_A, session));
	ANSWER_AUTO out = slot(&g, ALICE, "POST", "/applications/current/logout", "3-4", NULL);
	cr_expect_eq(out.status, 204);
	cr_expect_not(in_user_state(&g, ALICE, "3-4", INSTANCE_A, session));
	expect_close(&g, ALICE, "3-4", 204);
}

Test(application_routes, C15_sessions_of_rest_are_opened_and_closed)
{
	struct gateway g;
	char path[128];
	gateway_shared(&g);
	ANSWER_AUTO opened = slot(&g, ALICE, "POST", "/sessions", "76-1", NULL);
	cr_assert_eq(opened.status, 201, "%s", opened.text);
	cr_expect_eq(strlen(member(&opened, "id")), 32);
	cr_expect_neq(member(&opened, "expires_at")[0], '\0');
	ANSWER_AUTO shown = application(&g, ALICE, "GET", "76-1", NULL);
	cr_expect_eq(number(&shown, "sessions"), 1, "%s", shown.text);
	log_in(&g, ALICE, "76-1");
	(void)snprintf(path, sizeof(path), "/sessions/%s", member(&opened, "id"));
	ANSWER_AUTO foreign = slot(&g, BOB, "DELETE", path, "76-1", NULL);
	cr_expect_eq(foreign.status, 404);
	ANSWER_AUTO closed = slot(&g, ALICE, "DELETE", path, "76-1", NULL);
	cr_expect_eq(closed.status, 204, "%s", closed.text);
	ANSWER_AUTO again = slot(&g, ALICE, "DELETE", path, "76-1", NULL);
	cr_expect_eq(again.status, 404);
	cr_expect_str_eq(member(&again, "type"), "/docs/errors/session-not-found");
	ANSWER_AUTO malformed = slot(&g, ALICE, "DELETE", "/sessions/x", "76-1", NULL);
	cr_expect_eq(malformed.status, 404);
	expect_close(&g, ALICE, "76-1", 204);
}

/* --- gateways of their own --- */

/* Replaces what stands behind the sandbox's configuration, and reloads it. */
static void reconfigure(const struct gateway *g, const char *lines)
{
	static const char mark[] = "# of this test\n";
	char path[300], text[8192];
	(void)snprintf(path, sizeof(path), "%s/p11gated.yaml", g->directory);
	FILE *file = fopen(path, "r+e");
	cr_assert_not_null(file);
	size_t len = fread(text, 1, sizeof(text) - 1, file);
	text[len] = '\0';
	char *end = strstr(text, mark);
	if (end != NULL)
		*end = '\0';
	rewind(file);
	(void)fprintf(file, "%s%s%s", text, mark, lines);
	(void)fflush(file);
	cr_assert_eq(ftruncate(fileno(file), ftell(file)), 0);
	(void)fclose(file);
	char *const argv[] = {(char *)g->tool, "reload", "--config", path, NULL};
	cr_assert_eq(program_run(argv), 0);
}

/* What the tool prints. */
static void tool(const struct gateway *g, const char *command, char ret_text[8192])
{
	char line[1200], path[300];
	(void)snprintf(path, sizeof(path), "%s/printed", g->directory);
	(void)snprintf(
		line, sizeof(line), "'%s' %s --config '%s/p11gated.yaml' > '%s'", g->tool, command, g->directory, path);
	char *const argv[] = {"sh", "-c", line, NULL};
	cr_assert_eq(program_run(argv), 0, "%s", line);
	FILE *file = fopen(path, "re");
	cr_assert_not_null(file);
	ret_text[fread(ret_text, 1, 8191, file)] = '\0';
	(void)fclose(file);
}

Test(application_routes, C12_min_app_id_refuses_ids_that_can_be_guessed)
{
	struct gateway g;
	gateway_start(&g);
	reconfigure(&g, "login:\n  - {identities: [alice], slots: [\"*\"], min_app_id: v2}\n");
	ANSWER_AUTO held = application(&g, ALICE, "PUT", "3-4", NULL);
	cr_expect_eq(held.status, 403, "%s", held.text);
	cr_expect_eq(number(&held, "ckr_code"), ACCESS_ID_INVALID);
	ANSWER_AUTO called = calls(&g, ALICE, "3-4", INSTANCE_A, "{\"groups\":[]}");
	cr_expect_eq(called.status, 403);
	cr_expect_eq(number(&called, "ckr_code"), ACCESS_ID_INVALID);
	expect_hold(&g, ALICE, "00000003000000040000000000000001", 201);
	expect_hold(&g, BOB, "3-4", 201);
	ANSWER_AUTO own = application(&g, ALICE, "GET", "current", NULL);
	cr_expect_eq(own.status, 200, "the identity's default application");
	gateway_stop(&g);
}

Test(application_routes, C13_a_share_group_shares_the_login_until_a_member_is_removed)
{
	struct gateway g;
	char type[80];
	gateway_start(&g);
	reconfigure(&g, "share_groups:\n  - {name: team, members: [alice, bob], slots: [\"*\"], app_ids: [3-4]}\n");
	json_int_t session = session_open(&g, BOB, "3-4", INSTANCE_A);
	log_in(&g, ALICE, "3-4");
	cr_expect(in_user_state(&g, BOB, "3-4", INSTANCE_A, session));
	cr_expect_eq(try_login(&g, BOB, "3-4", g.pin, type), 409, "%s", type);
	expect_state(&g, BOB, "3-5", "dormant", "none");
	ANSWER_AUTO foreign = on_session(&g, ALICE, "3-4", INSTANCE_A, "GetSessionInfo", session);
	cr_expect_str_eq(json_string_value(result(&foreign, "rv")), "CKR_SESSION_HANDLE_INVALID",
		"members share the login, not each other's sessions");
	/* Alice keeps one, so that the application outlives Bob's. */
	json_int_t kept = session_open(&g, ALICE, "3-4", INSTANCE_B);
	reconfigure(&g, "share_groups:\n  - {name: team, members: [alice], slots: [\"*\"], app_ids: [3-4]}\n");
	expect_state(&g, BOB, "3-4", "dormant", "none");
	ANSWER_AUTO removed = on_session(&g, BOB, "3-4", INSTANCE_A, "GetSessionInfo", session);
	cr_expect_str_eq(json_string_value(result(&removed, "rv")), "CKR_SESSION_HANDLE_INVALID");
	cr_expect(in_user_state(&g, ALICE, "3-4", INSTANCE_B, kept));
	gateway_stop(&g);
}

Test(application_routes, C13_an_operation_that_waits_for_its_pin_ends_with_the_membership)
{
	struct gateway g;
	char operation[128], pin[128];
	const char *const id[] = {"X-Application-Id: 3-4", NULL};
	gateway_start(&g);
	reconfigure(&g, "share_groups:\n  - {name: team, members: [alice, bob], slots: [\"*\"], app_ids: [3-4]}\n");
	/* With a session of hers the application outlives his membership. */
	log_in_session(&g, "3-4", session_open(&g, ALICE, "3-4", INSTANCE_A));
	ANSWER_AUTO made = slot(
		&g, ALICE, "POST", "/keys", "3-4", "{\"type\":\"EC\",\"label\":\"asks\",\"always_authenticate\":true}");
	cr_assert_eq(made.status, 201, "%s", made.text);
	ANSWER_AUTO waits = slot(
		&g, BOB, "POST", "/keys/asks/sign", "3-4", "{\"algorithm\":\"ES256\",\"data\":\"AAAA\"}");
	cr_assert_eq(waits.status, 401, "%s", waits.text);
	reconfigure(&g, "share_groups:\n  - {name: team, members: [alice], slots: [\"*\"], app_ids: [3-4]}\n");
	(void)snprintf(
		operation, sizeof(operation), "/v1/operations/%s/reauthenticate", member(&waits, "operation.id"));
	(void)snprintf(pin, sizeof(pin), "{\"pin\":\"%s\"}", g.pin);
	ANSWER_AUTO late = request(&g, BOB, "POST", operation, pin, id);
	cr_expect_eq(late.status, 404, "%s", late.text);
	gateway_stop(&g);
}

Test(application_routes, C15_a_login_over_rest_is_shown_though_it_has_no_session)
{
	struct gateway g;
	gateway_start(&g);
	ANSWER_AUTO before = application(&g, ALICE, "GET", "7-7", NULL);
	cr_expect_null(json_object_get(before.json, "login_since"), "%s", before.text);
	log_in(&g, ALICE, "7-7");
	ANSWER_AUTO shown = application(&g, ALICE, "GET", "7-7", NULL);
	cr_expect_str_eq(member(&shown, "state"), "active");
	cr_expect_str_eq(member(&shown, "login"), "user");
	cr_expect_eq(json_integer_value(json_object_get(shown.json, "sessions")), 0);
	struct tm since = {0};
	const char *end = strptime(member(&shown, "login_since"), "%Y-%m-%dT%H:%M:%SZ", &since);
	cr_assert(end != NULL && *end == '\0', "%s", shown.text);
	cr_expect_leq(llabs((long long)(timegm(&since) - time(NULL))), 10);
	gateway_stop(&g);
}

Test(application_routes, B1_a_slot_shows_the_rules_that_hold_for_who_asks)
{
	struct gateway g;
	gateway_start(&g);
	reconfigure(&g, "login:\n  - {identities: [alice], slots: [\"*\"], enable_cache_pin: 1, logout_after: sign, "
			"force_login_before_sign_key_usage: 0x40}\n");
	ANSWER_AUTO alice = slot(&g, ALICE, "GET", "", "1-1", NULL), bob = slot(&g, BOB, "GET", "", "1-1", NULL);
	const json_t *hers = json_object_get(alice.json, "login"), *his = json_object_get(bob.json, "login");
	cr_expect(json_is_true(json_object_get(hers, "cache_pin")), "%s", alice.text);
	cr_expect_str_eq(member(&alice, "login.logout_after"), "sign");
	cr_expect_eq(json_integer_value(json_object_get(hers, "force_login")), 0x40);
	cr_expect(json_is_false(json_object_get(his, "cache_pin")), "%s", bob.text);
	cr_expect_str_eq(member(&bob, "login.logout_after"), "never");
	cr_expect_str_eq(member(&bob, "login.min_app_id"), "any");
	gateway_stop(&g);
}

Test(application_routes, B3_who_waits_in_vain_for_an_exclusive_login_gets_423)
{
	struct gateway g;
	char type[80];
	setenv("LIMITS", "slot_lock_wait_s: 1", 1);
	gateway_start(&g);
	reconfigure(&g, "login:\n  - {identities: [alice, bob], slots: [\"*\"], exclusive_login: always}\n");
	log_in(&g, ALICE, "1-1");
	cr_expect_eq(try_login(&g, BOB, "1-1", g.pin, type), 423);
	cr_expect_str_eq(type, "/docs/errors/slot-busy");
	ANSWER_AUTO out = application(&g, ALICE, "POST", "1-1/logout", NULL);
	cr_expect_eq(out.status, 204);
	cr_expect_eq(try_login(&g, BOB, "1-1", g.pin, type), 200, "%s", type);
	gateway_stop(&g);
}

Test(application_routes, B16_the_guard_stops_an_identity_and_an_operator_lets_it_in_again)
{
	struct gateway g;
	char type[80], text[8192];
	gateway_start(&g);
	log_in(&g, ALICE, "9-9");
	for (int i = 0; i < 3; i++)
		cr_expect_eq(try_login(&g, ALICE, "1-1", "wrong", type), 401);
	cr_expect_eq(try_login(&g, ALICE, "1-1", g.pin, type), 423);
	cr_expect_str_eq(type, "/docs/errors/pin-locked");
	cr_expect_eq(try_login(&g, ALICE, "1-2", g.pin, type), 423);
	cr_expect_eq(try_login(&g, BOB, "1-1", g.pin, type), 200, "another identity: %s", type);
	expect_state(&g, ALICE, "9-9", "active", "user");
	ANSWER_AUTO hers = slot(&g, ALICE, "GET", "", "1-1", NULL), his = slot(&g, BOB, "GET", "", "1-1", NULL);
	cr_expect_not_null(strstr(hers.text, "\"USER_PIN_LOCKED\""), "%s", hers.text);
	cr_expect_null(strstr(his.text, "\"USER_PIN_LOCKED\""), "%s", his.text);
	ANSWER_AUTO inventory = request(&g, ALICE, "POST", "/v1/calls", NULL, NULL);
	cr_expect_not_null(strstr(inventory.text, "\"USER_PIN_LOCKED\""), "%s", inventory.text);
	cr_expect(json_is_object(inventory.json));
	tool(&g, "guard list", text);
	cr_expect_not_null(strstr(text, "identity=alice failures=3\n"), "%s", text);
	tool(&g, "guard reset alice", text);
	cr_expect_str_eq(text, "ok reset=1\n");
	cr_expect_eq(try_login(&g, ALICE, "1-1", g.pin, type), 200, "%s", type);
	gateway_stop(&g);
}

static bool nobody_is_in(const struct gateway *g, void *id)
{
	ANSWER_AUTO answer = application(g, BOB, "GET", id, NULL);
	return strcmp(member(&answer, "login"), "none") == 0;
}

Test(application_routes, X2_quiesce_makes_room_for_the_security_officer)
{
	struct gateway g;
	char type[80], body[128];
	gateway_start(&g);
	log_in(&g, BOB, "1-1");
	ANSWER_AUTO refused = slot(&g, BOB, "POST", "/quiesce", "1-1", "{\"seconds\":0}");
	cr_expect_eq(refused.status, 403);
	static const char *const bad[] = {
		NULL, "{}", "{\"seconds\":3601}", "{\"seconds\":-1}", "{\"seconds\":1,\"seconds\":1}", "{\"s\":1}"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ANSWER_AUTO answer = slot(&g, ALICE, "POST", "/quiesce", "1-1", bad[i]);
		cr_expect_eq(answer.status, 400, "%s", answer.text);
	}
	expect_state(&g, BOB, "1-1", "active", "user");
	(void)snprintf(body, sizeof(body), "{\"pin\":\"%s\",\"user\":\"so\"}", g.so_pin);
	ANSWER_AUTO early = application(&g, ALICE, "POST", "2-2/login", body);
	cr_expect_eq(early.status, 409, "%s", early.text);
	ANSWER_AUTO done = slot(&g, ALICE, "POST", "/quiesce", "1-1", "{\"seconds\":0}");
	cr_expect_eq(done.status, 204, "%s", done.text);
	cr_expect(await_condition(nobody_is_in, &g, "1-1", 10));
	cr_expect_eq(try_login(&g, BOB, "1-1", g.pin, type), 503, "%s", type);
	cr_expect_str_eq(type, "/docs/errors/device-error");
	ANSWER_AUTO officer = application(&g, ALICE, "POST", "2-2/login", body);
	cr_expect_eq(officer.status, 200, "%s", officer.text);
	gateway_stop(&g);
}

/* Lines of the audit log with this text. */
static unsigned audited(const struct gateway *g, const char *text)
{
	char line[16384];
	unsigned count = 0;
	FILE *file = fopen(g->audit_log, "re");
	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		count += strstr(line, text) != NULL;
	(void)fclose(file);
	return count;
}

Test(application_routes, C16_listings_and_records_show_an_id_as_a_hash_that_changes_at_restart)
{
	struct gateway g;
	char before[8192], after[8192];
	static const char id[] = "deadbeef0badcafe0123456789abcdef";
	setenv("LIMITS", "holds_per_identity: 1", 1);
	gateway_start(&g);
	expect_hold(&g, ALICE, id, 201);
	expect_hold(&g, ALICE, "1-2", 429);
	tool(&g, "app list", before);
	cr_expect_not_null(strstr(before, " domain=alice application="), "%s", before);
	cr_expect_not_null(strstr(before, " state=held login=none sessions=0\n"), "%s", before);
	cr_expect_null(strstr(before, id));
	cr_expect_eq(audited(&g, "\"kind\":\"application\",\"action\":\"held\""), 1);
	cr_assert_eq(kill(g.pid, SIGKILL), 0);
	gateway_restart(&g);
	expect_state(&g, ALICE, id, "dormant", "none");
	expect_hold(&g, ALICE, id, 201);
	tool(&g, "app list", after);
	cr_expect_str_neq(before, after);
	expect_close(&g, ALICE, id, 204);
	cr_expect_eq(audited(&g, "\"kind\":\"application\",\"action\":\"closed\""), 1);
	cr_expect_eq(audited(&g, id), 0);
	gateway_stop(&g);
}
