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

/* Why a worker logs its application out though nobody asked: CAUSE(constant, the reason for the audit record). */
#define LOGOUT_CAUSES(CAUSE) \
	CAUSE(LEASE, "the lease of the last client has ended") \
	CAUSE(IDLE, "the login over REST was idle for too long") \
	CAUSE(MAXIMUM, "the login over REST has lasted as long as it may")

enum logout_cause {
#define CAUSE(constant, reason) LOGOUT_##constant,
	LOGOUT_CAUSES(CAUSE)
#undef CAUSE
		LOGOUT_COUNT
};

enum token_purpose {
	TOKEN_FOR_MODULE, /* C_Initialize, C_Finalize */
	TOKEN_FOR_LOGIN,
	TOKEN_FOR_LOGOUT,
	TOKEN_FOR_PIN_CHANGE, /* C_SetPIN, C_InitPIN: raises the generation on CKR_OK */
	TOKEN_FOR_INIT_TOKEN, /* C_InitToken: refused while another application has a session or is logged in */
	TOKEN_FOR_OBJECTS, /* creating, changing, destroying token objects where the module needs it serialised */
};

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
