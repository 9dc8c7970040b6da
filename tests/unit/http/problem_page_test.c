/* Every problem type leads to a page of the gateway. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "api/names.h"
#include "api/problem.h"
#include "tests/unit/http/fixture.h"

static struct fixture *fixture;
static struct tls_client *client;

static void open_fixture(void)
{
	fixture = fixture_new("", "");
	client = fixture_connect(fixture, "reader");
}

static void close_fixture(void)
{
	fixture_disconnect(client);
	fixture_free(fixture);
}

TestSuite(problem_page, .init = open_fixture, .fini = close_fixture, .timeout = 60);

static const char *get_page(const char *type)
{
	char request[256];
	snprintf(request, sizeof request, "GET " PROBLEM_PATH "%s HTTP/1.1\r\nHost: gateway\r\n\r\n", type);
	return fixture_ask(client, request);
}

/* The text as the page has it. */
static void expect_text(const char *page, const char *type, const char *text)
{
	char escaped[512] = "";
	size_t len = 0;
	for (; *text != '\0' && len < sizeof escaped - 8; text++) {
		const char *entity = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : NULL;
		len += (size_t)(entity != NULL ? snprintf(escaped + len, 8, "%s", entity)
					       : snprintf(escaped + len, 8, "%c", *text));
	}
	cr_expect(answer_has(page, escaped), "%s lacks: %s\n%s", type, escaped, page);
}

static void expect_page(const char *type, const struct problem_row *row, const char *ckr)
{
	char status[32], value[64];
	const char *page = get_page(type);
	cr_assert_eq(answer_status(page), 200, "%s: %s", type, page);
	snprintf(status, sizeof status, "<dd>%u ", row->status);
	cr_expect(answer_has(page, status), "%s", type);
	cr_expect(answer_has(page, row->retryable ? "<dd>yes</dd>" : "<dd>no</dd>"), "%s", type);
	expect_text(page, type, type);
	expect_text(page, type, row->title);
	snprintf(value, sizeof value, "<dd>%s</dd>", ckr);
	cr_expect(answer_has(page, value), "%s lacks %s", type, value);
}

Test(problem_page, X14_every_type_of_a_return_value_has_its_page)
{
	for (size_t i = 0; return_row_at(i) != NULL; i++) {
		const struct problem_row row = problem_of_return(return_row_at(i)->rv);
		expect_page(row.type, &row, return_row_at(i)->name);
	}
}

Test(problem_page, X14_every_other_type_has_its_page)
{
	char scratch[24];
	for (enum problem i = 0; i < PROBLEM_COUNT; i++) {
		const struct problem_row *row = problem_row(i);
		expect_page(row->type, row, row->rv == CKR_OK ? "none" : name_text(NAMES_RETURN, row->rv, scratch));
	}
}

Test(problem_page, X14_the_type_in_an_answer_is_the_path_of_its_page)
{
	char path[128] = "";
	const char *answer = fixture_get(fixture, "reader", "/v1/slots/nobody");
	cr_assert_eq(sscanf(strstr(answer, "\"type\":\"") + 8, "%127[^\"]", path), 1);
	const char *page = fixture_get(fixture, "reader", path);
	cr_expect_eq(answer_status(page), 200);
	cr_expect(answer_has(page, "<h1>slot-not-found</h1>"));
}

Test(problem_page, X14_an_unknown_type_is_not_found)
{
	static const char *const unknown[] = {"x", "not-found-", "NOT-FOUND", "%3Cscript%3E", "pin-incorrect.html"};
	for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
		const char *answer = get_page(unknown[i]);
		cr_expect_eq(answer_status(answer), 404, "%s", unknown[i]);
		cr_expect(answer_has(answer, PROBLEM_PATH "not-found\""), "%s", unknown[i]);
		cr_expect_not(answer_has(answer, "<script"), "%s", unknown[i]);
	}
}

Test(problem_page, loads_and_runs_nothing)
{
	const char *page = get_page("pin-incorrect");
	cr_expect(answer_has(page, "Content-Type: text/html; charset=utf-8\r\n"));
	cr_expect(answer_has(page, "Content-Security-Policy: default-src 'none'; "));
	cr_expect(answer_has(page, "X-Content-Type-Options: nosniff\r\n"));
}

Test(problem_page, is_for_configured_identities_only)
{
	cr_expect_eq(answer_status(fixture_get(fixture, "stranger", PROBLEM_PATH "not-found")), 403);
}
