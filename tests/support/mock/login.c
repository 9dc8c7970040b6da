#include "tests/support/mock/mock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The login state of this process. */
static CK_USER_TYPE who = CK_UNAVAILABLE_INFORMATION;

CK_USER_TYPE login_who(void)
{
	return who;
}

void login_forget(void)
{
	struct token *token = token_shared();

	who = CK_UNAVAILABLE_INFORMATION;
	if (token->owner == getpid())
		token->owner = 0;
	objects_end_private();
	if (!control_now()->logout_keeps)
		sessions_end_private_operations();
}

/* What the token says to a PIN; every wrong one costs a try. */
static CK_RV pin_verify(struct pin *pin, unsigned tries, const union wire_value *given)
{
	if (tries > 0 && pin->wrong >= tries)
		return CKR_PIN_LOCKED;
	if (given->bytes.len == pin->len && memcmp(given->bytes.data, pin->text, pin->len) == 0) {
		pin->wrong = 0;
		return CKR_OK;
	}
	pin->wrong++;
	if (tries == 0 || pin->wrong < tries)
		return CKR_PIN_INCORRECT;
	if (!control_now()->lock_keeps_login && who == CKU_USER)
		login_forget();
	return CKR_PIN_LOCKED;
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* The protected authentication path: what the person at the token decides, without the lock. */
static CK_RV person_ask(void)
{
	const struct timespec pause = {0, 2000000};
	long long end = now_ms() + control_now()->person_ms;
	enum person person = PERSON_WAIT;

	while ((person = control_now()->person) == PERSON_WAIT && now_ms() < end) {
		mock_unlock();
		nanosleep(&pause, NULL);
		mock_lock();
	}
	return person == PERSON_APPROVE ? CKR_OK : person == PERSON_DENY ? CKR_PIN_INCORRECT : CKR_FUNCTION_CANCELED;
}

static CK_RV authenticate(CK_USER_TYPE user, const union wire_value *pin)
{
	const struct control *control = control_now();
	struct token *token = token_shared();

	if (!pin->bytes.data)
		return person_ask();
	if (user == CKU_SO)
		return pin_verify(&token->so, control->so_tries, pin);
	return token->user.len == 0 ? CKR_USER_PIN_NOT_INITIALIZED : pin_verify(&token->user, control->user_tries, pin);
}

static struct operation_state *awaiting(CK_SESSION_HANDLE handle)
{
	CK_RV rv;
	struct session *session = session_get(handle, &rv);

	for (int i = 0; session && i < OPERATION_COUNT; i++) {
		if (session->operations[i].active && session->operations[i].awaiting)
			return &session->operations[i];
	}
	return NULL;
}

static CK_RV login_context(CK_SESSION_HANDLE handle, const union wire_value *pin)
{
	if (!awaiting(handle))
		return control_now()->context_verifies ? authenticate(CKU_USER, pin) : control_now()->context_idle;
	CK_RV rv = authenticate(CKU_USER, pin);
	/* While a person was asked, the operation may have ended. */
	struct operation_state *operation = awaiting(handle);
	if (rv == CKR_OK && operation)
		operation->awaiting = false;
	return rv == CKR_OK && !operation ? CKR_OPERATION_NOT_INITIALIZED : rv;
}

/* Another process is logged in on a token that only one may use. */
static bool taken_elsewhere(void)
{
	pid_t owner = token_shared()->owner;

	return control_now()->exclusive != CKR_OK && owner != 0 && owner != getpid() &&
	       (kill(owner, 0) == 0 || errno == EPERM);
}

static CK_RV login(CK_USER_TYPE user, const union wire_value *pin)
{
	if (who != CK_UNAVAILABLE_INFORMATION)
		return who == user ? CKR_USER_ALREADY_LOGGED_IN : CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
	if (user == CKU_SO && session_count(true) > 0)
		return CKR_SESSION_READ_ONLY_EXISTS;
	if (taken_elsewhere())
		return control_now()->exclusive;
	CK_RV rv = authenticate(user, pin);
	if (rv == CKR_OK) {
		who = user;
		token_shared()->owner = getpid();
	}
	return rv;
}

CK_RV mock_Login(const union wire_value v[])
{
	CK_RV rv;

	if (!session_get(v[0].number, &rv))
		return rv;
	if (v[1].number != CKU_USER && v[1].number != CKU_SO && v[1].number != CKU_CONTEXT_SPECIFIC)
		return CKR_USER_TYPE_INVALID;
	if (!v[2].bytes.data && !control_now()->protected_path)
		return CKR_ARGUMENTS_BAD;
	return v[1].number == CKU_CONTEXT_SPECIFIC ? login_context(v[0].number, &v[2]) : login(v[1].number, &v[2]);
}

CK_RV mock_Logout(const union wire_value v[])
{
	CK_RV rv;

	if (!session_get(v[0].number, &rv))
		return rv;
	if (who == CK_UNAVAILABLE_INFORMATION)
		return CKR_USER_NOT_LOGGED_IN;
	login_forget();
	return CKR_OK;
}

static CK_RV pin_replace(struct pin *pin, const union wire_value *given)
{
	if (!given->bytes.data)
		return CKR_ARGUMENTS_BAD;
	if (given->bytes.len < 4 || given->bytes.len >= MOCK_PIN_MAX)
		return CKR_PIN_LEN_RANGE;
	memcpy(pin->text, given->bytes.data, given->bytes.len);
	pin->len = (unsigned)given->bytes.len;
	pin->wrong = 0;
	return CKR_OK;
}

CK_RV mock_SetPIN(const union wire_value v[])
{
	const struct control *control = control_now();
	struct token *token = token_shared();
	CK_RV rv;
	const struct session *session = session_get(v[0].number, &rv);

	if (!session)
		return rv;
	if (!(session->flags & CKF_RW_SESSION))
		return CKR_SESSION_READ_ONLY;
	if (!v[1].bytes.data)
		return CKR_ARGUMENTS_BAD;
	bool so = who == CKU_SO;
	rv = so ? pin_verify(&token->so, control->so_tries, &v[1])
		: pin_verify(&token->user, control->user_tries, &v[1]);
	return rv == CKR_OK ? pin_replace(so ? &token->so : &token->user, &v[2]) : rv;
}

CK_RV mock_InitPIN(const union wire_value v[])
{
	CK_RV rv;

	if (!session_get(v[0].number, &rv))
		return rv;
	return who == CKU_SO ? pin_replace(&token_shared()->user, &v[1]) : CKR_USER_NOT_LOGGED_IN;
}

CK_RV mock_InitToken(const union wire_value v[])
{
	struct token *token = token_shared();

	if (v[0].number != MOCK_SLOT)
		return CKR_SLOT_ID_INVALID;
	if (!token_present())
		return CKR_TOKEN_NOT_PRESENT;
	if (session_count(false) > 0)
		return CKR_SESSION_EXISTS;
	if (!v[1].bytes.data || !v[2].bytes.data)
		return CKR_ARGUMENTS_BAD;
	CK_RV rv = pin_verify(&token->so, control_now()->so_tries, &v[1]);
	if (rv != CKR_OK)
		return rv;
	memset(token->objects, 0, sizeof token->objects);
	memset(&token->user, 0, sizeof token->user);
	memcpy(token->label, v[2].bytes.data, sizeof token->label);
	return CKR_OK;
}
