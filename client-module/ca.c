/* CA_… (include/p11gate/ca.h). */
#include "client-module/application.h"
#include "client-module/call.h"
#include "client-module/export.h"
#include "client-module/hold.h"
#include "client-module/id.h"
#include "client-module/state.h"

EXPORT CK_RV CA_SetApplicationID(CK_ULONG high, CK_ULONG low)
{
	const CK_APPLICATION_ID id = application_of_parts(high, low);
	application_choose(&id, false);
	return CKR_OK;
}

EXPORT CK_RV CA_SetApplicationIDV2(CK_APPLICATION_ID *id)
{
	if (id == NULL) {
		return CKR_ARGUMENTS_BAD;
	}
	application_choose(id, false);
	return CKR_OK;
}

EXPORT CK_RV CA_RandomizeApplicationID(void)
{
	CK_APPLICATION_ID id = {{0}};
	if (!id_random(id.id)) {
		return CKR_FUNCTION_FAILED;
	}
	application_choose(&id, true);
	return CKR_OK;
}

EXPORT CK_RV CA_GetApplicationID(CK_APPLICATION_ID *ret_id)
{
	if (ret_id == NULL) {
		return CKR_ARGUMENTS_BAD;
	}
	if (application_chosen(ret_id)) {
		return CKR_OK;
	}
	struct client *client;
	CK_RV rv = state_enter(&client);
	if (rv != CKR_OK) {
		return rv;
	}
	*ret_id = client_application(client);
	state_leave(client);
	return CKR_OK;
}

/* Enters, and holds an application open or ends it. */
static CK_RV ca_hold(CK_RV (*function)(struct client *client, CK_SLOT_ID slot, const CK_APPLICATION_ID *application),
	CK_SLOT_ID slot, const CK_APPLICATION_ID *application)
{
	struct client *client;
	CK_RV rv = state_enter(&client);
	if (rv != CKR_OK) {
		return rv;
	}
	rv = application != NULL ? function(client, slot, application) : CKR_ARGUMENTS_BAD;
	state_leave(client);
	return rv;
}

EXPORT CK_RV CA_OpenApplicationID(CK_SLOT_ID slot, CK_ULONG high, CK_ULONG low)
{
	const CK_APPLICATION_ID id = application_of_parts(high, low);
	return ca_hold(hold_open, slot, &id);
}

EXPORT CK_RV CA_OpenApplicationIDV2(CK_SLOT_ID slot, CK_APPLICATION_ID *id)
{
	return ca_hold(hold_open, slot, id);
}

EXPORT CK_RV CA_CloseApplicationID(CK_SLOT_ID slot, CK_ULONG high, CK_ULONG low)
{
	const CK_APPLICATION_ID id = application_of_parts(high, low);
	return ca_hold(hold_close, slot, &id);
}

EXPORT CK_RV CA_CloseApplicationIDV2(CK_SLOT_ID slot, CK_APPLICATION_ID *id)
{
	return ca_hold(hold_close, slot, id);
}

EXPORT CK_RV CA_OpenSessionWithAppID(CK_SLOT_ID slot, CK_FLAGS flags, CK_ULONG high, CK_ULONG low,
	CK_VOID_PTR application, CK_NOTIFY notify, CK_SESSION_HANDLE *ret_session)
{
	CK_APPLICATION_ID id = application_of_parts(high, low);
	return CA_OpenSessionWithAppIDV2(slot, flags, &id, application, notify, ret_session);
}

EXPORT CK_RV CA_OpenSessionWithAppIDV2(CK_SLOT_ID slot, CK_FLAGS flags, CK_APPLICATION_ID *id, CK_VOID_PTR application,
	CK_NOTIFY notify, CK_SESSION_HANDLE *ret_session)
{
	const union wire_value values[] = {
		{.number = slot},
		{.number = flags},
		{.notify = {application, notify}},
		{.number_out = ret_session},
	};
	if (id != NULL) {
		return client_call_under(id, CALL_OpenSession, values);
	}
	struct client *client;
	CK_RV rv = state_enter(&client);
	if (rv != CKR_OK) {
		return rv;
	}
	state_leave(client);
	return CKR_ARGUMENTS_BAD;
}

/* Who is logged in, by the session's state. */
static CK_ULONG ca_authentication(CK_STATE state)
{
	switch (state) {
	case CKS_RO_USER_FUNCTIONS:
	case CKS_RW_USER_FUNCTIONS: return CA_AUTH_USER;
	case CKS_RW_SO_FUNCTIONS: return CA_AUTH_SO;
	default: return CA_AUTH_PUBLIC;
	}
}

/* The ID under which a session was opened, and its slot. */
static CK_RV ca_session(CK_SESSION_HANDLE handle, struct session *ret_session)
{
	struct client *client;
	CK_RV rv = state_enter(&client);
	if (rv != CKR_OK) {
		return rv;
	}
	rv = session_find(&client->sessions, handle, ret_session) ? CKR_OK : CKR_SESSION_HANDLE_INVALID;
	state_leave(client);
	return rv;
}

EXPORT CK_RV CA_GetSessionInfo(CK_SESSION_HANDLE handle, CK_ULONG *ret_high, CK_ULONG *ret_low, CK_ULONG *ret_container,
	CK_ULONG *ret_authentication)
{
	struct session session = {0};
	CK_SESSION_INFO info = {0};
	const union wire_value values[] = {{.number = handle}, {.info = &info}};
	CK_RV rv = ca_session(handle, &session);
	if (rv == CKR_CRYPTOKI_NOT_INITIALIZED) {
		return rv;
	}
	if (ret_high == NULL || ret_low == NULL || ret_container == NULL || ret_authentication == NULL) {
		return CKR_ARGUMENTS_BAD;
	}
	if (rv == CKR_OK) {
		rv = client_call(CALL_GetSessionInfo, values);
	}
	if (rv != CKR_OK) {
		return rv;
	}
	application_parts(&session.application, ret_high, ret_low);
	*ret_container = info.slotID;
	*ret_authentication = ca_authentication(info.state);
	return CKR_OK;
}
