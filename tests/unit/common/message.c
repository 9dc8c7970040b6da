#include <criterion/criterion.h>

#include <string.h>

#include "server/common/frame.h"
#include "server/common/message.h"

#define BYTES(text) \
	{ \
		(const unsigned char *)(text), sizeof(text) - 1 \
	}

static const struct bytes headers[] = {BYTES("Location: /v1/slots/demo/keys/a"), BYTES("")};

static const struct worker_response response = {
	.status = 201,
	.content_type = "application/json",
	.headers = {headers, 2},
	.sessions = 7,
	.login = LOGIN_USER,
	.operation_opened = "",
	.operation_closed = "00112233",
	.body = BYTES("{\"label\":\"\0\"}"),
};

static void pack(struct buffer *out)
{
	buffer_init(out, FRAME_PAYLOAD_MAX);
	worker_response_pack(out, &response);
	cr_assert(!out->failed);
}

Test(message, comes_back_as_it_was_packed)
{
	BUFFER_AUTO struct buffer payload;
	ARENA_AUTO struct arena arena;
	struct worker_response got;
	pack(&payload);
	arena_init(&arena, 1 << 20);
	cr_assert_eq(worker_response_unpack(payload.data, payload.len, &arena, &got), STATUS_OK);
	cr_expect_eq(got.status, 201);
	cr_expect_str_eq(got.content_type, "application/json");
	cr_assert_eq(got.headers.count, 2);
	cr_expect_eq(got.headers.items[0].len, headers[0].len);
	cr_expect_eq(memcmp(got.headers.items[0].data, headers[0].data, headers[0].len), 0);
	cr_expect_eq(got.headers.items[1].len, 0);
	cr_expect_eq(got.audit.count, 0);
	cr_expect_eq(got.sessions, 7);
	cr_expect_eq(got.login, LOGIN_USER);
	cr_expect_str_eq(got.operation_opened, "");
	cr_expect_str_eq(got.operation_closed, "00112233");
	cr_assert_eq(got.body.len, response.body.len);
	cr_expect_eq(memcmp(got.body.data, response.body.data, got.body.len), 0);
}

Test(message, writes_numbers_little_endian)
{
	BUFFER_AUTO struct buffer payload;
	struct token_grant grant = {.rv = 0x0102030405060708, .generation = 1, .last_tries = 2, .busy = 0, .tries = 3};
	static const unsigned char expected[32] = {8, 7, 6, 5, 4, 3, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2, [24] = 3};
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	token_grant_pack(&payload, &grant);
	cr_assert_eq(payload.len, sizeof expected);
	cr_expect_eq(memcmp(payload.data, expected, sizeof expected), 0);
}

Test(message, refuses_every_truncation)
{
	BUFFER_AUTO struct buffer payload;
	pack(&payload);
	for (size_t len = 0; len < payload.len; len++) {
		ARENA_AUTO struct arena arena;
		struct worker_response got = {.status = 77};
		arena_init(&arena, 1 << 20);
		unsigned char *exact = malloc(len);
		memcpy(exact, payload.data, len);
		cr_expect_eq(worker_response_unpack(exact, len, &arena, &got), STATUS_MALFORMED, "at %zu", len);
		cr_expect_eq(got.status, 77);
		free(exact);
	}
}

Test(message, refuses_bytes_behind_the_last_field)
{
	BUFFER_AUTO struct buffer payload;
	ARENA_AUTO struct arena arena;
	struct worker_response got;
	pack(&payload);
	buffer_byte(&payload, 0);
	arena_init(&arena, 1 << 20);
	cr_expect_eq(worker_response_unpack(payload.data, payload.len, &arena, &got), STATUS_MALFORMED);
}

Test(message, refuses_a_nul_within_text)
{
	static const unsigned char payload[] = {0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 'a', 0, 'b'};
	ARENA_AUTO struct arena arena;
	struct worker_started got;
	arena_init(&arena, 1 << 20);
	cr_expect_eq(worker_started_unpack(payload, sizeof payload, &arena, &got), STATUS_MALFORMED);
}

Test(message, does_not_believe_a_count_that_the_payload_cannot_hold)
{
	static const unsigned char payload[] = {0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0};
	ARENA_AUTO struct arena arena;
	struct inventory_answer got;
	arena_init(&arena, (size_t)1 << 40);
	cr_expect_eq(inventory_answer_unpack(payload, sizeof payload, &arena, &got), STATUS_MALFORMED);
	cr_expect_eq(arena.used, 0);
}

Test(message, reports_an_arena_that_is_full)
{
	BUFFER_AUTO struct buffer payload;
	ARENA_AUTO struct arena arena;
	struct worker_response got;
	pack(&payload);
	arena_init(&arena, 8);
	cr_expect_eq(worker_response_unpack(payload.data, payload.len, &arena, &got), STATUS_NO_MEMORY);
}

Test(message, takes_missing_text_as_empty_when_packing)
{
	BUFFER_AUTO struct buffer payload;
	ARENA_AUTO struct arena arena;
	struct worker_started started = {.rv = 5, .detail = NULL}, got;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	arena_init(&arena, 1 << 10);
	worker_started_pack(&payload, &started);
	cr_assert_eq(worker_started_unpack(payload.data, payload.len, &arena, &got), STATUS_OK);
	cr_expect_str_eq(got.detail, "");
}
