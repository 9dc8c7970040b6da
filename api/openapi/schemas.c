#include "api/openapi/internal.h"

#include <string.h>

/* Whether a request body is, or holds, an object of this schema: then unknown members are refused. */
static bool in_requests(const struct schema_row *row)
{
	for (enum route_id id = 0; id < ROUTE_COUNT; id++)
		if (route_row(id)->request == row->id)
			return true;
	for (enum schema_id id = 0; id < SCHEMA_COUNT; id++) {
		const struct schema_row *outer = schema_row(id);
		for (size_t i = 0; outer != NULL && i < outer->member_count; i++)
			if (outer != row && schema_member_row(&outer->members[i]) == row && in_requests(outer))
				return true;
	}
	return false;
}

static void enum_values(struct json_writer *w, const char *values)
{
	json_name(w, "enum");
	json_begin_array(w);
	while (*values != '\0') {
		size_t len = strcspn(values, " ");
		json_write_text(w, values, len);
		values += len;
		values += strspn(values, " ");
	}
	json_end_array(w);
}

static void list_items(struct json_writer *w, const struct schema_member *list)
{
	const struct schema_row *row = schema_member_row(list);

	json_name(w, "items");
	if (row != NULL)
		write_reference(w, "schemas", row->name, NULL);
	else
		write_fixed(w, schema_member_item(list) == MEMBER_TEXT ? "{'type':'string'}" : "{}");
}

static void member_type(struct json_writer *w, const struct schema_member *m, bool request)
{
	switch (m->type) {
	case MEMBER_TEXT: put(w, "type", m->nullable ? "['string','null']" : "'string'"); break;
	case MEMBER_BASE64URL:
	case MEMBER_CONTENT:
		put(w, "type", "'string'");
		put(w, "pattern", request ? "'^[A-Za-z0-9_+/-]*={0,2}$'" : "'^[A-Za-z0-9_-]*$'");
		break;
	case MEMBER_MECHANISM: put(w, "oneOf", "[{'type':'string'}," REF("Mechanism") "]"); break;
	case MEMBER_UINT:
		put(w, "type", "'integer'");
		put(w, "minimum", "0");
		break;
	case MEMBER_BOOL: put(w, "type", "'boolean'"); break;
	case MEMBER_PIN:
	case MEMBER_SECRET:
		put(w, "type", "'string'");
		put(w, "format", "'password'");
		break;
	case MEMBER_ENUM:
		put(w, "type", "'string'");
		enum_values(w, m->detail);
		break;
	case MEMBER_LIST:
		put(w, "type", "'array'");
		list_items(w, m);
		break;
	case MEMBER_OBJECT:
		json_name(w, "oneOf");
		json_begin_array(w);
		write_reference(w, "schemas", m->detail, NULL);
		write_fixed(w, "{'type':'null'}");
		json_end_array(w);
		break;
	case MEMBER_ANY: break;
	}
}

void schema_type_write(struct json_writer *w, const struct schema_member *member)
{
	if (member->type == MEMBER_MECHANISM)
		put(w, "type", "'string'");
	else
		member_type(w, member, true);
}

static void schema_property(struct json_writer *w, const struct schema_member *m, bool request)
{
	json_name(w, m->name);
	if (m->type == MEMBER_OBJECT && !m->nullable) {
		write_reference(w, "schemas", m->detail, m->description);
		return;
	}
	json_begin_object(w);
	member_type(w, m, request);
	put_text(w, "description", m->description);
	json_end_object(w);
}

static void schema_write(struct json_writer *w, const struct schema_row *row)
{
	bool request = in_requests(row);

	put_object(w, row->name);
	put_text(w, "description", row->description);
	put(w, "type", "'object'");
	put_object(w, "properties");
	for (size_t i = 0; i < row->member_count; i++)
		schema_property(w, &row->members[i], request);
	json_end_object(w);
	json_name(w, "required");
	json_begin_array(w);
	for (size_t i = 0; i < row->member_count; i++)
		if (row->members[i].required)
			json_write_string(w, row->members[i].name);
	json_end_array(w);
	if (request)
		put(w, "additionalProperties", "false");
	json_end_object(w);
}

void schemas_write(struct json_writer *w)
{
	for (enum schema_id id = 0; id < SCHEMA_COUNT; id++)
		if (schema_row(id) != NULL)
			schema_write(w, schema_row(id));
}
