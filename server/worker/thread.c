#include "server/worker/internal.h"

#include <stdlib.h>
#include <string.h>

#include "server/common/memory.h"

/*
 * A worker's thread: one pair, one request at a time.
 */

enum { REQUEST_ARENA = LIMIT_BODY_ARENA + FRAME_PAYLOAD_MAX };

/* What a thread keeps from request to request. */
struct serving {
	struct request request;
	struct worker_request message;
	struct arena arena;
	struct buffer payload; /* the request's frame, then the answer's */
};

/* False: the process is stopping and takes no more. */
static bool running_enter(struct running *running)
{
	pthread_mutex_lock(&running->lock);
	bool open = !running->stopping;
	running->requests += open;
	pthread_mutex_unlock(&running->lock);
	return open;
}

static void running_leave(struct running *running)
{
	pthread_mutex_lock(&running->lock);
	if (--running->requests == 0)
		pthread_cond_broadcast(&running->idle);
	pthread_mutex_unlock(&running->lock);
}

void state_read(struct worker *worker, struct worker_state *ret_state)
{
	pthread_mutex_lock(&worker->state_lock);
	*ret_state = (struct worker_state){
		.state_serial = ++worker->state_serial,
		.sessions = sessions_count(worker),
		.login = (uint32_t)login_state(worker),
		.native = (uint32_t)login_native_state(worker),
		.policy_generation = policy_generation(worker),
	};
	pthread_mutex_unlock(&worker->state_lock);
}

static void response_fill(struct worker *worker, const struct reply *reply, struct worker_response *ret_response)
{
	struct worker_state state;

	state_read(worker, &state);
	*ret_response = (struct worker_response){
		.status = reply->status,
		.content_type = reply->content_type && reply->body.len > 0 ? reply->content_type : "",
		.headers = {reply->headers, reply->headers_count},
		.audit = {reply->events, reply->events_count},
		.calls = {reply->calls, reply->calls_count},
		.sessions = state.sessions,
		.login = state.login,
		.native = state.native,
		.state_serial = state.state_serial,
		.operation_opened = reply->operation_opened ? reply->operation_opened : "",
		.operation_closed = reply->operation_closed ? reply->operation_closed : "",
		.body = {reply->body.data, reply->body.len},
	};
}

/* An answer that could not be built is replaced, not cut. */
static void reply_check(struct request *request)
{
	if (request->reply.body.failed)
		reply_problem(request, PROBLEM_ANSWER_TOO_LARGE, NULL, NULL);
}

static enum status respond(struct worker *worker, int channel, const struct reply *reply, struct buffer *payload)
{
	struct worker_response response;

	response_fill(worker, reply, &response);
	buffer_reset(payload);
	worker_response_pack(payload, &response);
	if (payload->failed)
		return STATUS_TOO_LARGE;
	return frame_send(channel, FRAME_RESPONSE, payload->data, payload->len);
}

/* The question whether a PIN is good, in a worker that was started for it (B20). */
static enum status serve_question(struct serving *serving)
{
	struct request *request = &serving->request;
	struct pin_verify question;

	if (pin_verify_unpack(serving->payload.data, serving->payload.len, &serving->arena, &question) != STATUS_OK)
		return STATUS_MALFORMED;
	pin_verify_serve(request, &question);
	request->message = &serving->message;
	return STATUS_OK;
}

/* One request from its frame to its answer; everything of it is wiped. */
static enum status serve_request(struct serving *serving)
{
	struct request *request = &serving->request;
	struct buffer *payload = &serving->payload;

	if (worker_request_unpack(payload->data, payload->len, &serving->arena, &serving->message) != STATUS_OK)
		return STATUS_MALFORMED;
	atomic_store(&request->worker->login.held, serving->message.held != 0);
	dispatch(request);
	reply_check(request);
	return respond(request->worker, request->channel, &request->reply, payload);
}

static void serving_reset(struct serving *serving)
{
	struct reply *reply = &serving->request.reply;

	arena_reset(&serving->arena);
	buffer_reset(&serving->payload);
	buffer_reset(&reply->body);
	reply->status = 0;
	reply->content_type = NULL;
	reply->headers_count = reply->events_count = reply->calls_count = 0;
	reply->operation_opened = reply->operation_closed = NULL;
	serving->request.wishes = (struct login_wishes){0};
	serving->request.signed_ = serving->request.private_used = false;
}

static struct serving *serving_new(struct worker *worker, int channel)
{
	struct serving *serving = calloc(1, sizeof *serving);

	if (!serving)
		return NULL;
	buffer_init(&serving->payload, FRAME_PAYLOAD_MAX);
	arena_init(&serving->arena, REQUEST_ARENA);
	buffer_init(&serving->request.reply.body, FRAME_PAYLOAD_MAX / 2);
	serving->request.worker = worker;
	serving->request.message = &serving->message;
	serving->request.arena = &serving->arena;
	serving->request.channel = channel;
	return serving;
}

void thread_serve(struct worker *worker, int channel)
{
	memory_hide_stack();
	struct serving *serving = serving_new(worker, channel);
	enum frame_type type;
	bool good = serving != NULL;

	while (good && frame_receive(channel, -1, &type, &serving->payload) == STATUS_OK &&
		(type == FRAME_REQUEST || type == FRAME_PIN_VERIFY) && running_enter(&worker->running)) {
		enum status status = type == FRAME_REQUEST ? serve_request(serving) : serve_question(serving);
		good = status == STATUS_OK;
		serving_reset(serving);
		running_leave(&worker->running);
	}
	worker_stop(worker);
}

struct thread_start {
	struct worker *worker;
	int channel;
};

static void *thread_main(void *argument)
{
	struct thread_start start = *(struct thread_start *)argument;

	free(argument);
	thread_serve(start.worker, start.channel);
	return NULL;
}

bool threads_start(struct worker *worker)
{
	pthread_attr_t attributes;
	pthread_t thread;
	bool good = pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, WORKER_STACK) == 0 &&
		    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0;

	for (unsigned i = 0; good && i < worker->start.threads; i++) {
		struct thread_start *start = malloc(sizeof *start);
		good = start != NULL;
		if (!good)
			break;
		*start = (struct thread_start){worker, WORKER_PAIR_FD + (int)i};
		good = pthread_create(&thread, &attributes, thread_main, start) == 0;
		if (!good)
			free(start);
	}
	pthread_attr_destroy(&attributes);
	return good;
}
