/*
 * The order of a list of keys, and the cursor that is a place in it.
 */
#ifndef P11GATE_WORKER_RESOURCES_KEY_PLACE_H
#define P11GATE_WORKER_RESOURCES_KEY_PLACE_H

#include "server/worker/resources/key.h"

/* Label, CKA_ID, type, class: below, at or above 0. For qsort as well. */
int key_place_compare(const void *a, const void *b);

/* A place: behind the first `alike` of the keys that are equal to `key` by key_place_compare. */
struct key_place {
	struct key key;
	uint64_t alike;
};

/*
 * The cursor of the place behind item `last` of a sorted list, in the arena; NULL without memory. `filter` is what the list was
 * narrowed by. A cursor is good for the same application, identity and filter alone, and until the gateway starts anew.
 */
const char *key_place_cursor(struct request *request, const struct key_list *list, size_t last, const char *filter);

/* Reads such a cursor; false: it is none, or one of another application or filter. */
bool key_place_read(struct request *request, const char *cursor, const char *filter, struct key_place *ret_place)
	__attribute__((warn_unused_result));

/* The first item of the sorted list that is behind the place. */
size_t key_place_find(const struct key_list *list, const struct key_place *place);

#endif
