#include "tests/unit/worker/fixture.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/route.h"

void worker_fixture_exchange(
	struct worker_fixture *worker, unsigned pair, const struct worker_request *request, struct buffer *ret_payload)
{
	buffer_init(ret_payload, FRAME_PAYLOAD_MAX);
	worker_request_pack(ret_payload, request);
	cr_assert_eq(frame_send(worker->pairs[pair], FRAME_REQUEST, ret_payload->data, ret_payload->len), STATUS_OK);
	worker_fixture_await(worker, worker->pairs[pair], FRAME_RESPONSE, ret_payload);
}

static struct answer answer_of(const struct buffer *payload)
{
	struct arena arena ARENA_AUTO;
	struct worker_response response;
	struct answer answer = {0};

	arena_init(&arena, FRAME_PAYLOAD_MAX);
	cr_assert_eq(worker_response_unpack(payload->data, payload->len, &arena, &response), STATUS_OK);
	answer.status = response.status;
	answer.sessions = response.sessions;
	answer.login = response.login;
	answer.native = response.native;
	snprintf(answer.content_type, sizeof answer.content_type, "%s", response.content_type);
	buffer_init(&answer.raw, FRAME_PAYLOAD_MAX);
	buffer_append(&answer.raw, response.body.data, response.body.len);
	answer.body = json_loadb((const char *)response.body.data, response.body.len, 0, NULL);
	answer.events = json_array();
	for (size_t i = 0; i < response.audit.count; i++) {
		const struct bytes *event = &response.audit.items[i];
		json_t *parsed = json_loadb((const char *)event->data, event->len, 0, NULL);
		cr_assert(parsed, "an audit event is not JSON: %.*s", (int)event->len, event->data);
		json_array_append_new(answer.events, parsed);
	}
	return answer;
}

void client_send(const struct client *client, uint32_t route, const char *query, const char *body)
{
	struct buffer payload BUFFER_AUTO;
	struct worker_request request = {
		.route = route,
		.permissions = client->permissions ? client->permissions : (1u << PERMISSION_COUNT) - 1,
		.identity = "tester",
		.held = client->held,
		.deadline_ms = FIXTURE_ANSWER_MS,
		.trace = "00112233445566778899aabbccddeeff",
		.key = client->key ? client->key : "",
		.operation = "",
		.query = query,
		.accept = "",
		.content_type = "application/json",
		.body = {(const unsigned char *)body, strlen(body)},
	};

	memcpy(request.instance, client->instance, sizeof request.instance);
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	worker_request_pack(&payload, &request);
	cr_assert_eq(
		frame_send(client->worker->pairs[client->pair], FRAME_REQUEST, payload.data, payload.len), STATUS_OK);
}

struct answer client_await(const struct client *client)
{
	struct buffer payload BUFFER_AUTO;

	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	worker_fixture_await(client->worker, client->worker->pairs[client->pair], FRAME_RESPONSE, &payload);
	return answer_of(&payload);
}

struct answer client_request(const struct client *client, uint32_t route, const char *query, const char *body)
{
	client_send(client, route, query, body);
	return client_await(client);
}

struct answer client_post(const struct client *client, const char *body)
{
	return client_request(client, ROUTE_calls, "", body);
}

void answer_free(struct answer *answer)
{
	json_decref(answer->body);
	json_decref(answer->events);
	buffer_done(&answer->raw);
}

/* One group of these calls as a body; to be freed. */
static char *body_with(const struct client *client, const char *format, va_list arguments)
{
	char *calls = NULL, *body = NULL;

	cr_assert(vasprintf(&calls, format, arguments) >= 0);
	const char *login = client->login ? client->login : "{}";
	cr_assert(asprintf(&body,
			  "{\"login\":%s,\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[%s]}]}",
			  login, calls) >= 0);
	free(calls);
	return body;
}

/* Frees the answer. */
static json_t *last_result(struct answer *answer, const char *body)
{
	cr_assert_eq(answer->status, 200, "%s\n%.*s", body, (int)answer->raw.len, answer->raw.data);
	json_t *results = json_object_get(json_array_get(json_object_get(answer->body, "groups"), 0), "results");
	cr_assert(json_array_size(results) > 0);
	json_t *last = json_incref(json_array_get(results, json_array_size(results) - 1));
	answer_free(answer);
	return last;
}

static json_t *call_with(const struct client *client, const char *format, va_list arguments)
{
	char *body = body_with(client, format, arguments);
	struct answer answer = client_post(client, body);
	json_t *last = last_result(&answer, body);

	free(body);
	return last;
}

void send_call(const struct client *client, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	char *body = body_with(client, format, arguments);
	va_end(arguments);
	client_send(client, ROUTE_calls, "", body);
	free(body);
}

void expect_answered(const struct client *client, const char *rv)
{
	struct answer answer = client_await(client);
	json_t *last = last_result(&answer, "");

	cr_assert_str_eq(json_string_value(json_object_get(last, "rv")), rv);
	json_decref(last);
}

json_t *client_call(const struct client *client, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	json_t *last = call_with(client, format, arguments);
	va_end(arguments);
	return last;
}

void expect(const struct client *client, const char *rv, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	json_t *last = call_with(client, format, arguments);
	va_end(arguments);
	const char *got = json_string_value(json_object_get(last, "rv"));
	cr_assert_str_eq(got, rv, "%s to %s", got, format);
	json_decref(last);
}

json_int_t number(const struct client *client, const char *member, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	json_t *last = call_with(client, format, arguments);
	va_end(arguments);
	cr_assert_str_eq(json_string_value(json_object_get(last, "rv")), "CKR_OK", "%s", format);
	json_t *value = json_object_get(last, member);
	cr_assert(json_is_integer(value), "no %s in the answer to %s", member, format);
	json_int_t result = json_integer_value(value);
	json_decref(last);
	return result;
}

json_int_t open_session(const struct client *client)
{
	return number(client, "session", "{\"OpenSession\":{\"flags\":6}}");
}

json_int_t open_logged_in(const struct client *client)
{
	json_int_t session = open_session(client);

	expect(client, "CKR_OK", "{\"Login\":{\"session\":%lld,\"user_type\":\"CKU_USER\",\"pin\":\"MTIzNA\"}}",
		session);
	return session;
}

json_int_t make_key(const struct client *client, json_int_t session, const char *label, const char *more)
{
	return number(client, "private_key",
		"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"},"
		"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":"
		"false},"
		"{\"CKA_LABEL\":\"%s\"},{\"CKA_VERIFY\":true}],"
		"\"private_attributes\":[{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":true},{\"CKA_LABEL\":\"%s\"},{\"CKA_"
		"SIGN\":true}%s]}}",
		session, label, label, more);
}
