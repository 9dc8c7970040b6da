/*
 * Which key a name stands for, remembered for a moment: a token search costs more than a signature on fast tokens.
 *
 * An entry is good for KEY_CACHE_MS at most, under one login, and until this application changes an object. So another
 * application's new key of the same name is noticed at most KEY_CACHE_MS late. Nothing is found while certificates can make a key
 * ask for its PIN. Thread-safe.
 */
#ifndef P11GATE_WORKER_RESOURCES_KEY_CACHE_H
#define P11GATE_WORKER_RESOURCES_KEY_CACHE_H

#include "server/worker/resources/key.h"

enum {
	KEY_CACHE_MS = 1000,
	KEY_CACHE_ENTRIES = 32,
	KEY_CACHE_NAME_MAX = 128
}; /* bytes of a label or CKA_ID that is remembered */

/* What an entry depends on; taken before the search whose result is stored. */
struct key_cache_stamp {
	unsigned login, changes;
	int64_t until_ms;
};

struct key_cache_stamp key_cache_stamp(const struct request *request);

/* The key of that query, if it is remembered; its memory is the request's arena. */
bool key_cache_find(struct request *request, const struct key_query *query, struct key *ret_key)
	__attribute__((warn_unused_result));

/* Remembers the one key that the query found. A query by URI and long names are not remembered. */
void key_cache_store(const struct key_query *query, const struct key *key, struct key_cache_stamp stamp);

/* Forgets the key: the module no longer knows its handle. */
void key_cache_forget(CK_OBJECT_HANDLE object);

#endif
