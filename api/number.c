#include <string.h>

#include "api/codec_internal.h"

void number_write(struct json_writer *w, CK_ULONG number)
{
	if (number == CK_UNAVAILABLE_INFORMATION)
		json_write_null(w);
	else
		json_write_uint(w, number);
}

bool integer_read(struct json_reader *in, CK_ULONG *ret_number)
{
	uint64_t number;

	if (!json_read_uint(in, &number))
		return false;
	if ((CK_ULONG)number != number)
		return json_fail(in, "number out of range");
	*ret_number = (CK_ULONG)number;
	return true;
}

bool number_read(struct json_reader *in, CK_ULONG *ret_number)
{
	if (json_peek(in) != JSON_TYPE_NULL)
		return integer_read(in, ret_number);
	if (!json_read_null(in))
		return false;
	*ret_number = CK_UNAVAILABLE_INFORMATION;
	return true;
}

void bytes_write(struct json_writer *w, const void *data, CK_ULONG len)
{
	if (data == NULL)
		json_write_null(w);
	else
		json_write_bytes(w, data, len);
}

bool bytes_read(struct json_reader *in, CK_ULONG max, CK_BYTE **ret_data, CK_ULONG *ret_len)
{
	unsigned char *data = NULL;
	size_t len = 0;

	if (json_peek(in) == JSON_TYPE_NULL ? !json_read_null(in) : !json_read_bytes(in, &data, &len))
		return false;
	if (len > max)
		return json_fail(in, "too many bytes");
	*ret_data = data;
	*ret_len = len;
	return true;
}

bool array_grow(struct json_reader *in, void **items, CK_ULONG *capacity, CK_ULONG count, size_t item_size)
{
	CK_ULONG more;
	void *moved;

	if (count < *capacity)
		return true;
	more = *capacity == 0 ? 8 : *capacity * 2;
	moved = arena_array(in->arena, more, item_size);
	if (moved == NULL) {
		(void)json_fail(in, "the request needs too much memory");
		return false;
	}
	if (count > 0)
		memcpy(moved, *items, count * item_size);
	*items = moved;
	*capacity = more;
	return true;
}

bool numbers_read(struct json_reader *in, CK_ULONG max, CK_ULONG **ret_items, CK_ULONG *ret_count)
{
	void *items = NULL;
	CK_ULONG capacity = 0, count = 0;

	if (!json_enter_array(in) || !array_grow(in, &items, &capacity, 0, sizeof(CK_ULONG)))
		return false;
	while (json_next_element(in)) {
		if (count == max)
			return json_fail(in, "the array has too many elements");
		if (!array_grow(in, &items, &capacity, count, sizeof(CK_ULONG)) ||
			!integer_read(in, &((CK_ULONG *)items)[count]))
			return false;
		count++;
	}
	if (json_failed(in))
		return false;
	*ret_items = items;
	*ret_count = count;
	return true;
}
