#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "server/worker/resources/answer.h"
#include "server/common/escape.h"
#include "server/worker/resources/key_attributes.h"
#include "server/worker/resources/key_place.h"
#include "server/worker/resources/parameters.h"
#include "server/worker/resources/resource.h"

enum {
	PAGE_DEFAULT = 100, /* keys in one answer */
	PAGE_MAX = 1000,
	PAGE_EXPANDED_MAX = 100, /* the same with all their attributes */
};

/* PARAMETER(CONSTANT, name) */
#define LIST_PARAMETERS(PARAMETER) \
	PARAMETER(LIMIT, "limit") \
	PARAMETER(CURSOR, "cursor") \
	PARAMETER(EXPAND, "expand") \
	PARAMETER(CLASS, "class") \
	PARAMETER(TYPE, "type") \
	PARAMETER(LABEL, "label") \
	PARAMETER(ID, "id")

enum list_parameter {
#define PARAMETER(constant, name) LIST_##constant,
	LIST_PARAMETERS(PARAMETER)
#undef PARAMETER
		LIST_PARAMETER_COUNT,
	LIST_FILTERS = LIST_CLASS, /* this and those behind it narrow the list */
};

struct page {
	size_t limit;
	bool after, expand;
	struct key_place place;
	const char *class, *type; /* or NULL */
	struct key_query query; /* label and id */
	const char *filter; /* what the list is narrowed by, as text */
};

static bool refuse(struct request *request, const char *detail)
{
	reply_problem(request, PROBLEM_INVALID_QUERY, detail, NULL);
	return false;
}

static bool read_limit(struct request *request, const char *text, struct page *page)
{
	char *end, detail[80];
	size_t max = page->expand ? PAGE_EXPANDED_MAX : PAGE_MAX;
	unsigned long limit = text == NULL ? PAGE_DEFAULT : strtoul(text, &end, 10);
	bool digits = text == NULL || (text[0] >= '0' && text[0] <= '9' && *end == '\0');
	page->limit = limit;
	if (digits && limit > 0 && limit <= max)
		return true;
	snprintf(detail, sizeof detail, "limit is a number from 1 to %zu%s.", max, page->expand ? " with expand" : "");
	return refuse(request, detail);
}

/* The filters one after another, each with its name; NULL without memory. */
static const char *filter_text(struct request *request, const struct parameter parameters[LIST_PARAMETER_COUNT])
{
	BUFFER_AUTO struct buffer text;
	buffer_init(&text, LIMIT_BODY);
	for (size_t i = LIST_FILTERS; i < LIST_PARAMETER_COUNT; i++) {
		if (parameters[i].value == NULL)
			continue;
		buffer_text(&text, parameters[i].name);
		buffer_byte(&text, '=');
		percent_encode(&text, parameters[i].value, strlen(parameters[i].value));
		buffer_byte(&text, '&');
	}
	return text.failed ? NULL
			   : arena_copy(request->arena, text.len > 0 ? text.data : (unsigned char *)"", text.len);
}

static bool read_filters(
	struct request *request, const struct parameter parameters[LIST_PARAMETER_COUNT], struct page *page)
{
	const char *class = parameters[LIST_CLASS].value, *label = parameters[LIST_LABEL].value;
	const char *id = parameters[LIST_ID].value;
	page->class = class;
	page->type = parameters[LIST_TYPE].value;
	if (class != NULL && strcmp(class, "private") != 0 && strcmp(class, "public") != 0 &&
		strcmp(class, "secret") != 0)
		return refuse(request, "class is private, public or secret.");
	if (label != NULL)
		page->query.label = (struct bytes){(const unsigned char *)label, strlen(label)};
	if (id != NULL && !hex_bytes(request->arena, id, &page->query.id))
		return refuse(request, "id is an even number of hexadecimal digits.");
	page->filter = filter_text(request, parameters);
	if (page->filter != NULL)
		return true;
	reply_return(request, CKR_HOST_MEMORY, "The query could not be kept.");
	return false;
}

static bool page_read(struct request *request, struct page *ret_page)
{
	struct parameter parameters[LIST_PARAMETER_COUNT] = {
#define PARAMETER(constant, name) [LIST_##constant] = {name, NULL},
		LIST_PARAMETERS(PARAMETER)
#undef PARAMETER
	};
	*ret_page = (struct page){.query = {.class = CK_UNAVAILABLE_INFORMATION}};
	if (!parameters_read(request, parameters, LIST_PARAMETER_COUNT))
		return false;
	const char *expand = parameters[LIST_EXPAND].value, *cursor = parameters[LIST_CURSOR].value;
	if (expand != NULL && strcmp(expand, "attributes") != 0)
		return refuse(request, "expand is attributes.");
	ret_page->expand = expand != NULL;
	ret_page->after = cursor != NULL;
	if (!read_limit(request, parameters[LIST_LIMIT].value, ret_page) ||
		!read_filters(request, parameters, ret_page))
		return false;
	return cursor == NULL || key_place_read(request, cursor, ret_page->filter, &ret_page->place) ||
	       refuse(request,
		       "cursor is not one that this gateway has given this application for these filters; begin again "
		       "without it.");
}

static bool same_bytes(struct bytes wanted, struct bytes have)
{
	return wanted.data == NULL || (wanted.len == have.len && memcmp(wanted.data, have.data, have.len) == 0);
}

static bool is_wanted(const struct page *page, const struct key *key)
{
	char scratch[24];
	return (page->class == NULL || strcmp(page->class, key_class_name(key)) == 0) &&
	       (page->type == NULL || strcmp(page->type, key_type_name(key, scratch)) == 0) &&
	       same_bytes(page->query.label, key->label) && same_bytes(page->query.id, key->id);
}

/* Keys as the whole list shows them: halves that a name has parted are put together again before anything is left out. */
static CK_RV search(
	struct request *request, CK_SESSION_HANDLE session, const struct page *page, struct key_list *ret_list)
{
	CK_RV rv = key_search(request, session, &page->query, ret_list);
	size_t kept = 0;
	for (size_t i = 0; rv == CKR_OK && i < ret_list->count; i++) {
		struct key *key = &ret_list->items[i];
		if (page->query.label.data != NULL)
			rv = key_prefer_private(request, session, key);
		if (rv == CKR_OK && page->query.label.data != NULL)
			rv = key_find_public(request, session, key);
		if (rv == CKR_OK && is_wanted(page, key))
			ret_list->items[kept++] = *key;
	}
	if (rv == CKR_OK)
		ret_list->count = kept;
	return rv;
}

/* The list is sorted by label, so keys of one label stand together. A narrowed list does not tell who else has the label. */
static enum key_reference reference_in(const struct page *page, const struct key_list *list, size_t i)
{
	const struct bytes *label = &list->items[i].label;
	bool same_before = i > 0 && same_bytes(*label, list->items[i - 1].label);
	bool same_behind = i + 1 < list->count && same_bytes(*label, list->items[i + 1].label);
	return same_before || same_behind || *page->filter != '\0' ? KEY_BY_ID : KEY_BY_LABEL;
}

static CK_RV write_key(struct request *request, CK_SESSION_HANDLE session, struct key *key,
	enum key_reference reference, const struct page *page, struct json_writer *w)
{
	static const struct key_attributes all = {.types = NULL};
	CK_RV rv = key_write_open(request, session, key, reference, w);
	if (rv == CKR_OK && page->expand)
		rv = key_attributes_write(request, session, key, &all, w);
	json_end_object(w);
	return rv;
}

static CK_RV write_page(
	struct request *request, CK_SESSION_HANDLE session, struct key_list *list, const struct page *page)
{
	struct json_writer w;
	const char *next = NULL;
	qsort(list->items, list->count, sizeof *list->items, key_place_compare);
	size_t i = page->after ? key_place_find(list, &page->place) : 0;
	size_t end = list->count - i > page->limit ? i + page->limit : list->count;
	answer_begin(request, 200, "application/json", &w);
	json_begin_object(&w);
	json_name(&w, "keys");
	json_begin_array(&w);
	for (; i < end; i++) {
		CK_RV rv = write_key(request, session, &list->items[i], reference_in(page, list, i), page, &w);
		if (rv != CKR_OK)
			return rv;
	}
	json_end_array(&w);
	if (end < list->count && (next = key_place_cursor(request, list, end - 1, page->filter)) == NULL)
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
	if (!page_read(request, &page))
		return;
	CK_RV rv = session_lend(request, &session);
	if (rv != CKR_OK) {
		reply_return(request, rv, "No session with the token could be opened.");
		return;
	}
	rv = search(request, session, &page, &list);
	if (rv == CKR_OK)
		rv = write_page(request, session, &list, &page);
	session_give_back(request, session, rv == CKR_OK);
	if (rv == CKR_DATA_LEN_RANGE)
		reply_problem(request, PROBLEM_TOO_MANY_OBJECTS, "Ask for keys by their label or id instead.", NULL);
	else if (rv != CKR_OK)
		reply_return(request, rv, "The keys could not be listed.");
}
