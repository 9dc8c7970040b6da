#include "api/codec_internal.h"

static CK_RV template_check_at(const CK_ATTRIBUTE *items, CK_ULONG count, unsigned depth);

static CK_RV value_check(const CK_ATTRIBUTE *item, unsigned depth)
{
	const struct attribute_row *row = attribute_row(item->type);

	if (attribute_opaque(item->type))
		return CKR_ATTRIBUTE_TYPE_INVALID;
	if (item->ulValueLen > LIMIT_ATTRIBUTE_VALUE || (item->pValue == NULL && item->ulValueLen > 0))
		return CKR_ATTRIBUTE_VALUE_INVALID;
	if (row == NULL || row->value != ATTRIBUTE_TEMPLATE || item->pValue == NULL)
		return CKR_OK;
	if (item->ulValueLen % sizeof(CK_ATTRIBUTE) != 0 || depth == LIMIT_TEMPLATE_DEPTH)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	return template_check_at(item->pValue, item->ulValueLen / sizeof(CK_ATTRIBUTE), depth + 1);
}

static CK_RV template_check_at(const CK_ATTRIBUTE *items, CK_ULONG count, unsigned depth)
{
	if (items == NULL)
		return count > 0 ? CKR_ARGUMENTS_BAD : CKR_OK;
	if (count > LIMIT_ATTRIBUTES)
		return CKR_ATTRIBUTE_VALUE_INVALID;
	for (CK_ULONG i = 0; i < count; i++) {
		CK_RV rv = value_check(&items[i], depth);

		if (rv != CKR_OK)
			return rv;
	}
	return CKR_OK;
}

CK_RV template_check(const CK_ATTRIBUTE *items, CK_ULONG count)
{
	return template_check_at(items, count, 0);
}

static void value_write(struct json_writer *w, const CK_ATTRIBUTE *item)
{
	const struct attribute_row *row = attribute_row(item->type);

	if (item->pValue == NULL)
		json_write_null(w);
	else if (row != NULL && row->value == ATTRIBUTE_TEMPLATE)
		template_write(w, item->pValue, item->ulValueLen / sizeof(CK_ATTRIBUTE));
	else
		attribute_value_write(w, row, item->pValue, item->ulValueLen);
}

void template_write(struct json_writer *w, const CK_ATTRIBUTE *items, CK_ULONG count)
{
	if (items == NULL) {
		json_write_null(w);
		return;
	}
	json_begin_array(w);
	for (CK_ULONG i = 0; i < count; i++) {
		json_begin_object(w);
		attribute_type_write(w, items[i].type);
		value_write(w, &items[i]);
		json_end_object(w);
	}
	json_end_array(w);
}

static bool template_read_at(struct json_reader *in, unsigned depth, CK_ATTRIBUTE **ret_items, CK_ULONG *ret_count);

static bool nested_read(struct json_reader *in, unsigned depth, CK_ATTRIBUTE *item)
{
	CK_ATTRIBUTE *items;
	CK_ULONG count;

	if (depth == LIMIT_TEMPLATE_DEPTH)
		return json_fail(in, "templates are nested too deep");
	if (!template_read_at(in, depth + 1, &items, &count))
		return false;
	item->pValue = items;
	item->ulValueLen = count * sizeof(CK_ATTRIBUTE);
	return true;
}

static bool value_read(struct json_reader *in, const struct attribute_row *row, unsigned depth, CK_ATTRIBUTE *item)
{
	struct attribute_value value;

	if (row != NULL && row->value == ATTRIBUTE_TEMPLATE)
		return nested_read(in, depth, item);
	if (!attribute_value_read(in, row, &value))
		return false;
	if (value.form == FORM_LENGTH)
		return json_fail(in, "a length is not a value");
	item->pValue = value.data;
	item->ulValueLen = value.len;
	return true;
}

static bool item_read(struct json_reader *in, unsigned depth, CK_ATTRIBUTE *item)
{
	const struct attribute_row *row;
	struct json_text name;

	if (!json_enter_object(in))
		return false;
	if (!json_next_member(in, &name))
		return json_fail(in, "an attribute has no name");
	if (!attribute_type_read(in, name, &item->type, &row))
		return false;
	if (attribute_opaque(item->type))
		return json_fail(in, "the attribute's value cannot travel");
	if (!value_read(in, row, depth, item))
		return false;
	if (json_next_member(in, &name))
		return json_fail(in, "an attribute has one name");
	return !json_failed(in);
}

static bool template_read_at(struct json_reader *in, unsigned depth, CK_ATTRIBUTE **ret_items, CK_ULONG *ret_count)
{
	void *items = NULL;
	CK_ULONG capacity = 0, count = 0;

	if (json_peek(in) == JSON_TYPE_NULL) {
		*ret_items = NULL;
		*ret_count = 0;
		return json_read_null(in);
	}
	if (!json_enter_array(in) || !array_grow(in, &items, &capacity, 0, sizeof(CK_ATTRIBUTE)))
		return false;
	while (json_next_element(in)) {
		if (count == LIMIT_ATTRIBUTES)
			return json_fail(in, "a template has too many attributes");
		if (!array_grow(in, &items, &capacity, count, sizeof(CK_ATTRIBUTE)) ||
			!item_read(in, depth, &((CK_ATTRIBUTE *)items)[count]))
			return false;
		count++;
	}
	if (json_failed(in))
		return false;
	*ret_items = items;
	*ret_count = count;
	return true;
}

bool template_read(struct json_reader *in, CK_ATTRIBUTE **ret_items, CK_ULONG *ret_count)
{
	return template_read_at(in, 0, ret_items, ret_count);
}
