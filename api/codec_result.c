#include <string.h>

#include "api/codec_internal.h"

/* True if an argument of the kind has a member in a result of that return value. */
static bool in_result(enum wire_kind kind, CK_RV rv)
{
	switch (kind) {
	case WIRE_FILL:
	case WIRE_FOUND:
	case WIRE_NEW_SESSION:
	case WIRE_NEW_OBJECT:
	case WIRE_ULONG_OUT:
	case WIRE_INFO:
	case WIRE_SLOT_INFO:
	case WIRE_TOKEN_INFO:
	case WIRE_SESSION_INFO:
	case WIRE_MECHANISM_INFO: return rv == CKR_OK;
	case WIRE_BUFFER:
	case WIRE_LIST: return rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL;
	case WIRE_QUERY:
		return rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL || rv == CKR_ATTRIBUTE_SENSITIVE ||
		       rv == CKR_ATTRIBUTE_TYPE_INVALID;
	default: return false;
	}
}

static void length_write(struct json_writer *w, CK_ULONG len)
{
	json_begin_object(w);
	json_name(w, "length");
	json_write_uint(w, len);
	json_end_object(w);
}

static void numbers_write(struct json_writer *w, const CK_ULONG *items, CK_ULONG count)
{
	json_begin_array(w);
	for (CK_ULONG i = 0; i < count; i++)
		json_write_uint(w, items[i]);
	json_end_array(w);
}

/* True if the module claims to have written more than there was room for. */
static bool output_overrun(const struct call *call, size_t i)
{
	const union wire_value *value = &call->values[i];

	switch (call->row->arguments[i].kind) {
	case WIRE_BUFFER: return value->buffer.data != NULL && *value->buffer.len > call->capacities[i];
	case WIRE_LIST: return value->list.items != NULL && *value->list.count > call->capacities[i];
	case WIRE_FOUND: return *value->found.count > value->found.max;
	default: return false;
	}
}

static void output_write(struct json_writer *w, const struct call *call, size_t i, CK_RV rv)
{
	const union wire_value *value = &call->values[i];
	enum wire_kind kind = call->row->arguments[i].kind;

	switch (kind) {
	case WIRE_BUFFER:
		if (rv != CKR_OK || value->buffer.data == NULL)
			length_write(w, *value->buffer.len);
		else
			json_write_bytes(w, value->buffer.data, *value->buffer.len);
		break;
	case WIRE_LIST:
		if (rv != CKR_OK || value->list.items == NULL)
			length_write(w, *value->list.count);
		else
			numbers_write(w, value->list.items, *value->list.count);
		break;
	case WIRE_FILL: bytes_write(w, value->bytes.data, value->bytes.len); break;
	case WIRE_FOUND: numbers_write(w, value->found.items, *value->found.count); break;
	case WIRE_QUERY:
		query_answer_write(w, value->attributes.items, call->queries[i], value->attributes.count);
		break;
	case WIRE_NEW_SESSION:
	case WIRE_NEW_OBJECT:
	case WIRE_ULONG_OUT: number_write(w, *value->number_out); break;
	default: info_encode(w, kind, value->info); break;
	}
}

CK_RV call_outputs_check(const struct call *call, CK_RV rv)
{
	if (rv != CKR_OK)
		return rv;
	for (size_t i = 0; i < call->row->argument_count; i++) {
		if (output_overrun(call, i))
			return CKR_GENERAL_ERROR;
	}
	return CKR_OK;
}

void call_encode_result(struct json_writer *w, const struct call *call, CK_RV rv)
{
	rv = call_outputs_check(call, rv);
	json_begin_object(w);
	json_name(w, "rv");
	name_write(w, NAMES_RETURN, rv);
	for (size_t i = 0; i < call->row->argument_count; i++) {
		if (!in_result(call->row->arguments[i].kind, rv))
			continue;
		json_name(w, call->row->arguments[i].name);
		output_write(w, call, i, rv);
	}
	json_end_object(w);
}

/* An output that was read and waits to be stored, so that a broken answer changes nothing. */
struct output {
	void *data; /* bytes, numbers or a structure; NULL: only the length is known */
	CK_ULONG len; /* bytes, or count of numbers, or the number */
	struct attribute_value *values; /* of a QUERY */
};

static bool length_read(struct json_reader *in, CK_ULONG *ret_len)
{
	struct json_text name;

	if (!json_enter_object(in))
		return false;
	if (!json_next_member(in, &name) || !json_text_is(name, "length"))
		return json_fail(in, "an output is a value or has the member length");
	if (!integer_read(in, ret_len))
		return false;
	if (json_next_member(in, &name))
		return json_fail(in, "a length has no such member");
	return !json_failed(in);
}

static bool info_read(struct json_reader *in, enum wire_kind kind, struct output *output)
{
	output->data = arena_alloc(in->arena, structure_size(info_structure(kind)));
	if (output->data == NULL)
		return json_fail(in, "the answer needs too much memory");
	return structure_read(in, info_structure(kind), output->data);
}

static bool output_bytes_read(struct json_reader *in, struct output *output)
{
	CK_BYTE *data;

	if (!bytes_read(in, LIMIT_BODY, &data, &output->len))
		return false;
	output->data = data;
	return true;
}

static bool output_numbers_read(struct json_reader *in, CK_ULONG max, struct output *output)
{
	CK_ULONG *items;

	if (!numbers_read(in, max, &items, &output->len))
		return false;
	output->data = items;
	return true;
}

static bool output_read(
	struct json_reader *in, enum wire_kind kind, const union wire_value *value, struct output *output)
{
	switch (kind) {
	case WIRE_BUFFER:
		if (json_peek(in) == JSON_TYPE_OBJECT)
			return length_read(in, &output->len);
		return output_bytes_read(in, output) && (output->data != NULL || json_fail(in, "an output is missing"));
	case WIRE_LIST:
		if (json_peek(in) == JSON_TYPE_OBJECT)
			return length_read(in, &output->len);
		return output_numbers_read(in, LIMIT_FOUND, output);
	case WIRE_FILL:
		if (!output_bytes_read(in, output))
			return false;
		return output->len == (value->bytes.data == NULL ? 0 : value->bytes.len) ||
		       json_fail(in, "the answer has another length than asked for");
	case WIRE_FOUND: return output_numbers_read(in, value->found.max, output);
	case WIRE_QUERY:
		return query_answer_read(in, value->attributes.items, value->attributes.count, &output->values);
	case WIRE_NEW_SESSION:
	case WIRE_NEW_OBJECT: return integer_read(in, &output->len);
	case WIRE_ULONG_OUT: return number_read(in, &output->len);
	default: return info_read(in, kind, output);
	}
}

/* memcpy that takes NULL for nothing. */
static void bytes_store(void *to, const void *from, size_t len)
{
	if (from != NULL && len > 0)
		memcpy(to, from, len);
}

static CK_RV buffer_store(const struct output *output, const union wire_value *value)
{
	CK_ULONG capacity = *value->buffer.len;

	*value->buffer.len = output->len;
	if (value->buffer.data == NULL)
		return CKR_OK;
	if (output->data == NULL || output->len > capacity)
		return CKR_BUFFER_TOO_SMALL;
	bytes_store(value->buffer.data, output->data, output->len);
	return CKR_OK;
}

static CK_RV list_store(const struct output *output, const union wire_value *value)
{
	CK_ULONG capacity = *value->list.count;

	*value->list.count = output->len;
	if (value->list.items == NULL)
		return CKR_OK;
	if (output->data == NULL || output->len > capacity)
		return CKR_BUFFER_TOO_SMALL;
	bytes_store(value->list.items, output->data, output->len * sizeof(CK_ULONG));
	return CKR_OK;
}

/* Writes one output to the application. CKR_BUFFER_TOO_SMALL if it does not fit. */
static CK_RV output_store(enum wire_kind kind, const struct output *output, const union wire_value *value)
{
	switch (kind) {
	case WIRE_BUFFER: return buffer_store(output, value);
	case WIRE_LIST: return list_store(output, value);
	case WIRE_FILL: bytes_store(value->bytes.data, output->data, output->len); return CKR_OK;
	case WIRE_FOUND:
		bytes_store(value->found.items, output->data, output->len * sizeof(CK_ULONG));
		*value->found.count = output->len;
		return CKR_OK;
	case WIRE_QUERY:
		return query_answer_store(output->values, value->attributes.items, value->attributes.count)
			       ? CKR_OK
			       : CKR_BUFFER_TOO_SMALL;
	case WIRE_NEW_SESSION:
	case WIRE_NEW_OBJECT:
	case WIRE_ULONG_OUT: *value->number_out = output->len; return CKR_OK;
	default: bytes_store(value->info, output->data, structure_size(info_structure(kind))); return CKR_OK;
	}
}

/* The output named `name` of a result with that return value, usually the one behind the last. */
static size_t output_index(const struct call_row *row, CK_RV rv, struct json_text name)
{
	for (size_t i = 0; i < row->argument_count; i++) {
		if (in_result(row->arguments[i].kind, rv) && json_text_is(name, row->arguments[i].name))
			return i;
	}
	return row->argument_count;
}

/* Everything of the result element; false: the reader holds the error. */
static bool result_read(struct json_reader *in, const struct call_row *row, const union wire_value values[],
	CK_RV *ret_rv, struct output outputs[])
{
	struct json_text name;
	unsigned seen = 0;

	if (!json_enter_object(in))
		return false;
	if (!json_next_member(in, &name) || !json_text_is(name, "rv"))
		return json_fail(in, "a result begins with its member rv");
	if (!name_read(in, NAMES_RETURN, ret_rv))
		return false;
	while (json_next_member(in, &name)) {
		size_t i = output_index(row, *ret_rv, name);

		if (i == row->argument_count)
			return json_fail(in, "the result has no such output");
		if ((seen & 1u << i) != 0)
			return json_fail(in, "duplicate member");
		if (!output_read(in, row->arguments[i].kind, &values[i], &outputs[i]))
			return false;
		seen |= 1u << i;
	}
	if (json_failed(in))
		return false;
	for (size_t i = 0; i < row->argument_count; i++) {
		if (in_result(row->arguments[i].kind, *ret_rv) && (seen & 1u << i) == 0)
			return json_fail(in, "an output of the call is missing");
	}
	return true;
}

CK_RV call_decode_result(struct json_reader *in, const struct call_row *row, const union wire_value values[])
{
	struct output outputs[CALL_ARGUMENTS_MAX] = {0};
	CK_RV rv = CKR_GENERAL_ERROR;

	if (!result_read(in, row, values, &rv, outputs))
		return CKR_GENERAL_ERROR;
	for (size_t i = 0; i < row->argument_count; i++) {
		enum wire_kind kind = row->arguments[i].kind;

		if (in_result(kind, rv) && output_store(kind, &outputs[i], &values[i]) != CKR_OK && rv == CKR_OK)
			rv = CKR_BUFFER_TOO_SMALL;
	}
	return rv;
}
