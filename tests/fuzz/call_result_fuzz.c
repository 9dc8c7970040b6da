/*
 * Answers of the calls path in the client: whatever the text, nothing beyond the application's memory is written, and
 * nothing at all when the answer is broken. The first byte chooses the call, the second the application's buffers.
 */
#include <stdlib.h>
#include <string.h>

#include "api/codec.h"
#include "api/limits.h"

enum { FILL = 0x5a, ATTRIBUTES = 4 };

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* Memory of exactly `size` bytes, so that the address sanitizer sees a byte more. Freed by the caller through `all`. */
struct memory {
	void *all[64];
	size_t sizes[64];
	size_t count;
};

static void *memory_new(struct memory *memory, size_t size)
{
	void *data = malloc(size > 0 ? size : 1);

	check(data != NULL && memory->count < 64);
	memset(data, FILL, size);
	memory->sizes[memory->count] = size;
	memory->all[memory->count++] = data;
	return data;
}

static CK_ULONG *number_new(struct memory *memory, CK_ULONG number)
{
	CK_ULONG *at = memory_new(memory, sizeof(*at));

	*at = number;
	return at;
}

static void query_new(struct memory *memory, CK_ULONG size, union wire_value *value)
{
	static const CK_ATTRIBUTE_TYPE types[ATTRIBUTES] = {
		CKA_LABEL, CKA_CLASS, CKA_WRAP_TEMPLATE, CKA_ALLOWED_MECHANISMS};
	CK_ATTRIBUTE *items = memory_new(memory, ATTRIBUTES * sizeof(*items));
	CK_ATTRIBUTE *nested = memory_new(memory, 2 * sizeof(*nested));

	for (size_t i = 0; i < ATTRIBUTES; i++)
		items[i] = (CK_ATTRIBUTE){
			types[i], size % 3 == 0 ? NULL : memory_new(memory, size), size % 3 == 0 ? 0 : size};
	for (size_t i = 0; i < 2; i++)
		nested[i] = (CK_ATTRIBUTE){CKA_ID, i == 0 ? NULL : memory_new(memory, size), i == 0 ? 0 : size};
	items[2].pValue = nested;
	items[2].ulValueLen = 2 * sizeof(*nested);
	value->attributes.items = items;
	value->attributes.count = ATTRIBUTES;
}

static void argument_new(struct memory *memory, enum wire_kind kind, CK_ULONG size, union wire_value *value)
{
	switch (kind) {
	case WIRE_BUFFER:
		value->buffer.data = size % 3 == 0 ? NULL : memory_new(memory, size);
		value->buffer.len = number_new(memory, size);
		break;
	case WIRE_FILL:
		value->bytes.data = memory_new(memory, size);
		value->bytes.len = size;
		break;
	case WIRE_LIST:
		value->list.items = size % 3 == 0 ? NULL : memory_new(memory, size * sizeof(CK_ULONG));
		value->list.count = number_new(memory, size);
		break;
	case WIRE_FOUND:
		value->found.items = memory_new(memory, size * sizeof(CK_OBJECT_HANDLE));
		value->found.max = size;
		value->found.count = number_new(memory, 0);
		break;
	case WIRE_QUERY: query_new(memory, size, value); break;
	case WIRE_NEW_SESSION:
	case WIRE_NEW_OBJECT:
	case WIRE_ULONG_OUT: value->number_out = number_new(memory, 0); break;
	case WIRE_INFO: value->info = memory_new(memory, sizeof(CK_INFO)); break;
	case WIRE_SLOT_INFO: value->info = memory_new(memory, sizeof(CK_SLOT_INFO)); break;
	case WIRE_TOKEN_INFO: value->info = memory_new(memory, sizeof(CK_TOKEN_INFO)); break;
	case WIRE_SESSION_INFO: value->info = memory_new(memory, sizeof(CK_SESSION_INFO)); break;
	case WIRE_MECHANISM_INFO: value->info = memory_new(memory, sizeof(CK_MECHANISM_INFO)); break;
	default: break;
	}
}

/* A digest of all memory, to see whether anything changed. */
static uint64_t memory_digest(const struct memory *memory)
{
	uint64_t digest = 14695981039346656037u;

	for (size_t i = 0; i < memory->count; i++) {
		for (size_t at = 0; at < memory->sizes[i]; at++)
			digest = (digest ^ ((const unsigned char *)memory->all[i])[at]) * 1099511628211u;
	}
	return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	ARENA_AUTO struct arena arena;
	union wire_value values[CALL_ARGUMENTS_MAX] = {0};
	struct memory memory = {.count = 0};
	const struct call_row *row;
	struct json_reader in;
	uint64_t before;
	CK_RV rv;

	arena_init(&arena, LIMIT_BODY_ARENA);
	if (len < 2)
		return 0;
	row = call_row((enum call_id)(data[0] % CALL_COUNT));
	for (size_t i = 0; i < row->argument_count; i++)
		argument_new(&memory, row->arguments[i].kind, data[1], &values[i]);
	before = memory_digest(&memory);
	json_reader_init(&in, (const char *)data + 2, len - 2, &arena);
	rv = call_decode_result(&in, row, values);
	if (json_failed(&in)) {
		check(rv == CKR_GENERAL_ERROR);
		check(memory_digest(&memory) == before);
	}
	for (size_t i = 0; i < memory.count; i++)
		free(memory.all[i]);
	return 0;
}
