#include <stdlib.h>
#include <string.h>

#include "api/base64url.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/key_state.h"
#include "server/worker/resources/parameters.h"
#include "server/worker/resources/resource.h"

enum { PAGE_DEFAULT = 100, PAGE_MAX = 1000 }; /* keys in one answer */

/* The order of the list, which a cursor is a place in: label, CKA_ID, type, class. */
static int compare_bytes(struct bytes a, struct bytes b)
{
	int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_keys(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int order = compare_bytes(x->label, y->label);
	if (order == 0)
		order = compare_bytes(x->id, y->id);
	if (order == 0)
		order = (x->type > y->type) - (x->type < y->type);
	return order != 0 ? order : (x->class > y->class) - (x->class < y->class);
}

/* A cursor is base64url of: length of the label (4 bytes), label, type and class (8 bytes each), CKA_ID. */
enum { CURSOR_NUMBERS = 2 * sizeof(uint64_t) };

static const char *cursor_of(struct request *request, const struct key *key)
{
	uint32_t label_len = (uint32_t)key->label.len;
	uint64_t numbers[2] = {key->type, key->class};
	size_t len = sizeof label_len + key->label.len + sizeof numbers + key->id.len;
	unsigned char *packed = arena_alloc(request->arena, len), *at = packed;
	char *text = arena_alloc(request->arena, base64url_encoded_len(len) + 1);
	if (packed == NULL || text == NULL)
		return NULL;
	at = (unsigned char *)mempcpy(at, &label_len, sizeof label_len);
	at = (unsigned char *)mempcpy(at, key->label.data, key->label.len);
	at = (unsigned char *)mempcpy(at, numbers, sizeof numbers);
	memcpy(at, key->id.data, key->id.len);
	base64url_encode(text, packed, len);
	return text;
}

static bool cursor_read(struct request *request, const char *text, struct key *ret_key)
{
	size_t len = strlen(text);
	uint32_t label_len;
	uint64_t numbers[2];
	unsigned char *packed = arena_alloc(request->arena, base64url_decoded_max(len) + 1);
	if (packed == NULL || !base64url_decode(packed, &len, text, len) || len < sizeof label_len + sizeof numbers)
		return false;
	memcpy(&label_len, packed, sizeof label_len);
	if (label_len > len - sizeof label_len - sizeof numbers)
		return false;
	const unsigned char *rest = packed + sizeof label_len + label_len;
	memcpy(numbers, rest, sizeof numbers);
	*ret_key = (struct key){
		.label = {packed + sizeof label_len, label_len},
		.type = numbers[0],
		.class = numbers[1],
		.id = {rest + sizeof numbers, len - sizeof label_len - label_len - sizeof numbers},
	};
	return true;
}

struct page {
	size_t limit;
	bool after;
	struct key cursor;
};

static bool page_read(struct request *request, struct page *ret_page)
{
	struct parameter parameters[] = {{"limit", NULL}, {"cursor", NULL}};
	*ret_page = (struct page){.limit = PAGE_DEFAULT};
	if (!parameters_read(request, parameters, 2))
		return false;
	if (parameters[0].value != NULL) {
		char *end;
		unsigned long limit = strtoul(parameters[0].value, &end, 10);
		bool digits = parameters[0].value[0] >= '0' && parameters[0].value[0] <= '9' && *end == '\0';
		if (!digits || limit == 0 || limit > PAGE_MAX) {
			reply_problem(request, PROBLEM_INVALID_QUERY, "limit is a number from 1 to 1000.", NULL);
			return false;
		}
		ret_page->limit = limit;
	}
	if (parameters[1].value != NULL) {
		ret_page->after = true;
		if (!cursor_read(request, parameters[1].value, &ret_page->cursor)) {
			reply_problem(request, PROBLEM_INVALID_QUERY,
				"cursor is not one that this gateway has given; begin again without it.", NULL);
			return false;
		}
	}
	return true;
}

/* The list is sorted by label, so keys of one label stand together. */
static enum key_reference reference_in(const struct key_list *list, size_t i)
{
	bool same_before = i > 0 && compare_bytes(list->items[i - 1].label, list->items[i].label) == 0;
	bool same_behind = i + 1 < list->count && compare_bytes(list->items[i + 1].label, list->items[i].label) == 0;
	return same_before || same_behind ? KEY_BY_ID : KEY_BY_LABEL;
}

static CK_RV write_page(
	struct request *request, CK_SESSION_HANDLE session, struct key_list *list, const struct page *page)
{
	struct json_writer w;
	size_t i = 0, end;
	const char *next = NULL;
	qsort(list->items, list->count, sizeof *list->items, compare_keys);
	while (page->after && i < list->count && compare_keys(&list->items[i], &page->cursor) <= 0)
		i++;
	end = list->count - i > page->limit ? i + page->limit : list->count;
	answer_begin(request, 200, "application/json", &w);
	json_begin_object(&w);
	json_name(&w, "keys");
	json_begin_array(&w);
	for (; i < end; i++) {
		CK_RV rv = key_write(request, session, &list->items[i], reference_in(list, i), &w);
		if (rv != CKR_OK)
			return rv;
	}
	json_end_array(&w);
	if (end < list->count && (next = cursor_of(request, &list->items[end - 1])) == NULL)
		return CKR_HOST_MEMORY;
	json_name(&w, "next");
	if (next != NULL)
		json_write_string(&w, next);
	else
		json_write_null(&w);
	json_end_object(&w);
	answer_end(request);
	return CKR_OK;
}

void resource_keys(struct request *request)
{
	struct page page;
	struct key_list list;
	CK_SESSION_HANDLE session;
	const struct key_query everything = {.class = CK_UNAVAILABLE_INFORMATION};
	if (!page_read(request, &page))
		return;
	CK_RV rv = session_lend(request, &session);
	if (rv != CKR_OK) {
		reply_return(request, rv, "No session with the token could be opened.");
		return;
	}
	rv = key_search(request, session, &everything, &list);
	if (rv == CKR_OK)
		rv = write_page(request, session, &list, &page);
	session_give_back(request, session, rv == CKR_OK);
	if (rv == CKR_DATA_LEN_RANGE)
		reply_problem(request, PROBLEM_TOO_MANY_OBJECTS, "Ask for a key by its label or id instead.", NULL);
	else if (rv != CKR_OK)
		reply_return(request, rv, "The keys could not be listed.");
}

/* As the caller named it; the path by label is then known to be unambiguous. */
static enum key_reference reference_of(const struct key_query *query)
{
	return query->id.data != NULL ? KEY_BY_ID : KEY_BY_LABEL;
}

void resource_key(struct request *request)
{
	struct key_query query;
	struct key key;
	CK_SESSION_HANDLE session;
	if (!key_query_of_path(request, &query))
		return;
	CK_RV rv = session_lend(request, &session);
	if (rv != CKR_OK) {
		reply_return(request, rv, "No session with the token could be opened.");
		return;
	}
	if (key_find(request, session, &query, &key) && (rv = key_find_public(request, session, &key)) == CKR_OK)
		rv = key_answer(request, session, 200, &key, reference_of(&query));
	session_give_back(request, session, rv == CKR_OK);
	if (rv != CKR_OK)
		reply_return(request, rv, "The key could not be read.");
}
