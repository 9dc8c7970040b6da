/*
 * Sequences of Cryptoki calls around keys that ask for their PIN at each use, with the code that each call must have. One table is driven on
 * the vendor module itself and on a worker in front of it, so that it is the vendor's code that the worker has to match.
 */
#ifndef P11GATE_TESTS_UNIT_WORKER_SEQUENCE_H
#define P11GATE_TESTS_UNIT_WORKER_SEQUENCE_H

#include "tests/unit/worker/remote.h"

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

enum { STEPS_MAX = 32 };

/* What the steps are done with. */
enum use {
	USE_SIGN_EC, /* CKM_ECDSA */
	USE_SIGN_RSA, /* CKM_SHA256_RSA_PKCS, in parts too */
	USE_DECRYPT_RSA, /* CKM_RSA_PKCS */
	USE_COUNT
};

/* SoftHSM in this process, initialised, and the slot of the one token of the fixture that was made last. */
const CK_FUNCTION_LIST *sequence_softhsm(CK_SLOT_ID *ret_slot);

/* Logs in, makes the keys, and compares the code of every step with the table; `who` is for messages. Closes its sessions. */
void sequence_run(const CK_FUNCTION_LIST *f, CK_SLOT_ID slot, const char *who, enum use use, const struct step *steps);

/* How many of the steps may ask the token for a PIN: the context-specific logins that are answered 0 or CKR_PIN_INCORRECT. */
unsigned sequence_pins(const struct step *steps);
/* How many logins of the user a run has in all. */
unsigned sequence_logins(const struct step *steps);

#endif
