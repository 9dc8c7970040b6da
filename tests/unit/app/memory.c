#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/common/wipe_free.h"
#include "tests/unit/app/fixture.h"

/* The sanitizers have an allocator of their own, which this one cannot stand in front of. */
#if WIPE_FREE_ACTIVE

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);

/* Allocations of this thread that still succeed; negative: all. */
static _Thread_local long allowed = -1;

static bool fails(void)
{
	if (allowed < 0)
		return false;
	if (allowed > 0) {
		allowed--;
		return false;
	}
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

static int lowest_free_descriptor(void)
{
	int lowest = dup(0);
	close(lowest);
	return lowest;
}

static bool has_settled(void *context)
{
	return lowest_free_descriptor() == *(int *)context;
}

Test(memory, that_does_not_suffice_is_an_error_of_the_request_and_leaves_nothing_behind, .timeout = 120)
{
	struct fixture fixture;
	fixture_init(&fixture);
	fixture_start(&fixture);
	ask(&fixture, 1, "");
	cr_assert(metrics_show(&fixture, "p11gate_workers_started_total 3\n"));
	int before = lowest_free_descriptor();
	enum status status = STATUS_NO_MEMORY;
	long limit = 0;
	for (; status != STATUS_OK && limit < 1000; limit++) {
		struct asked asked = {.fixture = &fixture,
			.domain = "alice",
			.slot = "demo",
			.id = 2,
			.instance = 3,
			.query = "acquire=1,1;release=0,1;open=ab"};
		allowed = limit;
		ask_it(&asked);
		allowed = -1;
		status = asked.status;
		cr_expect(status == STATUS_OK || status == STATUS_NO_MEMORY || status == STATUS_BUSY ||
				  status == STATUS_UNAVAILABLE || status == STATUS_CLOSED,
			"after %ld allocations: status %d", limit, (int)status);
	}
	cr_expect_eq(status, STATUS_OK);
	cr_expect_gt(limit, 10);
	cr_expect_eq(ask(&fixture, 1, "").status, STATUS_OK);
	ask(&fixture, 2, "die");
	cr_expect(metrics_show(&fixture, "p11gate_workers_live{slot=\"demo\"} 1\n"));
	cr_expect(becomes(has_settled, &before), "descriptor %d is taken", before);
	fixture_done(&fixture);
}

#endif
