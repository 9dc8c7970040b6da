#include "api/problem.h"

#include <criterion/criterion.h>
#include <string.h>

#include "api/names.h"

static const char *const types[] = {
#define PROBLEM(constant, status, type, ...) type,
#include "api/problems.def"
};

Test(problem, X14_a_type_has_one_row_in_one_of_the_two_tables)
{
	for (enum problem i = 0; i < PROBLEM_COUNT; i++) {
		cr_expect_str_eq(problem_row(i)->type, types[i]);
		for (enum problem j = 0; j < i; j++)
			cr_expect_str_neq(types[i], types[j]);
		for (size_t j = 0; return_row_at(j) != NULL; j++)
			cr_expect_str_neq(types[i], return_row_at(j)->problem);
	}
}

Test(problem, X14_no_problem_is_an_internal_server_error)
{
	for (enum problem i = 0; i < PROBLEM_COUNT; i++) {
		unsigned status = problem_row(i)->status;
		cr_expect(status >= 400 && status < 600 && status != 500, "%s is %u", types[i], status);
	}
}

Test(problem, a_type_is_a_path_segment_of_its_own)
{
	for (enum problem i = 0; i < PROBLEM_COUNT; i++) {
		cr_expect_gt(strlen(types[i]), 1);
		cr_expect_eq(strspn(types[i], "abcdefghijklmnopqrstuvwxyz-"), strlen(types[i]), "%s", types[i]);
	}
}

Test(problem, a_title_is_a_sentence)
{
	for (enum problem i = 0; i < PROBLEM_COUNT; i++) {
		const char *title = problem_row(i)->title;
		size_t len = strlen(title);
		cr_expect(len > 20 && title[0] >= 'A' && title[0] <= 'Z' && title[len - 1] == '.', "%s", title);
	}
}

Test(problem, what_may_have_been_carried_out_is_not_retried)
{
	for (enum problem i = 0; i < PROBLEM_COUNT; i++) {
		const struct problem_row *row = problem_row(i);
		cr_expect_not(row->retryable && row->status < 500 && row->status != 409 && row->status != 423 &&
				      row->status != 429,
			"%s", row->type);
	}
	cr_expect_not(problem_row(PROBLEM_OUTCOME_UNKNOWN)->retryable);
	cr_expect_not(problem_row(PROBLEM_WORKER_ENDED)->retryable);
	cr_expect_not(problem_row(PROBLEM_RESULT_WITHHELD)->retryable);
	cr_expect(problem_row(PROBLEM_BUSY)->retryable);
}

Test(problem, X14_the_problem_of_a_return_value_has_the_columns_of_its_row)
{
	for (size_t i = 0; return_row_at(i) != NULL; i++) {
		const struct return_row *row = return_row_at(i);
		const struct problem_row problem = problem_of_return(row->rv);
		cr_expect_eq(problem.rv, row->rv);
		cr_expect_eq(problem.status, (unsigned)row->status);
		cr_expect_str_eq(problem.type, row->problem);
		cr_expect_str_eq(problem.title, row->title);
		cr_expect_eq(problem.retryable, row->retryable);
	}
}

Test(problem, X14_an_unknown_return_value_keeps_its_number_under_the_type_of_a_general_error)
{
	const struct problem_row problem = problem_of_return(0x80000123);

	cr_expect_eq(problem.rv, 0x80000123);
	cr_expect_str_eq(problem.type, return_row(CKR_GENERAL_ERROR)->problem);
}

static void expect_written(const struct problem_row *row, const char *detail, const char *pointer, const char *expected)
{
	struct buffer text BUFFER_AUTO;
	struct json_writer w;

	buffer_init(&text, 4096);
	json_writer_init(&w, &text);
	problem_write(&w, row, detail, pointer, "0123");
	cr_assert_eq(text.len, strlen(expected), "%.*s", (int)text.len, (const char *)text.data);
	cr_expect_eq(memcmp(text.data, expected, text.len), 0, "%.*s", (int)text.len, (const char *)text.data);
}

Test(problem, X7_is_written_with_what_is_known_of_it)
{
	const struct problem_row plain = {"not-so", "It is not so.", CKR_OK, 404, false};
	const struct problem_row of_token = {"wrong", "It is wrong.", CKR_PIN_INCORRECT, 401, true};

	expect_written(&plain, NULL, NULL,
		"{\"type\":\"/docs/errors/not-so\",\"title\":\"It is not so.\",\"status\":404,\"retryable\":false,"
		"\"trace_id\":\"0123\"}");
	expect_written(&of_token, "why", "/pin",
		"{\"type\":\"/docs/errors/wrong\",\"title\":\"It is wrong.\",\"status\":401,\"detail\":\"why\","
		"\"pointer\":\"/pin\",\"ckr\":\"CKR_PIN_INCORRECT\",\"ckr_code\":160,\"retryable\":true,"
		"\"trace_id\":\"0123\"}");
}
