/*
 * Numbers and names of the standard's constants, from constants.def, attributes.def, mechanisms.def
 * and returns.def. A number without a name is written "0x80000001"; CK_UNAVAILABLE_INFORMATION has that name in
 * every family, so that it means the same to a 32-bit and a 64-bit side.
 */
#ifndef P11GATE_API_NAMES_H
#define P11GATE_API_NAMES_H

#include <stdbool.h>

#include "cryptoki.h"
#include "json.h"

/* The families of constants: CKM_, CKA_, CKR_, CKO_ … NAMES_NONE is the empty one. */
enum name_set {
	NAMES_MECHANISM,
	NAMES_ATTRIBUTE,
	NAMES_RETURN,
	NAMES_CLASS,
	NAMES_KEY_TYPE,
	NAMES_CERTIFICATE_TYPE,
	NAMES_CERTIFICATE_CATEGORY,
	NAMES_USER,
	NAMES_STATE,
	NAMES_MGF,
	NAMES_KDF,
	NAMES_HW_FEATURE,
	NAMES_OAEP_SOURCE,
	NAMES_PRF,
	NAMES_SALT_SOURCE,
	NAMES_PROFILE,
	NAMES_HKDF_SALT,
	NAMES_NONE,
	NAMES_COUNT
};

enum { NAME_MAX_LEN = 64 };

/* The name with its prefix ("CKM_ECDSA"), static; NULL if the set has none for the number. */
const char *name_of(enum name_set set, CK_ULONG number);

/* Number of a name or of "0x…" (up to 16 hex digits, canonical: what name_of would not name). */
bool name_number(enum name_set set, struct json_text name, CK_ULONG *ret_number) __attribute__((warn_unused_result));

/* Writes the name, or "0x…". */
void name_write(struct json_writer *w, enum name_set set, CK_ULONG number);

/* Reads a name. An unknown one is an error of the reader. */
bool name_read(struct json_reader *in, enum name_set set, CK_ULONG *ret_number);

/* As text for logs and audit: the name, or "0x…" somewhere in `scratch` of at least 24 bytes. */
const char *name_text(enum name_set set, CK_ULONG number, char scratch[24]);

/* The families of flags, each a mask of CKF_ bits: written as an array of names without CKF_. */
enum flag_set { FLAGS_SLOT, FLAGS_TOKEN, FLAGS_MECHANISM, FLAGS_SESSION };

/* Writes ["RW_SESSION", …]; a bit without a name as "0x…". */
void flags_write(struct json_writer *w, enum flag_set set, CK_FLAGS flags);

/* Reads what flags_write wrote. An unknown or repeated name is an error of the reader. */
bool flags_read(struct json_reader *in, enum flag_set set, CK_FLAGS *ret_flags) __attribute__((warn_unused_result));

/* Return values as the REST side sees them (returns.def, requirement X7, X14). */
struct return_row {
	CK_RV rv;
	const char *name; /* CKR_… */
	int status; /* HTTP */
	const char *problem; /* last segment of the problem type, e.g. "pin-incorrect" */
	bool retryable; /* the same request may succeed later */
	const char *title; /* a sentence for people, with what to do */
};

/* The row of a return value; for one without a row the row of CKR_GENERAL_ERROR with the number kept by the caller. Never NULL. */
const struct return_row *return_row(CK_RV rv);

/* The rows one by one, sorted by name; NULL behind the last. */
const struct return_row *return_row_at(size_t index);

#endif
