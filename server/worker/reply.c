#include "server/worker/worker.h"

#include <stdio.h>
#include <string.h>

#include "api/names.h"

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

static void problem_type(struct json_writer *w, const char *type)
{
	char url[128];

	snprintf(url, sizeof url, "/docs/errors/%s", type);
	json_name(w, "type");
	json_write_string(w, url);
}

static void problem_return(struct json_writer *w, CK_RV rv)
{
	char scratch[24];

	json_name(w, "ckr");
	json_write_string(w, name_text(NAMES_RETURN, rv, scratch));
	json_name(w, "ckr_code");
	json_write_uint(w, rv);
}

void reply_problem(struct request *request, unsigned status, const char *type, const char *title, const char *detail,
	CK_RV rv, const char *pointer)
{
	struct reply *reply = &request->reply;
	struct json_writer w;

	buffer_reset(&reply->body);
	json_writer_init(&w, &reply->body);
	json_begin_object(&w);
	problem_type(&w, type);
	json_name(&w, "title");
	json_write_string(&w, title);
	json_name(&w, "status");
	json_write_uint(&w, status);
	if (detail) {
		json_name(&w, "detail");
		json_write_string(&w, detail);
	}
	if (pointer) {
		json_name(&w, "pointer");
		json_write_string(&w, pointer);
	}
	if (rv != CKR_OK)
		problem_return(&w, rv);
	json_name(&w, "retryable");
	json_write_bool(&w, rv != CKR_OK && return_row(rv)->retryable);
	json_name(&w, "trace_id");
	json_write_string(&w, request->message->trace);
	json_end_object(&w);
	reply->status = status;
	reply->content_type = "application/problem+json";
	if (status == 401)
		reply_header(request, "WWW-Authenticate", "PKCS11-PIN");
	if (status == 503 || status == 429)
		reply_header(request, "Retry-After", "1");
}

void reply_return(struct request *request, CK_RV rv, const char *detail)
{
	const struct return_row *row = return_row(rv);

	reply_problem(request, (unsigned)row->status, row->problem, row->title, detail, rv, NULL);
}
