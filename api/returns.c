#include "names.h"

enum return_index {
#define RETURN(name, ...) INDEX_##name,
#include "returns.def"
};

enum { FINAL = 0, RETRY = 1 };

static const struct return_row rows[] = {
#define RETURN(name, status, problem, retryable, title) {name, #name, status, problem, retryable, title},
#include "returns.def"
};

const struct return_row *return_row(CK_RV rv)
{
	switch (rv) {
#define RETURN(name, ...) case name: return &rows[INDEX_##name];
#include "returns.def"
	}
	return &rows[INDEX_CKR_GENERAL_ERROR];
}
