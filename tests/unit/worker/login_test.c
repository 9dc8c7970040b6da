#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/common/wipe_free.h"
#include "tests/unit/worker/fixture.h"

/* The public key "b"; the search stays open. */
#define FIND_B \
	"{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_PUBLIC_KEY\"},{\"CKA_LABEL\":" \
	"\"b\"}]}}," \
	"{\"FindObjects\":{\"session\":%lld,\"objects\":10}}"

static struct token_fixture token;
static struct worker_fixture one, two;
static struct client first = {.worker = &one}, second = {.worker = &two};

static void start(void)
{
	token_fixture_new(&token);
	worker_fixture_start(&token, NULL, &one);
	cr_assert_eq(one.started_rv, 0, "%s", one.started_detail);
}

TestSuite(login, .init = start, .timeout = 60);

Test(login, X1_another_applications_login_does_not_help_a_wrong_pin)
{
	worker_fixture_start(&token, NULL, &two);
	open_logged_in(&first);
	json_int_t session = open_session(&second);
	expect(&second, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_USER", WRONG);
	expect(&second, "CKR_OK", LOGIN, session, "CKU_USER", RIGHT);
}

Test(login, X1_private_objects_are_invisible_without_an_own_login)
{
	json_int_t session = open_logged_in(&first);

	worker_fixture_start(&token, NULL, &two);
	make_key(&first, session, "release", "");
	session = open_session(&second);
	json_t *result = client_call(&second,
		"{\"FindObjectsInit\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_PRIVATE_KEY\"}]}},"
		"{\"FindObjects\":{\"session\":%lld,\"objects\":10}}",
		session, session);
	cr_assert_eq(json_array_size(json_object_get(result, "objects")), 0);
	json_decref(result);
}

Test(login, X2_the_gateways_conflict_is_the_answer_and_no_pin_is_tried)
{
	json_int_t session = open_session(&first);

	token.refuse = 0x104;
	expect(&first, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", LOGIN, session, "CKU_USER", RIGHT);
	json_t *info = client_call(&first, "{\"GetSessionInfo\":{\"session\":%lld}}", session);
	cr_assert_str_eq(
		json_string_value(json_object_get(json_object_get(info, "info"), "state")), "CKS_RW_PUBLIC_SESSION");
	json_decref(info);
}

Test(login, B13_a_login_while_logged_in_is_refused_without_asking_for_the_token)
{
	json_int_t session = open_logged_in(&first);
	unsigned asked = token.asked[TOKEN_FOR_LOGIN];

	expect(&first, "CKR_USER_ALREADY_LOGGED_IN", LOGIN, session, "CKU_USER", WRONG);
	expect(&first, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", LOGIN, session, "CKU_SO", "MTIzNDU2Nzg");
	cr_assert_eq(token.asked[TOKEN_FOR_LOGIN], asked);
}

Test(login, X10_a_changed_pin_is_known_to_a_worker_that_knew_the_old_one)
{
	worker_fixture_start(&token, NULL, &two);
	json_int_t session = open_logged_in(&first), other = open_logged_in(&second);

	expect(&second, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", other);
	expect(&first, "CKR_OK", "{\"SetPIN\":{\"session\":%lld,\"old_pin\":\"" RIGHT "\",\"new_pin\":\"" WRONG "\"}}",
		session);
	expect(&second, "CKR_PIN_INCORRECT", LOGIN, other, "CKU_USER", RIGHT);
	expect(&second, "CKR_OK", LOGIN, other, "CKU_USER", WRONG);
}

Test(login, X10_a_pin_changed_by_an_outside_tool_counts_at_once_with_fresh_logins)
{
	struct worker_fixture fresh;
	struct client user = {.worker = &fresh};

	worker_fixture_start(&token, &(struct worker_options){.fresh = true}, &fresh);
	json_int_t session = open_logged_in(&user);
	expect(&user, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	json_int_t outside = open_logged_in(&first);
	expect(&first, "CKR_OK", "{\"SetPIN\":{\"session\":%lld,\"old_pin\":\"" RIGHT "\",\"new_pin\":\"" WRONG "\"}}",
		outside);
	token.generation = 1; /* as if the gateway had not seen it */
	expect(&user, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_USER", RIGHT);
	expect(&user, "CKR_OK", LOGIN, session, "CKU_USER", WRONG);
}

Test(login, X3_handles_of_public_token_objects_outlive_a_fresh_login)
{
	struct worker_fixture fresh;
	struct client user = {.worker = &fresh};
	json_int_t session = open_logged_in(&first);

	make_key(&first, session, "a", "");
	make_key(&first, session, "b", "");
	worker_fixture_start(&token, &(struct worker_options){.fresh = true}, &fresh);
	session = open_session(&user);
	json_t *answer = client_call(&user, FIND_B, session, session);
	json_int_t key = json_integer_value(json_array_get(json_object_get(answer, "objects"), 0));
	json_decref(answer);
	cr_assert_neq(key, 0);
	expect(&user, "CKR_OK", "{\"FindObjectsFinal\":{\"session\":%lld}}", session);
	expect(&user, "CKR_OK", LOGIN, session, "CKU_USER", RIGHT);
	answer = client_call(&user,
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}",
		session, key);
	cr_assert_str_eq(json_string_value(json_array_get(json_object_get(answer, "attributes"), 0)), "b");
	json_decref(answer);
	answer = client_call(&user, FIND_B, session, session);
	cr_assert_eq(json_integer_value(json_array_get(json_object_get(answer, "objects"), 0)), key);
	json_decref(answer);
}

Test(login, X3_of_two_objects_that_are_alike_none_is_taken_for_the_old_one)
{
	static const char data[] = "{\"CreateObject\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_DATA\"},"
				   "{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":false},{\"CKA_LABEL\":\"twin\"}]}}";
	static const char look[] =
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_LABEL\":16}]}}";
	struct worker_fixture fresh;
	struct client user = {.worker = &fresh};

	worker_fixture_start(&token, &(struct worker_options){.fresh = true}, &fresh);
	json_int_t session = open_session(&user), twin = number(&user, "object", data, session);
	number(&user, "object", data, session);
	expect(&user, "CKR_OK", look, session, twin);
	expect(&user, "CKR_OK", LOGIN, session, "CKU_USER", RIGHT);
	expect(&user, "CKR_OBJECT_HANDLE_INVALID", look, session, twin);
}

Test(login, session_objects_are_not_lost_to_a_fresh_login)
{
	struct worker_fixture fresh;
	struct client user = {.worker = &fresh};

	worker_fixture_start(&token, &(struct worker_options){.fresh = true}, &fresh);
	json_int_t session = open_session(&user);
	json_int_t data = number(&user, "object",
		"{\"CreateObject\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_DATA\"},{\"CKA_PRIVATE\":"
		"false},{\"CKA_VALUE\":\"YQ\"}]}}",
		session);
	expect(&user, "CKR_OK", LOGIN, session, "CKU_USER", RIGHT);
	expect(&user, "CKR_OK",
		"{\"GetAttributeValue\":{\"session\":%lld,\"object\":%lld,\"attributes\":[{\"CKA_VALUE\":16}]}}",
		session, data);
}

Test(login, the_security_officer_sets_the_users_pin)
{
	json_int_t session = open_session(&first);

	expect(&first, "CKR_OK", LOGIN, session, "CKU_SO", "MTIzNDU2Nzg");
	expect(&first, "CKR_OK", "{\"InitPIN\":{\"session\":%lld,\"pin\":\"" WRONG "\"}}", session);
	cr_assert_eq(token.generation, 2);
	expect(&first, "CKR_OK", "{\"Logout\":{\"session\":%lld}}", session);
	expect(&first, "CKR_OK", LOGIN, session, "CKU_USER", WRONG);
}

Test(login, a_token_with_sessions_is_not_initialised)
{
	open_session(&first);
	expect(&first, "CKR_SESSION_EXISTS",
		"{\"InitToken\":{\"pin\":\"MTIzNDU2Nzg\",\"label\":\"ZGVtbyAgICAgICAgICAgICAgICAgICAgICAgICAgICA\"}}");
}

Test(login, X5_the_workers_own_sessions_do_not_stand_in_the_way_of_initialising_a_token)
{
	json_int_t session = open_logged_in(&first);

	make_key(&first, session, "release", "");
	expect(&first, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
	expect(&first, "CKR_OK",
		"{\"InitToken\":{\"pin\":\"MTIzNDU2Nzg\",\"label\":\"ZGVtbyAgICAgICAgICAgICAgICAgICAgICAgICAgICA\"}}");
	cr_assert_eq(token.generation, 2);
	session = open_session(&first);
	expect(&first, "CKR_USER_PIN_NOT_INITIALIZED", LOGIN, session, "CKU_USER", RIGHT);
}

Test(login, A1_a_context_login_without_operation_sends_no_pin)
{
	json_int_t session = open_logged_in(&first);
	unsigned asked = token.asked[TOKEN_FOR_LOGIN];

	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", LOGIN, session, "CKU_CONTEXT_SPECIFIC", RIGHT);
	cr_assert_eq(token.asked[TOKEN_FOR_LOGIN], asked);
}

Test(login, A3_an_always_authenticate_key_signs_after_its_context_login)
{
	json_int_t session = open_logged_in(&first),
		   key = make_key(&first, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");

	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_OK", LOGIN, session, "CKU_CONTEXT_SPECIFIC", RIGHT);
	expect(&first, "CKR_OK", SIGN, session);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN, session);
}

Test(login, A4_an_always_authenticate_key_without_its_login_ends_the_operation)
{
	json_int_t session = open_logged_in(&first),
		   key = make_key(&first, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");

	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN, session);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", LOGIN, session, "CKU_CONTEXT_SPECIFIC", RIGHT);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
}

Test(login, A5_a_wrong_pin_leaves_the_operation)
{
	json_int_t session = open_logged_in(&first),
		   key = make_key(&first, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");

	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_CONTEXT_SPECIFIC", WRONG);
	expect(&first, "CKR_OK", LOGIN, session, "CKU_CONTEXT_SPECIFIC", RIGHT);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", LOGIN, session, "CKU_CONTEXT_SPECIFIC", RIGHT);
	expect(&first, "CKR_OK", SIGN, session);
}

Test(login, A13_a_context_login_belongs_to_its_session)
{
	json_int_t session = open_logged_in(&first), other = open_session(&first);
	json_int_t key = make_key(&first, session, "careful", ",{\"CKA_ALWAYS_AUTHENTICATE\":true}");

	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", LOGIN, other, "CKU_CONTEXT_SPECIFIC", RIGHT);
	expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN, session);
}

Test(login, A20_an_unknown_user_and_a_missing_pin_get_the_modules_answers)
{
	json_int_t session = open_session(&first);

	expect(&first, "CKR_USER_TYPE_INVALID", LOGIN, session, "0x7", RIGHT);
	expect(&first, "CKR_ARGUMENTS_BAD", "{\"Login\":{\"session\":%lld,\"user_type\":\"CKU_USER\",\"pin\":null}}",
		session);
}

Test(login, an_empty_pin_is_refused_without_asking_the_token)
{
	json_int_t session = open_session(&first);

	expect(&first, "CKR_PIN_INCORRECT", LOGIN, session, "CKU_USER", "");
	cr_assert_eq(token.asked[TOKEN_FOR_LOGIN], 0);
}

/* A sanitizer keeps freed memory as it is, so there the search would find what the product wipes. */
#if WIPE_FREE_ACTIVE
/* How often `needle` is in the memory that the process can write. */
static unsigned memory_hits(pid_t pid, const char *needle)
{
	char path[64], line[512], mode[5];
	unsigned long from, to;
	unsigned hits = 0;

	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	int memory = open(path, O_RDONLY);
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "r");
	cr_assert(memory >= 0 && maps,
		"the memory of an undumpable process can be read by root alone: run the tests as root");
	while (fgets(line, sizeof line, maps)) {
		if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) != 3 || strncmp(mode, "rw", 2) != 0)
			continue;
		char *copy = malloc(to - from);
		ssize_t got = pread(memory, copy, to - from, (off_t)from);
		for (char *at = copy; got > 0 && (at = memmem(at, (size_t)(copy + got - at), needle, strlen(needle)));
			at++)
			hits++;
		free(copy);
	}
	fclose(maps);
	close(memory);
	return hits;
}

Test(login, X6_no_pin_is_left_in_memory_after_the_login)
{
	struct worker_fixture canary;
	struct client user = {.worker = &canary};

	token_fixture_tool(&token, (char *[]){"softhsm2-util", "--init-token", "--free", "--label", "canary", "--pin",
					   "sing-canary-sing", "--so-pin", FIXTURE_SO_PIN, NULL});
	worker_fixture_start(&token, &(struct worker_options){.label = "canary", .fresh = true}, &canary);
	json_int_t session = open_session(&user);
	expect(&user, "CKR_OK", LOGIN, session, "CKU_USER", "c2luZy1jYW5hcnktc2luZw");
	make_key(&user, session, "release", "");
	cr_assert_gt(memory_hits(canary.pid, "canary"), 0, "the search finds nothing at all");
	cr_assert_eq(memory_hits(canary.pid, "sing-canary-sing"), 0);
	cr_assert_eq(memory_hits(canary.pid, "c2luZy1jYW5hcnktc2luZw"), 0);
}
#endif

static json_int_t make_session_key(json_int_t session)
{
	return number(&first, "private_key",
		"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"},"
		"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},{\"CKA_TOKEN\":false}],"
		"\"private_attributes\":[{\"CKA_TOKEN\":false},{\"CKA_PRIVATE\":true},{\"CKA_SIGN\":true},"
		"{\"CKA_ALWAYS_AUTHENTICATE\":true}]}}",
		session);
}

Test(login, A4_refused_signatures_leave_the_sessions_objects_alone)
{
	json_int_t session = open_logged_in(&first), keys[3];

	for (unsigned i = 0; i < 60; i++) {
		if (i % 20 == 0)
			keys[i / 20] = make_session_key(session);
		expect(&first, "CKR_OK", SIGN_INIT, session, keys[i / 20]);
		expect(&first, "CKR_USER_NOT_LOGGED_IN", SIGN, session);
	}
	for (unsigned i = 0; i < 3; i++) {
		expect(&first, "CKR_OK", SIGN_INIT, session, keys[i]);
		expect(&first, "CKR_OK", LOGIN, session, "CKU_CONTEXT_SPECIFIC", RIGHT);
		expect(&first, "CKR_OK", SIGN, session);
	}
}
