#include <string.h>

#include "api/codec_internal.h"

static bool is_template(CK_ATTRIBUTE_TYPE type)
{
	const struct attribute_row *row = attribute_row(type);

	return row != NULL && row->value == ATTRIBUTE_TEMPLATE;
}

static CK_RV query_check_at(const CK_ATTRIBUTE *items, CK_ULONG count, unsigned depth)
{
	if (items == NULL)
		return count > 0 ? CKR_ARGUMENTS_BAD : CKR_OK;
	if (count > LIMIT_ATTRIBUTES)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	for (CK_ULONG i = 0; i < count; i++) {
		CK_RV rv;

		if (!is_template(items[i].type) || items[i].pValue == NULL)
			continue;
		if (depth == LIMIT_TEMPLATE_DEPTH)
			return CKR_ATTRIBUTE_VALUE_INVALID;
		rv = query_check_at(items[i].pValue, items[i].ulValueLen / sizeof(CK_ATTRIBUTE), depth + 1);
		if (rv != CKR_OK)
			return rv;
	}
	return CKR_OK;
}

CK_RV query_check(const CK_ATTRIBUTE *items, CK_ULONG count)
{
	return query_check_at(items, count, 0);
}

void query_write(struct json_writer *w, const CK_ATTRIBUTE *items, CK_ULONG count)
{
	if (items == NULL) {
		json_write_null(w);
		return;
	}
	json_begin_array(w);
	for (CK_ULONG i = 0; i < count; i++) {
		const CK_ATTRIBUTE *item = &items[i];

		json_begin_object(w);
		attribute_type_write(w, item->type);
		if (item->pValue == NULL || attribute_opaque(item->type))
			json_write_null(w);
		else if (is_template(item->type))
			query_write(w, item->pValue, item->ulValueLen / sizeof(CK_ATTRIBUTE));
		else
			json_write_uint(w, item->ulValueLen / attribute_unit(attribute_row(item->type)));
		json_end_object(w);
	}
	json_end_array(w);
}

static bool query_read_at(struct json_reader *in, unsigned depth, CK_ATTRIBUTE **ret_items, struct query **ret_queries,
	CK_ULONG *ret_count);

static bool capacity_read(struct json_reader *in, size_t unit, struct query *query)
{
	CK_ULONG count;

	if (!integer_read(in, &count))
		return false;
	if (count > LIMIT_ATTRIBUTE_VALUE / unit)
		count = LIMIT_ATTRIBUTE_VALUE / unit;
	query->capacity = count * unit;
	query->data = arena_alloc(in->arena, query->capacity);
	return query->data != NULL || json_fail(in, "the request needs too much memory");
}

static bool nested_read(struct json_reader *in, unsigned depth, struct query *query)
{
	CK_ATTRIBUTE *items;

	if (depth == LIMIT_TEMPLATE_DEPTH)
		return json_fail(in, "templates are nested too deep");
	if (!query_read_at(in, depth + 1, &items, &query->nested, &query->count))
		return false;
	query->data = items;
	query->capacity = query->count * sizeof(CK_ATTRIBUTE);
	return true;
}

static bool item_read(struct json_reader *in, unsigned depth, CK_ATTRIBUTE *item, struct query *query)
{
	const struct attribute_row *row;
	struct json_text name;
	bool good;

	if (!json_enter_object(in))
		return false;
	if (!json_next_member(in, &name))
		return json_fail(in, "an attribute has no name");
	if (!attribute_type_read(in, name, &item->type, &row))
		return false;
	if (json_peek(in) == JSON_TYPE_NULL)
		good = json_read_null(in);
	else if (attribute_opaque(item->type))
		good = json_fail(in, "the attribute's value cannot travel");
	else if (is_template(item->type))
		good = nested_read(in, depth, query);
	else
		good = capacity_read(in, attribute_unit(row), query);
	if (!good)
		return false;
	item->pValue = query->data;
	item->ulValueLen = query->capacity;
	if (json_next_member(in, &name))
		return json_fail(in, "an attribute has one name");
	return !json_failed(in);
}

static bool query_read_at(struct json_reader *in, unsigned depth, CK_ATTRIBUTE **ret_items, struct query **ret_queries,
	CK_ULONG *ret_count)
{
	void *items = NULL, *queries = NULL;
	CK_ULONG items_capacity = 0, queries_capacity = 0, count = 0;

	if (!json_enter_array(in) || !array_grow(in, &items, &items_capacity, 0, sizeof(CK_ATTRIBUTE)) ||
		!array_grow(in, &queries, &queries_capacity, 0, sizeof(struct query)))
		return false;
	while (json_next_element(in)) {
		if (count == LIMIT_ATTRIBUTES)
			return json_fail(in, "a template has too many attributes");
		if (!array_grow(in, &items, &items_capacity, count, sizeof(CK_ATTRIBUTE)) ||
			!array_grow(in, &queries, &queries_capacity, count, sizeof(struct query)) ||
			!item_read(in, depth, &((CK_ATTRIBUTE *)items)[count], &((struct query *)queries)[count]))
			return false;
		count++;
	}
	if (json_failed(in))
		return false;
	*ret_items = items;
	*ret_queries = queries;
	*ret_count = count;
	return true;
}

bool query_read(struct json_reader *in, CK_ATTRIBUTE **ret_items, struct query **ret_queries, CK_ULONG *ret_count)
{
	if (json_peek(in) != JSON_TYPE_NULL)
		return query_read_at(in, 0, ret_items, ret_queries, ret_count);
	*ret_items = NULL;
	*ret_queries = NULL;
	*ret_count = 0;
	return json_read_null(in);
}

static void length_write(struct json_writer *w, CK_ULONG len, size_t unit)
{
	json_begin_object(w);
	json_name(w, "length");
	json_write_uint(w, len / unit + (len % unit != 0));
	json_end_object(w);
}

static void nested_answer_write(struct json_writer *w, const struct query *query, CK_ULONG count);

/* The value of one attribute: its type and length are the module's, where it lies and how much of it there is are ours. */
static void item_answer_write(struct json_writer *w, CK_ATTRIBUTE_TYPE type, CK_ULONG len, const struct query *query)
{
	const struct attribute_row *row = attribute_row(type);
	size_t unit = attribute_unit(row);

	if (len == CK_UNAVAILABLE_INFORMATION)
		json_write_null(w);
	else if (query->data == NULL || len > query->capacity)
		length_write(w, len, unit);
	else if (query->nested != NULL && is_template(type))
		nested_answer_write(w, query, len / sizeof(CK_ATTRIBUTE));
	else if (query->nested != NULL || is_template(type) || attribute_opaque(type))
		json_write_null(w); /* what lies there may be pointers */
	else
		attribute_value_write(w, row, query->data, len);
}

static void nested_answer_write(struct json_writer *w, const struct query *query, CK_ULONG count)
{
	const CK_ATTRIBUTE *items = query->data;

	json_begin_array(w);
	for (CK_ULONG i = 0; i < count; i++) {
		json_begin_object(w);
		attribute_type_write(w, items[i].type);
		item_answer_write(w, items[i].type, items[i].ulValueLen, &query->nested[i]);
		json_end_object(w);
	}
	json_end_array(w);
}

void query_answer_write(struct json_writer *w, const CK_ATTRIBUTE *items, const struct query *queries, CK_ULONG count)
{
	json_begin_array(w);
	for (CK_ULONG i = 0; i < count; i++)
		item_answer_write(w, items[i].type, items[i].ulValueLen, &queries[i]);
	json_end_array(w);
}

static bool nested_answer_read(struct json_reader *in, unsigned depth, struct attribute_value *value);

static bool item_answer_read(
	struct json_reader *in, CK_ATTRIBUTE_TYPE type, unsigned depth, struct attribute_value *value)
{
	if (is_template(type) && json_peek(in) == JSON_TYPE_ARRAY)
		return nested_answer_read(in, depth, value);
	if (!attribute_value_read(in, attribute_row(type), value))
		return false;
	if (value->form == FORM_DATA && attribute_opaque(type))
		return json_fail(in, "the attribute's value cannot travel");
	return true;
}

static bool nested_answer_read(struct json_reader *in, unsigned depth, struct attribute_value *value)
{
	void *items = NULL, *types = NULL;
	CK_ULONG items_capacity = 0, types_capacity = 0, count = 0;

	if (depth == LIMIT_TEMPLATE_DEPTH)
		return json_fail(in, "templates are nested too deep");
	if (!json_enter_array(in))
		return false;
	while (json_next_element(in)) {
		const struct attribute_row *row;
		struct json_text name;

		if (!array_grow(in, &items, &items_capacity, count, sizeof(*value)) ||
			!array_grow(in, &types, &types_capacity, count, sizeof(CK_ATTRIBUTE_TYPE)) ||
			!json_enter_object(in))
			return false;
		if (!json_next_member(in, &name))
			return json_fail(in, "an attribute has no name");
		if (!attribute_type_read(in, name, &((CK_ATTRIBUTE_TYPE *)types)[count], &row) ||
			!item_answer_read(in, ((CK_ATTRIBUTE_TYPE *)types)[count], depth + 1,
				&((struct attribute_value *)items)[count]))
			return false;
		if (json_next_member(in, &name))
			return json_fail(in, "an attribute has one name");
		count++;
	}
	*value = (struct attribute_value){.form = FORM_NESTED, .nested = items, .types = types, .count = count};
	return !json_failed(in);
}

bool query_answer_read(
	struct json_reader *in, const CK_ATTRIBUTE *items, CK_ULONG count, struct attribute_value **ret_values)
{
	struct attribute_value *values = arena_array(in->arena, count, sizeof(*values));
	CK_ULONG i = 0;

	if (values == NULL)
		return json_fail(in, "the answer needs too much memory");
	if (!json_enter_array(in))
		return false;
	while (json_next_element(in)) {
		if (i == count)
			return json_fail(in, "the answer has more values than attributes");
		if (!item_answer_read(in, items[i].type, 0, &values[i]))
			return false;
		i++;
	}
	if (json_failed(in))
		return false;
	if (i != count)
		return json_fail(in, "the answer has fewer values than attributes");
	*ret_values = values;
	return true;
}

static bool nested_store(const struct attribute_value *value, CK_ATTRIBUTE *item)
{
	CK_ATTRIBUTE *items = item->pValue;
	bool fit = true;

	for (CK_ULONG i = 0; i < value->count; i++) {
		fit = query_answer_store(&value->nested[i], &items[i], 1) && fit;
		items[i].type = value->types[i];
	}
	item->ulValueLen = value->count * sizeof(CK_ATTRIBUTE);
	return fit;
}

static bool item_store(const struct attribute_value *value, CK_ATTRIBUTE *item)
{
	CK_ULONG len = value->form == FORM_NESTED ? value->count * sizeof(CK_ATTRIBUTE) : value->len;

	if (value->form == FORM_NULL) {
		item->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return true;
	}
	if (item->pValue == NULL) {
		item->ulValueLen = len;
		return true;
	}
	/* A template is only stored where the application says that it has one: elsewhere its pointers are not set. */
	if (value->form == FORM_LENGTH || len > item->ulValueLen ||
		(value->form == FORM_NESTED && !is_template(item->type))) {
		item->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return false;
	}
	if (value->form == FORM_NESTED)
		return nested_store(value, item);
	memcpy(item->pValue, value->data, len);
	item->ulValueLen = len;
	return true;
}

bool query_answer_store(const struct attribute_value *values, CK_ATTRIBUTE *items, CK_ULONG count)
{
	bool fit = true;

	for (CK_ULONG i = 0; i < count; i++)
		fit = item_store(&values[i], &items[i]) && fit;
	return fit;
}
