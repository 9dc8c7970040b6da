#include "server/worker/internal.h"

/*
 * What the worker asks the gateway about its token while it serves a request. A gateway that does not answer is
 * treated like a token that is taken.
 */

enum { TOKEN_ANSWER_SPARE_MS = 5000 }; /* beyond the gateway's own bound of the wait */

CK_RV token_acquire(int channel, enum token_purpose purpose, CK_USER_TYPE user, int wait_ms, uint64_t *ret_generation)
{
	struct token_acquire question = {.purpose = (uint32_t)purpose, .user_type = user};
	struct token_grant grant;
	struct buffer payload BUFFER_AUTO;
	struct arena arena ARENA_AUTO;
	enum frame_type type;

	buffer_init(&payload, FRAME_CHUNK);
	arena_init(&arena, FRAME_CHUNK);
	token_acquire_pack(&payload, &question);
	if (payload.failed)
		return CKR_HOST_MEMORY;
	if (frame_send(channel, FRAME_TOKEN_ACQUIRE, payload.data, payload.len) != STATUS_OK)
		return CKR_DEVICE_ERROR;
	if (frame_receive(channel, wait_ms + TOKEN_ANSWER_SPARE_MS, &type, &payload) != STATUS_OK ||
		type != FRAME_TOKEN_GRANT)
		return CKR_DEVICE_ERROR;
	if (token_grant_unpack(payload.data, payload.len, &arena, &grant) != STATUS_OK)
		return CKR_DEVICE_ERROR;
	if (grant.rv == CKR_OK)
		*ret_generation = grant.generation;
	return (CK_RV)grant.rv;
}

void token_release(int channel, CK_RV rv, enum login_state login)
{
	struct token_release message = {.rv = rv, .login = (uint32_t)login, .native = (uint32_t)login};
	struct buffer payload BUFFER_AUTO;

	buffer_init(&payload, FRAME_CHUNK);
	token_release_pack(&payload, &message);
	/* A gateway that is gone has released the token by that; the thread sees the end of file next. */
	if (!payload.failed)
		(void)!frame_send(channel, FRAME_TOKEN_RELEASE, payload.data, payload.len);
}
