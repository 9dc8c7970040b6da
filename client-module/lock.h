/*
 * Mutual exclusion by whichever means the application chose in C_Initialize (PKCS#11 2.40, section 5.4): its own four
 * functions, or the operating system's.
 */
#ifndef P11GATE_CLIENT_MODULE_LOCK_H
#define P11GATE_CLIENT_MODULE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

#include "api/cryptoki.h"

/* The application's functions, or all NULL for the operating system's mutexes. */
struct locking {
	CK_CREATEMUTEX create;
	CK_DESTROYMUTEX destroy;
	CK_LOCKMUTEX lock;
	CK_UNLOCKMUTEX unlock;
};

struct lock {
	const struct locking *how;
	CK_VOID_PTR given; /* the application's mutex */
	pthread_mutex_t own;
};

/* `how` must outlive the lock. CKR_HOST_MEMORY, or what the application's function returned. */
CK_RV lock_init(struct lock *lock, const struct locking *how) __attribute__((warn_unused_result));
void lock_done(struct lock *lock);

void lock_take(struct lock *lock);
void lock_release(struct lock *lock);

#endif
