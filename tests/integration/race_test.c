/* A key that asks for its PIN each time, and sixty-four threads that want to use it, of which one gives the PIN. */
#include "tests/integration/policy_key.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * P11GATE_RACE_ATTEMPTS is how many attempts there are; without it they go on for a time that is short enough for every run, on a slow
 * machine until there were enough. Where the module logs in and out for each use, or another process verifies the PIN, an attempt takes
 * long: there are fewer.
 */
enum { THREADS = 64, SHORT_MS = 3000, LEAST = 500, SLOW = 10 };

TestSuite(race, .timeout = 1800);

static struct race {
	CK_FUNCTION_LIST *f;
	CK_SLOT_ID slot;
	CK_OBJECT_HANDLE key;
	const char *pin;
	unsigned long limit, least;
	long long end_ms;
	atomic_ulong attempts, stolen, given, busy, odd;
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
	return now_ms() < race.end_ms || atomic_load(&race.attempts) < race.least;
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
		atomic_fetch_add(rv == CKR_OK ? &race.given : rv == CKR_DEVICE_ERROR ? &race.busy : &race.odd, 1);
	}
	return NULL;
}

static CK_OBJECT_HANDLE key_make(CK_SESSION_HANDLE session, CK_BBOOL token)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_BBOOL yes = CK_TRUE;
	CK_MECHANISM generate = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_ATTRIBUTE public[] = {{CKA_TOKEN, &token, 1}, {CKA_EC_PARAMS, p256, sizeof p256}};
	CK_ATTRIBUTE private[] = {{CKA_TOKEN, &token, 1}, {CKA_SIGN, &yes, 1}, {CKA_ALWAYS_AUTHENTICATE, &yes, 1}};
	CK_OBJECT_HANDLE half, key = 0;

	cr_assert_eq(race.f->C_GenerateKeyPair(session, &generate, public, 2, private, 3, &half, &key), CKR_OK);
	return key;
}

/* The module in this process, logged in. */
static CK_SESSION_HANDLE race_start(struct gateway *g)
{
	CK_SESSION_INFO info;

	race.f = module_load(g, ALICE);
	CK_SESSION_HANDLE session = module_session(race.f, g, true);
	cr_assert_eq(race.f->C_GetSessionInfo(session, &info), CKR_OK);
	race.slot = info.slotID;
	race.pin = g->pin;
	return session;
}

/* The race for race.key; `share` of the attempts there would be. */
static void race_run(unsigned share)
{
	pthread_t threads[THREADS];
	const char *limit = getenv("P11GATE_RACE_ATTEMPTS");

	race.limit = limit ? strtoul(limit, NULL, 10) / share : 0;
	race.least = LEAST / share;
	race.end_ms = now_ms() + SHORT_MS;
	for (size_t i = 0; i < THREADS; i++) {
		void *argument = i % 2 ? &race : NULL;
		cr_assert_eq(pthread_create(&threads[i], NULL, i == 0 ? owner : thief, argument), 0);
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	fprintf(stderr, "race: %lu attempts, %lu signatures of the one who gave the PIN, %lu times busy\n",
		race.attempts, race.given, race.busy);
	cr_expect_eq(race.stolen, 0, "%lu signatures without PIN in %lu attempts", race.stolen, race.attempts);
	cr_expect_eq(race.odd, 0, "%lu answers that should not be", race.odd);
	cr_expect_gt(race.given, 0);
	race.f->C_Finalize(NULL);
}

Test(race, A9_no_thread_signs_with_the_pin_that_another_gave)
{
	struct gateway g;

	gateway_shared(&g);
	race.key = key_make(race_start(&g), CK_FALSE);
	race_run(1);
}

static void start_own(struct gateway *g, const char *more)
{
	setenv("MORE", more, 1);
	gateway_start(g);
	unsetenv("MORE");
}

/* The module is logged in only while somebody uses the key: of the token, so that nothing keeps the login. */
Test(race, A9_B17_no_thread_signs_with_the_pin_that_another_gave_or_with_the_kept_one)
{
	struct gateway g;

	start_own(&g, "login: [{identities: [alice], slots: ['*'], enable_cache_pin: 1}]");
	race.key = key_make(race_start(&g), CK_TRUE);
	race_run(SLOW);
	gateway_stop(&g);
}

static void race_for_policy_key(const char *more)
{
	struct gateway g;

	start_own(&g, more);
	policy_key_make(&g);
	CK_SESSION_HANDLE session = race_start(&g);
	race.key = policy_key_find(race.f, session);
	race_run(SLOW);
	gateway_stop(&g);
}

Test(race, A9_B20_no_thread_signs_with_the_pin_that_another_gave_for_a_key_that_asks_by_policy)
{
	race_for_policy_key(POLICY_KEY_RULE(""));
}

Test(race, A9_B20_no_thread_signs_by_the_login_that_another_made_for_a_key_that_asks_by_policy)
{
	race_for_policy_key(POLICY_KEY_RULE(", enable_cache_pin: 1"));
}
