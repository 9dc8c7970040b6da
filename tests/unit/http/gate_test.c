#include <criterion/criterion.h>
#include <string.h>

#include "api/buffer.h"
#include "server/http/gate.h"

struct shape {
	const char *name;
	unsigned status;
	const char *bytes;
	size_t len;
};

static const struct shape shapes[] = {
#define SHAPE(name, status, bytes) {name, status, bytes, sizeof(bytes) - 1},
#include "tests/unit/http/shapes.def"
};

static enum gate_verdict judge(const char *text, struct gate_head *ret_head)
{
	return gate_head(text, strlen(text), ret_head);
}

Test(gate, refuses_more_than_a_hundred_ambiguous_shapes)
{
	size_t count = sizeof shapes / sizeof *shapes;
	cr_assert_geq(count, 100);
	for (size_t i = 0; i < count; i++) {
		struct gate_head head;
		enum gate_verdict verdict = gate_head(shapes[i].bytes, shapes[i].len, &head);
		cr_expect_eq(verdict, GATE_REFUSED, "%s: verdict %d", shapes[i].name, verdict);
		cr_expect_eq(head.status, shapes[i].status, "%s: %u", shapes[i].name, head.status);
		cr_expect_not_null(head.problem, "%s", shapes[i].name);
	}
}

Test(gate, judges_a_shape_the_same_however_it_is_cut_up)
{
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		struct gate_head head;
		enum gate_verdict verdict = GATE_MORE;
		for (size_t len = 1; len <= shapes[i].len && verdict == GATE_MORE; len++)
			verdict = gate_head(shapes[i].bytes, len, &head);
		cr_expect_eq(verdict, GATE_REFUSED, "%s", shapes[i].name);
		cr_expect_eq(head.status, shapes[i].status, "%s", shapes[i].name);
	}
}

Test(gate, takes_a_request_apart)
{
	struct gate_head head;
	static const char text[] =
		"POST /v1/slots/demo/keys/a%2Fb/sign?x=1 HTTP/1.1\r\nhost: gateway:8443\r\nCONTENT-LENGTH: 12\r\n"
		"Content-Type:  application/json \r\nUser-Agent: "
		"\xc3\xa4\r\nX-Application-Id:3-4\r\n\r\n{\"data\":\"\"}..";
	cr_assert_eq(judge(text, &head), GATE_PASSED);
	cr_expect_eq(head.len, sizeof text - 1 - 13);
	cr_expect_eq(head.content_length, 12);
	cr_expect_not(head.close);
	cr_expect(head.method.len == 4 && memcmp(head.method.data, "POST", 4) == 0);
	cr_expect(head.path.len == 30 && memcmp(head.path.data, "/v1/slots/demo/keys/a%2Fb/sign", 30) == 0);
	cr_expect(head.query.len == 3 && memcmp(head.query.data, "x=1", 3) == 0);
	struct gate_text type = head.fields[GATE_CONTENT_TYPE], id = head.fields[GATE_APPLICATION_ID];
	cr_expect(type.len == 16 && memcmp(type.data, "application/json", 16) == 0);
	cr_expect(id.len == 3 && memcmp(id.data, "3-4", 3) == 0);
	cr_expect_null(head.fields[GATE_TRACEPARENT].data);
}

Test(gate, waits_for_the_empty_line)
{
	static const char text[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
	struct gate_head head;
	for (size_t len = 0; len < sizeof text - 1; len++)
		cr_expect_eq(gate_head(text, len, &head), GATE_MORE, "%zu", len);
	cr_expect_eq(gate_head(text, sizeof text - 1, &head), GATE_PASSED);
}

Test(gate, refuses_a_head_that_is_too_long)
{
	char text[GATE_HEAD_MAX + 1];
	struct gate_head head;
	memset(text, 'a', sizeof text);
	memcpy(text, "GET /", 5);
	cr_expect_eq(gate_head(text, GATE_HEAD_MAX - 1, &head), GATE_MORE);
	cr_expect_eq(gate_head(text, GATE_HEAD_MAX, &head), GATE_REFUSED);
	cr_expect_eq(head.status, 431);
	cr_expect_eq(gate_head(text, sizeof text, &head), GATE_REFUSED);
}

static enum gate_verdict judge_fields(int count, struct gate_head *ret_head)
{
	struct buffer text BUFFER_AUTO;
	buffer_init(&text, GATE_HEAD_MAX);
	buffer_text(&text, "GET /healthz HTTP/1.1\r\nHost: a\r\n");
	for (int i = 1; i < count; i++)
		buffer_text(&text, "A: b\r\n");
	buffer_text(&text, "\r\n");
	return gate_head((const char *)text.data, text.len, ret_head);
}

Test(gate, refuses_too_many_fields)
{
	struct gate_head head;
	cr_expect_eq(judge_fields(GATE_FIELDS_MAX, &head), GATE_PASSED);
	cr_expect_eq(judge_fields(GATE_FIELDS_MAX + 1, &head), GATE_REFUSED);
	cr_expect_eq(head.status, 431);
}

Test(gate, sees_that_the_client_wants_to_close)
{
	struct gate_head head;
	cr_assert_eq(judge("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, Close\r\n\r\n", &head), GATE_PASSED);
	cr_expect(head.close);
	cr_assert_eq(judge("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", &head), GATE_PASSED);
	cr_expect_not(head.close);
}

Test(gate, never_reads_beyond_its_bytes)
{
	/* Each prefix in memory of exactly that size: a sanitizer or valgrind sees a byte too many. */
	static const char text[] =
		"GET /v1/slots/%41?a=%42 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n";
	for (size_t len = 0; len < sizeof text; len++) {
		char *copy = malloc(len + (len == 0));
		struct gate_head head;
		memcpy(copy, text, len);
		(void)!gate_head(copy, len, &head);
		free(copy);
	}
}
