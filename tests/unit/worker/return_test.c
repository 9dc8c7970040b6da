/* Whatever the module answers, and whichever of its functions does: every route has a documented answer (X14). */
#include <criterion/criterion.h>
#include <string.h>

#include "api/names.h"
#include "api/problem.h"
#include "tests/unit/worker/resource_fixture.h"

static struct token_fixture token = {.generation = 1, .last_tries = true};
static struct mock mock;
static struct worker_fixture worker;

/* One request for each route, with keys that start() makes; "" as an operation: one that is opened for it. */
#define BYTES_16 "AAECAwQFBgcICQoLDA0ODw"
#define BYTES_32 DIGEST
#define BYTES_64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-Pw"
/* A public key on P-256 (SubjectPublicKeyInfo). */
#define PEER \
	"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGQd5duyQmsKtyr6ISFHbktlyZbiB7pNRc1T2PWvPyEQ4" \
	"tg9HHxBXLGy_rFSLTXg2C_xuKXCQErgjd-2-2H0pGw"

static const struct ask requests[] = {
	{.route = ROUTE_calls,
		.body = "{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[{\"OpenSession\":{"
			"\"flags\":6}},"
			"{\"GenerateRandom\":{\"session\":{\"from\":0},\"random\":8}}]}]}"},
	{.route = ROUTE_login, .body = PIN_BODY},
	{.route = ROUTE_logout},
	{.route = ROUTE_keys},
	{.route = ROUTE_key, .key = "plain"},
	{.route = ROUTE_key_public, .key = "plain", .accept = "application/jwk+json"},
	{.route = ROUTE_key_sign, .key = "plain", .body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}"},
	{.route = ROUTE_key_sign,
		.key = "careful",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\",\"pin\":\"1234\"}"},
	{.route = ROUTE_challenge_keys},
	{.route = ROUTE_challenge_check, .body = "{\"key\":{\"label\":\"mac\"}}"},
	{.route = ROUTE_challenge, .body = "{\"challenge\":\"YWJj\",\"key\":{\"label\":\"mac\"}}"},
	{.route = ROUTE_operation_reauthenticate, .operation = "", .body = PIN_BODY},
	{.route = ROUTE_operation_cancel, .operation = ""},
	{.route = ROUTE_key_generate, .body = "{\"type\":\"EC\",\"curve\":\"P-256\",\"label\":\"more\"}"},
	{.route = ROUTE_key_import, .body = "{\"type\":\"HMAC\",\"value\":\"" BYTES_32 "\",\"label\":\"brought\"}"},
	{.route = ROUTE_key_change, .key = "spare", .if_match = "*", .body = "{\"label\":\"spare\",\"id\":\"0a\"}"},
	{.route = ROUTE_key_delete, .key = "spare", .if_match = "*"},
	{.route = ROUTE_key_verify,
		.key = "plain",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\",\"signature\":\"" BYTES_64 "\"}"},
	{.route = ROUTE_key_mac, .key = "mac", .body = "{\"algorithm\":\"HS256\",\"data\":\"YQ\"}"},
	{.route = ROUTE_key_encrypt, .key = "aes", .body = "{\"algorithm\":\"A256CBC\",\"data\":\"YQ\"}"},
	{.route = ROUTE_key_decrypt,
		.key = "aes",
		.body = "{\"algorithm\":\"A256CBC\",\"ciphertext\":\"" BYTES_32 "\",\"iv\":\"" BYTES_16 "\"}"},
	{.route = ROUTE_key_wrap, .key = "aes", .body = "{\"algorithm\":\"A256KW\",\"key\":{\"label\":\"mac\"}}"},
	{.route = ROUTE_key_unwrap,
		.key = "aes",
		.body = "{\"algorithm\":\"A256KW\",\"wrapped\":\"" BYTES_32
			"\",\"type\":\"HMAC\",\"label\":\"unwrapped\"}"},
	{.route = ROUTE_key_derive,
		.key = "plain",
		.body = "{\"algorithm\":\"ECDH\",\"public_key\":\"" PEER "\",\"type\":\"HMAC\",\"label\":\"derived\"}"},
	{.route = ROUTE_digest, .body = "{\"algorithm\":\"SHA-256\",\"data\":\"YQ\"}"},
	{.route = ROUTE_random, .body = "{\"length\":16}"},
	{.route = ROUTE_session_open},
};

/*
 * Either it is logged in or out now, or it was before. A module that said it had logged out when it had not is found out by the next
 * login, which fails; the one after it works.
 */
static void ensure(enum route_id route, unsigned done, unsigned before)
{
	unsigned status = 0;

	for (int i = 0; i < 2 && status != done && status != before; i++) {
		struct rest answer REST_AUTO = rest_ask(
			&worker, (struct ask){.route = route, .body = route == ROUTE_login ? PIN_BODY : NULL});
		status = answer.status;
		cr_assert(i == 0 || status == done || status == before, "%u %s", status, answer.body);
	}
}

static void log_in(void)
{
	ensure(ROUTE_login, 200, 409);
}

static void start(void)
{
	mock_new(&mock);
	mock_control(&mock, "user_tries 0\n");
	worker_fixture_start(&token, &(struct worker_options){.mock = &mock}, &worker);
	log_in();
	make_resource_key(&worker, "EC", "plain", "");
	make_resource_key(&worker, "EC", "careful", ",\"always_authenticate\":true");
	make_resource_key(&worker, "HMAC", "mac", ",\"bits\":256,\"extractable\":true");
	make_resource_key(&worker, "AES", "aes", ",\"usage\":[\"encrypt\",\"decrypt\",\"wrap\",\"unwrap\"]");
	make_resource_key(&worker, "EC", "spare", "");
}

TestSuite(returned, .init = start, .timeout = 240);

/* An operation that awaits its PIN. */
static char *operation_open(void)
{
	struct rest held REST_AUTO = REST(
		&worker, 401, ROUTE_key_sign, .key = "careful", .body = "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}");

	return strdup(held.opened);
}

static bool type_documented(const char *type, unsigned status)
{
	size_t start_len = strlen(PROBLEM_PATH);
	bool found = false;

	if (strncmp(type, PROBLEM_PATH, start_len) != 0)
		return false;
	for (size_t i = 0; return_row_at(i) != NULL; i++) {
		struct problem_row row = problem_of_return(return_row_at(i)->rv);
		found = found || (strcmp(row.type, type + start_len) == 0 && row.status == status);
	}
	for (int i = 0; i < PROBLEM_COUNT; i++) {
		const struct problem_row *row = problem_row((enum problem)i);
		found = found || (strcmp(row->type, type + start_len) == 0 && row->status == status);
	}
	return found;
}

static void expect_documented(const struct rest *answer, const struct ask *request, const char *fault)
{
	const char *route = route_row(request->route)->name;

	if (answer->status >= 200 && answer->status < 300)
		return;
	cr_assert_neq(answer->status, 500, "%s with %s", route, fault);
	cr_assert_str_eq(
		answer->content_type, "application/problem+json", "%s with %s: %u", route, fault, answer->status);
	cr_assert(type_documented(text_at(answer->json, "type"), answer->status), "%s with %s: %u %s", route, fault,
		answer->status, answer->body);
	cr_assert(answer->status != 401 || strstr(answer->headers, "WWW-Authenticate: ") != NULL, "%s with %s", route,
		fault);
}

static void try_one(const struct ask *request, const char *when, CK_RV rv)
{
	struct ask what = *request;
	char *operation = request->operation ? operation_open() : NULL;
	char scratch[24], fault[80];

	snprintf(fault, sizeof fault, "fault * %s return %s", when, name_text(NAMES_RETURN, rv, scratch));
	mock_control(&mock, "user_tries 0\n%s\n", fault);
	what.operation = operation;
	struct rest answer REST_AUTO = rest_ask(&worker, what);
	expect_documented(&answer, request, fault);
	if (operation) {
		mock_control(&mock, "user_tries 0\n");
		struct rest gone REST_AUTO = rest_ask(
			&worker, (struct ask){.route = ROUTE_operation_cancel, .operation = operation});
		(void)gone;
	}
	free(operation);
}

/* What a request left behind must not be in the way of the next: the worker is as good as new. */
static void recover(enum route_id route)
{
	mock_control(&mock, "user_tries 0\n");
	if (route == ROUTE_login)
		ensure(ROUTE_logout, 204, 401);
	else
		log_in();
	if (route == ROUTE_key_delete) {
		struct rest again REST_AUTO = rest_ask(&worker,
			(struct ask){.route = ROUTE_key_generate, .body = "{\"type\":\"EC\",\"label\":\"spare\"}"});
		cr_assert(again.status == 201 || again.status == 409, "%u %s", again.status, again.body);
	}
}

/* In the request's first call into the module, in all of them, and in one of the next four. */
static void try_all(const struct ask *request)
{
	char later[12];

	for (unsigned i = 0; return_row_at(i) != NULL; i++) {
		snprintf(later, sizeof later, "%u", 2 + i % 4);
		const char *const whens[] = {"1", "*", later};
		for (int k = 0; k < 3; k++) {
			try_one(request, whens[k], return_row_at(i)->rv);
			recover(request->route);
		}
	}
}

Test(returned, X14_every_return_value_of_the_module_has_a_documented_answer_on_every_route)
{
	for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
		try_all(&requests[i]);
}

Test(returned, X14_every_route_of_the_worker_is_tried)
{
	for (int id = 0; id < ROUTE_COUNT; id++) {
		bool tried = route_row((enum route_id)id)->server != SERVER_WORKER;
		for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
			tried = tried || requests[i].route == (enum route_id)id;
		cr_expect(tried, "%s", route_row((enum route_id)id)->name);
	}
}
