#include "server/worker/worker.h"

#include <stdio.h>
#include <string.h>

static _Thread_local struct token_grant token_answer;

void reply_token_answer(const struct token_grant *grant)
{
	token_answer = grant ? *grant : (struct token_grant){0};
}

/* Where the header of that name is, or goes. */
static size_t header_place(const struct reply *reply, const char *name)
{
	size_t len = strlen(name), i = 0;

	while (i < reply->headers_count &&
		(strncmp((const char *)reply->headers[i].data, name, len) != 0 || reply->headers[i].data[len] != ':'))
		i++;
	return i;
}

void reply_header(struct request *request, const char *name, const char *value)
{
	struct reply *reply = &request->reply;
	size_t len = strlen(name) + 2 + strlen(value);
	char *line = arena_alloc(request->arena, len + 1);

	if (!line)
		return;
	snprintf(line, len + 1, "%s: %s", name, value);
	size_t place = header_place(reply, name);
	if (place == sizeof reply->headers / sizeof reply->headers[0])
		return;
	reply->headers[place] = (struct bytes){(const unsigned char *)line, len};
	if (place == reply->headers_count)
		reply->headers_count++;
}

static void reply_row(struct request *request, const struct problem_row *row, const char *detail, const char *pointer)
{
	struct reply *reply = &request->reply;
	struct json_writer w;

	buffer_reset(&reply->body);
	json_writer_init(&w, &reply->body);
	problem_write(&w, row, detail, pointer, request->message->trace);
	reply->status = row->status;
	reply->content_type = "application/problem+json";
	if (row->status == 401)
		reply_header(request, "WWW-Authenticate", "PKCS11-PIN");
	if (row->retryable && (row->status == 503 || row->status == 429))
		reply_header(request, "Retry-After", "1");
}

void reply_problem(struct request *request, enum problem problem, const char *detail, const char *pointer)
{
	reply_row(request, problem_row(problem), detail, pointer);
}

void reply_problem_open(struct request *request, struct json_writer *ret_writer)
{
	struct buffer *body = &request->reply.body;

	json_writer_init(ret_writer, body);
	if (body->len > 0 && body->data[body->len - 1] == '}')
		body->len--;
	ret_writer->comma = true;
}

static void attempts_write(struct request *request)
{
	struct json_writer w;

	reply_problem_open(request, &w);
	json_name(&w, "attempts_left");
	json_write_uint(&w, request->attempts_left);
	json_end_object(&w);
}

static void retry_write(struct request *request, unsigned seconds)
{
	char text[24];

	snprintf(text, sizeof text, "%u", seconds);
	reply_header(request, "Retry-After", text);
}

void reply_return_at(struct request *request, CK_RV rv, const char *detail, const char *pointer)
{
	const struct problem_row row = rv == CKR_DEVICE_ERROR && token_answer.busy ? *problem_row(PROBLEM_SLOT_BUSY)
										   : problem_of_return(rv);

	reply_row(request, &row, detail, pointer);
	if (rv == CKR_PIN_INCORRECT && request->attempts_known)
		attempts_write(request);
	if (rv == CKR_PIN_LOCKED && token_answer.rv == CKR_PIN_LOCKED && token_answer.retry_after_s > 0)
		retry_write(request, token_answer.retry_after_s);
}

void reply_return(struct request *request, CK_RV rv, const char *detail)
{
	reply_return_at(request, rv, detail, NULL);
}

void reply_withhold(struct request *request)
{
	/* Those of the answer that is withheld. */
	request->reply.headers_count = 0;
	reply_problem(request, PROBLEM_RESULT_WITHHELD, "The audit record needs more memory than there is.", NULL);
}
