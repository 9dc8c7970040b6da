#include "api/names.h"

struct flag {
	enum flag_set set;
	CK_FLAGS bit;
	const char *name;
};

static const struct flag flags_table[] = {
#define FLAG(family, name) {FLAGS_##family, CKF_##name, #name},
#include "api/flags.def"
};

enum { FLAG_COUNT = sizeof(flags_table) / sizeof(flags_table[0]) };

void flags_write(struct json_writer *w, enum flag_set set, CK_FLAGS flags)
{
	json_begin_array(w);
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		const struct flag *flag = &flags_table[i];

		if (flag->set != set || (flags & flag->bit) == 0)
			continue;
		json_write_string(w, flag->name);
		flags &= ~flag->bit;
	}
	for (CK_FLAGS bit = 1; flags != 0; bit <<= 1) {
		if ((flags & bit) == 0)
			continue;
		name_write(w, NAMES_NONE, bit);
		flags &= ~bit;
	}
	json_end_array(w);
}

static bool flag_bit(enum flag_set set, struct json_text name, CK_FLAGS *ret_bit)
{
	CK_FLAGS bit;

	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (flags_table[i].set == set && json_text_is(name, flags_table[i].name)) {
			*ret_bit = flags_table[i].bit;
			return true;
		}
	}
	if (!name_number(NAMES_NONE, name, &bit) || bit == 0 || (bit & (bit - 1)) != 0)
		return false;
	*ret_bit = bit;
	return true;
}

bool flags_read(struct json_reader *in, enum flag_set set, CK_FLAGS *ret_flags)
{
	CK_FLAGS flags = 0;

	if (!json_enter_array(in))
		return false;
	while (json_next_element(in)) {
		struct json_text name;
		CK_FLAGS bit;

		if (!json_read_string(in, &name))
			return false;
		if (!flag_bit(set, name, &bit) || (flags & bit) != 0)
			return json_fail(in, "unknown or repeated flag");
		flags |= bit;
	}
	if (json_failed(in))
		return false;
	*ret_flags = flags;
	return true;
}
