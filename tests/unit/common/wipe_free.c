#include <criterion/criterion.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/wipe_free.h"

#if WIPE_FREE_ACTIVE

enum { ALLOCATOR_NOTES = 32 }; /* bytes at both ends that glibc itself uses in freed memory */

/* Where `memory` is, in a way that the compiler cannot connect with it. */
static uintptr_t address_of(const void *memory)
{
	volatile uintptr_t address = (uintptr_t)memory;
	return address;
}

/* Whether `pattern` is still anywhere in memory that was given back. Volatile: the compiler knows that it is dead. */
static int holds_pattern(uintptr_t address, size_t len, unsigned char pattern)
{
	const volatile unsigned char *memory = (const volatile unsigned char *)address;
	for (size_t i = ALLOCATOR_NOTES; i + ALLOCATOR_NOTES < len; i++)
		if (memory[i] == pattern)
			return 1;
	return 0;
}

static unsigned char *filled(size_t len)
{
	unsigned char *memory = malloc(len);
	/* A neighbour that stays keeps the block from melting into the top of the heap. */
	unsigned char *neighbour = malloc(64);
	cr_assert(memory != NULL && neighbour != NULL);
	memset(memory, 0xA5, len);
	return memory;
}

Test(wipe_free, leaves_nothing_in_freed_memory)
{
	static const size_t sizes[] = {100, 1000, 5000, 100000};
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		unsigned char *memory = filled(sizes[i]);
		uintptr_t address = address_of(memory);
		free(memory);
		cr_expect_not(holds_pattern(address, sizes[i], 0xA5), "%zu bytes", sizes[i]);
	}
}

Test(wipe_free, leaves_nothing_behind_when_memory_grows)
{
	unsigned char *memory = filled(1000);
	uintptr_t address = address_of(memory);
	unsigned char *larger = realloc(memory, 50000);
	cr_assert_not_null(larger);
	cr_expect_eq(larger[0], 0xA5);
	cr_expect_eq(larger[999], 0xA5);
	cr_assert_neq(address_of(larger), address);
	cr_expect_not(holds_pattern(address, 1000, 0xA5));
	free(larger);
}

Test(wipe_free, leaves_nothing_in_the_part_that_shrinking_gives_back)
{
	unsigned char *memory = filled(5000);
	uintptr_t address = address_of(memory);
	unsigned char *smaller = realloc(memory, 200);
	cr_assert_not_null(smaller);
	cr_expect_eq(smaller[199], 0xA5);
	cr_expect_not(holds_pattern(address + 200, 4800, 0xA5));
	free(smaller);
}

Test(wipe_free, covers_memory_that_libc_itself_gives_back)
{
	FILE *file = fopen("/dev/null", "w");
	char *memory = NULL;
	size_t len = 0;
	cr_assert_not_null(file);
	FILE *stream = open_memstream(&memory, &len);
	for (unsigned i = 0; i < 3000; i++)
		fputc(0xA5, stream);
	fflush(stream);
	uintptr_t before = address_of(memory);
	for (unsigned i = 0; i < 100000; i++)
		fputc(0x11, stream);
	fclose(stream);
	cr_assert_neq(before, address_of(memory));
	cr_expect_not(holds_pattern(before, 3000, 0xA5));
	free(memory);
	fclose(file);
}

Test(wipe_free, behaves_as_the_standard_says_at_the_edges)
{
	free(NULL);
	char *memory = realloc(NULL, 10);
	cr_assert_not_null(memory);
	memset(memory, 'x', 10);
	memory = realloc(memory, 20);
	cr_expect_eq(memcmp(memory, "xxxxxxxxxx", 10), 0);
	free(memory);
	volatile size_t too_much = SIZE_MAX / 2;
	memory = malloc(10);
	char *same = realloc(memory, too_much);
	cr_expect_null(same);
	free(same == NULL ? memory : same);
}

#endif
