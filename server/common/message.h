/*
 * The payloads of frames (messages.def) as C structures, and their packing.
 *
 * Packed numbers are little-endian; text and bytes carry a 32-bit length. Unpacking checks every length; pointers of
 * an unpacked message point into the payload (bytes) or the arena (text, lists).
 */
#ifndef P11GATE_COMMON_MESSAGE_H
#define P11GATE_COMMON_MESSAGE_H

#include <stdint.h>

#include "api/arena.h"
#include "api/buffer.h"
#include "api/login_wishes.h"
#include "server/common/status.h"

struct bytes {
	const unsigned char *data;
	size_t len;
};
struct bytes_list {
	const struct bytes *items;
	size_t count;
};

enum worker_role { ROLE_INVENTORY, ROLE_APPLICATION };
enum login_state { LOGIN_NONE, LOGIN_USER, LOGIN_SO };

/* Whether `instance` (INSTANCE_ID_LEN bytes, all zero) is that of a request without a client instance. */
bool instance_is_none(const unsigned char *instance);

/* "none", "user", "so". */
const char *login_state_name(enum login_state login);
/* Who is logged in, as audit records name it: "CKU_USER", "CKU_SO"; NULL for nobody. */
const char *login_state_user(enum login_state login);

/*
 * What ends an application's login, and erases the PIN that is kept for it (B14): END(constant, handles, reason).
 *
 *   handles   of private token objects: GO, or STAY to be found again after the next login (B10)
 *   reason    for the audit record; NULL: somebody asked for it
 */
#define LOGIN_ENDS(END) \
	END(LOGOUT, GO, NULL) \
	END(LAST_SESSION, GO, "nobody uses the application any more") \
	END(LEASE, GO, "the lease of the last client has ended") \
	END(HOLD, GO, "the application is not held open any more") \
	END(REST_IDLE, GO, "the login over REST was idle for too long") \
	END(REST_MAXIMUM, GO, "the login over REST has lasted as long as it may") \
	END(LOCKED, GO, "the token has locked its PIN") \
	END(SHUTDOWN, GO, "the application's worker ends") \
	END(SIGNED, STAY, "the policy wants a login for each signature") \
	END(PRIVATE_OP, STAY, "the policy wants a login for each private use") \
	END(EXPIRED, STAY, "the PIN was kept for as long as the policy allows") \
	END(IDLE, STAY, "the kept PIN was not used for as long as the policy allows") \
	END(PIN_CHANGED, STAY, "a PIN of the token was changed, or the token was initialised") \
	END(TOKEN_CHANGED, STAY, "the token was removed or is another one") \
	END(REJECTED, STAY, "the token does not take the kept PIN any more") \
	END(LAST_TRY, STAY, "the token has one try for its PIN left, or none") \
	END(POLICY, STAY, "the policy does not let the PIN be kept any more") \
	END(REVOKED, STAY, "the identity may not use the application any more")

enum login_end {
#define END(constant, handles, reason) LOGIN_END_##constant,
	LOGIN_ENDS(END)
#undef END
		LOGIN_END_COUNT
};

enum token_purpose {
	TOKEN_FOR_MODULE, /* C_Initialize, C_Finalize */
	TOKEN_FOR_LOGIN,
	TOKEN_FOR_LOGOUT,
	TOKEN_FOR_PIN_CHANGE, /* C_SetPIN, C_InitPIN: raises the generation on CKR_OK */
	TOKEN_FOR_INIT_TOKEN, /* C_InitToken: refused while another application has a session or is logged in */
	TOKEN_FOR_OBJECTS, /* creating, changing, destroying token objects where the module needs it serialised */
	TOKEN_FOR_PRIVATE_USE, /* an internal login with the kept PIN, for one private use (B4) */
	TOKEN_FOR_KEY_LOGIN, /* an internal login with the PIN that a key asks for by policy, for its one use (B20) */
};

enum intent_step { INTENT_BEGIN, INTENT_RECORD };

enum intent_verdict {
	INTENT_NEW, /* go on; to INTENT_RECORD: it is recorded */
	INTENT_UNFINISHED, /* go on, but it may have been done: the first worker never said so, and is gone */
	INTENT_DONE, /* this was the answer */
	INTENT_OTHER, /* the key is that of another request */
	INTENT_BUSY, /* the first request is being carried out */
	INTENT_CROWDED, /* the identity has as many keys as it may have */
	INTENT_FULL, /* there is no room to record it */
	INTENT_FAILED, /* it cannot be looked up or recorded */
};

/* What an inventory worker found in a slot; a module that could not be asked says nothing about the token. */
enum token_presence { TOKEN_UNKNOWN, TOKEN_ABSENT, TOKEN_PRESENT };

#define MESSAGE_MEMBER_U32(n) uint32_t n;
#define MESSAGE_MEMBER_U64(n) uint64_t n;
#define MESSAGE_MEMBER_TEXT(n) const char *n;
#define MESSAGE_MEMBER_BYTES(n) struct bytes n;
#define MESSAGE_MEMBER_ID(n) unsigned char n[16];
#define MESSAGE_MEMBER_LIST(n) struct bytes_list n;
#define FIELD(kind, name) MESSAGE_MEMBER_##kind(name)
#define MESSAGE(type, ...) \
	struct type { \
		__VA_ARGS__ \
	};
#include "server/common/messages.def"

/* worker_start_pack(out, &message), worker_start_unpack(payload, len, arena, &message) and so on for every row. */
#define FIELD(kind, name)
#define MESSAGE(type, ...) \
	void type##_pack(struct buffer *out, const struct type *message); \
	enum status type##_unpack(const void *payload, size_t len, struct arena *arena, struct type *ret_message) \
		MUST_USE;
#include "server/common/messages.def"

#endif
