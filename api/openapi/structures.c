#include "api/openapi/internal.h"

#include <stdio.h>
#include <string.h>

/* structs.def: each field with its form. */
struct field {
	const char *name, *json;
};
#define FIELD_BOOL(m) {#m, "{'type':'boolean'}"},
#define FIELD_ULONG(m) {#m, REF("Number")},
#define FIELD_NAME(m, family) {#m, REF("Constant")},
#define FIELD_FLAGS(m, family) {#m, "{'type':'array','items':{'type':'string'}}"},
#define FIELD_OBJECT(m) {#m, "{'type':'integer','minimum':0}"},
#define FIELD_VERSION(m) {#m, "{'type':'string','pattern':'^[0-9]+[.][0-9]+$'}"},
#define FIELD_PADDED(m) {#m, REF("Text")},
#define FIELD_FIXED(m) {#m, REF("Bytes")},
#define FIELD_BYTES(m, len) {#m, REF("Bytes")},
#define FIELD_INSIDE(m, structure) {#m, REF("structure." #structure)},
#define FIELD_POINTER(m, structure) {#m, "{'oneOf':[{'type':'null'}," REF("structure." #structure) "]}"},
#define FIELD(kind, ...) FIELD_##kind(__VA_ARGS__)
#define STRUCT(name, type, ...) static const struct field name##_fields[] = {__VA_ARGS__};
#include "api/structs.def"

static const struct structure {
	const char *name, *type;
	const struct field *fields;
	size_t count;
} structures[] = {
#define STRUCT(name, type, ...) {"structure." #name, #type, name##_fields, COUNT_OF(name##_fields)},
#include "api/structs.def"
};

static void structure_write(struct json_writer *w, const struct structure *structure)
{
	put_object(w, structure->name);
	put_text(w, "description", structure->type);
	put(w, "type", "'object'");
	put_object(w, "properties");
	for (size_t i = 0; i < structure->count; i++)
		put(w, structure->fields[i].name, structure->fields[i].json);
	json_end_object(w);
	json_name(w, "required");
	json_begin_array(w);
	for (size_t i = 0; i < structure->count; i++)
		json_write_string(w, structure->fields[i].name);
	json_end_array(w);
	json_end_object(w);
}

/* mechanisms.def: each mechanism with the form of its parameter. */
static const struct {
	const char *name, *parameter;
} mechanisms[] = {
#define MECHANISM(name, parameter, ...) {#name, #parameter},
#include "api/mechanisms.def"
};

static bool parameter_is_first(size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (strcmp(mechanisms[j].parameter, mechanisms[i].parameter) == 0)
			return false;
	return true;
}

/* The schema of a mechanism's parameter; none for NONE and UNTYPED. */
static void parameter_write(struct json_writer *w, const char *parameter)
{
	char name[128];

	if (strcmp(parameter, "NONE") == 0 || strcmp(parameter, "UNTYPED") == 0)
		return;
	json_name(w, "parameter");
	snprintf(name, sizeof(name), "structure.%s", parameter);
	if (strcmp(parameter, "BYTES") == 0)
		write_fixed(w, REF("Bytes"));
	else if (strcmp(parameter, "ULONG") == 0)
		write_fixed(w, REF("Number"));
	else if (strcmp(parameter, "OBJECT") == 0)
		write_fixed(w, "{'type':'integer','minimum':0}");
	else
		write_reference(w, "schemas", name, NULL);
}

/* All mechanisms whose parameter has this form. */
static void mechanisms_of(struct json_writer *w, const char *parameter)
{
	json_begin_object(w);
	put(w, "type", "'object'");
	put(w, "required", "['mechanism']");
	put(w, "additionalProperties", "false");
	put_object(w, "properties");
	put_object(w, "mechanism");
	json_name(w, "enum");
	json_begin_array(w);
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++)
		if (strcmp(mechanisms[i].parameter, parameter) == 0)
			json_write_string(w, mechanisms[i].name);
	json_end_array(w);
	json_end_object(w);
	parameter_write(w, parameter);
	json_end_object(w);
	json_end_object(w);
}

static void mechanism_write(struct json_writer *w)
{
	put_object(w, "Mechanism");
	put_text(w, "description",
		"A CK_MECHANISM; null is a NULL pointer. A parameter that is not the mechanism's own structure is "
		"told by its length");
	json_name(w, "anyOf");
	json_begin_array(w);
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++)
		if (parameter_is_first(i))
			mechanisms_of(w, mechanisms[i].parameter);
	write_fixed(w,
		"{'type':'object','required':['mechanism'],'additionalProperties':false,'properties':{'mechanism':" REF(
			"Constant") ",'parameter_length':{'type':'integer','minimum':0}}}");
	write_fixed(w, "{'type':'null'}");
	json_end_array(w);
	json_end_object(w);
}

void structures_write(struct json_writer *w)
{
	mechanism_write(w);
	/* CK_INFO does not travel: the client module answers C_GetInfo itself. */
	for (size_t i = 0; i < COUNT_OF(structures); i++)
		if (strcmp(structures[i].type, "CK_INFO") != 0)
			structure_write(w, &structures[i]);
}
