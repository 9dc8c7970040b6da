/* What the application sees of good and bad answers (security: faults). */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/limits.h"
#include "tests/unit/client-module/gateway.h"

static uint64_t clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static CK_RV random_number(CK_SESSION_HANDLE session)
{
	CK_BYTE random[4] = {0};
	CK_RV rv = C_GenerateRandom(session, random, sizeof(random));
	if (rv == CKR_OK) {
		cr_assert_arr_eq(random, ((CK_BYTE[]){1, 2, 3, 4}), 4);
	}
	return rv;
}

Test(transport, a_call_goes_to_the_gateway_and_its_result_comes_back)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	CK_SESSION_HANDLE session = gateway_client_session();
	cr_assert_eq(random_number(session), CKR_OK);
	cr_assert_eq(random_number(session), CKR_OK);
	cr_assert_eq(atomic_load(&gateway->connections), 1, "all calls of one thread share a connection");
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* Answers to a call. */
struct odd_answer {
	const char *text; /* as it is, or with a body: the status line and headers but Content-Length */
	const char *body;
	CK_RV rv;
	bool clean; /* the connection ends with close_notify */
};

static bool odd_script(struct peer *peer, const char *request, size_t len)
{
	const struct odd_answer *odd = peer->gateway->options.context;
	if (strstr(request, "GenerateRandom") == NULL) {
		return gateway_normal(peer, request, len);
	}
	peer->clean = odd->clean;
	(void)gateway_bytes(peer, odd->text, strlen(odd->text));
	if (odd->body != NULL) {
		char length[64];
		int length_len = snprintf(length, sizeof(length), "Content-Length: %zu\r\n\r\n", strlen(odd->body));
		(void)gateway_bytes(peer, length, (size_t)length_len);
		(void)gateway_bytes(peer, odd->body, strlen(odd->body));
	}
	return false;
}

#define STATUS(text) "HTTP/1.1 " text "\r\n"
#define OK STATUS("200 OK")
#define RESULT(json) "{\"groups\":[{\"results\":[" json "]}]}"
#define GOOD RESULT("{\"rv\":\"CKR_OK\",\"random\":\"AQIDBA\"}")

static const struct odd_answer ODD_ANSWERS[] = {
	{OK, GOOD, CKR_OK, false},
	{OK, "  " GOOD " \r\n", CKR_OK, false},
	{"HTTP/1.1 100 Continue\r\n\r\n" OK, GOOD, CKR_OK, false},
	{OK "Connection: close\r\n\r\n" GOOD, NULL, CKR_OK, true},
	{OK "Connection: close\r\n\r\n" GOOD, NULL, CKR_GENERAL_ERROR, false},
	{OK "Transfer-Encoding: "
	    "chunked\r\n\r\n5\r\n{\"gro\r\n37\r\nups\":[{\"results\":[{\"rv\":\"CKR_OK\",\"random\":\"AQIDBA\"}]}]}"
	    "\r\n0\r\n\r\n",
		NULL, CKR_OK, false},
	{"", NULL, CKR_GENERAL_ERROR, false},
	{"HT", NULL, CKR_GENERAL_ERROR, false},
	{"\x16\x03\x01 this is not HTTP\r\n\r\n", NULL, CKR_GENERAL_ERROR, false},
	{"HTTP/1.1 999999999999 x\r\n\r\n", NULL, CKR_GENERAL_ERROR, false},
	{OK "Content-Length: 10\r\n\r\n{\"grou", NULL, CKR_GENERAL_ERROR, false},
	{OK "Content-Length: -1\r\n\r\n{}", NULL, CKR_GENERAL_ERROR, false},
	{OK "Content-Length: 99999999999999999999999\r\n\r\n{}", NULL, CKR_GENERAL_ERROR, false},
	{OK "Content-Length: 1000000000\r\n\r\n{}", NULL, CKR_GENERAL_ERROR, false},
	{OK "Transfer-Encoding: chunked\r\n", GOOD, CKR_GENERAL_ERROR, false},
	{OK "Content-Length: 3\r\n", GOOD, CKR_GENERAL_ERROR, false},
	{OK, GOOD "HTTP/1.1 200 OK\r\n\r\n", CKR_GENERAL_ERROR, false},
	{STATUS("101 Switching Protocols") "Upgrade: x\r\nConnection: upgrade\r\n\r\n", NULL, CKR_GENERAL_ERROR, false},
	{OK, "", CKR_GENERAL_ERROR, false},
	{OK, "{}", CKR_GENERAL_ERROR, false},
	{OK, "null", CKR_GENERAL_ERROR, false},
	{OK, "[1,2,3", CKR_GENERAL_ERROR, false},
	{OK, "{\"groups\":[]}", CKR_GENERAL_ERROR, false},
	{OK, "{\"groups\":[7]}", CKR_GENERAL_ERROR, false},
	{OK, "{\"groups\":[{\"results\":[]}]}", CKR_GENERAL_ERROR, false},
	{OK, RESULT("{}"), CKR_GENERAL_ERROR, false},
	{OK, RESULT("{\"rv\":\"CKR_OK\"}"), CKR_GENERAL_ERROR, false},
	{OK, RESULT("{\"rv\":7,\"random\":\"AQIDBA\"}"), CKR_GENERAL_ERROR, false},
	{OK, RESULT("{\"rv\":\"CKR_OK\",\"random\":\"AQIDBAUGBw\"}"), CKR_GENERAL_ERROR, false},
	{OK, RESULT("{\"rv\":\"CKR_OK\",\"random\":\"AQ\"}"), CKR_GENERAL_ERROR, false},
	{OK, RESULT("{\"rv\":\"CKR_OK\",\"random\":\"$$\"}"), CKR_GENERAL_ERROR, false},
	{OK, RESULT("{\"rv\":\"CKR_OK\",\"random\":\"AQIDBA\"},{\"rv\":\"CKR_OK\"}"), CKR_GENERAL_ERROR, false},
	{OK, GOOD "x", CKR_GENERAL_ERROR, false},
	{OK, "\xff" GOOD, CKR_GENERAL_ERROR, false},
	{OK, RESULT("{\"rv\":\"CKR_DEVICE_ERROR\"}"), CKR_DEVICE_ERROR, false},
	{OK, RESULT("{\"rv\":\"0x80000068\"}"), CKR_VENDOR_DEFINED + 0x68, false},
	{STATUS("400 Bad"), "", CKR_DEVICE_ERROR, false},
	{STATUS("403 Forbidden"), "{}", CKR_DEVICE_ERROR, false},
	{STATUS("404 Not Found"), "not JSON", CKR_DEVICE_ERROR, false},
	{STATUS("429 Too Many"), "", CKR_FUNCTION_FAILED, false},
	{STATUS("503 Busy"), "", CKR_FUNCTION_FAILED, false},
	{STATUS("503 No token"), "{\"title\":\"No token\",\"ckr_code\": 224}", CKR_TOKEN_NOT_PRESENT, false},
	{STATUS("503 No token"), "{\"ckr_code\": 224", CKR_FUNCTION_FAILED, false},
	{STATUS("503 No token"), "{\"ckr_code\": \"18446744073709551615\"}", CKR_FUNCTION_FAILED, false},
	{STATUS("403 Forbidden"), "{\"ckr_code\": 0}", CKR_DEVICE_ERROR, false},
	{STATUS("500 Oops"), "", CKR_GENERAL_ERROR, false},
	{STATUS("502 Oops"), "", CKR_GENERAL_ERROR, false},
	{STATUS("302 Elsewhere"), "", CKR_GENERAL_ERROR, false},
	{STATUS("204 No Content") "\r\n", NULL, CKR_GENERAL_ERROR, false},
};

ParameterizedTestParameters(transport, every_answer_gives_the_documented_return_value)
{
	/* Indexes, since a parameter with pointers does not survive the way into the test's process. */
	enum { COUNT = sizeof(ODD_ANSWERS) / sizeof(ODD_ANSWERS[0]) };
	static size_t indexes[COUNT];
	for (size_t i = 0; i < COUNT; i++) {
		indexes[i] = i;
	}
	return cr_make_param_array(size_t, indexes, COUNT);
}

ParameterizedTest(size_t *index, transport, every_answer_gives_the_documented_return_value)
{
	const struct odd_answer *odd = &ODD_ANSWERS[*index];
	gateway_start((struct gateway_options){.script = odd_script, .context = (void *)odd});
	CK_SESSION_HANDLE session = gateway_client_session();
	CK_RV rv = random_number(session);
	cr_expect_eq(rv, odd->rv, "%s%s: 0x%lx instead of 0x%lx", odd->text, odd->body != NULL ? odd->body : "", rv,
		odd->rv);
	cr_expect_eq(C_Finalize(NULL), CKR_OK);
}

static bool huge_script(struct peer *peer, const char *request, size_t len)
{
	if (strstr(request, "GenerateRandom") == NULL) {
		return gateway_normal(peer, request, len);
	}
	static const char HEAD[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	static char chunk[8 + 16384 + 2] = "4000\r\n";
	memset(chunk + 6, ' ', 16384);
	memcpy(chunk + 6 + 16384, "\r\n", 2);
	bool sent = gateway_bytes(peer, HEAD, sizeof(HEAD) - 1);
	while (sent) {
		sent = gateway_bytes(peer, chunk, 6 + 16384 + 2);
	}
	return false;
}

Test(transport, an_endless_answer_is_cut_off)
{
	gateway_start((struct gateway_options){.script = huge_script});
	CK_SESSION_HANDLE session = gateway_client_session();
	cr_assert_eq(random_number(session), CKR_GENERAL_ERROR);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

static bool endless_head_script(struct peer *peer, const char *request, size_t len)
{
	if (strstr(request, "GenerateRandom") == NULL) {
		return gateway_normal(peer, request, len);
	}
	static const char HEAD[] =
		"HTTP/1.1 100 Continue\r\nX-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n";
	while (gateway_bytes(peer, HEAD, sizeof(HEAD) - 1)) {
	}
	return false;
}

Test(transport, endless_interim_answers_are_cut_off)
{
	gateway_start((struct gateway_options){.script = endless_head_script});
	CK_SESSION_HANDLE session = gateway_client_session();
	cr_assert_eq(random_number(session), CKR_GENERAL_ERROR);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* Sends one byte at a time, each well within any limit on inactivity. */
static bool dripping_script(struct peer *peer, const char *request, size_t len)
{
	if (strstr(request, "GenerateRandom") == NULL) {
		return gateway_normal(peer, request, len);
	}
	static const char HEAD[] = "HTTP/1.1 200 OK\r\nX: ";
	bool sent = gateway_bytes(peer, HEAD, sizeof(HEAD) - 1);
	while (sent && poll(NULL, 0, 50) == 0) {
		sent = gateway_bytes(peer, "a", 1);
	}
	return false;
}

static bool silent_script(struct peer *peer, const char *request, size_t len)
{
	if (strstr(request, "GenerateRandom") == NULL) {
		return gateway_normal(peer, request, len);
	}
	char byte;
	(void)SSL_read(peer->ssl, &byte, 1);
	return false;
}

static void ends_by_its_deadline(gateway_script script)
{
	gateway_start((struct gateway_options){.script = script, .extra = "Timeout = 1"});
	CK_SESSION_HANDLE session = gateway_client_session();
	uint64_t start = clock_ms();
	cr_assert_eq(random_number(session), CKR_GENERAL_ERROR);
	uint64_t took = clock_ms() - start;
	cr_assert(took >= 1000 && took < 2000, "%lu ms", (unsigned long)took);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(transport, a_dripping_answer_ends_at_the_deadline)
{
	ends_by_its_deadline(dripping_script);
}

Test(transport, a_silent_gateway_ends_at_the_deadline)
{
	ends_by_its_deadline(silent_script);
}

Test(transport, a_call_after_a_cut_connection_connects_again)
{
	struct odd_answer odd = {.text = "HT"};
	struct gateway *gateway = gateway_start((struct gateway_options){.script = odd_script, .context = &odd});
	CK_SESSION_HANDLE session = gateway_client_session();
	cr_assert_eq(random_number(session), CKR_GENERAL_ERROR);
	gateway->options.script = gateway_normal;
	cr_assert_eq(random_number(session), CKR_OK);
	cr_assert_eq(atomic_load(&gateway->connections), 2);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* Closes each connection right after its first answer, without saying so in a header. */
static bool closing_script(struct peer *peer, const char *request, size_t len)
{
	(void)gateway_normal(peer, request, len);
	return false;
}

static void wait_closed(struct gateway *gateway, int count)
{
	while (atomic_load(&gateway->closed) < count) {
		poll(NULL, 0, 1);
	}
}

Test(transport, a_connection_that_the_gateway_closed_meanwhile_is_noticed_before_use)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	CK_SESSION_HANDLE session = gateway_client_session();
	gateway->options.script = closing_script;
	for (int i = 1; i < 6; i++) {
		cr_assert_eq(random_number(session), CKR_OK);
		wait_closed(gateway, i);
	}
	cr_expect_eq(atomic_load(&gateway->connections), 5);
	cr_expect_geq(atomic_load(&gateway->resumed), 1, "no session was resumed");
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* Reads the second request of a connection and closes without a word. */
static bool mute_on_reuse_script(struct peer *peer, const char *request, size_t len)
{
	return peer->requests < 2 && gateway_normal(peer, request, len);
}

Test(transport, a_call_that_reads_is_repeated_when_a_kept_connection_dies)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	CK_SESSION_HANDLE session = gateway_client_session();
	gateway->options.script = mute_on_reuse_script;
	CK_SESSION_INFO info;
	cr_assert_eq(C_GetSessionInfo(session, &info), CKR_OK);
	cr_assert_eq(atomic_load(&gateway->connections), 2);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(transport, a_call_that_uses_a_key_is_not_repeated_when_it_may_have_been_executed)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	CK_SESSION_HANDLE session = gateway_client_session();
	gateway->options.script = mute_on_reuse_script;
	unsigned before = atomic_load(&gateway->requests);
	CK_BYTE data[4] = {0}, signature[64];
	CK_ULONG len = sizeof(signature);
	cr_assert_eq(C_Sign(session, data, sizeof(data), signature, &len), CKR_GENERAL_ERROR);
	cr_assert_eq(atomic_load(&gateway->requests), before + 1);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(transport, data_beyond_the_limit_is_refused_without_asking)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	CK_SESSION_HANDLE session = gateway_client_session();
	static CK_BYTE data[LIMIT_BYTES + 1];
	CK_BYTE digest[32];
	CK_ULONG len = sizeof(digest);
	unsigned before = atomic_load(&gateway->requests);
	cr_expect_eq(C_Digest(session, data, sizeof(data), digest, &len), CKR_DATA_LEN_RANGE);
	cr_expect_eq(atomic_load(&gateway->requests), before);
	cr_expect_eq(C_Digest(session, data, LIMIT_BYTES, digest, &len), CKR_FUNCTION_NOT_SUPPORTED);
	cr_expect_eq(atomic_load(&gateway->requests), before + 1);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(transport, finalize_says_goodbye)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	gateway_client_session();
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
	wait_closed(gateway, 1);
	cr_assert(atomic_load(&gateway->goodbye));
}
