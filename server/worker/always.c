#include "server/worker/call_run.h"

#include <string.h>

/*
 * What a template may say of CKA_ALWAYS_AUTHENTICATE (A19). A module that knows the rules refuses by itself, in its own order of checks;
 * where one has accepted such a template, what it made is destroyed again.
 */

static const CK_ATTRIBUTE *template_find(const union wire_value *template, CK_ATTRIBUTE_TYPE type)
{
	for (CK_ULONG i = 0; template->attributes.items && i < template->attributes.count; i++) {
		if (template->attributes.items[i].type == type)
			return &template->attributes.items[i];
	}
	return NULL;
}

/* The value of a CK_BBOOL, or `otherwise` if the template does not say it. */
static bool template_flag(const union wire_value *template, CK_ATTRIBUTE_TYPE type, bool otherwise)
{
	const CK_ATTRIBUTE *attribute = template_find(template, type);

	if (!attribute || !attribute->pValue || attribute->ulValueLen != sizeof(CK_BBOOL))
		return otherwise;
	return *(const CK_BBOOL *)attribute->pValue != CK_FALSE;
}

/* True if the template is for a private key. */
static bool template_private_key(const struct call_row *row, size_t argument, const union wire_value *template)
{
	const CK_ATTRIBUTE *class = template_find(template, CKA_CLASS);
	CK_OBJECT_CLASS value = CK_UNAVAILABLE_INFORMATION;

	if (row->id == CALL_GenerateKeyPair)
		return strcmp(row->arguments[argument].name, "private_attributes") == 0;
	if (class && class->pValue && class->ulValueLen == sizeof value)
		memcpy(&value, class->pValue, sizeof value);
	return value == CKO_PRIVATE_KEY;
}

static CK_RV check_new(const struct call_row *row, size_t argument, const union wire_value *template)
{
	if (!template_find(template, CKA_ALWAYS_AUTHENTICATE))
		return CKR_OK;
	if (!template_private_key(row, argument, template))
		return CKR_ATTRIBUTE_TYPE_INVALID;
	bool public = !template_flag(template, CKA_PRIVATE, true);
	return public && template_flag(template, CKA_ALWAYS_AUTHENTICATE, false) ? CKR_TEMPLATE_INCONSISTENT : CKR_OK;
}

static CK_RV check_copy(const struct running_call *run, const union wire_value *template)
{
	bool always = run->key && run->key->class == CKO_PRIVATE_KEY && run->key->always_authenticate;

	if (template_find(template, CKA_ALWAYS_AUTHENTICATE))
		return CKR_ATTRIBUTE_READ_ONLY;
	return always && !template_flag(template, CKA_PRIVATE, true) ? CKR_TEMPLATE_INCONSISTENT : CKR_OK;
}

static void destroy(struct running_call *run, CK_OBJECT_HANDLE module)
{
	const union wire_value v[] = {run->native[0], {.number = module}};

	(void)!invoke(run->request, CALL_DestroyObject, v);
}

CK_RV always_check_made(struct running_call *run)
{
	const struct call_row *row = run->row;
	bool makes = false;
	CK_RV rv = CKR_OK;

	for (size_t i = 0; i < row->argument_count; i++)
		makes = makes || row->arguments[i].kind == WIRE_NEW_OBJECT;
	for (size_t i = 0; makes && i < row->argument_count && rv == CKR_OK; i++) {
		const union wire_value *template = &run->call->values[i];
		if (row->arguments[i].kind == WIRE_TEMPLATE)
			rv = row->id == CALL_CopyObject ? check_copy(run, template) : check_new(row, i, template);
	}
	for (size_t i = 0; rv != CKR_OK && i < row->argument_count; i++) {
		if (row->arguments[i].kind == WIRE_NEW_OBJECT)
			destroy(run, *run->call->values[i].number_out);
	}
	return rv;
}

CK_RV always_check_change(const struct running_call *run)
{
	if (run->row->id != CALL_SetAttributeValue || !run->key || run->key->class != CKO_PRIVATE_KEY)
		return CKR_OK;
	/* The module has an older objection. */
	if (run->key->token && !(run->session->flags & CKF_RW_SESSION))
		return CKR_OK;
	return template_find(&run->call->values[2], CKA_ALWAYS_AUTHENTICATE) ? CKR_ATTRIBUTE_READ_ONLY : CKR_OK;
}
