/*
 * One cryptographic operation with the key of a use, from its Init to the audit event: signing, verifying, encrypting, decrypting
 * (requirements A24–A28, B20).
 */
#ifndef P11GATE_WORKER_RESOURCES_KEY_OPERATION_H
#define P11GATE_WORKER_RESOURCES_KEY_OPERATION_H

#include "server/worker/resources/use.h"

struct key_operation {
	enum call_id init, once; /* CALL_SignInit and CALL_Sign, and the like */
	const struct key *key;
	CK_MECHANISM mechanism;
	struct bytes input;
	struct bytes signature; /* of CALL_Verify */
	const unsigned char *sha256; /* SHA256_LEN bytes, of what the client gave; for the audit */
};

/*
 * Init, context login if the use wants it, and the one call: one step on the use's session. Leaves the audit event; *ret_withheld
 * says that it could not, and then the reply is complete. The output is in the arena; C_Verify has none. On failure the session may be
 * unclean: use_renew.
 */
CK_RV key_operation_run(struct use *use, const struct key_operation *operation, struct bytes *ret_output,
	bool *ret_withheld) __attribute__((warn_unused_result));

/* Microseconds of a clock that nobody can set. */
uint64_t key_operation_now_us(void);

/* What the audit event of a use says. */
struct key_record {
	const struct key *key;
	CK_MECHANISM_TYPE mechanism;
	const unsigned char *sha256; /* of what the client gave, or NULL */
	const char *function; /* that had the last word: "C_DeriveKey" */
	uint64_t begun_us; /* key_operation_now_us from before */
	struct event_key wrapped, made; /* as in struct event */
};

/* What a record says of a further key. */
struct event_key key_operation_names(const struct key *key);

/* Leaves it. False: it could not be kept, and the reply is complete. */
bool key_operation_record(struct use *use, const struct key_record *record, CK_RV rv)
	__attribute__((warn_unused_result));

/* SHA-256 for the audit. False without memory. */
bool key_operation_hash(struct bytes input, unsigned char ret_sha256[SHA256_LEN]) __attribute__((warn_unused_result));

/* Whether the token does that with the mechanism (C_GetMechanismInfo, CKF_SIGN and its kin). */
bool key_operation_possible(struct request *request, CK_MECHANISM_TYPE mechanism, CK_FLAGS flag);

#endif
