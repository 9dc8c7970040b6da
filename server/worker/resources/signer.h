/*
 * Signing with a key of the token, and verifying: which mechanism, what is hashed here, and the form of the signature.
 */
#ifndef P11GATE_WORKER_RESOURCES_SIGNER_H
#define P11GATE_WORKER_RESOURCES_SIGNER_H

#include "server/worker/resources/algorithm.h"
#include "server/worker/resources/use.h"

enum signer_purpose { SIGNER_SIGNS, SIGNER_VERIFIES };

/* How a request wants to sign or verify. */
struct signer {
	const struct algorithm *algorithm; /* NULL: `mechanism` alone, which takes the input as it is */
	CK_MECHANISM mechanism; /* if there is no algorithm */
	const struct algorithm *row; /* what is known of the mechanism, or NULL */
	bool combined; /* the token lists the algorithm's combined mechanism */
	bool ecdsa; /* the token's result is r‖s */
	bool der; /* outside it is DER */
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
void signer_of_algorithm(struct request *request, const struct algorithm *algorithm, enum signer_purpose purpose,
	struct signer *ret_signer);

/*
 * A signer for a mechanism; one that the token lacks is replaced by hashing here and the plain mechanism, if it has a
 * row. Its parameter must outlive the signer.
 */
void signer_of_mechanism(
	struct request *request, const CK_MECHANISM *mechanism, enum signer_purpose purpose, struct signer *ret_signer);

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

/* Whether signatures of the key can be read in the form that the signer takes: the numbers in DER have no length of their own. */
bool signer_reads_format(const struct signer *signer, const struct key *key);

/*
 * The same with C_Verify. CKR_OK also for a signature that is not good, which is what *ret_valid says.
 */
CK_RV signer_verify(struct use *use, const struct key *key, const struct signer *signer,
	const struct signer_input *input, struct bytes signature, bool *ret_valid, bool *ret_withheld)
	__attribute__((warn_unused_result));

#endif
