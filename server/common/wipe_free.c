/*
 * free and realloc that wipe: what a library leaves in memory it gives back (a PIN in a TLS record, in a JSON
 * parser's token) is gone at that moment, not when the memory happens to be used again. All of them tell memory.c what they hand out.
 *
 * Linked into a program these replace glibc's for the program and for every library it loads; memory still comes
 * from glibc. The sanitizers bring an allocator of their own, so there is nothing here for them.
 */
#include "server/common/wipe_free.h"

#if WIPE_FREE_ACTIVE

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/memory.h"

/* glibc's own functions under the names that it exports for replacements. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void __libc_free(void *memory);

static void wipe(void *memory, size_t len)
{
	memset(memory, 0, len);
	/* The compiler may not drop the writes because the memory is freed next. */
	__asm__ __volatile__("" : : "r"(memory) : "memory");
}

void free(void *memory)
{
	if (memory == NULL)
		return;
	wipe(memory, malloc_usable_size(memory));
	__libc_free(memory);
}

/* Weak: a test may put its own in front of these two. */
__attribute__((weak)) void *malloc(size_t size)
{
	void *memory = __libc_malloc(size);

	memory_used(memory, size);
	return memory;
}

__attribute__((weak)) void *calloc(size_t count, size_t size)
{
	void *memory = __libc_calloc(count, size);

	memory_used(memory, count * size);
	return memory;
}

void *realloc(void *memory, size_t size)
{
	if (memory == NULL)
		return malloc(size);
	if (size == 0) {
		free(memory);
		return NULL;
	}
	size_t usable = malloc_usable_size(memory);
	if (size <= usable) {
		/* glibc shrinks in place. */
		wipe((char *)memory + size, usable - size);
		return __libc_realloc(memory, size);
	}
	void *larger = malloc(size);
	if (larger == NULL)
		return NULL;
	memcpy(larger, memory, usable);
	free(memory);
	return larger;
}

#endif
