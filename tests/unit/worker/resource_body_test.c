#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"

/* A request without a worker: the body is judged before anything is asked of one. */
struct bare {
	struct worker_request message;
	struct arena arena;
	struct request *request;
};

static void bare_init(struct bare *bare, const char *body)
{
	memset(bare, 0, sizeof *bare);
	bare->message = (struct worker_request){.body = {(const unsigned char *)body, strlen(body)},
		.content_type = "application/json",
		.query = "",
		.trace = ""};
	arena_init(&bare->arena, LIMIT_BODY_ARENA);
	bare->request = calloc(1, sizeof *bare->request);
	bare->request->message = &bare->message;
	bare->request->arena = &bare->arena;
	buffer_init(&bare->request->reply.body, LIMIT_BODY);
}

static void bare_done(struct bare *bare)
{
	buffer_done(&bare->request->reply.body);
	free(bare->request);
	arena_done(&bare->arena);
}

/* The refusal must be a 400 whose pointer is `pointer`, or that has none for NULL. */
static void expect_refusal(enum schema_id schema, const char *body, const char *pointer)
{
	struct bare bare;
	json_t *parsed = NULL;
	bare_init(&bare, body);
	cr_expect_not(body_read(bare.request, schema, &parsed), "accepted: %s", body);
	cr_expect_null(parsed);
	cr_expect_eq(bare.request->reply.status, 400, "%s", body);
	json_t *problem = json_loadb(
		(const char *)bare.request->reply.body.data, bare.request->reply.body.len, 0, NULL);
	const char *told = json_string_value(json_object_get(problem, "pointer"));
	if (pointer == NULL)
		cr_expect_null(told, "%s", body);
	else
		cr_expect_str_eq(told != NULL ? told : "(none)", pointer, "%s", body);
	json_decref(problem);
	bare_done(&bare);
}

static json_t *expect_accepted(struct bare *bare, enum schema_id schema, const char *body)
{
	json_t *parsed = NULL;
	bare_init(bare, body);
	cr_assert(body_read(bare->request, schema, &parsed), "refused %s: %.*s", body,
		(int)bare->request->reply.body.len, bare->request->reply.body.data);
	return parsed;
}

Test(resource_body, takes_what_the_schema_says)
{
	struct bare bare;
	struct bytes data;
	json_t *body = expect_accepted(&bare, SCHEMA_SignRequest,
		"{\"algorithm\":\"ES256\",\"data\":\"_-8\",\"format\":\"der\",\"pin\":\"1234\"}");
	cr_expect_str_eq(body_text(body, "algorithm"), "ES256");
	cr_expect_null(body_text(body, "mechanism"));
	cr_expect(body_has(body, "data"));
	cr_expect_not(body_has(body, "digest"));
	cr_assert(body_bytes(bare.request, body, "data", &data));
	cr_assert_eq(data.len, 2);
	cr_expect_eq(memcmp(data.data, "\xff\xef", 2), 0);
	cr_assert(body_bytes(bare.request, body, "digest", &data));
	cr_expect_null(data.data);
	body_done(&body);
	bare_done(&bare);
}

Test(resource_body, takes_empty_data_but_no_empty_text)
{
	struct bare bare;
	json_t *body = expect_accepted(&bare, SCHEMA_SignRequest, "{\"algorithm\":\"ES256\",\"data\":\"\"}");
	body_done(&body);
	bare_done(&bare);
	expect_refusal(SCHEMA_SignRequest, "{\"algorithm\":\"\",\"data\":\"\"}", "/algorithm");
	expect_refusal(SCHEMA_LoginRequest, "{\"pin\":\"\"}", "/pin");
}

struct refusal {
	enum schema_id schema;
	char body[160];
	char pointer[64];
};

ParameterizedTestParameters(resource_body, names_the_member_at_fault)
{
	static struct refusal refusals[] = {
		{SCHEMA_LoginRequest, "{\"pin\":\"1\",\"PIN\":\"1\"}", "/PIN"},
		{SCHEMA_LoginRequest, "{\"pin\":\"1\",\"a/b~c\":1}", "/a~1b~0c"},
		{SCHEMA_LoginRequest, "{}", "/pin"},
		{SCHEMA_LoginRequest, "{\"pin\":1234}", "/pin"},
		{SCHEMA_LoginRequest, "{\"pin\":null}", "/pin"},
		{SCHEMA_LoginRequest, "{\"pin\":\"1\",\"user\":\"root\"}", "/user"},
		{SCHEMA_GenerateRequest, "{\"type\":\"EC\",\"label\":\"a\",\"bits\":-1}", "/bits"},
		{SCHEMA_GenerateRequest, "{\"type\":\"EC\",\"label\":\"a\",\"bits\":1.5}", "/bits"},
		{SCHEMA_GenerateRequest, "{\"type\":\"EC\",\"label\":\"a\",\"bits\":\"256\"}", "/bits"},
		{SCHEMA_GenerateRequest, "{\"type\":\"DSA\",\"label\":\"a\"}", "/type"},
		{SCHEMA_GenerateRequest, "{\"type\":\"EC\",\"label\":\"a\",\"extractable\":\"yes\"}", "/extractable"},
		{SCHEMA_GenerateRequest, "{\"type\":\"EC\",\"label\":\"a\",\"usage\":[\"sign\",1]}", "/usage/1"},
		{SCHEMA_SignRequest, "{\"algorithm\":\"ES256\",\"data\":\"a\"}", "/data"},
		{SCHEMA_SignRequest, "{\"algorithm\":\"ES256\",\"data\":\"aab\"}", "/data"},
		{SCHEMA_SignRequest, "{\"algorithm\":\"ES256\",\"items\":{}}", "/items"},
		{SCHEMA_SignRequest, "{\"algorithm\":\"ES256\",\"items\":[{\"data\":\"\"},{\"data\":7}]}",
			"/items/1/data"},
		{SCHEMA_SignRequest, "{\"algorithm\":\"ES256\",\"items\":[{\"data\":\"\"},7]}", "/items/1"},
		{SCHEMA_SignRequest, "{\"algorithm\":\"ES256\",\"items\":[{\"x\":\"\"}]}", "/items/0/x"},
		{SCHEMA_ChallengeRequest, "{\"challenge\":\"AA\",\"key\":\"unlock\"}", "/key"},
		{SCHEMA_ChallengeRequest, "{\"challenge\":\"AA\",\"key\":{\"name\":\"unlock\"}}", "/key/name"},
		{SCHEMA_ChallengeRequest, "{\"challenge\":\"AA\",\"key\":{\"label\":\"\"}}", "/key/label"},
	};
	return cr_make_param_array(struct refusal, refusals, sizeof refusals / sizeof refusals[0]);
}

ParameterizedTest(struct refusal *refusal, resource_body, names_the_member_at_fault)
{
	expect_refusal(refusal->schema, refusal->body, refusal->pointer);
}

struct text {
	char text[96];
};

ParameterizedTestParameters(resource_body, refuses_what_is_not_strict_json)
{
	static struct text texts[] = {
		{""},
		{"null"},
		{"[]"},
		{"\"pin\""},
		{"{\"pin\":\"1\"} x"},
		{"{\"pin\":\"1\",\"pin\":\"2\"}"},
		{"{\"pin\":\"\\u0000\"}"},
		{"{\"pin\":\"\\ud800\"}"},
		{"{\"pin\":\"\xff\"}"},
		{"{'pin':'1'}"},
		{"{\"pin\":\"1\",}"},
		{"\xef\xbb\xbf{\"pin\":\"1\"}"},
		{"{\"pin\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"},
	};
	return cr_make_param_array(struct text, texts, sizeof texts / sizeof texts[0]);
}

ParameterizedTest(struct text *text, resource_body, refuses_what_is_not_strict_json)
{
	struct bare bare;
	json_t *parsed = NULL;
	bare_init(&bare, text->text);
	cr_expect_not(body_read(bare.request, SCHEMA_LoginRequest, &parsed), "accepted: %s", text->text);
	cr_expect_eq(bare.request->reply.status, 400);
	bare_done(&bare);
}

Test(resource_body, refuses_overlong_text_pins_and_lists)
{
	static char body[BODY_LIST_MAX * 12 + 8192];
	char *at = body;
	at += snprintf(body, sizeof body, "{\"algorithm\":\"");
	memset(at, 'x', BODY_TEXT_MAX + 1);
	memcpy(at + BODY_TEXT_MAX + 1, "\"}", 3);
	expect_refusal(SCHEMA_SignRequest, body, "/algorithm");
	at = body + snprintf(body, sizeof body, "{\"pin\":\"");
	memset(at, '1', LIMIT_PIN + 1);
	memcpy(at + LIMIT_PIN + 1, "\"}", 3);
	expect_refusal(SCHEMA_LoginRequest, body, "/pin");
	at = body + snprintf(body, sizeof body, "{\"algorithm\":\"ES256\",\"items\":[{\"data\":\"\"}");
	for (int i = 0; i < BODY_LIST_MAX; i++)
		at += snprintf(at, 16, ",{\"data\":\"\"}");
	memcpy(at, "]}", 3);
	expect_refusal(SCHEMA_SignRequest, body, "/items");
}

Test(resource_body, refusals_quote_no_value)
{
	struct bare bare;
	json_t *parsed = NULL;
	bare_init(&bare, "{\"pin\":\"canary-4711\",\"user\":\"canary-4711\"}");
	cr_expect_not(body_read(bare.request, SCHEMA_LoginRequest, &parsed));
	cr_expect_null(memmem(bare.request->reply.body.data, bare.request->reply.body.len, "canary", 6));
	bare_done(&bare);
}

Test(resource_body, refuses_other_media_types)
{
	static const char *const types[] = {"text/plain", "application/x-www-form-urlencoded", "application/jsonp"};
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		struct bare bare;
		json_t *parsed = NULL;
		bare_init(&bare, "{\"pin\":\"1\"}");
		bare.message.content_type = types[i];
		cr_expect_not(body_read(bare.request, SCHEMA_LoginRequest, &parsed), "%s", types[i]);
		cr_expect_eq(bare.request->reply.status, 415);
		bare_done(&bare);
	}
}

Test(resource_body, takes_json_with_a_charset)
{
	struct bare bare;
	json_t *parsed = NULL;
	bare_init(&bare, "{\"pin\":\"1\"}");
	bare.message.content_type = "Application/JSON; charset=utf-8";
	cr_assert(body_read(bare.request, SCHEMA_LoginRequest, &parsed));
	body_done(&parsed);
	bare_done(&bare);
}

Test(resource_answer, is_withheld_when_its_event_cannot_be_kept)
{
	const struct event event = {.kind = AUDIT_KEY_USE, .function = "C_Sign"};
	struct bare bare;
	struct json_writer w;
	bare_init(&bare, "");
	answer_begin(bare.request, 200, "application/json", &w);
	json_write_string(&w, "the signature");
	cr_expect(answer_event(bare.request, &event));
	cr_expect_eq(bare.request->reply.status, 200);
	bare.request->reply.events_count = REPLY_EVENTS_MAX;
	cr_expect_not(answer_event(bare.request, &event));
	cr_expect_eq(bare.request->reply.status, 503);
	cr_expect_null(memmem(bare.request->reply.body.data, bare.request->reply.body.len, "the signature", 13));
	cr_expect_not_null(memmem(bare.request->reply.body.data, bare.request->reply.body.len, "result-withheld", 15));
	bare_done(&bare);
}

Test(resource_answer, beyond_the_limit_of_a_body_is_a_problem)
{
	struct bare bare;
	struct json_writer w;
	static char text[LIMIT_BODY + 1];
	memset(text, 'x', sizeof text);
	bare_init(&bare, "");
	answer_begin(bare.request, 200, "application/json", &w);
	json_write_text(&w, text, sizeof text);
	answer_end(bare.request);
	cr_expect_eq(bare.request->reply.status, 503);
	cr_expect_not(bare.request->reply.body.failed);
	bare_done(&bare);
}

Test(resource_answer, a_problem_within_an_answer_leaves_the_answer_as_it_is)
{
	struct bare bare;
	struct json_writer w;
	bare_init(&bare, "");
	answer_begin(bare.request, 200, "application/json", &w);
	json_begin_array(&w);
	json_write_bool(&w, true);
	answer_problem_value(bare.request, &w, CKR_DATA_LEN_RANGE, "too long");
	json_write_bool(&w, false);
	json_end_array(&w);
	answer_end(bare.request);
	cr_expect_eq(bare.request->reply.status, 200);
	cr_expect_str_eq(bare.request->reply.content_type, "application/json");
	cr_expect_eq(bare.request->reply.headers_count, 0);
	json_t *json = json_loadb((const char *)bare.request->reply.body.data, bare.request->reply.body.len, 0, NULL);
	cr_assert_eq(json_array_size(json), 3);
	cr_expect_eq(json_integer_value(json_object_get(json_array_get(json, 1), "status")), 422);
	json_decref(json);
	bare_done(&bare);
}
