#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/worker/resources/answer.h"
#include "server/worker/resources/attribute.h"
#include "server/worker/resources/key.h"
#include "server/worker/resources/key_cache.h"

enum { FIND_BATCH = 256 }; /* handles asked for at once */

struct handles {
	CK_OBJECT_HANDLE *items;
	size_t count, capacity;
};

static bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static CK_RV handles_grow(struct request *request, struct handles *handles)
{
	size_t capacity = handles->capacity == 0 ? 16 : handles->capacity * 4;
	CK_OBJECT_HANDLE *items = arena_array(request->arena, capacity, sizeof *items);
	if (items == NULL)
		return CKR_HOST_MEMORY;
	if (handles->count > 0)
		memcpy(items, handles->items, handles->count * sizeof *items);
	handles->items = items;
	handles->capacity = capacity;
	return CKR_OK;
}

static CK_RV collect(struct request *request, CK_SESSION_HANDLE session, struct handles *handles)
{
	for (;;) {
		if (handles->count == handles->capacity) {
			CK_RV grown = handles_grow(request, handles);
			if (grown != CKR_OK)
				return grown;
		}
		CK_ULONG room = handles->capacity - handles->count, found = 0;
		union wire_value v[] = {
			{.number = session}, {.found = {handles->items + handles->count, room, &found}}};
		CK_RV rv = invoke(request, CALL_FindObjects, v);
		if (rv != CKR_OK)
			return rv;
		if (found > room)
			return CKR_DEVICE_ERROR;
		handles->count += found;
		if (found < room)
			return CKR_OK;
		if (handles->count > KEY_OBJECTS_MAX)
			return CKR_DATA_LEN_RANGE;
	}
}

static CK_RV find_objects(
	struct request *request, CK_SESSION_HANDLE session, const struct key_query *query, struct handles *ret_handles)
{
	CK_ATTRIBUTE template[3];
	CK_OBJECT_CLASS class = query->class;
	CK_ULONG count = 0;
	if (query->label.data != NULL)
		template[count++] = (CK_ATTRIBUTE){CKA_LABEL, (void *)query->label.data, query->label.len};
	if (query->id.data != NULL)
		template[count++] = (CK_ATTRIBUTE){CKA_ID, (void *)query->id.data, query->id.len};
	if (query->class != CK_UNAVAILABLE_INFORMATION)
		template[count++] = (CK_ATTRIBUTE){CKA_CLASS, &class, sizeof class};
	union wire_value v[] = {{.number = session}, {.attributes = {template, count}}};
	CK_RV rv = invoke(request, CALL_FindObjectsInit, v);
	if (rv == CKR_OK) {
		rv = collect(request, session, ret_handles);
		CK_RV final = invoke(request, CALL_FindObjectsFinal, v);
		rv = rv != CKR_OK ? rv : final;
	}
	if (rv != CKR_OK)
		session_spoil(request, session);
	return rv;
}

/* Reads what identifies a key. *ret_is_key is false for certificates, data and what vanished since the search. */
static CK_RV read_key(struct request *request, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, struct key *ret_key,
	bool *ret_is_key)
{
	static const CK_ATTRIBUTE_TYPE types[] = {
		CKA_CLASS, CKA_KEY_TYPE, CKA_LABEL, CKA_ID, CKA_ALWAYS_AUTHENTICATE, CKA_EC_PARAMS};
	struct bytes values[sizeof types / sizeof types[0]];
	CK_RV rv = attribute_read(request, session, object, types, sizeof types / sizeof types[0], values);
	*ret_is_key = false;
	if (rv != CKR_OK)
		return rv == CKR_OBJECT_HANDLE_INVALID ? CKR_OK : rv;
	CK_OBJECT_CLASS class = attribute_ulong(values[0], CK_UNAVAILABLE_INFORMATION);
	if (class != CKO_PRIVATE_KEY && class != CKO_PUBLIC_KEY && class != CKO_SECRET_KEY)
		return CKR_OK;
	static const struct bytes empty = {(const unsigned char *)"", 0};
	*ret_key = (struct key){
		.object = object,
		.public_object = class == CKO_PUBLIC_KEY ? object : CK_INVALID_HANDLE,
		.class = class,
		.type = attribute_ulong(values[1], CK_UNAVAILABLE_INFORMATION),
		.label = values[2].data == NULL ? empty : values[2],
		.id = values[3].data == NULL ? empty : values[3],
		.always_authenticate = class == CKO_PRIVATE_KEY && attribute_flag(values[4], false),
		.curve = curve_of_params(values[5]),
	};
	ret_key->by_policy = class == CKO_PRIVATE_KEY && !ret_key->always_authenticate &&
			     forced_login_demanded(request, object);
	ret_key->always_authenticate = ret_key->always_authenticate || ret_key->by_policy;
	*ret_is_key = true;
	return CKR_OK;
}

static int half_rank(const struct key *key)
{
	return key->class == CKO_PRIVATE_KEY ? 0 : key->class == CKO_PUBLIC_KEY ? 1 : 2;
}

/* Groups a pair's halves side by side, the private one first. */
static int compare_halves(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	size_t len = x->id.len < y->id.len ? x->id.len : y->id.len;
	int order = memcmp(x->id.data, y->id.data, len);
	if (order == 0 && x->id.len != y->id.len)
		order = x->id.len < y->id.len ? -1 : 1;
	if (order == 0 && x->type != y->type)
		order = x->type < y->type ? -1 : 1;
	return order != 0 ? order : half_rank(x) - half_rank(y);
}

/* Whether a public key is the other half of a private one: same type and CKA_ID; without CKA_ID, the same label. */
static bool is_half_of(const struct key *public_key, const struct key *private_key)
{
	return public_key->class == CKO_PUBLIC_KEY && private_key->class == CKO_PRIVATE_KEY &&
	       public_key->type == private_key->type && bytes_equal(public_key->id, private_key->id) &&
	       (public_key->id.len > 0 || bytes_equal(public_key->label, private_key->label));
}

static void merge_pairs(struct key_list *list)
{
	size_t kept = 0;
	qsort(list->items, list->count, sizeof *list->items, compare_halves);
	for (size_t i = 0; i < list->count; i++) {
		struct key *half = &list->items[i], *private_key = NULL;
		/*
		 * The private halves of this type and CKA_ID stand directly before; there are several only without
		 * CKA_ID.
		 */
		for (size_t k = kept;
			k-- > 0 && list->items[k].type == half->type && bytes_equal(list->items[k].id, half->id);)
			if (list->items[k].public_object == CK_INVALID_HANDLE && is_half_of(half, &list->items[k]))
				private_key = &list->items[k];
		if (private_key != NULL)
			private_key->public_object = half->object;
		else
			list->items[kept++] = *half;
	}
	list->count = kept;
}

static CK_RV token_matches(struct request *request, const struct key_query *query, bool *ret_matches)
{
	CK_TOKEN_INFO token;
	union wire_value v[] = {{.number = module_slot(request->worker)}, {.info = &token}};
	CK_RV rv = invoke(request, CALL_GetTokenInfo, v);
	if (rv == CKR_OK)
		*ret_matches = pkcs11_uri_matches_token(&query->uri, &token);
	return rv;
}

CK_RV key_search(
	struct request *request, CK_SESSION_HANDLE session, const struct key_query *query, struct key_list *ret_list)
{
	struct handles handles = {0};
	struct key_list list = {0};
	bool matches = true;
	CK_RV rv = query->by_uri ? token_matches(request, query, &matches) : CKR_OK;
	if (rv == CKR_OK && matches)
		rv = find_objects(request, session, query, &handles);
	if (rv != CKR_OK)
		return rv;
	list.items = arena_array(request->arena, handles.count, sizeof *list.items);
	if (list.items == NULL)
		return CKR_HOST_MEMORY;
	for (size_t i = 0; i < handles.count; i++) {
		bool is_key;
		rv = read_key(request, session, handles.items[i], &list.items[list.count], &is_key);
		if (rv != CKR_OK)
			return rv;
		list.count += is_key;
	}
	merge_pairs(&list);
	*ret_list = list;
	return CKR_OK;
}

/* The one object of `class` that belongs to `key` by type and CKA_ID, or by label where there is no CKA_ID. */
static CK_RV find_half(struct request *request, CK_SESSION_HANDLE session, const struct key *key, CK_OBJECT_CLASS class,
	struct key_list *ret_list)
{
	struct key_query query = {.class = class};
	if (key->id.len > 0)
		query.id = key->id;
	else
		query.label = key->label;
	CK_RV rv = key_search(request, session, &query, ret_list);
	size_t kept = 0;
	for (size_t i = 0; rv == CKR_OK && i < ret_list->count; i++)
		if (ret_list->items[i].type == key->type)
			ret_list->items[kept++] = ret_list->items[i];
	ret_list->count = kept;
	return rv;
}

CK_RV key_find_public(struct request *request, CK_SESSION_HANDLE session, struct key *key)
{
	struct key_list halves = {0};
	if (key->class != CKO_PRIVATE_KEY || key->public_object != CK_INVALID_HANDLE)
		return CKR_OK;
	CK_RV rv = find_half(request, session, key, CKO_PUBLIC_KEY, &halves);
	if (rv == CKR_OK && halves.count == 1)
		key->public_object = halves.items[0].object;
	return rv;
}

CK_RV key_prefer_private(struct request *request, CK_SESSION_HANDLE session, struct key *key)
{
	struct key_list halves = {0};
	if (key->class != CKO_PUBLIC_KEY || key->id.len == 0)
		return CKR_OK;
	CK_RV rv = find_half(request, session, key, CKO_PRIVATE_KEY, &halves);
	if (rv == CKR_OK && halves.count == 1) {
		halves.items[0].public_object = key->object;
		*key = halves.items[0];
	}
	return rv;
}

static bool token_wants_login(struct request *request)
{
	CK_TOKEN_INFO token = {.flags = 0};
	union wire_value v[] = {{.number = module_slot(request->worker)}, {.info = &token}};
	return invoke(request, CALL_GetTokenInfo, v) != CKR_OK || (token.flags & CKF_LOGIN_REQUIRED) != 0;
}

bool key_login_missing(struct request *request)
{
	return login_state(request->worker) != LOGIN_USER && token_wants_login(request);
}

void key_refuse_missing(struct request *request, const char *detail)
{
	if (key_login_missing(request))
		reply_return(request, CKR_USER_NOT_LOGGED_IN,
			"No such key is visible without a login; private keys show after it.");
	else
		reply_problem(request, PROBLEM_KEY_NOT_FOUND, detail, NULL);
}

/* True if no other key of the list, and so none that matches the query, has all names of `key`. */
static bool has_names_of_its_own(const struct key_list *list, const struct key *key)
{
	bool own = key->label.len > 0 || key->id.len > 0;
	for (size_t i = 0; i < list->count && own; i++)
		own = &list->items[i] == key || !key_uri_names(key, &list->items[i]);
	return own;
}

static void write_candidate(
	struct request *request, const struct key_list *list, const struct key *key, struct json_writer *w)
{
	const char *uri = has_names_of_its_own(list, key) ? key_uri(request, key) : NULL;
	const char *href = uri != NULL ? key_uri_href(request, uri) : NULL;
	json_begin_object(w);
	key_write_names(request, w, key);
	json_name(w, "class");
	json_write_string(w, key_class_name(key));
	if (href != NULL) {
		json_name(w, "uri");
		json_write_string(w, uri);
		json_name(w, "href");
		json_write_string(w, href);
	}
	json_end_object(w);
}

void key_refuse_ambiguous(struct request *request, const struct key_list *list)
{
	struct json_writer w;
	char detail[240];
	size_t alike = 0;
	for (size_t i = 0; i < list->count; i++)
		alike += !has_names_of_its_own(list, &list->items[i]);
	if (alike == 0)
		snprintf(detail, sizeof detail, "%zu keys match; name one by the uri of its candidate.", list->count);
	else
		snprintf(detail, sizeof detail,
			"%zu keys match, and the names of %zu do not tell them from others: give each a CKA_LABEL or "
			"CKA_ID of its own with a PKCS#11 tool.",
			list->count, alike);
	reply_problem(request, PROBLEM_KEY_AMBIGUOUS, detail, NULL);
	reply_problem_open(request, &w);
	json_name(&w, "candidates");
	json_begin_array(&w);
	for (size_t i = 0; i < list->count && i < KEY_CANDIDATES_MAX; i++)
		write_candidate(request, list, &list->items[i], &w);
	json_end_array(&w);
	answer_problem_close(request, &w);
}

bool key_find(struct request *request, CK_SESSION_HANDLE session, const struct key_query *query, struct key *ret_key)
{
	struct key_list list;
	if (key_cache_find(request, query, ret_key))
		return true;
	const struct key_cache_stamp stamp = key_cache_stamp(request);
	CK_RV rv = key_search(request, session, query, &list);
	if (rv == CKR_OK && list.count == 1 && query->class != CKO_PUBLIC_KEY)
		rv = key_prefer_private(request, session, &list.items[0]);
	if (rv != CKR_OK) {
		reply_return(request, rv, "The key could not be looked up in the token.");
		return false;
	}
	if (list.count == 0) {
		key_refuse_missing(request, "No key of this token has these names; GET …/keys lists the keys.");
		return false;
	}
	if (list.count > 1) {
		key_refuse_ambiguous(request, &list);
		return false;
	}
	*ret_key = list.items[0];
	key_cache_store(query, ret_key, stamp);
	return true;
}
