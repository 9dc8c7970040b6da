/*
 * The parity harness: one script of Cryptoki calls, run on a module and written down as a transcript.
 *
 * Run on the vendor module directly and on the client module in front of a gateway with a copy of the same token, the two
 * transcripts must be equal (run.sh compares; exceptions.txt lists what may differ). The script is derived from
 * api/calls.def: every function, in every state it can meet, with every variant of each of its arguments, one argument
 * varied at a time; scenarios.c adds sequences.
 */
#ifndef P11GATE_TESTS_CONFORMANCE_PARITY_H
#define P11GATE_TESTS_CONFORMANCE_PARITY_H

#include <stdbool.h>

#include "api/call.h"

enum { CASE_BUFFER = 8192, ATTRIBUTES_MAX = 16 };

/* What a session is in when a case begins. */
enum state {
	STATE_UNINITIALIZED, /* C_Finalize was called */
	STATE_PUBLIC, /* nobody logged in */
	STATE_USER,
	STATE_SO,
	STATE_ACTIVE, /* user, with the row's own operation active */
	STATE_OTHER_ACTIVE, /* user, with another operation active */
	STATE_COUNT
};

enum key {
	KEY_AES,
	KEY_DES3,
	KEY_HMAC,
	KEY_RSA_PUBLIC,
	KEY_RSA_PRIVATE,
	KEY_EC_PUBLIC,
	KEY_EC_PRIVATE,
	KEY_DATA,
	KEY_COUNT
};

struct world {
	CK_FUNCTION_LIST *f;
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE keep; /* holds the login between cases */
	CK_SESSION_HANDLE session; /* the case's own */
	CK_SESSION_HANDLE read_only;
	CK_SESSION_HANDLE closed; /* a handle that was valid once */
	CK_OBJECT_HANDLE keys[KEY_COUNT];
	CK_OBJECT_HANDLE fresh; /* a session object made for the case */
	CK_OBJECT_HANDLE destroyed;
	enum state state;
	const char *pin, *so_pin, *label;
	bool random; /* the case's output is not reproducible: only lengths are written */
};

/* Memory of one case: inputs, outputs and what lies behind them. */
struct scratch {
	CK_BYTE output[CALL_ARGUMENTS_MAX][CASE_BUFFER];
	CK_ULONG numbers[CALL_ARGUMENTS_MAX][64];
	CK_ULONG counts[CALL_ARGUMENTS_MAX];
	CK_ATTRIBUTE attributes[CALL_ARGUMENTS_MAX][ATTRIBUTES_MAX];
	CK_BYTE values[CALL_ARGUMENTS_MAX][ATTRIBUTES_MAX][512];
	CK_MECHANISM mechanism;
	CK_BYTE parameter[256];
};

/* Variant `number` of an argument: fills the value and returns its name, or NULL when there is no such variant. 0 is the baseline. */
const char *variant_fill(struct world *w, const struct call_row *row, size_t argument, unsigned number,
	union wire_value *value, struct scratch *s);

/* As variant_fill for MECHANISM arguments. */
const char *mechanism_fill(
	struct world *w, const struct call_row *row, unsigned number, union wire_value *value, struct scratch *s);

/* The key that the baseline of a row's OBJECT argument uses. */
enum key baseline_key(const struct call_row *row, size_t argument);

/* world.c */
void world_open(struct world *w, const char *module, const char *label, const char *pin, const char *so_pin);
void world_enter(struct world *w, enum state state); /* from any state; ends the program if it cannot */
void world_begin_case(struct world *w, const struct call_row *row);
void world_end_case(struct world *w);
void world_import_keys(struct world *w); /* once, on a token without them */
CK_RV world_call(struct world *w, enum call_id id, const union wire_value *v);

/* print.c: the transcript on standard output. */
void print_case(const struct world *w, const struct call_row *row, const char *state, const char *argument,
	const char *variant, CK_RV rv, const union wire_value *values);
void print_step(const char *function, const char *what, CK_RV rv); /* for scenarios: "function|what|CKR" */
void print_bytes(const char *name, const void *data, size_t len);

void scenarios_run(struct world *w);

#endif
