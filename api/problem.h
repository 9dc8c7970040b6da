/*
 * Problem details (RFC 9457): what a REST answer tells that is not a success, from the rows of problems.def and returns.def.
 *
 * HTTP status, type and whether to retry are in those rows and nowhere else (X14).
 */
#ifndef P11GATE_API_PROBLEM_H
#define P11GATE_API_PROBLEM_H

#include <stdbool.h>

#include "api/cryptoki.h"
#include "api/json.h"

/* A problem type is a relative reference: this and the row's type. */
#define PROBLEM_PATH "/docs/errors/"

enum {
	PROBLEM_TYPE_MAX = 48, /* bytes of a row's type */
};

enum problem {
#define PROBLEM(constant, ...) PROBLEM_##constant,
#include "api/problems.def"
	PROBLEM_COUNT
};

struct problem_row {
	const char *type; /* last segment of the problem type, e.g. "pin-incorrect" */
	const char *title; /* a sentence for people, with what to do */
	CK_RV rv; /* what a PKCS#11 application is told, or CKR_OK */
	unsigned status; /* HTTP */
	bool retryable; /* the same request may succeed later */
};

/* The row of `problem`, which must be below PROBLEM_COUNT. Static memory. */
const struct problem_row *problem_row(enum problem problem);

/* The problem of a return value: its row in returns.def, that of CKR_GENERAL_ERROR if it has none; `rv` is kept as it is. */
struct problem_row problem_of_return(CK_RV rv);

/*
 * Writes the problem as one object. `detail` is about this occurrence, `pointer` names the member of the body at fault
 * (RFC 6901); each may be NULL. `trace` is the request's trace id.
 */
void problem_write(struct json_writer *w, const struct problem_row *row, const char *detail, const char *pointer,
	const char *trace);

#endif
