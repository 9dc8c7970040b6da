/*
 * What each argument kind of calls.def is in C: the parameters of the C_ function (PARAM), the
 * capture of those parameters in a wire value (VALUE), and the arguments passed on to a module (PASS).
 * How a kind looks on the wire is in codec.h.
 *
 *   SLOT           slot; on the wire it is the path, so it takes no member of the request
 *   SESSION OBJECT handles that must exist; NEW_SESSION NEW_OBJECT handles the call makes
 *   ULONG USER BOOL numbers; USER is a CKU_ constant
 *   BYTES          input bytes; PIN is the same and secret; LABEL is exactly 32 bytes
 *   BUFFER         output bytes with two-call sizing (PKCS#11 2.40, section 5.2)
 *   FILL           output bytes of a length the caller fixes
 *   TEMPLATE       attributes with values; QUERY attributes whose values are asked for
 *   LIST           numbers with two-call sizing; FOUND up to a maximum of object handles
 *   *_INFO         an information structure of structs.def, written by the call
 *   NOTIFY         the surrender callback: accepted and never called
 */
#ifndef P11GATE_API_KINDS_H
#define P11GATE_API_KINDS_H

#include "cryptoki.h"
#include "each.h"

/* clang-format off */
#define PARAM_BOOL(n) CK_BBOOL n
#define PARAM_ULONG(n) CK_ULONG n
#define PARAM_USER(n) CK_ULONG n
#define PARAM_SLOT(n) CK_SLOT_ID n
#define PARAM_SESSION(n) CK_SESSION_HANDLE n
#define PARAM_OBJECT(n) CK_OBJECT_HANDLE n
#define PARAM_BYTES(n) CK_BYTE *n, CK_ULONG n##_len
#define PARAM_PIN(n) CK_UTF8CHAR *n, CK_ULONG n##_len
#define PARAM_LABEL(n) CK_UTF8CHAR *n
#define PARAM_MECHANISM(n) CK_MECHANISM *n
#define PARAM_TEMPLATE(n) CK_ATTRIBUTE *n, CK_ULONG n##_count
#define PARAM_QUERY(n) CK_ATTRIBUTE *n, CK_ULONG n##_count
#define PARAM_NOTIFY(n) CK_VOID_PTR n##_argument, CK_NOTIFY n
#define PARAM_BUFFER(n) CK_BYTE *n, CK_ULONG *n##_len
#define PARAM_FILL(n) CK_BYTE *n, CK_ULONG n##_len
#define PARAM_LIST(n) CK_ULONG *n, CK_ULONG *n##_count
#define PARAM_FOUND(n) CK_OBJECT_HANDLE *n, CK_ULONG n##_max, CK_ULONG *n##_count
#define PARAM_NEW_SESSION(n) CK_SESSION_HANDLE *n
#define PARAM_NEW_OBJECT(n) CK_OBJECT_HANDLE *n
#define PARAM_ULONG_OUT(n) CK_ULONG *n
#define PARAM_INFO(n) CK_INFO *n
#define PARAM_SLOT_INFO(n) CK_SLOT_INFO *n
#define PARAM_TOKEN_INFO(n) CK_TOKEN_INFO *n
#define PARAM_SESSION_INFO(n) CK_SESSION_INFO *n
#define PARAM_MECHANISM_INFO(n) CK_MECHANISM_INFO *n

#define VALUE_BOOL(n) {.flag = (n)}
#define VALUE_ULONG(n) {.number = (n)}
#define VALUE_USER(n) {.number = (n)}
#define VALUE_SLOT(n) {.number = (n)}
#define VALUE_SESSION(n) {.number = (n)}
#define VALUE_OBJECT(n) {.number = (n)}
#define VALUE_BYTES(n) {.bytes = {(n), n##_len}}
#define VALUE_PIN(n) {.bytes = {(n), n##_len}}
#define VALUE_LABEL(n) {.bytes = {(n), 32}}
#define VALUE_MECHANISM(n) {.mechanism = (n)}
#define VALUE_TEMPLATE(n) {.attributes = {(n), n##_count}}
#define VALUE_QUERY(n) {.attributes = {(n), n##_count}}
#define VALUE_NOTIFY(n) {.notify = {n##_argument, (n)}}
#define VALUE_BUFFER(n) {.buffer = {(n), n##_len}}
#define VALUE_FILL(n) {.bytes = {(n), n##_len}}
#define VALUE_LIST(n) {.list = {(n), n##_count}}
#define VALUE_FOUND(n) {.found = {(n), n##_max, n##_count}}
#define VALUE_NEW_SESSION(n) {.number_out = (n)}
#define VALUE_NEW_OBJECT(n) {.number_out = (n)}
#define VALUE_ULONG_OUT(n) {.number_out = (n)}
#define VALUE_INFO(n) {.info = (n)}
#define VALUE_SLOT_INFO(n) {.info = (n)}
#define VALUE_TOKEN_INFO(n) {.info = (n)}
#define VALUE_SESSION_INFO(n) {.info = (n)}
#define VALUE_MECHANISM_INFO(n) {.info = (n)}

#define PASS_BOOL(v) (v).flag
#define PASS_ULONG(v) (v).number
#define PASS_USER(v) (v).number
#define PASS_SLOT(v) (v).number
#define PASS_SESSION(v) (v).number
#define PASS_OBJECT(v) (v).number
#define PASS_BYTES(v) (v).bytes.data, (v).bytes.len
#define PASS_PIN(v) (v).bytes.data, (v).bytes.len
#define PASS_LABEL(v) (v).bytes.data
#define PASS_MECHANISM(v) (v).mechanism
#define PASS_TEMPLATE(v) (v).attributes.items, (v).attributes.count
#define PASS_QUERY(v) (v).attributes.items, (v).attributes.count
#define PASS_NOTIFY(v) NULL, NULL
#define PASS_BUFFER(v) (v).buffer.data, (v).buffer.len
#define PASS_FILL(v) (v).bytes.data, (v).bytes.len
#define PASS_LIST(v) (v).list.items, (v).list.count
#define PASS_FOUND(v) (v).found.items, (v).found.max, (v).found.count
#define PASS_NEW_SESSION(v) (v).number_out
#define PASS_NEW_OBJECT(v) (v).number_out
#define PASS_ULONG_OUT(v) (v).number_out
#define PASS_INFO(v) (CK_INFO *)(v).info
#define PASS_SLOT_INFO(v) (CK_SLOT_INFO *)(v).info
#define PASS_TOKEN_INFO(v) (CK_TOKEN_INFO *)(v).info
#define PASS_SESSION_INFO(v) (CK_SESSION_INFO *)(v).info
#define PASS_MECHANISM_INFO(v) (CK_MECHANISM_INFO *)(v).info

/* clang-format on */

/* PARAM(index, KIND, name) and the others fit EACH(). */
#define PARAM(index, kind, n) PARAM_##kind(n)
#define VALUE(index, kind, n) VALUE_##kind(n)
#define PASS(index, kind, n) PASS_##kind(v[index])

/* One argument of a call: in the client the caller's own pointers, in the worker the arena's. */
union wire_value {
	CK_BBOOL flag;
	CK_ULONG number;
	CK_ULONG *number_out;
	struct {
		CK_BYTE *data;
		CK_ULONG len;
	} bytes;
	struct {
		CK_BYTE *data;
		CK_ULONG *len;
	} buffer;
	struct {
		CK_ULONG *items;
		CK_ULONG *count;
	} list;
	struct {
		CK_OBJECT_HANDLE *items;
		CK_ULONG max;
		CK_ULONG *count;
	} found;
	struct {
		CK_ATTRIBUTE *items;
		CK_ULONG count;
	} attributes;
	struct {
		CK_VOID_PTR argument;
		CK_NOTIFY callback;
	} notify;
	CK_MECHANISM *mechanism;
	void *info;
};

#endif
