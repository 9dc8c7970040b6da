#include <string.h>

#include "api/codec_internal.h"

/* How a mechanism's parameter is typed; a structure is PARAMETER_STRUCT + its struct_id. */
enum parameter {
	PARAMETER_NONE,
	PARAMETER_UNTYPED,
	PARAMETER_BYTES,
	PARAMETER_ULONG,
	PARAMETER_OBJECT,
	PARAMETER_STRUCT,
#define STRUCT(name, type, ...) PARAMETER_##name = PARAMETER_STRUCT + STRUCT_##name,
#include "api/structs.def"
};

static enum parameter parameter_of(CK_MECHANISM_TYPE type)
{
#define MECHANISM(name, parameter, ...) \
	case name: return PARAMETER_##parameter;
	switch (type) {
#include "api/mechanisms.def"
	}
	return PARAMETER_UNTYPED;
}

/* What a row's list of key types may hold beside CKK_ values. */
#define NO_KEY CK_UNAVAILABLE_INFORMATION
#define ANY_KEY (CK_UNAVAILABLE_INFORMATION - 1)
#define ANY_SECRET_KEY (CK_UNAVAILABLE_INFORMATION - 2)

static bool type_listed(const CK_KEY_TYPE *listed, size_t count, CK_OBJECT_CLASS class, CK_KEY_TYPE type)
{
	for (size_t i = 0; i < count; i++) {
		if (listed[i] == type || listed[i] == NO_KEY || listed[i] == ANY_KEY)
			return true;
		if (listed[i] == ANY_SECRET_KEY && class == CKO_SECRET_KEY)
			return true;
	}
	return false;
}

bool mechanism_fits_key(CK_MECHANISM_TYPE mechanism, CK_OBJECT_CLASS class, CK_KEY_TYPE type)
{
	/* CK_UNAVAILABLE_INFORMATION has the bit too. */
	if ((type & CKK_VENDOR_DEFINED) != 0)
		return true;
#define MECHANISM(name, parameter, ...) \
	case name: { \
		static const CK_KEY_TYPE listed[] = {__VA_ARGS__}; \
		return type_listed(listed, sizeof(listed) / sizeof(listed[0]), class, type); \
	}
	switch (mechanism) {
#include "api/mechanisms.def"
	}
	return true;
}

static enum struct_id struct_of(enum parameter parameter)
{
	return (enum struct_id)(parameter - PARAMETER_STRUCT);
}

/* True if a parameter of `len` bytes is what the mechanism's row says. */
static bool parameter_fits(enum parameter parameter, CK_ULONG len)
{
	switch (parameter) {
	case PARAMETER_NONE:
	case PARAMETER_UNTYPED: return false;
	case PARAMETER_BYTES: return true;
	case PARAMETER_ULONG:
	case PARAMETER_OBJECT: return len == sizeof(CK_ULONG);
	default: return len == structure_size(struct_of(parameter));
	}
}

CK_RV mechanism_check(const CK_MECHANISM *mechanism)
{
	enum parameter parameter;

	if (mechanism == NULL || mechanism->pParameter == NULL)
		return CKR_OK;
	if (mechanism->ulParameterLen > LIMIT_ATTRIBUTE_VALUE)
		return CKR_MECHANISM_PARAM_INVALID;
	parameter = parameter_of(mechanism->mechanism);
	if (parameter == PARAMETER_UNTYPED && mechanism->ulParameterLen > 0)
		return CKR_MECHANISM_PARAM_INVALID;
	if (parameter >= PARAMETER_STRUCT && parameter_fits(parameter, mechanism->ulParameterLen))
		return structure_check(struct_of(parameter), mechanism->pParameter);
	return CKR_OK;
}

static void parameter_write(struct json_writer *w, enum parameter parameter, const CK_MECHANISM *mechanism)
{
	CK_ULONG number;

	switch (parameter) {
	case PARAMETER_BYTES: json_write_bytes(w, mechanism->pParameter, mechanism->ulParameterLen); break;
	case PARAMETER_ULONG:
	case PARAMETER_OBJECT:
		memcpy(&number, mechanism->pParameter, sizeof(number));
		number_write(w, number);
		break;
	default: structure_write(w, struct_of(parameter), mechanism->pParameter);
	}
}

void mechanism_write(struct json_writer *w, const CK_MECHANISM *mechanism)
{
	enum parameter parameter;

	if (mechanism == NULL) {
		json_write_null(w);
		return;
	}
	json_begin_object(w);
	json_name(w, "mechanism");
	name_write(w, NAMES_MECHANISM, mechanism->mechanism);
	parameter = parameter_of(mechanism->mechanism);
	if (mechanism->pParameter == NULL) {
		/* the member is left out */
	} else if (parameter_fits(parameter, mechanism->ulParameterLen)) {
		json_name(w, "parameter");
		parameter_write(w, parameter, mechanism);
	} else if (parameter != PARAMETER_UNTYPED) {
		json_name(w, "parameter_length");
		json_write_uint(w, mechanism->ulParameterLen);
	}
	json_end_object(w);
}

static bool number_parameter_read(struct json_reader *in, CK_MECHANISM *mechanism)
{
	CK_ULONG *number = arena_alloc(in->arena, sizeof(*number));

	if (number == NULL)
		return json_fail(in, "the request needs too much memory");
	if (!number_read(in, number))
		return false;
	mechanism->pParameter = number;
	mechanism->ulParameterLen = sizeof(*number);
	return true;
}

static bool struct_parameter_read(struct json_reader *in, enum struct_id id, CK_MECHANISM *mechanism)
{
	void *data = arena_alloc(in->arena, structure_size(id));

	if (data == NULL)
		return json_fail(in, "the request needs too much memory");
	if (!structure_read(in, id, data))
		return false;
	mechanism->pParameter = data;
	mechanism->ulParameterLen = structure_size(id);
	return true;
}

static bool parameter_read(struct json_reader *in, CK_MECHANISM *mechanism)
{
	enum parameter parameter = parameter_of(mechanism->mechanism);
	unsigned char *data;
	size_t len;

	switch (parameter) {
	case PARAMETER_NONE: return json_fail(in, "the mechanism takes no parameter");
	case PARAMETER_UNTYPED: return json_fail(in, "the mechanism's parameter cannot travel");
	case PARAMETER_BYTES:
		if (!json_read_bytes(in, &data, &len))
			return false;
		if (len > LIMIT_ATTRIBUTE_VALUE)
			return json_fail(in, "the mechanism's parameter is too long");
		mechanism->pParameter = data;
		mechanism->ulParameterLen = len;
		return true;
	case PARAMETER_ULONG:
	case PARAMETER_OBJECT: return number_parameter_read(in, mechanism);
	default: return struct_parameter_read(in, struct_of(parameter), mechanism);
	}
}

/* A parameter that is not what the row says: so many zero bytes, which the module refuses in its own way. */
static bool parameter_length_read(struct json_reader *in, CK_MECHANISM *mechanism)
{
	if (parameter_of(mechanism->mechanism) == PARAMETER_UNTYPED)
		return json_fail(in, "the mechanism's parameter cannot travel");
	if (!integer_read(in, &mechanism->ulParameterLen))
		return false;
	if (mechanism->ulParameterLen > LIMIT_ATTRIBUTE_VALUE)
		return json_fail(in, "the mechanism's parameter is too long");
	mechanism->pParameter = arena_alloc(in->arena, mechanism->ulParameterLen);
	return mechanism->pParameter != NULL || json_fail(in, "the request needs too much memory");
}

bool mechanism_read(struct json_reader *in, CK_MECHANISM **ret_mechanism)
{
	CK_MECHANISM *mechanism;
	struct json_text name;

	if (json_peek(in) == JSON_TYPE_NULL) {
		*ret_mechanism = NULL;
		return json_read_null(in);
	}
	mechanism = arena_alloc(in->arena, sizeof(*mechanism));
	if (mechanism == NULL)
		return json_fail(in, "the request needs too much memory");
	if (!json_enter_object(in))
		return false;
	if (!json_next_member(in, &name) || !json_text_is(name, "mechanism"))
		return json_fail(in, "a mechanism begins with its member mechanism");
	if (!name_read(in, NAMES_MECHANISM, &mechanism->mechanism))
		return false;
	if (json_next_member(in, &name)) {
		if (json_text_is(name, "parameter")              ? !parameter_read(in, mechanism)
			: json_text_is(name, "parameter_length") ? !parameter_length_read(in, mechanism)
								 : !json_fail(in, "a mechanism has no such member"))
			return false;
		if (json_next_member(in, &name))
			return json_fail(in, "a mechanism has no such member");
	}
	if (json_failed(in))
		return false;
	*ret_mechanism = mechanism;
	return true;
}

bool mechanism_decode(struct json_reader *in, CK_MECHANISM **ret_mechanism)
{
	return mechanism_read(in, ret_mechanism) && json_end(in);
}

CK_RV mechanism_visit_handles(
	CK_MECHANISM *mechanism, CK_RV (*visit)(void *context, CK_OBJECT_HANDLE *handle), void *context)
{
	enum parameter parameter;

	if (mechanism == NULL || mechanism->pParameter == NULL)
		return CKR_OK;
	parameter = parameter_of(mechanism->mechanism);
	if (!parameter_fits(parameter, mechanism->ulParameterLen))
		return CKR_OK;
	if (parameter == PARAMETER_OBJECT) {
		CK_OBJECT_HANDLE *handle = mechanism->pParameter;

		return *handle != CK_INVALID_HANDLE ? visit(context, handle) : CKR_OK;
	}
	if (parameter < PARAMETER_STRUCT)
		return CKR_OK;
	return structure_visit_handles(struct_of(parameter), mechanism->pParameter, visit, context);
}
