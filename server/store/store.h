/*
 * Entries that survive a crash, under names of 32 bytes: the one interface between the journal and the engine that keeps them.
 *
 * When a function that writes has returned STATUS_OK, the entry is on the disk. Thread-safe.
 */
#ifndef P11GATE_STORE_STORE_H
#define P11GATE_STORE_STORE_H

#include <stdint.h>

#include "api/arena.h"
#include "server/common/message.h"
#include "server/common/status.h"

struct store;

enum { STORE_HASH_LEN = 32 };

struct store_entry {
	unsigned char name[STORE_HASH_LEN];
	unsigned char request[STORE_HASH_LEN];
	const char *identity, *slot, *route; /* for operators, and to count */
	int64_t created; /* seconds since 1970 */
	/* The process that may still be carrying it out, and when that started (process_started); 0: none. */
	int64_t worker;
	uint64_t worker_started;
	struct bytes object;
	struct bytes result; /* data NULL: none yet */
};

/*
 * Opens or makes the file, which may grow to `size_max` bytes. `ret_error` holds one sentence on failure: what is wrong and what to do.
 * STATUS_IO, STATUS_NO_MEMORY; STATUS_BUSY: another process has it; STATUS_MALFORMED: it is damaged, or something else.
 */
enum status store_open(
	const char *file, uint64_t size_max, struct store **ret_store, char *ret_error, size_t error_size) MUST_USE;
/* NULL is allowed. */
void store_close(struct store *store);

/* A secret of this store: random bytes that were made with it. */
const unsigned char *store_key(const struct store *store);

/* The entry of that name, if it was created at `since` or later; in memory of `arena`. STATUS_NOT_FOUND, STATUS_IO, STATUS_NO_MEMORY. */
enum status store_find(struct store *store, const unsigned char name[STORE_HASH_LEN], int64_t since,
	struct arena *arena, struct store_entry *ret_entry) MUST_USE;

/* How many entries of an identity were created at `since` or later. STATUS_IO. */
enum status store_count(struct store *store, const char *identity, int64_t since, uint64_t *ret_count) MUST_USE;

/* Takes in an entry, in place of one of its name. STATUS_TOO_LARGE: there is no room, in the file or on the disk; STATUS_IO. */
enum status store_put(struct store *store, const struct store_entry *entry) MUST_USE;

/* No process carries it out any more; its result, data NULL if it has none. As store_put; STATUS_OK also if there is no such entry. */
enum status store_finish(struct store *store, const unsigned char name[STORE_HASH_LEN], struct bytes result) MUST_USE;

/* Removes what was created before `before`. STATUS_IO. */
enum status store_expire(struct store *store, int64_t before) MUST_USE;

#endif
