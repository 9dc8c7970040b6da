/* Application IDs: the functions that are exported beside Cryptoki (requirements C1 to C5, C8 to C11). */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/cryptoki.h"
#include "client-module/include/p11gate/ca.h"
#include "tests/unit/client-module/gateway.h"

enum { ID_TEXT_LEN = 32, LOG_MAX = 64, LINE_MAX_LEN = 96 };

#define THREE_FOUR "00000003000000040000000000000000"
#define FIVE_SIX "00000005000000060000000000000000"

/* What the gateway was asked: "APPLICATION CALL", or "METHOD PATH" for what is no call. */
static char asked[LOG_MAX][LINE_MAX_LEN];
static unsigned asked_count;

/* The gateway's answer to holding and closing. */
static unsigned hold_status;
static const char *hold_body;

static void note_request(const char *request)
{
	char *line = asked[asked_count % LOG_MAX];
	const char *id = strstr(request, "X-Application-Id: "), *call = strstr(request, "\"calls\":[{\"");
	if (gateway_asked_for_inventory(request)) {
		return;
	}
	asked_count++;
	if (call == NULL) {
		snprintf(line, LINE_MAX_LEN, "%.*s", (int)strcspn(request, "\r") - (int)strlen(" HTTP/1.1"), request);
		return;
	}
	call += strlen("\"calls\":[{\"");
	snprintf(line, LINE_MAX_LEN, "%.*s %.*s", ID_TEXT_LEN, id != NULL ? id + strlen("X-Application-Id: ") : "none",
		(int)strcspn(call, "\""), call);
}

static bool script(struct peer *peer, const char *request, size_t len)
{
	note_request(request);
	if (strncmp(request, "PUT ", 4) == 0 || strncmp(request, "DELETE ", 7) == 0) {
		return gateway_json(peer, hold_status, hold_body);
	}
	return gateway_normal(peer, request, len);
}

static void start(void)
{
	gateway_start((struct gateway_options){.script = script});
	hold_status = 201;
	hold_body = "{}";
}

TestSuite(ca, .init = start);

static CK_SESSION_HANDLE open_session(CK_SLOT_ID slot)
{
	CK_SESSION_HANDLE session = 0;
	cr_assert_eq(C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
	return session;
}

static void was_asked(const char *expected)
{
	cr_assert_gt(asked_count, 0);
	cr_expect_str_eq(asked[asked_count - 1], expected);
}

static void the_id_is(const char *hex)
{
	CK_APPLICATION_ID id;
	char text[ID_TEXT_LEN + 1];
	cr_assert_eq(CA_GetApplicationID(&id), CKR_OK);
	for (size_t i = 0; i < sizeof(id.id); i++) {
		snprintf(text + 2 * i, 3, "%02x", id.id[i]);
	}
	cr_expect_str_eq(text, hex);
}

Test(ca, C5_an_open_session_keeps_the_id_it_was_opened_with)
{
	CK_SESSION_INFO info;
	cr_assert_eq(CA_SetApplicationID(3, 4), CKR_OK);
	CK_SLOT_ID slot = gateway_client();
	CK_SESSION_HANDLE older = open_session(slot);
	was_asked(THREE_FOUR " OpenSession");
	cr_assert_eq(CA_SetApplicationID(5, 6), CKR_OK);
	CK_SESSION_HANDLE newer = open_session(slot);
	was_asked(FIVE_SIX " OpenSession");
	cr_assert_eq(C_GetSessionInfo(older, &info), CKR_OK);
	was_asked(THREE_FOUR " GetSessionInfo");
	cr_assert_eq(C_GetSessionInfo(newer, &info), CKR_OK);
	was_asked(FIVE_SIX " GetSessionInfo");
	cr_assert_eq(C_CloseSession(older), CKR_OK);
	was_asked(THREE_FOUR " CloseSession");
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(ca, C5_an_id_set_before_initialize_is_remembered)
{
	cr_assert_eq(CA_SetApplicationID(3, 4), CKR_OK);
	the_id_is(THREE_FOUR);
	open_session(gateway_client());
	was_asked(THREE_FOUR " OpenSession");
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
	the_id_is(THREE_FOUR);
	open_session(gateway_client());
	was_asked(THREE_FOUR " OpenSession");
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(ca, C5_a_null_id_is_a_bad_argument_and_changes_nothing)
{
	cr_assert_eq(CA_SetApplicationID(3, 4), CKR_OK);
	cr_expect_eq(CA_SetApplicationIDV2(NULL), CKR_ARGUMENTS_BAD);
	cr_expect_eq(CA_GetApplicationID(NULL), CKR_ARGUMENTS_BAD);
	the_id_is(THREE_FOUR);
}

Test(ca, C1_an_id_is_two_numbers_of_32_bits_or_16_bytes)
{
	CK_APPLICATION_ID whole;
	memset(&whole, 0xab, sizeof(whole));
	cr_assert_eq(CA_SetApplicationID(0x100000003, 0xffffffff00000004), CKR_OK);
	the_id_is(THREE_FOUR);
	cr_assert_eq(CA_SetApplicationID(0x01020304, 0xfffefdfc), CKR_OK);
	the_id_is("01020304fffefdfc0000000000000000");
	cr_assert_eq(CA_SetApplicationIDV2(&whole), CKR_OK);
	the_id_is("abababababababababababababababab");
}

Test(ca_own_gateway, C3_the_programs_id_overrides_the_files)
{
	gateway_start((struct gateway_options){.script = script, .extra = "[Misc]\nAppIdMajor=2\nAppIdMinor=4"});
	CK_SLOT_ID slot = gateway_client();
	the_id_is("00000002000000040000000000000000");
	cr_assert_eq(CA_SetApplicationID(3, 4), CKR_OK);
	open_session(slot);
	was_asked(THREE_FOUR " OpenSession");
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(ca, C4_a_random_id_is_another_one_each_time)
{
	CK_APPLICATION_ID first, second;
	cr_assert_eq(CA_RandomizeApplicationID(), CKR_OK);
	cr_assert_eq(CA_GetApplicationID(&first), CKR_OK);
	cr_assert_eq(CA_RandomizeApplicationID(), CKR_OK);
	cr_assert_eq(CA_GetApplicationID(&second), CKR_OK);
	cr_expect_arr_neq(first.id, second.id, 8);
	cr_expect_arr_neq(first.id + 8, second.id + 8, 8);
}

/* Runs in a forked child: 0 if `expected_same` tells whether its ID after C_Initialize is the parent's. */
static int child_id(const CK_APPLICATION_ID *parent, bool expected_same)
{
	CK_INFO info;
	CK_APPLICATION_ID id;
	if (C_GetInfo(&info) != CKR_CRYPTOKI_NOT_INITIALIZED || C_Initialize(NULL) != CKR_OK ||
		CA_GetApplicationID(&id) != CKR_OK) {
		return 2;
	}
	return (memcmp(&id, parent, sizeof(id)) == 0) == expected_same ? 0 : 1;
}

static void fork_expects(bool same)
{
	CK_APPLICATION_ID id;
	int status = -1;
	cr_assert_eq(CA_GetApplicationID(&id), CKR_OK);
	pid_t child = fork();
	if (child == 0) {
		_exit(child_id(&id, same));
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
}

Test(ca, C2_a_forked_child_gets_an_id_of_its_own)
{
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	fork_expects(false);
	cr_assert_eq(CA_RandomizeApplicationID(), CKR_OK);
	fork_expects(false);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(ca, C2_an_id_that_was_set_on_purpose_holds_for_children)
{
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	cr_assert_eq(CA_SetApplicationID(3, 4), CKR_OK);
	fork_expects(true);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

static void *set_forever(void *stop)
{
	while (!atomic_load((atomic_bool *)stop)) {
		(void)CA_SetApplicationID(3, 4);
	}
	return NULL;
}

Test(ca, C2_a_fork_beside_a_thread_that_sets_the_id_leaves_a_child_that_can)
{
	static atomic_bool stop;
	pthread_t thread;
	int status = -1;
	cr_assert_eq(pthread_create(&thread, NULL, set_forever, &stop), 0);
	for (int i = 0; i < 200; i++) {
		pid_t child = fork();
		if (child == 0) {
			alarm(20);
			_exit(CA_SetApplicationID(5, 6) == CKR_OK ? 0 : 1);
		}
		cr_assert_eq(waitpid(child, &status, 0), child);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "fork %d: status %d", i, status);
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
}

Test(ca, C4_a_session_can_be_opened_under_another_id)
{
	CK_APPLICATION_ID id = {{[15] = 7}};
	CK_SESSION_HANDLE session = 0;
	CK_SESSION_INFO info;
	cr_assert_eq(CA_SetApplicationID(3, 4), CKR_OK);
	CK_SLOT_ID slot = gateway_client();
	cr_assert_eq(CA_OpenSessionWithAppID(slot, CKF_SERIAL_SESSION, 5, 6, NULL, NULL, &session), CKR_OK);
	was_asked(FIVE_SIX " OpenSession");
	cr_assert_eq(C_GetSessionInfo(session, &info), CKR_OK);
	was_asked(FIVE_SIX " GetSessionInfo");
	cr_assert_eq(CA_OpenSessionWithAppIDV2(slot, CKF_SERIAL_SESSION, &id, NULL, NULL, &session), CKR_OK);
	was_asked("00000000000000000000000000000007 OpenSession");
	the_id_is(THREE_FOUR);
	cr_expect_eq(
		CA_OpenSessionWithAppIDV2(slot, CKF_SERIAL_SESSION, NULL, NULL, NULL, &session), CKR_ARGUMENTS_BAD);
	cr_expect_eq(CA_OpenSessionWithAppID(slot, CKF_SERIAL_SESSION, 5, 6, NULL, NULL, NULL), CKR_ARGUMENTS_BAD);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(ca, C4_a_session_tells_its_id_slot_and_login)
{
	CK_ULONG high = 0, low = 0, container = 0, authentication = 9;
	CK_SESSION_HANDLE session = 0;
	CK_SLOT_ID slot = gateway_client();
	cr_assert_eq(CA_OpenSessionWithAppID(slot, CKF_SERIAL_SESSION, 5, 6, NULL, NULL, &session), CKR_OK);
	cr_assert_eq(CA_GetSessionInfo(session, &high, &low, &container, &authentication), CKR_OK);
	cr_expect_eq(high, 5);
	cr_expect_eq(low, 6);
	cr_expect_eq(container, slot);
	cr_expect_eq(authentication, CA_AUTH_PUBLIC);
	cr_expect_eq(CA_GetSessionInfo(session, &high, NULL, &container, &authentication), CKR_ARGUMENTS_BAD);
	cr_expect_eq(
		CA_GetSessionInfo(session + 1, &high, &low, &container, &authentication), CKR_SESSION_HANDLE_INVALID);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* A session whose application is in the given state. */
static const char *state_shown;

static bool state_script(struct peer *peer, const char *request, size_t len)
{
	char result[160];
	if (strstr(request, "GetSessionInfo") == NULL) {
		return gateway_normal(peer, request, len);
	}
	snprintf(result, sizeof(result),
		"{\"rv\":\"CKR_OK\",\"info\":{\"slotID\":5,\"state\":\"%s\",\"flags\":[],\"ulDeviceError\":0}}",
		state_shown);
	return gateway_result(peer, result);
}

Test(ca_own_gateway, C4_the_level_of_authentication_comes_from_the_sessions_state)
{
	static const struct {
		const char *state;
		CK_ULONG level;
	} cases[] = {
		{"CKS_RO_PUBLIC_SESSION", CA_AUTH_PUBLIC},
		{"CKS_RW_PUBLIC_SESSION", CA_AUTH_PUBLIC},
		{"CKS_RO_USER_FUNCTIONS", CA_AUTH_USER},
		{"CKS_RW_USER_FUNCTIONS", CA_AUTH_USER},
		{"CKS_RW_SO_FUNCTIONS", CA_AUTH_SO},
	};
	gateway_start((struct gateway_options){.script = state_script});
	CK_SESSION_HANDLE session = gateway_client_session();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CK_ULONG high, low, container, level = 9;
		state_shown = cases[i].state;
		cr_assert_eq(CA_GetSessionInfo(session, &high, &low, &container, &level), CKR_OK);
		cr_expect_eq(level, cases[i].level, "%s", cases[i].state);
	}
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(ca, C11_close_all_closes_the_sessions_of_every_id_of_this_process)
{
	CK_SESSION_HANDLE session = 0;
	CK_TOKEN_INFO token;
	cr_assert_eq(CA_SetApplicationID(3, 4), CKR_OK);
	CK_SLOT_ID slot = gateway_client();
	CK_SESSION_HANDLE own = open_session(slot);
	cr_assert_eq(
		CA_OpenSessionWithAppID(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, 5, 6, NULL, NULL, &session), CKR_OK);
	cr_assert_eq(C_GetTokenInfo(slot, &token), CKR_OK);
	cr_expect_eq(token.ulSessionCount, 2);
	cr_expect_eq(token.ulRwSessionCount, 1);
	unsigned before = asked_count;
	cr_assert_eq(C_CloseAllSessions(slot), CKR_OK);
	cr_assert_eq(asked_count, before + 2);
	cr_expect_str_eq(asked[before], THREE_FOUR " CloseAllSessions");
	cr_expect_str_eq(asked[before + 1], FIVE_SIX " CloseAllSessions");
	cr_expect_eq(C_CloseSession(own), CKR_SESSION_HANDLE_INVALID);
	cr_expect_eq(C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
	cr_assert_eq(C_GetTokenInfo(slot, &token), CKR_OK);
	cr_expect_eq(token.ulSessionCount, 0);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(ca, C11_finalize_ends_the_sessions_of_every_id_of_this_process)
{
	CK_SESSION_HANDLE session = 0;
	cr_assert_eq(CA_SetApplicationID(3, 4), CKR_OK);
	CK_SLOT_ID slot = gateway_client();
	open_session(slot);
	cr_assert_eq(CA_OpenSessionWithAppID(slot, CKF_SERIAL_SESSION, 5, 6, NULL, NULL, &session), CKR_OK);
	unsigned before = asked_count;
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
	cr_assert_eq(asked_count, before + 2);
	cr_expect_str_eq(asked[before], THREE_FOUR " CloseAllSessions");
	cr_expect_str_eq(asked[before + 1], FIVE_SIX " CloseAllSessions");
}

Test(ca, C8_holding_open_is_one_request_for_the_slot_and_the_id)
{
	CK_APPLICATION_ID id = {{[15] = 7}};
	CK_SLOT_ID slot = gateway_client();
	cr_assert_eq(CA_OpenApplicationID(slot, 3, 4), CKR_OK);
	was_asked("PUT /v1/slots/" GATEWAY_SLOT "/applications/" THREE_FOUR);
	cr_assert_eq(CA_OpenApplicationIDV2(slot, &id), CKR_OK);
	was_asked("PUT /v1/slots/" GATEWAY_SLOT "/applications/00000000000000000000000000000007");
	cr_expect_eq(CA_OpenApplicationIDV2(slot, NULL), CKR_ARGUMENTS_BAD);
	cr_expect_eq(CA_CloseApplicationIDV2(slot, NULL), CKR_ARGUMENTS_BAD);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(ca, C9_closing_an_id_ends_this_processs_sessions_of_it_and_no_others)
{
	CK_SESSION_HANDLE ended = 0, kept = 0;
	CK_SESSION_INFO info;
	hold_status = 204;
	hold_body = "";
	CK_SLOT_ID slot = gateway_client();
	cr_assert_eq(CA_OpenSessionWithAppID(slot, CKF_SERIAL_SESSION, 3, 4, NULL, NULL, &ended), CKR_OK);
	cr_assert_eq(CA_OpenSessionWithAppID(slot, CKF_SERIAL_SESSION, 5, 6, NULL, NULL, &kept), CKR_OK);
	cr_assert_eq(CA_CloseApplicationID(slot, 3, 4), CKR_OK);
	was_asked("DELETE /v1/slots/" GATEWAY_SLOT "/applications/" THREE_FOUR);
	cr_expect_eq(C_GetSessionInfo(ended, &info), CKR_SESSION_HANDLE_INVALID);
	cr_expect_eq(C_GetSessionInfo(kept, &info), CKR_OK);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(ca, C10_the_gateways_refusals_are_the_documented_codes)
{
	CK_SLOT_ID slot = gateway_client();
	hold_status = 409;
	hold_body = "{\"title\":\"held\",\"status\":409,\"ckr\":\"0x80000069\",\"ckr_code\":2147483753}";
	cr_expect_eq(CA_OpenApplicationID(slot, 3, 4), CKR_ACCESS_ID_ALREADY_EXISTS);
	hold_status = 404;
	hold_body = "{\"title\":\"unknown\",\"status\":404,\"ckr\":\"0x80000068\",\"ckr_code\":2147483752}";
	cr_expect_eq(CA_CloseApplicationID(slot, 3, 4), CKR_ACCESS_ID_INVALID);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(ca, C10_an_unknown_slot_is_refused)
{
	CK_SLOT_ID slot = gateway_client();
	cr_expect_eq(CA_OpenApplicationID(slot + 1, 3, 4), CKR_SLOT_ID_INVALID);
	cr_expect_eq(CA_CloseApplicationID(slot + 1, 3, 4), CKR_SLOT_ID_INVALID);
	cr_expect_eq(asked_count, 0);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(ca_own_gateway, C10_a_slot_without_a_token_has_no_applications)
{
	gateway_start((struct gateway_options){.script = script, .absent = true});
	CK_SLOT_ID slot = gateway_client();
	cr_expect_eq(CA_OpenApplicationID(slot, 3, 4), CKR_TOKEN_NOT_PRESENT);
	cr_expect_eq(CA_CloseApplicationID(slot, 3, 4), CKR_TOKEN_NOT_PRESENT);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(ca, C10_without_initialize_only_setting_an_id_is_possible)
{
	CK_APPLICATION_ID id = {{1}};
	CK_SESSION_HANDLE session;
	CK_ULONG number;
	cr_expect_eq(CA_GetApplicationID(&id), CKR_CRYPTOKI_NOT_INITIALIZED);
	cr_expect_eq(CA_OpenApplicationID(1, 3, 4), CKR_CRYPTOKI_NOT_INITIALIZED);
	cr_expect_eq(CA_OpenApplicationIDV2(1, NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	cr_expect_eq(CA_CloseApplicationID(1, 3, 4), CKR_CRYPTOKI_NOT_INITIALIZED);
	cr_expect_eq(CA_CloseApplicationIDV2(1, &id), CKR_CRYPTOKI_NOT_INITIALIZED);
	cr_expect_eq(CA_OpenSessionWithAppID(1, CKF_SERIAL_SESSION, 3, 4, NULL, NULL, &session),
		CKR_CRYPTOKI_NOT_INITIALIZED);
	cr_expect_eq(CA_OpenSessionWithAppIDV2(1, CKF_SERIAL_SESSION, NULL, NULL, NULL, &session),
		CKR_CRYPTOKI_NOT_INITIALIZED);
	cr_expect_eq(CA_GetSessionInfo(1, &number, &number, &number, &number), CKR_CRYPTOKI_NOT_INITIALIZED);
	cr_expect_eq(CA_SetApplicationID(3, 4), CKR_OK);
	cr_expect_eq(CA_RandomizeApplicationID(), CKR_OK);
}

/* The "login" member of the last request that carried calls. */
static char last_wish[128];

static bool wish_script(struct peer *peer, const char *request, size_t len)
{
	const char *body = strstr(request, "\r\n\r\n"), *groups = body != NULL ? strstr(body, "\"groups\"") : NULL;
	if (groups != NULL) {
		snprintf(last_wish, sizeof(last_wish), "%.*s", (int)(groups - body - 4), body + 4);
	}
	return strstr(request, "\"Login\"") != NULL ? gateway_result(peer, "{\"rv\":\"CKR_OK\"}")
						    : gateway_normal(peer, request, len);
}

Test(ca_own_gateway, B1_the_files_wishes_travel_where_a_session_or_a_login_begins)
{
	gateway_start((struct gateway_options){.script = wish_script,
		.extra = "[PKCS11]\nP11_EnableCachePIN = 0\nP11_LogoutAfterSign = 1\n"
			 "ForceLoginBeforeSignKeyUsage = 0x40"});
	static const char WISHES[] = "{\"login\":{\"cache_pin\":0,\"logout_after\":\"sign\",\"force_login\":64},";
	CK_SESSION_INFO info;
	CK_BYTE pin[] = "1234";
	CK_SESSION_HANDLE session = gateway_client_session();
	cr_expect_str_eq(last_wish, WISHES);
	cr_assert_eq(C_GetSessionInfo(session, &info), CKR_OK);
	cr_expect_str_eq(last_wish, "{");
	cr_assert_eq(C_Login(session, CKU_USER, pin, 4), CKR_OK);
	cr_expect_str_eq(last_wish, WISHES);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(ca_own_gateway, B1_a_file_cannot_ask_for_less_than_the_gateway_wants)
{
	gateway_start((struct gateway_options){.script = wish_script,
		.extra = "[PKCS11]\nP11_EnableCachePIN = 1\nP11_LogoutAfterSign = 0\n"
			 "ForceLoginBeforeSignKeyUsage = 0"});
	gateway_client_session();
	cr_expect_str_eq(last_wish, "{");
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* The seconds of silence after which some TCP connection of this process is probed; 0 if none has keepalive. */
static int keepalive_idle(void)
{
	enum { DESCRIPTORS_MAX = 64 };
	for (int fd = 3; fd < DESCRIPTORS_MAX; fd++) {
		int on = 0, idle = 0;
		socklen_t on_len = sizeof(on), idle_len = sizeof(idle);
		if (getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &on_len) == 0 && on != 0 &&
			getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, &idle_len) == 0) {
			return idle;
		}
	}
	return 0;
}

Test(ca_own_gateway, C14_the_heartbeat_is_the_systems_and_as_often_as_the_file_says)
{
	gateway_start((struct gateway_options){.extra = "Heartbeat = 7"});
	gateway_client_session();
	cr_expect_eq(keepalive_idle(), 7);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(ca, C14_the_heartbeat_is_every_15_seconds_otherwise)
{
	gateway_client_session();
	cr_expect_eq(keepalive_idle(), 15);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

static CK_SLOT_ID threads_slot;
static atomic_uint threads_wrong;

/* Opens sessions under IDs of its own while others set the process's. */
static void *open_many(void *number)
{
	enum { SESSIONS = 25 };
	CK_ULONG own = *(const CK_ULONG *)number;
	for (CK_ULONG i = 0; i < SESSIONS; i++) {
		CK_SESSION_HANDLE session;
		CK_ULONG high, low, container, level;
		if (CA_SetApplicationID(own, i) != CKR_OK ||
			CA_OpenSessionWithAppID(threads_slot, CKF_SERIAL_SESSION, own, i, NULL, NULL, &session) !=
				CKR_OK ||
			CA_GetSessionInfo(session, &high, &low, &container, &level) != CKR_OK || high != own ||
			low != i || C_CloseSession(session) != CKR_OK) {
			atomic_fetch_add(&threads_wrong, 1);
		}
	}
	return NULL;
}

Test(ca_own_gateway, C5_sessions_of_many_threads_keep_their_ids)
{
	enum { THREADS = 8 };
	pthread_t threads[THREADS];
	CK_ULONG numbers[THREADS];
	CK_TOKEN_INFO token;
	gateway_start((struct gateway_options){0});
	threads_slot = gateway_client();
	for (unsigned i = 0; i < THREADS; i++) {
		numbers[i] = i + 1;
		cr_assert_eq(pthread_create(&threads[i], NULL, open_many, &numbers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
	}
	cr_expect_eq(atomic_load(&threads_wrong), 0);
	cr_assert_eq(C_GetTokenInfo(threads_slot, &token), CKR_OK);
	cr_expect_eq(token.ulSessionCount, 0);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}
