#include "tests/support/mock/mock.h"

#include <stdlib.h>
#include <string.h>

static struct session sessions[MOCK_SESSIONS_MAX];
static CK_SESSION_HANDLE last;

struct session *session_get(CK_SESSION_HANDLE handle, CK_RV *ret_rv)
{
	*ret_rv = CKR_SESSION_HANDLE_INVALID;
	for (int i = 0; i < MOCK_SESSIONS_MAX; i++) {
		if (handle == 0 || sessions[i].handle != handle)
			continue;
		*ret_rv = token_present() ? CKR_OK : CKR_DEVICE_REMOVED;
		return token_present() ? &sessions[i] : NULL;
	}
	return NULL;
}

unsigned session_count(bool read_only)
{
	unsigned count = 0;

	for (int i = 0; i < MOCK_SESSIONS_MAX; i++)
		count += sessions[i].handle != 0 && (!read_only || !(sessions[i].flags & CKF_RW_SESSION));
	return count;
}

void operation_end(struct operation_state *operation)
{
	free(operation->data);
	memset(operation, 0, sizeof *operation);
}

static void session_end(struct session *session)
{
	for (int i = 0; i < OPERATION_COUNT; i++)
		operation_end(&session->operations[i]);
	objects_end_session(session->handle);
	session->handle = 0;
	if (session_count(false) == 0)
		login_forget();
}

void sessions_close_all(void)
{
	for (int i = 0; i < MOCK_SESSIONS_MAX; i++) {
		if (sessions[i].handle != 0)
			session_end(&sessions[i]);
	}
}

void sessions_end_private_operations(void)
{
	for (int i = 0; i < MOCK_SESSIONS_MAX; i++) {
		for (int k = 0; sessions[i].handle != 0 && k < OPERATION_COUNT; k++) {
			const struct object *key = object_get(sessions[i].operations[k].key);
			if (key && object_flag(key, CKA_PRIVATE))
				operation_end(&sessions[i].operations[k]);
		}
	}
}

CK_RV mock_OpenSession(const union wire_value v[])
{
	unsigned limit = control_now()->sessions;

	if (v[0].number != MOCK_SLOT)
		return CKR_SLOT_ID_INVALID;
	if (!token_present())
		return CKR_TOKEN_NOT_PRESENT;
	if (!(v[1].number & CKF_SERIAL_SESSION))
		return CKR_SESSION_PARALLEL_NOT_SUPPORTED;
	if (!v[3].number_out)
		return CKR_ARGUMENTS_BAD;
	if (!(v[1].number & CKF_RW_SESSION) && login_who() == CKU_SO)
		return CKR_SESSION_READ_WRITE_SO_EXISTS;
	for (int i = 0; i < MOCK_SESSIONS_MAX && (limit == 0 || session_count(false) < limit); i++) {
		if (sessions[i].handle != 0)
			continue;
		sessions[i].handle = ++last;
		sessions[i].flags = v[1].number;
		*v[3].number_out = last;
		return CKR_OK;
	}
	return CKR_SESSION_COUNT;
}

CK_RV mock_CloseSession(const union wire_value v[])
{
	CK_RV rv;
	struct session *session = session_get(v[0].number, &rv);

	if (session)
		session_end(session);
	return rv;
}

CK_RV mock_CloseAllSessions(const union wire_value v[])
{
	if (v[0].number != MOCK_SLOT)
		return CKR_SLOT_ID_INVALID;
	sessions_close_all();
	return CKR_OK;
}

CK_RV mock_GetSessionInfo(const union wire_value v[])
{
	CK_RV rv;
	const struct session *session = session_get(v[0].number, &rv);
	CK_SESSION_INFO *info = v[1].info;

	if (!session || !info)
		return session ? CKR_ARGUMENTS_BAD : rv;
	bool write = session->flags & CKF_RW_SESSION;
	CK_USER_TYPE who = login_who();
	*info = (CK_SESSION_INFO){.slotID = MOCK_SLOT,
		.flags = session->flags,
		.state = who == CKU_SO     ? CKS_RW_SO_FUNCTIONS
			 : who == CKU_USER ? (write ? CKS_RW_USER_FUNCTIONS : CKS_RO_USER_FUNCTIONS)
			 : write           ? CKS_RW_PUBLIC_SESSION
					   : CKS_RO_PUBLIC_SESSION};
	return CKR_OK;
}

/* --- slot and token --- */

static void text_put(CK_UTF8CHAR *field, size_t size, const char *text)
{
	memset(field, ' ', size);
	memcpy(field, text, strlen(text) < size ? strlen(text) : size);
}

CK_RV mock_GetInfo(const union wire_value v[])
{
	CK_INFO *info = v[0].info;

	if (!info)
		return CKR_ARGUMENTS_BAD;
	*info = (CK_INFO){.cryptokiVersion = {2, 40}};
	text_put(info->manufacturerID, sizeof info->manufacturerID, "p11gate tests");
	text_put(info->libraryDescription, sizeof info->libraryDescription, "hostile mock");
	return CKR_OK;
}

CK_RV mock_GetSlotList(const union wire_value v[])
{
	CK_ULONG room, count = v[0].flag && !token_present() ? 0 : 1;

	if (!v[1].list.count)
		return CKR_ARGUMENTS_BAD;
	room = *v[1].list.count;
	*v[1].list.count = count;
	if (!v[1].list.items)
		return CKR_OK;
	if (room < count)
		return CKR_BUFFER_TOO_SMALL;
	if (count > 0)
		v[1].list.items[0] = MOCK_SLOT;
	return CKR_OK;
}

CK_RV mock_GetSlotInfo(const union wire_value v[])
{
	CK_SLOT_INFO *info = v[1].info;

	if (v[0].number != MOCK_SLOT)
		return CKR_SLOT_ID_INVALID;
	if (!info)
		return CKR_ARGUMENTS_BAD;
	*info = (CK_SLOT_INFO){.flags = CKF_REMOVABLE_DEVICE | (token_present() ? CKF_TOKEN_PRESENT : 0)};
	text_put(info->slotDescription, sizeof info->slotDescription, "mock reader");
	text_put(info->manufacturerID, sizeof info->manufacturerID, "p11gate tests");
	return CKR_OK;
}

/* The flags of a PIN's counter: COUNT_LOW, FINAL_TRY, LOCKED follow each other. */
static CK_FLAGS pin_flags(const struct pin *pin, unsigned tries, CK_FLAGS low)
{
	if (tries == 0 || pin->wrong == 0)
		return 0;
	return low | (pin->wrong + 1 == tries ? low << 1 : 0) | (pin->wrong >= tries ? low << 2 : 0);
}

CK_RV mock_GetTokenInfo(const union wire_value v[])
{
	const struct control *control = control_now();
	const struct token *token = token_shared();
	CK_TOKEN_INFO *info = v[1].info;

	if (v[0].number != MOCK_SLOT)
		return CKR_SLOT_ID_INVALID;
	if (!token_present())
		return CKR_TOKEN_NOT_PRESENT;
	if (!info)
		return CKR_ARGUMENTS_BAD;
	*info = (CK_TOKEN_INFO){
		.flags = CKF_RNG | CKF_LOGIN_REQUIRED | CKF_TOKEN_INITIALIZED |
			 (token->user.len > 0 ? CKF_USER_PIN_INITIALIZED : 0) |
			 (control->protected_path ? CKF_PROTECTED_AUTHENTICATION_PATH : 0) |
			 pin_flags(&token->user, control->user_tries, CKF_USER_PIN_COUNT_LOW) |
			 pin_flags(&token->so, control->so_tries, CKF_SO_PIN_COUNT_LOW),
		.ulMaxSessionCount = control->sessions,
		.ulMaxRwSessionCount = control->sessions,
		.ulSessionCount = session_count(false),
		.ulRwSessionCount = session_count(false) - session_count(true),
		.ulMaxPinLen = MOCK_PIN_MAX - 1,
		.ulMinPinLen = 4,
		.ulTotalPublicMemory = CK_UNAVAILABLE_INFORMATION,
		.ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION,
		.ulTotalPrivateMemory = CK_UNAVAILABLE_INFORMATION,
		.ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION,
	};
	memcpy(info->label, token->label, sizeof info->label);
	text_put(info->manufacturerID, sizeof info->manufacturerID, "p11gate tests");
	text_put(info->model, sizeof info->model, "mock");
	text_put(info->serialNumber, sizeof info->serialNumber, control->serial);
	text_put(info->utcTime, sizeof info->utcTime, "");
	return CKR_OK;
}

CK_RV mock_GetMechanismList(const union wire_value v[])
{
	if (v[0].number != MOCK_SLOT)
		return CKR_SLOT_ID_INVALID;
	return v[1].list.count ? key_mechanisms(v[1].list.items, v[1].list.count) : CKR_ARGUMENTS_BAD;
}

CK_RV mock_GetMechanismInfo(const union wire_value v[])
{
	if (v[0].number != MOCK_SLOT)
		return CKR_SLOT_ID_INVALID;
	return v[2].info ? key_mechanism_info(v[1].number, v[2].info) : CKR_ARGUMENTS_BAD;
}
