/* HTTP as bytes: the head of a request, and answers that arrive in any portions. */
#include <criterion/criterion.h>
#include <string.h>

#include "client-module/http.h"

Test(http, a_request_has_its_target_headers_and_length)
{
	char head[HTTP_HEAD_MAX];
	size_t len = http_request_head(head, "POST", "/v1/calls", "Host: h\r\n", NULL, 7);
	cr_assert_gt(len, 0);
	cr_expect_str_eq(head, "POST /v1/calls HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n");
	cr_expect_eq(len, strlen(head));
}

Test(http, an_applications_request_names_it)
{
	char head[HTTP_HEAD_MAX];
	cr_assert_gt(http_request_head(head, "PUT", "/x", "Host: h\r\n", "0003", 0), 0);
	cr_expect_str_eq(head, "PUT /x HTTP/1.1\r\nHost: h\r\nX-Application-Id: 0003\r\nContent-Length: 0\r\n\r\n");
}

Test(http, a_head_that_does_not_fit_is_none)
{
	char head[HTTP_HEAD_MAX], target[HTTP_HEAD_MAX];
	memset(target, 'a', sizeof(target));
	target[sizeof(target) - 1] = '\0';
	cr_expect_eq(http_request_head(head, "POST", target, "", NULL, 0), 0);
}

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

Test(http, an_answer_may_arrive_in_any_portions)
{
	for (size_t portion = 1; portion < sizeof(ANSWER); portion++) {
		BUFFER_AUTO struct buffer body;
		buffer_init(&body, HTTP_ANSWER_BODY_MAX);
		struct http_answer answer;
		http_answer_init(&answer, &body);
		for (size_t at = 0; at < sizeof(ANSWER) - 1; at += portion) {
			size_t left = sizeof(ANSWER) - 1 - at;
			cr_assert(http_answer_read(&answer, ANSWER + at, left < portion ? left : portion));
		}
		cr_assert(answer.complete);
		cr_expect(answer.reusable);
		cr_expect_eq(answer.status, 200);
		cr_expect_eq(body.len, 5);
		cr_expect_arr_eq(body.data, "hello", 5);
	}
}

Test(http, what_follows_an_answer_is_refused)
{
	BUFFER_AUTO struct buffer body;
	buffer_init(&body, HTTP_ANSWER_BODY_MAX);
	struct http_answer answer;
	http_answer_init(&answer, &body);
	cr_expect(http_answer_read(&answer, ANSWER, sizeof(ANSWER) - 1));
	cr_expect_not(http_answer_read(&answer, "x", 1));
}

Test(http, a_connection_that_is_to_be_closed_is_not_reusable)
{
	static const char CLOSING[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
	BUFFER_AUTO struct buffer body;
	buffer_init(&body, HTTP_ANSWER_BODY_MAX);
	struct http_answer answer;
	http_answer_init(&answer, &body);
	cr_assert(http_answer_read(&answer, CLOSING, sizeof(CLOSING) - 1));
	cr_expect(answer.complete);
	cr_expect_not(answer.reusable);
}

Test(http, a_body_beyond_the_limit_is_refused)
{
	static const char BIG[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789";
	BUFFER_AUTO struct buffer body;
	buffer_init(&body, 8);
	struct http_answer answer;
	http_answer_init(&answer, &body);
	cr_expect_not(http_answer_read(&answer, BIG, sizeof(BIG) - 1));
	cr_expect_not(answer.complete);
}
