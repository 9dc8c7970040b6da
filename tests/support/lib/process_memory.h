/*
 * Looking into the memory of a live process, as root can: for a secret, and for what keeps it out of swap and dumps.
 *
 * Failures end the test (cr_assert).
 */
#ifndef P11GATE_TESTS_SUPPORT_LIB_PROCESS_MEMORY_H
#define P11GATE_TESTS_SUPPORT_LIB_PROCESS_MEMORY_H

#include <sys/types.h>

enum { NEEDLE_MAX = 64, NEEDLE_TEXTS = 4 };

/* A secret as it is and as it travels in base64url, in halves: a part of it that is left behind is found as well. */
struct needle {
	char texts[NEEDLE_TEXTS][NEEDLE_MAX];
};

/* The secret has 16 to 31 characters. */
struct needle needle_of(const char *secret);

/*
 * How many halves of the secret are in the process, in all that it can read. -1: it has ended meanwhile, or is no more than a zombie, so
 * that nothing is known. A stopped process can be looked into as well.
 */
int process_memory_hits(pid_t pid, const char *secret);

/* The same, and what is found, with what is around it, is shown on standard error. */
int process_memory_show(pid_t pid, const char *secret);

/* How many of the mappings that the process can write lack the flag lo (locked) or dd (in no dump) in /proc/PID/smaps. */
unsigned process_memory_unprotected(pid_t pid);

#endif
