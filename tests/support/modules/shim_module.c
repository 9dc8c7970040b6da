/*
 * SoftHSM with faults that it does not have by itself. P11GATE_SHIM names them, separated by commas:
 *
 *   lock=N       after N wrong PINs in a row every login is CKR_PIN_LOCKED, and the token says so
 *   sessions=N   more than N sessions are CKR_SESSION_COUNT
 *   already      every login is CKR_USER_ALREADY_LOGGED_IN
 *   states       C_GetOperationState gives STATE_LEN bytes, and C_SetOperationState takes these only
 *   careless     keys with CKA_ALWAYS_AUTHENTICATE work without their PIN
 *   lacks=N      there is no mechanism of that number
 *   unsteady     no two signatures are alike
 *   hold         C_SignInit, done with its work, waits at the FIFO "$SOFTHSM2_CONF.hold" until a test has opened it for
 *                reading and then for writing; not where there is no such file
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/cryptoki.h"

static CK_FUNCTION_LIST functions;
static const CK_FUNCTION_LIST *real;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned wrong_pins, sessions;

/* The number of a fault, 1 for one without number, 0 if it is not wanted. */
static unsigned fault(const char *name)
{
	const char *wanted = getenv("P11GATE_SHIM");
	const char *at = wanted ? strstr(wanted, name) : NULL;

	if (!at)
		return 0;
	at += strlen(name);
	return *at == '=' ? (unsigned)strtoul(at + 1, NULL, 10) : 1;
}

static CK_RV count_pin(CK_RV rv)
{
	unsigned limit = fault("lock");

	pthread_mutex_lock(&lock);
	if (rv == CKR_PIN_INCORRECT)
		wrong_pins++;
	else if (rv == CKR_OK)
		wrong_pins = 0;
	if (limit > 0 && rv == CKR_PIN_INCORRECT && wrong_pins >= limit)
		rv = CKR_PIN_LOCKED;
	pthread_mutex_unlock(&lock);
	return rv;
}

static CK_RV shim_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
	unsigned limit = fault("lock");

	if (fault("already"))
		return CKR_USER_ALREADY_LOGGED_IN;
	pthread_mutex_lock(&lock);
	unsigned wrong = wrong_pins;
	pthread_mutex_unlock(&lock);
	if (limit > 0 && wrong >= limit)
		return CKR_PIN_LOCKED;
	return count_pin(real->C_Login(session, user, pin, len));
}

static CK_RV shim_open(
	CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify, CK_SESSION_HANDLE *session)
{
	unsigned limit = fault("sessions");
	CK_RV rv = CKR_SESSION_COUNT;

	pthread_mutex_lock(&lock);
	if (limit == 0 || sessions < limit)
		rv = real->C_OpenSession(slot, flags, application, notify, session);
	sessions += rv == CKR_OK;
	pthread_mutex_unlock(&lock);
	return rv;
}

static CK_RV shim_close(CK_SESSION_HANDLE session)
{
	CK_RV rv = real->C_CloseSession(session);

	pthread_mutex_lock(&lock);
	sessions -= rv == CKR_OK;
	pthread_mutex_unlock(&lock);
	return rv;
}

/* Each open of a FIFO waits for the other side: the first says that the call is here, the second that it may go on. */
static void hold(void)
{
	char path[256];

	snprintf(path, sizeof path, "%s.hold", getenv("SOFTHSM2_CONF"));
	int here = open(path, O_WRONLY | O_CLOEXEC);
	if (here < 0)
		return;
	close(here);
	int go = open(path, O_RDONLY | O_CLOEXEC);
	if (go >= 0)
		close(go);
}

static CK_RV shim_sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
	CK_UTF8CHAR pin[] = "1234";
	CK_RV rv = real->C_SignInit(session, mechanism, key);

	/* What SoftHSM says to it does not matter: for other keys there is nothing to give a PIN for. */
	if (rv == CKR_OK && fault("careless"))
		(void)real->C_Login(session, CKU_CONTEXT_SPECIFIC, pin, 4);
	if (fault("hold"))
		hold();
	return rv;
}

static CK_RV shim_sign(
	CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *signature, CK_ULONG *signature_len)
{
	static unsigned char last;
	CK_RV rv = real->C_Sign(session, data, len, signature, signature_len);

	if (rv == CKR_OK && signature && *signature_len > 0 && fault("unsteady"))
		signature[*signature_len - 1] = last++;
	return rv;
}

static CK_RV shim_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
	if (fault("lacks") > 0 && type == fault("lacks"))
		return CKR_MECHANISM_INVALID;
	return real->C_GetMechanismInfo(slot, type, info);
}

/* Too long for anybody to take it for a reference. */
enum { STATE_LEN = 40 };

static CK_RV shim_get_state(CK_SESSION_HANDLE session, CK_BYTE *state, CK_ULONG *len)
{
	if (!fault("states"))
		return real->C_GetOperationState(session, state, len);
	CK_RV rv = state && *len < STATE_LEN ? CKR_BUFFER_TOO_SMALL : CKR_OK;
	if (state && rv == CKR_OK)
		memset(state, 's', STATE_LEN);
	*len = STATE_LEN;
	return rv;
}

static CK_RV shim_set_state(CK_SESSION_HANDLE session, CK_BYTE *state, CK_ULONG len, CK_OBJECT_HANDLE encryption,
	CK_OBJECT_HANDLE authentication)
{
	if (!fault("states"))
		return real->C_SetOperationState(session, state, len, encryption, authentication);
	if (len != STATE_LEN)
		return CKR_SAVED_STATE_INVALID;
	for (CK_ULONG i = 0; i < len; i++) {
		if (state[i] != 's')
			return CKR_SAVED_STATE_INVALID;
	}
	return CKR_OK;
}

static CK_RV shim_finalize(CK_VOID_PTR reserved)
{
	pthread_mutex_lock(&lock);
	sessions = 0;
	pthread_mutex_unlock(&lock);
	return real->C_Finalize(reserved);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR ret_functions)
{
	void *library = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);
	void *symbol = library ? dlsym(library, "C_GetFunctionList") : NULL;
	CK_C_GetFunctionList get;
	CK_FUNCTION_LIST *list;

	memcpy(&get, &symbol, sizeof get);
	if (!symbol || get(&list) != CKR_OK)
		return CKR_GENERAL_ERROR;
	real = list;
	functions = *list;
	functions.C_Login = shim_login;
	functions.C_OpenSession = shim_open;
	functions.C_CloseSession = shim_close;
	functions.C_SignInit = shim_sign_init;
	functions.C_Sign = shim_sign;
	functions.C_GetMechanismInfo = shim_mechanism_info;
	functions.C_GetOperationState = shim_get_state;
	functions.C_SetOperationState = shim_set_state;
	functions.C_Finalize = shim_finalize;
	*ret_functions = &functions;
	return CKR_OK;
}
