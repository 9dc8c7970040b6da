/*
 * A key that is to be made: what the body says of it, the attributes that follow, and the answer once it is there. What generation,
 * import and every other way to make a key have in common.
 */
#ifndef P11GATE_WORKER_RESOURCES_KEY_PLAN_H
#define P11GATE_WORKER_RESOURCES_KEY_PLAN_H

#include <jansson.h>

#include "server/worker/resources/key.h"

/* A row of key_kind.def. */
struct key_kind {
	const char *name;
	CK_KEY_TYPE type;
	CK_ULONG bits_default, bits_min, bits_max, bits_step;
	CK_MECHANISM_TYPE mechanism;
	bool pair;
	unsigned usage_allowed, usage_default;
};

struct key_plan {
	const struct key_kind *kind;
	const struct curve *curve; /* or NULL */
	CK_ULONG bits; /* 0: as the curve says */
	struct bytes label, id;
	unsigned usage; /* mask of 1u << enum key_usage */
	CK_BBOOL extractable, always_authenticate;
};

enum { KEY_TEMPLATE_MAX = 32 }; /* attributes */

/* Attributes whose values lie elsewhere and live as long. */
struct key_template {
	CK_ATTRIBUTE items[KEY_TEMPLATE_MAX];
	CK_ULONG count;
};

/* Which half of a pair; a secret key is both. */
enum key_half { HALF_PRIVATE = 1, HALF_PUBLIC = 2, HALF_BOTH = HALF_PRIVATE | HALF_PUBLIC };

/* The kind of that name, or NULL; the kind of a key of that type and curve (NULL: none), or NULL. */
const struct key_kind *key_kind_by_name(const char *name);
const struct key_kind *key_kind_of(CK_KEY_TYPE type, const struct curve *curve);

/*
 * Reads the members label, id, usage, extractable and always_authenticate of a checked body; a key without an id gets 16 random
 * bytes. False: the reply is a problem that names the member.
 */
bool key_plan_read(struct request *request, const json_t *body, const struct key_kind *kind, struct key_plan *ret_plan)
	__attribute__((warn_unused_result));

/* Whether a key of the plan's kind can have plan->bits; false: the reply is 422 with that pointer. */
bool key_plan_check_bits(struct request *request, const struct key_plan *plan, const char *pointer)
	__attribute__((warn_unused_result));

void key_template_add(struct key_template *template, CK_ATTRIBUTE_TYPE type, const void *value, CK_ULONG len);

/* Names, protection and every usage, allowed or not, of a token object that is `half` of the plan's key. */
void key_template_plan(struct key_template *template, const struct key_plan *plan, enum key_half half);

/*
 * Leaves the event of a function that was to make the key. `mechanism` is NULL or its name. False: it cannot be kept, and the reply
 * says so.
 */
bool key_plan_record(struct request *request, const struct key_plan *plan, const char *function, const char *mechanism,
	CK_RV rv) __attribute__((warn_unused_result));

/* 201 with Location and the key as the token has it now, found by the CKA_ID that nothing else has. */
CK_RV key_plan_answer(struct request *request, CK_SESSION_HANDLE session, const struct key_plan *plan)
	__attribute__((warn_unused_result));

#endif
