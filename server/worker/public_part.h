/*
 * The public part of a private key: what tells it from all other keys, though the key itself cannot be read. Private to server/worker/.
 *
 * RSA private keys have their modulus (PKCS #11 2.40, 2.1.3). EC private keys need not have their point (2.3.4), and SoftHSM's have
 * none, nor a CKA_PUBLIC_KEY_INFO: there the public key object tells it that has the same CKA_ID, or, where one of the two has no
 * CKA_ID, the same label.
 */
#ifndef P11GATE_WORKER_PUBLIC_PART_H
#define P11GATE_WORKER_PUBLIC_PART_H

#include <openssl/x509.h>

#include "server/worker/internal.h"

enum {
	PUBLIC_PART_MAX = 4096, /* bytes of a modulus or a point */
	PUBLIC_CURVE_MAX = 64, /* bytes of an object identifier in DER */
};

struct public_part {
	bool token; /* of a token key */
	CK_KEY_TYPE type; /* CK_UNAVAILABLE_INFORMATION: the module will not tell */
	unsigned char curve[PUBLIC_CURVE_MAX];
	size_t curve_len; /* 0: no named curve */
	unsigned char
		data[PUBLIC_PART_MAX]; /* the modulus without leading zeros, or the point as it is in a certificate */
	size_t len; /* 0: nobody tells it, or several public keys could be meant that differ */
};

/*
 * Reads it for the private key `key` (the module's handle). `session` has no search active; the module is held. Of a token key only
 * token objects tell it, since others end with their session. Any CKR of a search.
 */
CK_RV public_part_read(
	struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, struct public_part *ret_part) MUST_USE;

/*
 * Whether the certificate may be of that key: it has that public part; or the key is the token's and does not tell its own, and type
 * and curve do not exclude it.
 */
bool public_part_may_be_of(const struct public_part *part, X509 *certificate);

#endif
