#include "api/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/secret.h"

enum { ALIGNMENT = 16, BLOCK_SIZE = 8 << 10 };

struct arena_block {
	struct arena_block *older;
	size_t used, size; /* bytes of data, both multiples of ALIGNMENT */
	_Alignas(ALIGNMENT) unsigned char data[];
};

void arena_init(struct arena *arena, size_t limit)
{
	*arena = (struct arena){.limit = limit};
}

static struct arena_block *block_new(struct arena_block *older, size_t size)
{
	size_t total;

	if (__builtin_add_overflow(sizeof(struct arena_block), size, &total))
		return NULL;
	struct arena_block *block = malloc(total);
	if (block != NULL)
		*block = (struct arena_block){.older = older, .size = size};
	return block;
}

static void block_free(struct arena_block *block)
{
	secret_wipe(block->data, block->used);
	free(block);
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->blocks;

	if (size > arena->limit - arena->used)
		return NULL;
	/* An item of its own for size 0 too, so that no two pointers are equal. */
	size_t rounded = size == 0 ? ALIGNMENT : (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (rounded < size || rounded > arena->limit - arena->used)
		return NULL;
	if (block == NULL || block->size - block->used < rounded) {
		block = block_new(arena->blocks, rounded > BLOCK_SIZE ? rounded : BLOCK_SIZE);
		if (block == NULL)
			return NULL;
		arena->blocks = block;
	}
	void *item = block->data + block->used;
	block->used += rounded;
	arena->used += rounded;
	return memset(item, 0, size);
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
	size_t product;

	if (__builtin_mul_overflow(count, size, &product))
		return NULL;
	return arena_alloc(arena, product);
}

void *arena_copy(struct arena *arena, const void *data, size_t len)
{
	unsigned char *copy = len < SIZE_MAX ? arena_alloc(arena, len + 1) : NULL;

	if (copy != NULL && len > 0)
		memcpy(copy, data, len);
	return copy;
}

/* Frees all blocks but `kept`, which may be NULL. */
static void blocks_free(struct arena *arena, const struct arena_block *kept)
{
	struct arena_block *block = arena->blocks;

	while (block != NULL) {
		struct arena_block *older = block->older;
		if (block != kept)
			block_free(block);
		block = older;
	}
}

void arena_reset(struct arena *arena)
{
	struct arena_block *kept = NULL;

	/* The oldest block is of ordinary size unless the first item was huge; a huge one is not worth keeping. */
	for (struct arena_block *block = arena->blocks; block != NULL; block = block->older)
		if (block->size == BLOCK_SIZE)
			kept = block;
	blocks_free(arena, kept);
	if (kept != NULL) {
		secret_wipe(kept->data, kept->used);
		kept->used = 0;
		kept->older = NULL;
	}
	arena->blocks = kept;
	arena->used = 0;
}

void arena_done(struct arena *arena)
{
	blocks_free(arena, NULL);
	arena_init(arena, arena->limit);
}
