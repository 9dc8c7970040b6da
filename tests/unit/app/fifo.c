#include <criterion/criterion.h>

#include "server/app/token.h"
#include "tests/unit/app/fixture.h"

struct visitor {
	struct fifo *fifo;
	unsigned number, *order;
	_Atomic unsigned *arrived;
	enum status status;
	pthread_t thread;
};

static void *visit(void *context)
{
	struct visitor *visitor = context;
	visitor->status = fifo_enter(visitor->fifo, clock_ms() + 10000);
	if (visitor->status != STATUS_OK)
		return NULL;
	visitor->order[atomic_fetch_add(visitor->arrived, 1)] = visitor->number;
	fifo_leave(visitor->fifo);
	return NULL;
}

struct expected {
	struct fifo *fifo;
	unsigned waiting;
};

static bool wait_for(void *context)
{
	struct expected *expected = context;
	return fifo_waiting(expected->fifo) == expected->waiting;
}

enum { VISITORS = 20 };

Test(fifo, serves_in_order_of_arrival)
{
	struct fifo fifo;
	struct visitor visitors[VISITORS];
	unsigned order[VISITORS];
	_Atomic unsigned arrived = 0;
	fifo_init(&fifo, 1, VISITORS);
	cr_assert_eq(fifo_enter(&fifo, clock_ms()), STATUS_OK);
	for (unsigned i = 0; i < VISITORS; i++) {
		struct expected expected = {&fifo, i + 1};
		visitors[i] = (struct visitor){.fifo = &fifo, .number = i, .order = order, .arrived = &arrived};
		pthread_create(&visitors[i].thread, NULL, visit, &visitors[i]);
		cr_assert(becomes(wait_for, &expected));
	}
	fifo_leave(&fifo);
	for (unsigned i = 0; i < VISITORS; i++) {
		pthread_join(visitors[i].thread, NULL);
		cr_expect_eq(visitors[i].status, STATUS_OK);
	}
	for (unsigned i = 0; i < VISITORS; i++)
		cr_expect_eq(order[i], i);
	fifo_done(&fifo);
}

Test(fifo, gives_up_at_the_deadline_and_loses_no_place)
{
	struct fifo fifo;
	fifo_init(&fifo, 1, 1);
	cr_assert_eq(fifo_enter(&fifo, clock_ms()), STATUS_OK);
	int64_t begun = clock_ms();
	cr_expect_eq(fifo_enter(&fifo, begun + 30), STATUS_TIMEOUT);
	cr_expect_geq(clock_ms(), begun + 29);
	fifo_leave(&fifo);
	cr_expect_eq(fifo_enter(&fifo, clock_ms()), STATUS_OK);
	fifo_done(&fifo);
}

Test(fifo, refuses_at_once_when_the_queue_is_full)
{
	struct fifo fifo;
	fifo_init(&fifo, 1, 0);
	cr_assert_eq(fifo_enter(&fifo, clock_ms() + 10000), STATUS_OK);
	cr_expect_eq(fifo_enter(&fifo, clock_ms() + 10000), STATUS_BUSY);
	fifo_done(&fifo);
}

Test(fifo, wakes_everybody_when_it_is_closed)
{
	struct fifo fifo;
	struct visitor visitors[VISITORS];
	unsigned order[VISITORS];
	_Atomic unsigned arrived = 0;
	struct expected expected = {&fifo, VISITORS};
	fifo_init(&fifo, 0, VISITORS);
	for (unsigned i = 0; i < VISITORS; i++) {
		visitors[i] = (struct visitor){.fifo = &fifo, .number = i, .order = order, .arrived = &arrived};
		pthread_create(&visitors[i].thread, NULL, visit, &visitors[i]);
	}
	cr_assert(becomes(wait_for, &expected));
	fifo_close(&fifo);
	for (unsigned i = 0; i < VISITORS; i++) {
		pthread_join(visitors[i].thread, NULL);
		cr_expect_eq(visitors[i].status, STATUS_CLOSED);
	}
	cr_expect_eq(fifo_enter(&fifo, clock_ms() + 10000), STATUS_CLOSED);
	fifo_done(&fifo);
}

Test(token_lock, excludes_another_gateway_until_it_leaves_or_dies)
{
	struct fixture fixture;
	struct token_lock *ours, *theirs, *elsewhere;
	fixture_init(&fixture);
	cr_assert_eq(token_lock_new(fixture.directory, "0123", &ours), STATUS_OK);
	cr_assert_eq(token_lock_new(fixture.directory, "0123", &theirs), STATUS_OK);
	cr_assert_eq(token_lock_new(fixture.directory, "4567", &elsewhere), STATUS_OK);
	cr_assert_eq(token_lock_enter(ours, clock_ms() + 1000), STATUS_OK);
	cr_expect_eq(token_lock_enter(theirs, clock_ms() + 30), STATUS_TIMEOUT);
	cr_expect_eq(token_lock_enter(elsewhere, clock_ms() + 30), STATUS_OK);
	token_lock_leave(ours);
	cr_expect_eq(token_lock_enter(theirs, clock_ms() + 1000), STATUS_OK);
	token_lock_free(theirs);
	cr_expect_eq(token_lock_enter(ours, clock_ms() + 1000), STATUS_OK);
	token_lock_free(ours);
	token_lock_free(elsewhere);
	fixture_done(&fixture);
}
