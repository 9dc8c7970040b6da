#include "tests/support/mock/mock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/names.h"

/* The C_ functions: each counts itself, meets the faults of the control file, and runs its handler. */

typedef CK_RV (*handler)(const union wire_value v[]);

static const handler handlers[CALL_COUNT] = {
#define MOCK_ROW(name) [CALL_##name] = mock_##name,
	MOCK_CALLS(MOCK_ROW)};

static bool initialized;

static void pause_ms(unsigned long ms)
{
	const struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

	nanosleep(&time, NULL);
}

/* What of a module a fault for every function spares: without it no slot would be found. */
static bool common(enum call_id id)
{
	return call_row(id)->place == PLACE_MODULE;
}

/* Under mock_lock: the fault of this call of `id`, or NULL; the first that fits. */
static const struct fault *fault_of(const struct control *control, enum call_id id)
{
	struct token *token = token_shared();

	if (token->stamp != control->stamp) {
		memset(token->calls, 0, sizeof token->calls);
		token->calls_everywhere = 0;
		token->taken_out = false;
		token->stamp = control->stamp;
	}
	unsigned call = ++token->calls[id], everywhere = common(id) ? ++token->calls_everywhere : 0;
	for (unsigned i = 0; i < control->faults_count; i++) {
		const struct fault *fault = &control->faults[i];
		unsigned number = fault->everywhere ? everywhere : fault->id == id ? call : 0;
		if (number >= fault->from && number <= fault->to)
			return fault;
	}
	return NULL;
}

/* Until the control file changes. */
static void hang(uint64_t stamp)
{
	bool same = true;

	while (same) {
		pause_ms(2);
		mock_lock();
		same = control_now()->stamp == stamp;
		mock_unlock();
	}
}

/* Claims that every output of the call has `length` bytes or items. */
static void outputs_claim(enum call_id id, const union wire_value v[], CK_ULONG length)
{
	const struct call_row *row = call_row(id);

	for (size_t i = 0; i < row->argument_count; i++) {
		if (row->arguments[i].kind == WIRE_BUFFER && v[i].buffer.len)
			*v[i].buffer.len = length;
		else if (row->arguments[i].kind == WIRE_LIST && v[i].list.count)
			*v[i].list.count = length;
		else if (row->arguments[i].kind == WIRE_FOUND && v[i].found.count)
			*v[i].found.count = length;
		else if (row->arguments[i].kind == WIRE_QUERY && v[i].attributes.count > 0)
			v[i].attributes.items[0].ulValueLen = length;
	}
}

/* With mock_lock, which is not held while anything is waited for. True: the call is over with *ret_rv. */
static bool fault_before(const struct fault *fault, uint64_t stamp, CK_RV *ret_rv)
{
	if (fault->action == ACTION_CRASH)
		abort();
	if (fault->action == ACTION_REMOVE)
		token_shared()->taken_out = true;
	if (fault->action == ACTION_HANG || fault->action == ACTION_SLOW) {
		mock_unlock();
		if (fault->action == ACTION_HANG)
			hang(stamp);
		else
			pause_ms(fault->argument);
		mock_lock();
	}
	*ret_rv = fault->argument;
	return fault->action == ACTION_RETURN;
}

/* Under mock_lock: one line for each C_Login, "CKU_USER CKR_PIN_INCORRECT 4711". */
static void login_record(const union wire_value v[], CK_RV rv)
{
	char path[256], line[128], user[24], code[24];

	control_path(".logins", path);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	int len = snprintf(line, sizeof line, "%s %s %d\n", name_text(NAMES_USER, v[1].number, user),
		name_text(NAMES_RETURN, rv, code), (int)getpid());
	if (fd < 0 || write(fd, line, (size_t)len) != len)
		abort();
	close(fd);
}

static CK_RV mock_call(enum call_id id, const union wire_value v[])
{
	CK_RV rv = CKR_CRYPTOKI_NOT_INITIALIZED;
	struct fault fault = {.action = ACTION_SLOW};

	mock_lock();
	if (initialized) {
		const struct control *control = control_now();
		const struct fault *found = fault_of(control, id);
		if (found)
			fault = *found;
		if (!found || !fault_before(&fault, control->stamp, &rv)) {
			/* It may have been finalized while the call was held. */
			rv = !initialized   ? CKR_CRYPTOKI_NOT_INITIALIZED
			     : handlers[id] ? handlers[id](v)
					    : CKR_FUNCTION_NOT_SUPPORTED;
			if (fault.action == ACTION_LENGTH && rv == CKR_OK)
				outputs_claim(id, v, fault.argument);
			if (fault.action == ACTION_AFTER)
				rv = fault.argument;
		}
		if (id == CALL_Login)
			login_record(v, rv);
	}
	mock_unlock();
	return rv;
}

#define CALL(name, place, permission, audit, operation, step, ...) \
	CK_RV C_##name(EACH(PARAM, __VA_ARGS__)) \
	{ \
		const union wire_value v[] = {EACH(VALUE, __VA_ARGS__)}; \
		return mock_call(CALL_##name, v); \
	}
#include "api/calls.def"

CK_RV C_Initialize(void *args)
{
	CK_RV rv = CKR_CRYPTOKI_ALREADY_INITIALIZED;

	(void)args;
	mock_lock();
	if (!initialized) {
		rv = token_open();
		initialized = rv == CKR_OK;
	}
	mock_unlock();
	return rv;
}

CK_RV C_Finalize(void *reserved)
{
	CK_RV rv = reserved ? CKR_ARGUMENTS_BAD : CKR_CRYPTOKI_NOT_INITIALIZED;

	mock_lock();
	if (initialized && !reserved)
		rv = control_now()->finalize;
	if (initialized && rv == CKR_OK) {
		sessions_close_all();
		token_close();
		initialized = false;
	}
	mock_unlock();
	return rv;
}

static CK_FUNCTION_LIST functions = {
	.version = {2, 40},
	.C_Initialize = C_Initialize,
	.C_Finalize = C_Finalize,
#define CALL(name, ...) .C_##name = C_##name,
#include "api/calls.def"
};

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **ret_functions)
{
	functions.C_GetFunctionList = C_GetFunctionList;
	*ret_functions = &functions;
	return CKR_OK;
}
