/*
 * The isolation matrix: twenty applications of two identities, and each tries what belongs to another one. Nothing succeeds, and the
 * answer is the one to a name that nobody has (X9).
 */
#ifndef P11GATE_TESTS_INTEGRATION_MATRIX_H
#define P11GATE_TESTS_INTEGRATION_MATRIX_H

#include "api/buffer.h"
#include "api/call.h"
#include "tests/integration/fixture.h"
#include "tests/support/lib/tls_client.h"

enum { APPLICATIONS = 20, ID_LEN = 16, ID_SIZE = 2 * ID_LEN + 1, TEXT_MAX = 1 << 20, HANDLES_NEAR = 1000 };

/* What an application has that another one could name; or the same of nobody. */
struct matrix_names {
	char application[ID_SIZE], instance[ID_SIZE], operation[ID_SIZE], rest_session[ID_SIZE];
	char label[ID_SIZE + 8], key_id[ID_SIZE]; /* of a key that lives in its session; CKA_ID in hexadecimal */
	unsigned long session, key;
};

struct matrix_application {
	enum person who;
	struct matrix_names own;
	struct tls_client client;
};

struct matrix_reply {
	long status;
	char *text; /* head and body, without what differs from answer to answer */
};

void matrix_reply_free(struct matrix_reply *reply);
#define REPLY_AUTO __attribute__((cleanup(matrix_reply_free))) struct matrix_reply

void random_id(char ret_id[ID_SIZE]);
unsigned long random_handle(void);
void matrix_names_of_nobody(struct matrix_names *ret_names);

/*
 * One request over the application's connection, with the application ID and instance of `as`; `names` are blotted out of the answer
 * unless NULL.
 */
struct matrix_reply matrix_ask(struct matrix_application *from, const struct matrix_names *as,
	const struct matrix_names *names, const char *method, const char *path, const char *body);

/* A number out of the result of one Cryptoki call (JSON), which succeeds. */
unsigned long matrix_call_number(
	const struct gateway *g, struct matrix_application *from, const char *text, const char *name);

/* The handles that a call gets. */
struct matrix_handles {
	unsigned long session;
	unsigned long object, own; /* of argument `at`, and of the call's other objects */
	size_t at;
	const char *mechanism; /* JSON; NULL: one that the token has for the call */
};

/* One more group with one call in an array of groups (matrix_write.c). */
void matrix_call_write(
	struct buffer *out, const struct gateway *g, const struct call_row *row, const struct matrix_handles *handles);

/* The place of the first argument of that kind; argument_count: there is none. */
size_t matrix_call_argument(const struct call_row *row, enum wire_kind kind);

unsigned matrix_occurrences(const char *text, const char *what);

/* Logged in, with a session, a key in it, and an operation that waits for its PIN. */
void matrix_application_start(const struct gateway *g, struct matrix_application *a, size_t index);

/* A gateway of the test's own with all applications; and their end, with all that they had still there. */
void matrix_start(struct gateway *g, struct matrix_application *applications);
void matrix_end(struct gateway *g, struct matrix_application *applications);

#endif
