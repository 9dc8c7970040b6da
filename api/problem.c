#include "api/problem.h"

#include <string.h>

#include "api/names.h"

enum { FINAL = 0, RETRY = 1 };

static const struct problem_row rows[PROBLEM_COUNT] = {
#define PROBLEM(constant, status, type, retryable, ckr, title) {type, title, ckr, status, retryable},
#include "api/problems.def"
};

#define PROBLEM(constant, status, type, ...) \
	_Static_assert(sizeof(type) <= PROBLEM_TYPE_MAX + 1, "PROBLEM_TYPE_MAX is too small for " type);
#include "api/problems.def"
#define RETURN(name, status, problem, ...) \
	_Static_assert(sizeof(problem) <= PROBLEM_TYPE_MAX + 1, "PROBLEM_TYPE_MAX is too small for " problem);
#include "api/returns.def"

const struct problem_row *problem_row(enum problem problem)
{
	return &rows[problem];
}

struct problem_row problem_of_return(CK_RV rv)
{
	const struct return_row *row = return_row(rv);

	return (struct problem_row){row->problem, row->title, rv, (unsigned)row->status, row->retryable};
}

static void type_write(struct json_writer *w, const char *type)
{
	const size_t path = sizeof PROBLEM_PATH - 1, len = strnlen(type, PROBLEM_TYPE_MAX);
	char text[sizeof PROBLEM_PATH + PROBLEM_TYPE_MAX];

	memcpy(text, PROBLEM_PATH, path);
	memcpy(text + path, type, len);
	json_name(w, "type");
	json_write_text(w, text, path + len);
}

static void text_write(struct json_writer *w, const char *name, const char *text)
{
	json_name(w, name);
	json_write_string(w, text);
}

void problem_write(struct json_writer *w, const struct problem_row *row, const char *detail, const char *pointer,
	const char *trace)
{
	json_begin_object(w);
	type_write(w, row->type);
	text_write(w, "title", row->title);
	json_name(w, "status");
	json_write_uint(w, row->status);
	if (detail != NULL)
		text_write(w, "detail", detail);
	if (pointer != NULL)
		text_write(w, "pointer", pointer);
	if (row->rv != CKR_OK) {
		json_name(w, "ckr");
		name_write(w, NAMES_RETURN, row->rv);
		json_name(w, "ckr_code");
		json_write_uint(w, row->rv);
	}
	json_name(w, "retryable");
	json_write_bool(w, row->retryable);
	text_write(w, "trace_id", trace);
	json_end_object(w);
}
