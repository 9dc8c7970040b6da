#include <string.h>

#include "api/codec_internal.h"

enum { DATE_LEN = sizeof(CK_DATE), DATE_TEXT_LEN = 10 };

static void tagged_write(struct json_writer *w, const char *tag, const void *data, CK_ULONG len)
{
	json_begin_object(w);
	json_name(w, tag);
	json_write_bytes(w, data, len);
	json_end_object(w);
}

/* "20261122" as "2026-11-22"; false if it is not eight digits. */
static bool date_write(struct json_writer *w, const unsigned char *data, CK_ULONG len)
{
	char text[DATE_TEXT_LEN];
	size_t at = 0;

	if (len != DATE_LEN)
		return false;
	for (size_t i = 0; i < DATE_LEN; i++) {
		if (data[i] < '0' || data[i] > '9')
			return false;
		if (i == 4 || i == 6)
			text[at++] = '-';
		text[at++] = (char)data[i];
	}
	json_write_text(w, text, sizeof(text));
	return true;
}

static bool number_value_write(struct json_writer *w, const struct attribute_row *row, const void *data, CK_ULONG len)
{
	CK_ULONG number;

	if (len != sizeof(number))
		return false;
	memcpy(&number, data, sizeof(number));
	if (row->value == ATTRIBUTE_NAME || number == CK_UNAVAILABLE_INFORMATION)
		name_write(w, row->names, number);
	else
		json_write_uint(w, number);
	return true;
}

static bool mechanisms_write(struct json_writer *w, const unsigned char *data, CK_ULONG len)
{
	if (len % sizeof(CK_MECHANISM_TYPE) != 0)
		return false;
	json_begin_array(w);
	for (CK_ULONG at = 0; at < len; at += sizeof(CK_MECHANISM_TYPE)) {
		CK_MECHANISM_TYPE type;

		memcpy(&type, data + at, sizeof(type));
		name_write(w, NAMES_MECHANISM, type);
	}
	json_end_array(w);
	return true;
}

/* Writes the value by its type; false if it does not fit the type, and then nothing was written. */
static bool typed_write(struct json_writer *w, const struct attribute_row *row, const void *data, CK_ULONG len)
{
	const unsigned char *bytes = data;

	switch (row->value) {
	case ATTRIBUTE_BOOL:
		if (len != sizeof(CK_BBOOL) || (*bytes != CK_FALSE && *bytes != CK_TRUE))
			return false;
		json_write_bool(w, *bytes != CK_FALSE);
		return true;
	case ATTRIBUTE_ULONG:
	case ATTRIBUTE_NAME: return number_value_write(w, row, data, len);
	case ATTRIBUTE_TEXT:
		if (!json_text_valid(data, len))
			return false;
		json_write_text(w, data, len);
		return true;
	case ATTRIBUTE_BYTES: json_write_bytes(w, data, len); return true;
	case ATTRIBUTE_DATE: return date_write(w, bytes, len);
	case ATTRIBUTE_MECHANISMS: return mechanisms_write(w, bytes, len);
	case ATTRIBUTE_TEMPLATE: break;
	}
	return false;
}

void attribute_value_write(struct json_writer *w, const struct attribute_row *row, const void *data, CK_ULONG len)
{
	if (row == NULL)
		tagged_write(w, "bytes", data, len);
	else if (!typed_write(w, row, data, len))
		tagged_write(w, "raw", data, len);
}

static bool data_store(struct json_reader *in, struct attribute_value *value, const void *data, size_t len)
{
	if (len > LIMIT_ATTRIBUTE_VALUE)
		return json_fail(in, "an attribute's value is too long");
	value->data = arena_copy(in->arena, data, len);
	if (value->data == NULL)
		return json_fail(in, "the request needs too much memory");
	value->form = FORM_DATA;
	value->len = len;
	return true;
}

static bool bytes_value_read(struct json_reader *in, struct attribute_value *value)
{
	unsigned char *data;
	size_t len;

	if (!json_read_bytes(in, &data, &len))
		return false;
	if (len > LIMIT_ATTRIBUTE_VALUE)
		return json_fail(in, "an attribute's value is too long");
	value->form = FORM_DATA;
	value->data = data;
	value->len = len;
	return true;
}

static bool length_read(struct json_reader *in, const struct attribute_row *row, struct attribute_value *value)
{
	CK_ULONG count;

	if (!integer_read(in, &count))
		return false;
	if (__builtin_mul_overflow(count, (CK_ULONG)attribute_unit(row), &value->len))
		return json_fail(in, "number out of range");
	value->form = FORM_LENGTH;
	return true;
}

static bool tagged_read(struct json_reader *in, const struct attribute_row *row, struct attribute_value *value)
{
	struct json_text tag;

	if (!json_enter_object(in))
		return false;
	if (!json_next_member(in, &tag))
		return json_fail(in, "an attribute's value is empty");
	if (json_text_is(tag, "length")) {
		if (!length_read(in, row, value))
			return false;
	} else if (json_text_is(tag, row == NULL ? "bytes" : "raw") &&
		   (row == NULL || row->value != ATTRIBUTE_TEMPLATE)) {
		if (!bytes_value_read(in, value))
			return false;
	} else {
		return json_fail(in, "an attribute's value has no such member");
	}
	if (json_next_member(in, &tag))
		return json_fail(in, "an attribute's value has one member");
	return !json_failed(in);
}

static bool bool_read(struct json_reader *in, struct attribute_value *value)
{
	bool flag;
	CK_BBOOL data;

	if (!json_read_bool(in, &flag))
		return false;
	data = flag ? CK_TRUE : CK_FALSE;
	return data_store(in, value, &data, sizeof(data));
}

static bool number_value_read(struct json_reader *in, const struct attribute_row *row, struct attribute_value *value)
{
	struct json_reader before = *in;
	struct json_text name;
	CK_ULONG number;

	if (row->value == ATTRIBUTE_NAME) {
		if (!name_read(in, row->names, &number))
			return false;
	} else if (json_peek(in) == JSON_TYPE_STRING && json_read_string(in, &name) &&
		   name_number(NAMES_NONE, name, &number) && number == CK_UNAVAILABLE_INFORMATION) {
		/* read as a name */
	} else {
		*in = before;
		if (!integer_read(in, &number))
			return false;
	}
	return data_store(in, value, &number, sizeof(number));
}

static bool text_read(struct json_reader *in, struct attribute_value *value)
{
	struct json_text text;

	return json_read_string(in, &text) && data_store(in, value, text.data, text.len);
}

static bool date_read(struct json_reader *in, struct attribute_value *value)
{
	struct json_text text;
	char date[DATE_LEN];
	size_t at = 0;

	if (!json_read_string(in, &text))
		return false;
	if (text.len != DATE_TEXT_LEN)
		return json_fail(in, "a date is written 2026-11-22");
	for (size_t i = 0; i < DATE_TEXT_LEN; i++) {
		char c = text.data[i];

		if ((i == 4 || i == 7) ? c != '-' : (c < '0' || c > '9'))
			return json_fail(in, "a date is written 2026-11-22");
		if (i != 4 && i != 7)
			date[at++] = c;
	}
	return data_store(in, value, date, sizeof(date));
}

static bool mechanisms_read(struct json_reader *in, struct attribute_value *value)
{
	void *items = NULL;
	CK_ULONG capacity = 0, count = 0;

	if (!json_enter_array(in) || !array_grow(in, &items, &capacity, 0, sizeof(CK_MECHANISM_TYPE)))
		return false;
	while (json_next_element(in)) {
		if (count == LIMIT_ATTRIBUTE_VALUE / sizeof(CK_MECHANISM_TYPE))
			return json_fail(in, "an attribute's value is too long");
		if (!array_grow(in, &items, &capacity, count, sizeof(CK_MECHANISM_TYPE)) ||
			!name_read(in, NAMES_MECHANISM, &((CK_MECHANISM_TYPE *)items)[count]))
			return false;
		count++;
	}
	value->form = FORM_DATA;
	value->data = items;
	value->len = count * sizeof(CK_MECHANISM_TYPE);
	return !json_failed(in);
}

bool attribute_value_read(struct json_reader *in, const struct attribute_row *row, struct attribute_value *ret_value)
{
	*ret_value = (struct attribute_value){.form = FORM_NULL};
	if (json_peek(in) == JSON_TYPE_NULL)
		return json_read_null(in);
	if (json_peek(in) == JSON_TYPE_OBJECT || row == NULL)
		return tagged_read(in, row, ret_value);
	switch (row->value) {
	case ATTRIBUTE_BOOL: return bool_read(in, ret_value);
	case ATTRIBUTE_ULONG:
	case ATTRIBUTE_NAME: return number_value_read(in, row, ret_value);
	case ATTRIBUTE_TEXT: return text_read(in, ret_value);
	case ATTRIBUTE_BYTES: return bytes_value_read(in, ret_value);
	case ATTRIBUTE_DATE: return date_read(in, ret_value);
	case ATTRIBUTE_MECHANISMS: return mechanisms_read(in, ret_value);
	case ATTRIBUTE_TEMPLATE: break;
	}
	return json_fail(in, "a template is an array");
}
