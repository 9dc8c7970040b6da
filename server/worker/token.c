#include "server/worker/internal.h"

#include <string.h>

/*
 * What the worker asks the gateway about its token while it serves a request. A gateway that does not answer is
 * treated like a token that is taken.
 */

enum { TOKEN_ANSWER_SPARE_MS = 5000 }; /* beyond the gateway's own bound of the wait */

bool gateway_ask(int channel, enum frame_type question, struct buffer *payload, int wait_ms, enum frame_type answer)
{
	enum frame_type type;

	return frame_send(channel, question, payload->data, payload->len) == STATUS_OK &&
	       frame_receive(channel, wait_ms, &type, payload) == STATUS_OK && type == answer;
}

static void tell_wait(struct request *request, bool begun)
{
	const struct request_wait message = {.begun = begun};
	struct buffer payload BUFFER_AUTO;

	buffer_init(&payload, FRAME_CHUNK);
	request_wait_pack(&payload, &message);
	/* A gateway that is gone waits for nothing; the thread sees the end of file next. */
	if (!payload.failed)
		(void)!frame_send(request->channel, FRAME_WAIT, payload.data, payload.len);
}

void gateway_wait_begin(struct request *request)
{
	tell_wait(request, true);
}

void gateway_wait_end(struct request *request)
{
	tell_wait(request, false);
}

CK_RV token_acquire(struct worker *worker, int channel, enum token_purpose purpose, CK_USER_TYPE user,
	struct token_grant *ret_grant)
{
	struct token_acquire question = {
		.purpose = (uint32_t)purpose, .user_type = user, .cache_pin = login_rules(worker).cache_pin};
	int wait_ms = (int)worker->start.token_wait_ms;
	struct token_grant grant;
	struct buffer payload BUFFER_AUTO;
	struct arena arena ARENA_AUTO;

	buffer_init(&payload, FRAME_CHUNK);
	arena_init(&arena, FRAME_CHUNK);
	token_acquire_pack(&payload, &question);
	if (payload.failed)
		return CKR_HOST_MEMORY;
	if (!gateway_ask(channel, FRAME_TOKEN_ACQUIRE, &payload, wait_ms + TOKEN_ANSWER_SPARE_MS, FRAME_TOKEN_GRANT) ||
		token_grant_unpack(payload.data, payload.len, &arena, &grant) != STATUS_OK)
		return CKR_DEVICE_ERROR;
	reply_token_answer(&grant);
	if (grant.rv == CKR_OK)
		*ret_grant = grant;
	return (CK_RV)grant.rv;
}

CK_RV token_try_allowed(struct worker *worker, CK_USER_TYPE user, const struct token_grant *grant)
{
	CK_FLAGS last = user == CKU_SO ? CKF_SO_PIN_FINAL_TRY : CKF_USER_PIN_FINAL_TRY;
	CK_TOKEN_INFO token = {0};
	const union wire_value v[] = {{.number = worker->module.slot}, {.info = &token}};

	if (!worker->module.slot_found || invoke_uncounted(worker, CALL_GetTokenInfo, v) != CKR_OK)
		return CKR_OK;
	/* Another card may be in the reader by now: the try is to be counted for the one that gets it. */
	memcpy(worker->module.token_serial, token.serialNumber, sizeof worker->module.token_serial);
	return grant->last_tries || (token.flags & last) == 0 ? CKR_OK : CKR_PIN_LOCKED;
}

void token_try_failed(struct request *request, CK_USER_TYPE user, const struct token_grant *grant)
{
	CK_FLAGS last = user == CKU_SO ? CKF_SO_PIN_FINAL_TRY : CKF_USER_PIN_FINAL_TRY;
	CK_FLAGS locked = user == CKU_SO ? CKF_SO_PIN_LOCKED : CKF_USER_PIN_LOCKED;
	CK_TOKEN_INFO token = {0};
	const union wire_value v[] = {{.number = request->worker->module.slot}, {.info = &token}};
	CK_FLAGS flags = invoke_uncounted(request->worker, CALL_GetTokenInfo, v) == CKR_OK ? token.flags : 0;

	request->attempts_known = grant->tries > 0 || (flags & (last | locked)) != 0;
	request->attempts_left = grant->tries > 0 ? grant->tries - 1 : 1;
	/* The token's last try is for those who may use it (token_try_allowed). */
	if ((flags & last) != 0 && (!grant->last_tries || request->attempts_left > 1))
		request->attempts_left = grant->last_tries ? 1 : 0;
	if ((flags & locked) != 0)
		request->attempts_left = 0;
}

void token_release(struct worker *worker, int channel, CK_RV rv)
{
	struct worker_state state;
	struct buffer payload BUFFER_AUTO;

	state_read(worker, &state);
	struct token_release message = {
		.rv = rv,
		.state_serial = state.state_serial,
		.sessions = state.sessions,
		.login = state.login,
		.native = state.native,
		.cache_pin = login_rules(worker).cache_pin,
	};
	memcpy(message.serial, worker->module.token_serial, sizeof message.serial);
	buffer_init(&payload, FRAME_CHUNK);
	token_release_pack(&payload, &message);
	/* A gateway that is gone has released the token by that; the thread sees the end of file next. */
	if (!payload.failed)
		(void)!frame_send(channel, FRAME_TOKEN_RELEASE, payload.data, payload.len);
}
