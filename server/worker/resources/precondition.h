/*
 * If-Match (RFC 9110, section 13.1.1): whoever changes or destroys something says in which state they have seen it.
 */
#ifndef P11GATE_WORKER_RESOURCES_PRECONDITION_H
#define P11GATE_WORKER_RESOURCES_PRECONDITION_H

#include "server/worker/worker.h"

enum { ETAG_SIZE = 2 + 32 + 1 }; /* 32 hexadecimal digits in double quotes, and a NUL */

/* Writes the entity-tag of a state that has this SHA-256 (32 bytes). */
void etag_write(const unsigned char sha256[32], char ret_etag[ETAG_SIZE]);

/*
 * Whether the request's If-Match names the state `etag`, or any (*). False: the reply is 428 without the header, 412 when it names
 * other states, 400 if it cannot be read.
 */
bool precondition_holds(struct request *request, const char *etag) __attribute__((warn_unused_result));

#endif
