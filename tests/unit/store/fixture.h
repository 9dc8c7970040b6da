/*
 * A folder of the test's own for a store. Failures end the test (cr_assert).
 */
#ifndef P11GATE_TESTS_UNIT_STORE_FIXTURE_H
#define P11GATE_TESTS_UNIT_STORE_FIXTURE_H

#include "server/store/journal.h"
#include "server/store/store.h"

enum { SIZE = 16 << 20 };

extern char folder[64], file[96]; /* the store, not made yet */
extern char error[512]; /* why it could not be opened */

/* .init and .fini of a suite */
void fixture_make(void);
void fixture_remove(void);

struct store *opened(uint64_t size_max);
/* An entry whose name is `name` over and over, and whose result has `len` bytes; 0: none. */
struct store_entry entry_of(unsigned char name, size_t len);
/* The entry of that name, in static memory; its status. */
enum status found(struct store *store, unsigned char name, int64_t since, struct store_entry *ret_entry);

#endif
