#include "tests/integration/matrix.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "api/base64url.h"
#include "api/hex.h"

void matrix_reply_free(struct matrix_reply *reply)
{
	free(reply->text);
}

void random_id(char ret_id[ID_SIZE])
{
	unsigned char bytes[ID_LEN];

	cr_assert_eq(getentropy(bytes, sizeof(bytes)), 0);
	hex_encode(ret_id, bytes, sizeof(bytes));
	ret_id[ID_SIZE - 1] = '\0';
}

unsigned long random_handle(void)
{
	unsigned handle = 0;

	cr_assert_eq(getentropy(&handle, sizeof(handle)), 0);
	return handle;
}

void matrix_names_of_nobody(struct matrix_names *ret_names)
{
	char id[ID_SIZE];

	random_id(ret_names->application);
	random_id(ret_names->instance);
	random_id(ret_names->operation);
	random_id(ret_names->rest_session);
	random_id(ret_names->key_id);
	random_id(id);
	(void)snprintf(ret_names->label, sizeof(ret_names->label), "secret-%s", id);
	ret_names->session = random_handle();
	ret_names->key = random_handle();
}

/* Overwrites every occurrence. */
static void blot(char *text, const char *what)
{
	for (char *at = text; (at = strstr(at, what)) != NULL;)
		memset(at, '-', strlen(what));
}

/* Overwrites the text behind every occurrence of `start`, up to `end`. */
static void blot_behind(char *text, const char *start, char end)
{
	for (char *at = text; (at = strcasestr(at, start)) != NULL;) {
		at += strlen(start);
		for (; *at != '\0' && *at != end; at++)
			*at = '-';
	}
}

static void reply_normalise(struct matrix_reply *reply, const struct matrix_names *names)
{
	if (names == NULL)
		return;
	blot(reply->text, names->application);
	blot(reply->text, names->instance);
	blot(reply->text, names->operation);
	blot(reply->text, names->rest_session);
	blot(reply->text, names->label);
	blot(reply->text, names->key_id);
	blot_behind(reply->text, "\r\nDate: ", '\r');
	/* Of what was made, and its identifier. */
	blot_behind(reply->text, "\r\nLocation: ", '\r');
	blot_behind(reply->text, "\n{\"id\":\"", '"');
	blot_behind(reply->text, "\"trace_id\":\"", '"');
	blot_behind(reply->text, "\"expires_at\":\"", '"');
	/* Its keyed hash. */
	blot_behind(reply->text, "\"application\":\"", '"');
}

static const char *type_of(const char *method, const char *body)
{
	if (body == NULL)
		return "";
	return strcmp(method, "PATCH") == 0 ? "Content-Type: application/merge-patch+json\r\n"
					    : "Content-Type: application/json\r\n";
}

struct matrix_reply matrix_ask(struct matrix_application *from, const struct matrix_names *as,
	const struct matrix_names *names, const char *method, const char *path, const char *body)
{
	static char text[TEXT_MAX];
	struct matrix_reply reply;
	int len = snprintf(text, sizeof(text),
		"%s %s HTTP/1.1\r\nHost: gateway\r\nX-Application-Id: %s\r\nX-Client-Instance: %s\r\nIf-Match: *\r\n%s"
		"Content-Length: %zu\r\n\r\n%s",
		method, path, as->application, as->instance, type_of(method, body), body != NULL ? strlen(body) : 0,
		body != NULL ? body : "");

	cr_assert(len > 0 && (size_t)len < sizeof(text));
	for (int at = 0, part; at < len; at += part) {
		part = len - at < 16384 ? len - at : 16384;
		cr_assert(tls_client_send(&from->client, text + at, (size_t)part));
	}
	reply.text = malloc(TEXT_MAX);
	cr_assert_gt(
		tls_client_answer(&from->client, reply.text, TEXT_MAX, 30000), 0, "%s %s: no answer", method, path);
	reply.status = strtol(reply.text + strlen("HTTP/1.1 "), NULL, 10);
	reply_normalise(&reply, names);
	return reply;
}

static const char *body_of(const struct matrix_reply *reply)
{
	return strstr(reply->text, "\r\n\r\n") + 4;
}

/* One call in a group of its own; the answer's JSON. */
static json_t *call(const struct gateway *g, struct matrix_application *from, const char *text)
{
	char path[200], body[1024], id[ID_SIZE];

	random_id(id);
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/calls", g->slot);
	(void)snprintf(body, sizeof(body), "{\"groups\":[{\"op\":\"%s\",\"calls\":[%s]}]}", id, text);
	REPLY_AUTO reply = matrix_ask(from, &from->own, &from->own, "POST", path, body);
	json_t *answer = json_loads(body_of(&reply), 0, NULL);
	json_t *result = json_array_get(
		json_object_get(json_array_get(json_object_get(answer, "groups"), 0), "results"), 0);
	cr_assert_str_eq(json_string_value(json_object_get(result, "rv")), "CKR_OK", "%s: %s", text, reply.text);
	json_incref(result);
	json_decref(answer);
	return result;
}

unsigned long matrix_call_number(
	const struct gateway *g, struct matrix_application *from, const char *text, const char *name)
{
	json_t *result = call(g, from, text);
	unsigned long number = (unsigned long)json_integer_value(json_object_get(result, name));

	json_decref(result);
	cr_assert_neq(number, 0, "%s", text);
	return number;
}

/* In its session, with a label and an ID. */
static void make_key(const struct gateway *g, struct matrix_application *a)
{
	unsigned char bytes[ID_LEN];
	char body[500], id[2 * ID_LEN];

	cr_assert(hex_decode(bytes, sizeof(bytes), a->own.key_id, ID_SIZE - 1));
	base64url_encode(id, bytes, sizeof(bytes));
	(void)snprintf(body, sizeof(body),
		"{\"GenerateKeyPair\":{\"session\":%lu,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"},"
		"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},{\"CKA_TOKEN\":false}],"
		"\"private_attributes\":[{\"CKA_TOKEN\":false},{\"CKA_SIGN\":true},{\"CKA_LABEL\":\"%s\"},"
		"{\"CKA_ID\":\"%.*s\"}]}}",
		a->own.session, a->own.label, (int)base64url_encoded_len(ID_LEN), id);
	a->own.key = matrix_call_number(g, a, body, "private_key");
}

void matrix_application_start(const struct gateway *g, struct matrix_application *a, size_t index)
{
	char path[200], body[400];
	const struct tls_client_files files = {.ca = g->ca,
		.certificate = index % 2 == 0 ? g->certificate : g->certificate2,
		.key = index % 2 == 0 ? g->key : g->key2};

	a->who = index % 2 == 0 ? ALICE : BOB;
	matrix_names_of_nobody(&a->own);
	cr_assert(tls_client_open(&a->client, (uint16_t)strtoul(strrchr(g->url, ':') + 1, NULL, 10), &files));
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/applications/%s/login", g->slot, a->own.application);
	(void)snprintf(body, sizeof(body), "{\"pin\":\"%s\"}", g->pin);
	REPLY_AUTO login = matrix_ask(a, &a->own, &a->own, "POST", path, body);
	cr_assert_eq(login.status, 200, "%s", login.text);
	a->own.session = matrix_call_number(g, a, "{\"OpenSession\":{\"flags\":6}}", "session");
	make_key(g, a);
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/keys/careful/sign", g->slot);
	REPLY_AUTO asked = matrix_ask(a, &a->own, NULL, "POST", path, "{\"algorithm\":\"ES256\",\"data\":\"AAAA\"}");
	json_t *problem = json_loads(body_of(&asked), 0, NULL);
	const char *id = json_string_value(json_object_get(json_object_get(problem, "operation"), "id"));
	cr_assert(asked.status == 401 && id != NULL && strlen(id) == ID_SIZE - 1, "%s", asked.text);
	memcpy(a->own.operation, id, ID_SIZE);
	json_decref(problem);
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/sessions", g->slot);
	REPLY_AUTO opened = matrix_ask(a, &a->own, NULL, "POST", path, NULL);
	json_t *session = json_loads(body_of(&opened), 0, NULL);
	id = json_string_value(json_object_get(session, "id"));
	cr_assert(opened.status == 201 && id != NULL && strlen(id) == ID_SIZE - 1, "%s", opened.text);
	memcpy(a->own.rest_session, id, ID_SIZE);
	json_decref(session);
}

/* All that it had it still has. */
static void matrix_application_end(const struct gateway *g, struct matrix_application *a)
{
	char text[300];

	(void)snprintf(text, sizeof(text), "{\"GetSessionInfo\":{\"session\":%lu}}", a->own.session);
	json_t *info = call(g, a, text);
	cr_expect_str_eq(
		json_string_value(json_object_get(json_object_get(info, "info"), "state")), "CKS_RW_USER_FUNCTIONS");
	json_decref(info);
	(void)snprintf(text, sizeof(text),
		"{\"GetAttributeValue\":{\"session\":%lu,\"object\":%lu,\"attributes\":[{\"CKA_LABEL\":64}]}}",
		a->own.session, a->own.key);
	json_decref(call(g, a, text));
	(void)snprintf(text, sizeof(text), "/v1/slots/%s/sessions/%s", g->slot, a->own.rest_session);
	REPLY_AUTO closed = matrix_ask(a, &a->own, &a->own, "DELETE", text, NULL);
	cr_expect_eq(closed.status, 204, "%s", closed.text);
	(void)snprintf(text, sizeof(text), "/v1/operations/%s", a->own.operation);
	REPLY_AUTO cancelled = matrix_ask(a, &a->own, &a->own, "DELETE", text, NULL);
	cr_expect_eq(cancelled.status, 204, "%s", cancelled.text);
	tls_client_close(&a->client);
}

void matrix_start(struct gateway *g, struct matrix_application *applications)
{
	/* The operations of all are there to the end, however long that takes. */
	setenv("LIMITS", "operation_ttl_s: 3600", 1);
	gateway_start(g);
	unsetenv("LIMITS");
	rest_login(g, ALICE, NULL);
	rest_key(g, "{\"type\":\"EC\",\"label\":\"careful\",\"always_authenticate\":true}");
	for (size_t i = 0; i < APPLICATIONS; i++)
		matrix_application_start(g, &applications[i], i);
}

void matrix_end(struct gateway *g, struct matrix_application *applications)
{
	for (size_t i = 0; i < APPLICATIONS; i++)
		matrix_application_end(g, &applications[i]);
	gateway_stop(g);
}
