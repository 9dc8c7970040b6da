#include "client-module/lock.h"

CK_RV lock_init(struct lock *lock, const struct locking *how)
{
	lock->how = how;
	lock->given = NULL;
	if (how->create != NULL) {
		return how->create(&lock->given);
	}
	return pthread_mutex_init(&lock->own, NULL) == 0 ? CKR_OK : CKR_HOST_MEMORY;
}

void lock_done(struct lock *lock)
{
	if (lock->how->destroy != NULL) {
		(void)lock->how->destroy(lock->given);
	} else {
		pthread_mutex_destroy(&lock->own);
	}
}

void lock_take(struct lock *lock)
{
	if (lock->how->lock != NULL) {
		(void)lock->how->lock(lock->given);
	} else {
		pthread_mutex_lock(&lock->own);
	}
}

void lock_release(struct lock *lock)
{
	if (lock->how->unlock != NULL) {
		(void)lock->how->unlock(lock->given);
	} else {
		pthread_mutex_unlock(&lock->own);
	}
}
