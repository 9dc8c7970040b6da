/* C_Initialize, C_Finalize and what they mean for every other function (requirements F, F3, F6; PKCS#11 2.40, section 5.4). */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/call.h"
#include "client-module/state.h"
#include "tests/unit/client-module/certificates.h"
#include "tests/unit/client-module/gateway.h"

static void no_configuration(void)
{
	setenv("P11GATE_CONF", "/nonexistent", 1);
}

/* Arguments that mean nothing, for the functions of calls.def. */
#define NOTHING_BOOL 0
#define NOTHING_ULONG 0
#define NOTHING_USER 0
#define NOTHING_SLOT 0
#define NOTHING_SESSION 0
#define NOTHING_OBJECT 0
#define NOTHING_BYTES NULL, 0
#define NOTHING_PIN NULL, 0
#define NOTHING_LABEL NULL
#define NOTHING_MECHANISM NULL
#define NOTHING_TEMPLATE NULL, 0
#define NOTHING_QUERY NULL, 0
#define NOTHING_NOTIFY NULL, NULL
#define NOTHING_BUFFER NULL, NULL
#define NOTHING_FILL NULL, 0
#define NOTHING_LIST NULL, NULL
#define NOTHING_FOUND NULL, 0, NULL
#define NOTHING_NEW_SESSION NULL
#define NOTHING_NEW_OBJECT NULL
#define NOTHING_ULONG_OUT NULL
#define NOTHING_INFO NULL
#define NOTHING_SLOT_INFO NULL
#define NOTHING_TOKEN_INFO NULL
#define NOTHING_SESSION_INFO NULL
#define NOTHING_MECHANISM_INFO NULL
#define NOTHING(index, kind, name) NOTHING_##kind

static void nothing_is_initialized(void)
{
	CK_SLOT_ID slot;
#define CALL(name, place, permission, audit, operation, step, ...) \
	cr_expect_eq(C_##name(EACH(NOTHING, __VA_ARGS__)), CKR_CRYPTOKI_NOT_INITIALIZED, "C_" #name);
#include "api/calls.def"
	cr_expect_eq(C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	cr_expect_eq(C_Finalize(&slot), CKR_CRYPTOKI_NOT_INITIALIZED);
	cr_expect_eq(C_GetFunctionStatus(0), CKR_CRYPTOKI_NOT_INITIALIZED);
	cr_expect_eq(C_CancelFunction(0), CKR_CRYPTOKI_NOT_INITIALIZED);
	cr_expect_eq(C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
}

Test(initialize, no_function_works_before_it, .init = no_configuration)
{
	nothing_is_initialized();
}

Test(initialize, no_function_works_after_finalize, .init = no_configuration)
{
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
	nothing_is_initialized();
}

Test(initialize, F6_functions_of_the_parallel_past_say_so, .init = no_configuration)
{
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	cr_expect_eq(C_GetFunctionStatus(1), CKR_FUNCTION_NOT_PARALLEL);
	cr_expect_eq(C_CancelFunction(1), CKR_FUNCTION_NOT_PARALLEL);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(initialize, twice_is_refused, .init = no_configuration)
{
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	cr_expect_eq(C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* Of several tries, since others use the processor too. */
static long quickest_initialize_us(void)
{
	long quickest = LONG_MAX;
	for (int i = 0; i < 5; i++) {
		struct timespec before, after;
		clock_gettime(CLOCK_MONOTONIC, &before);
		cr_assert_eq(C_Initialize(NULL), CKR_OK);
		clock_gettime(CLOCK_MONOTONIC, &after);
		cr_assert_eq(C_Finalize(NULL), CKR_OK);
		long took = (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
		quickest = took < quickest ? took : quickest;
	}
	return quickest;
}

Test(initialize, F_without_a_file_there_are_no_slots_and_it_is_quick, .init = no_configuration)
{
	cr_expect_lt(quickest_initialize_us(), 20000);
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	CK_ULONG count = 7;
	cr_expect_eq(C_GetSlotList(CK_FALSE, NULL, &count), CKR_OK);
	cr_expect_eq(count, 0);
	CK_SLOT_INFO info;
	CK_SESSION_HANDLE session;
	CK_SLOT_ID slot;
	cr_expect_eq(C_GetSlotInfo(0, &info), CKR_SLOT_ID_INVALID);
	cr_expect_eq(C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_SLOT_ID_INVALID);
	cr_expect_eq(C_CloseAllSessions(0), CKR_SLOT_ID_INVALID);
	cr_expect_eq(C_CloseSession(1), CKR_SESSION_HANDLE_INVALID);
	cr_expect_eq(C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* Mutexes of an application, counted. */
static int mutexes, held, lock_calls;

static CK_RV create_mutex(CK_VOID_PTR_PTR mutex)
{
	pthread_mutex_t *own = malloc(sizeof(*own));
	pthread_mutex_init(own, NULL);
	*mutex = own;
	mutexes++;
	return CKR_OK;
}

static CK_RV destroy_mutex(CK_VOID_PTR mutex)
{
	pthread_mutex_destroy(mutex);
	free(mutex);
	mutexes--;
	return CKR_OK;
}

static CK_RV lock_mutex(CK_VOID_PTR mutex)
{
	pthread_mutex_lock(mutex);
	held++;
	lock_calls++;
	return CKR_OK;
}

static CK_RV unlock_mutex(CK_VOID_PTR mutex)
{
	held--;
	pthread_mutex_unlock(mutex);
	return CKR_OK;
}

static CK_RV no_mutex(CK_VOID_PTR_PTR mutex)
{
	(void)mutex;
	return CKR_HOST_MEMORY;
}

#define OWN_MUTEXES create_mutex, destroy_mutex, lock_mutex, unlock_mutex

static void initializes(CK_C_INITIALIZE_ARGS arguments, CK_RV rv)
{
	cr_expect_eq(C_Initialize(&arguments), rv);
	cr_expect_eq(C_Finalize(NULL), rv == CKR_OK ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED);
}

Test(initialize, F3_arguments_mean_what_the_standard_says, .init = no_configuration)
{
	CK_CHAR *parameters[1] = {NULL};
	initializes((CK_C_INITIALIZE_ARGS){.flags = 0}, CKR_OK);
	initializes((CK_C_INITIALIZE_ARGS){.flags = CKF_OS_LOCKING_OK}, CKR_OK);
	initializes((CK_C_INITIALIZE_ARGS){.flags = CKF_LIBRARY_CANT_CREATE_OS_THREADS}, CKR_OK);
	initializes((CK_C_INITIALIZE_ARGS){.flags = CKF_LIBRARY_CANT_CREATE_OS_THREADS | CKF_OS_LOCKING_OK}, CKR_OK);
	initializes((CK_C_INITIALIZE_ARGS){OWN_MUTEXES, .flags = 0}, CKR_OK);
	initializes((CK_C_INITIALIZE_ARGS){OWN_MUTEXES, .flags = CKF_OS_LOCKING_OK}, CKR_OK);
	initializes(
		(CK_C_INITIALIZE_ARGS){create_mutex, destroy_mutex, lock_mutex, NULL, .flags = 0}, CKR_ARGUMENTS_BAD);
	initializes(
		(CK_C_INITIALIZE_ARGS){create_mutex, NULL, NULL, NULL, .flags = CKF_OS_LOCKING_OK}, CKR_ARGUMENTS_BAD);
	initializes((CK_C_INITIALIZE_ARGS){NULL, NULL, NULL, unlock_mutex, .flags = 0}, CKR_ARGUMENTS_BAD);
	initializes(
		(CK_C_INITIALIZE_ARGS){.flags = CKF_OS_LOCKING_OK, .LibraryParameters = parameters}, CKR_ARGUMENTS_BAD);
	initializes(
		(CK_C_INITIALIZE_ARGS){no_mutex, destroy_mutex, lock_mutex, unlock_mutex, .flags = 0}, CKR_HOST_MEMORY);
	cr_expect_eq(mutexes, 0);
}

Test(initialize, F3_the_applications_mutexes_are_used_and_given_back)
{
	gateway_start((struct gateway_options){0});
	CK_C_INITIALIZE_ARGS arguments = {OWN_MUTEXES, .flags = 0};
	CK_ULONG count = 0;
	cr_assert_eq(C_Initialize(&arguments), CKR_OK);
	cr_expect_gt(mutexes, 0);
	cr_expect_eq(C_GetSlotList(CK_FALSE, NULL, &count), CKR_OK);
	cr_expect_gt(lock_calls, 0);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
	cr_expect_eq(mutexes, 0);
	cr_expect_eq(held, 0);
}

Test(initialize, F3_the_systems_mutexes_are_used_when_the_application_allows_both)
{
	gateway_start((struct gateway_options){0});
	CK_C_INITIALIZE_ARGS arguments = {OWN_MUTEXES, .flags = CKF_OS_LOCKING_OK};
	CK_ULONG count = 0;
	cr_assert_eq(C_Initialize(&arguments), CKR_OK);
	cr_expect_eq(C_GetSlotList(CK_FALSE, NULL, &count), CKR_OK);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
	cr_expect_eq(lock_calls, 0);
}

Test(initialize, finalize_wants_a_null_argument, .init = no_configuration)
{
	int something;
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	cr_expect_eq(C_Finalize(&something), CKR_ARGUMENTS_BAD);
	cr_expect_eq(C_Finalize(NULL), CKR_OK);
}

Test(initialize, get_info_describes_the_library, .init = no_configuration)
{
	CK_INFO filled, *info = &filled;
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	cr_expect_eq(C_GetInfo(NULL), CKR_ARGUMENTS_BAD);
	cr_assert_eq(C_GetInfo(info), CKR_OK);
	cr_expect_eq(info->cryptokiVersion.major, 2);
	cr_expect_eq(info->cryptokiVersion.minor, 40);
	cr_expect_eq(info->flags, 0);
	cr_expect_arr_eq(info->manufacturerID, "p11gate                         ", 32);
	cr_expect_arr_eq(info->libraryDescription, "p11gate client module           ", 32);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

static atomic_bool waiting;
static CK_RV waited;

static void *wait_for_event(void *unused)
{
	CK_SLOT_ID slot;
	(void)unused;
	atomic_store(&waiting, true);
	waited = C_WaitForSlotEvent(0, &slot, NULL);
	return NULL;
}

static void goes_on_without_the_call_inside(void)
{
	struct client *inside;
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	cr_assert_eq(state_enter(&inside), CKR_OK);
	cr_expect_eq(C_Finalize(NULL), CKR_OK);
	cr_expect_eq(C_Initialize(NULL), CKR_OK);
	/* The call leaves at last, which ends its own client and not the new one. */
	state_leave(inside);
	CK_INFO info;
	cr_expect_eq(C_GetInfo(&info), CKR_OK);
	cr_expect_eq(C_Finalize(NULL), CKR_OK);
}

Test(initialize, a_call_that_does_not_end_does_not_hold_finalize, .init = no_configuration)
{
	goes_on_without_the_call_inside();
}

Test(initialize, a_call_that_does_not_end_does_not_hold_finalize_with_a_gateway)
{
	gateway_start((struct gateway_options){0});
	goes_on_without_the_call_inside();
}

Test(initialize, finalize_ends_a_wait_without_a_gateway, .init = no_configuration)
{
	pthread_t thread;
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	cr_assert_eq(pthread_create(&thread, NULL, wait_for_event, NULL), 0);
	while (!atomic_load(&waiting)) {
	}
	cr_expect_eq(C_Finalize(NULL), CKR_OK);
	pthread_join(thread, NULL);
	cr_expect_eq(waited, CKR_CRYPTOKI_NOT_INITIALIZED);
}

/* --- files of the configuration (requirement F) --- */

static void initialize_is_refused(const char *scheme, const char *authority, const char *certificate, const char *key)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	char text[1024];
	const char *d = gateway->directory;
	snprintf(text, sizeof(text), "URL = %s://localhost:%u\nCA = %s/%s\nCertificate = %s/%s\nKey = %s/%s", scheme,
		gateway->port, d, authority, d, certificate, d, key);
	gateway_configure(gateway, text);
	cr_expect_eq(C_Initialize(NULL), CKR_ARGUMENTS_BAD);
	cr_expect_eq(C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	cr_expect_eq(atomic_load(&gateway->connections), 0);
}

Test(initialize, F_a_missing_key_file_is_refused)
{
	initialize_is_refused("https", "ca.crt", "client.crt", "none.key");
}

Test(initialize, F_a_missing_certificate_file_is_refused)
{
	initialize_is_refused("https", "ca.crt", "none.crt", "client.key");
}

Test(initialize, F_a_missing_authority_file_is_refused)
{
	initialize_is_refused("https", "none.crt", "client.crt", "client.key");
}

Test(initialize, F_a_key_that_is_not_the_certificates_is_refused)
{
	initialize_is_refused("https", "ca.crt", "client.crt", "other.key");
}

Test(initialize, F_a_file_that_is_no_key_is_refused)
{
	initialize_is_refused("https", "ca.crt", "client.crt", "client.crt");
}

Test(initialize, F_plain_http_is_refused)
{
	initialize_is_refused("http", "ca.crt", "client.crt", "client.key");
}

Test(initialize, F_an_encrypted_key_is_refused_without_asking)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	certificate_encrypt_key(gateway->directory, "client");
	cr_expect_eq(C_Initialize(NULL), CKR_ARGUMENTS_BAD);
}

/* --- fork (security: faults) --- */

/* Runs `child` in a forked process; true if it returned true. */
static bool in_child(bool (*child)(void))
{
	pid_t pid = fork();
	if (pid == 0) {
		_exit(child() ? 0 : 1);
	}
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static CK_SESSION_HANDLE parent_session;

static bool child_without_initialize(void)
{
	CK_ULONG count = 0;
	CK_BYTE random[4];
	return C_GenerateRandom(parent_session, random, 4) == CKR_CRYPTOKI_NOT_INITIALIZED &&
	       C_GetSlotList(CK_FALSE, NULL, &count) == CKR_CRYPTOKI_NOT_INITIALIZED &&
	       C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED;
}

static bool child_with_initialize(void)
{
	CK_BYTE random[4];
	CK_SLOT_ID slot;
	CK_ULONG count = 1;
	CK_SESSION_HANDLE session;
	return C_Initialize(NULL) == CKR_OK &&
	       C_GenerateRandom(parent_session, random, 4) == CKR_SESSION_HANDLE_INVALID &&
	       C_GetSlotList(CK_FALSE, &slot, &count) == CKR_OK &&
	       C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) == CKR_OK &&
	       C_GenerateRandom(session, random, 4) == CKR_OK && C_Finalize(NULL) == CKR_OK &&
	       C_Initialize(NULL) == CKR_OK && C_Finalize(NULL) == CKR_OK;
}

static int count_sockets(void)
{
	int count = 0;
	for (int fd = 0; fd < 256; fd++) {
		struct stat status;
		count += fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
	}
	return count;
}

static int sockets_before;

static bool child_lets_go(void)
{
	setenv("P11GATE_CONF", "/nonexistent", 1);
	return C_Initialize(NULL) == CKR_OK && count_sockets() == sockets_before - 1;
}

static void parent_goes_on(void)
{
	CK_BYTE random[4];
	cr_expect_eq(C_GenerateRandom(parent_session, random, 4), CKR_OK);
}

Test(fork, a_child_is_not_initialized)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	parent_session = gateway_client_session();
	cr_expect(in_child(child_without_initialize));
	parent_goes_on();
	cr_expect_eq(atomic_load(&gateway->connections), 1);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(fork, a_child_initializes_for_itself_and_leaves_the_parent_alone)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	parent_session = gateway_client_session();
	cr_expect(in_child(child_with_initialize));
	parent_goes_on();
	cr_expect_eq(atomic_load(&gateway->connections), 2, "the parent kept its connection");
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(fork, a_child_closes_its_copies_of_the_parents_connections)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	parent_session = gateway_client_session();
	sockets_before = count_sockets();
	cr_expect(in_child(child_lets_go));
	parent_goes_on();
	cr_expect_eq(atomic_load(&gateway->connections), 1);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

static bool child_reused_the_number(void)
{
	/* The program closed everything and opened something of its own where the connection was. */
	for (int fd = 3; fd < 256; fd++) {
		close(fd);
	}
	int own = -1, last = -1;
	do {
		last = own;
		own = open("/dev/null", O_RDONLY);
	} while (own >= 0 && own < 64);
	setenv("P11GATE_CONF", "/nonexistent", 1);
	if (C_Initialize(NULL) != CKR_OK) {
		return false;
	}
	bool all = true;
	for (int fd = 3; fd <= last; fd++) {
		all = all && fcntl(fd, F_GETFD) >= 0;
	}
	return all;
}

Test(fork, a_child_does_not_close_what_is_not_a_connection_any_more)
{
	gateway_start((struct gateway_options){0});
	parent_session = gateway_client_session();
	cr_expect(in_child(child_reused_the_number));
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}
