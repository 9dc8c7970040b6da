#include "client-module/id.h"

#include <sys/random.h>

bool id_random(unsigned char ret_id[ID_LEN])
{
	return getrandom(ret_id, ID_LEN, 0) == ID_LEN;
}

void id_hex(char out[ID_HEX_SIZE], const unsigned char id[ID_LEN])
{
	static const char DIGITS[] = "0123456789abcdef";
	for (unsigned i = 0; i < ID_LEN; i++) {
		out[2 * i] = DIGITS[id[i] >> 4];
		out[2 * i + 1] = DIGITS[id[i] & 15];
	}
	out[2 * ID_LEN] = '\0';
}
