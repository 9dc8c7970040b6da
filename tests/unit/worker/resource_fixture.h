/*
 * A worker over a fresh SoftHSM token, with the test in the gateway's place: it sends requests and answers the worker's questions.
 *
 * The worker is a forked child that runs the worker's own start-up and threads; each test has a token directory of its own.
 */
#ifndef P11GATE_TESTS_RESOURCE_FIXTURE_H
#define P11GATE_TESTS_RESOURCE_FIXTURE_H

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <sys/types.h>

#include "api/arena.h"
#include "api/route.h"
#include "server/common/message.h"

#define FIXTURE_PIN "1234"
#define FIXTURE_SO_PIN "5678"
#define FIXTURE_TOKEN "unit \"token\""
#define FIXTURE_SLOT "demo"

enum { FIXTURE_THREADS = 4 };

/* What a worker is started with beyond the defaults; zero means the default. */
struct fixture_options {
	const char *module;            /* path; default SoftHSM */
	unsigned operations_max;       /* default 4 */
	unsigned operation_ttl_ms;     /* default 60 s */
	const char *challenge_only;    /* label of a key so marked, or NULL */
};

/* A token, and what is outside any worker. */
struct token { char directory[64]; };

struct worker_process {
	pid_t pid;
	int control, pairs[FIXTURE_THREADS];
	bool anonymous;                /* requests say so */
};

/* One answer; memory of its own. */
struct answer {
	unsigned status;
	char *content_type, *headers;  /* headers: one "Name: value\n" each */
	unsigned char *body;           /* with a NUL behind */
	size_t body_len;
	json_t *json;                  /* of the body, or NULL */
	json_t *events;                /* array */
	json_t *calls;                 /* array of names */
	char *opened, *closed;
	unsigned login;
};

void token_new(struct token *token);
void token_free(struct token *token);

/* Imports a key before a worker runs: HMAC key of `len` bytes. */
void token_import_secret(const struct token *token, const char *label, const char *id, const void *value, size_t len);

void worker_start(const struct token *token, const struct fixture_options *options, struct worker_process *ret_worker);
void worker_end(struct worker_process *worker);

/* What a request is made of; NULL stands for "". */
struct ask { enum route_id route; const char *key, *operation, *query, *accept, *body, *identity, *content_type; unsigned pair; };

/* Sends a request and waits for its answer. */
struct answer ask(struct worker_process *worker, struct ask what);
void answer_free(struct answer *answer);
#define ANSWER_AUTO __attribute__((cleanup(answer_free)))

/* The answer must have this status; else the test fails and shows the body. */
struct answer ask_expecting(struct worker_process *worker, unsigned status, struct ask what);
#define ASK(worker, status, ...) ask_expecting(worker, status, (struct ask){__VA_ARGS__})

/* The same where nobody looks at the answer's contents. */
void do_expecting(struct worker_process *worker, unsigned status, struct ask what);
#define DO(worker, status, ...) do_expecting(worker, status, (struct ask){__VA_ARGS__})

/* Members by path ("operation/id"), "" or 0 if absent. */
const char *text_at(const json_t *json, const char *path);
json_t *json_at(const json_t *json, const char *path);

/* base64url of bytes, in static memory of a few turns. */
const char *b64(const void *data, size_t len);
/* Decodes a member into `out`; returns its length. */
size_t bytes_at(const json_t *json, const char *path, unsigned char *out, size_t size);

/* printf into static memory of a few turns. */
const char *format(const char *text, ...) __attribute__((format(printf, 1, 2)));

/* The public key of {key} as the worker exports it. */
EVP_PKEY *public_key_of(struct worker_process *worker, const char *key);

/* True if the header is there with exactly this value. */
bool has_header(const struct answer *answer, const char *line);

/* Number of events of the answer whose member `name` is `value`. */
size_t events_with(const struct answer *answer, const char *name, const char *value);

/* Number of times the module executed the function ("Sign"). */
size_t calls_of(const struct answer *answer, const char *function);

#endif
