#include "tests/unit/store/fixture.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>

#include "server/common/log.h"
#include "tests/support/lib/scratch.h"

char folder[64], file[96];
char error[512];

void fixture_make(void)
{
	scratch_directory(folder, sizeof folder);
	snprintf(file, sizeof file, "%s/journal.db", folder);
	log_setup(LOG_LEVEL_ERROR, 0);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
	(void)info, (void)type, (void)place;
	return remove(path);
}

void fixture_remove(void)
{
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

struct store *opened(uint64_t size_max)
{
	struct store *store = NULL;
	cr_assert_eq(store_open(file, size_max, &store, error, sizeof error), STATUS_OK, "%s", error);
	return store;
}

struct store_entry entry_of(unsigned char name, size_t len)
{
	static const unsigned char bytes[1 << 20] = {1};
	struct store_entry entry = {
		.identity = "alice",
		.slot = "demo",
		.route = "key_generate",
		.created = 1000,
		.object = {(const unsigned char *)"\1\0\2", 3},
		.result = {len > 0 ? bytes : NULL, len},
	};
	memset(entry.name, name, sizeof entry.name);
	memset(entry.request, 0x77, sizeof entry.request);
	return entry;
}

enum status found(struct store *store, unsigned char name, int64_t since, struct store_entry *ret_entry)
{
	static struct arena arena;
	unsigned char whole[STORE_HASH_LEN];
	arena_done(&arena);
	arena_init(&arena, 4 << 20);
	memset(whole, name, sizeof whole);
	return store_find(store, whole, since, &arena, ret_entry);
}
