#include "server/worker/call_run.h"

/*
 * Mechanisms with keys of another type. There are modules that do not look at the type: they crash in the Init or in the call after it.
 * So such an Init never reaches the module with its key.
 */

/* What lets a key, and what lets a mechanism, do the operation of an Init. */
static const struct {
	CK_ATTRIBUTE_TYPE key;
	CK_FLAGS mechanism;
} usages[OPERATION_COUNT] = {
	[OPERATION_ENCRYPT] = {CKA_ENCRYPT, CKF_ENCRYPT},
	[OPERATION_DECRYPT] = {CKA_DECRYPT, CKF_DECRYPT},
	[OPERATION_SIGN] = {CKA_SIGN, CKF_SIGN},
	[OPERATION_SIGN_RECOVER] = {CKA_SIGN_RECOVER, CKF_SIGN_RECOVER},
	[OPERATION_VERIFY] = {CKA_VERIFY, CKF_VERIFY},
	[OPERATION_VERIFY_RECOVER] = {CKA_VERIFY_RECOVER, CKF_VERIFY_RECOVER},
};

/* What the module says to the same Init without a key. */
static CK_RV init_without_key(const struct running_call *run)
{
	const union wire_value v[] = {run->native[0], run->native[1], {.number = CK_INVALID_HANDLE}};
	CK_RV rv = invoke(run->request, run->row->id, v);

	if (rv == CKR_KEY_HANDLE_INVALID || rv == CKR_OBJECT_HANDLE_INVALID)
		return CKR_OK;
	return rv == CKR_OK ? session_cancel(run->request->worker, run->session) : rv;
}

static CK_RV check_usage(const struct running_call *run)
{
	CK_BBOOL allowed = CK_FALSE;
	CK_ATTRIBUTE attribute = {usages[run->row->operation].key, &allowed, sizeof allowed};
	const union wire_value v[] = {
		{.number = run->session->module}, run->native[2], {.attributes = {&attribute, 1}}};

	return invoke_uncounted(run->request->worker, CALL_GetAttributeValue, v) == CKR_OK && allowed
		       ? CKR_OK
		       : CKR_KEY_FUNCTION_NOT_PERMITTED;
}

static CK_RV check_mechanism(const struct running_call *run, CK_MECHANISM_TYPE mechanism)
{
	CK_MECHANISM_INFO info = {.flags = 0};
	const union wire_value v[] = {
		{.number = module_slot(run->request->worker)}, {.number = mechanism}, {.info = &info}};
	CK_RV rv = invoke_uncounted(run->request->worker, CALL_GetMechanismInfo, v);

	if (rv != CKR_OK)
		return rv;
	return (info.flags & usages[run->row->operation].mechanism) != 0 ? CKR_OK : CKR_MECHANISM_INVALID;
}

CK_RV key_type_check(const struct running_call *run)
{
	if (run->row->step != STEP_INIT || !run->session || !run->key)
		return CKR_OK;
	const CK_MECHANISM *mechanism = run->call->values[1].mechanism;
	if (!mechanism || mechanism_fits_key(mechanism->mechanism, run->key->class, run->key->key_type))
		return CKR_OK;
	CK_RV rv = init_without_key(run);
	if (rv == CKR_OK)
		rv = check_usage(run);
	if (rv == CKR_OK)
		rv = check_mechanism(run, mechanism->mechanism);
	return rv == CKR_OK ? CKR_KEY_TYPE_INCONSISTENT : rv;
}
