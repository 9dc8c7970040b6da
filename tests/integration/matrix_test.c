/*
 * The isolation matrix: twenty applications of two identities, and each tries what belongs to another one at every endpoint of
 * routes.def and with every call of calls.def. Nothing succeeds, and the answer is the one to a name that nobody has (X9).
 */
#include "tests/integration/fixture.h"
#include "tests/support/lib/tls_client.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "api/base64url.h"
#include "api/buffer.h"
#include "api/call.h"
#include "api/hex.h"
#include "api/limits.h"
#include "api/route.h"

TestSuite(matrix, .timeout = 220);

enum { APPLICATIONS = 20, ID_LEN = 16, ID_SIZE = 2 * ID_LEN + 1, TEXT_MAX = 256 << 10, HANDLES_NEAR = 1000 };

/* What an application has that another one could name; or the same of nobody. */
struct names {
	char application[ID_SIZE], instance[ID_SIZE], operation[ID_SIZE], rest_session[ID_SIZE];
	char label[ID_SIZE + 8]; /* of a key that lives in its session */
	unsigned long session, key;
};

struct application {
	enum person who;
	struct names own;
	struct tls_client client;
};

/* --- requests --- */

struct reply {
	long status;
	char *text; /* head and body, without what differs from answer to answer */
};

static void reply_free(struct reply *reply)
{
	free(reply->text);
}
#define REPLY_AUTO __attribute__((cleanup(reply_free))) struct reply

static void random_id(char ret_id[ID_SIZE])
{
	unsigned char bytes[ID_LEN];

	cr_assert_eq(getentropy(bytes, sizeof(bytes)), 0);
	hex_encode(ret_id, bytes, sizeof(bytes));
	ret_id[ID_SIZE - 1] = '\0';
}

static unsigned long random_handle(void)
{
	unsigned handle = 0;

	cr_assert_eq(getentropy(&handle, sizeof(handle)), 0);
	return handle;
}

static void names_of_nobody(struct names *ret_names)
{
	char id[ID_SIZE];

	random_id(ret_names->application);
	random_id(ret_names->instance);
	random_id(ret_names->operation);
	random_id(ret_names->rest_session);
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

static void reply_normalise(struct reply *reply, const struct names *names)
{
	if (names == NULL)
		return;
	blot(reply->text, names->application);
	blot(reply->text, names->instance);
	blot(reply->text, names->operation);
	blot(reply->text, names->rest_session);
	blot(reply->text, names->label);
	blot_behind(reply->text, "\r\nDate: ", '\r');
	/* Of what was made, and its identifier. */
	blot_behind(reply->text, "\r\nLocation: ", '\r');
	blot_behind(reply->text, "\n{\"id\":\"", '"');
	blot_behind(reply->text, "\"trace_id\":\"", '"');
	blot_behind(reply->text, "\"expires_at\":\"", '"');
	/* Its keyed hash. */
	blot_behind(reply->text, "\"application\":\"", '"');
}

/* One request over the application's connection, with the application ID and instance of `as`; `names` are blotted out of the answer unless NULL. */
static struct reply ask(struct application *from, const struct names *as, const struct names *names, const char *method,
	const char *path, const char *body)
{
	static char text[TEXT_MAX];
	struct reply reply;
	int len = snprintf(text, sizeof(text),
		"%s %s HTTP/1.1\r\nHost: gateway\r\nX-Application-Id: %s\r\nX-Client-Instance: %s\r\n%s"
		"Content-Length: %zu\r\n\r\n%s",
		method, path, as->application, as->instance, body != NULL ? "Content-Type: application/json\r\n" : "",
		body != NULL ? strlen(body) : 0, body != NULL ? body : "");

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

static const char *body_of(const struct reply *reply)
{
	return strstr(reply->text, "\r\n\r\n") + 4;
}

/* One call in a group of its own; the answer's JSON. */
static json_t *call(const struct gateway *g, struct application *from, const char *text)
{
	char path[200], body[1024], id[ID_SIZE];

	random_id(id);
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/calls", g->slot);
	(void)snprintf(body, sizeof(body), "{\"groups\":[{\"op\":\"%s\",\"calls\":[%s]}]}", id, text);
	REPLY_AUTO reply = ask(from, &from->own, &from->own, "POST", path, body);
	json_t *answer = json_loads(body_of(&reply), 0, NULL);
	json_t *result = json_array_get(
		json_object_get(json_array_get(json_object_get(answer, "groups"), 0), "results"), 0);
	cr_assert_str_eq(json_string_value(json_object_get(result, "rv")), "CKR_OK", "%s: %s", text, reply.text);
	json_incref(result);
	json_decref(answer);
	return result;
}

static unsigned long call_number(const struct gateway *g, struct application *from, const char *text, const char *name)
{
	json_t *result = call(g, from, text);
	unsigned long number = (unsigned long)json_integer_value(json_object_get(result, name));

	json_decref(result);
	cr_assert_neq(number, 0, "%s", text);
	return number;
}

/* --- the applications --- */

/* Logged in, with a session, a key in it, and an operation that waits for its PIN. */
static void application_start(const struct gateway *g, struct application *a, size_t index)
{
	char path[200], body[400];
	const struct tls_client_files files = {.ca = g->ca,
		.certificate = index % 2 == 0 ? g->certificate : g->certificate2,
		.key = index % 2 == 0 ? g->key : g->key2};

	a->who = index % 2 == 0 ? ALICE : BOB;
	names_of_nobody(&a->own);
	cr_assert(tls_client_open(&a->client, (uint16_t)strtoul(strrchr(g->url, ':') + 1, NULL, 10), &files));
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/applications/%s/login", g->slot, a->own.application);
	(void)snprintf(body, sizeof(body), "{\"pin\":\"%s\"}", g->pin);
	REPLY_AUTO login = ask(a, &a->own, &a->own, "POST", path, body);
	cr_assert_eq(login.status, 200, "%s", login.text);
	a->own.session = call_number(g, a, "{\"OpenSession\":{\"flags\":6}}", "session");
	(void)snprintf(body, sizeof(body),
		"{\"GenerateKeyPair\":{\"session\":%lu,\"mechanism\":{\"mechanism\":\"CKM_EC_KEY_PAIR_GEN\"},"
		"\"public_attributes\":[{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},{\"CKA_TOKEN\":false}],"
		"\"private_attributes\":[{\"CKA_TOKEN\":false},{\"CKA_SIGN\":true},{\"CKA_LABEL\":\"%s\"}]}}",
		a->own.session, a->own.label);
	a->own.key = call_number(g, a, body, "private_key");
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/keys/careful/sign", g->slot);
	REPLY_AUTO asked = ask(a, &a->own, NULL, "POST", path, "{\"algorithm\":\"ES256\",\"data\":\"AAAA\"}");
	json_t *problem = json_loads(body_of(&asked), 0, NULL);
	const char *id = json_string_value(json_object_get(json_object_get(problem, "operation"), "id"));
	cr_assert(asked.status == 401 && id != NULL && strlen(id) == ID_SIZE - 1, "%s", asked.text);
	memcpy(a->own.operation, id, ID_SIZE);
	json_decref(problem);
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/sessions", g->slot);
	REPLY_AUTO opened = ask(a, &a->own, NULL, "POST", path, NULL);
	json_t *session = json_loads(body_of(&opened), 0, NULL);
	id = json_string_value(json_object_get(session, "id"));
	cr_assert(opened.status == 201 && id != NULL && strlen(id) == ID_SIZE - 1, "%s", opened.text);
	memcpy(a->own.rest_session, id, ID_SIZE);
	json_decref(session);
}

/* All that it had it still has. */
static void application_end(const struct gateway *g, struct application *a)
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
	REPLY_AUTO closed = ask(a, &a->own, &a->own, "DELETE", text, NULL);
	cr_expect_eq(closed.status, 204, "%s", closed.text);
	(void)snprintf(text, sizeof(text), "/v1/operations/%s", a->own.operation);
	REPLY_AUTO cancelled = ask(a, &a->own, &a->own, "DELETE", text, NULL);
	cr_expect_eq(cancelled.status, 204, "%s", cancelled.text);
	tls_client_close(&a->client);
}

static void applications_start(struct gateway *g, struct application *applications)
{
	gateway_start(g);
	rest_login(g, ALICE, NULL);
	rest_key(g, "{\"type\":\"EC\",\"label\":\"careful\",\"always_authenticate\":true}");
	for (size_t i = 0; i < APPLICATIONS; i++)
		application_start(g, &applications[i], i);
}

static void applications_end(struct gateway *g, struct application *applications)
{
	for (size_t i = 0; i < APPLICATIONS; i++)
		application_end(g, &applications[i]);
	gateway_stop(g);
}

/* --- endpoints --- */

static bool takes(const struct route_row *row, const char *parameter)
{
	return strstr(row->path, parameter) != NULL;
}

static bool selects_key(const struct route_row *row)
{
	const struct schema_row *schema = schema_row(row->request);

	return schema != NULL && schema_member(schema, "key", 3) != NULL;
}

/* Whether the path or the body names a thing of one application; an application ID names the asking identity's own. */
static bool names_something(const struct route_row *row)
{
	return takes(row, "{key}") || takes(row, "{operation}") || takes(row, "{session}") || selects_key(row);
}

/* The path's parameters, one after another. A new one has to get its value here. */
static void write_path(
	const struct gateway *g, const struct route_row *row, const struct names *names, char *out, size_t size)
{
	const char *const values[PARAMETER_COUNT] = {
		[PARAMETER_SLOT] = g->slot,
		[PARAMETER_APPLICATION] = names->application,
		[PARAMETER_KEY] = names->label,
		[PARAMETER_SESSION] = names->rest_session,
		[PARAMETER_OPERATION] = names->operation,
		[PARAMETER_TYPE] = "slot-not-found",
	};
	static const char *const parameters[PARAMETER_COUNT] = {
#define PARAMETER(constant, name, description) [PARAMETER_##constant] = "{" name "}",
		ROUTE_PARAMETERS(PARAMETER)
#undef PARAMETER
	};
	const char *at = row->path;
	size_t used = 0;

	while (*at != '\0') {
		size_t known = 0;
		while (*at == '{' && known < PARAMETER_COUNT &&
			strncmp(at, parameters[known], strlen(parameters[known])) != 0)
			known++;
		if (*at != '{') {
			out[used++] = *at++;
			continue;
		}
		cr_assert(known < PARAMETER_COUNT && values[known] != NULL, "%s", row->path);
		used += (size_t)snprintf(out + used, size - used, "%s", values[known]);
		at += strlen(parameters[known]);
	}
	out[used] = '\0';
}

/* A member that a body of the schema needs, and what the resource behind it asks for beyond that. */
static bool write_member(
	struct buffer *out, const struct gateway *g, const struct schema_member *member, const struct names *names)
{
	char text[200];

	if (strcmp(member->name, "key") == 0)
		(void)snprintf(text, sizeof(text), "{\"label\":\"%s\"}", names->label);
	else if (strcmp(member->name, "label") == 0)
		(void)snprintf(text, sizeof(text), "\"%s\"", names->label);
	else if (strcmp(member->name, "algorithm") == 0)
		(void)snprintf(text, sizeof(text), "\"ES256\"");
	else if (strcmp(member->name, "data") == 0)
		(void)snprintf(text, sizeof(text), "\"AAAA\"");
	else if (!member->required)
		return false;
	else if (member->type == MEMBER_PIN)
		(void)snprintf(text, sizeof(text), "\"%s\"", g->pin);
	else if (member->type == MEMBER_ENUM)
		(void)snprintf(text, sizeof(text), "\"%.*s\"", (int)strcspn(member->detail, " "), member->detail);
	else if (member->type ==
		 MEMBER_UINT) /* above all ceilings: an administrator may end everybody's logins, but not here */
		(void)snprintf(text, sizeof(text), "100000");
	else
		(void)snprintf(text, sizeof(text), "\"AAAA\"");
	char head[100];
	(void)snprintf(head, sizeof(head), "%s\"%s\":", out->len > 1 ? "," : "", member->name);
	buffer_text(out, head);
	buffer_text(out, text);
	return true;
}

/* NULL: the route takes none. The caller frees it. */
static char *write_body(const struct gateway *g, const struct route_row *row, const struct names *names)
{
	const struct schema_row *schema = schema_row(row->request);
	struct buffer out;

	if (row->request == SCHEMA_CALLS)
		return strdup("{\"groups\":[]}");
	if (schema == NULL)
		return NULL;
	buffer_init(&out, 4096);
	buffer_byte(&out, '{');
	for (size_t i = 0; i < schema->member_count; i++)
		(void)write_member(&out, g, &schema->members[i], names);
	buffer_byte(&out, '}');
	buffer_byte(&out, '\0');
	char *body = strdup((const char *)out.data);
	buffer_done(&out);
	return body;
}

static struct reply ask_route(struct application *from, const struct gateway *g, const struct route_row *row,
	const struct names *as, const struct names *names)
{
	char path[400];
	char *body = write_body(g, row, names);

	write_path(g, row, names, path, sizeof(path));
	struct reply reply = ask(from, as, names, row->method, path, body);
	free(body);
	return reply;
}

/* `taken`: the asking identity gives the other's application ID and instance for its own as well. */
static void try_routes(struct application *from, const struct gateway *g, const struct names *foreign, bool taken)
{
	struct names unknown;

	names_of_nobody(&unknown);
	for (enum route_id i = 0; i < ROUTE_COUNT; i++) {
		const struct route_row *row = route_row(i);
		if (!taken && !names_something(row))
			continue;
		REPLY_AUTO other = ask_route(from, g, row, taken ? foreign : &from->own, foreign);
		REPLY_AUTO nobody = ask_route(from, g, row, taken ? &unknown : &from->own, &unknown);
		cr_expect(!names_something(row) || other.status >= 400, "%s: %s", row->name, other.text);
		cr_expect_neq(other.status / 100, 5, "%s: %s", row->name, other.text);
		/* A body that is refused as such would try nothing. */
		cr_expect(i == ROUTE_quiesce || other.status != 400, "%s: %s", row->name, other.text);
		/* Counters go on. */
		if (i != ROUTE_metrics)
			cr_expect_str_eq(other.text, nobody.text, "%s", row->name);
	}
}

/* --- calls --- */

/* One that the token has for that call, so that the key is what is wrong. */
static const char *mechanism_of(enum call_id id)
{
	switch (id) {
	case CALL_WrapKey:
	case CALL_UnwrapKey: return "{\"mechanism\":\"CKM_AES_KEY_WRAP\"}";
	case CALL_DeriveKey:
		return "{\"mechanism\":\"CKM_ECDH1_DERIVE\",\"parameter\":{\"kdf\":\"CKD_NULL\",\"pSharedData\":null,"
		       "\"pPublicData\":\"BA\"}}";
	case CALL_EncryptInit:
	case CALL_DecryptInit: return "{\"mechanism\":\"CKM_RSA_PKCS\"}";
	default: return "{\"mechanism\":\"CKM_ECDSA\"}";
	}
}

/* A benign value of a kind; false: no member. */
static bool write_value(struct buffer *out, const struct gateway *g, enum call_id id, enum wire_kind kind)
{
	char pin[100];

	switch (kind) {
	case WIRE_BOOL: buffer_text(out, "true"); return true;
	case WIRE_ULONG: buffer_text(out, "1"); return true;
	case WIRE_USER: buffer_text(out, "\"CKU_USER\""); return true;
	case WIRE_BYTES: buffer_text(out, "\"AAAA\""); return true;
	case WIRE_PIN:
		base64url_encode(pin, g->pin, strlen(g->pin));
		buffer_byte(out, '"');
		buffer_append(out, pin, base64url_encoded_len(strlen(g->pin)));
		buffer_byte(out, '"');
		return true;
	case WIRE_MECHANISM: buffer_text(out, mechanism_of(id)); return true;
	case WIRE_TEMPLATE: buffer_text(out, "[{\"CKA_LABEL\":\"x\"}]"); return true;
	case WIRE_QUERY: buffer_text(out, "[{\"CKA_LABEL\":64}]"); return true;
	case WIRE_BUFFER: buffer_text(out, "64"); return true;
	case WIRE_FILL: buffer_text(out, "16"); return true;
	case WIRE_FOUND: buffer_text(out, "10"); return true;
	default: return false;
	}
}

/* A group with the one call; `object` is the handle of argument `at`, the other objects are `own`. */
static void write_call(struct buffer *out, const struct gateway *g, const struct call_row *row, unsigned long session,
	size_t at, unsigned long object, unsigned long own)
{
	char text[120], id[ID_SIZE];
	bool first = true;

	random_id(id);
	(void)snprintf(text, sizeof(text), "%s{\"op\":\"%s\",\"calls\":[{\"%s\":{",
		out->data[out->len - 1] == '[' ? "" : ",", id, row->name);
	buffer_text(out, text);
	for (size_t i = 0; i < row->argument_count; i++) {
		size_t before = out->len;
		(void)snprintf(text, sizeof(text), "%s\"%s\":", first ? "" : ",", row->arguments[i].name);
		buffer_text(out, text);
		bool written = true;
		if (row->arguments[i].kind == WIRE_SESSION || row->arguments[i].kind == WIRE_OBJECT) {
			(void)snprintf(text, sizeof(text), "%lu",
				row->arguments[i].kind == WIRE_SESSION ? session
				: i == at                              ? object
								       : own);
			buffer_text(out, text);
		} else {
			written = write_value(out, g, row->id, row->arguments[i].kind);
		}
		if (!written)
			out->len = before;
		first = first && !written;
	}
	buffer_text(out, "}}]}");
}

static size_t session_argument(const struct call_row *row)
{
	size_t i = 0;

	while (i < row->argument_count && row->arguments[i].kind != WIRE_SESSION)
		i++;
	return i;
}

/* Every call that takes what is tried: the session; or, with a session of its own, each of its objects. Returns how many. */
static unsigned write_calls(struct buffer *out, const struct gateway *g, const struct names *own,
	const struct names *tried, bool objects, size_t part)
{
	unsigned count = 0;

	buffer_text(out, "{\"groups\":[");
	for (size_t id = 0; id < CALL_COUNT; id++) {
		const struct call_row *row = call_row((enum call_id)id);
		if (session_argument(row) == row->argument_count)
			continue;
		for (size_t i = 0; i < row->argument_count; i++) {
			if (row->arguments[i].kind != (objects ? WIRE_OBJECT : WIRE_SESSION))
				continue;
			if (count++ / LIMIT_GROUPS == part)
				write_call(
					out, g, row, objects ? own->session : tried->session, i, tried->key, own->key);
		}
	}
	buffer_text(out, "]}");
	buffer_byte(out, '\0');
	return count;
}

static struct reply ask_calls(struct application *from, const struct gateway *g, const struct names *as,
	const struct names *tried, bool objects, size_t part, unsigned *ret_count)
{
	char path[200];
	struct buffer out;

	buffer_init(&out, TEXT_MAX / 2);
	*ret_count = write_calls(&out, g, &from->own, tried, objects, part);
	cr_assert_not(out.failed);
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/calls", g->slot);
	struct reply reply = ask(from, as, tried, "POST", path, (const char *)out.data);
	buffer_done(&out);
	return reply;
}

static unsigned occurrences(const char *text, const char *what)
{
	unsigned count = 0;

	for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
		count++;
	return count;
}

static void try_calls(struct application *from, const struct gateway *g, const struct names *as,
	const struct names *foreign, bool objects)
{
	struct names unknown;
	unsigned count = 1;

	names_of_nobody(&unknown);
	for (size_t part = 0; part * LIMIT_GROUPS < count; part++) {
		REPLY_AUTO other = ask_calls(from, g, as, foreign, objects, part, &count);
		REPLY_AUTO nobody = ask_calls(from, g, as, &unknown, objects, part, &count);
		unsigned here = count - (unsigned)part * LIMIT_GROUPS < LIMIT_GROUPS
					? count - (unsigned)part * LIMIT_GROUPS
					: LIMIT_GROUPS;
		cr_expect_eq(other.status, 200, "%s", other.text);
		cr_expect_eq(occurrences(other.text, "\"rv\":"), here, "%s", other.text);
		cr_expect_eq(occurrences(other.text, "\"CKR_OK\""), 0, "%s", other.text);
		cr_expect_str_eq(other.text, nobody.text);
	}
	cr_assert_gt(count, objects ? 10 : 40);
}

/* --- the tests --- */

Test(matrix, X9_another_applications_things_are_as_unknown_at_every_endpoint)
{
	static struct application applications[APPLICATIONS];
	struct gateway g;

	applications_start(&g, applications);
	for (size_t i = 0; i < APPLICATIONS; i++) {
		/* The next but one has the same identity. */
		try_routes(&applications[i], &g, &applications[(i + 2) % APPLICATIONS].own, false);
		try_routes(&applications[i], &g, &applications[(i + 1) % APPLICATIONS].own, false);
		try_routes(&applications[i], &g, &applications[(i + 1) % APPLICATIONS].own, true);
	}
	applications_end(&g, applications);
}

Test(matrix, X9_another_applications_handles_are_as_unknown_in_every_call)
{
	static const size_t steps[] = {1, 2, 7, 10};
	static struct application applications[APPLICATIONS];
	struct gateway g;

	applications_start(&g, applications);
	for (size_t i = 0; i < APPLICATIONS; i++) {
		for (size_t k = 0; k < sizeof(steps) / sizeof(*steps); k++) {
			const struct names *foreign = &applications[(i + steps[k]) % APPLICATIONS].own;
			try_calls(&applications[i], &g, &applications[i].own, foreign, false);
			try_calls(&applications[i], &g, &applications[i].own, foreign, true);
		}
		/* The other identity's application and instance, taken for one's own. */
		const struct names *foreign = &applications[(i + 1) % APPLICATIONS].own;
		try_calls(&applications[i], &g, foreign, foreign, false);
		/* One's own application, as another instance of it. */
		struct names instance = applications[i].own;
		random_id(instance.instance);
		try_calls(&applications[i], &g, &instance, &applications[i].own, false);
	}
	applications_end(&g, applications);
}

/* Random, or close to one that exists: a handle nobody should be able to guess from his own. */
static unsigned long guess(const struct application *applications, bool object)
{
	unsigned long random = random_handle();
	const struct names *near = &applications[random % APPLICATIONS].own;

	if (random % 4 != 0)
		return random;
	return ((object ? near->key : near->session) + random / 4 % (2 * HANDLES_NEAR) - HANDLES_NEAR) & 0xffffffff;
}

Test(matrix, X9_no_handle_can_be_guessed)
{
	static struct application applications[APPLICATIONS];
	const char *wanted = getenv("P11GATE_HANDLES");
	long left = wanted != NULL ? strtol(wanted, NULL, 10) : 20000;
	struct application stranger;
	struct gateway g;
	char path[200], text[200], id[ID_SIZE];

	applications_start(&g, applications);
	application_start(&g, &stranger, 0);
	/* An application that has nothing: whatever it hits belongs to somebody else. */
	random_id(stranger.own.application);
	stranger.own.session = call_number(&g, &stranger, "{\"OpenSession\":{\"flags\":6}}", "session");
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/calls", g.slot);
	for (; left > 0; left -= LIMIT_GROUPS) {
		struct buffer out;
		buffer_init(&out, TEXT_MAX / 2);
		for (int i = 0; i < LIMIT_GROUPS; i++) {
			random_id(id);
			if (i % 2 == 0)
				(void)snprintf(text, sizeof(text), "{\"GetSessionInfo\":{\"session\":%lu}}",
					guess(applications, false));
			else
				(void)snprintf(text, sizeof(text),
					"{\"GetObjectSize\":{\"session\":%lu,\"object\":%lu}}", stranger.own.session,
					guess(applications, true));
			buffer_text(&out, i == 0 ? "{\"groups\":[{\"op\":\"" : ",{\"op\":\"");
			buffer_text(&out, id);
			buffer_text(&out, "\",\"calls\":[");
			buffer_text(&out, text);
			buffer_text(&out, "]}");
		}
		buffer_text(&out, "]}");
		buffer_byte(&out, '\0');
		REPLY_AUTO reply = ask(&stranger, &stranger.own, &stranger.own, "POST", path, (const char *)out.data);
		buffer_done(&out);
		cr_assert_eq(occurrences(reply.text, "{\"rv\":\"CKR_SESSION_HANDLE_INVALID\"}"), LIMIT_GROUPS / 2, "%s",
			reply.text);
		cr_assert_eq(occurrences(reply.text, "{\"rv\":\"CKR_OBJECT_HANDLE_INVALID\"}"), LIMIT_GROUPS / 2, "%s",
			reply.text);
	}
	tls_client_close(&stranger.client);
	applications_end(&g, applications);
}
