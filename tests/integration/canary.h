/*
 * A gateway whose PIN is easy to find, and where the PIN is then looked for: in the processes' memory and in what they have written.
 */
#ifndef P11GATE_TESTS_INTEGRATION_CANARY_H
#define P11GATE_TESTS_INTEGRATION_CANARY_H

#include "tests/integration/fixture.h"

enum { CANARY_MAX = 32, WORKERS_MAX = 8 };

/* A random PIN that begins with `start`. */
void canary_make(char ret_pin[CANARY_MAX], const char *start);

/* A gateway of the test's own whose PIN is one; `more` is added to its configuration, or NULL. */
void canary_start(struct gateway *ret_gateway, const char *more);

/* The positive control: the PIN is in that process, or comes there within 8 s. */
void expect_there(const struct gateway *g, pid_t pid, const char *pin, const char *where);

/* The PIN is not in that process, which lives; it may still be wiping when its answer is here already. */
void expect_gone(const struct gateway *g, pid_t pid, const char *pin, const char *where);

/* The PIN is in one place of that process alone. */
void expect_kept_once(const struct gateway *g, pid_t pid, const char *pin, const char *when);

/*
 * The PIN is in no file and neither in the gateway nor in any of its workers, of which there are that many at least, the inventory
 * among them. All connections may be open still.
 */
void expect_nowhere(const struct gateway *g, const char *pin, size_t workers, const char *when);

/* Nothing that the gateway and its workers have written has it, but for the token's own files. */
void expect_in_no_file(const struct gateway *g, const char *pin);

#endif
