#include <stddef.h>
#include <string.h>

#include "api/codec_internal.h"

enum field_kind {
	KIND_BOOL,
	KIND_ULONG,
	KIND_NAME,
	KIND_OBJECT,
	KIND_FLAGS,
	KIND_VERSION,
	KIND_PADDED,
	KIND_FIXED,
	KIND_BYTES,
	KIND_INSIDE,
	KIND_POINTER,
};

struct field {
	enum field_kind kind;
	int detail; /* the family of names or flags, or the structure */
	const char *name;
	size_t name_len;
	size_t offset;
	size_t length_offset; /* KIND_BYTES */
	size_t size; /* KIND_PADDED KIND_FIXED */
};

struct structure {
	size_t size;
	const struct field *fields;
	size_t count;
};

/* Within a function of STRUCT(), T is the C type. The condition is checked by the compiler. */
#define MEMBER(m) (((T *)0)->m)
#define IS(m, type) _Generic(MEMBER(m), type : 1, default : 0)
#define OFFSET(m, condition) \
	(sizeof(struct { \
		_Static_assert(condition, "the member has another type in the header"); \
		char c; \
	}) * 0 + offsetof(T, m))
#define ROW(kind, m, condition, length_offset, size, detail) \
	{kind, detail, #m, sizeof(#m) - 1, OFFSET(m, condition), length_offset, size},

#define FIELD_BOOL(m) ROW(KIND_BOOL, m, IS(m, CK_BBOOL), 0, 0, 0)
#define FIELD_ULONG(m) ROW(KIND_ULONG, m, IS(m, CK_ULONG), 0, 0, 0)
#define FIELD_NAME(m, family) ROW(KIND_NAME, m, IS(m, CK_ULONG), 0, 0, NAMES_##family)
#define FIELD_OBJECT(m) ROW(KIND_OBJECT, m, IS(m, CK_OBJECT_HANDLE), 0, 0, 0)
#define FIELD_FLAGS(m, family) ROW(KIND_FLAGS, m, IS(m, CK_FLAGS), 0, 0, FLAGS_##family)
#define FIELD_VERSION(m) ROW(KIND_VERSION, m, IS(m, CK_VERSION), 0, 0, 0)
#define FIELD_PADDED(m) ROW(KIND_PADDED, m, IS(m[0], CK_UTF8CHAR) && sizeof(MEMBER(m)) >= 16, 0, sizeof(MEMBER(m)), 0)
#define FIELD_FIXED(m) ROW(KIND_FIXED, m, IS(m[0], CK_BYTE) && sizeof(MEMBER(m)) > 1, 0, sizeof(MEMBER(m)), 0)
#define FIELD_BYTES(m, length) \
	ROW(KIND_BYTES, m, (IS(m, CK_BYTE_PTR) || IS(m, CK_VOID_PTR)) && IS(length, CK_ULONG), offsetof(T, length), 0, \
		0)
#define FIELD_INSIDE(m, structure) \
	ROW(KIND_INSIDE, m, sizeof(MEMBER(m)) == sizeof(TYPE_##structure), 0, 0, STRUCT_##structure)
#define FIELD_POINTER(m, structure) ROW(KIND_POINTER, m, IS(m, TYPE_##structure *), 0, 0, STRUCT_##structure)
#define FIELD(kind, ...) FIELD_##kind(__VA_ARGS__)

#define STRUCT(name, type, ...) typedef type TYPE_##name;
#include "api/structs.def"

#define STRUCT(name, type, ...) \
	static const struct structure *structure_##name(void) \
	{ \
		typedef type T; \
		static const struct field fields[] = {__VA_ARGS__}; \
		static const struct structure structure = {sizeof(T), fields, sizeof(fields) / sizeof(fields[0])}; \
		_Static_assert(sizeof(fields) / sizeof(fields[0]) <= 32, "structure_read has a bit per field"); \
		return &structure; \
	}
#include "api/structs.def"

static const struct structure *structure_of(enum struct_id id)
{
	static const struct structure *(*const structures[])(void) = {
#define STRUCT(name, type, ...) structure_##name,
#include "api/structs.def"
	};

	return structures[id]();
}

size_t structure_size(enum struct_id id)
{
	return structure_of(id)->size;
}

static CK_ULONG number_at(const unsigned char *at)
{
	CK_ULONG number;

	memcpy(&number, at, sizeof(number));
	return number;
}

static void *pointer_at(const unsigned char *at)
{
	void *pointer;

	memcpy(&pointer, at, sizeof(pointer));
	return pointer;
}

CK_RV structure_check(enum struct_id id, const void *data)
{
	const struct structure *structure = structure_of(id);

	for (size_t i = 0; i < structure->count; i++) {
		const struct field *field = &structure->fields[i];
		const unsigned char *at = (const unsigned char *)data + field->offset;
		CK_RV rv = CKR_OK;

		if (field->kind == KIND_BYTES) {
			CK_ULONG len = number_at((const unsigned char *)data + field->length_offset);

			if (len > LIMIT_ATTRIBUTE_VALUE || (pointer_at(at) == NULL && len > 0))
				rv = CKR_MECHANISM_PARAM_INVALID;
		} else if (field->kind == KIND_INSIDE) {
			rv = structure_check((enum struct_id)field->detail, at);
		} else if (field->kind == KIND_POINTER && pointer_at(at) != NULL) {
			rv = structure_check((enum struct_id)field->detail, pointer_at(at));
		}
		if (rv != CKR_OK)
			return rv;
	}
	return CKR_OK;
}

static void padded_write(struct json_writer *w, const unsigned char *text, size_t size)
{
	size_t len = size;

	while (len > 0 && text[len - 1] == ' ')
		len--;
	if (json_text_valid((const char *)text, len)) {
		json_write_text(w, (const char *)text, len);
		return;
	}
	json_begin_object(w);
	json_name(w, "raw");
	json_write_bytes(w, text, size);
	json_end_object(w);
}

static bool padded_read(struct json_reader *in, unsigned char *out, size_t size)
{
	struct json_text text;
	unsigned char *raw;
	size_t raw_len;

	if (json_peek(in) == JSON_TYPE_OBJECT) {
		if (!json_enter_object(in) || !json_next_member(in, &text) || !json_text_is(text, "raw"))
			return json_fail(in, "a text is a string or has the member raw");
		if (!json_read_bytes(in, &raw, &raw_len))
			return false;
		if (raw_len != size)
			return json_fail(in, "a padded text has another length");
		memcpy(out, raw, size);
		return json_next_member(in, &text) ? json_fail(in, "unknown member") : !json_failed(in);
	}
	if (!json_read_string(in, &text))
		return false;
	if (text.len > size)
		return json_fail(in, "a padded text is too long");
	memset(out, ' ', size);
	memcpy(out, text.data, text.len);
	return true;
}

/* Writes the 1 to 3 digits of `byte` and returns how many. */
static size_t byte_text(CK_BYTE byte, char *text)
{
	size_t len = 0;

	if (byte >= 100)
		text[len++] = (char)('0' + byte / 100);
	if (byte >= 10)
		text[len++] = (char)('0' + byte / 10 % 10);
	text[len++] = (char)('0' + byte % 10);
	return len;
}

static void version_write(struct json_writer *w, const unsigned char *at)
{
	CK_VERSION version;
	char text[8];
	size_t len;

	memcpy(&version, at, sizeof(version));
	len = byte_text(version.major, text);
	text[len++] = '.';
	len += byte_text(version.minor, text + len);
	json_write_text(w, text, len);
}

/* One number of a version from `*at` on, which moves behind it. */
static bool version_part(const char **at, const char *end, CK_BYTE *ret_part)
{
	const char *start = *at;
	unsigned part = 0;

	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
		part = part * 10 + (unsigned)(**at - '0');
		if (part > 255)
			return false;
	}
	*ret_part = (CK_BYTE)part;
	return *at > start && (*start != '0' || *at == start + 1);
}

static bool version_read(struct json_reader *in, unsigned char *out)
{
	struct json_text text;
	CK_VERSION version;
	const char *at, *end;

	if (!json_read_string(in, &text))
		return false;
	at = text.data;
	end = text.data + text.len;
	if (!version_part(&at, end, &version.major) || at == end || *at++ != '.' ||
		!version_part(&at, end, &version.minor) || at != end)
		return json_fail(in, "a version is two numbers with a dot between them");
	memcpy(out, &version, sizeof(version));
	return true;
}

static void field_write(struct json_writer *w, const struct field *field, const unsigned char *base)
{
	const unsigned char *at = base + field->offset;

	switch (field->kind) {
	case KIND_BOOL: json_write_bool(w, *at != CK_FALSE); break;
	case KIND_ULONG: number_write(w, number_at(at)); break;
	case KIND_NAME: name_write(w, (enum name_set)field->detail, number_at(at)); break;
	case KIND_OBJECT: json_write_uint(w, number_at(at)); break;
	case KIND_FLAGS: flags_write(w, (enum flag_set)field->detail, number_at(at)); break;
	case KIND_VERSION: version_write(w, at); break;
	case KIND_PADDED: padded_write(w, at, field->size); break;
	case KIND_FIXED: json_write_bytes(w, at, field->size); break;
	case KIND_BYTES: bytes_write(w, pointer_at(at), number_at(base + field->length_offset)); break;
	case KIND_INSIDE: structure_write(w, (enum struct_id)field->detail, at); break;
	case KIND_POINTER:
		if (pointer_at(at) == NULL)
			json_write_null(w);
		else
			structure_write(w, (enum struct_id)field->detail, pointer_at(at));
		break;
	}
}

void structure_write(struct json_writer *w, enum struct_id id, const void *data)
{
	const struct structure *structure = structure_of(id);

	json_begin_object(w);
	for (size_t i = 0; i < structure->count; i++) {
		json_name(w, structure->fields[i].name);
		field_write(w, &structure->fields[i], data);
	}
	json_end_object(w);
}

static bool fixed_read(struct json_reader *in, unsigned char *out, size_t size)
{
	unsigned char *data;
	size_t len;

	if (!json_read_bytes(in, &data, &len))
		return false;
	if (len != size)
		return json_fail(in, "a byte array has another length");
	memcpy(out, data, size);
	return true;
}

static bool pointer_read(struct json_reader *in, enum struct_id id, unsigned char *out)
{
	void *data;

	if (json_peek(in) == JSON_TYPE_NULL)
		return json_read_null(in);
	data = arena_alloc(in->arena, structure_size(id));
	if (data == NULL)
		return json_fail(in, "the request needs too much memory");
	memcpy(out, &data, sizeof(data));
	return structure_read(in, id, data);
}

static bool field_bytes_read(struct json_reader *in, const struct field *field, unsigned char *base)
{
	CK_BYTE *data;
	CK_ULONG len;

	if (!bytes_read(in, LIMIT_ATTRIBUTE_VALUE, &data, &len))
		return false;
	memcpy(base + field->offset, &data, sizeof(data));
	memcpy(base + field->length_offset, &len, sizeof(len));
	return true;
}

static bool field_number_read(struct json_reader *in, const struct field *field, unsigned char *out)
{
	CK_ULONG number = 0;
	bool good;

	if (field->kind == KIND_ULONG)
		good = number_read(in, &number);
	else if (field->kind == KIND_NAME)
		good = name_read(in, (enum name_set)field->detail, &number);
	else if (field->kind == KIND_FLAGS)
		good = flags_read(in, (enum flag_set)field->detail, &number);
	else
		good = integer_read(in, &number);
	if (good)
		memcpy(out, &number, sizeof(number));
	return good;
}

static bool field_bool_read(struct json_reader *in, unsigned char *out)
{
	bool flag;

	if (!json_read_bool(in, &flag))
		return false;
	*out = flag ? CK_TRUE : CK_FALSE;
	return true;
}

static bool field_read(struct json_reader *in, const struct field *field, unsigned char *base)
{
	unsigned char *out = base + field->offset;

	switch (field->kind) {
	case KIND_BOOL: return field_bool_read(in, out);
	case KIND_ULONG:
	case KIND_NAME:
	case KIND_OBJECT:
	case KIND_FLAGS: return field_number_read(in, field, out);
	case KIND_VERSION: return version_read(in, out);
	case KIND_PADDED: return padded_read(in, out, field->size);
	case KIND_FIXED: return fixed_read(in, out, field->size);
	case KIND_BYTES: return field_bytes_read(in, field, base);
	case KIND_INSIDE: return structure_read(in, (enum struct_id)field->detail, out);
	case KIND_POINTER: return pointer_read(in, (enum struct_id)field->detail, out);
	}
	return json_fail(in, "unknown member");
}

/* The field named `name`, usually the one behind the last. */
static size_t field_index(const struct structure *structure, struct json_text name, size_t expected)
{
	for (size_t step = 0; step < structure->count; step++) {
		size_t i = expected + step < structure->count ? expected + step : expected + step - structure->count;
		const struct field *field = &structure->fields[i];

		if (field->name_len == name.len && memcmp(field->name, name.data, name.len) == 0)
			return i;
	}
	return structure->count;
}

bool structure_read(struct json_reader *in, enum struct_id id, void *out)
{
	const struct structure *structure = structure_of(id);
	struct json_text name;
	uint32_t seen = 0;
	size_t next = 0;

	memset(out, 0, structure->size);
	if (!json_enter_object(in))
		return false;
	while (json_next_member(in, &name)) {
		size_t i = field_index(structure, name, next);

		if (i == structure->count)
			return json_fail(in, "the structure has no such member");
		if ((seen & UINT32_C(1) << i) != 0)
			return json_fail(in, "duplicate member");
		seen |= UINT32_C(1) << i;
		next = i + 1 < structure->count ? i + 1 : 0;
		if (!field_read(in, &structure->fields[i], out))
			return false;
	}
	if (json_failed(in))
		return false;
	if (seen != UINT32_MAX >> (32 - structure->count))
		return json_fail(in, "a member of the structure is missing");
	return true;
}

CK_RV structure_visit_handles(
	enum struct_id id, void *data, CK_RV (*visit)(void *context, CK_OBJECT_HANDLE *handle), void *context)
{
	const struct structure *structure = structure_of(id);

	for (size_t i = 0; i < structure->count; i++) {
		const struct field *field = &structure->fields[i];
		unsigned char *at = (unsigned char *)data + field->offset;
		CK_RV rv = CKR_OK;

		if (field->kind == KIND_OBJECT && *(CK_OBJECT_HANDLE *)(void *)at != CK_INVALID_HANDLE)
			rv = visit(context, (CK_OBJECT_HANDLE *)(void *)at);
		else if (field->kind == KIND_INSIDE)
			rv = structure_visit_handles((enum struct_id)field->detail, at, visit, context);
		else if (field->kind == KIND_POINTER && pointer_at(at) != NULL)
			rv = structure_visit_handles((enum struct_id)field->detail, pointer_at(at), visit, context);
		if (rv != CKR_OK)
			return rv;
	}
	return CKR_OK;
}
