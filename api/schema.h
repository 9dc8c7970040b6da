/*
 * The table of JSON bodies (schemas.def) as data: for the checker of request bodies and for openapi.json.
 */
#ifndef P11GATE_API_SCHEMA_H
#define P11GATE_API_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

/* SCHEMA_NONE: no body. SCHEMA_CALLS: the groups of calls of codec.h, which have no row here. */
enum schema_id {
	SCHEMA_NONE,
	SCHEMA_CALLS,
#define SCHEMA(name, ...) SCHEMA_##name,
#include "schemas.def"
	SCHEMA_COUNT
};

enum member_type {
	MEMBER_TEXT, /* string */
	MEMBER_BASE64URL, /* string, see base64url.h */
	MEMBER_CONTENT, /* the same; alone, it is what an application/octet-stream body holds */
	MEMBER_MECHANISM, /* string, a CKM_ name, or an object of codec.h: the mechanism with its parameter */
	MEMBER_UINT, /* non-negative integer */
	MEMBER_BOOL,
	MEMBER_PIN, /* string, secret */
	MEMBER_SECRET, /* the same, longer: key material */
	MEMBER_ENUM, /* string, one of the values in `detail` */
	MEMBER_OBJECT, /* object, see schema_member_row */
	MEMBER_LIST, /* array, see schema_member_item */
	MEMBER_ANY, /* not described further */
};

struct schema_member {
	const char *name;
	enum member_type type;
	bool required;
	bool nullable; /* may be null */
	const char *detail; /* as in schemas.def: "" unless ENUM, OBJECT or LIST */
	const char *description; /* for people */
};

struct schema_row {
	enum schema_id id;
	const char *name;
	const char *description;
	const struct schema_member *members;
	size_t member_count;
};

/* The row of `id`, or NULL for SCHEMA_NONE, SCHEMA_CALLS and anything not below SCHEMA_COUNT. Static memory. */
const struct schema_row *schema_row(enum schema_id id);

/* The row named `name` (NUL-terminated), or NULL. */
const struct schema_row *schema_row_by_name(const char *name);

/* The member of `row` named by `len` bytes at `name`, or NULL. Its place is the pointer's distance from row->members. */
const struct schema_member *schema_member(const struct schema_row *row, const char *name, size_t len);

/*
 * The member that an application/octet-stream body stands for (MEMBER_CONTENT), or NULL: bodies of this schema are JSON alone. In a
 * request the other members are parameters of the query then.
 */
const struct schema_member *schema_content(const struct schema_row *row);

/* True if the member can be a parameter of a query: one plain value that is no secret. */
bool schema_member_in_query(const struct schema_member *member);

/* The row of the objects in an OBJECT or LIST member; NULL for a list of plain values and every other type. */
const struct schema_row *schema_member_row(const struct schema_member *member);

/*
 * What a LIST of plain values holds: MEMBER_TEXT or MEMBER_ANY. MEMBER_OBJECT for a list of objects
 * (schema_member_row has their row). `member` is of type MEMBER_LIST.
 */
enum member_type schema_member_item(const struct schema_member *member);

/* True if the `len` bytes at `text` are one of the values of an ENUM member. */
bool schema_member_allows(const struct schema_member *member, const char *text, size_t len);

#endif
