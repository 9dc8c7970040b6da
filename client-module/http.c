#include "client-module/http.h"

#include <stdio.h>

size_t http_request_head(
	char *out, const char *method, const char *target, const char *fixed, const char *application, size_t body_len)
{
	bool named = application != NULL;
	int len = snprintf(out, HTTP_HEAD_MAX, "%s %s HTTP/1.1\r\n%s%s%s%sContent-Length: %zu\r\n\r\n", method, target,
		fixed, named ? "X-Application-Id: " : "", named ? application : "", named ? "\r\n" : "", body_len);
	return len > 0 && len < HTTP_HEAD_MAX ? (size_t)len : 0;
}

/* 1 tells http_parser that no body follows; 2 that none follows and nothing else either. */
static int http_headers_complete(struct http_parser *parser)
{
	struct http_answer *answer = parser->data;
	answer->status = parser->status_code;
	bool interim = parser->status_code < 200;
	if (parser->status_code == 101 ||
		(!interim && parser->content_length != UINT64_MAX && parser->content_length > HTTP_ANSWER_BODY_MAX)) {
		return -1;
	}
	return interim ? 1 : 0;
}

static int http_body(struct http_parser *parser, const char *data, size_t len)
{
	struct http_answer *answer = parser->data;
	buffer_append(answer->body, data, len);
	return answer->body->failed ? -1 : 0;
}

static int http_message_complete(struct http_parser *parser)
{
	struct http_answer *answer = parser->data;
	if (parser->status_code < 200) {
		return 0;
	}
	answer->complete = true;
	answer->reusable = http_should_keep_alive(parser) != 0;
	/* Stops the parser here: what follows does not belong to this answer. */
	http_parser_pause(parser, 1);
	return 0;
}

static const struct http_parser_settings SETTINGS = {
	.on_headers_complete = http_headers_complete,
	.on_body = http_body,
	.on_message_complete = http_message_complete,
};

void http_answer_init(struct http_answer *answer, struct buffer *body)
{
	*answer = (struct http_answer){.body = body};
	buffer_reset(body);
	http_parser_init(&answer->parser, HTTP_RESPONSE);
	answer->parser.data = answer;
}

bool http_answer_read(struct http_answer *answer, const void *data, size_t len)
{
	if (answer->complete) {
		return false;
	}
	size_t body_before = answer->body->len;
	size_t used = http_parser_execute(&answer->parser, &SETTINGS, data, len);
	answer->head_len += used - (answer->body->len - body_before);
	if (answer->complete) {
		return used == len;
	}
	return HTTP_PARSER_ERRNO(&answer->parser) == HPE_OK && used == len && answer->head_len <= HTTP_ANSWER_HEAD_MAX;
}

bool http_answer_end(struct http_answer *answer)
{
	if (!answer->complete) {
		(void)http_parser_execute(&answer->parser, &SETTINGS, NULL, 0);
		answer->reusable = false;
	}
	return answer->complete;
}
