/*
 * A host program of the client module that ends in awkward ways: client_host MODULE WAY. It calls the first slot once and exits
 * with 0 if everything was as it should be. The ways:
 *
 *   plain        C_Finalize, dlclose, exit
 *   unfinalized  dlclose and exit without C_Finalize
 *   atexit       C_Finalize from a handler of exit that was registered before the module was loaded
 *   late-thread  a thread that made calls ends after C_Finalize and dlclose
 *   openssl      the program uses OpenSSL itself, before and after, with an error of its own in the queue
 *   again        a thousand times C_Initialize and C_Finalize
 *   within       OpenSSL's configuration, which C_Initialize makes OpenSSL read, loads this very module (nested_provider.c)
 *   before       the program's own OpenSSL has loaded this very module by that configuration
 */
#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/cryptoki.h"

static CK_FUNCTION_LIST *functions;

static void expect(CK_RV rv, const char *what)
{
	if (rv != CKR_OK) {
		fprintf(stderr, "%s: 0x%lx\n", what, rv);
		_exit(1);
	}
}

static void *load(const char *module)
{
	void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
	CK_C_GetFunctionList get = library != NULL ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;
	if (get == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		_exit(1);
	}
	expect(get(&functions), "C_GetFunctionList");
	return library;
}

static void use(void)
{
	CK_SLOT_ID slots[8];
	CK_ULONG count = 8;
	CK_SESSION_HANDLE session;
	CK_BYTE random[16];
	expect(functions->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
	expect(functions->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, &session), "C_OpenSession");
	expect(functions->C_GenerateRandom(session, random, sizeof(random)), "C_GenerateRandom");
}

static void finalize_at_exit(void)
{
	expect(functions->C_Finalize(NULL), "C_Finalize");
}

static pthread_barrier_t used, unloaded;

static void *late_thread(void *unused)
{
	(void)unused;
	use();
	pthread_barrier_wait(&used);
	pthread_barrier_wait(&unloaded);
	return NULL;
}

static void end_thread_late(void *library)
{
	pthread_t thread;
	pthread_barrier_init(&used, NULL, 2);
	pthread_barrier_init(&unloaded, NULL, 2);
	if (pthread_create(&thread, NULL, late_thread, NULL) != 0) {
		_exit(1);
	}
	pthread_barrier_wait(&used);
	expect(functions->C_Finalize(NULL), "C_Finalize");
	dlclose(library);
	pthread_barrier_wait(&unloaded);
	pthread_join(thread, NULL);
}

static void use_between_openssl(void)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	ERR_raise(ERR_LIB_USER, 77);
	use();
	use();
	if (ERR_GET_REASON(ERR_peek_error()) != 77 || EVP_Q_digest(NULL, "SHA256", NULL, "x", 1, digest, NULL) != 1) {
		fprintf(stderr, "the program's own OpenSSL was disturbed\n");
		_exit(1);
	}
}

/* The provider could not initialise from inside C_Initialize, and nothing hung. */
static bool nested_was_refused(void)
{
	const char *result = getenv("NESTED");
	return result != NULL && strcmp(result, "0x6 0x190") == 0;
}

/* The provider initialised the module: the program's own C_Initialize comes second. */
static int run_before(const char *module)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	if (EVP_Q_digest(NULL, "SHA256", NULL, "x", 1, digest, NULL) != 1) {
		return 1;
	}
	const char *result = getenv("NESTED");
	void *library = load(module);
	if (result == NULL || strcmp(result, "0x0 0x0") != 0 ||
		functions->C_Initialize(NULL) != CKR_CRYPTOKI_ALREADY_INITIALIZED) {
		fprintf(stderr, "provider: %s\n", result != NULL ? result : "not loaded");
		return 1;
	}
	use();
	expect(functions->C_Finalize(NULL), "C_Finalize");
	dlclose(library);
	return 0;
}

static bool quiet_about_signals(void)
{
	struct sigaction action;
	return sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		return 2;
	}
	const char *way = argv[2];
	if (strcmp(way, "before") == 0) {
		return run_before(argv[1]);
	}
	if (strcmp(way, "atexit") == 0) {
		atexit(finalize_at_exit);
	}
	void *library = load(argv[1]);
	for (int i = 0; strcmp(way, "again") == 0 && i < 1000; i++) {
		expect(functions->C_Initialize(NULL), "C_Initialize");
		expect(functions->C_Finalize(NULL), "C_Finalize");
	}
	expect(functions->C_Initialize(NULL), "C_Initialize");
	if (strcmp(way, "late-thread") == 0) {
		end_thread_late(library);
		return 0;
	}
	if (strcmp(way, "within") == 0 && !nested_was_refused()) {
		fprintf(stderr, "the provider was not loaded, or not refused: %s\n", getenv("NESTED"));
		return 1;
	}
	if (strcmp(way, "openssl") == 0) {
		use();
		use_between_openssl();
	}
	use();
	if (strcmp(way, "atexit") == 0) {
		return quiet_about_signals() ? 0 : 1;
	}
	if (strcmp(way, "unfinalized") != 0) {
		expect(functions->C_Finalize(NULL), "C_Finalize");
	}
	dlclose(library);
	return quiet_about_signals() ? 0 : 1;
}
