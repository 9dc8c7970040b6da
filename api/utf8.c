#include <stdint.h>

#include "api/internal.h"

static bool is_continuation(unsigned char byte)
{
	return (byte & 0xC0) == 0x80;
}

size_t utf8_len(const unsigned char *at, const unsigned char *end)
{
	size_t room = (size_t)(end - at);

	if (at[0] < 0x80)
		return 1;
	if (at[0] < 0xC2 || at[0] > 0xF4 || room < 2 || !is_continuation(at[1]))
		return 0;
	if (at[0] < 0xE0)
		return 2;
	if (room < 3 || !is_continuation(at[2]))
		return 0;
	if (at[0] < 0xF0) {
		bool overlong = at[0] == 0xE0 && at[1] < 0xA0;
		bool surrogate = at[0] == 0xED && at[1] > 0x9F;
		return overlong || surrogate ? 0 : 3;
	}
	if (room < 4 || !is_continuation(at[3]))
		return 0;
	bool overlong = at[0] == 0xF0 && at[1] < 0x90;
	bool above = at[0] == 0xF4 && at[1] > 0x8F;
	return overlong || above ? 0 : 4;
}

bool json_text_valid(const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *)(text != NULL ? text : ""), *end = at + len;

	while (at < end) {
		if (*at == 0)
			return false;
		size_t step = utf8_len(at, end);
		if (step == 0)
			return false;
		at += step;
	}
	return true;
}
