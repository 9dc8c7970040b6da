#include "server/worker/resources/answer.h"

#include "api/limits.h"
#include "server/worker/resources/accept.h"
#include "server/worker/resources/body.h"

void answer_begin(struct request *request, unsigned status, const char *content_type, struct json_writer *ret_writer)
{
	request->reply.status = status;
	request->reply.content_type = content_type;
	buffer_reset(&request->reply.body);
	json_writer_init(ret_writer, &request->reply.body);
}

void answer_end(struct request *request)
{
	if (!request->reply.body.failed)
		return;
	reply_return(request, CKR_HOST_MEMORY, "The answer is larger than an answer may be; ask for less at once.");
}

void answer_bytes(struct request *request, const char *content_type, const void *data, size_t len)
{
	struct json_writer unused;
	answer_begin(request, 200, content_type, &unused);
	buffer_append(&request->reply.body, data, len);
	answer_end(request);
}

bool answer_choose(struct request *request, bool possible, bool *ret_octets)
{
	static const char json[] = "application/json", octets[] = "application/octet-stream";
	bool prefer = possible && body_is_octets(request);
	const char *const offers[] = {prefer ? octets : json, prefer ? json : octets};
	int choice = accept_choose(request->message->accept, offers, possible ? 2 : 1);
	if (choice < 0) {
		reply_problem(request, PROBLEM_NOT_ACCEPTABLE,
			possible ? "The answer is application/json or application/octet-stream."
				 : "The answer is application/json.",
			NULL);
		return false;
	}
	*ret_octets = offers[choice] == octets;
	return true;
}

void answer_nothing(struct request *request)
{
	request->reply.status = 204;
	request->reply.content_type = NULL;
	buffer_reset(&request->reply.body);
}

void answer_problem_close(struct request *request, struct json_writer *writer)
{
	json_end_object(writer);
	answer_end(request);
}

void answer_problem_value(struct request *request, struct json_writer *writer, CK_RV rv, const char *detail)
{
	/*
	 * The reply helpers write the problem, so that it looks the same wherever it stands; the real reply is put back
	 * after.
	 */
	struct reply *reply = &request->reply;
	struct buffer body = reply->body;
	unsigned status = reply->status;
	const char *content_type = reply->content_type;
	size_t headers_count = reply->headers_count;
	buffer_init(&reply->body, LIMIT_BODY);
	reply_return(request, rv, detail);
	struct buffer problem = reply->body;
	reply->body = body;
	reply->status = status;
	reply->content_type = content_type;
	reply->headers_count = headers_count;
	json_write_raw(writer, (const char *)problem.data, problem.len);
	buffer_done(&problem);
}

bool answer_refuse(struct request *request, CK_RV rv, const char *pointer, const char *detail)
{
	reply_return_at(request, rv, detail, pointer);
	return false;
}

bool answer_event(struct request *request, const struct event *event)
{
	if (event_add(request, event))
		return true;
	reply_withhold(request);
	return false;
}
