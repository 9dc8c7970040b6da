/*
 * The hostile mock module: a small PKCS#11 token that misbehaves as its control file says (README.md).
 *
 *   control  the control file: settings and faults       session  sessions, slot and token information
 *   entry    the C_ functions, from api/calls.def        login    PINs, retry counters, logins
 *   token    what all processes share of the token       object   objects and their attributes
 *   key      making keys; derive; use: using them         operation  sign, verify, encrypt, decrypt, digest; state: saving them
 *
 * Every handler runs with mock_lock held, which is the process' and the token's at once.
 */
#ifndef P11GATE_TESTS_SUPPORT_MOCK_MOCK_H
#define P11GATE_TESTS_SUPPORT_MOCK_MOCK_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "api/call.h"

#define MOCK_SLOT 17UL

/* Where the material of a key is kept: an attribute that nobody can read. */
#define CKA_MOCK_MATERIAL (CKA_VENDOR_DEFINED | 0x70000001UL)

enum {
	MOCK_SESSIONS_MAX = 256,
	MOCK_OBJECTS_MAX = 64, /* token objects, and session objects of a process */
	MOCK_OBJECT_BYTES = 6144, /* attributes of one object, packed */
	MOCK_FAULTS_MAX = 32,
	MOCK_PIN_MAX = 64,
};

/* --- control --- */

enum action { ACTION_RETURN, ACTION_AFTER, ACTION_HANG, ACTION_CRASH, ACTION_SLOW, ACTION_LENGTH, ACTION_REMOVE };

enum person { PERSON_WAIT, PERSON_APPROVE, PERSON_DENY, PERSON_CANCEL };

struct fault {
	bool everywhere; /* every function of a session, and C_OpenSession */
	enum call_id id;
	unsigned from, to; /* which calls since the control file was written, from 1 */
	enum action action;
	CK_ULONG argument;
};

/* The settings, with their defaults where no line of the file gives them. */
struct control {
	uint64_t stamp; /* changes with the file */
	char label[33], serial[17], pin[MOCK_PIN_MAX], so_pin[MOCK_PIN_MAX];
	unsigned user_tries, so_tries, sessions, person_ms;
	unsigned protected_path, removed, always_authenticate_stored, context_verifies, refusal_keeps, lock_keeps_login,
		logout_keeps;
	CK_RV exclusive, context_idle, finalize;
	enum person person;
	struct fault faults[MOCK_FAULTS_MAX];
	unsigned faults_count;
};

/* The control file as it is now; read again when it has changed. Under mock_lock. A mistake in it ends the process. */
const struct control *control_now(void);

/* What `stamp` is for a control file. */
static inline uint64_t control_stamp(const struct stat *file)
{
	uint64_t stamp = (uint64_t)file->st_ino;

	stamp = stamp * 1000003 + (uint64_t)file->st_mtim.tv_sec;
	stamp = stamp * 1000003 + (uint64_t)file->st_mtim.tv_nsec;
	return (stamp * 1000003 + (uint64_t)file->st_size) | 1;
}

/* The path of the file beside the control file whose name ends with `suffix`. */
void control_path(const char *suffix, char ret_path[256]);

/* --- token --- */

struct object {
	CK_OBJECT_HANDLE handle; /* 0: no object */
	CK_SESSION_HANDLE session; /* of a session object */
	size_t len;
	unsigned char attributes[MOCK_OBJECT_BYTES];
};

struct pin {
	char text[MOCK_PIN_MAX];
	unsigned len; /* 0: not set */
	unsigned wrong; /* in a row */
};

/* In a file that all processes map. */
struct token {
	uint32_t size; /* of this structure: a token of another build is none */
	char label[32];
	struct pin user, so;
	pid_t owner; /* who is logged in, for `exclusive`; 0: nobody */
	bool taken_out; /* by the action `remove`, until the control file changes */
	uint64_t stamp; /* of the control file that the counts are of */
	unsigned calls[CALL_COUNT], calls_everywhere;
	CK_OBJECT_HANDLE last;
	struct object objects[MOCK_OBJECTS_MAX];
};

CK_RV token_open(void);
void token_close(void);
struct token *token_shared(void);
/* The token is in its slot. */
bool token_present(void);
void mock_lock(void);
void mock_unlock(void);

/* --- session --- */

struct operation_state {
	bool active;
	bool awaiting; /* an always-authenticate key whose PIN has not been given */
	CK_MECHANISM_TYPE mechanism;
	CK_BYTE iv[16];
	CK_OBJECT_HANDLE key;
	CK_BYTE *data; /* the parts so far */
	size_t len;
	CK_OBJECT_HANDLE found[2 * MOCK_OBJECTS_MAX];
	size_t found_count, found_next;
};

struct session {
	CK_SESSION_HANDLE handle; /* 0: none */
	CK_FLAGS flags;
	struct operation_state operations[OPERATION_COUNT];
};

/* The session, or NULL and what to answer. */
struct session *session_get(CK_SESSION_HANDLE handle, CK_RV *ret_rv);
unsigned session_count(bool read_only);
void sessions_close_all(void);
void sessions_end_private_operations(void);
void operation_end(struct operation_state *operation);

/* --- login --- */

/* CKU_USER, CKU_SO, or CK_UNAVAILABLE_INFORMATION: nobody. */
CK_USER_TYPE login_who(void);
void login_forget(void);

/* --- object --- */

struct object *object_get(CK_OBJECT_HANDLE handle);
/* NULL if it has no such attribute. */
const void *object_attribute(const struct object *object, CK_ATTRIBUTE_TYPE type, size_t *ret_len);
bool object_flag(const struct object *object, CK_ATTRIBUTE_TYPE type);
CK_ULONG object_number(const struct object *object, CK_ATTRIBUTE_TYPE type);
/* Sets or replaces. CKR_DEVICE_MEMORY if it does not fit. */
CK_RV object_set(struct object *object, CK_ATTRIBUTE_TYPE type, const void *value, size_t len);
/* A new object with the defaults of its class and the template over them; CKR_OK and a place, or why not. */
CK_RV object_new(struct session *session, CK_OBJECT_CLASS class, CK_KEY_TYPE type, const union wire_value *template,
	struct object **ret_object);
void objects_end_session(CK_SESSION_HANDLE session);
void objects_end_private(void); /* of the session objects */
bool object_visible(const struct object *object);

/* --- key --- */

CK_RV key_mechanism_info(CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *ret_info);
CK_RV key_mechanisms(CK_MECHANISM_TYPE *list, CK_ULONG *count);
/* A number of the template, or `absent`. */
CK_ULONG key_template_ulong(const union wire_value *template, CK_ATTRIBUTE_TYPE type, CK_ULONG absent);
/* A new secret key of that value. */
CK_RV key_secret_store(struct session *session, CK_KEY_TYPE type, const union wire_value *template,
	const unsigned char *value, size_t len, CK_OBJECT_HANDLE *ret_handle);
/* The material of a key pair's half, owned by the caller; NULL if it has none. */
EVP_PKEY *key_pkey(const struct object *key);
/* RSA with PKCS #1 padding, by one of OpenSSL's operations. `len`: room, then what was written. */
typedef int (*key_step)(EVP_PKEY_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);
bool key_rsa(EVP_PKEY *pkey, int (*init)(EVP_PKEY_CTX *), key_step step, const unsigned char *in, size_t in_len,
	unsigned char *out, size_t *len);
/* Output lengths before anything is done; the result of each runs through two-call sizing in operation.c. */
size_t key_output_len(const struct object *key, enum operation operation, const struct operation_state *state);
CK_RV key_run(const struct object *key, enum operation operation, const struct operation_state *state, CK_BYTE *out,
	size_t *len);
CK_RV key_verify(const struct object *key, const struct operation_state *state, const CK_BYTE *signature, size_t len);

/* --- the handlers: one per row that the mock knows; the others answer CKR_FUNCTION_NOT_SUPPORTED --- */

#define MOCK_CALLS(row) \
	row(GetInfo) row(GetSlotList) row(GetSlotInfo) row(GetTokenInfo) row(GetMechanismList) row(GetMechanismInfo) \
		row(InitToken) row(InitPIN) row(SetPIN) row(OpenSession) row(CloseSession) row(CloseAllSessions) row( \
			GetSessionInfo) row(Login) row(Logout) row(CreateObject) row(CopyObject) row(DestroyObject) \
			row(GetObjectSize) row(GetAttributeValue) row(SetAttributeValue) row(FindObjectsInit) row( \
				FindObjects) row(FindObjectsFinal) row(EncryptInit) row(Encrypt) row(EncryptUpdate) \
				row(EncryptFinal) row(DecryptInit) row(Decrypt) row(DecryptUpdate) row(DecryptFinal) \
					row(DigestInit) row(Digest) row(DigestUpdate) row(DigestFinal) row(SignInit) \
						row(Sign) row(SignUpdate) row(SignFinal) row(VerifyInit) row(Verify) \
							row(VerifyUpdate) row(VerifyFinal) row(GenerateKey) \
								row(GenerateKeyPair) row(WrapKey) row(UnwrapKey) row( \
									DeriveKey) row(SeedRandom) row(GenerateRandom) \
									row(GetOperationState) row(SetOperationState)

#define MOCK_HANDLER(name) CK_RV mock_##name(const union wire_value v[]);
MOCK_CALLS(MOCK_HANDLER)

#endif
