/*
 * The JSON body of a request, checked against its schema (schemas.def) before a handler sees it.
 *
 * The text is first judged by the strict scanner (api/json.h: depth, duplicates, U+0000, trailing bytes), then parsed
 * by jansson, then compared with the schema: unknown member, missing member, wrong type, bad base64url, value out of
 * the enumeration, empty or overlong. Every refusal is a 400 problem whose pointer (RFC 6901) names the place.
 *
 * A schema with a CONTENT member is also read from a body of application/octet-stream, which is that member, and the query, which
 * has the others. Whoever looks at the result sees no difference.
 */
#ifndef P11GATE_WORKER_RESOURCES_BODY_H
#define P11GATE_WORKER_RESOURCES_BODY_H

#include <jansson.h>

#include "api/schema.h"
#include "server/worker/worker.h"

enum {
	BODY_TEXT_MAX = 4096, /* bytes of a TEXT member */
	BODY_SECRET_MAX = 32 << 10, /* bytes of a SECRET member: an RSA key of 16384 bits in PEM */
	BODY_LIST_MAX = 1000, /* elements of a LIST member */
};

/*
 * Parses and checks the request's body. False: the reply is the problem. The caller owns *ret_body; its strings may be
 * PINs and are wiped when they are freed (server/common/wipe_free.h).
 */
bool body_read(struct request *request, enum schema_id schema, json_t **ret_body) __attribute__((warn_unused_result));

/* Lets go of a body; for the cleanup attribute. */
void body_done(json_t **body);
#define BODY_AUTO __attribute__((cleanup(body_done)))

/* Members of a checked object. What is absent is NULL, false, or the given default. */
bool body_has(const json_t *object, const char *name);
const char *body_text(const json_t *object, const char *name);
bool body_flag(const json_t *object, const char *name);
uint64_t body_number(const json_t *object, const char *name, uint64_t absent);
const json_t *body_member(const json_t *object, const char *name);

/*
 * Decodes a BASE64URL or CONTENT member into the request's arena; {NULL, 0} if it is absent. False: no memory, and the reply says
 * so.
 */
bool body_bytes(struct request *request, const json_t *object, const char *name, struct bytes *ret_bytes)
	__attribute__((warn_unused_result));

/* True if the body came as application/octet-stream. */
bool body_is_octets(const struct request *request);

/*
 * Reads a MECHANISM member that is there; its parameter is in the request's arena. False: the reply says that there is no such
 * mechanism (422), that the object cannot be read (400), or that the parameter names a key by a handle (422).
 */
bool body_mechanism(struct request *request, const json_t *object, const char *name, CK_MECHANISM *ret_mechanism)
	__attribute__((warn_unused_result));

/* The 400 problem for a member that the schema allows and its meaning does not. `pointer` as in RFC 6901. */
void body_refuse(struct request *request, const char *pointer, const char *detail);

#endif
