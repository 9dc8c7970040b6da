#include "tests/unit/api/codec_values.h"

#include <stdint.h>
#include <string.h>

static CK_ULONG *number(struct codec_case *c, CK_ULONG value)
{
	CK_ULONG *at = guarded(c, sizeof(*at));

	*at = value;
	return at;
}

size_t info_size(enum wire_kind kind)
{
	switch (kind) {
	case WIRE_INFO: return sizeof(CK_INFO);
	case WIRE_SLOT_INFO: return sizeof(CK_SLOT_INFO);
	case WIRE_TOKEN_INFO: return sizeof(CK_TOKEN_INFO);
	case WIRE_SESSION_INFO: return sizeof(CK_SESSION_INFO);
	case WIRE_MECHANISM_INFO: return sizeof(CK_MECHANISM_INFO);
	default: return 0;
	}
}

static CK_ATTRIBUTE *usual_template(struct codec_case *c)
{
	CK_ATTRIBUTE *items = guarded(c, 2 * sizeof(*items));
	CK_OBJECT_CLASS *class = guarded(c, sizeof(*class));

	*class = CKO_PRIVATE_KEY;
	items[0] = (CK_ATTRIBUTE){CKA_CLASS, class, sizeof(*class)};
	items[1] = (CK_ATTRIBUTE){CKA_LABEL, memcpy(guarded(c, 7), "release", 7), 7};
	return items;
}

static CK_ATTRIBUTE *usual_query(struct codec_case *c)
{
	CK_ATTRIBUTE *items = guarded(c, 2 * sizeof(*items));

	items[0] = (CK_ATTRIBUTE){CKA_ID, guarded(c, 20), 20};
	items[1] = (CK_ATTRIBUTE){CKA_LABEL, NULL, 0};
	return items;
}

static union wire_value input_value(struct codec_case *c, enum wire_kind kind, enum shape shape, size_t i)
{
	static const CK_ULONG numbers[] = {0, CK_UNAVAILABLE_INFORMATION, (UINT64_C(1) << 53) + 1};
	union wire_value value = {.number = 0};

	switch (kind) {
	case WIRE_BOOL: value.flag = shape == SHAPE_USUAL ? CK_TRUE : CK_FALSE; break;
	case WIRE_USER: value.number = shape == SHAPE_USUAL ? CKU_USER : 7; break;
	case WIRE_ULONG:
	case WIRE_SESSION:
	case WIRE_OBJECT: value.number = kind == WIRE_ULONG ? numbers[shape] : shape * 1000 + i; break;
	case WIRE_BYTES:
	case WIRE_PIN:
		if (shape != SHAPE_NULL)
			value.bytes.data = guarded(c, shape == SHAPE_EMPTY ? 0 : 33);
		value.bytes.len = shape == SHAPE_USUAL ? 33 : 0;
		break;
	case WIRE_LABEL:
		value.bytes.data = shape == SHAPE_NULL ? NULL : guarded(c, 32);
		value.bytes.len = shape == SHAPE_NULL ? 0 : 32;
		break;
	case WIRE_MECHANISM:
		if (shape != SHAPE_NULL) {
			value.mechanism = guarded(c, sizeof(CK_MECHANISM));
			*value.mechanism = (CK_MECHANISM){CKM_AES_CBC, NULL, 0};
		}
		if (shape == SHAPE_USUAL)
			*value.mechanism = (CK_MECHANISM){CKM_AES_CBC, guarded(c, 16), 16};
		break;
	case WIRE_TEMPLATE:
		if (shape != SHAPE_NULL)
			value.attributes.items = usual_template(c);
		value.attributes.count = shape == SHAPE_USUAL ? 2 : 0;
		break;
	case WIRE_QUERY:
		if (shape != SHAPE_NULL)
			value.attributes.items = usual_query(c);
		value.attributes.count = shape == SHAPE_USUAL ? 2 : 0;
		break;
	default: break;
	}
	return value;
}

static union wire_value argument(struct codec_case *c, enum wire_kind kind, enum shape shape, size_t i)
{
	static const CK_ULONG sizes[] = {0, 0, 40};
	CK_ULONG size = sizes[shape];
	union wire_value value = {.number = 0};

	switch (kind) {
	case WIRE_BUFFER:
		value.buffer.data = shape == SHAPE_NULL ? NULL : guarded(c, size);
		value.buffer.len = number(c, shape == SHAPE_NULL ? 4711 : size);
		break;
	case WIRE_FILL:
		value.bytes.data = shape == SHAPE_NULL ? NULL : guarded(c, size);
		value.bytes.len = size;
		break;
	case WIRE_LIST:
		value.list.items = shape == SHAPE_NULL ? NULL : guarded(c, size * sizeof(CK_ULONG));
		value.list.count = number(c, size);
		break;
	case WIRE_FOUND:
		value.found.items = guarded(c, size * sizeof(CK_ULONG));
		value.found.max = size;
		value.found.count = number(c, 99);
		break;
	case WIRE_NEW_SESSION:
	case WIRE_NEW_OBJECT:
	case WIRE_ULONG_OUT: value.number_out = number(c, 99); break;
	default:
		if (info_size(kind) > 0)
			value.info = guarded(c, info_size(kind));
		else
			value = input_value(c, kind, shape, i);
		break;
	}
	return value;
}

void arguments(struct codec_case *c, const struct call_row *row, enum shape shape, union wire_value values[])
{
	for (size_t i = 0; i < row->argument_count; i++)
		values[i] = argument(c, row->arguments[i].kind, shape, i);
}

struct call call_made(struct codec_case *c, const struct call_row *row, enum shape shape, union wire_value values[])
{
	arguments(c, row, shape, values);
	encode_request(c, row, values);
	return decode_request(c);
}

bool same_bytes(const void *a, CK_ULONG a_len, const void *b, CK_ULONG b_len)
{
	return (a == NULL) == (b == NULL) && a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool same_template(const union wire_value *a, const union wire_value *b, bool values)
{
	if ((a->attributes.items == NULL) != (b->attributes.items == NULL) ||
		a->attributes.count != b->attributes.count)
		return false;
	for (CK_ULONG i = 0; i < a->attributes.count; i++) {
		const CK_ATTRIBUTE *x = &a->attributes.items[i], *y = &b->attributes.items[i];

		if (x->type != y->type || (x->pValue == NULL) != (y->pValue == NULL) || x->ulValueLen != y->ulValueLen)
			return false;
		if (values && !same_bytes(x->pValue, x->ulValueLen, y->pValue, y->ulValueLen))
			return false;
	}
	return true;
}

bool same_input(enum wire_kind kind, const union wire_value *a, const union wire_value *b)
{
	switch (kind) {
	case WIRE_BOOL: return a->flag == b->flag;
	case WIRE_ULONG:
	case WIRE_USER:
	case WIRE_SESSION:
	case WIRE_OBJECT: return a->number == b->number;
	case WIRE_BYTES:
	case WIRE_PIN:
	case WIRE_LABEL: return same_bytes(a->bytes.data, a->bytes.len, b->bytes.data, b->bytes.len);
	case WIRE_MECHANISM:
		return a->mechanism == NULL ? b->mechanism == NULL
					    : a->mechanism->mechanism == b->mechanism->mechanism &&
						      same_bytes(a->mechanism->pParameter, a->mechanism->ulParameterLen,
							      b->mechanism->pParameter, b->mechanism->ulParameterLen);
	case WIRE_TEMPLATE: return same_template(a, b, true);
	case WIRE_QUERY: return same_template(a, b, false);
	case WIRE_BUFFER:
		return (a->buffer.data == NULL) == (b->buffer.data == NULL) &&
		       *b->buffer.len == (a->buffer.data == NULL ? 0 : *a->buffer.len);
	case WIRE_FILL: return (a->bytes.data == NULL) == (b->bytes.data == NULL) && a->bytes.len == b->bytes.len;
	case WIRE_FOUND: return a->found.max == b->found.max && b->found.items != NULL && b->found.count != NULL;
	case WIRE_LIST: return b->list.items != NULL && *b->list.count > 0;
	case WIRE_SLOT:
	case WIRE_NOTIFY: return b->number == 0;
	default: return b->number_out != NULL;
	}
}

void module_fill(struct call *call)
{
	for (size_t i = 0; i < call->row->argument_count; i++) {
		union wire_value *value = &call->values[i];
		enum wire_kind kind = call->row->arguments[i].kind;

		if (kind == WIRE_BUFFER && value->buffer.data == NULL)
			*value->buffer.len = 1234;
		else if (kind == WIRE_BUFFER)
			memset(value->buffer.data, 0x11, *value->buffer.len);
		else if (kind == WIRE_FILL && value->bytes.data != NULL)
			memset(value->bytes.data, 0x22, value->bytes.len);
		else if (kind == WIRE_FOUND)
			*value->found.count = value->found.max;
		else if (kind == WIRE_LIST)
			*value->list.count = 3;
		else if (kind == WIRE_NEW_SESSION || kind == WIRE_NEW_OBJECT || kind == WIRE_ULONG_OUT)
			*value->number_out = 5000 + i;
		else if (info_size(kind) > 0)
			memset(value->info, '7', info_size(kind));
		for (CK_ULONG j = 0; kind == WIRE_FOUND && j < value->found.max; j++)
			value->found.items[j] = 100 + j;
		for (CK_ULONG j = 0; kind == WIRE_LIST && j < 3; j++)
			value->list.items[j] = 200 + j;
		for (CK_ULONG j = 0; kind == WIRE_QUERY && j < value->attributes.count; j++) {
			CK_ATTRIBUTE *item = &value->attributes.items[j];

			if (item->pValue == NULL)
				item->ulValueLen = 321;
			else
				memset(item->pValue, 0x33, item->ulValueLen);
		}
	}
}

bool all_bytes(const void *data, size_t len, unsigned char byte)
{
	for (size_t i = 0; i < len; i++) {
		if (((const unsigned char *)data)[i] != byte)
			return false;
	}
	return true;
}

bool filled(enum wire_kind kind, const union wire_value *value, size_t i)
{
	switch (kind) {
	case WIRE_BUFFER:
		return value->buffer.data == NULL ? *value->buffer.len == 1234
						  : all_bytes(value->buffer.data, *value->buffer.len, 0x11);
	case WIRE_FILL: return value->bytes.data == NULL || all_bytes(value->bytes.data, value->bytes.len, 0x22);
	case WIRE_FOUND:
		for (CK_ULONG j = 0; j < value->found.max; j++) {
			if (value->found.items[j] != 100 + j)
				return false;
		}
		return *value->found.count == value->found.max;
	case WIRE_LIST: return *value->list.count == 3;
	case WIRE_NEW_SESSION:
	case WIRE_NEW_OBJECT:
	case WIRE_ULONG_OUT: return *value->number_out == 5000 + i;
	case WIRE_QUERY:
		for (CK_ULONG j = 0; j < value->attributes.count; j++) {
			const CK_ATTRIBUTE *item = &value->attributes.items[j];

			if (item->pValue == NULL ? item->ulValueLen != 321
						 : !all_bytes(item->pValue, item->ulValueLen, 0x33))
				return false;
		}
		return true;
	default: return info_size(kind) == 0 || all_bytes(value->info, 2, '7');
	}
}
