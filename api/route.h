/*
 * The table of routes (routes.def) as data, and the matcher of raw request paths.
 */
#ifndef P11GATE_API_ROUTE_H
#define P11GATE_API_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "schema.h"

enum route_id {
#define ROUTE(name, ...) ROUTE_##name,
#include "routes.def"
	ROUTE_COUNT
};

/* Who answers: the gateway itself, from the inventory, or the application's worker. */
enum route_server { SERVER_GATEWAY, SERVER_INVENTORY, SERVER_WORKER };

struct route_row {
	enum route_id id;
	const char *name; /* as in routes.def */
	const char *method; /* "GET" … */
	const char *path; /* template, e.g. "/v1/slots/{slot}/keys" */
	/* mask of 1u << enum permission, all of them needed on the slot; 0: every configured identity */
	unsigned permissions;
	enum route_server server;
	bool idempotent; /* takes Idempotency-Key */
	enum schema_id request; /* schema of the body */
	enum schema_id response;
	unsigned success; /* HTTP status */
	const char *summary; /* one line for people */
};

/*
 * The media types of the route's bodies (bodies.def; else application/json, and application/octet-stream where the schema has a CONTENT
 * member), the usual one first: `place` counts from 0; NULL behind the last. A route that
 * reads no body leaves one of application/json alone. Static memory.
 */
const char *route_body_type(const struct route_row *row, size_t place);

/* True if the `len` bytes at `content_type`, a Content-Type with or without parameters, name one of those. */
bool route_takes(const struct route_row *row, const char *content_type, size_t len);

/* The row of `id`, which must be below ROUTE_COUNT. Static memory. */
const struct route_row *route_row(enum route_id id);

/*
 * PARAMETER(CONSTANT, name in braces, description): the variable segments of the templates.
 */
#define ROUTE_PARAMETERS(PARAMETER) \
	PARAMETER(SLOT, "slot", \
		"Name of a configured slot, or of its token: label:LABEL, serial:SERIAL, or a PKCS#11 URI (RFC 7512) " \
		"that names a token") \
	PARAMETER(APPLICATION, "application", "Application ID, or `current`: the request's own application") \
	PARAMETER(KEY, "key", "A key: its label, or with a prefix label:LABEL, id:HEX or a PKCS#11 URI (RFC 7512)") \
	PARAMETER(SESSION, "session", "Identifier of a session that was opened over REST") \
	PARAMETER(OPERATION, "operation", "Identifier of an operation that waits for re-authentication") \
	PARAMETER(TYPE, "type", "Last segment of a problem type")

enum route_parameter {
#define PARAMETER(constant, name, description) PARAMETER_##constant,
	ROUTE_PARAMETERS(PARAMETER)
#undef PARAMETER
		PARAMETER_COUNT
};

enum route_outcome {
	ROUTE_MATCHED,
	ROUTE_METHOD_NOT_ALLOWED, /* 405: the path is known; `allow` says with what */
	ROUTE_NOT_FOUND, /* 404 */
	ROUTE_MALFORMED, /* 400: `problem` says why */
	ROUTE_NO_MEMORY, /* the arena is exhausted */
};

struct route_match {
	enum route_outcome outcome;
	const struct route_row *row; /* MATCHED, else NULL */
	/* MATCHED: decoded UTF-8 in the arena; NULL where the template has none */
	const char *parameters[PARAMETER_COUNT];
	const char *allow; /* METHOD_NOT_ALLOWED: value of the Allow header, in the arena; else NULL */
	const char *problem; /* MALFORMED: a static sentence; else NULL */
};

/*
 * Finds the route of a request. `method` is the request's method as sent; `path` the raw path as sent, `len` bytes, without
 * query and never unescaped before. The path is split on '/', then each segment is decoded once. Malformed are: bytes
 * that RFC 3986 does not allow in a path, incomplete escapes, %00, segments that are not UTF-8, the segments . and ..
 * (escaped or not), and %2F anywhere but in {key}. Empty segments match nothing.
 */
void route_match(struct arena *arena, const char *method, const char *path, size_t len, struct route_match *ret_match);

#endif
