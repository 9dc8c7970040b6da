/*
 * Requests of the calls path: whatever the text, what is decoded lies in the arena alone, can be written again, and
 * then stays what it is.
 */
#include <stdlib.h>
#include <string.h>

#include "api/codec.h"
#include "api/limits.h"

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* Decodes a copy of the text that is freed at once: a pointer into it is found by the address sanitizer. */
static bool decode(const void *data, size_t len, struct arena *arena, struct call *ret_call)
{
	struct json_reader in;
	char *text = malloc(len > 0 ? len : 1);
	bool good;

	check(text != NULL);
	if (len > 0)
		memcpy(text, data, len);
	json_reader_init(&in, text, len, arena);
	good = call_decode(&in, ret_call) && json_end(&in);
	check(good || in.error != NULL);
	free(text);
	return good;
}

static void encode(const struct call *call, struct buffer *out)
{
	struct json_writer w;

	json_writer_init(&w, out);
	check(call_encode(&w, call->row, call->values) == CKR_OK);
	check(!out->failed);
}

/* Plays the module: writes to all memory it was given, and claims lengths out of `seed`. */
static void module_run(struct call *call, const uint8_t *seed, size_t seed_len)
{
	size_t at = 0;

	for (size_t i = 0; i < call->row->argument_count; i++) {
		union wire_value *value = &call->values[i];

		switch (call->row->arguments[i].kind) {
		case WIRE_BUFFER:
			if (value->buffer.data != NULL)
				memset(value->buffer.data, 0xff, *value->buffer.len);
			*value->buffer.len += seed[at++ % seed_len] & 1;
			break;
		case WIRE_FILL:
			if (value->bytes.data != NULL)
				memset(value->bytes.data, 0xff, value->bytes.len);
			break;
		case WIRE_FOUND:
			memset(value->found.items, 0xff, value->found.max * sizeof(CK_OBJECT_HANDLE));
			*value->found.count = value->found.max + (seed[at++ % seed_len] & 1);
			break;
		case WIRE_QUERY:
			for (CK_ULONG j = 0; j < value->attributes.count; j++) {
				CK_ATTRIBUTE *item = &value->attributes.items[j];

				if (item->pValue != NULL && call->queries[i][j].nested == NULL)
					memset(item->pValue, seed[at % seed_len], item->ulValueLen);
				item->ulValueLen += (CK_ULONG)(signed char)seed[at++ % seed_len];
			}
			break;
		default: break;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const CK_RV returns[] = {CKR_OK, CKR_BUFFER_TOO_SMALL, CKR_ATTRIBUTE_SENSITIVE, CKR_DEVICE_ERROR};
	ARENA_AUTO struct arena arena;
	BUFFER_AUTO struct buffer first;
	BUFFER_AUTO struct buffer second;
	BUFFER_AUTO struct buffer result;
	struct json_writer w;
	struct call call;

	arena_init(&arena, LIMIT_BODY_ARENA);
	buffer_init(&first, 8 * LIMIT_BODY);
	buffer_init(&second, 8 * LIMIT_BODY);
	buffer_init(&result, 16 * LIMIT_BODY);
	if (!decode(data, len, &arena, &call))
		return 0;
	encode(&call, &first);
	check(decode(first.data, first.len, &arena, &call) || arena.used > LIMIT_BODY_ARENA / 2);
	arena_reset(&arena);
	check(decode(first.data, first.len, &arena, &call));
	encode(&call, &second);
	check(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
	module_run(&call, data, len);
	json_writer_init(&w, &result);
	call_encode_result(&w, &call, returns[len % 4]);
	check(!result.failed &&
		json_validate((const char *)result.data, result.len, &(const char *){NULL}, &(size_t){0}));
	return 0;
}
