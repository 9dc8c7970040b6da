#include "server/worker/resources/body.h"

#include <stdio.h>
#include <string.h>

#include "api/base64url.h"
#include "api/limits.h"
#include "api/route.h"

enum { POINTER_MAX = 256, DETAIL_MAX = 512 };

/* Where the check is in the body, as an RFC 6901 pointer, and the first thing found wrong. */
struct check {
	struct request *request;
	char pointer[POINTER_MAX];
	size_t pointer_len;
	char detail[DETAIL_MAX];
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

static bool check_value(struct check *check, const json_t *value, const struct schema_member *member)
{
	switch (member->type) {
	case MEMBER_TEXT: return check_text(check, value, BODY_TEXT_MAX);
	case MEMBER_PIN: return check_text(check, value, LIMIT_PIN);
	case MEMBER_BASE64URL: return check_base64url(check, value);
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

static void refuse(struct request *request, const char *pointer, const char *detail)
{
	reply_problem(request, PROBLEM_INVALID_BODY, detail, pointer);
}

void body_refuse(struct request *request, const char *pointer, const char *detail)
{
	refuse(request, pointer, detail);
}

static bool is_taken(const struct request *request)
{
	const char *type = request->message->content_type;
	return type[0] == '\0' || route_takes(route_row(request->message->route), type, strlen(type));
}

bool body_read(struct request *request, enum schema_id schema, json_t **ret_body)
{
	const struct bytes *text = &request->message->body;
	char detail[DETAIL_MAX];
	if (!is_taken(request)) {
		snprintf(detail, sizeof detail, "Content-Type: %s",
			route_body_type(route_row(request->message->route), 0));
		reply_problem(request, PROBLEM_UNSUPPORTED_MEDIA_TYPE, detail, NULL);
		return false;
	}
	const char *error;
	size_t offset;
	if (!json_validate((const char *)text->data, text->len, &error, &offset)) {
		snprintf(detail, sizeof detail, "not acceptable JSON at byte %zu: %s", offset, error);
		refuse(request, NULL, detail);
		return false;
	}
	BODY_AUTO json_t *body = json_loadb((const char *)text->data, text->len, JSON_REJECT_DUPLICATES, NULL);
	if (body == NULL) {
		/* jansson's own message may quote the text, and the text may hold a PIN. */
		refuse(request, NULL, "not acceptable JSON: an object is expected");
		return false;
	}
	struct check check = {.request = request};
	if (!check_object(&check, body, schema_row(schema))) {
		refuse(request, check.pointer, check.detail);
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
	size_t len = json_string_length(value), decoded_len;
	unsigned char *decoded = arena_alloc(request->arena, base64url_decoded_max(len));
	if (decoded == NULL || !base64url_decode(decoded, &decoded_len, json_string_value(value), len)) {
		reply_return(request, CKR_HOST_MEMORY, "The request needs more memory than a request may take.");
		return false;
	}
	*ret_bytes = (struct bytes){decoded, decoded_len};
	return true;
}
