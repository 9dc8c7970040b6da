/*
 * Sequences of Cryptoki calls around keys that ask for their PIN at each use, with the code that each call must have (A1 to A15). One table
 * is driven on a vendor module itself and on what stands in front of it. Nothing here asserts: it tells what differs, and counts.
 */
#ifndef P11GATE_TESTS_SUPPORT_LIB_SEQUENCE_H
#define P11GATE_TESTS_SUPPORT_LIB_SEQUENCE_H

#include <stdbool.h>

#include "api/cryptoki.h"

enum act {
	ACT_END, /* of the table */
	ACT_INIT, /* C_SignInit or C_DecryptInit with the key that asks each time */
	ACT_INIT_PLAIN, /* … with one that does not */
	ACT_ONE, /* C_Sign, C_Decrypt with room for the output */
	ACT_LENGTH, /* … with NULL for the output */
	ACT_SMALL, /* … with room for one byte */
	ACT_UPDATE,
	ACT_FINAL,
	ACT_RIGHT, /* context-specific C_Login with the PIN */
	ACT_WRONG, /* … with another */
	ACT_OTHER_RIGHT, /* … with the PIN on the second session */
	ACT_LOGIN,
	ACT_LOGOUT,
	ACT_STATE, /* C_GetSessionInfo, which must say what it said before the first step */
	ACT_ATTRIBUTE, /* C_GetAttributeValue of the key */
	ACT_MECHANISM, /* C_GetMechanismInfo; of the module alone */
};

struct step {
	enum act act;
	CK_RV rv;
};

/* What the steps are done with. */
enum use {
	USE_SIGN_EC, /* CKM_ECDSA */
	USE_SIGN_RSA, /* CKM_SHA256_RSA_PKCS, in parts too */
	USE_DECRYPT_RSA, /* CKM_RSA_PKCS */
	USE_COUNT
};

/* Where a sequence is driven. */
struct sequence_token {
	const CK_FUNCTION_LIST *f; /* initialised */
	CK_SLOT_ID slot;
	const char *who; /* for messages */
	const char *pin;
	CK_ULONG rsa_bits;
	CK_BBOOL token_keys; /* the keys stay in the token; otherwise they end with their session */
};

/*
 * Logs in, makes the keys, compares the code of every step with the table, closes its sessions. How many differ; each is told on
 * standard error, as is a preparation that fails, which counts as well.
 */
unsigned sequence_run(const struct sequence_token *token, enum use use, const struct step *steps);

/* How many of the steps may ask the token for a PIN: the context-specific logins that are answered 0 or CKR_PIN_INCORRECT. */
unsigned sequence_pins(const struct step *steps);
/* How many logins of the user a run has in all. */
unsigned sequence_logins(const struct step *steps);

/* The tables, by their requirements; A11 is those of A3 to A9 with USE_DECRYPT_RSA. */
extern const struct step sequence_a1[], sequence_a2[], sequence_a3[], sequence_a4[], sequence_a5[], sequence_a6[],
	sequence_a7[], sequence_a8[], sequence_a9[], sequence_a10[], sequence_a12[], sequence_a13[], sequence_a14[],
	sequence_a15[], sequence_x4[], sequence_x4_authenticated[];

#endif
