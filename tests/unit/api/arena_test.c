#include "api/arena.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

enum { LIMIT = 1 << 20 };

Test(arena, memory_is_zeroed_and_aligned_to_16)
{
	ARENA_AUTO struct arena arena;
	const unsigned char zeros[64] = {0};

	arena_init(&arena, LIMIT);
	for (size_t size = 0; size <= 64; size++) {
		unsigned char *item = arena_alloc(&arena, size);
		cr_assert_not_null(item);
		cr_expect_eq((uintptr_t)item % 16, 0);
		cr_expect_arr_eq(item, zeros, size);
		memset(item, 0xFF, size);
	}
}

Test(arena, memory_is_zeroed_again_after_reset)
{
	ARENA_AUTO struct arena arena;
	const unsigned char zeros[100] = {0};

	arena_init(&arena, LIMIT);
	unsigned char *first = arena_alloc(&arena, 100);
	cr_assert_not_null(first);
	memset(first, 0xAA, 100);
	arena_reset(&arena);
	unsigned char *second = arena_alloc(&arena, 100);
	cr_assert_eq(first, second, "the block is kept for the next message");
	cr_assert_arr_eq(second, zeros, 100);
}

Test(arena, reset_wipes_what_was_handed_out)
{
	ARENA_AUTO struct arena arena;

	arena_init(&arena, LIMIT);
	char *secret = arena_copy(&arena, "1234", 4);
	cr_assert_not_null(secret);
	arena_reset(&arena);
	cr_assert_arr_eq(secret, "\0\0\0\0", 4);
}

Test(arena, items_do_not_overlap)
{
	ARENA_AUTO struct arena arena;
	unsigned char *items[300];

	arena_init(&arena, LIMIT);
	for (size_t i = 0; i < 300; i++) {
		items[i] = arena_alloc(&arena, 100);
		cr_assert_not_null(items[i]);
		memset(items[i], (int)i, 100);
	}
	for (size_t i = 0; i < 300; i++)
		for (size_t j = 0; j < 100; j++)
			cr_assert_eq(items[i][j], (unsigned char)i);
}

Test(arena, nothing_is_handed_out_beyond_the_limit)
{
	ARENA_AUTO struct arena arena;

	arena_init(&arena, 64);
	cr_assert_null(arena_alloc(&arena, 65));
	cr_assert_not_null(arena_alloc(&arena, 48));
	cr_assert_null(arena_alloc(&arena, 17));
	cr_assert_not_null(arena_alloc(&arena, 16));
	cr_assert_null(arena_alloc(&arena, 0));
	cr_assert_eq(arena.used, 64);
}

Test(arena, empty_items_use_up_the_limit_too)
{
	ARENA_AUTO struct arena arena;
	size_t count = 0;

	arena_init(&arena, 1024);
	while (arena_alloc(&arena, 0) != NULL)
		count++;
	cr_assert_eq(count, 64);
}

Test(arena, sizes_that_overflow_are_refused)
{
	ARENA_AUTO struct arena arena;

	arena_init(&arena, SIZE_MAX);
	cr_assert_null(arena_alloc(&arena, SIZE_MAX));
	cr_assert_null(arena_alloc(&arena, SIZE_MAX - 15));
	cr_assert_null(arena_array(&arena, SIZE_MAX / 2, 3));
	cr_assert_null(arena_copy(&arena, "", SIZE_MAX));
	cr_assert_eq(arena.used, 0);
}

Test(arena, an_array_has_room_for_all_its_items)
{
	ARENA_AUTO struct arena arena;

	arena_init(&arena, LIMIT);
	uint64_t *numbers = arena_array(&arena, 5000, sizeof(*numbers));
	cr_assert_not_null(numbers);
	for (size_t i = 0; i < 5000; i++)
		numbers[i] = i;
	cr_assert_eq(numbers[4999], 4999);
}

Test(arena, a_copy_ends_with_nul)
{
	ARENA_AUTO struct arena arena;

	arena_init(&arena, LIMIT);
	char *copy = arena_copy(&arena, "label-more", 5);
	cr_assert_str_eq(copy, "label");
	cr_assert_str_eq(arena_copy(&arena, NULL, 0), "");
}

Test(arena, can_be_used_again_after_done)
{
	ARENA_AUTO struct arena arena;

	arena_init(&arena, 256);
	cr_assert_not_null(arena_alloc(&arena, 256));
	arena_done(&arena);
	cr_assert_null(arena.blocks);
	cr_assert_not_null(arena_alloc(&arena, 256));
}

Test(arena, reset_gives_a_huge_block_back)
{
	ARENA_AUTO struct arena arena;

	arena_init(&arena, LIMIT);
	cr_assert_not_null(arena_alloc(&arena, 100 << 10));
	arena_reset(&arena);
	cr_assert_null(arena.blocks);
	cr_assert_not_null(arena_alloc(&arena, 100));
}
