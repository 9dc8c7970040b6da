#include "server/worker/internal.h"

/* A session that REST opens (C15): the gateway ends its instance when the time is up, or when it is told to. */
CK_RV session_open_rest(struct request *request)
{
	CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
	const union wire_value v[] = {
		{.number = 0},
		{.number = CKF_SERIAL_SESSION | CKF_RW_SESSION},
		{.notify = {NULL, NULL}},
		{.number_out = &handle},
	};
	const union wire_value read_only[] = {v[0], {.number = CKF_SERIAL_SESSION}, v[2], v[3]};
	CK_RV rv = session_open(request, v);

	return rv == CKR_TOKEN_WRITE_PROTECTED ? session_open(request, read_only) : rv;
}
