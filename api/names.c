#include "api/names.h"

#include <string.h>

static const char unavailable_name[] = "CK_UNAVAILABLE_INFORMATION";

struct name {
	const char *text;
	size_t len;
	CK_ULONG number;
	enum name_set set;
};

/* Takes the text, since a name that has passed through another macro is its number. */
#define NAME(text, number, family) {text, sizeof(text) - 1, number, NAMES_##family},

static const struct name attribute_names[] = {
#define ATTRIBUTE(name, ...) NAME(#name, name, ATTRIBUTE)
#include "api/attributes.def"
};
static const struct name mechanism_names[] = {
#define MECHANISM(name, ...) NAME(#name, name, MECHANISM)
#include "api/mechanisms.def"
};
static const struct name return_names[] = {
#define RETURN(name, ...) NAME(#name, name, RETURN)
#include "api/returns.def"
};
static const struct name constant_names[] = {
#define CONSTANT(family, name) NAME(#name, name, family)
#include "api/constants.def"
};
static const struct name alias_names[] = {
#define ALIAS(family, name) NAME(#name, name, family)
#include "api/aliases.def"
};

struct name_table {
	const struct name *names;
	size_t count;
};

#define TABLE(names) ((struct name_table){names, sizeof(names) / sizeof(names)[0]})

static struct name_table table_of(enum name_set set)
{
	switch (set) {
	case NAMES_ATTRIBUTE: return TABLE(attribute_names);
	case NAMES_MECHANISM: return TABLE(mechanism_names);
	case NAMES_RETURN: return TABLE(return_names);
	default: return TABLE(constant_names);
	}
}

/* Binary search; every table is sorted as strcmp sorts, which tests/unit/api/names_test.c checks. */
static const struct name *find(struct name_table table, enum name_set set, struct json_text text)
{
	size_t low = 0, high = table.count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct name *name = &table.names[middle];
		size_t common = text.len < name->len ? text.len : name->len;
		int order = memcmp(text.data, name->text, common);

		if (order == 0 && text.len == name->len)
			return name->set == set ? name : NULL;
		if (order < 0 || (order == 0 && text.len < name->len))
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static const char *attribute_name(CK_ULONG number)
{
#define ATTRIBUTE(name, ...) \
	case name: return #name;
	switch (number) {
#include "api/attributes.def"
	}
	return NULL;
}

static const char *mechanism_name(CK_ULONG number)
{
#define MECHANISM(name, ...) \
	case name: return #name;
	switch (number) {
#include "api/mechanisms.def"
	}
	return NULL;
}

static const char *return_name(CK_ULONG number)
{
#define RETURN(name, ...) \
	case name: return #name;
	switch (number) {
#include "api/returns.def"
	}
	return NULL;
}

#define KEY(set, number) ((uint64_t)(set) << 32 | (number))

static const char *constant_name(enum name_set set, CK_ULONG number)
{
	if (number > UINT32_MAX)
		return NULL;
#define CONSTANT(family, name) \
	case KEY(NAMES_##family, name): return #name;
	switch (KEY(set, number)) {
#include "api/constants.def"
	}
	return NULL;
}

const char *name_of(enum name_set set, CK_ULONG number)
{
	if (number == CK_UNAVAILABLE_INFORMATION)
		return unavailable_name;
	switch (set) {
	case NAMES_ATTRIBUTE: return attribute_name(number);
	case NAMES_MECHANISM: return mechanism_name(number);
	case NAMES_RETURN: return return_name(number);
	default: return constant_name(set, number);
	}
}

static bool hexadecimal(struct json_text text, CK_ULONG *ret_number)
{
	uint64_t number = 0;

	if (text.len < 3 || text.len > 2 + 16 || text.data[0] != '0' || text.data[1] != 'x')
		return false;
	for (size_t i = 2; i < text.len; i++) {
		char c = text.data[i];

		if (c >= '0' && c <= '9')
			number = number << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			number = number << 4 | (uint64_t)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			number = number << 4 | (uint64_t)(c - 'A' + 10);
		else
			return false;
	}
	if (text.data[2] == '0' && text.len > 3)
		return false;
	*ret_number = (CK_ULONG)number;
	return *ret_number == number;
}

bool name_number(enum name_set set, struct json_text name, CK_ULONG *ret_number)
{
	const struct name *found = find(table_of(set), set, name);
	CK_ULONG number;

	if (found == NULL)
		found = find(TABLE(alias_names), set, name);
	if (found != NULL) {
		*ret_number = found->number;
		return true;
	}
	if (json_text_is(name, unavailable_name)) {
		*ret_number = CK_UNAVAILABLE_INFORMATION;
		return true;
	}
	if (!hexadecimal(name, &number) || name_of(set, number) != NULL)
		return false;
	*ret_number = number;
	return true;
}

/* "0x…" at the end of `scratch`. */
static const char *hexadecimal_text(CK_ULONG number, char scratch[24])
{
	char *at = scratch + 24;

	*--at = '\0';
	do {
		*--at = "0123456789abcdef"[number & 0xf];
		number >>= 4;
	} while (number != 0);
	*--at = 'x';
	*--at = '0';
	return at;
}

const char *name_text(enum name_set set, CK_ULONG number, char scratch[24])
{
	const char *name = name_of(set, number);

	if (name != NULL)
		return name;
	return hexadecimal_text(number, scratch);
}

void name_write(struct json_writer *w, enum name_set set, CK_ULONG number)
{
	char scratch[24];

	json_write_string(w, name_text(set, number, scratch));
}

bool name_read(struct json_reader *in, enum name_set set, CK_ULONG *ret_number)
{
	struct json_text name;

	if (!json_read_string(in, &name))
		return false;
	if (!name_number(set, name, ret_number))
		return json_fail(in, "unknown constant name");
	return true;
}
