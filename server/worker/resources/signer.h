/*
 * Signing with a key of the token: which mechanism, what is hashed here, and the form of the result.
 */
#ifndef P11GATE_WORKER_RESOURCES_SIGNER_H
#define P11GATE_WORKER_RESOURCES_SIGNER_H

#include "server/worker/resources/algorithm.h"
#include "server/worker/resources/use.h"

/* How a request wants to sign. */
struct signer {
	const struct algorithm *algorithm; /* NULL: `mechanism` alone, which takes the input as it is */
	CK_MECHANISM_TYPE mechanism; /* if there is no algorithm */
	const struct algorithm *row; /* what is known of the mechanism, or NULL */
	bool combined; /* the token lists the algorithm's combined mechanism */
	bool ecdsa; /* the token's result is r‖s */
	bool der; /* give it out as DER */
	const char *asked; /* name of the algorithm or mechanism as asked for */
	bool by_mechanism; /* `asked` is a CKM_ name */
};

/* One input. */
struct signer_input {
	struct bytes bytes;
	bool is_digest;
	unsigned char sha256[SHA256_LEN]; /* of `bytes`, for the audit */
};

/* A signer for one row of algorithm.def, after asking the token what it lists. */
void signer_of_algorithm(struct request *request, const struct algorithm *algorithm, struct signer *ret_signer);

/*
 * A signer for a mechanism; one that the token lacks is replaced by hashing here and the plain mechanism, if it has a
 * row.
 */
void signer_of_mechanism(struct request *request, CK_MECHANISM_TYPE mechanism, struct signer *ret_signer);

/* Whether the token can sign with the mechanism (C_GetMechanismInfo, CKF_SIGN). */
bool signer_token_has(struct request *request, CK_MECHANISM_TYPE mechanism);

/* Whether the key's type and curve fit, as far as the tables know; beyond them the token judges. */
bool signer_fits(const struct signer *signer, const struct key *key);

/* Bytes of the digest that the algorithm takes; 0 if it takes none. */
size_t signer_digest_len(const struct signer *signer);

/* Completes the input: its SHA-256. False without memory. */
bool signer_input_init(struct signer_input *input, struct bytes bytes, bool is_digest)
	__attribute__((warn_unused_result));

/*
 * Init, context login if the use wants it, sign: one step on the use's session. Leaves the audit event; *ret_withheld
 * says that it could not, and then the reply is complete. The signature is in the arena. On failure the session may be
 * unclean: use_renew.
 */
CK_RV signer_sign(struct use *use, const struct key *key, const struct signer *signer, const struct signer_input *input,
	struct bytes *ret_signature, bool *ret_withheld) __attribute__((warn_unused_result));

/* --- what other uses of a key have in common with a signature --- */

/* Microseconds of a clock that nobody can set. */
uint64_t signer_now_us(void);

/*
 * Has the use's PIN verified before the key is used, for what has no step in which the token would ask for it (B20, A18). `login` is
 * login_epoch from before; *key, the module's handle, and the use's session may become others. The use's pin_rv keeps the outcome; an
 * audit event is left. CKR_OK if this request's own login was made with the PIN.
 */
CK_RV signer_verify_pin(struct use *use, unsigned login, CK_OBJECT_HANDLE *key, bool *ret_withheld)
	__attribute__((warn_unused_result));

/* Leaves the audit event of a use; false: it could not, and the reply is complete. `begun_us` is signer_now_us from before. */
bool signer_record(struct use *use, const struct key *key, const CK_MECHANISM *mechanism,
	const struct signer_input *input, const char *function, CK_RV rv, uint64_t begun_us)
	__attribute__((warn_unused_result));

#endif
