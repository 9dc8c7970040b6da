/*
 * Frames between the gateway and a worker, on SOCK_SEQPACKET socket pairs.
 *
 * A frame is a type and a payload of at most FRAME_PAYLOAD_MAX bytes; a payload beyond one datagram travels in
 * chunks. On one pair there is one request at a time: the gateway's thread sends REQUEST and then reads until
 * RESPONSE, answering the worker's questions (TOKEN_ACQUIRE, PIN_VERIFY, INTENT) in between and hearing why it waits (WAIT). The control pair carries
 * commands from the gateway and news of the worker; neither is answered.
 *
 * The worker is started with the control socket as descriptor 3 and its ends of the pairs as 4, 5, … (pair 0 is 4). It
 * exits when one of them reaches its end of file, after what runs has finished: that could be a token write.
 *
 * A pair is used by one thread at each end.
 */
#ifndef P11GATE_COMMON_FRAME_H
#define P11GATE_COMMON_FRAME_H

#include "api/buffer.h"
#include "server/common/status.h"

enum frame_type {
	FRAME_START = 1, /* gateway → worker, once, on pair 0: struct worker_start */
	FRAME_STARTED, /* worker → gateway: struct worker_started */
	FRAME_REQUEST, /* gateway → worker: struct worker_request */
	FRAME_RESPONSE, /* worker → gateway: struct worker_response */
	FRAME_TOKEN_ACQUIRE, /* worker → gateway while it works: struct token_acquire */
	FRAME_TOKEN_GRANT, /* gateway → worker: struct token_grant */
	FRAME_TOKEN_RELEASE, /* worker → gateway, no answer: struct token_release */
	FRAME_END_INSTANCE, /* control: struct end_instance; its sessions are closed */
	FRAME_POLICY, /* control: struct worker_policy of a new generation */
	FRAME_SHUTDOWN, /* control: finish what runs, C_Finalize, exit; empty payload */
	FRAME_STATE, /* worker → gateway on the control pair, no answer: struct worker_state */
	FRAME_PIN_VERIFY, /* worker → gateway while it works, and gateway → a worker of its own for that: struct pin_verify */
	FRAME_PIN_VERIFIED, /* the answer: struct pin_verified */
	FRAME_WAIT, /* worker → gateway while it works, no answer: struct request_wait */
	FRAME_LOGIN_VOIDED, /* control: struct login_voided; what the worker keeps of a login is void */
	FRAME_INTENT, /* worker → gateway while it works: struct intent */
	FRAME_INTENT_ANSWER, /* gateway → worker: struct intent_answer */
	FRAME_HOLD_ENDED, /* control: the application is not held open any more (C16); empty payload */
};

enum {
	FRAME_CHUNK = 64 << 10, /* payload bytes in one datagram */
	FRAME_PAYLOAD_MAX = 4 << 20, /* payload bytes of one frame */
};

/*
 * Sends one frame on `fd`. Blocks until the peer has taken it or SO_SNDTIMEO passed.
 * STATUS_CLOSED if the peer is gone (no SIGPIPE), STATUS_TIMEOUT, STATUS_IO, STATUS_TOO_LARGE.
 */
enum status frame_send(int fd, enum frame_type type, const void *payload, size_t len) MUST_USE;

/*
 * Reads one frame into `payload` (emptied first). `timeout_ms` bounds the wait for the whole frame; negative: no bound.
 * STATUS_CLOSED at end of file, STATUS_TIMEOUT, STATUS_MALFORMED, STATUS_NO_MEMORY, STATUS_IO.
 */
enum status frame_receive(int fd, int timeout_ms, enum frame_type *ret_type, struct buffer *payload) MUST_USE;

#endif
