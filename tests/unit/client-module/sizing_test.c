/* What travels when: two-call sizing (F4) and the Inits of operations (X12). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/client-module/gateway.h"

/* The last request for one of the functions below, and the answers to them. */
static char asked[4096];
static const char *init_result = "{\"rv\":\"CKR_OK\"}", *sign_result, *attribute_result;

static bool script(struct peer *peer, const char *request, size_t len)
{
	const struct {
		const char *name, *result;
	} answers[] = {{"\"SignInit\":", init_result}, {"\"Sign\":", sign_result},
		{"\"GetAttributeValue\":", attribute_result}};

	for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
		if (!strstr(request, answers[i].name))
			continue;
		(void)snprintf(asked, sizeof asked, "%s", request);
		return gateway_result(peer, answers[i].result);
	}
	return gateway_normal(peer, request, len);
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *signature, CK_ULONG *len)
{
	return C_Sign(session, (CK_BYTE *)"data", 4, signature, len);
}

Test(sizing, F4_a_buffer_travels_as_its_capacity_and_comes_back_filled_in_one_trip)
{
	struct gateway *gateway = gateway_start((struct gateway_options){.script = script});
	CK_SESSION_HANDLE session = gateway_client_session();
	CK_BYTE signature[100];
	CK_ULONG len = sizeof signature;
	unsigned before = atomic_load(&gateway->requests);

	sign_result = "{\"rv\":\"CKR_OK\",\"signature\":\"AQID\"}";
	cr_assert_eq(sign(session, signature, &len), CKR_OK);
	cr_expect_eq(len, 3);
	cr_expect_arr_eq(signature, ((CK_BYTE[]){1, 2, 3}), 3);
	cr_expect_not_null(strstr(asked, "\"signature\":100"), "%s", asked);
	cr_expect_eq(atomic_load(&gateway->requests), before + 1);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(sizing, F4_a_question_for_the_length_of_a_signature_is_the_tokens_to_answer)
{
	struct gateway *gateway = gateway_start((struct gateway_options){.script = script});
	CK_SESSION_HANDLE session = gateway_client_session();
	CK_ULONG len = 0;
	unsigned before = atomic_load(&gateway->requests);

	/* On a key that asks for its PIN each time it ends the operation (A4), so no answer is made up or kept for it. */
	sign_result = "{\"rv\":\"CKR_OK\",\"signature\":{\"length\":64}}";
	cr_assert_eq(sign(session, NULL, &len), CKR_OK);
	cr_expect_eq(len, 64);
	cr_expect_not_null(strstr(asked, "\"signature\":null"), "%s", asked);
	sign_result = "{\"rv\":\"CKR_USER_NOT_LOGGED_IN\"}";
	cr_expect_eq(sign(session, NULL, &len), CKR_USER_NOT_LOGGED_IN);
	cr_expect_eq(atomic_load(&gateway->requests), before + 2);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(sizing, F4_a_buffer_too_small_learns_the_length)
{
	gateway_start((struct gateway_options){.script = script});
	CK_SESSION_HANDLE session = gateway_client_session();
	CK_BYTE signature[8];
	CK_ULONG len = sizeof signature;

	memset(signature, 'x', sizeof signature);
	sign_result = "{\"rv\":\"CKR_BUFFER_TOO_SMALL\",\"signature\":{\"length\":64}}";
	cr_assert_eq(sign(session, signature, &len), CKR_BUFFER_TOO_SMALL);
	cr_expect_eq(len, 64);
	cr_expect_arr_eq(signature, "xxxxxxxx", 8);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(sizing, F4_attributes_are_asked_for_with_their_capacities)
{
	gateway_start((struct gateway_options){.script = script});
	CK_SESSION_HANDLE session = gateway_client_session();
	CK_BYTE label[16];
	CK_ATTRIBUTE wanted[] = {{CKA_LABEL, label, sizeof label}, {CKA_ID, NULL, 0}};

	attribute_result = "{\"rv\":\"CKR_OK\",\"attributes\":[\"key\",{\"length\":20}]}";
	cr_assert_eq(C_GetAttributeValue(session, 1, wanted, 2), CKR_OK);
	cr_expect_not_null(strstr(asked, "[{\"CKA_LABEL\":16},{\"CKA_ID\":null}]"), "%s", asked);
	cr_expect_eq(wanted[0].ulValueLen, 3);
	cr_expect_eq(wanted[1].ulValueLen, 20);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(sizing, X12_an_init_is_asked_at_once_and_its_error_is_its_own)
{
	struct gateway *gateway = gateway_start((struct gateway_options){.script = script});
	CK_SESSION_HANDLE session = gateway_client_session();
	CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
	unsigned before = atomic_load(&gateway->requests);

	cr_expect_eq(C_SignInit(session, &ecdsa, 7), CKR_OK);
	cr_expect_eq(atomic_load(&gateway->requests), before + 1);
	init_result = "{\"rv\":\"CKR_OPERATION_ACTIVE\"}";
	cr_expect_eq(C_SignInit(session, &ecdsa, 7), CKR_OPERATION_ACTIVE);
	init_result = "{\"rv\":\"CKR_KEY_HANDLE_INVALID\"}";
	cr_expect_eq(C_SignInit(session, &ecdsa, 8), CKR_KEY_HANDLE_INVALID);
	init_result = "{\"rv\":\"CKR_USER_NOT_LOGGED_IN\"}";
	cr_expect_eq(C_SignInit(session, &ecdsa, 7), CKR_USER_NOT_LOGGED_IN);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

static CK_RV surrender(CK_SESSION_HANDLE session, CK_NOTIFICATION event, CK_VOID_PTR argument)
{
	(void)session;
	(void)event;
	cr_assert_fail("called with %p", argument);
	return CKR_OK;
}

Test(sizing, F6_a_notify_callback_is_taken_and_never_called)
{
	gateway_start((struct gateway_options){.script = script});
	CK_SLOT_ID slot = gateway_client();
	CK_SESSION_HANDLE session;
	CK_BYTE signature[100];
	CK_ULONG len = sizeof signature;

	sign_result = "{\"rv\":\"CKR_OK\",\"signature\":\"AQID\"}";
	cr_assert_eq(C_OpenSession(slot, CKF_SERIAL_SESSION, asked, surrender, &session), CKR_OK);
	cr_assert_eq(sign(session, signature, &len), CKR_OK);
	cr_assert_eq(C_CloseSession(session), CKR_OK);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}
