#include "server/common/memory.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/common/wipe_free.h"

#if WIPE_FREE_ACTIVE

enum {
	LARGE = 128 << 10, /* bytes of an allocation that gets a mapping of its own */
	TRIM_ABOVE = 4 << 20, /* unused bytes at the end of the heap that are given back … */
	TRIM_LEAVE = 1 << 20, /* … but for these, so that it never ends before heap_start */
	LINE_MAX_LEN = 512, /* of /proc/self/maps */
};

/* Where the heap ended in memory_hide; and where it ends as far as it is hidden, 0 before memory_hide. */
static uintptr_t heap_start;
static _Atomic uintptr_t heap_end;

static void hide(uintptr_t start, uintptr_t end)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;

	start &= ~page;
	end = (end + page) & ~page;
	/* It fails on nothing that is mapped; what is not needs no hiding. */
	(void)madvise((void *)start, end - start, MADV_DONTDUMP); /* NOLINT(performance-no-int-to-ptr) */
}

/* Another thread may do the same at the same time, or a part of it. */
static void heap_follow(uintptr_t end)
{
	uintptr_t known = atomic_load(&heap_end);

	if (end > known)
		hide(known, end);
	while (end > known && !atomic_compare_exchange_weak(&heap_end, &known, end)) {
	}
}

void memory_used(const void *memory, size_t size)
{
	uintptr_t known = atomic_load_explicit(&heap_end, memory_order_relaxed);

	if (known == 0 || memory == NULL)
		return;
	if (size >= LARGE) {
		hide((uintptr_t)memory, (uintptr_t)memory + size);
		return;
	}
	uintptr_t end = (uintptr_t)sbrk(0);
	if (end > known)
		heap_follow(end);
}

void memory_trim(void)
{
	if (mallinfo2().keepcost < TRIM_ABOVE)
		return;
	(void)malloc_trim(TRIM_LEAVE);
	/* It shrank, and may have grown again since: what lies between is no longer hidden. */
	atomic_store(&heap_end, heap_start);
	heap_follow((uintptr_t)sbrk(0));
}

/* A line of /proc/self/maps: "start-end mode …", the numbers in hexadecimal. */
static void hide_line(const char *line)
{
	char *at;
	uintptr_t start = strtoul(line, &at, 16);
	uintptr_t end = *at == '-' ? strtoul(at + 1, &at, 16) : 0;

	if (strncmp(at, " rw-p ", 6) == 0)
		hide(start, end);
}

void memory_hide_data(void)
{
	char line[LINE_MAX_LEN];
	FILE *maps = fopen("/proc/self/maps", "re");

	while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
		hide_line(line);
	if (maps != NULL)
		(void)fclose(maps);
}

void memory_hide(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, LARGE);
	/* A heap that shrinks and grows again meanwhile would look like one that did neither. */
	mallopt(M_TRIM_THRESHOLD, INT_MAX);
	heap_start = (uintptr_t)sbrk(0);
	atomic_store(&heap_end, heap_start);
	memory_hide_data();
}

void memory_hide_stack(void)
{
	pthread_attr_t attributes;
	void *stack;
	size_t size;

	if (atomic_load_explicit(&heap_end, memory_order_relaxed) == 0 ||
		pthread_getattr_np(pthread_self(), &attributes) != 0)
		return;
	if (pthread_attr_getstack(&attributes, &stack, &size) == 0)
		hide((uintptr_t)stack, (uintptr_t)stack + size);
	pthread_attr_destroy(&attributes);
}

#else

void memory_hide(void)
{
}
void memory_hide_data(void)
{
}
void memory_hide_stack(void)
{
}
void memory_trim(void)
{
}

void memory_used(const void *memory, size_t size)
{
	(void)memory, (void)size;
}

#endif

static bool may_lock_anything(void)
{
	struct __user_cap_header_struct version = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct held[_LINUX_CAPABILITY_U32S_3];

	return syscall(SYS_capget, &version, held) == 0 && (held[0].effective & 1u << CAP_IPC_LOCK) != 0;
}

/* Whether there is no ceiling: under one, all later allocations would fail when it is reached. */
static bool unlimited(struct rlimit *ret_limit)
{
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};

	if (setrlimit(RLIMIT_MEMLOCK, &none) == 0 || may_lock_anything())
		return true;
	if (getrlimit(RLIMIT_MEMLOCK, ret_limit) != 0)
		return false;
	ret_limit->rlim_cur = ret_limit->rlim_max;
	return ret_limit->rlim_max == RLIM_INFINITY && setrlimit(RLIMIT_MEMLOCK, ret_limit) == 0;
}

bool memory_lock(char *ret_why, size_t why_size)
{
	struct rlimit limit = {0, 0};

	if (!unlimited(&limit)) {
		snprintf(ret_why, why_size,
			"memory cannot be locked: the limit is %llu KiB; give the process CAP_IPC_LOCK, or set "
			"LimitMEMLOCK=infinity "
			"(systemd) or --ulimit memlock=-1 (containers)",
			(unsigned long long)limit.rlim_max >> 10);
		return false;
	}
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
		snprintf(ret_why, why_size, "memory cannot be locked: %s", strerror(errno));
		return false;
	}
	return true;
}
