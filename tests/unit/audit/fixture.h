/*
 * An audit log in a folder of the test's own. Failures end the test (cr_assert).
 */
#ifndef P11GATE_TESTS_UNIT_AUDIT_FIXTURE_H
#define P11GATE_TESTS_UNIT_AUDIT_FIXTURE_H

#include <stdint.h>

#include "server/audit/audit.h"

enum { TEXT_MAX = 4 << 20 };

extern const struct audit_subject alice;
extern char folder[64], file[96]; /* the log, not made yet */
extern char torn[96]; /* where a torn line of it goes */
extern char error[512]; /* why it could not be opened */

/* .init and .fini of a suite */
void fixture_make(void);
void fixture_remove(void);

struct audit *opened(void);
/* Writes one event of alice. */
enum status put(struct audit *audit, const char *event, uint64_t *ret_seq);
uint64_t put_ok(struct audit *audit, const char *event);
/* The caller frees it. */
char *contents(const char *path);
/* Behind the log's back. */
void append(const char *text);
/* Every line is one JSON object whose seq is the line's number. Returns the number of lines. */
uint64_t check_gapless(void);

#endif
