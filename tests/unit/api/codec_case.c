#include "tests/unit/api/codec_case.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"

enum { GUARD = 64, GUARD_BYTE = 0xa7, FILL_BYTE = 0x5a };

struct guard {
	struct guard *older;
	size_t size;
	unsigned char *before;
};

void codec_case_init(struct codec_case *c)
{
	arena_init(&c->arena, LIMIT_BODY_ARENA);
	arena_init(&c->own, 64 << 20);
	buffer_init(&c->text, 8 << 20);
	c->guards = NULL;
}

void codec_case_done(struct codec_case *c)
{
	arena_done(&c->arena);
	arena_done(&c->own);
	buffer_done(&c->text);
}

void *guarded(struct codec_case *c, size_t size)
{
	struct guard *guard = arena_alloc(&c->own, sizeof(*guard));
	unsigned char *memory = arena_alloc(&c->own, size + 2 * GUARD);

	cr_assert(guard != NULL && memory != NULL);
	memset(memory, GUARD_BYTE, size + 2 * GUARD);
	memset(memory + GUARD, FILL_BYTE, size);
	*guard = (struct guard){c->guards, size, memory};
	c->guards = guard;
	return memory + GUARD;
}

bool guards_intact(const struct codec_case *c)
{
	for (const struct guard *guard = c->guards; guard != NULL; guard = guard->older) {
		for (size_t i = 0; i < GUARD; i++) {
			if (guard->before[i] != GUARD_BYTE || guard->before[GUARD + guard->size + i] != GUARD_BYTE)
				return false;
		}
	}
	return true;
}

void encode_request(struct codec_case *c, const struct call_row *row, const union wire_value values[])
{
	struct json_writer w;
	CK_RV rv;

	buffer_reset(&c->text);
	json_writer_init(&w, &c->text);
	rv = call_encode(&w, row, values);
	cr_assert_eq(rv, CKR_OK, "%s: %s", row->name, name_of(NAMES_RETURN, rv));
	cr_assert_not(c->text.failed);
}

struct call decode_request(struct codec_case *c)
{
	struct json_reader in;
	struct call call;

	json_reader_init(&in, (const char *)c->text.data, c->text.len, &c->arena);
	cr_assert(call_decode(&in, &call) && json_end(&in), "%s at %zu in %.*s", in.error, json_offset(&in),
		(int)c->text.len, (const char *)c->text.data);
	memset(c->text.data, '#', c->text.len);
	return call;
}

bool decode_text(struct codec_case *c, const char *text, struct call *ret_call)
{
	struct json_reader in;
	bool good;

	json_reader_init(&in, text, strlen(text), &c->arena);
	good = call_decode(&in, ret_call) && json_end(&in);
	cr_assert(good || in.error != NULL, "%s", text);
	return good;
}

void encode_result(struct codec_case *c, const struct call *call, CK_RV rv)
{
	struct json_writer w;

	buffer_reset(&c->text);
	json_writer_init(&w, &c->text);
	call_encode_result(&w, call, rv);
	cr_assert_not(c->text.failed);
}

static CK_RV decode_result_bytes(struct codec_case *c, const char *text, size_t len, const struct call_row *row,
	const union wire_value values[], bool *ret_failed)
{
	struct json_reader in;
	CK_RV rv;

	json_reader_init(&in, text, len, &c->arena);
	rv = call_decode_result(&in, row, values);
	*ret_failed = json_failed(&in);
	if (!*ret_failed)
		cr_assert(json_end(&in));
	else
		cr_expect_eq(rv, CKR_GENERAL_ERROR);
	cr_expect(guards_intact(c), "%s wrote beyond the caller's memory for %.*s", row->name, (int)len, text);
	return rv;
}

CK_RV decode_result(struct codec_case *c, const struct call_row *row, const union wire_value values[], bool *ret_failed)
{
	return decode_result_bytes(c, (const char *)c->text.data, c->text.len, row, values, ret_failed);
}

CK_RV decode_result_text(struct codec_case *c, const char *text, const struct call_row *row,
	const union wire_value values[], bool *ret_failed)
{
	return decode_result_bytes(c, text, strlen(text), row, values, ret_failed);
}

void expect_written(const struct codec_case *c, const char *expected)
{
	cr_expect(c->text.len == strlen(expected) && memcmp(c->text.data, expected, c->text.len) == 0, "%.*s is not %s",
		(int)c->text.len, (const char *)c->text.data, expected);
}

CK_RV encode_tried(const struct call_row *row, const union wire_value values[])
{
	BUFFER_AUTO struct buffer out;
	struct json_writer w;
	CK_RV rv;

	buffer_init(&out, LIMIT_BODY);
	json_writer_init(&w, &out);
	rv = call_encode(&w, row, values);
	if (rv != CKR_OK)
		cr_expect_eq(out.len, 0, "%s wrote although it was refused", row->name);
	return rv;
}
