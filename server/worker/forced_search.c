#include "server/worker/internal.h"

#include <stdlib.h>
#include <string.h>

/*
 * A search for CKA_ALWAYS_AUTHENTICATE while keys of non-repudiation certificates have it by policy (B18): the token is asked for
 * everything else, and the attribute is compared here. The handles found wait in the session's search.
 */

enum { SEARCH_AT_ONCE = 256 };

/* What is wanted of the attribute; false if the template does not speak of it, or not plainly. */
static bool wanted_value(const union wire_value *template, bool *ret_wanted)
{
	for (CK_ULONG i = 0; i < template->attributes.count; i++) {
		const CK_ATTRIBUTE *attribute = &template->attributes.items[i];
		const CK_BBOOL *value = attribute->pValue;
		if (attribute->type != CKA_ALWAYS_AUTHENTICATE || !value || attribute->ulValueLen != sizeof *value)
			continue;
		*ret_wanted = *value != CK_FALSE;
		return true;
	}
	return false;
}

bool forced_search_needed(const struct worker *worker, const struct call *call)
{
	bool wanted;

	return call->row->id == CALL_FindObjectsInit && login_rules(worker).force_login &&
	       wanted_value(&call->values[1], &wanted);
}

static bool search_keep(struct session_operation *search, CK_OBJECT_HANDLE handle)
{
	CK_OBJECT_HANDLE *items = realloc(search->found, (search->found_count + 1) * sizeof *items);

	if (!items)
		return false;
	items[search->found_count++] = handle;
	search->found = items;
	return true;
}

/* Keeps what the module found if its effective value is the wanted one. */
static CK_RV sift(struct request *request, struct session *session, CK_OBJECT_HANDLE found, bool wanted,
	struct session_operation *search)
{
	struct worker *worker = request->worker;
	bool hides = request->logout_after == LOGOUT_AFTER_PRIVATE_OP && one_use_is_anothers(worker, session->handle);
	CK_OBJECT_HANDLE handle;
	CK_RV rv = object_name(request, session->module, found, &handle);

	if (rv != CKR_OK)
		return rv;
	struct object_info *info = object_describe(worker, session->module, handle);
	bool has = info && info->class == CKO_PRIVATE_KEY;
	bool fits = has && (info->always_authenticate || forced_login_applies(request, found, info)) == wanted;
	fits = fits && !(hides && info->private);
	search->found_private = search->found_private || (fits && info->private);
	object_info_release(info);
	return !fits || search_keep(search, handle) ? CKR_OK : CKR_HOST_MEMORY;
}

/* All that the module finds, and the search over there is over. */
static CK_RV collect(
	struct request *request, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE **ret_found, CK_ULONG *ret_count)
{
	CK_OBJECT_HANDLE *items = NULL;
	CK_ULONG count = 0, got = 0;
	CK_RV rv = CKR_OK;

	do {
		CK_OBJECT_HANDLE *more = realloc(items, (count + SEARCH_AT_ONCE) * sizeof *items);
		if (!more) {
			rv = CKR_HOST_MEMORY;
			break;
		}
		items = more;
		const union wire_value next[] = {{.number = session}, {.found = {items + count, SEARCH_AT_ONCE, &got}}};
		rv = invoke(request, CALL_FindObjects, next);
		count += rv == CKR_OK && got <= SEARCH_AT_ONCE ? got : 0;
	} while (rv == CKR_OK && got > 0 && count < OBJECTS_MAX);
	const union wire_value end[] = {{.number = session}};
	CK_RV ended = invoke(request, CALL_FindObjectsFinal, end);
	*ret_found = items;
	*ret_count = count;
	return rv != CKR_OK ? rv : ended;
}

CK_RV forced_search_begin(
	struct request *request, struct session *session, const struct call *call, struct session_operation *ret_search)
{
	const union wire_value *template = &call->values[1];
	CK_ATTRIBUTE others[LIMIT_ATTRIBUTES];
	CK_OBJECT_HANDLE *found = NULL;
	CK_ULONG count = 0, found_count = 0;
	bool wanted = false;

	if (session->operations[OPERATION_FIND].listed)
		return CKR_OPERATION_ACTIVE;
	(void)wanted_value(template, &wanted);
	for (CK_ULONG i = 0; i < template->attributes.count && count < LIMIT_ATTRIBUTES; i++) {
		if (template->attributes.items[i].type != CKA_ALWAYS_AUTHENTICATE)
			others[count++] = template->attributes.items[i];
	}
	const union wire_value start[] = {{.number = session->module}, {.attributes = {others, count}}};
	CK_RV rv = invoke(request, CALL_FindObjectsInit, start);
	if (rv != CKR_OK)
		return rv;
	rv = collect(request, session->module, &found, &found_count);
	*ret_search = (struct session_operation){.listed = true};
	for (CK_ULONG i = 0; rv == CKR_OK && i < found_count; i++)
		rv = sift(request, session, found[i], wanted, ret_search);
	free(found);
	if (rv != CKR_OK)
		free(ret_search->found);
	return rv;
}

CK_RV forced_search_next(struct session_operation *search, const struct call *call)
{
	const union wire_value *out = &call->values[1];
	CK_ULONG left = search->found_count - search->found_next;
	CK_ULONG count = left < out->found.max ? left : out->found.max;

	if (count > 0)
		memcpy(out->found.items, search->found + search->found_next, count * sizeof *search->found);
	search->found_next += count;
	*out->found.count = count;
	return CKR_OK;
}
