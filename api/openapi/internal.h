/*
 * What the files of the openapi program share: writing JSON with little ceremony, and the parts of the document.
 *
 * The program is built for the host and ends at the first error; nothing here is linked into anything else.
 */
#ifndef P11GATE_API_OPENAPI_INTERNAL_H
#define P11GATE_API_OPENAPI_INTERNAL_H

#include "api/json.h"
#include "api/route.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A reference to a schema, in the notation of put(). */
#define REF(name) "{'$ref':'#/components/schemas/" name "'}"

/* Ends the program with "openapi: what: where". */
void die(const char *what, const char *where) __attribute__((noreturn));

/* A value that stands ready as JSON, with ' for ". */
void write_fixed(struct json_writer *w, const char *json);

/* {"$ref":"#/components/SECTION/NAME"}, with a description beside it unless that is NULL. */
void write_reference(struct json_writer *w, const char *section, const char *name, const char *description);

/* A member: its name and a value as for write_fixed, a string, or an object whose members follow up to json_end_object. */
void put(struct json_writer *w, const char *name, const char *json);
void put_text(struct json_writer *w, const char *name, const char *value);
void put_object(struct json_writer *w, const char *name);

/* A member "description" that says which permissions on the slot a mask of 1u << enum permission asks for; none for 0. */
void permissions_write(struct json_writer *w, unsigned permissions);

/* Members of components.schemas: the bodies of schemas.def; the calls, their mechanisms and
 * structures; problem details. */
void schemas_write(struct json_writer *w);
void calls_write(struct json_writer *w);
void structures_write(struct json_writer *w);
void problems_write(struct json_writer *w);

/* The members that say which values a parameter of a query can have; `member` is one that can be such a parameter. */
void schema_type_write(struct json_writer *w, const struct schema_member *member);

/* The members paths, components.parameters and components.responses. */
void paths_write(struct json_writer *w);
void parameters_write(struct json_writer *w);
void responses_write(struct json_writer *w);

#endif
