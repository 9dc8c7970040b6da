#include <string.h>

#include "api/route.h"
#include "server/worker/operation.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/challenge.h"
#include "server/worker/resources/key_use.h"
#include "server/worker/resources/resource.h"

/* True for OPERATION_TAKEN; else the reply says what is the matter with the operation. */
static bool is_taken(struct request *request, enum operation_state state)
{
	switch (state) {
	case OPERATION_TAKEN: return true;
	case OPERATION_UNKNOWN:
		reply_problem(request, PROBLEM_OPERATION_NOT_FOUND, "Send the request itself again.", NULL);
		break;
	case OPERATION_BUSY: reply_problem(request, PROBLEM_OPERATION_BUSY, NULL, NULL); break;
	case OPERATION_EXPIRED:
		reply_problem(request, PROBLEM_OPERATION_EXPIRED, "Send the request itself again.", NULL);
		break;
	case OPERATION_FINISHED:
		reply_problem(request, PROBLEM_OPERATION_FINISHED, "Send the request itself again.", NULL);
		break;
	}
	return false;
}

static void serve_held(struct request *request, const struct worker_request *message, struct held_pin *held)
{
	const struct worker_request *own = request->message;
	request->message = message;
	if (message->route == ROUTE_challenge)
		challenge_serve(request, held);
	else
		key_use_serve(request, held);
	request->message = own;
}

void resource_operation_reauthenticate(struct request *request)
{
	BODY_AUTO json_t *body = NULL;
	struct worker_request message;
	struct held_pin held = {.rv = CKR_OK};
	if (!body_read(request, SCHEMA_ReauthenticateRequest, &body))
		return;
	if (!is_taken(request, operation_take(request, &message, &held.object)))
		return;
	held.pin = body_text(body, "pin");
	serve_held(request, &message, &held);
	if (use_waits_on(held.rv))
		operation_put_back(request);
	else
		operation_end(request);
}

void resource_operation_cancel(struct request *request)
{
	struct worker_request message;
	CK_OBJECT_HANDLE object;
	if (!is_taken(request, operation_take(request, &message, &object)))
		return;
	operation_end(request);
	answer_nothing(request);
}
