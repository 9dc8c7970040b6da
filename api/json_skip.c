#include <stdint.h>
#include <string.h>

#include "api/fnv1a.h"
#include "api/internal.h"

/*
 * The member names of all open objects, the innermost last, so that duplicates are found without memory of their own.
 * The hash is over the unescaped name.
 */
struct names {
	struct name {
		uint32_t offset, hash;
	} items[JSON_MEMBERS_MAX];
	size_t count;
};

static uint32_t name_hash(struct json_text raw)
{
	const char *at = raw.data;
	uint32_t hash = FNV1A_START;
	unsigned char piece[4];

	while (at < raw.data + raw.len) {
		size_t len = json_unescape(&at, piece);
		hash = fnv1a(hash, piece, len);
	}
	return hash;
}

/* An unescaped name, byte by byte. */
struct unescaped {
	const char *at;
	unsigned char piece[4];
	size_t len, next;
};

/* The next byte, or -1 at the closing quote. */
static int unescaped_byte(struct unescaped *name)
{
	if (name->next == name->len) {
		if (*name->at == '"')
			return -1;
		name->len = json_unescape(&name->at, name->piece);
		name->next = 0;
	}
	return name->piece[name->next++];
}

/* Both are at the first byte behind the opening quote of a string that was scanned. */
static bool names_equal(const char *a, const char *b)
{
	struct unescaped x = {.at = a}, y = {.at = b};

	for (;;) {
		int byte = unescaped_byte(&x);
		if (byte != unescaped_byte(&y))
			return false;
		if (byte < 0)
			return true;
	}
}

/* Remembers a name of the object whose names begin at `first`. */
static bool names_add(struct json_reader *in, struct names *names, size_t first, struct json_text raw)
{
	struct name added = {(uint32_t)(raw.data - in->start), name_hash(raw)};

	for (size_t i = first; i < names->count; i++) {
		const struct name *name = &names->items[i];
		if (name->hash == added.hash && names_equal(in->start + name->offset, raw.data)) {
			in->at = raw.data - 1;
			return json_fail(in, "duplicate member");
		}
	}
	if (names->count == JSON_MEMBERS_MAX)
		return json_fail(in, "too many members");
	names->items[names->count++] = added;
	return true;
}

static bool skip_value(struct json_reader *in, struct names *names);

static bool skip_object(struct json_reader *in, struct names *names)
{
	size_t first = names->count;
	struct json_text raw;
	bool escaped;

	if (!json_enter_object(in))
		return false;
	while (json_next_name(in, &raw, &escaped))
		if (!names_add(in, names, first, raw) || !skip_value(in, names))
			return false;
	names->count = first;
	return in->error == NULL;
}

static bool skip_array(struct json_reader *in, struct names *names)
{
	if (!json_enter_array(in))
		return false;
	while (json_next_element(in))
		if (!skip_value(in, names))
			return false;
	return in->error == NULL;
}

static bool skip_scalar(struct json_reader *in)
{
	struct json_text raw;
	bool escaped;

	switch (json_peek(in)) {
	case JSON_TYPE_STRING: return json_scan_string(in, &raw, &escaped);
	case JSON_TYPE_NUMBER: return json_scan_number(in);
	case JSON_TYPE_TRUE: return json_scan_literal(in, "true");
	case JSON_TYPE_FALSE: return json_scan_literal(in, "false");
	case JSON_TYPE_NULL: return json_scan_literal(in, "null");
	default: return json_fail(in, "expected a value");
	}
}

/* Recursion ends at JSON_DEPTH_MAX, which json_enter_… sees to. */
static bool skip_value(struct json_reader *in, struct names *names)
{
	switch (json_peek(in)) {
	case JSON_TYPE_OBJECT: return skip_object(in, names);
	case JSON_TYPE_ARRAY: return skip_array(in, names);
	default: return skip_scalar(in);
	}
}

/* On its own so that the table of names is on the stack for containers only. */
static bool __attribute__((noinline)) skip_container(struct json_reader *in)
{
	struct names names;

	names.count = 0;
	if ((uint64_t)(in->end - in->start) > UINT32_MAX)
		return json_fail(in, "too long");
	return skip_value(in, &names);
}

bool json_skip(struct json_reader *in)
{
	enum json_type type = json_peek(in);

	if (type == JSON_TYPE_OBJECT || type == JSON_TYPE_ARRAY)
		return skip_container(in);
	return skip_scalar(in);
}

bool json_validate(const char *text, size_t len, const char **ret_error, size_t *ret_offset)
{
	struct json_reader in;

	json_reader_init(&in, text, len, NULL);
	if (json_skip(&in) && json_end(&in))
		return true;
	*ret_error = in.error;
	*ret_offset = json_offset(&in);
	return false;
}
