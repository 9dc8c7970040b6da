/*
 * Calls on the wire: one element of a group's `calls` and of its `results`.
 *
 *   request   {"SignInit":{"session":1,"mechanism":{"mechanism":"CKM_ECDSA"},"key":7}}
 *   result    {"rv":"CKR_OK","signature":"…"}
 *
 * A kind's wire form (request / result):
 *   SLOT NOTIFY        no member
 *   SESSION OBJECT     integer, or {"from":n}: the handle that call n of the group returned / –
 *   BOOL               true false / –
 *   ULONG              integer, null = CK_UNAVAILABLE_INFORMATION / –        USER "CKU_USER" / –
 *   BYTES PIN LABEL    base64url, null = NULL pointer / –
 *   MECHANISM          null, or {"mechanism":"CKM_…"} with, if the pointer is not NULL, "parameter": the structure of the
 *                      mechanism's row (base64url where the row says BYTES, integer where it says ULONG);
 *                      "parameter_length":n stands for n bytes that are not that structure: the worker passes n zero bytes
 *   TEMPLATE           null, or [{"CKA_LABEL":value}, …] in order; value: typed by the attribute's row, null (NULL, 0 bytes),
 *                      {"raw":"…"} for a value whose length or content does not fit the type; an attribute without a row is
 *                      {"0x80000001":{"bytes":"…"}}; a nested template is an array. A date is "2026-11-22"; a number or name that
 *                      is CK_UNAVAILABLE_INFORMATION is that name. The value of an attribute without a
 *                      row whose type has CKF_ARRAY_ATTRIBUTE never travels, since its bytes might be pointers: it cannot be in
 *                      a template, and a query asks for its length only
 *   QUERY              null, or [{"CKA_LABEL":capacity}, …], null = NULL pointer; nested: an array /
 *                      [value | {"length":n} (length only) | null (CK_UNAVAILABLE_INFORMATION), …] for rv OK, ATTRIBUTE_SENSITIVE,
 *                      ATTRIBUTE_TYPE_INVALID and BUFFER_TOO_SMALL
 *                      Capacities and lengths count elements where the type is a number, a name, mechanisms or a template
 *                      (so that sides of 32 and 64 bits understand each other), else bytes; a nested answer is
 *                      [{"CKA_LABEL":value}, …]
 *   BUFFER             capacity in bytes, null = NULL pointer / base64url, or {"length":n} for the NULL query and BUFFER_TOO_SMALL
 *   FILL               length; null = NULL pointer / base64url
 *   FOUND              maximum / array of handles
 *   NEW_SESSION NEW_OBJECT ULONG_OUT   no member / integer (null = CK_UNAVAILABLE_INFORMATION)
 *   *_INFO LIST        no member / object / array
 *
 * The inventory document (answer to POST /v1/calls):
 *   {"generation":n,"slots":[{"name":"demo","id":n,"slot_info":{…},"token_info":{…} or null,
 *                             "mechanisms":[{"mechanism":"CKM_…","info":{…}}, …]}, …]}
 * with the structures as info_encode writes them and no mechanisms while the token is absent.
 *
 * Members come in any order, except that "rv" is the first of a result and "mechanism" comes before its parameter.
 * Beside CKR_OK only two return values carry outputs: CKR_BUFFER_TOO_SMALL the lengths, and the four of QUERY above.
 *
 * The codec has no I/O and no state. Requests are decoded into an arena: every pointer of a decoded value
 * points into it (or is NULL), however hostile the text.
 */
#ifndef P11GATE_API_CODEC_H
#define P11GATE_API_CODEC_H

#include "call.h"
#include "json.h"
#include "names.h"

/* Where an attribute's value was asked for. Kept apart from the CK_ATTRIBUTE that a module may overwrite. */
struct query {
	void *data; /* NULL: only the length is asked for */
	CK_ULONG capacity; /* bytes at data */
	struct query
		*nested; /* for each of the `count` attributes at data, if the attribute is a template; else NULL */
	CK_ULONG count;
};

/* A call decoded from a request. from[i] >= 0: argument i is the handle that call from[i] of the group returned, otherwise -1. */
struct call {
	const struct call_row *row;
	union wire_value values[CALL_ARGUMENTS_MAX];
	int from[CALL_ARGUMENTS_MAX];
	CK_ULONG capacities[CALL_ARGUMENTS_MAX]; /* of BUFFER (bytes) and LIST (items), as given to the module */
	const struct query *queries[CALL_ARGUMENTS_MAX]; /* of QUERY, one per attribute */
};

/*
 * Client: writes one request element. `values` are the application's arguments; handles are written as they are,
 * so the caller has put the wire's session handle in place. Returns CKR_OK, or the value the C_ function returns without
 * asking; then nothing was written. The first argument at fault decides:
 *   CKR_ARGUMENTS_BAD            NULL output pointer, or NULL input with a length other than 0 (not for a PIN: NULL is NULL)
 *   CKR_DATA_LEN_RANGE           BYTES above LIMIT_BYTES, FILL above LIMIT_OUTPUT
 *   CKR_PIN_LEN_RANGE            PIN above LIMIT_PIN
 *   CKR_ATTRIBUTE_VALUE_INVALID  template or value beyond limits.h, NULL value with a length, nested template of a broken length
 *   CKR_ATTRIBUTE_TYPE_INVALID   template with an attribute without a row whose type has CKF_ARRAY_ATTRIBUTE
 *   CKR_MECHANISM_PARAM_INVALID  parameter of a mechanism without a row or without a described structure, parameter beyond
 *                                limits.h, NULL pointer with a length within it
 */
CK_RV call_encode(struct json_writer *w, const struct call_row *row, const union wire_value values[])
	__attribute__((warn_unused_result));

/*
 * Worker: reads one request element. Output arguments get memory of the arena (capacities cut to limits.h).
 * SLOT is 0. False: the reader holds the error. `in->arena` owns everything.
 */
bool call_decode(struct json_reader *in, struct call *ret_call) __attribute__((warn_unused_result));

/*
 * Worker: `rv`, but CKR_GENERAL_ERROR if it is CKR_OK and the module claims to have written more than the room it was given.
 * To be asked before the worker itself looks at an output; call_encode_result asks too.
 */
CK_RV call_outputs_check(const struct call *call, CK_RV rv) __attribute__((warn_unused_result));

/*
 * Worker: writes one result element from the arguments after the invocation. Handles are written as they are, so the caller
 * has put the wire's handles in place. What a module claims beyond the room it was given becomes CKR_GENERAL_ERROR.
 */
void call_encode_result(struct json_writer *w, const struct call *call, CK_RV rv);

/*
 * Client: reads one result element into the application's arguments: what PKCS#11 says is written, no byte beyond
 * the caller's capacities, nothing else touched. Returns the call's return value; CKR_GENERAL_ERROR when the answer
 * is not what the row says (then json_failed).
 */
CK_RV call_decode_result(struct json_reader *in, const struct call_row *row, const union wire_value values[])
	__attribute__((warn_unused_result));

/* Information structures (structs.def) on their own, for the inventory document. `kind` is one of WIRE_*_INFO. */
void info_encode(struct json_writer *w, enum wire_kind kind, const void *info);
bool info_decode(struct json_reader *in, enum wire_kind kind, void *ret_info) __attribute__((warn_unused_result));

/*
 * Worker: reads a MECHANISM that stands alone; NULL where the JSON is null. Everything is in `in->arena`. False: the reader holds the
 * error.
 */
bool mechanism_decode(struct json_reader *in, CK_MECHANISM **ret_mechanism) __attribute__((warn_unused_result));

/*
 * Calls `visit` for every object handle inside a decoded mechanism's parameter (e.g. CKM_CONCATENATE_BASE_AND_KEY) but
 * CK_INVALID_HANDLE, which `visit` may replace. Stops at the first value that is not CKR_OK and returns it.
 */
CK_RV mechanism_visit_handles(CK_MECHANISM *mechanism, CK_RV (*visit)(void *context, CK_OBJECT_HANDLE *handle),
	void *context) __attribute__((warn_unused_result));

/*
 * True if a key of that class (CKO_) and type (CKK_) can be what an operation with the mechanism uses, as far as the
 * mechanism's row in mechanisms.def says. What nothing is known of fits: a mechanism without a row, a vendor's key type, and
 * CK_UNAVAILABLE_INFORMATION for a type that could not be read.
 */
bool mechanism_fits_key(CK_MECHANISM_TYPE mechanism, CK_OBJECT_CLASS class, CK_KEY_TYPE type)
	__attribute__((warn_unused_result));

/* How an attribute's value is typed (attributes.def). */
enum attribute_type {
	ATTRIBUTE_BOOL,
	ATTRIBUTE_ULONG,
	ATTRIBUTE_NAME,
	ATTRIBUTE_TEXT,
	ATTRIBUTE_BYTES,
	ATTRIBUTE_DATE,
	ATTRIBUTE_MECHANISMS,
	ATTRIBUTE_TEMPLATE
};
struct attribute_row {
	CK_ATTRIBUTE_TYPE type;
	const char *name;
	enum attribute_type value;
	enum name_set names; /* for ATTRIBUTE_NAME */
	bool secret; /* the value is key material: never logged, always wiped */
};

/* The row of an attribute, or NULL. */
const struct attribute_row *attribute_row(CK_ATTRIBUTE_TYPE type);

/* The rows one by one; NULL behind the last. */
const struct attribute_row *attribute_row_at(size_t index);

/*
 * Writes `len` bytes at `data`, an attribute's value as a module gave it, in the form of TEMPLATE above; or {"length":n} for what never
 * travels, and for data NULL: then the value has `len` bytes.
 */
void attribute_encode(struct json_writer *w, CK_ATTRIBUTE_TYPE type, const void *data, CK_ULONG len);

/* CK_SLOT_ID of a configured slot name: 31 bits of FNV-1a (requirement X15). */
CK_SLOT_ID slot_id_of(const char *name, size_t len);

#endif
