/*
 * One use of a key by a resource request, from the login to the session given back: what signing, decrypting, challenge-response and
 * the like have in common (requirements A24–A28, D8, D9).
 *
 *   use_begin → key_find → use_authorise → key_operation_run … → use_end
 *
 * A use whose steps fail has left its problem in the reply; use_end is called all the same once use_begin has
 * succeeded.
 */
#ifndef P11GATE_WORKER_RESOURCES_USE_H
#define P11GATE_WORKER_RESOURCES_USE_H

#include "server/worker/resources/key.h"

enum { SHA256_LEN = 32 };

/* What a PIN in the request was good for. */
enum pin_effect {
	PIN_NONE, /* there was none */
	PIN_LOGIN, /* it logged this anonymous worker in for this request */
	PIN_CONTEXT, /* it authorised this use of an always-authenticate key */
	PIN_NOT_NEEDED, /* neither sent nor kept */
};

/* A PIN that came for a held request, and what became of it. */
struct held_pin {
	const char *pin; /* NUL-terminated */
	CK_OBJECT_HANDLE object; /* the key that the operation was opened for */
	CK_RV rv; /* out: how the token took the PIN; CKR_OK too if it was not asked */
};

struct use {
	struct request *request;
	const char *pin; /* NUL-terminated, not owned; or NULL */
	CK_OBJECT_HANDLE held; /* object_name of the key that a held operation was opened for, else CK_INVALID_HANDLE */
	bool keyless; /* no key is used, so that no login is needed */
	bool derives; /* no step of it takes a PIN, so that the key's comes with the request or not at all (A18) */
	bool answers_challenge; /* a key marked challenge_response_only may be used */
	CK_SESSION_HANDLE session;
	bool clean; /* no operation can be active in the session */
	bool logged_in; /* by this request and for it alone */
	bool context; /* the key asks for its PIN: give it between init and use */
	CK_RV pin_rv; /* how the token took the PIN; CKR_OK while it has not been asked */
};

/*
 * Logs an anonymous worker in, if there is a PIN and nobody is logged in, and borrows a session. A PIN needs the
 * permission login; without it nothing is asked of the token. False: the reply is complete (status 0 where the request
 * is to run in an anonymous worker).
 */
bool use_begin(struct use *use) __attribute__((warn_unused_result));

/*
 * Decides whether the key may be used now. False: the reply is complete: policy refusal; or, for an always-authenticate
 * key without a PIN, 401 reauthentication-required with an operation that holds this request. `sha256` is of the data
 * to be used.
 */
bool use_authorise(struct use *use, const struct key *key, const unsigned char sha256[SHA256_LEN])
	__attribute__((warn_unused_result));

/*
 * Whether the key may do nothing but answer challenges (D9): then the refusal is recorded, and the reply is the problem of `rv`. For uses
 * that are no challenge, and for changes, which could take the mark off.
 */
bool use_refuse_marked(struct request *request, const struct key *key, CK_RV rv) __attribute__((warn_unused_result));

/*
 * Gives the PIN between an Init that was begun under `login` (login_epoch) and its operation (A28); pin_rv keeps the outcome.
 * *ret_withheld: its event could not be kept, and the reply is complete. Errors of login_context.
 */
CK_RV use_authenticate(struct use *use, unsigned login, bool *ret_withheld) __attribute__((warn_unused_result));

/*
 * The same where no Init can await the PIN: before the operation of a key that asks for it by policy, which the token would not look at
 * in between (B20), and before a derivation or unwrapping, which have no such step (A18). *key may become another handle.
 */
CK_RV use_verify(struct use *use, unsigned login, CK_OBJECT_HANDLE *key, bool *ret_withheld)
	__attribute__((warn_unused_result));

/* Exchanges a session in which an operation may be active for a clean one. */
CK_RV use_renew(struct use *use) __attribute__((warn_unused_result));

/* Gives the session back and logs an anonymous worker out. */
void use_end(struct use *use);

/* Whether a held operation still waits after its PIN was taken so: it does unless the token locked the PIN or the login ended (A25). */
bool use_waits_on(CK_RV pin_rv);

/* The token's refusal as the reply; for a held operation that still waits, it says so in place of `detail`. */
void use_refuse(const struct use *use, CK_RV rv, const char *detail);

enum pin_effect use_pin_effect(const struct use *use);

/* Writes "reauthenticated" where the answer has to say it: the PIN authorised this use, or was not needed. */
void use_write_pin_effect(const struct use *use, struct json_writer *writer);

#endif
