/*
 * Directories for one test, under $TMPDIR (tests/run.sh gives one that it removes) or /tmp.
 */
#ifndef P11GATE_TESTS_SUPPORT_LIB_SCRATCH_H
#define P11GATE_TESTS_SUPPORT_LIB_SCRATCH_H

#include <stddef.h>

enum { SCRATCH_PATH_LEN = 64 }; /* room that a path of scratch_directory needs, its NUL included */

/* Makes a new private directory and gives its path; `size` is at least SCRATCH_PATH_LEN. Fails the test if it cannot. */
void scratch_directory(char *ret_path, size_t size);

#endif
