#include "api/application_id.h"

#include <stdint.h>
#include <string.h>

#include "api/hex.h"

/* A decimal number below 2^32 as 4 bytes, big-endian. */
static bool part_parse(const char *text, size_t len, unsigned char out[4])
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
	for (int i = 0; i < 4; i++)
		out[i] = (unsigned char)(number >> (24 - 8 * i));
	return number <= UINT32_MAX;
}

bool application_id_parse(const char *text, size_t len, unsigned char ret_id[APPLICATION_ID_LEN])
{
	unsigned char id[APPLICATION_ID_LEN];
	if (!hex_decode(id, sizeof id, text, len)) {
		const char *dash = memchr(text, '-', len);
		memset(id, 0, sizeof id);
		if (dash == NULL || !part_parse(text, (size_t)(dash - text), id) ||
			!part_parse(dash + 1, len - (size_t)(dash + 1 - text), id + 4))
			return false;
	}
	memcpy(ret_id, id, sizeof id);
	return true;
}
