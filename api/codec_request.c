#include <string.h>

#include "api/codec_internal.h"

/* True if an argument of the kind is a member of the request. */
static bool in_request(enum wire_kind kind)
{
	switch (kind) {
	case WIRE_BOOL:
	case WIRE_ULONG:
	case WIRE_USER:
	case WIRE_SESSION:
	case WIRE_OBJECT:
	case WIRE_BYTES:
	case WIRE_PIN:
	case WIRE_LABEL:
	case WIRE_MECHANISM:
	case WIRE_TEMPLATE:
	case WIRE_QUERY:
	case WIRE_BUFFER:
	case WIRE_FILL:
	case WIRE_FOUND: return true;
	case WIRE_SLOT:
	case WIRE_NOTIFY:
	case WIRE_LIST:
	case WIRE_NEW_SESSION:
	case WIRE_NEW_OBJECT:
	case WIRE_ULONG_OUT:
	case WIRE_INFO:
	case WIRE_SLOT_INFO:
	case WIRE_TOKEN_INFO:
	case WIRE_SESSION_INFO:
	case WIRE_MECHANISM_INFO: break;
	}
	return false;
}

static CK_RV input_check(enum wire_kind kind, const union wire_value *value)
{
	switch (kind) {
	case WIRE_BYTES:
		if (value->bytes.data == NULL && value->bytes.len > 0)
			return CKR_ARGUMENTS_BAD;
		return value->bytes.len <= LIMIT_BYTES ? CKR_OK : CKR_DATA_LEN_RANGE;
	case WIRE_PIN: return value->bytes.data == NULL || value->bytes.len <= LIMIT_PIN ? CKR_OK : CKR_PIN_LEN_RANGE;
	case WIRE_FILL:
		return value->bytes.data == NULL || value->bytes.len <= LIMIT_OUTPUT ? CKR_OK : CKR_DATA_LEN_RANGE;
	case WIRE_MECHANISM: return mechanism_check(value->mechanism);
	case WIRE_TEMPLATE: return template_check(value->attributes.items, value->attributes.count);
	case WIRE_QUERY: return query_check(value->attributes.items, value->attributes.count);
	default: return CKR_OK;
	}
}

/* True if the pointers that an output argument must have are there. */
static bool output_present(enum wire_kind kind, const union wire_value *value)
{
	switch (kind) {
	case WIRE_BUFFER: return value->buffer.len != NULL;
	case WIRE_LIST: return value->list.count != NULL;
	case WIRE_FOUND: return value->found.items != NULL && value->found.count != NULL;
	case WIRE_NEW_SESSION:
	case WIRE_NEW_OBJECT:
	case WIRE_ULONG_OUT: return value->number_out != NULL;
	case WIRE_INFO:
	case WIRE_SLOT_INFO:
	case WIRE_TOKEN_INFO:
	case WIRE_SESSION_INFO:
	case WIRE_MECHANISM_INFO: return value->info != NULL;
	default: return true;
	}
}

static void capacity_write(struct json_writer *w, const void *data, CK_ULONG capacity)
{
	if (data == NULL)
		json_write_null(w);
	else
		json_write_uint(w, capacity);
}

static void argument_write(struct json_writer *w, enum wire_kind kind, const union wire_value *value)
{
	switch (kind) {
	case WIRE_BOOL: json_write_bool(w, value->flag != CK_FALSE); break;
	case WIRE_ULONG: number_write(w, value->number); break;
	case WIRE_USER: name_write(w, NAMES_USER, value->number); break;
	case WIRE_SESSION:
	case WIRE_OBJECT: json_write_uint(w, value->number); break;
	case WIRE_BYTES:
	case WIRE_PIN:
	case WIRE_LABEL: bytes_write(w, value->bytes.data, value->bytes.len); break;
	case WIRE_MECHANISM: mechanism_write(w, value->mechanism); break;
	case WIRE_TEMPLATE: template_write(w, value->attributes.items, value->attributes.count); break;
	case WIRE_QUERY: query_write(w, value->attributes.items, value->attributes.count); break;
	case WIRE_BUFFER: capacity_write(w, value->buffer.data, *value->buffer.len); break;
	case WIRE_FILL: capacity_write(w, value->bytes.data, value->bytes.len); break;
	case WIRE_FOUND: json_write_uint(w, value->found.max); break;
	default: break;
	}
}

CK_RV call_encode(struct json_writer *w, const struct call_row *row, const union wire_value values[])
{
	for (size_t i = 0; i < row->argument_count; i++) {
		enum wire_kind kind = row->arguments[i].kind;
		CK_RV rv = output_present(kind, &values[i]) ? input_check(kind, &values[i]) : CKR_ARGUMENTS_BAD;

		if (rv != CKR_OK)
			return rv;
	}
	json_begin_object(w);
	json_name(w, row->name);
	json_begin_object(w);
	for (size_t i = 0; i < row->argument_count; i++) {
		if (!in_request(row->arguments[i].kind))
			continue;
		json_name(w, row->arguments[i].name);
		argument_write(w, row->arguments[i].kind, &values[i]);
	}
	json_end_object(w);
	json_end_object(w);
	return CKR_OK;
}

static bool handle_read(struct json_reader *in, CK_ULONG *ret_handle, int *ret_from)
{
	struct json_text name;
	CK_ULONG from;

	if (json_peek(in) != JSON_TYPE_OBJECT)
		return integer_read(in, ret_handle);
	if (!json_enter_object(in))
		return false;
	if (!json_next_member(in, &name) || !json_text_is(name, "from"))
		return json_fail(in, "a handle is a number or has the member from");
	if (!integer_read(in, &from))
		return false;
	if (from >= LIMIT_CALLS)
		return json_fail(in, "a handle refers to a call that cannot be");
	if (json_next_member(in, &name))
		return json_fail(in, "a handle has no such member");
	*ret_from = (int)from;
	return !json_failed(in);
}

static bool flag_read(struct json_reader *in, CK_BBOOL *ret_flag)
{
	bool flag;

	if (!json_read_bool(in, &flag))
		return false;
	*ret_flag = flag ? CK_TRUE : CK_FALSE;
	return true;
}

static bool label_read(struct json_reader *in, union wire_value *value)
{
	enum { LABEL_LEN = sizeof(((CK_TOKEN_INFO *)0)->label) };

	if (!bytes_read(in, LABEL_LEN, &value->bytes.data, &value->bytes.len))
		return false;
	if (value->bytes.data != NULL && value->bytes.len != LABEL_LEN)
		return json_fail(in, "a token label has 32 bytes");
	return true;
}

/* A capacity, cut to `max`, and memory of that many bytes; null gives NULL. */
static bool room_read(struct json_reader *in, CK_ULONG max, CK_BYTE **ret_data, CK_ULONG *ret_capacity)
{
	CK_ULONG capacity;

	if (json_peek(in) == JSON_TYPE_NULL) {
		*ret_data = NULL;
		*ret_capacity = 0;
		return json_read_null(in);
	}
	if (!integer_read(in, &capacity))
		return false;
	if (capacity > max)
		capacity = max;
	*ret_data = arena_alloc(in->arena, capacity);
	*ret_capacity = capacity;
	return *ret_data != NULL || json_fail(in, "the request needs too much memory");
}

static CK_ULONG *number_alloc(struct json_reader *in, CK_ULONG number)
{
	CK_ULONG *at = arena_alloc(in->arena, sizeof(*at));

	if (at != NULL)
		*at = number;
	else
		(void)json_fail(in, "the request needs too much memory");
	return at;
}

static bool buffer_read(struct json_reader *in, union wire_value *value, CK_ULONG *ret_capacity)
{
	if (!room_read(in, LIMIT_OUTPUT, &value->buffer.data, ret_capacity))
		return false;
	value->buffer.len = number_alloc(in, *ret_capacity);
	return value->buffer.len != NULL;
}

static bool fill_read(struct json_reader *in, union wire_value *value)
{
	CK_ULONG len;

	if (json_peek(in) != JSON_TYPE_NULL && json_peek(in) != JSON_TYPE_NUMBER)
		return json_fail(in, "a length is a number");
	if (!room_read(in, LIMIT_OUTPUT + 1, &value->bytes.data, &len))
		return false;
	if (len > LIMIT_OUTPUT)
		return json_fail(in, "too many bytes asked for");
	value->bytes.len = len;
	return true;
}

static bool found_read(struct json_reader *in, union wire_value *value)
{
	if (!integer_read(in, &value->found.max))
		return false;
	if (value->found.max > LIMIT_FOUND)
		value->found.max = LIMIT_FOUND;
	value->found.items = arena_array(in->arena, value->found.max, sizeof(CK_OBJECT_HANDLE));
	value->found.count = number_alloc(in, 0);
	return (value->found.items != NULL && value->found.count != NULL) ||
	       json_fail(in, "the request needs too much memory");
}

static bool argument_read(struct json_reader *in, struct call *call, size_t i)
{
	union wire_value *value = &call->values[i];
	struct query *queries;

	switch (call->row->arguments[i].kind) {
	case WIRE_BOOL: return flag_read(in, &value->flag);
	case WIRE_ULONG: return number_read(in, &value->number);
	case WIRE_USER: return name_read(in, NAMES_USER, &value->number);
	case WIRE_SESSION:
	case WIRE_OBJECT: return handle_read(in, &value->number, &call->from[i]);
	case WIRE_BYTES: return bytes_read(in, LIMIT_BYTES, &value->bytes.data, &value->bytes.len);
	case WIRE_PIN: return bytes_read(in, LIMIT_PIN, &value->bytes.data, &value->bytes.len);
	case WIRE_LABEL: return label_read(in, value);
	case WIRE_MECHANISM: return mechanism_read(in, &value->mechanism);
	case WIRE_TEMPLATE: return template_read(in, &value->attributes.items, &value->attributes.count);
	case WIRE_QUERY:
		if (!query_read(in, &value->attributes.items, &queries, &value->attributes.count))
			return false;
		call->queries[i] = queries;
		return true;
	case WIRE_BUFFER: return buffer_read(in, value, &call->capacities[i]);
	case WIRE_FILL: return fill_read(in, value);
	case WIRE_FOUND: return found_read(in, value);
	default: return json_fail(in, "the call has no such argument");
	}
}

/* Memory for an output that is no member of the request. */
static bool output_alloc(struct json_reader *in, struct call *call, size_t i)
{
	union wire_value *value = &call->values[i];
	enum wire_kind kind = call->row->arguments[i].kind;

	switch (kind) {
	case WIRE_LIST:
		value->list.items = arena_array(in->arena, LIMIT_FOUND, sizeof(CK_ULONG));
		value->list.count = number_alloc(in, LIMIT_FOUND);
		call->capacities[i] = LIMIT_FOUND;
		if (value->list.items == NULL)
			return json_fail(in, "the request needs too much memory");
		break;
	case WIRE_NEW_SESSION:
	case WIRE_NEW_OBJECT:
	case WIRE_ULONG_OUT: value->number_out = number_alloc(in, 0); break;
	case WIRE_INFO:
	case WIRE_SLOT_INFO:
	case WIRE_TOKEN_INFO:
	case WIRE_SESSION_INFO:
	case WIRE_MECHANISM_INFO:
		value->info = arena_alloc(in->arena, structure_size(info_structure(kind)));
		if (value->info == NULL)
			return json_fail(in, "the request needs too much memory");
		break;
	default: break;
	}
	return !json_failed(in);
}

/* The argument named `name`, usually the one behind the last. */
static size_t argument_index(const struct call_row *row, struct json_text name, size_t expected)
{
	for (size_t step = 0; step < row->argument_count; step++) {
		size_t i = (expected + step) % row->argument_count;
		const struct call_argument *argument = &row->arguments[i];

		if (argument->name_len == name.len && memcmp(argument->name, name.data, name.len) == 0 &&
			in_request(argument->kind))
			return i;
	}
	return row->argument_count;
}

static bool arguments_read(struct json_reader *in, struct call *call)
{
	const struct call_row *row = call->row;
	struct json_text name;
	unsigned seen = 0;
	size_t next = 0;

	if (!json_enter_object(in))
		return false;
	while (json_next_member(in, &name)) {
		size_t i = argument_index(row, name, next);

		if (i == row->argument_count)
			return json_fail(in, "the call has no such argument");
		if ((seen & 1u << i) != 0)
			return json_fail(in, "duplicate member");
		if (!argument_read(in, call, i))
			return false;
		seen |= 1u << i;
		next = i + 1;
	}
	if (json_failed(in))
		return false;
	for (size_t i = 0; i < row->argument_count; i++) {
		if (in_request(row->arguments[i].kind) ? (seen & 1u << i) == 0 : !output_alloc(in, call, i))
			return json_fail(in, "an argument of the call is missing");
	}
	return true;
}

bool call_decode(struct json_reader *in, struct call *ret_call)
{
	struct call call = {0};
	struct json_text name;

	for (size_t i = 0; i < CALL_ARGUMENTS_MAX; i++)
		call.from[i] = -1;
	if (!json_enter_object(in))
		return false;
	if (!json_next_member(in, &name))
		return json_fail(in, "a call has no name");
	call.row = call_row_by_name(name.data, name.len);
	if (call.row == NULL)
		return json_fail(in, "unknown call");
	if (!arguments_read(in, &call))
		return false;
	if (json_next_member(in, &name))
		return json_fail(in, "a call has one name");
	if (json_failed(in))
		return false;
	*ret_call = call;
	return true;
}
