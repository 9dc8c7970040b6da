/*
 * Answers: problems, header fields, and the way to libmicrohttpd.
 */
#include "server/http/internal.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "api/json.h"

void answer_header(struct request *request, const char *name, const char *value)
{
	struct answer *answer = &request->answer;
	if (answer->headers_count == ANSWER_HEADERS_MAX)
		return;
	answer->headers[answer->headers_count].name = name;
	answer->headers[answer->headers_count++].value = value;
}

static void answer_row(struct request *request, const struct problem_row *row, const char *detail)
{
	struct answer *answer = &request->answer;
	struct buffer text BUFFER_AUTO;
	struct json_writer w;
	buffer_init(&text, PROBLEM_MAX);
	json_writer_init(&w, &text);
	problem_write(&w, row, detail, NULL, request->trace);
	void *body = text.failed ? NULL : arena_copy(request->arena, text.data, text.len);
	*answer = (struct answer){.status = row->status, .close = answer->close};
	if (body != NULL) {
		answer->content_type = "application/problem+json";
		answer->body = (struct bytes){body, text.len};
	}
	if (row->retryable && (row->status == 429 || row->status == 503))
		answer_header(request, "Retry-After", RETRY_AFTER_TEXT);
}

void answer_problem(struct request *request, enum problem problem, const char *detail)
{
	answer_row(request, problem_row(problem), detail);
}

void answer_return(struct request *request, CK_RV rv)
{
	const struct problem_row row = problem_of_return(rv);
	answer_row(request, &row, NULL);
}

enum problem problem_of_status(unsigned status)
{
	for (enum problem i = 0; i < PROBLEM_COUNT; i++)
		if (problem_row(i)->status == status)
			return i;
	return PROBLEM_MALFORMED_REQUEST;
}

static bool headers_add(struct MHD_Response *response, const struct answer *answer)
{
	bool ok = MHD_add_response_header(response, "Cache-Control", "no-store") == MHD_YES &&
		  MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") == MHD_YES;
	if (answer->content_type != NULL)
		ok = ok && MHD_add_response_header(response, "Content-Type", answer->content_type) == MHD_YES;
	for (unsigned i = 0; i < answer->headers_count; i++)
		ok = ok &&
		     MHD_add_response_header(response, answer->headers[i].name, answer->headers[i].value) == MHD_YES;
	if (answer->close)
		ok = ok && MHD_add_response_header(response, "Connection", "close") == MHD_YES;
	return ok;
}

static void count(const struct request *request)
{
	unsigned route = request->match.row != NULL ? request->match.row->id : ROUTE_COUNT;
	unsigned class = request->answer.status / 100;
	atomic_fetch_add_explicit(
		&request->connection->listener->counters.answers[route][class < STATUS_CLASSES ? class : 0], 1,
		memory_order_relaxed);
}

enum MHD_Result respond(struct request *request)
{
	struct connection *connection = request->connection;
	const struct answer *answer = &request->answer;
	struct MHD_Response *response = MHD_create_response_from_buffer(
		answer->body.len, (void *)(uintptr_t)answer->body.data, MHD_RESPMEM_PERSISTENT);
	if (response == NULL)
		return MHD_NO;
	enum MHD_Result result = MHD_NO;
	if (headers_add(response, answer)) {
		count(request);
		connection_phase(connection, PHASE_WRITING);
		/* The closing of TLS would overtake what is held back. */
		connection->corked = !answer->close && answer->body.len <= CORK_MAX;
		if (connection->corked)
			gnutls_record_cork(connection->session);
		result = MHD_queue_response(connection->mhd, answer->status, response);
	}
	MHD_destroy_response(response);
	return result;
}

/* Sends what was held back; false when it cannot be sent. */
static bool uncork(struct connection *connection)
{
	for (;;) {
		int result = gnutls_record_uncork(connection->session, 0);
		if (result >= 0)
			return true;
		struct pollfd wait = {.fd = connection->fd, .events = POLLOUT};
		if (gnutls_error_is_fatal(result) || poll(&wait, 1, limits_left_ms(connection)) <= 0)
			return false;
	}
}

void respond_done(struct connection *connection, bool complete)
{
	if (connection->corked && complete) {
		static const int one = 1;
		if (uncork(connection))
			(void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		else
			shutdown(connection->fd, SHUT_RDWR);
	}
	connection->corked = false;
	/* Thousands of connections wait at a time: an idle one keeps nothing. */
	arena_done(&connection->arena);
	buffer_done(&connection->payload);
	input_next(connection);
	connection_idle(connection);
}
