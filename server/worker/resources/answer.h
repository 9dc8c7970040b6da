/*
 * Building answers beyond what the reply helpers of worker.h do.
 */
#ifndef P11GATE_WORKER_RESOURCES_ANSWER_H
#define P11GATE_WORKER_RESOURCES_ANSWER_H

#include <time.h>

#include "server/worker/worker.h"

/* Begins a JSON answer: status, content type (static), an empty body. Then write one value and call answer_end. */
void answer_begin(struct request *request, unsigned status, const char *content_type, struct json_writer *ret_writer);

/*
 * Decides by Accept, or else by how the request's body came, whether the answer is one content alone (application/octet-stream) instead
 * of JSON. `possible`: there is one. False: neither is acceptable, and the reply is 406.
 */
bool answer_choose(struct request *request, bool possible, bool *ret_octets) __attribute__((warn_unused_result));

/* Ends it: an answer beyond the limit of a body becomes a problem. */
void answer_end(struct request *request);

/* A body that is not JSON; `data` is copied. */
void answer_bytes(struct request *request, const char *content_type, const void *data, size_t len);

/* 204. */
void answer_nothing(struct request *request);

/* Ends a problem that reply_problem_open has reopened to add members of its own: json_name, value, … */
void answer_problem_close(struct request *request, struct json_writer *writer);

/* Writes, as one value, the problem of a return value; the reply itself stays what it is. */
void answer_problem_value(struct request *request, struct json_writer *writer, CK_RV rv, const char *detail);

/* The problem of a return value, as the whole answer, about one member of the body; always false. */
bool answer_refuse(struct request *request, CK_RV rv, const char *pointer, const char *detail);

/* Leaves an audit event. False: it cannot be kept, and the reply is 503, so that nothing goes unrecorded. */
bool answer_event(struct request *request, const struct event *event) __attribute__((warn_unused_result));

#endif
