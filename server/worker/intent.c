#include "server/worker/internal.h"

/*
 * What the gateway knows of the request's Idempotency-Key. It has a journal on a disk, and this process may end at any time.
 */

enum { INTENT_ANSWER_MS = 30000 }; /* a disk may be slow */

static bool ask(struct request *request, const struct intent *question, struct intent_answer *ret_answer)
{
	struct buffer payload BUFFER_AUTO;

	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	intent_pack(&payload, question);
	if (payload.failed ||
		!gateway_ask(request->channel, FRAME_INTENT, &payload, INTENT_ANSWER_MS, FRAME_INTENT_ANSWER))
		return false;
	/* What is unpacked points into the bytes. */
	void *copy = arena_copy(request->arena, payload.data, payload.len);
	return copy && intent_answer_unpack(copy, payload.len, request->arena, ret_answer) == STATUS_OK;
}

void intent_ask(struct request *request, const struct intent *question, struct intent_answer *ret_answer)
{
	struct intent_answer answer;

	*ret_answer = (struct intent_answer){.verdict = INTENT_FAILED};
	if (ask(request, question, &answer))
		*ret_answer = answer;
}
