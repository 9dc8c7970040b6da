/*
 * Time for deadlines: milliseconds of a clock that never jumps. 0 is some time before the process began. And time for people.
 */
#ifndef P11GATE_COMMON_CLOCK_H
#define P11GATE_COMMON_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

int64_t clock_ms(void);

/*
 * Waits on `cond` (mutex held, as for pthread_cond_wait) until `deadline_ms` of clock_ms; INT64_MAX: for ever. False when
 * the deadline passed. May wake early, so callers loop.
 */
int clock_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_ms);

enum { CLOCK_TEXT_SIZE = 32 };

/* A time of the wall clock as RFC 3339 writes it: UTC, to the second. */
void clock_text(time_t time, char ret_text[CLOCK_TEXT_SIZE]);

#endif
