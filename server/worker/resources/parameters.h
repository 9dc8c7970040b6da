/*
 * The query string of a request.
 */
#ifndef P11GATE_WORKER_RESOURCES_PARAMETERS_H
#define P11GATE_WORKER_RESOURCES_PARAMETERS_H

#include "server/worker/worker.h"

/* A parameter that a route knows; `value` is filled in, in the arena, NULL where the query has none. */
struct parameter {
	const char *name;
	const char *value;
};

/*
 * Reads NAME=VALUE pairs joined by '&', values percent-encoded UTF-8. False: an unknown or repeated parameter or a bad
 * escape; the reply is a 400 problem.
 */
bool parameters_read(struct request *request, struct parameter parameters[], size_t count)
	__attribute__((warn_unused_result));

#endif
