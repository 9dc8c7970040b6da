/*
 * What the files of the codec share and nobody else uses.
 *
 * …_check   client: what call_encode refuses without asking
 * …_write   writes one value; the argument has passed the check, or comes from a module
 * …_read    reads one value; everything the result points to is in `in->arena`. False: the reader holds the error
 */
#ifndef P11GATE_API_CODEC_INTERNAL_H
#define P11GATE_API_CODEC_INTERNAL_H

#include "api/codec.h"
#include "api/limits.h"

#define MUST_CHECK __attribute__((warn_unused_result))

/* --- number.c --- */

/* A CK_ULONG: an integer, or null for CK_UNAVAILABLE_INFORMATION. */
void number_write(struct json_writer *w, CK_ULONG number);
bool number_read(struct json_reader *in, CK_ULONG *ret_number) MUST_CHECK;

/* An integer that a CK_ULONG can hold. */
bool integer_read(struct json_reader *in, CK_ULONG *ret_number) MUST_CHECK;

/* Bytes, or null for a NULL pointer; more than `max` bytes are an error. */
void bytes_write(struct json_writer *w, const void *data, CK_ULONG len);
bool bytes_read(struct json_reader *in, CK_ULONG max, CK_BYTE **ret_data, CK_ULONG *ret_len) MUST_CHECK;

/* Array of integers, at most `max`. */
bool numbers_read(struct json_reader *in, CK_ULONG max, CK_ULONG **ret_items, CK_ULONG *ret_count) MUST_CHECK;

/*
 * Makes room for one more item of `item_size` bytes behind the `count` that `*items` has, of `*capacity`. Moves the items within
 * the arena. False: the reader holds the error.
 */
bool array_grow(struct json_reader *in, void **items, CK_ULONG *capacity, CK_ULONG count, size_t item_size) MUST_CHECK;

/* --- structure.c: structs.def --- */

enum struct_id {
#define STRUCT(name, type, ...) STRUCT_##name,
#include "api/structs.def"
	STRUCT_COUNT
};

size_t structure_size(enum struct_id id);
CK_RV structure_check(enum struct_id id, const void *data) MUST_CHECK;
void structure_write(struct json_writer *w, enum struct_id id, const void *data);

/* `out` has structure_size bytes; what is written on failure must not be used. */
bool structure_read(struct json_reader *in, enum struct_id id, void *out) MUST_CHECK;

CK_RV structure_visit_handles(enum struct_id id, void *data, CK_RV (*visit)(void *context, CK_OBJECT_HANDLE *handle),
	void *context) MUST_CHECK;

/* --- mechanism.c: mechanisms.def --- */

CK_RV mechanism_check(const CK_MECHANISM *mechanism) MUST_CHECK;
void mechanism_write(struct json_writer *w, const CK_MECHANISM *mechanism);
bool mechanism_read(struct json_reader *in, CK_MECHANISM **ret_mechanism) MUST_CHECK;

/* --- attribute.c: attributes.def --- */

/* True for an attribute that may hold pointers no row describes: its value never travels. */
bool attribute_opaque(CK_ATTRIBUTE_TYPE type);

/* Bytes per counted element of an attribute's value: lengths and capacities travel in elements (codec.h). */
size_t attribute_unit(const struct attribute_row *row);

/* Reads an attribute's name and finds its row, which is NULL if it has none. */
bool attribute_type_read(struct json_reader *in, struct json_text name, CK_ATTRIBUTE_TYPE *ret_type,
	const struct attribute_row **ret_row) MUST_CHECK;

/* Writes `"CKA_…":` */
void attribute_type_write(struct json_writer *w, CK_ATTRIBUTE_TYPE type);

/* A value that is not a template. */
void attribute_value_write(struct json_writer *w, const struct attribute_row *row, const void *data, CK_ULONG len);

struct attribute_value {
	enum { FORM_NULL, FORM_LENGTH, FORM_DATA, FORM_NESTED } form;
	void *data; /* FORM_DATA */
	CK_ULONG len; /* bytes; FORM_LENGTH FORM_DATA */
	struct attribute_value *nested; /* FORM_NESTED: `count` values with their types */
	CK_ATTRIBUTE_TYPE *types;
	CK_ULONG count;
};

/* A value that is not a template: FORM_NULL, FORM_DATA, or {"length":n} as FORM_LENGTH. */
bool attribute_value_read(
	struct json_reader *in, const struct attribute_row *row, struct attribute_value *ret_value) MUST_CHECK;

/* --- template.c --- */

CK_RV template_check(const CK_ATTRIBUTE *items, CK_ULONG count) MUST_CHECK;
void template_write(struct json_writer *w, const CK_ATTRIBUTE *items, CK_ULONG count);
bool template_read(struct json_reader *in, CK_ATTRIBUTE **ret_items, CK_ULONG *ret_count) MUST_CHECK;

/* --- query.c --- */

CK_RV query_check(const CK_ATTRIBUTE *items, CK_ULONG count) MUST_CHECK;
void query_write(struct json_writer *w, const CK_ATTRIBUTE *items, CK_ULONG count);
bool query_read(
	struct json_reader *in, CK_ATTRIBUTE **ret_items, struct query **ret_queries, CK_ULONG *ret_count) MUST_CHECK;

/* Worker: what a module made of the query. */
void query_answer_write(struct json_writer *w, const CK_ATTRIBUTE *items, const struct query *queries, CK_ULONG count);

/* Client: `count` values in the order of the query `items`. */
bool query_answer_read(struct json_reader *in, const CK_ATTRIBUTE *items, CK_ULONG count,
	struct attribute_value **ret_values) MUST_CHECK;

/* Client: writes the values to the application's attributes; false if one of them did not fit. */
bool query_answer_store(const struct attribute_value *values, CK_ATTRIBUTE *items, CK_ULONG count);

/* --- argument kinds --- */

/* The structure of a WIRE_*_INFO kind. */
enum struct_id info_structure(enum wire_kind kind);

#endif
