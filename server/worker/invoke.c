#include "server/worker/internal.h"

#include <string.h>

/*
 * One function per row: the only places where C_ functions of the vendor module are called.
 */
#define CALL(name, place, permission, audit, operation, step, ...) \
	static CK_RV invoke_##name(const CK_FUNCTION_LIST *functions, const union wire_value v[]) \
	{ \
		return functions->C_##name ? functions->C_##name(EACH(PASS, __VA_ARGS__)) \
					   : CKR_FUNCTION_NOT_SUPPORTED; \
	}
#include "api/calls.def"

typedef CK_RV (*invoker)(const CK_FUNCTION_LIST *functions, const union wire_value v[]);

static const invoker invokers[CALL_COUNT] = {
#define CALL(name, ...) [CALL_##name] = invoke_##name,
#include "api/calls.def"
};

/* Of the one module of this process. */
static atomic_uint changes;

unsigned module_changes(void)
{
	return atomic_load(&changes);
}

/* Calls that make, change or destroy objects, or change which of them are visible. */
static bool changes_objects(enum call_id id)
{
	const unsigned changing = PERMISSIONS_WRITE | PERMISSIONS_ADMIN | PERMISSIONS_LOGIN;

	return (call_row(id)->permissions & changing) != 0 || id == CALL_DeriveKey || id == CALL_CloseSession ||
	       id == CALL_CloseAllSessions;
}

CK_RV invoke_uncounted(const struct worker *worker, enum call_id id, const union wire_value v[])
{
	CK_RV rv = invokers[id](worker->module.functions, v);

	if (changes_objects(id))
		atomic_fetch_add(&changes, 1);

	/* The client has initialised what it talks to; a module that could not be started again is a failing device to it. */
	return rv == CKR_CRYPTOKI_NOT_INITIALIZED ? CKR_DEVICE_ERROR : rv;
}

CK_RV invoke(struct request *request, enum call_id id, const union wire_value v[])
{
	struct reply *reply = &request->reply;

	if (reply->calls_count < sizeof reply->calls / sizeof reply->calls[0]) {
		const char *name = call_row(id)->name;
		reply->calls[reply->calls_count++] = (struct bytes){(const unsigned char *)name, strlen(name)};
	}
	return invoke_uncounted(request->worker, id, v);
}

CK_RV invoke_initialize(const struct module *module, const char *init_args)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};

	if (!module->functions->C_Initialize)
		return CKR_FUNCTION_NOT_SUPPORTED;
	/* This header calls the standard's pReserved LibraryParameters and puts a pReserved of its own behind it. */
	if (init_args[0] != '\0')
		args.LibraryParameters = (CK_CHAR_PTR *)(uintptr_t)init_args;
	return module->functions->C_Initialize(&args);
}

CK_RV invoke_finalize(const struct module *module)
{
	atomic_fetch_add(&changes, 1);
	return module->functions->C_Finalize ? module->functions->C_Finalize(NULL) : CKR_FUNCTION_NOT_SUPPORTED;
}
