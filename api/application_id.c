#include "api/application_id.h"

#include <string.h>

#include "api/decimal.h"
#include "api/hex.h"

/* A decimal number as 4 bytes, big-endian. */
static bool part_parse(const char *text, size_t len, unsigned char out[4])
{
	uint64_t number;
	if (!decimal_parse(text, len, &number))
		return false;
	for (int i = 0; i < 4; i++)
		out[i] = (unsigned char)(number >> (24 - 8 * i));
	return true;
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
