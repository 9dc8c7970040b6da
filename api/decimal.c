#include "api/decimal.h"

bool decimal_parse(const char *text, size_t len, uint64_t *ret_number)
{
	enum { DIGITS_MAX = 10 };
	uint64_t number = 0;
	if (len == 0 || len > DIGITS_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		number = number * 10 + (uint64_t)(text[i] - '0');
	}
	*ret_number = number;
	return number <= UINT32_MAX;
}
