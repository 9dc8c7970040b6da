#include <criterion/criterion.h>
#include <string.h>

#include "api/route.h"
#include "server/worker/internal.h"

static bool body_has(const struct request *request, const char *text)
{
	return memmem(request->reply.body.data, request->reply.body.len, text, strlen(text)) != NULL;
}

/* The answer of a request whose event found no place, and no hint to repeat it. */
static void expect_withheld(struct request *request)
{
	cr_expect_eq(request->reply.status, 503);
	cr_expect(body_has(request, "/docs/errors/result-withheld"));
	cr_expect(body_has(request, "CKR_GENERAL_ERROR"));
	cr_expect_eq(request->reply.headers_count, 0);
	buffer_done(&request->reply.body);
}

/* A call that may leave no event any more: no memory of the reply is left for one. */
Test(reply, a_call_whose_event_cannot_be_kept_is_answered_with_result_withheld_and_no_hint_to_repeat_it)
{
	static const char body[] = "{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":["
				   "{\"GetSessionInfo\":{\"session\":1}}]}]}";
	static struct worker worker;
	static struct request request;
	const struct worker_request message = {
		.route = ROUTE_calls,
		.trace = "00112233445566778899aabbccddeeff",
		.body = {(const unsigned char *)body, sizeof body - 1},
	};
	ARENA_AUTO struct arena arena;

	arena_init(&arena, 1 << 20);
	pthread_rwlock_init(&worker.module.lock, NULL);
	request = (struct request){.worker = &worker, .message = &message, .arena = &arena};
	buffer_init(&request.reply.body, 1 << 16);
	request.reply.events_count = REPLY_EVENTS_MAX;
	resource_calls(&request);
	expect_withheld(&request);
}

/*
 * A request to a worker in which `login` is the state and no event finds a place any more. Its login is kept, so that the
 * end of the request does not end it: there is no module.
 */
static void dispatch_without_events(enum route_id route, const char *body, enum login_state login)
{
	static struct worker worker;
	static struct request request;
	const struct worker_request message = {
		.route = route,
		.trace = "00112233445566778899aabbccddeeff",
		.content_type = "application/json",
		.key = "",
		.body = {(const unsigned char *)body, strlen(body)},
	};
	ARENA_AUTO struct arena arena;

	arena_init(&arena, 1 << 20);
	worker = (struct worker){.start.role = ROLE_APPLICATION};
	pthread_rwlock_init(&worker.module.lock, NULL);
	pthread_mutex_init(&worker.login.lock, NULL);
	pthread_mutex_init(&worker.sessions.lock, NULL);
	worker.login.state = login;
	worker.login.keep_idle_ms = 60000;
	worker.login.keep_until_ms = (uint64_t)clock_ms() + 60000;
	request = (struct request){.worker = &worker, .message = &message, .arena = &arena};
	buffer_init(&request.reply.body, 1 << 16);
	request.reply.events_count = REPLY_EVENTS_MAX;
	dispatch(&request);
	expect_withheld(&request);
}

Test(reply, a_login_whose_event_cannot_be_kept_is_answered_with_result_withheld)
{
	dispatch_without_events(ROUTE_login, "{\"pin\":\"1234\"}", LOGIN_USER);
}

Test(reply, a_logout_whose_event_cannot_be_kept_is_answered_with_result_withheld)
{
	dispatch_without_events(ROUTE_logout, "", LOGIN_NONE);
}
