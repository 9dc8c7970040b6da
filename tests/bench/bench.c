/*
 * Times Cryptoki operations of any module.
 * usage: bench MODULE LABEL PIN OPERATION THREADS SECONDS     prints "OPERATION THREADS p50_us per_second"
 *        bench MODULE LABEL PIN setup                         makes the keys that the operations use
 *
 * Times are wall-clock of one process; run.sh interleaves two modules and prints ratios.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/cryptoki.h"

enum { SAMPLES_MAX = 1 << 20, THREADS_MAX = 64 };

static CK_FUNCTION_LIST *f;
static CK_SLOT_ID slot;
static const char *pin;
static double seconds;

struct thread {
	pthread_t id;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
	CK_RV (*operation)(struct thread *t);
	CK_MECHANISM_TYPE mechanism;
	unsigned *samples; /* nanoseconds each */
	size_t count;
};

static void must(CK_RV rv, const char *what)
{
	if (rv == CKR_OK)
		return;
	fprintf(stderr, "bench: %s: 0x%lx\n", what, rv);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static CK_RV sign(struct thread *t)
{
	static CK_BYTE digest[32] = "thirty-two bytes to be signed..";
	CK_BYTE signature[512];
	CK_ULONG len = sizeof(signature);
	CK_MECHANISM m = {t->mechanism, NULL, 0};
	CK_RV rv = f->C_SignInit(t->session, &m, t->key);

	return rv != CKR_OK ? rv : f->C_Sign(t->session, digest, sizeof(digest), signature, &len);
}

static CK_OBJECT_HANDLE find(CK_SESSION_HANDLE session, const char *label, CK_OBJECT_CLASS class)
{
	CK_ATTRIBUTE template[] = {{CKA_LABEL, (void *)label, strlen(label)}, {CKA_CLASS, &class, sizeof(class)}};
	CK_OBJECT_HANDLE key = 0;
	CK_ULONG count = 0;

	must(f->C_FindObjectsInit(session, template, 2), "C_FindObjectsInit");
	must(f->C_FindObjects(session, &key, 1, &count), "C_FindObjects");
	must(f->C_FindObjectsFinal(session), "C_FindObjectsFinal");
	return key;
}

static CK_RV find_attribute(struct thread *t)
{
	CK_BYTE id[64];
	CK_ATTRIBUTE attribute = {CKA_ID, id, sizeof(id)};

	return f->C_GetAttributeValue(t->session, find(t->session, "bench-ec", CKO_PRIVATE_KEY), &attribute, 1);
}

static CK_RV random_bytes(struct thread *t)
{
	CK_BYTE bytes[32];

	return f->C_GenerateRandom(t->session, bytes, sizeof(bytes));
}

static const struct operation {
	const char *name, *key;
	CK_OBJECT_CLASS class;
	CK_MECHANISM_TYPE mechanism;
	CK_RV (*run)(struct thread *t);
} operations[] = {{"ecdsa-p256", "bench-ec", CKO_PRIVATE_KEY, CKM_ECDSA, sign},
	{"rsa-2048", "bench-rsa", CKO_PRIVATE_KEY, CKM_RSA_PKCS, sign},
	{"hmac-sha256", "bench-hmac", CKO_SECRET_KEY, CKM_SHA256_HMAC, sign},
	{"find+attribute", NULL, 0, 0, find_attribute}, {"random", NULL, 0, 0, random_bytes}};

static void *run_thread(void *argument)
{
	struct thread *t = argument;
	double end = now() + seconds;

	for (double before = now(); before < end && t->count < SAMPLES_MAX;) {
		must(t->operation(t), "operation");
		double after = now();
		t->samples[t->count++] = (unsigned)((after - before) * 1e9);
		before = after;
	}
	return NULL;
}

static int ascending(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return x < y ? -1 : x > y;
}

static void measure(const struct operation *o, size_t threads)
{
	static struct thread all[THREADS_MAX];
	unsigned *merged;
	size_t count = 0;
	double begin;

	for (size_t i = 0; i < threads; i++) {
		all[i] = (struct thread){.operation = o->run, .mechanism = o->mechanism};
		all[i].samples = malloc(SAMPLES_MAX * sizeof(unsigned));
		must(f->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &all[i].session), "C_OpenSession");
		if (i == 0)
			must(f->C_Login(all[i].session, CKU_USER, (CK_BYTE *)pin, strlen(pin)), "C_Login");
		if (o->key != NULL)
			all[i].key = find(all[i].session, o->key, o->class);
		must(all[i].samples != NULL ? o->run(&all[i]) : CKR_HOST_MEMORY, o->name);
	}
	begin = now();
	for (size_t i = 0; i < threads; i++)
		if (pthread_create(&all[i].id, NULL, run_thread, &all[i]) != 0)
			must(CKR_HOST_MEMORY, "pthread_create");
	for (size_t i = 0; i < threads; i++) {
		pthread_join(all[i].id, NULL);
		count += all[i].count;
	}
	double elapsed = now() - begin;
	merged = malloc((count + 1) * sizeof(unsigned));
	must(merged != NULL ? CKR_OK : CKR_HOST_MEMORY, "samples");
	for (size_t i = 0, at = 0; i < threads; at += all[i].count, i++) {
		memcpy(merged + at, all[i].samples, all[i].count * sizeof(unsigned));
		free(all[i].samples);
	}
	qsort(merged, count, sizeof(unsigned), ascending);
	printf("%s %zu %.1f %.0f\n", o->name, threads, merged[count / 2] / 1e3, (double)count / elapsed);
	free(merged);
}

static void setup(void)
{
	static CK_BBOOL yes = CK_TRUE;
	static CK_BYTE curve[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_ULONG bits = 2048, bytes = 32;
	CK_MECHANISM ec = {CKM_EC_KEY_PAIR_GEN, NULL, 0}, rsa = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0},
		     secret = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
	CK_ATTRIBUTE private[] = {{CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SIGN, &yes, 1},
		{CKA_LABEL, "bench-ec", 8}, {CKA_ID, "bench", 5}};
	CK_ATTRIBUTE ec_public[] = {{CKA_EC_PARAMS, curve, sizeof(curve)}};
	CK_ATTRIBUTE rsa_public[] = {{CKA_MODULUS_BITS, &bits, sizeof(bits)}};
	CK_ATTRIBUTE hmac[] = {{CKA_TOKEN, &yes, 1}, {CKA_SIGN, &yes, 1}, {CKA_LABEL, "bench-hmac", 10},
		{CKA_VALUE_LEN, &bytes, sizeof(bytes)}};
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE one, two;

	must(f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session), "C_OpenSession");
	must(f->C_Login(session, CKU_USER, (CK_BYTE *)pin, strlen(pin)), "C_Login");
	must(f->C_GenerateKeyPair(session, &ec, ec_public, 1, private, 5, &one, &two), "EC key");
	private[3].pValue = "bench-rsa";
	private[3].ulValueLen = 9;
	must(f->C_GenerateKeyPair(session, &rsa, rsa_public, 1, private, 5, &one, &two), "RSA key");
	must(f->C_GenerateKey(session, &secret, hmac, 4, &one), "HMAC key");
}

static void open_module(const char *path, const char *label)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	CK_C_GetFunctionList get = NULL;
	void *library = dlopen(path, RTLD_NOW);
	CK_SLOT_ID slots[16];
	CK_ULONG count = 16;
	CK_TOKEN_INFO info;

	if (library != NULL)
		*(void **)&get = dlsym(library, "C_GetFunctionList");
	must(get != NULL ? get(&f) : CKR_FUNCTION_FAILED, path);
	must(f->C_Initialize(&args), "C_Initialize");
	must(f->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
	for (CK_ULONG i = 0; i < count; i++)
		if (f->C_GetTokenInfo(slots[i], &info) == CKR_OK && memcmp(info.label, label, strlen(label)) == 0) {
			slot = slots[i];
			return;
		}
	must(CKR_TOKEN_NOT_PRESENT, label);
}

int main(int argc, char **argv)
{
	if (argc < 5) {
		fprintf(stderr, "usage: %s MODULE LABEL PIN setup | OPERATION THREADS SECONDS\n", argv[0]);
		return 2;
	}
	pin = argv[3];
	open_module(argv[1], argv[2]);
	if (strcmp(argv[4], "setup") == 0) {
		setup();
		return 0;
	}
	size_t threads = argc > 5 ? strtoul(argv[5], NULL, 10) : 1;
	seconds = argc > 6 ? strtod(argv[6], NULL) : 1;
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		if (strcmp(operations[i].name, argv[4]) == 0 && threads >= 1 && threads <= THREADS_MAX) {
			measure(&operations[i], threads);
			return 0;
		}
	fprintf(stderr, "bench: no operation %s with %zu threads\n", argv[4], threads);
	return 2;
}
