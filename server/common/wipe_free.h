/*
 * Whether this build wipes memory when it is freed (wipe_free.c). Linking is all it takes; there is nothing to call.
 */
#ifndef P11GATE_COMMON_WIPE_FREE_H
#define P11GATE_COMMON_WIPE_FREE_H

#include <features.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define WIPE_FREE_ACTIVE 0
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#undef WIPE_FREE_ACTIVE
#define WIPE_FREE_ACTIVE 0
#endif
#ifndef WIPE_FREE_ACTIVE
#define WIPE_FREE_ACTIVE 1
#endif

#endif
