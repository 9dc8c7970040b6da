#include "tests/support/lib/scratch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

void scratch_directory(char *ret_path, size_t size)
{
	const char *parent = getenv("TMPDIR");
	int len = snprintf(ret_path, size, "%s/p11gate-XXXXXX", parent != NULL ? parent : "/tmp");

	cr_assert(len > 0 && (size_t)len < size, "TMPDIR is too long a path for sockets; choose a shorter one");
	cr_assert_not_null(mkdtemp(ret_path));
}
