/* Login isolation, and what a worker process is. */
#include "tests/integration/fixture.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

TestSuite(isolation, .timeout = 120);

static bool maps_contain(pid_t pid, const char *text)
{
	char path[64], line[1024];
	bool found = false;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	file = fopen(path, "re");
	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		found = found || strstr(line, text) != NULL;
	(void)fclose(file);
	return found;
}

Test(isolation, the_gateway_never_maps_a_vendor_module)
{
	struct gateway g;

	gateway_start(&g);
	(void)module_session(module_load(&g, ALICE), &g, true);
	cr_expect(maps_contain(g.pid, "p11gated"));
	cr_expect_not(maps_contain(g.pid, "softhsm"));
	gateway_stop(&g);
}

/* What a child and its test tell each other: the child that it is ready, the test, by closing its end, that it may go on. */
struct signals {
	int ready[2], hold[2];
};

static void signals_make(struct signals *signals)
{
	cr_assert_eq(pipe(signals->ready), 0);
	cr_assert_eq(pipe(signals->hold), 0);
}

/* Waits for so many children; one that ends without having been ready ends the test. */
static void await_ready(struct signals *signals, int children)
{
	char byte;

	close(signals->ready[1]);
	for (int i = 0; i < children; i++)
		cr_assert_eq(read(signals->ready[0], &byte, 1), 1, "a child ended early");
}

static bool tell_ready(struct signals *signals)
{
	close(signals->hold[1]);
	return write(signals->ready[1], "", 1) == 1;
}

/* A program of its own: logs in and waits until it may go on. */
static int logged_in_program(const struct gateway *g, void *argument)
{
	struct signals *signals = argument;
	CK_FUNCTION_LIST *f;
	CK_SESSION_HANDLE session;
	char byte;

	if (!child_session(g, ALICE, NULL, true, &f, &session) || !tell_ready(signals))
		return 1;
	return read(signals->hold[0], &byte, 1) == 0 ? 0 : 2;
}

Test(isolation, every_live_application_has_a_sandboxed_worker_of_its_own)
{
	enum { APPLICATIONS = 5, MAX = 32 };
	struct gateway g;
	struct signals signals;
	pid_t before[MAX], after[MAX], children[APPLICATIONS];

	gateway_start(&g);
	size_t inventory = worker_processes(&g, before, MAX);
	signals_make(&signals);
	for (int i = 0; i < APPLICATIONS; i++)
		children[i] = child_start(logged_in_program, &g, &signals);
	await_ready(&signals, APPLICATIONS);
	size_t workers = worker_processes(&g, after, MAX);
	cr_expect_eq(workers - inventory, APPLICATIONS, "%zu workers for %d applications", workers - inventory,
		APPLICATIONS);
	for (size_t i = 0; i < workers; i++) {
		cr_expect_eq(process_status(after[i], "Seccomp"), 2);
		cr_expect_eq(process_status(after[i], "NoNewPrivs"), 1);
	}
	close(signals.hold[1]);
	for (int i = 0; i < APPLICATIONS; i++)
		cr_expect_eq(child_end(children[i]), 0);
	gateway_stop(&g);
}

static int wrong_pin_program(const struct gateway *g, void *argument)
{
	CK_FUNCTION_LIST *f;
	CK_SESSION_HANDLE session;

	(void)argument;
	if (!child_session(g, ALICE, NULL, false, &f, &session))
		return 2;
	return f->C_Login(session, CKU_USER, (CK_BYTE *)"wrong pin", 9) == CKR_PIN_INCORRECT ? 0 : 1;
}

Test(isolation, X1_a_wrong_pin_is_refused_while_another_application_is_logged_in)
{
	struct gateway g;

	gateway_shared(&g);
	CK_FUNCTION_LIST *f = module_load(&g, ALICE);
	(void)module_session(f, &g, true);
	cr_expect_eq(in_child(wrong_pin_program, &g, NULL), 0);
	f->C_Finalize(NULL);
}

static int private_objects_program(const struct gateway *g, void *argument)
{
	CK_FUNCTION_LIST *f;
	CK_SESSION_HANDLE session;
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof(class)};
	CK_OBJECT_HANDLE found[8];
	CK_ULONG count = 99;

	(void)argument;
	if (!child_session(g, ALICE, NULL, false, &f, &session) ||
		f->C_FindObjectsInit(session, &template, 1) != CKR_OK ||
		f->C_FindObjects(session, found, 8, &count) != CKR_OK)
		return 2;
	return count == 0 ? 0 : 1;
}

Test(isolation, X1_an_application_without_login_finds_no_private_object_of_one_that_has_it)
{
	struct gateway g;

	gateway_shared(&g);
	rest_login(&g, ALICE, NULL);
	ANSWER_AUTO made = request(
		&g, ALICE, "POST", "/v1/slots/demo/keys", "{\"type\":\"EC\",\"label\":\"isolation\"}", NULL);
	cr_assert(made.status == 201 || made.status == 409, "%s", made.text);
	CK_FUNCTION_LIST *f = module_load(&g, ALICE);
	(void)module_session(f, &g, true);
	cr_expect_eq(in_child(private_objects_program, &g, NULL), 0);
	f->C_Finalize(NULL);
}

static CK_RV digest_something(CK_FUNCTION_LIST *f, CK_SESSION_HANDLE session)
{
	CK_MECHANISM sha256 = {CKM_SHA256, NULL, 0};
	CK_BYTE digest[32];
	CK_ULONG len = sizeof(digest);
	CK_RV rv = f->C_DigestInit(session, &sha256);

	return rv != CKR_OK ? rv : f->C_Digest(session, (CK_BYTE *)"abc", 3, digest, &len);
}

/* Computes digests for a while; 0 if nothing ever failed. */
static int busy_program(const struct gateway *g, void *argument)
{
	CK_FUNCTION_LIST *f;
	CK_SESSION_HANDLE session;

	if (!child_session(g, BOB, NULL, true, &f, &session) || !tell_ready(argument))
		return 2;
	for (int i = 0; i < 300; i++)
		if (digest_something(f, session) != CKR_OK)
			return 1;
	return 0;
}

Test(isolation, a_killed_worker_costs_its_own_application_the_session_and_others_nothing)
{
	enum { MAX = 32 };
	struct gateway g;
	struct signals signals;
	pid_t inventory[MAX], workers[MAX];

	gateway_start(&g);
	size_t before = worker_processes(&g, inventory, MAX);
	CK_FUNCTION_LIST *f = module_load(&g, ALICE);
	CK_SESSION_HANDLE session = module_session(f, &g, true);
	size_t now = worker_processes(&g, workers, MAX);
	cr_assert_eq(now, before + 1);
	pid_t victim = 0;
	for (size_t i = 0; i < now; i++) {
		bool known = false;
		for (size_t k = 0; k < before; k++)
			known = known || inventory[k] == workers[i];
		victim = known ? victim : workers[i];
	}
	signals_make(&signals);
	pid_t other = child_start(busy_program, &g, &signals);
	await_ready(&signals, 1);

	cr_assert_eq(kill(victim, SIGKILL), 0);
	CK_RV rv = digest_something(f, session);
	cr_expect(rv == CKR_SESSION_HANDLE_INVALID || rv == CKR_GENERAL_ERROR || rv == CKR_DEVICE_ERROR, "0x%lx", rv);
	cr_expect_eq(digest_something(f, session), CKR_SESSION_HANDLE_INVALID);
	session = module_session(f, &g, true);
	cr_expect_eq(digest_something(f, session), CKR_OK);
	cr_expect_eq(child_end(other), 0, "the other application noticed");
	gateway_stop(&g);
}

static bool slot_answers(const struct gateway *g, void *argument)
{
	CK_FUNCTION_LIST *f = argument;
	CK_ULONG count = 0;

	(void)g;
	return f->C_GetSlotList(CK_TRUE, NULL, &count) == CKR_OK && count == 1;
}

Test(isolation, a_process_goes_on_after_the_gateway_was_killed_and_restarted)
{
	struct gateway g;

	gateway_start(&g);
	CK_FUNCTION_LIST *f = module_load(&g, ALICE);
	CK_SESSION_HANDLE session = module_session(f, &g, true);
	cr_assert_eq(digest_something(f, session), CKR_OK);
	cr_assert_eq(kill(g.pid, SIGKILL), 0);
	cr_expect_neq(digest_something(f, session), CKR_OK);
	gateway_restart(&g);
	cr_expect_neq(digest_something(f, session), CKR_OK);
	/* That the gateway was away is remembered for five seconds (F1). */
	cr_assert(await_condition(slot_answers, &g, f, 10));
	session = module_session(f, &g, true);
	cr_expect_eq(digest_something(f, session), CKR_OK);
	gateway_stop(&g);
}

Test(isolation, X2_a_user_cannot_log_in_while_another_application_is_the_security_officer)
{
	struct gateway g;
	const char *one[] = {"X-Application-Id: 1-1", NULL}, *two[] = {"X-Application-Id: 2-2", NULL};
	char body[200];

	gateway_start(&g);
	(void)snprintf(body, sizeof(body), "{\"pin\":\"%s\",\"user\":\"so\"}", g.so_pin);
	ANSWER_AUTO so = request(&g, ALICE, "POST", "/v1/slots/demo/applications/current/login", body, one);
	cr_assert_eq(so.status, 200, "%s", so.text);
	(void)snprintf(body, sizeof(body), "{\"pin\":\"%s\"}", g.pin);
	ANSWER_AUTO user = request(&g, ALICE, "POST", "/v1/slots/demo/applications/current/login", body, two);
	cr_expect_eq(user.status, 409);
	cr_expect_str_eq(member(&user, "ckr"), "CKR_USER_ANOTHER_ALREADY_LOGGED_IN");
	ANSWER_AUTO out = request(&g, ALICE, "POST", "/v1/slots/demo/applications/current/logout", NULL, one);
	cr_assert_eq(out.status, 204, "%s", out.text);
	ANSWER_AUTO again = request(&g, ALICE, "POST", "/v1/slots/demo/applications/current/login", body, two);
	cr_expect_eq(again.status, 200, "%s", again.text);
	gateway_stop(&g);
}
