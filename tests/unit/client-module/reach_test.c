/* A gateway that cannot be reached or must not be trusted (requirements F, F1). */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/client-module/gateway.h"

static uint64_t clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static CK_RV list_slots(void)
{
	CK_ULONG count = 0;
	return C_GetSlotList(CK_FALSE, NULL, &count);
}

/* C_Initialize succeeds; C_GetSlotList says CKR_DEVICE_ERROR, and an open session's calls after the change too. */
static void cannot_list(void)
{
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	cr_expect_eq(list_slots(), CKR_DEVICE_ERROR);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(reach, F_a_foreign_authority_is_refused)
{
	struct gateway *gateway = gateway_start((struct gateway_options){.foreign_authority = true});
	cannot_list();
	cr_expect_eq(atomic_load(&gateway->requests), 0);
}

Test(reach, F_a_certificate_of_another_name_is_refused)
{
	struct gateway *gateway = gateway_start((struct gateway_options){.names = "DNS:elsewhere.example"});
	cannot_list();
	cr_expect_eq(atomic_load(&gateway->requests), 0);
}

Test(reach, F_a_certificate_without_the_address_is_refused)
{
	struct gateway *gateway = gateway_start(
		(struct gateway_options){.names = "DNS:localhost,DNS:127.0.0.1", .host = "127.0.0.1"});
	cannot_list();
	cr_expect_eq(atomic_load(&gateway->requests), 0);
}

Test(reach, an_address_is_verified_as_an_address)
{
	gateway_start((struct gateway_options){.names = "IP:127.0.0.1", .host = "127.0.0.1"});
	gateway_client();
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(reach, the_configured_server_name_is_the_one_expected)
{
	gateway_start((struct gateway_options){.names = "DNS:hsm.example", .extra = "ServerName = hsm.example"});
	gateway_client();
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(reach, a_client_that_the_gateway_refuses_gets_a_device_error)
{
	struct gateway *gateway = gateway_start((struct gateway_options){.refuses_client = true});
	cannot_list();
	cr_expect_eq(atomic_load(&gateway->requests), 0);
}

static bool forbidding_script(struct peer *peer, const char *request, size_t len)
{
	(void)request;
	(void)len;
	return gateway_json(peer, 403, "{\"title\":\"No slots\",\"status\":403}");
}

Test(reach, F_an_identity_without_any_slot_gets_a_device_error)
{
	gateway_start((struct gateway_options){.script = forbidding_script});
	cannot_list();
}

Test(reach, F_a_name_that_does_not_resolve_gives_a_device_error)
{
	gateway_start((struct gateway_options){.host = "gateway.invalid"});
	cannot_list();
}

static bool cutting_script(struct peer *peer, const char *request, size_t len)
{
	static const char HALF[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"generation\":1,";
	(void)request;
	(void)len;
	(void)gateway_bytes(peer, HALF, sizeof(HALF) - 1);
	return false;
}

Test(reach, F_an_inventory_that_is_cut_off_gives_a_device_error)
{
	gateway_start((struct gateway_options){.script = cutting_script});
	cannot_list();
}

/* Points the client to a port of 127.0.0.1 on which nobody answers: bound, and listening with a full queue or not at all. */
static int silent_port(struct gateway *gateway, bool listening)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, len), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	if (listening) {
		cr_assert_eq(listen(fd, 0), 0);
		for (int i = 0; i < 4; i++) {
			int filler = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
			(void)connect(filler, (struct sockaddr *)&address, len);
		}
	}
	gateway->port = ntohs(address.sin_port);
	gateway->options.host = "127.0.0.1";
	gateway->options.extra = "ConnectTimeout = 1";
	gateway_configure(gateway, NULL);
	return fd;
}

Test(reach, F1_a_gateway_that_does_not_answer_costs_the_connect_deadline_once)
{
	silent_port(gateway_start((struct gateway_options){0}), true);
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	uint64_t start = clock_ms();
	for (int i = 0; i < 10; i++) {
		cr_expect_eq(list_slots(), CKR_DEVICE_ERROR);
	}
	uint64_t took = clock_ms() - start;
	cr_expect(took >= 1000 && took < 2000, "%lu ms", (unsigned long)took);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(reach, F1_a_refused_connection_is_not_tried_again_at_once)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	int fd = silent_port(gateway, false);
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	cr_expect_eq(list_slots(), CKR_DEVICE_ERROR);
	cr_assert_eq(listen(fd, 8), 0);
	cr_expect_eq(list_slots(), CKR_DEVICE_ERROR);
	struct pollfd arrived = {.fd = fd, .events = POLLIN};
	cr_expect_eq(poll(&arrived, 1, 0), 0, "it was tried again");
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(reach, F1_a_program_that_lacks_descriptors_says_nothing_about_the_gateway)
{
	enum { DESCRIPTORS = 128 };
	gateway_start((struct gateway_options){.host = "127.0.0.1"});
	cr_assert_eq(C_Initialize(NULL), CKR_OK);
	struct rlimit limit;
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = DESCRIPTORS;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	int taken[DESCRIPTORS], count = 0;
	while ((taken[count] = dup(STDERR_FILENO)) >= 0) {
		count++;
	}
	CK_RV rv = list_slots();
	while (count > 0) {
		close(taken[--count]);
	}
	cr_expect_eq(rv, CKR_DEVICE_ERROR);
	cr_expect_eq(list_slots(), CKR_OK);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(reach, F1_a_new_initialize_forgets_the_failure)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	unsigned port = gateway->port;
	silent_port(gateway, false);
	cannot_list();
	gateway->port = port;
	gateway->options.host = NULL;
	gateway_configure(gateway, NULL);
	gateway_client();
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* Takes TCP connections and never shakes hands. */
Test(reach, a_gateway_that_never_shakes_hands_costs_the_time_of_one_call)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	int fd = silent_port(gateway, false);
	cr_assert_eq(listen(fd, 8), 0);
	gateway->options.extra = "ConnectTimeout = 1\nTimeout = 1";
	gateway_configure(gateway, NULL);
	uint64_t start = clock_ms();
	cannot_list();
	uint64_t took = clock_ms() - start;
	cr_expect(took >= 1000 && took < 2000, "%lu ms", (unsigned long)took);
}

/* Answers once; then the gateway is gone: nobody listens, and the connection is closed. */
static bool leaving_script(struct peer *peer, const char *request, size_t len)
{
	(void)gateway_normal(peer, request, len);
	shutdown(peer->gateway->listener, SHUT_RDWR);
	return false;
}

Test(reach, F_a_slot_known_from_before_gives_a_device_error_when_the_gateway_is_gone)
{
	struct gateway *gateway = gateway_start((struct gateway_options){.script = leaving_script});
	CK_SLOT_ID slot = gateway_client();
	CK_SESSION_HANDLE session;
	while (atomic_load(&gateway->closed) == 0) {
		poll(NULL, 0, 1);
	}
	cr_expect_eq(C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_DEVICE_ERROR);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* --- C_Finalize while calls are inside (security: faults) --- */

static bool stuck_script(struct peer *peer, const char *request, size_t len)
{
	if (strstr(request, "GenerateRandom") == NULL) {
		return gateway_normal(peer, request, len);
	}
	char byte;
	(void)SSL_read(peer->ssl, &byte, 1);
	return false;
}

static CK_SESSION_HANDLE stuck_session;
static CK_RV stuck_rv;

static void *stuck_call(void *unused)
{
	CK_BYTE random[4];
	(void)unused;
	stuck_rv = C_GenerateRandom(stuck_session, random, sizeof(random));
	return NULL;
}

Test(finalize, ends_a_call_that_is_inside_within_a_second)
{
	struct gateway *gateway = gateway_start((struct gateway_options){.script = stuck_script});
	stuck_session = gateway_client_session();
	unsigned before = atomic_load(&gateway->requests);
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, stuck_call, NULL), 0);
	while (atomic_load(&gateway->requests) == before) {
		poll(NULL, 0, 1);
	}
	uint64_t start = clock_ms();
	cr_expect_eq(C_Finalize(NULL), CKR_OK);
	uint64_t took = clock_ms() - start;
	cr_expect_lt(took, 1500, "%lu ms", (unsigned long)took);
	pthread_join(thread, NULL);
	cr_expect_eq(stuck_rv, CKR_CRYPTOKI_NOT_INITIALIZED);
}

static bool slow_script(struct peer *peer, const char *request, size_t len)
{
	if (strstr(request, "GenerateRandom") != NULL) {
		poll(NULL, 0, 100);
	}
	return gateway_normal(peer, request, len);
}

Test(finalize, lets_a_call_that_is_inside_come_to_its_end)
{
	struct gateway *gateway = gateway_start((struct gateway_options){.script = slow_script});
	stuck_session = gateway_client_session();
	unsigned before = atomic_load(&gateway->requests);
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, stuck_call, NULL), 0);
	while (atomic_load(&gateway->requests) == before) {
		poll(NULL, 0, 1);
	}
	cr_expect_eq(C_Finalize(NULL), CKR_OK);
	pthread_join(thread, NULL);
	cr_expect_eq(stuck_rv, CKR_OK);
}

static bool end_seen;

static bool ending_script(struct peer *peer, const char *request, size_t len)
{
	end_seen = end_seen || strstr(request, "\"CloseAllSessions\"") != NULL;
	return gateway_normal(peer, request, len);
}

Test(finalize, ends_the_sessions_at_the_gateway)
{
	gateway_start((struct gateway_options){.script = ending_script});
	gateway_client_session();
	cr_expect_eq(C_Finalize(NULL), CKR_OK);
	cr_expect(end_seen);
}

/* --- many threads --- */

enum { THREADS = 8, CALLS = 50 };

static void *many_calls(void *unused)
{
	(void)unused;
	for (int i = 0; i < CALLS; i++) {
		CK_BYTE random[4];
		CK_SESSION_INFO info;
		CK_SESSION_HANDLE session;
		cr_expect_eq(C_GenerateRandom(stuck_session, random, sizeof(random)), CKR_OK);
		cr_expect_eq(C_GetSessionInfo(stuck_session, &info), CKR_OK);
		cr_expect_eq(C_OpenSession(info.slotID, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
		cr_expect_eq(C_CloseSession(session), CKR_OK);
	}
	return NULL;
}

Test(threads, X8_calls_of_many_threads_each_get_their_own_answer)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	stuck_session = gateway_client_session();
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++) {
		cr_assert_eq(pthread_create(&threads[i], NULL, many_calls, NULL), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
	}
	cr_expect_leq(atomic_load(&gateway->connections), THREADS + 1);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* Threads initialise, call and finalise as they like: every answer is a documented one, and nothing crashes or hangs. */
static void *restless(void *unused)
{
	(void)unused;
	for (int i = 0; i < 30; i++) {
		CK_RV rv = C_Initialize(NULL);
		cr_expect(rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED, "0x%lx", rv);
		rv = list_slots();
		cr_expect(rv == CKR_OK || rv == CKR_CRYPTOKI_NOT_INITIALIZED, "0x%lx", rv);
		rv = C_Finalize(NULL);
		cr_expect(rv == CKR_OK || rv == CKR_CRYPTOKI_NOT_INITIALIZED, "0x%lx", rv);
	}
	return NULL;
}

Test(threads, initialize_and_finalize_may_race)
{
	gateway_start((struct gateway_options){0});
	pthread_t threads[4];
	for (int i = 0; i < 4; i++) {
		cr_assert_eq(pthread_create(&threads[i], NULL, restless, NULL), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
	}
	cr_expect_eq(C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
}
