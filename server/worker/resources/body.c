#include "server/worker/resources/body.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/base64url.h"
#include "api/codec.h"
#include "api/decimal.h"
#include "api/limits.h"
#include "api/route.h"
#include "server/worker/resources/parameters.h"

enum { POINTER_MAX = 256, DETAIL_MAX = 512, PARAMETERS_MAX = 16 };

/* Where the check is in the body, as an RFC 6901 pointer, and the first thing found wrong. */
struct check {
	struct request *request;
	char pointer[POINTER_MAX];
	size_t pointer_len;
	char detail[DETAIL_MAX];
	bool octets; /* the body is the content itself, which JSON's null stands for, and the query has the rest */
};

static void pointer_append(struct check *check, char c)
{
	if (check->pointer_len + 1 < sizeof check->pointer)
		check->pointer[check->pointer_len++] = c;
	check->pointer[check->pointer_len] = '\0';
}

static void pointer_push(struct check *check, const char *name)
{
	pointer_append(check, '/');
	for (; *name != '\0'; name++) {
		if (*name == '~' || *name == '/') {
			pointer_append(check, '~');
			pointer_append(check, *name == '~' ? '0' : '1');
		} else {
			pointer_append(check, *name);
		}
	}
}

static void pointer_push_index(struct check *check, size_t index)
{
	char text[24];
	snprintf(text, sizeof text, "%zu", index);
	pointer_push(check, text);
}

static void pointer_cut(struct check *check, size_t len)
{
	check->pointer_len = len;
	check->pointer[len] = '\0';
}

static bool wrong(struct check *check, const char *detail)
{
	snprintf(check->detail, sizeof check->detail, "%s", detail);
	return false;
}

static bool check_object(struct check *check, const json_t *object, const struct schema_row *row);

static bool check_text(struct check *check, const json_t *value, size_t max)
{
	if (!json_is_string(value))
		return wrong(check, "a string is expected here");
	if (json_string_length(value) == 0)
		return wrong(check, "the string is empty");
	if (json_string_length(value) > max) {
		snprintf(check->detail, sizeof check->detail, "the string is longer than %zu bytes", max);
		return false;
	}
	return true;
}

static bool check_base64url(struct check *check, const json_t *value)
{
	if (!json_is_string(value))
		return wrong(check, "a string of base64url is expected here");
	size_t len = json_string_length(value), decoded_len;
	unsigned char *decoded = arena_alloc(check->request->arena, base64url_decoded_max(len));
	if (decoded == NULL)
		return wrong(check, "the value is too long");
	if (!base64url_decode(decoded, &decoded_len, json_string_value(value), len))
		return wrong(check, "the string is not base64url (RFC 4648, section 5)");
	return true;
}

static bool check_enum(struct check *check, const json_t *value, const struct schema_member *member)
{
	if (json_is_string(value) && schema_member_allows(member, json_string_value(value), json_string_length(value)))
		return true;
	snprintf(check->detail, sizeof check->detail, "one of these is expected here: %s", member->detail);
	return false;
}

static bool check_list(struct check *check, const json_t *list, const struct schema_member *member)
{
	if (!json_is_array(list))
		return wrong(check, "an array is expected here");
	if (json_array_size(list) > BODY_LIST_MAX) {
		snprintf(check->detail, sizeof check->detail, "the array has more than %d elements", BODY_LIST_MAX);
		return false;
	}
	enum member_type item = schema_member_item(member);
	size_t mark = check->pointer_len;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *value = json_array_get(list, i);
		pointer_push_index(check, i);
		if (item == MEMBER_OBJECT && !check_object(check, value, schema_member_row(member)))
			return false;
		if (item == MEMBER_TEXT && !check_text(check, value, BODY_TEXT_MAX))
			return false;
		pointer_cut(check, mark);
	}
	return true;
}

static bool check_mechanism(struct check *check, const json_t *value)
{
	return json_is_object(value) || check_text(check, value, BODY_TEXT_MAX);
}

static bool check_value(struct check *check, const json_t *value, const struct schema_member *member)
{
	switch (member->type) {
	case MEMBER_TEXT: return check_text(check, value, BODY_TEXT_MAX);
	case MEMBER_PIN: return check_text(check, value, LIMIT_PIN);
	case MEMBER_SECRET: return check_text(check, value, BODY_SECRET_MAX);
	case MEMBER_BASE64URL: return check_base64url(check, value);
	case MEMBER_CONTENT: return (check->octets && json_is_null(value)) || check_base64url(check, value);
	case MEMBER_MECHANISM: return check_mechanism(check, value);
	case MEMBER_ENUM: return check_enum(check, value, member);
	case MEMBER_UINT:
		return (json_is_integer(value) && json_integer_value(value) >= 0) ||
		       wrong(check, "a non-negative integer is expected here");
	case MEMBER_BOOL: return json_is_boolean(value) || wrong(check, "true or false is expected here");
	case MEMBER_OBJECT: return check_object(check, value, schema_member_row(member));
	case MEMBER_LIST: return check_list(check, value, member);
	case MEMBER_ANY: return true;
	}
	return wrong(check, "the value cannot be judged");
}

static bool check_object(struct check *check, const json_t *object, const struct schema_row *row)
{
	if (!json_is_object(object))
		return wrong(check, "an object is expected here");
	size_t mark = check->pointer_len;
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)object, name, value)
	{
		const struct schema_member *member = schema_member(row, name, strlen(name));
		pointer_push(check, name);
		if (member == NULL)
			return wrong(check, "there is no such member");
		if (!check_value(check, value, member))
			return false;
		pointer_cut(check, mark);
	}
	for (size_t i = 0; i < row->member_count; i++) {
		if (row->members[i].required && json_object_get(object, row->members[i].name) == NULL) {
			pointer_push(check, row->members[i].name);
			return wrong(check, "the member is missing");
		}
	}
	return true;
}

bool body_is_octets(const struct request *request)
{
	static const char octets[] = "application/octet-stream";
	const char *type = request->message->content_type;
	size_t len = strcspn(type, "; \t");
	return len == sizeof octets - 1 && strncasecmp(type, octets, len) == 0;
}

void body_refuse(struct request *request, const char *pointer, const char *detail)
{
	reply_problem(request, body_is_octets(request) ? PROBLEM_INVALID_QUERY : PROBLEM_INVALID_BODY, detail, pointer);
}

static bool is_taken(const struct request *request)
{
	const char *type = request->message->content_type;
	return type[0] == '\0' || route_takes(route_row(request->message->route), type, strlen(type));
}

/* A parameter's text as the JSON that the member would be; text that is none of its type stays a string, for the check to refuse. */
static json_t *parameter_value(const struct schema_member *member, const char *text)
{
	uint64_t number;
	if (member->type == MEMBER_UINT && decimal_parse(text, strlen(text), &number) && number <= INT64_MAX)
		return json_integer((json_int_t)number);
	if (member->type == MEMBER_BOOL && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
		return json_boolean(strcmp(text, "true") == 0);
	return json_string(text);
}

/* The object that the query and the content make. False: the reply is complete. */
static bool read_octets(struct request *request, const struct schema_row *row, json_t *ret_body)
{
	struct parameter parameters[PARAMETERS_MAX];
	const struct schema_member *members[PARAMETERS_MAX];
	size_t count = 0;
	int failed = json_object_set_new(ret_body, schema_content(row)->name, json_null());
	for (size_t i = 0; i < row->member_count && count < PARAMETERS_MAX; i++) {
		if (!schema_member_in_query(&row->members[i]))
			continue;
		parameters[count].name = row->members[i].name;
		members[count++] = &row->members[i];
	}
	if (!parameters_read(request, parameters, count))
		return false;
	for (size_t i = 0; i < count; i++)
		if (parameters[i].value != NULL)
			failed |= json_object_set_new(
				ret_body, parameters[i].name, parameter_value(members[i], parameters[i].value));
	if (failed == 0)
		return true;
	reply_return(request, CKR_HOST_MEMORY, "The request needs more memory than a request may take.");
	return false;
}

/* NULL: the reply is complete. */
static json_t *read_json(struct request *request)
{
	const struct bytes *text = &request->message->body;
	const char *error;
	size_t offset;
	char detail[DETAIL_MAX];
	if (!json_validate((const char *)text->data, text->len, &error, &offset)) {
		snprintf(detail, sizeof detail, "not acceptable JSON at byte %zu: %s", offset, error);
		body_refuse(request, NULL, detail);
		return NULL;
	}
	json_t *body = json_loadb((const char *)text->data, text->len, JSON_REJECT_DUPLICATES, NULL);
	/* jansson's own message may quote the text, and the text may hold a PIN. */
	if (body == NULL)
		body_refuse(request, NULL, "not acceptable JSON: an object is expected");
	return body;
}

/* False: the reply is complete. */
static bool check_type(struct request *request, const struct schema_row *row, bool octets)
{
	bool content = schema_content(row) != NULL;
	if (octets ? !content : !is_taken(request)) {
		char detail[DETAIL_MAX];
		snprintf(detail, sizeof detail, "Content-Type: %s%s",
			route_body_type(route_row(request->message->route), 0),
			content ? " or application/octet-stream" : "");
		reply_problem(request, PROBLEM_UNSUPPORTED_MEDIA_TYPE, detail, NULL);
		return false;
	}
	/* What stands there was meant for something, and must not be passed over. */
	if (content && !octets && request->message->query[0] != '\0') {
		reply_problem(request, PROBLEM_INVALID_QUERY,
			"The members of a JSON body stand in it; only a body of application/octet-stream takes a "
			"query.",
			NULL);
		return false;
	}
	return true;
}

bool body_read(struct request *request, enum schema_id schema, json_t **ret_body)
{
	const struct schema_row *row = schema_row(schema);
	bool octets = body_is_octets(request);
	if (!check_type(request, row, octets))
		return false;
	BODY_AUTO json_t *body = octets ? json_object() : read_json(request);
	if (body == NULL || (octets && !read_octets(request, row, body)))
		return false;
	struct check check = {.request = request, .octets = octets};
	if (!check_object(&check, body, row)) {
		body_refuse(request, check.pointer, check.detail);
		return false;
	}
	*ret_body = body;
	body = NULL;
	return true;
}

void body_done(json_t **body)
{
	json_decref(*body);
	*body = NULL;
}

const json_t *body_member(const json_t *object, const char *name)
{
	return json_object_get(object, name);
}

bool body_has(const json_t *object, const char *name)
{
	return json_object_get(object, name) != NULL;
}

const char *body_text(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

bool body_flag(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

uint64_t body_number(const json_t *object, const char *name, uint64_t absent)
{
	const json_t *value = json_object_get(object, name);
	return value == NULL ? absent : (uint64_t)json_integer_value(value);
}

bool body_bytes(struct request *request, const json_t *object, const char *name, struct bytes *ret_bytes)
{
	const json_t *value = json_object_get(object, name);
	if (value == NULL) {
		*ret_bytes = (struct bytes){NULL, 0};
		return true;
	}
	if (json_is_null(value)) {
		*ret_bytes = request->message->body;
		if (ret_bytes->data == NULL)
			*ret_bytes = (struct bytes){(const unsigned char *)"", 0};
		return true;
	}
	size_t len = json_string_length(value), decoded_len;
	unsigned char *decoded = arena_alloc(request->arena, base64url_decoded_max(len));
	if (decoded == NULL || !base64url_decode(decoded, &decoded_len, json_string_value(value), len)) {
		reply_return(request, CKR_HOST_MEMORY, "The request needs more memory than a request may take.");
		return false;
	}
	*ret_bytes = (struct bytes){decoded, decoded_len};
	return true;
}

static CK_RV refuse_handle(void *context, CK_OBJECT_HANDLE *handle)
{
	(void)context;
	(void)handle;
	return CKR_MECHANISM_PARAM_INVALID;
}

/* The codec's own reader of the object, whose first member has to be the name. False: the reply is complete. */
static bool read_mechanism(struct request *request, const json_t *object, const char *pointer, CK_MECHANISM **ret)
{
	struct json_reader in;
	char detail[DETAIL_MAX];
	json_t *ordered = json_object();
	if (json_object_get(object, "mechanism") != NULL)
		(void)json_object_set(ordered, "mechanism", json_object_get(object, "mechanism"));
	char *text = json_object_update_missing(ordered, (json_t *)object) == 0 ? json_dumps(ordered, JSON_COMPACT)
										: NULL;
	json_decref(ordered);
	const char *copy = text != NULL ? arena_copy(request->arena, text, strlen(text)) : NULL;
	free(text);
	if (copy == NULL) {
		reply_return(request, CKR_HOST_MEMORY, "The request needs more memory than a request may take.");
		return false;
	}
	json_reader_init(&in, copy, strlen(copy), request->arena);
	if (mechanism_decode(&in, ret))
		return true;
	snprintf(detail, sizeof detail, "the mechanism cannot be read: %s", in.error);
	body_refuse(request, pointer, detail);
	return false;
}

bool body_mechanism(struct request *request, const json_t *object, const char *name, CK_MECHANISM *ret_mechanism)
{
	const json_t *value = json_object_get(object, name);
	const char *text = json_string_value(value);
	CK_MECHANISM *read = NULL;
	char pointer[80];
	snprintf(pointer, sizeof pointer, "/%s", name);
	*ret_mechanism = (CK_MECHANISM){0};
	if (text != NULL) {
		if (name_number(NAMES_MECHANISM, (struct json_text){text, strlen(text)}, &ret_mechanism->mechanism))
			return true;
		reply_return_at(request, CKR_MECHANISM_INVALID,
			"There is no mechanism of that name; write CKM_… or 0x….", pointer);
		return false;
	}
	if (!read_mechanism(request, value, pointer, &read))
		return false;
	*ret_mechanism = *read;
	/* A handle is the worker's own, and a client of the resource routes has none. */
	if (mechanism_visit_handles(ret_mechanism, refuse_handle, NULL) == CKR_OK)
		return true;
	snprintf(pointer, sizeof pointer, "/%s/parameter", name);
	reply_return_at(request, CKR_MECHANISM_PARAM_INVALID, "Keys cannot be named in a parameter here.", pointer);
	return false;
}
