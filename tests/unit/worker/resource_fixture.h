/*
 * Requests to the resource routes of a worker, and looking at their answers.
 */
#ifndef P11GATE_TESTS_UNIT_WORKER_RESOURCE_FIXTURE_H
#define P11GATE_TESTS_UNIT_WORKER_RESOURCE_FIXTURE_H

#include <openssl/evp.h>

#include "api/route.h"
#include "tests/unit/worker/fixture.h"

#define PIN_BODY "{\"pin\":\"" FIXTURE_PIN "\"}"

/* A request; NULL stands for "". `pair` is the worker's thread. */
struct ask {
	enum route_id route;
	const char *key, *operation, *query, *accept, *body, *identity, *content_type, *if_match;
	size_t body_len; /* 0: of the text */
	unsigned pair;
	unsigned without; /* mask of 1u << enum permission that the identity lacks */
	bool anonymous;
	struct journal_use *use; /* of its Idempotency-Key, or NULL; journal_end is the caller's */
};

/* An answer; memory of its own. */
struct rest {
	unsigned status, login;
	char *content_type, *headers; /* headers: "Name: value\n" each */
	char *body; /* with a NUL behind */
	size_t body_len;
	json_t *json; /* the body, or NULL */
	json_t *events; /* array of objects */
	json_t *calls; /* array of function names */
	char *opened, *closed; /* ids of operations, or "" */
};

struct rest rest_ask(struct worker_fixture *worker, struct ask what);
void rest_free(struct rest *rest);
#define REST_AUTO __attribute__((cleanup(rest_free)))

/* The answer must have this status; else the test fails and shows the body. */
struct rest rest_expecting(struct worker_fixture *worker, unsigned status, struct ask what);
#define REST(worker, status, ...) rest_expecting(worker, status, (struct ask){__VA_ARGS__})

/* The same where nothing else of the answer matters. */
void rest_only(struct worker_fixture *worker, unsigned status, struct ask what);
#define REST_ONLY(worker, status, ...) rest_only(worker, status, (struct ask){__VA_ARGS__})

/* A token and a worker on it; `options` may be NULL. */
void resource_setup(struct token_fixture *token, struct worker_fixture *worker, const struct worker_options *options);
/* The same, logged in over the login route. */
void resource_setup_logged_in(
	struct token_fixture *token, struct worker_fixture *worker, const struct worker_options *options);

/* A suite with `worker` on `token`; `begin` is one of the two above. */
#define RESOURCE_SUITE(suite, begin) \
	static struct token_fixture token; \
	static struct worker_fixture worker; \
	static void setup(void) \
	{ \
		begin(&token, &worker, NULL); \
	} \
	static void teardown(void) \
	{ \
		worker_fixture_stop(&worker); \
	} \
	TestSuite(suite, .init = setup, .fini = teardown, .timeout = 120)

/* A suite with a `client` of that worker. */
#define CLIENT_SUITE(suite) \
	RESOURCE_SUITE(suite, resource_setup); \
	static struct client client = {.worker = &worker, .instance = "first instance"}

/* Generates a key over the resource route; `more` are further members, with a comma in front. Needs a login. */
void make_resource_key(struct worker_fixture *worker, const char *type, const char *label, const char *more);

/* Imports an HMAC key over the calls route; needs a login. */
void import_hmac_key(struct worker_fixture *worker, const char *label, const void *value, size_t len);

/* Members by path ("operation/id"): the value, or "" or NULL. */
const char *text_at(const json_t *json, const char *path);
json_t *json_at(const json_t *json, const char *path);

/* base64url of bytes, and printf, into static memory of a few turns. */
const char *b64(const void *data, size_t len);
const char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Decodes a member into `out`; returns its length. */
size_t bytes_at(const json_t *json, const char *path, unsigned char *out, size_t size);

/* The public key of {key} as the worker exports it; the caller frees it. */
EVP_PKEY *public_key_of(struct worker_fixture *worker, const char *key);

/* True if OpenSSL verifies the signature (DER for ECDSA); `hash` NULL for Ed25519, `pss`: PSS padding. */
bool verifies(EVP_PKEY *key, const char *hash, bool pss, const void *data, size_t data_len,
	const unsigned char *signature, size_t len);

/* True if the header line is there. */
bool has_header(const struct rest *rest, const char *line);

/* Number of events whose member `path` is `value`; number of executions of a function. */
size_t events_with(const struct rest *rest, const char *path, const char *value);
size_t calls_of(const struct rest *rest, const char *function);

#endif
