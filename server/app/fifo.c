#include "server/app/internal.h"

struct fifo_waiter {
	struct fifo_waiter *previous, *next;
	pthread_cond_t cond;
	bool granted;
};

void fifo_init(struct fifo *fifo, unsigned places, unsigned waiting_max)
{
	*fifo = (struct fifo){.free = places, .waiting_max = waiting_max};
	pthread_mutex_init(&fifo->mutex, NULL);
}

void fifo_done(struct fifo *fifo)
{
	pthread_mutex_destroy(&fifo->mutex);
}

static void append(struct fifo *fifo, struct fifo_waiter *waiter)
{
	waiter->previous = fifo->last;
	if (fifo->last != NULL)
		fifo->last->next = waiter;
	else
		fifo->first = waiter;
	fifo->last = waiter;
	fifo->waiting++;
}

static void take_out(struct fifo *fifo, struct fifo_waiter *waiter)
{
	if (waiter->previous != NULL)
		waiter->previous->next = waiter->next;
	else
		fifo->first = waiter->next;
	if (waiter->next != NULL)
		waiter->next->previous = waiter->previous;
	else
		fifo->last = waiter->previous;
	fifo->waiting--;
}

static enum status wait_for_place(struct fifo *fifo, int64_t deadline_ms)
{
	if (fifo->waiting >= fifo->waiting_max)
		return STATUS_BUSY;
	struct fifo_waiter waiter = {.granted = false};
	pthread_cond_init(&waiter.cond, NULL);
	append(fifo, &waiter);
	bool in_time = true;
	while (!waiter.granted && !fifo->closed && in_time)
		in_time = clock_wait(&waiter.cond, &fifo->mutex, deadline_ms);
	pthread_cond_destroy(&waiter.cond);
	if (waiter.granted)
		return STATUS_OK;
	take_out(fifo, &waiter);
	return fifo->closed ? STATUS_CLOSED : STATUS_TIMEOUT;
}

enum status fifo_enter(struct fifo *fifo, int64_t deadline_ms)
{
	enum status status = STATUS_OK;
	pthread_mutex_lock(&fifo->mutex);
	if (fifo->closed)
		status = STATUS_CLOSED;
	else if (fifo->free > 0)
		fifo->free--;
	else
		status = wait_for_place(fifo, deadline_ms);
	pthread_mutex_unlock(&fifo->mutex);
	return status;
}

void fifo_leave(struct fifo *fifo)
{
	pthread_mutex_lock(&fifo->mutex);
	struct fifo_waiter *waiter = fifo->closed ? NULL : fifo->first;
	if (waiter == NULL) {
		fifo->free++;
	} else {
		/* The place passes straight on, so that nobody who comes now can be quicker. */
		take_out(fifo, waiter);
		waiter->granted = true;
		pthread_cond_signal(&waiter->cond);
	}
	pthread_mutex_unlock(&fifo->mutex);
}

void fifo_close(struct fifo *fifo)
{
	pthread_mutex_lock(&fifo->mutex);
	fifo->closed = true;
	for (struct fifo_waiter *waiter = fifo->first; waiter != NULL; waiter = waiter->next)
		pthread_cond_signal(&waiter->cond);
	pthread_mutex_unlock(&fifo->mutex);
}

unsigned fifo_waiting(struct fifo *fifo)
{
	pthread_mutex_lock(&fifo->mutex);
	unsigned waiting = fifo->waiting;
	pthread_mutex_unlock(&fifo->mutex);
	return waiting;
}
