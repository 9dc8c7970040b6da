/*
 * Memory of one message: allocated piecemeal, wiped and freed as a whole.
 *
 * One arena belongs to one thread at a time.
 */
#ifndef P11GATE_API_ARENA_H
#define P11GATE_API_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	size_t used; /* bytes handed out */
	size_t limit; /* ceiling of `used` */
};

/* An empty arena that will hand out at most `limit` bytes. Allocates nothing. */
void arena_init(struct arena *arena, size_t limit);

/*
 * `size` zeroed bytes, aligned to 16, valid until arena_reset or arena_done; size 0 gives a valid
 * non-NULL pointer. NULL when the limit or the memory is exhausted.
 */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((warn_unused_result));

/* As arena_alloc for `count` items of `size` bytes; NULL too when the product overflows. */
void *arena_array(struct arena *arena, size_t count, size_t size) __attribute__((warn_unused_result));

/* A copy of `len` bytes with a terminating NUL behind them. NULL as for arena_alloc. */
void *arena_copy(struct arena *arena, const void *data, size_t len) __attribute__((warn_unused_result));

/* Wipes everything handed out and keeps one block for the next message. */
void arena_reset(struct arena *arena);

/* Wipes and frees everything; the arena is empty afterwards and can be used again. */
void arena_done(struct arena *arena);

#define ARENA_AUTO __attribute__((cleanup(arena_done)))

#endif
