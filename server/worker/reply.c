#include "server/worker/worker.h"

#include <stdio.h>
#include <string.h>

static _Thread_local bool token_taken;

void reply_token_taken(bool taken)
{
	token_taken = taken;
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

void reply_return_at(struct request *request, CK_RV rv, const char *detail, const char *pointer)
{
	const struct problem_row row = rv == CKR_DEVICE_ERROR && token_taken ? *problem_row(PROBLEM_SLOT_BUSY)
									     : problem_of_return(rv);

	reply_row(request, &row, detail, pointer);
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
