#include <stdio.h>

#include "api/names.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/attribute.h"
#include "server/worker/resources/key_state.h"
#include "server/worker/resources/resource.h"

/* One object of the key. */
struct part {
	CK_OBJECT_HANDLE object;
	CK_OBJECT_CLASS class;
};

enum { PARTS_MAX = 2 };

/* The half that keeps the secret first: a device that fails in between has done what was wanted most, and leaves what is public. */
static size_t parts_of(const struct key *key, struct part ret_parts[PARTS_MAX])
{
	size_t count = 0;
	ret_parts[count++] = (struct part){key->object, key->class};
	if (key->public_object != CK_INVALID_HANDLE && key->public_object != key->object)
		ret_parts[count++] = (struct part){key->public_object, CKO_PUBLIC_KEY};
	return count;
}

/* Asked of all before the first is touched. */
static CK_RV check_destroyable(
	struct request *request, CK_SESSION_HANDLE session, const struct part parts[], size_t count)
{
	static const CK_ATTRIBUTE_TYPE types[] = {CKA_DESTROYABLE};
	CK_RV rv = CKR_OK;
	for (size_t i = 0; i < count && rv == CKR_OK; i++) {
		struct bytes value;
		rv = attribute_read(request, session, parts[i].object, types, 1, &value);
		if (rv == CKR_OK && !attribute_flag(value, true))
			rv = CKR_ACTION_PROHIBITED;
	}
	return rv;
}

static CK_RV destroy(struct request *request, CK_SESSION_HANDLE session, const struct key *key, const struct part *part,
	bool *ret_withheld)
{
	const union wire_value v[] = {{.number = session}, {.number = part->object}};
	char scratch[24];
	CK_RV rv = invoke(request, CALL_DestroyObject, v);
	const struct event event = {
		.kind = AUDIT_OBJECT,
		.function = "C_DestroyObject",
		.rv = rv,
		.key_label = key_event_label(key),
		.key_id = key->id.data,
		.key_id_len = key->id.len,
		.key_class = name_text(NAMES_CLASS, part->class, scratch),
	};
	if (rv == CKR_OK)
		object_was_destroyed(request->worker, part->object);
	*ret_withheld = !answer_event(request, &event);
	return rv;
}

static CK_RV destroy_all(struct request *request, CK_SESSION_HANDLE session, struct key *key, void *context)
{
	struct part parts[PARTS_MAX];
	size_t count = parts_of(key, parts);
	bool withheld = false;
	(void)context;
	CK_RV rv = check_destroyable(request, session, parts, count);
	for (size_t i = 0; i < count && rv == CKR_OK && !withheld; i++) {
		rv = destroy(request, session, key, &parts[i], &withheld);
		if (rv != CKR_OK && i > 0 && !withheld) {
			reply_return(request, rv,
				"The private key is destroyed, its public key is still there; look at it and delete "
				"it.");
			return CKR_OK;
		}
	}
	if (rv == CKR_OK && !withheld)
		answer_nothing(request);
	return withheld ? CKR_OK : rv;
}

void resource_key_delete(struct request *request)
{
	key_state_with(request, destroy_all, NULL, "The key could not be deleted; nothing of it was.");
}
