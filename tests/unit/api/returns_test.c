#include <criterion/criterion.h>
#include <string.h>

#include "api/names.h"

static const struct return_row rows[] = {
#define FINAL false
#define RETRY true
#define RETURN(name, status, problem, retryable, title) {name, #name, status, problem, retryable, title},
#include "api/returns.def"
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

Test(returns, every_row_is_found_by_its_number)
{
	for (size_t i = 0; i < ROWS; i++) {
		const struct return_row *row = return_row(rows[i].rv);

		cr_expect_eq(row->rv, rows[i].rv);
		cr_expect_str_eq(row->name, rows[i].name);
		cr_expect_eq(row->status, rows[i].status);
		cr_expect_str_eq(row->problem, rows[i].problem);
		cr_expect_eq(row->retryable, rows[i].retryable);
		cr_expect_str_eq(row->title, rows[i].title);
	}
}

Test(returns, X14_no_return_value_is_an_internal_server_error)
{
	static const int allowed[] = {400, 401, 403, 404, 409, 422, 423, 501, 502, 503};

	for (size_t i = 0; i < ROWS; i++) {
		bool found = rows[i].rv == CKR_OK && rows[i].status == 200;

		for (size_t s = 0; s < sizeof(allowed) / sizeof(allowed[0]); s++)
			found = found || rows[i].status == allowed[s];
		cr_expect(found, "%s is %d", rows[i].name, rows[i].status);
	}
}

Test(returns, X14_an_unknown_value_has_the_row_of_a_general_error)
{
	cr_expect_eq(return_row(0x80000123)->rv, CKR_GENERAL_ERROR);
	cr_expect_eq(return_row(0x4)->rv, CKR_GENERAL_ERROR);
	cr_expect_eq(return_row(~0UL)->rv, CKR_GENERAL_ERROR);
}

Test(returns, X7_statuses_and_problems_are_as_required)
{
	static const struct {
		CK_RV rv;
		int status;
		const char *problem;
	} required[] = {
		{CKR_PIN_INCORRECT, 401, "pin-incorrect"},
		{CKR_PIN_LOCKED, 423, "pin-locked"},
		{CKR_USER_NOT_LOGGED_IN, 401, "login-required"},
		{CKR_OPERATION_NOT_INITIALIZED, 409, NULL},
		{CKR_OPERATION_ACTIVE, 409, NULL},
		{CKR_USER_ALREADY_LOGGED_IN, 409, NULL},
		{CKR_USER_ANOTHER_ALREADY_LOGGED_IN, 409, NULL},
		{CKR_OBJECT_HANDLE_INVALID, 404, NULL},
		{CKR_SLOT_ID_INVALID, 404, NULL},
		{CKR_MECHANISM_INVALID, 422, NULL},
		{CKR_KEY_SIZE_RANGE, 422, NULL},
		{CKR_KEY_TYPE_INCONSISTENT, 422, NULL},
		{CKR_KEY_FUNCTION_NOT_PERMITTED, 403, NULL},
		{CKR_DEVICE_ERROR, 503, NULL},
		{CKR_TOKEN_NOT_PRESENT, 503, NULL},
	};

	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
		const struct return_row *row = return_row(required[i].rv);

		cr_expect_eq(row->status, required[i].status, "%s is %d", row->name, row->status);
		if (required[i].problem != NULL)
			cr_expect_str_eq(row->problem, required[i].problem);
	}
}

Test(returns, a_problem_is_a_path_segment_of_its_own)
{
	for (size_t i = 0; i < ROWS; i++) {
		cr_expect_gt(strlen(rows[i].problem), 1);
		cr_expect_eq(strspn(rows[i].problem, "abcdefghijklmnopqrstuvwxyz-"), strlen(rows[i].problem), "%s",
			rows[i].problem);
		for (size_t j = 0; j < i; j++)
			cr_expect_str_neq(rows[i].problem, rows[j].problem);
	}
}

Test(returns, a_title_is_a_sentence)
{
	for (size_t i = 0; i < ROWS; i++) {
		size_t len = strlen(rows[i].title);

		cr_expect(
			len > 20 && rows[i].title[0] >= 'A' && rows[i].title[0] <= 'Z' && rows[i].title[len - 1] == '.',
			"%s", rows[i].title);
	}
}

Test(returns, what_is_unavailable_for_a_while_can_be_retried_and_a_wrong_request_cannot)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].status == 400 || rows[i].status == 403 || rows[i].status == 404 || rows[i].status == 422)
			cr_expect_not(rows[i].retryable, "%s", rows[i].name);
	}
	cr_expect(return_row(CKR_DEVICE_ERROR)->retryable);
	cr_expect(return_row(CKR_HOST_MEMORY)->retryable);
	cr_expect_not(return_row(CKR_PIN_INCORRECT)->retryable);
	/* A retry might create a key twice. */
	cr_expect_not(return_row(CKR_GENERAL_ERROR)->retryable);
}
