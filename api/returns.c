#include "api/names.h"

enum return_index {
#define RETURN(name, ...) INDEX_##name,
#include "api/returns.def"
};

enum { FINAL = 0, RETRY = 1 };

static const struct return_row rows[] = {
#define RETURN(name, status, problem, retryable, title) {name, #name, status, problem, retryable, title},
#include "api/returns.def"
};

const struct return_row *return_row(CK_RV rv)
{
#define RETURN(name, ...) \
	case name: return &rows[INDEX_##name];
	switch (rv) {
#include "api/returns.def"
	}
	return &rows[INDEX_CKR_GENERAL_ERROR];
}

const struct return_row *return_row_at(size_t index)
{
	return index < sizeof(rows) / sizeof(rows[0]) ? &rows[index] : NULL;
}
