#include "client-module/application.h"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "api/fnv1a.h"

enum {
	RANDOM_LEN = 8,
	PART_LEN = 4, /* bytes of a number */
	FACT_MAX = 128, /* bytes of one fact about the place */
};

static void big_endian(unsigned char out[PART_LEN], CK_ULONG number)
{
	for (unsigned i = 0; i < PART_LEN; i++) {
		out[i] = (unsigned char)(number >> (24 - 8 * i));
	}
}

/* Where this process runs. A fact that cannot be read is left out: the random bytes carry the uniqueness. */
static size_t application_place(char place[3 * FACT_MAX])
{
	static const char *const FILES[] = {"/etc/machine-id", "/proc/sys/kernel/random/boot_id"};
	size_t len = 0;
	for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
		int fd = open(FILES[i], O_RDONLY | O_CLOEXEC | O_NOCTTY);
		ssize_t got = fd >= 0 ? read(fd, place + len, FACT_MAX) : -1;
		len += got > 0 ? (size_t)got : 0;
		if (fd >= 0) {
			close(fd);
		}
	}
	ssize_t got = readlink("/proc/self/ns/pid", place + len, FACT_MAX);
	return len + (got > 0 ? (size_t)got : 0);
}

CK_RV application_default(const struct client_config *config, CK_APPLICATION_ID *ret_id)
{
	if (config->application_set) {
		memcpy(ret_id->id, config->application, APPLICATION_ID_LEN);
		return CKR_OK;
	}
	CK_APPLICATION_ID id;
	char place[3 * FACT_MAX];
	size_t place_len = application_place(place);
	if (getrandom(id.id, RANDOM_LEN, 0) != RANDOM_LEN) {
		return CKR_FUNCTION_FAILED;
	}
	/* Enough to tell places apart, and OpenSSL is not loaded for a program without a gateway. */
	big_endian(id.id + RANDOM_LEN, fnv1a(FNV1A_START, place, place_len));
	big_endian(id.id + RANDOM_LEN + PART_LEN, (CK_ULONG)getpid());
	*ret_id = id;
	return CKR_OK;
}

CK_APPLICATION_ID application_of_parts(CK_ULONG high, CK_ULONG low)
{
	CK_APPLICATION_ID id = {{0}};
	big_endian(id.id, high);
	big_endian(id.id + PART_LEN, low);
	return id;
}

static CK_ULONG part_read(const unsigned char part[PART_LEN])
{
	CK_ULONG number = 0;
	for (unsigned i = 0; i < PART_LEN; i++) {
		number = number << 8 | part[i];
	}
	return number;
}

void application_parts(const CK_APPLICATION_ID *id, CK_ULONG *ret_high, CK_ULONG *ret_low)
{
	*ret_high = part_read(id->id);
	*ret_low = part_read(id->id + PART_LEN);
}

/* What the program chose: of the process, not of an initialisation. */
static struct {
	_Atomic pid_t holder; /* process whose thread reads or writes the rest; 0: none */
	bool any;
	pid_t owner; /* the only process it holds for; 0: children too */
	CK_APPLICATION_ID id;
} choice;

/* No mutex of the system: a thread of the parent may have held it at the fork, and would never let go of it here. */
static void choice_lock(void)
{
	pid_t self = getpid();
	for (;;) {
		pid_t holder = 0;
		if (atomic_compare_exchange_strong(&choice.holder, &holder, self) ||
			(holder != self && atomic_compare_exchange_strong(&choice.holder, &holder, self))) {
			return;
		}
		sched_yield();
	}
}

static void choice_release(void)
{
	atomic_store(&choice.holder, 0);
}

void application_choose(const CK_APPLICATION_ID *id, bool own)
{
	choice_lock();
	choice.any = true;
	choice.owner = own ? getpid() : 0;
	choice.id = *id;
	choice_release();
}

bool application_chosen(CK_APPLICATION_ID *ret_id)
{
	choice_lock();
	bool any = choice.any && (choice.owner == 0 || choice.owner == getpid());
	if (any) {
		*ret_id = choice.id;
	}
	choice_release();
	return any;
}
