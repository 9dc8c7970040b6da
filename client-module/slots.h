/*
 * What the process knows about slots, tokens and mechanisms: the last inventory document of the gateway.
 *
 * Mechanisms are read from it without asking again (requirement X8): they come with the token they belong to, so a changed
 * token brings its own.
 */
#ifndef P11GATE_CLIENT_MODULE_SLOTS_H
#define P11GATE_CLIENT_MODULE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/arena.h"
#include "client-module/lock.h"

/* How a slot is reached. Once made it stays until C_Finalize, so that sessions can point to it. */
struct slot_route {
	struct slot_route *next;
	CK_SLOT_ID id;
	char *target; /* request target of its calls: /v1/slots/…/calls */
	int path_len; /* bytes of `target` that name the slot: /v1/slots/… */
};

struct slots_snapshot;

struct slots {
	struct lock lock;
	struct slot_route *routes;
	unsigned route_count;
	struct slots_snapshot *snapshot; /* NULL: nothing known yet */
};

CK_RV slots_init(struct slots *slots, const struct locking *how) __attribute__((warn_unused_result));
void slots_done(struct slots *slots);

/*
 * Takes in an inventory document of `len` bytes; `scratch` serves its strings. A slot whose token came, went or changed since
 * the document before has an event pending then. CKR_DEVICE_ERROR when it is no such document (what was known stays),
 * CKR_HOST_MEMORY. Any thread.
 */
CK_RV slots_load(struct slots *slots, const char *text, size_t len, struct arena *scratch)
	__attribute__((warn_unused_result));

/* Whether a document has been taken in, and its generation. */
bool slots_known(struct slots *slots, uint64_t *ret_generation);

/* C_GetSlotList and C_GetMechanismList from what is known, with their two-call sizing. */
CK_RV slots_list(struct slots *slots, bool token_present, CK_SLOT_ID *items, CK_ULONG *count)
	__attribute__((warn_unused_result));
CK_RV slots_mechanisms(struct slots *slots, CK_SLOT_ID id, CK_MECHANISM_TYPE *items, CK_ULONG *count)
	__attribute__((warn_unused_result));

/* CKR_SLOT_ID_INVALID; CKR_TOKEN_NOT_PRESENT (not slots_info); CKR_MECHANISM_INVALID. */
CK_RV slots_info(struct slots *slots, CK_SLOT_ID id, CK_SLOT_INFO *ret_info) __attribute__((warn_unused_result));
CK_RV slots_token(struct slots *slots, CK_SLOT_ID id, CK_TOKEN_INFO *ret_info) __attribute__((warn_unused_result));
CK_RV slots_mechanism(struct slots *slots, CK_SLOT_ID id, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *ret_info)
	__attribute__((warn_unused_result));

/* NULL if the gateway has not told of such a slot. */
const struct slot_route *slots_route(struct slots *slots, CK_SLOT_ID id);

/* All routes made so far; the list may grow at its head, what is returned stays. */
const struct slot_route *slots_routes(struct slots *slots);

/* Takes a pending event; false if there is none. */
bool slots_event(struct slots *slots, CK_SLOT_ID *ret_id);

#endif
