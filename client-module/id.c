#include "client-module/id.h"

#include <sys/random.h>

#include "api/hex.h"

bool id_random(unsigned char ret_id[ID_LEN])
{
	return getrandom(ret_id, ID_LEN, 0) == ID_LEN;
}

void id_hex(char out[ID_HEX_SIZE], const unsigned char id[ID_LEN])
{
	hex_encode(out, id, ID_LEN);
}
