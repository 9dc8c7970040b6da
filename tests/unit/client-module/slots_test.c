/* Slots, tokens, mechanisms and events as the gateway's inventory tells them (requirements X8, X15, C11). */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "api/codec.h"
#include "client-module/slots.h"
#include "tests/unit/client-module/gateway.h"

Test(slots, a_slot_has_the_number_of_its_name)
{
	gateway_start((struct gateway_options){0});
	cr_expect_eq(gateway_client(), slot_id_of("demo", 4));
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(slots, the_list_is_sized_in_two_calls)
{
	gateway_start((struct gateway_options){0});
	CK_SLOT_ID slots[2] = {0, 0};
	CK_ULONG count = 9;
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	cr_expect_eq(C_GetSlotList(CK_FALSE, NULL, NULL), CKR_ARGUMENTS_BAD);
	cr_expect_eq(C_GetSlotList(CK_FALSE, NULL, &count), CKR_OK);
	cr_expect_eq(count, 1);
	count = 0;
	cr_expect_eq(C_GetSlotList(CK_FALSE, slots, &count), CKR_BUFFER_TOO_SMALL);
	cr_expect_eq(count, 1);
	cr_expect_eq(slots[0], 0);
	count = 2;
	cr_expect_eq(C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
	cr_expect_eq(count, 1);
	cr_expect_eq(slots[1], 0);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(slots, F_a_token_that_is_absent_leaves_its_slot)
{
	gateway_start((struct gateway_options){.absent = true});
	CK_SLOT_ID slot = gateway_client();
	CK_SLOT_INFO info;
	CK_TOKEN_INFO token;
	CK_ULONG count = 7;
	cr_expect_eq(C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK);
	cr_expect_eq(count, 0);
	cr_expect_eq(C_GetSlotInfo(slot, &info), CKR_OK);
	cr_expect_eq(info.flags & CKF_TOKEN_PRESENT, 0);
	cr_expect_eq(C_GetTokenInfo(slot, &token), CKR_TOKEN_NOT_PRESENT);
	cr_expect_eq(C_GetMechanismList(slot, NULL, &count), CKR_TOKEN_NOT_PRESENT);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(slots, an_unknown_slot_is_refused_without_a_worker)
{
	gateway_start((struct gateway_options){0});
	CK_SLOT_ID wrong = gateway_client() + 1;
	CK_SLOT_INFO info;
	CK_TOKEN_INFO token;
	CK_MECHANISM_INFO mechanism;
	CK_ULONG count = 0;
	CK_SESSION_HANDLE session;
	cr_expect_eq(C_GetSlotInfo(wrong, &info), CKR_SLOT_ID_INVALID);
	cr_expect_eq(C_GetTokenInfo(wrong, &token), CKR_SLOT_ID_INVALID);
	cr_expect_eq(C_GetMechanismList(wrong, NULL, &count), CKR_SLOT_ID_INVALID);
	cr_expect_eq(C_GetMechanismInfo(wrong, CKM_ECDSA, &mechanism), CKR_SLOT_ID_INVALID);
	cr_expect_eq(C_OpenSession(wrong, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_SLOT_ID_INVALID);
	cr_expect_eq(C_CloseAllSessions(wrong), CKR_SLOT_ID_INVALID);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(slots, X8_mechanisms_cost_no_request)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	CK_SLOT_ID slot = gateway_client();
	unsigned before = atomic_load(&gateway->requests);
	CK_MECHANISM_TYPE types[3];
	CK_MECHANISM_INFO info;
	CK_ULONG count = 0;
	cr_expect_eq(C_GetMechanismList(slot, NULL, &count), CKR_OK);
	cr_expect_eq(count, 3);
	count = 2;
	cr_expect_eq(C_GetMechanismList(slot, types, &count), CKR_BUFFER_TOO_SMALL);
	cr_expect_eq(count, 3);
	cr_expect_eq(C_GetMechanismList(slot, types, &count), CKR_OK);
	cr_expect_eq(types[0], CKM_ECDSA);
	cr_expect_eq(types[2], CKM_VENDOR_DEFINED + 5);
	for (int i = 0; i < 70; i++) {
		cr_expect_eq(C_GetMechanismInfo(slot, CKM_ECDSA, &info), CKR_OK);
	}
	cr_expect_eq(info.ulMaxKeySize, 521);
	cr_expect_eq(info.flags, CKF_SIGN | CKF_VERIFY);
	cr_expect_eq(C_GetMechanismInfo(slot, CKM_AES_CBC, &info), CKR_MECHANISM_INVALID);
	cr_expect_eq(C_GetMechanismInfo(slot, CKM_ECDSA, NULL), CKR_ARGUMENTS_BAD);
	cr_expect_eq(atomic_load(&gateway->requests), before);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(slots, C11_the_sessions_counted_are_this_processs)
{
	gateway_start((struct gateway_options){0});
	CK_SLOT_ID slot = gateway_client();
	CK_SESSION_HANDLE session;
	CK_TOKEN_INFO token;
	cr_assert_eq(C_GetTokenInfo(slot, &token), CKR_OK);
	cr_expect_eq(token.ulSessionCount, 0);
	cr_expect_eq(token.ulRwSessionCount, 0);
	cr_assert_eq(C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
	cr_assert_eq(C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session), CKR_OK);
	cr_assert_eq(C_GetTokenInfo(slot, &token), CKR_OK);
	cr_expect_eq(token.ulSessionCount, 2);
	cr_expect_eq(token.ulRwSessionCount, 1);
	cr_expect_arr_eq(token.label, "demo                            ", 32);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(slots, token_information_is_always_fresh)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	CK_SLOT_ID slot = gateway_client();
	CK_TOKEN_INFO token;
	strcpy(gateway->token_label, "renamed");
	cr_assert_eq(C_GetTokenInfo(slot, &token), CKR_OK);
	cr_expect_arr_eq(token.label, "renamed                         ", 32);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* --- C_WaitForSlotEvent --- */

Test(events, arguments_are_checked)
{
	gateway_start((struct gateway_options){0});
	CK_SLOT_ID slot = gateway_client();
	cr_expect_eq(C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL), CKR_ARGUMENTS_BAD);
	cr_expect_eq(C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, &slot), CKR_ARGUMENTS_BAD);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(events, X15_a_changed_token_is_told_once)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	CK_SLOT_ID slot = gateway_client(), told = 0;
	cr_expect_eq(C_WaitForSlotEvent(CKF_DONT_BLOCK, &told, NULL), CKR_NO_EVENT);
	gateway->options.absent = true;
	cr_expect_eq(C_WaitForSlotEvent(CKF_DONT_BLOCK, &told, NULL), CKR_OK);
	cr_expect_eq(told, slot);
	cr_expect_eq(C_WaitForSlotEvent(CKF_DONT_BLOCK, &told, NULL), CKR_NO_EVENT);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(events, a_change_seen_by_another_call_is_kept_for_the_wait)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	CK_SLOT_ID slot = gateway_client(), told = 0;
	CK_SLOT_INFO info;
	gateway->options.absent = true;
	cr_expect_eq(C_GetSlotInfo(slot, &info), CKR_OK);
	cr_expect_eq(C_GetSlotInfo(slot, &info), CKR_OK);
	cr_expect_eq(C_WaitForSlotEvent(0, &told, NULL), CKR_OK);
	cr_expect_eq(told, slot);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* A long poll: waits until the generation has risen above the one in the request. */
static bool polling_script(struct peer *peer, const char *request, size_t len)
{
	unsigned after;
	if (sscanf(request, "POST /v1/calls?after=%u&wait=25 ", &after) == 1) {
		while (atomic_load(&peer->gateway->generation) <= after) {
			poll(NULL, 0, 1);
		}
	}
	return gateway_normal(peer, request, len);
}

static CK_RV waited;
static CK_SLOT_ID waited_slot;

static void *wait_for_event(void *unused)
{
	(void)unused;
	waited = C_WaitForSlotEvent(0, &waited_slot, NULL);
	return NULL;
}

/* Until the thread's long poll has arrived. */
static void await_requests(struct gateway *gateway, unsigned count)
{
	while (atomic_load(&gateway->requests) < count) {
		poll(NULL, 0, 1);
	}
}

Test(events, X15_a_blocking_wait_ends_with_the_event)
{
	struct gateway *gateway = gateway_start((struct gateway_options){.script = polling_script});
	CK_SLOT_ID slot = gateway_client();
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, wait_for_event, NULL), 0);
	await_requests(gateway, 2);
	gateway->options.absent = true;
	atomic_store(&gateway->generation, 2);
	pthread_join(thread, NULL);
	cr_expect_eq(waited, CKR_OK);
	cr_expect_eq(waited_slot, slot);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(events, X15_finalize_ends_a_blocking_wait)
{
	struct gateway *gateway = gateway_start((struct gateway_options){.script = polling_script});
	gateway_client();
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, wait_for_event, NULL), 0);
	await_requests(gateway, 2);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
	pthread_join(thread, NULL);
	cr_expect_eq(waited, CKR_CRYPTOKI_NOT_INITIALIZED);
}

/* --- the document --- */

#define SLOT_INFO \
	"\"slot_info\":{\"slotDescription\":\"\",\"manufacturerID\":\"\",\"flags\":[],\"hardwareVersion\":\"0.0\"," \
	"\"firmwareVersion\":\"0.0\"}"
#define SLOT(id) "{\"name\":\"a b/\xc3\xbc\",\"id\":" id "," SLOT_INFO ",\"token_info\":null,\"mechanisms\":[]}"
#define DOCUMENT(slots) "{\"generation\":1,\"slots\":[" slots "]}"

struct document_case {
	const char *text;
	CK_RV rv;
};

static const struct document_case DOCUMENTS[] = {
	{DOCUMENT(""), CKR_OK},
	{DOCUMENT(SLOT("7")), CKR_OK},
	{DOCUMENT(SLOT("7") "," SLOT("8")), CKR_OK},
	{"{\"generation\":1,\"slots\":[],\"more\":{}}", CKR_OK},
	{"", CKR_DEVICE_ERROR},
	{"null", CKR_DEVICE_ERROR},
	{"{\"slots\":[]}", CKR_DEVICE_ERROR},
	{"{\"generation\":1}", CKR_DEVICE_ERROR},
	{"{\"generation\":-1,\"slots\":[]}", CKR_DEVICE_ERROR},
	{DOCUMENT("null"), CKR_DEVICE_ERROR},
	{DOCUMENT("{}"), CKR_DEVICE_ERROR},
	{DOCUMENT("{\"name\":\"x\",\"id\":7}"), CKR_DEVICE_ERROR},
	{DOCUMENT("{\"name\":\"\",\"id\":7," SLOT_INFO "}"), CKR_DEVICE_ERROR},
	{DOCUMENT(SLOT("4294967296")), CKR_DEVICE_ERROR},
	{DOCUMENT(SLOT("7") "," SLOT("7")), CKR_DEVICE_ERROR},
	{DOCUMENT("{\"name\":\"x\",\"id\":7," SLOT_INFO ",\"mechanisms\":[{}]}"), CKR_DEVICE_ERROR},
	{DOCUMENT("{\"name\":\"x\",\"id\":7," SLOT_INFO ",\"mechanisms\":[{\"mechanism\":\"CKM_NONE\"}]}"),
		CKR_DEVICE_ERROR},
	{DOCUMENT("") "x", CKR_DEVICE_ERROR},
};

ParameterizedTestParameters(slots, only_an_inventory_is_taken_in)
{
	enum { COUNT = sizeof(DOCUMENTS) / sizeof(DOCUMENTS[0]) };
	static size_t indexes[COUNT];
	for (size_t i = 0; i < COUNT; i++) {
		indexes[i] = i;
	}
	return cr_make_param_array(size_t, indexes, COUNT);
}

ParameterizedTest(size_t *index, slots, only_an_inventory_is_taken_in)
{
	static const struct locking OWN;
	struct slots slots;
	ARENA_AUTO struct arena arena;
	arena_init(&arena, 1 << 20);
	cr_assert_eq(slots_init(&slots, &OWN), CKR_OK);
	const struct document_case *document = &DOCUMENTS[*index];
	CK_RV rv = slots_load(&slots, document->text, strlen(document->text), &arena);
	cr_expect_eq(rv, document->rv, "%s: 0x%lx", document->text, rv);
	slots_done(&slots);
}

Test(slots, a_bad_inventory_leaves_what_was_known)
{
	static const struct locking OWN;
	struct slots slots;
	CK_SLOT_INFO info;
	ARENA_AUTO struct arena arena;
	arena_init(&arena, 1 << 20);
	cr_assert_eq(slots_init(&slots, &OWN), CKR_OK);
	cr_assert_eq(slots_load(&slots, DOCUMENT(SLOT("7")), strlen(DOCUMENT(SLOT("7"))), &arena), CKR_OK);
	cr_assert_eq(slots_load(&slots, "{}", 2, &arena), CKR_DEVICE_ERROR);
	cr_expect_eq(slots_info(&slots, 7, &info), CKR_OK);
	slots_done(&slots);
}

Test(slots, the_name_is_encoded_once_in_the_path)
{
	static const struct locking OWN;
	struct slots slots;
	ARENA_AUTO struct arena arena;
	arena_init(&arena, 1 << 20);
	cr_assert_eq(slots_init(&slots, &OWN), CKR_OK);
	cr_assert_eq(slots_load(&slots, DOCUMENT(SLOT("7")), strlen(DOCUMENT(SLOT("7"))), &arena), CKR_OK);
	cr_expect_str_eq(slots_route(&slots, 7)->target, "/v1/slots/a%20b%2F%C3%BC/calls");
	slots_done(&slots);
}
