/*
 * The other side of a key agreement.
 */
#ifndef P11GATE_WORKER_RESOURCES_PEER_H
#define P11GATE_WORKER_RESOURCES_PEER_H

#include "server/worker/resources/key.h"

/* Bytes of a coordinate on the key's curve, which must have a row in curve.def. */
size_t peer_field_len(const struct key *key);

/*
 * The point of a peer's public key (SubjectPublicKeyInfo, DER), 04 ‖ x ‖ y, in the arena; {NULL, 0} if it is not one on the key's curve,
 * which must have a row in curve.def.
 */
struct bytes peer_point(struct request *request, const struct key *key, struct bytes public_key);

#endif
