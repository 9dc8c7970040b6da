/* The application's session handles. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "client-module/session.h"
#include "tests/unit/client-module/gateway.h"

static const struct locking OWN;
static const struct slot_route SLOT_A, SLOT_B;
static const CK_APPLICATION_ID ONE = {{1}}, TWO = {{2}};
static struct sessions table;

static void start(void)
{
	cr_assert_eq(sessions_init(&table, &OWN), CKR_OK);
}

static void stop(void)
{
	sessions_done(&table);
}

TestSuite(session, .init = start, .fini = stop);

static CK_SESSION_HANDLE add(const struct slot_route *slot, CK_SESSION_HANDLE wire)
{
	CK_SESSION_HANDLE handle = 0;
	const struct session session = {.slot = slot, .application = ONE, .wire = wire};
	cr_assert_eq(session_add(&table, &session, &handle), CKR_OK);
	return handle;
}

Test(session, a_handle_stands_for_a_slot_and_the_workers_handle)
{
	struct session found;
	CK_SESSION_HANDLE a = add(&SLOT_A, 5), b = add(&SLOT_B, 5);
	cr_expect_neq(a, b);
	cr_assert(session_find(&table, a, &found));
	cr_expect_eq(found.slot, &SLOT_A);
	cr_expect_eq(found.wire, 5);
	cr_assert(session_find(&table, b, &found));
	cr_expect_eq(found.slot, &SLOT_B);
}

Test(session, a_forgotten_handle_is_not_taken_for_its_successor)
{
	struct session found;
	CK_SESSION_HANDLE first = add(&SLOT_A, 5);
	session_forget(&table, first);
	CK_SESSION_HANDLE second = add(&SLOT_A, 6);
	cr_expect_neq(first, second);
	cr_expect_not(session_find(&table, first, &found));
	session_forget(&table, first);
	cr_expect(session_find(&table, second, &found));
}

Test(session, zero_and_made_up_handles_are_none)
{
	struct session found;
	CK_SESSION_HANDLE real = add(&SLOT_A, 5);
	cr_expect_not(session_find(&table, 0, &found));
	for (CK_SESSION_HANDLE handle = 1; handle < 100000; handle++) {
		cr_expect(handle == real || !session_find(&table, handle, &found));
	}
	cr_expect_not(session_find(&table, CK_UNAVAILABLE_INFORMATION, &found));
}

Test(session, the_table_has_an_end_and_handles_stay_within_32_bits)
{
	CK_SESSION_HANDLE handle = 0;
	for (int i = 0; i < SESSIONS_MAX; i++) {
		handle = add(&SLOT_A, 1);
	}
	cr_expect_leq(handle, UINT32_MAX);
	cr_expect_eq(session_add(&table, &(struct session){.slot = &SLOT_A}, &handle), CKR_SESSION_COUNT);
	session_forget_application(&table, &SLOT_A, &ONE);
	for (int i = 0; i < 200000; i++) {
		handle = add(&SLOT_A, 1);
		cr_assert(handle != 0 && handle <= UINT32_MAX);
		session_forget(&table, handle);
	}
}

Test(session, a_slots_sessions_are_counted_and_forgotten_together)
{
	CK_ULONG read_write;
	add(&SLOT_A, 1);
	add(&SLOT_A, 2);
	CK_SESSION_HANDLE b = add(&SLOT_B, 3);
	cr_expect_eq(session_count(&table, &SLOT_A, &read_write), 2);
	session_forget_application(&table, &SLOT_A, &ONE);
	cr_expect_eq(session_count(&table, &SLOT_A, &read_write), 0);
	struct session found;
	cr_expect(session_find(&table, b, &found));
}

Test(session, C11_each_application_of_a_slot_is_named_once)
{
	CK_APPLICATION_ID *ids = NULL;
	size_t count = 9;
	cr_assert_eq(session_applications(&table, &SLOT_A, &ids, &count), CKR_OK);
	cr_expect_eq(count, 0);
	cr_expect_null(ids);
	for (int i = 0; i < 40; i++) {
		const struct session session = {.slot = &SLOT_A, .application = i % 3 == 0 ? ONE : TWO};
		CK_SESSION_HANDLE handle;
		cr_assert_eq(session_add(&table, &session, &handle), CKR_OK);
	}
	add(&SLOT_B, 7);
	cr_assert_eq(session_applications(&table, &SLOT_A, &ids, &count), CKR_OK);
	cr_assert_eq(count, 2);
	cr_expect_eq(ids[0].id[0] + ids[1].id[0], 3);
	free(ids);
	CK_ULONG read_write;
	session_forget_application(&table, &SLOT_A, &TWO);
	cr_expect_eq(session_count(&table, &SLOT_A, &read_write), 14);
	cr_expect_eq(session_count(&table, &SLOT_B, &read_write), 1);
}

Test(session_calls, a_session_reports_our_slot)
{
	gateway_start((struct gateway_options){0});
	CK_SESSION_HANDLE session = gateway_client_session();
	CK_SESSION_INFO info;
	CK_SLOT_ID slot;
	CK_ULONG count = 1;
	cr_assert_eq(C_GetSlotList(CK_FALSE, &slot, &count), CKR_OK);
	cr_assert_eq(C_GetSessionInfo(session, &info), CKR_OK);
	cr_expect_eq(info.slotID, slot);
	cr_expect_eq(info.state, CKS_RW_PUBLIC_SESSION);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(session_calls, a_closed_session_is_gone)
{
	gateway_start((struct gateway_options){0});
	CK_SESSION_HANDLE session = gateway_client_session();
	CK_BYTE random[4];
	cr_assert_eq(C_CloseSession(session), CKR_OK);
	cr_expect_eq(C_GenerateRandom(session, random, 4), CKR_SESSION_HANDLE_INVALID);
	cr_expect_eq(C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(session_calls, close_all_closes_ours)
{
	gateway_start((struct gateway_options){0});
	CK_SESSION_HANDLE session = gateway_client_session(), other;
	CK_SESSION_INFO info;
	cr_assert_eq(C_GetSessionInfo(session, &info), CKR_OK);
	cr_assert_eq(C_OpenSession(info.slotID, CKF_SERIAL_SESSION, NULL, NULL, &other), CKR_OK);
	cr_expect_eq(C_CloseAllSessions(info.slotID), CKR_OK);
	cr_expect_eq(C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
	cr_expect_eq(C_CloseSession(other), CKR_SESSION_HANDLE_INVALID);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(session_calls, close_all_without_sessions_asks_nobody)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	CK_SLOT_ID slot = gateway_client();
	unsigned before = atomic_load(&gateway->requests);
	cr_expect_eq(C_CloseAllSessions(slot), CKR_OK);
	cr_expect_eq(atomic_load(&gateway->requests), before);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* Somebody closes the application while calls of that name run, so often. */
struct closing {
	const char *call;
	atomic_uint times;
};

static bool closing_script(struct peer *peer, const char *request, size_t len)
{
	struct closing *closing = peer->gateway->options.context;
	if (strstr(request, closing->call) == NULL || atomic_load(&closing->times) == 0) {
		return gateway_normal(peer, request, len);
	}
	atomic_fetch_sub(&closing->times, 1);
	return gateway_json(peer, 503, "{\"type\":\"/docs/errors/session-closed\",\"ckr_code\":176}");
}

Test(session_calls, C9_a_session_that_is_opened_while_the_application_is_closed_is_one_of_the_next)
{
	struct closing closing = {"OpenSession", 2};
	gateway_start((struct gateway_options){.script = closing_script, .context = &closing});
	CK_SLOT_ID slot = gateway_client();
	CK_SESSION_HANDLE session;
	CK_BYTE random[4];
	cr_assert_eq(C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
	cr_expect_eq(C_GenerateRandom(session, random, 4), CKR_OK);
	atomic_store(&closing.times, 100);
	cr_expect_eq(C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_FUNCTION_FAILED,
		"0xB0 is none of its return values");
	cr_expect_eq(atomic_load(&closing.times), 97);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(session_calls, C9_a_session_that_is_closed_while_the_application_is_closed_is_gone)
{
	struct closing closing = {"CloseSession", 1};
	gateway_start((struct gateway_options){.script = closing_script, .context = &closing});
	CK_SESSION_HANDLE session = gateway_client_session();
	cr_expect_eq(C_CloseSession(session), CKR_SESSION_CLOSED);
	cr_expect_eq(C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(session_calls, C9_sessions_that_are_all_closed_while_the_application_is_closed_are_gone)
{
	struct closing closing = {"CloseAllSessions", 1};
	gateway_start((struct gateway_options){.script = closing_script, .context = &closing});
	CK_SESSION_HANDLE session = gateway_client_session();
	CK_SESSION_INFO info;
	cr_assert_eq(C_GetSessionInfo(session, &info), CKR_OK);
	cr_expect_eq(C_CloseAllSessions(info.slotID), CKR_OK);
	cr_expect_eq(C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* The worker was restarted: it knows no session any more. */
static bool restarted_script(struct peer *peer, const char *request, size_t len)
{
	(void)len;
	return gateway_asked_for_inventory(request) ? gateway_inventory(peer)
						    : gateway_result(peer, "{\"rv\":\"CKR_SESSION_HANDLE_INVALID\"}");
}

Test(session_calls, a_session_that_the_worker_lost_is_forgotten)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	CK_SESSION_HANDLE session = gateway_client_session();
	CK_BYTE random[4];
	gateway->options.script = restarted_script;
	cr_expect_eq(C_GenerateRandom(session, random, 4), CKR_SESSION_HANDLE_INVALID);
	unsigned before = atomic_load(&gateway->requests);
	cr_expect_eq(C_GenerateRandom(session, random, 4), CKR_SESSION_HANDLE_INVALID);
	cr_expect_eq(atomic_load(&gateway->requests), before, "asked again");
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}
