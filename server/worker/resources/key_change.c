#include <string.h>

#include "api/names.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/attribute.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/key_names.h"
#include "server/worker/resources/key_state.h"
#include "server/worker/resources/resource.h"
#include "server/worker/resources/use.h"

/* New names; data NULL: it stays. */
struct names {
	struct bytes label, id;
};

/* An object whose names follow, and what they were. */
struct follower {
	CK_OBJECT_HANDLE object;
	CK_OBJECT_CLASS class;
	struct names before;
};

enum { FOLLOWERS_MAX = 2 };

static CK_RV read_names(struct request *request, CK_SESSION_HANDLE session, struct follower *follower)
{
	static const CK_ATTRIBUTE_TYPE types[] = {CKA_LABEL, CKA_ID};
	static const struct bytes empty = {(const unsigned char *)"", 0};
	struct bytes values[2];
	CK_RV rv = attribute_read(request, session, follower->object, types, 2, values);
	if (rv == CKR_OK)
		follower->before = (struct names){
			values[0].data == NULL ? empty : values[0], values[1].data == NULL ? empty : values[1]};
	return rv;
}

static CK_RV followers_of(struct request *request, CK_SESSION_HANDLE session, const struct key *key,
	struct follower ret_followers[FOLLOWERS_MAX], size_t *ret_count)
{
	size_t count = 0;
	CK_RV rv = CKR_OK;
	ret_followers[count++] = (struct follower){.object = key->object, .class = key->class};
	if (key->public_object != CK_INVALID_HANDLE && key->public_object != key->object)
		ret_followers[count++] = (struct follower){.object = key->public_object, .class = CKO_PUBLIC_KEY};
	for (size_t i = 0; i < count && rv == CKR_OK; i++)
		rv = read_names(request, session, &ret_followers[i]);
	*ret_count = count;
	return rv;
}

/* Sets those names of `names` that are there. */
static CK_RV set_names(struct request *request, CK_SESSION_HANDLE session, const struct follower *follower,
	const struct names *names, bool *ret_withheld)
{
	CK_ATTRIBUTE template[2];
	CK_ULONG count = 0;
	char scratch[24];
	if (names->label.data != NULL)
		template[count++] = (CK_ATTRIBUTE){CKA_LABEL, (void *)names->label.data, names->label.len};
	if (names->id.data != NULL)
		template[count++] = (CK_ATTRIBUTE){CKA_ID, (void *)names->id.data, names->id.len};
	const union wire_value v[] = {
		{.number = session}, {.number = follower->object}, {.attributes = {template, count}}};
	CK_RV rv = invoke(request, CALL_SetAttributeValue, v);
	const struct bytes *label = &follower->before.label, *id = &follower->before.id;
	const struct event event = {
		.kind = AUDIT_OBJECT,
		.function = "C_SetAttributeValue",
		.rv = rv,
		.key_label = label->len <= KEY_EVENT_LABEL_MAX ? (const char *)label->data : NULL,
		.key_id = id->data,
		.key_id_len = id->len,
		.key_class = name_text(NAMES_CLASS, follower->class, scratch),
		.renamed = {(const char *)names->label.data, names->id.data, names->id.len, NULL},
	};
	object_was_changed(request->worker, follower->object);
	*ret_withheld = !answer_event(request, &event);
	return rv;
}

/* Gives the first `count` their old names again; false if one of them kept the new. */
static bool undo(struct request *request, CK_SESSION_HANDLE session, const struct follower followers[], size_t count,
	const struct names *names, bool *ret_withheld)
{
	bool done = true;
	for (size_t i = count; i-- > 0;) {
		struct names before = followers[i].before;
		if (names->label.data == NULL)
			before.label.data = NULL;
		if (names->id.data == NULL)
			before.id.data = NULL;
		done = set_names(request, session, &followers[i], &before, ret_withheld) == CKR_OK && done;
	}
	return done;
}

/* All or none; CKR_OK too where the reply says that it is neither. */
static CK_RV change_all(struct request *request, CK_SESSION_HANDLE session, const struct follower followers[],
	size_t count, const struct names *names, bool *ret_done)
{
	bool withheld = false;
	CK_RV rv = CKR_OK;
	size_t i = 0;
	for (; i < count && rv == CKR_OK && !withheld; i++)
		rv = set_names(request, session, &followers[i], names, &withheld);
	*ret_done = rv == CKR_OK && !withheld;
	if (*ret_done)
		return CKR_OK;
	bool undone = rv == CKR_OK || undo(request, session, followers, i - 1, names, &withheld);
	if (withheld)
		return CKR_OK;
	if (undone)
		return rv;
	reply_return(request, rv,
		"One half of the key has the new names and the other the old ones; look at both and change them "
		"again.");
	return CKR_OK;
}

static CK_RV answer_changed(
	struct request *request, CK_SESSION_HANDLE session, const struct key *before, const struct names *names)
{
	const struct key_query query = {
		.class = CK_UNAVAILABLE_INFORMATION,
		.label = names->label.data != NULL ? names->label : before->label,
		.id = names->id.data != NULL ? names->id : before->id,
	};
	struct key key;
	if (!key_find(request, session, &query, &key))
		return CKR_OK;
	CK_RV rv = key_find_public(request, session, &key);
	return rv != CKR_OK
		       ? rv
		       : key_answer(request, session, 200, &key, names->label.data != NULL ? KEY_BY_LABEL : KEY_BY_ID);
}

static CK_RV change(struct request *request, CK_SESSION_HANDLE session, struct key *key, void *context)
{
	const struct names *names = context;
	struct follower followers[FOLLOWERS_MAX];
	size_t count;
	bool done = true;
	/* Another label would be no mark any more. */
	if (use_refuse_marked(request, key, CKR_ACTION_PROHIBITED))
		return CKR_OK;
	if (!key_names_free(request, session, names->label, names->id, key))
		return CKR_OK;
	CK_RV rv = followers_of(request, session, key, followers, &count);
	if (rv == CKR_OK && (names->label.data != NULL || names->id.data != NULL))
		rv = change_all(request, session, followers, count, names, &done);
	return rv != CKR_OK || !done ? rv : answer_changed(request, session, key, names);
}

void resource_key_change(struct request *request)
{
	BODY_AUTO json_t *body = NULL;
	struct names names;
	if (!body_read(request, SCHEMA_KeyChange, &body) ||
		!key_names_read_label(request, body_text(body, "label"), &names.label) ||
		!key_names_read_id(request, body_text(body, "id"), &names.id))
		return;
	key_state_with(request, change, &names, "The key could not be changed; nothing of it was.");
}
