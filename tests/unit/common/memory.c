#include <criterion/criterion.h>

#include <linux/capability.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/common/memory.h"
#include "server/common/wipe_free.h"

/* Whether the mapping of an address carries a flag in /proc/self/smaps ("dd", "lo"). */
static bool has_flag(const volatile void *address, const char *flag)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	char line[512];
	bool inside = false, found = false;

	cr_assert_not_null(smaps);
	while (fgets(line, sizeof line, smaps) != NULL) {
		unsigned long start, end;
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (uintptr_t)address >= start && (uintptr_t)address < end;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line + 8, flag) != NULL;
	}
	(void)fclose(smaps);
	return found;
}

/* A sanitizer's allocator is its own. */
#if WIPE_FREE_ACTIVE

enum { MANY = 5000, SMALL = 1000 };

static volatile char data[4096];

Test(memory, X6_what_is_there_is_hidden_from_dumps)
{
	char *before = malloc(SMALL);
	char local = 0;

	memory_hide();
	cr_expect(has_flag(before, "dd"));
	cr_expect(has_flag(&local, "dd"));
	data[0] = 1;
	cr_expect(has_flag(data, "dd"));
	free(before);
}

Test(memory, X6_what_malloc_hands_out_is_hidden_from_dumps)
{
	static char *blocks[MANY];

	memory_hide();
	for (size_t i = 0; i < MANY; i++)
		blocks[i] = malloc(SMALL);
	cr_expect(has_flag(blocks[0], "dd"));
	cr_expect(has_flag(blocks[MANY - 1] + SMALL - 1, "dd"));
	char *large = malloc(3 << 20), *zeroed = calloc(1, 1 << 20), *grown = realloc(malloc(10), 500000);
	cr_expect(has_flag(large, "dd") && has_flag(large + (3 << 20) - 1, "dd"));
	cr_expect(has_flag(zeroed, "dd"));
	cr_expect(has_flag(grown + 499999, "dd"));
	free(large);
	free(zeroed);
	free(grown);
	for (size_t i = 0; i < MANY; i++)
		free(blocks[i]);
}

static void *in_thread(void *hides)
{
	char *memory = malloc(SMALL), local = 0;

	if (hides != NULL)
		memory_hide_stack();
	cr_expect(has_flag(memory, "dd"));
	cr_expect_eq(has_flag(&local, "dd"), hides != NULL);
	free(memory);
	return NULL;
}

Test(memory, X6_a_threads_memory_and_stack_are_hidden_from_dumps)
{
	pthread_t thread;
	char yes;

	memory_hide();
	cr_assert_eq(pthread_create(&thread, NULL, in_thread, &yes), 0);
	pthread_join(thread, NULL);
}

Test(memory, X6_the_heap_shrinks_when_told_and_what_it_grows_by_later_is_hidden_again)
{
	static char *blocks[3 * MANY];

	memory_hide();
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 3 * MANY; i++)
			blocks[i] = malloc(SMALL);
		const char *end = sbrk(0);
		cr_expect(has_flag(blocks[3 * MANY - 1], "dd"), "round %d", round);
		for (size_t i = 0; i < 3 * MANY; i++)
			free(blocks[i]);
		memory_trim();
		cr_expect_lt((const char *)sbrk(0), end - (8 << 20));
	}
}

#endif

Test(memory, X6_memory_is_locked_now_and_later)
{
	char why[256] = "";

	cr_assert(memory_lock(why, sizeof why), "%s; run the tests as root", why);
#if WIPE_FREE_ACTIVE
	char local = 0, *later = malloc(1 << 20);
	*(volatile char *)later = 1;
	cr_expect(has_flag(&local, "lo"));
	cr_expect(has_flag(later, "lo"));
	free(later);
#endif
}

static void give_up_capabilities(void)
{
	struct __user_cap_header_struct version = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	cr_assert_eq(syscall(SYS_capset, &version, none), 0);
}

Test(memory, X6_a_limit_on_locked_memory_is_told_before_it_is_met)
{
	const struct rlimit limit = {64 << 10, 64 << 10};
	char why[256] = "";

	cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	give_up_capabilities();
	cr_assert_not(memory_lock(why, sizeof why));
	cr_expect_not_null(strstr(why, "64 KiB"), "%s", why);
	cr_expect_not(has_flag(why, "lo"));
	char *memory = malloc(1 << 20);
	cr_expect_not_null(memory);
	free(memory);
}
