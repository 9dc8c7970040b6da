/* A key that asks for its PIN each time, and sixty-four threads that want to use it, of which one gives the PIN. */
#include "tests/integration/fixture.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* P11GATE_RACE_ATTEMPTS is how many attempts there are in all; without it they go on for the time that is short enough for every run. */
enum { THREADS = 64, SHORT_MS = 3000, LEAST = 500 };

TestSuite(race, .timeout = 1800);

static struct race {
	CK_FUNCTION_LIST *f;
	CK_SLOT_ID slot;
	CK_OBJECT_HANDLE key;
	const char *pin;
	unsigned long limit;
	long long end_ms;
	atomic_ulong attempts, stolen, given, odd;
} race;

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static bool goes_on(void)
{
	if (race.limit > 0)
		return atomic_load(&race.attempts) < race.limit;
	return now_ms() < race.end_ms;
}

static CK_SESSION_HANDLE session_open(void)
{
	CK_SESSION_HANDLE session = 0;
	CK_RV rv = race.f->C_OpenSession(race.slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session);

	cr_assert_eq(rv, CKR_OK, "0x%lx", rv);
	return session;
}

static CK_RV init(CK_SESSION_HANDLE session)
{
	CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};

	return race.f->C_SignInit(session, &ecdsa, race.key);
}

static CK_RV sign(CK_SESSION_HANDLE session, bool ask_length)
{
	CK_BYTE signature[128];
	CK_ULONG len = sizeof signature;

	return race.f->C_Sign(
		session, (CK_BYTE *)"0123456789abcdef0123456789abcdef", 32, ask_length ? NULL : signature, &len);
}

/* Never gives the PIN: whatever it gets out of the key is another's. */
static void *thief(void *argument)
{
	CK_SESSION_HANDLE session = session_open();
	bool ask_length = argument != NULL;

	while (goes_on()) {
		CK_RV begun = init(session), rv = begun == CKR_OK ? sign(session, ask_length) : begun;
		atomic_fetch_add(&race.attempts, 1);
		if (rv == CKR_OK)
			atomic_fetch_add(&race.stolen, 1);
		else if (rv != CKR_USER_NOT_LOGGED_IN)
			atomic_fetch_add(&race.odd, 1);
	}
	return NULL;
}

static void *owner(void *argument)
{
	CK_SESSION_HANDLE session = session_open();

	(void)argument;
	while (goes_on()) {
		CK_RV rv = init(session);
		if (rv == CKR_OK)
			rv = race.f->C_Login(session, CKU_CONTEXT_SPECIFIC, (CK_UTF8CHAR *)race.pin, strlen(race.pin));
		if (rv == CKR_OK)
			rv = sign(session, false);
		atomic_fetch_add(rv == CKR_OK ? &race.given : &race.odd, 1);
	}
	return NULL;
}

static CK_OBJECT_HANDLE key_make(CK_SESSION_HANDLE session)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_MECHANISM generate = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_ATTRIBUTE public[] = {{CKA_TOKEN, &no, 1}, {CKA_EC_PARAMS, p256, sizeof p256}};
	CK_ATTRIBUTE private[] = {{CKA_TOKEN, &no, 1}, {CKA_SIGN, &yes, 1}, {CKA_ALWAYS_AUTHENTICATE, &yes, 1}};
	CK_OBJECT_HANDLE half, key = 0;

	cr_assert_eq(race.f->C_GenerateKeyPair(session, &generate, public, 2, private, 3, &half, &key), CKR_OK);
	return key;
}

Test(race, A9_no_thread_signs_with_the_pin_that_another_gave)
{
	struct gateway g;
	pthread_t threads[THREADS];
	const char *limit = getenv("P11GATE_RACE_ATTEMPTS");

	gateway_shared(&g);
	race.f = module_load(&g, ALICE);
	CK_SESSION_HANDLE session = module_session(race.f, &g, true);
	CK_SESSION_INFO info;
	cr_assert_eq(race.f->C_GetSessionInfo(session, &info), CKR_OK);
	race.slot = info.slotID;
	race.pin = g.pin;
	race.key = key_make(session);
	race.limit = limit ? strtoul(limit, NULL, 10) : 0;
	race.end_ms = now_ms() + SHORT_MS;
	for (size_t i = 0; i < THREADS; i++) {
		void *argument = i % 2 ? &race : NULL;
		cr_assert_eq(pthread_create(&threads[i], NULL, i == 0 ? owner : thief, argument), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	fprintf(stderr, "race: %lu attempts, %lu signatures of the one who gave the PIN\n", race.attempts, race.given);
	cr_expect_eq(race.stolen, 0, "%lu signatures without PIN in %lu attempts", race.stolen, race.attempts);
	cr_expect_eq(race.odd, 0, "%lu answers that should not be", race.odd);
	cr_expect_geq(race.attempts, LEAST, "only %lu attempts", race.attempts);
	cr_expect_gt(race.given, 0);
	race.f->C_Finalize(NULL);
}
