/*
 * The table of remoted Cryptoki functions (calls.def) as data.
 */
#ifndef P11GATE_API_CALL_H
#define P11GATE_API_CALL_H

#include <stddef.h>

#include "kinds.h"

enum call_id {
#define CALL(name, ...) CALL_##name,
#include "calls.def"
	CALL_COUNT
};

enum wire_kind {
	WIRE_BOOL,
	WIRE_ULONG,
	WIRE_USER,
	WIRE_SLOT,
	WIRE_SESSION,
	WIRE_OBJECT,
	WIRE_BYTES,
	WIRE_PIN,
	WIRE_LABEL,
	WIRE_MECHANISM,
	WIRE_TEMPLATE,
	WIRE_QUERY,
	WIRE_NOTIFY,
	WIRE_BUFFER,
	WIRE_FILL,
	WIRE_LIST,
	WIRE_FOUND,
	WIRE_NEW_SESSION,
	WIRE_NEW_OBJECT,
	WIRE_ULONG_OUT,
	WIRE_INFO,
	WIRE_SLOT_INFO,
	WIRE_TOKEN_INFO,
	WIRE_SESSION_INFO,
	WIRE_MECHANISM_INFO,
};

enum call_place { PLACE_INVENTORY, PLACE_MODULE };

/* Operation classes, as `allow` in the configuration names them; a permission set is a mask of 1u << value. */
enum permission {
	PERMISSION_READ,
	PERMISSION_LOGIN,
	PERMISSION_USE,
	PERMISSION_WRITE,
	PERMISSION_ADMIN,
	PERMISSION_COUNT
};

/* What the column `permission` of calls.def and routes.def can say; every permission of the set is needed. */
enum permission_set {
	PERMISSIONS_ANY = 0, /* every configured identity */
	PERMISSIONS_READ = 1u << PERMISSION_READ,
	PERMISSIONS_LOGIN = 1u << PERMISSION_LOGIN,
	PERMISSIONS_USE = 1u << PERMISSION_USE,
	PERMISSIONS_WRITE = 1u << PERMISSION_WRITE,
	PERMISSIONS_ADMIN = 1u << PERMISSION_ADMIN,
	PERMISSIONS_LOGIN_USE = PERMISSIONS_LOGIN | PERMISSIONS_USE,
	PERMISSIONS_USE_WRITE = PERMISSIONS_USE | PERMISSIONS_WRITE,
};

enum audit_kind { AUDIT_NONE, AUDIT_KEY_USE, AUDIT_OBJECT, AUDIT_LOGIN, AUDIT_ADMIN, AUDIT_REFUSAL };

/* The operations a session can have active; one of each at a time (PKCS#11 2.40, section 5.1.3). */
enum operation {
	OPERATION_NONE,
	OPERATION_FIND,
	OPERATION_ENCRYPT,
	OPERATION_DECRYPT,
	OPERATION_DIGEST,
	OPERATION_SIGN,
	OPERATION_SIGN_RECOVER,
	OPERATION_VERIFY,
	OPERATION_VERIFY_RECOVER,
	OPERATION_COUNT
};
enum operation_step { STEP_NONE, STEP_INIT, STEP_SINGLE, STEP_UPDATE, STEP_FINAL };

enum { CALL_ARGUMENTS_MAX = 6 };

struct call_argument {
	enum wire_kind kind;
	const char *name; /* the member's name on the wire */
	size_t name_len;
};

struct call_row {
	enum call_id id;
	const char *name; /* without C_ */
	enum call_place place;
	unsigned permissions; /* mask of 1u << enum permission; all of them are needed */
	enum audit_kind audit;
	enum operation operation;
	enum operation_step step;
	size_t argument_count;
	struct call_argument arguments[CALL_ARGUMENTS_MAX];
};

/* The row of `id`, which must be below CALL_COUNT. Static memory. */
const struct call_row *call_row(enum call_id id);

/* The row named by `len` bytes at `name` (without C_), or NULL. */
const struct call_row *call_row_by_name(const char *name, size_t len);

#endif
