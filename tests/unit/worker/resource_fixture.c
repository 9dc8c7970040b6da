#include "tests/unit/worker/resource_fixture.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/base64url.h"
#include "server/common/frame.h"

enum { TURNS = 32, TURN_SIZE = 65536 };

static const char *or_empty(const char *text)
{
	return text != NULL ? text : "";
}

static json_t *read_list(const struct bytes_list *list, bool parse)
{
	json_t *array = json_array();
	for (size_t i = 0; i < list->count; i++) {
		const char *text = (const char *)list->items[i].data;
		json_t *item = parse ? json_loadb(text, list->items[i].len, JSON_REJECT_DUPLICATES, NULL)
				     : json_stringn(text, list->items[i].len);
		cr_assert_not_null(item, "not JSON: %.*s", (int)list->items[i].len, text);
		json_array_append_new(array, item);
	}
	return array;
}

static char *join_headers(const struct bytes_list *headers)
{
	size_t size = 1, n = 0;
	for (size_t i = 0; i < headers->count; i++)
		size += headers->items[i].len + 1;
	char *text = calloc(1, size);
	for (size_t i = 0; i < headers->count; i++) {
		memcpy(text + n, headers->items[i].data, headers->items[i].len);
		n += headers->items[i].len;
		text[n++] = '\n';
	}
	return text;
}

static struct rest rest_of(const struct worker_response *response)
{
	struct rest rest = {
		.status = response->status,
		.login = response->login,
		.content_type = strdup(response->content_type),
		.headers = join_headers(&response->headers),
		.body = calloc(1, response->body.len + 1),
		.body_len = response->body.len,
		.json = json_loadb((const char *)response->body.data, response->body.len, JSON_REJECT_DUPLICATES, NULL),
		.events = read_list(&response->audit, true),
		.calls = read_list(&response->calls, false),
		.opened = strdup(response->operation_opened),
		.closed = strdup(response->operation_closed),
	};
	if (response->body.len > 0)
		memcpy(rest.body, response->body.data, response->body.len);
	return rest;
}

struct rest rest_ask(struct worker_fixture *worker, struct ask what)
{
	struct buffer payload BUFFER_AUTO;
	struct arena arena ARENA_AUTO;
	struct worker_response response;
	const char *body = or_empty(what.body);
	const struct worker_request request = {
		.route = what.route,
		.permissions = ~what.without,
		.identity = what.identity != NULL ? what.identity : "alice",
		.anonymous = what.anonymous,
		.deadline_ms = 60000,
		.idempotent = what.use != NULL,
		.trace = "00112233445566778899aabbccddeeff",
		.key = or_empty(what.key),
		.operation = or_empty(what.operation),
		.query = or_empty(what.query),
		.accept = or_empty(what.accept),
		.content_type = what.content_type != NULL ? what.content_type : "application/json",
		.if_match = or_empty(what.if_match),
		.body = {(const unsigned char *)body, what.body_len != 0 ? what.body_len : strlen(body)},
	};
	worker->use = what.use;
	worker_fixture_exchange(worker, what.pair, &request, &payload);
	worker->use = NULL;
	if (worker->killed_at_record) {
		buffer_done(&payload);
		return (struct rest){.status = 0};
	}
	arena_init(&arena, FRAME_PAYLOAD_MAX * 2);
	cr_assert_eq(worker_response_unpack(payload.data, payload.len, &arena, &response), STATUS_OK);
	return rest_of(&response);
}

void rest_free(struct rest *rest)
{
	free(rest->content_type);
	free(rest->headers);
	free(rest->body);
	json_decref(rest->json);
	json_decref(rest->events);
	json_decref(rest->calls);
	free(rest->opened);
	free(rest->closed);
}

struct rest rest_expecting(struct worker_fixture *worker, unsigned status, struct ask what)
{
	struct rest rest = rest_ask(worker, what);
	cr_assert_eq(rest.status, status, "%s answered %u instead of %u: %s", route_row(what.route)->name, rest.status,
		status, rest.body);
	return rest;
}

void rest_only(struct worker_fixture *worker, unsigned status, struct ask what)
{
	struct rest rest = rest_expecting(worker, status, what);
	rest_free(&rest);
}

void resource_setup(struct token_fixture *token, struct worker_fixture *worker, const struct worker_options *options)
{
	token_fixture_new(token);
	worker_fixture_start(token, options, worker);
	cr_assert_eq(worker->started_rv, 0, "%s", worker->started_detail);
}

void resource_setup_logged_in(
	struct token_fixture *token, struct worker_fixture *worker, const struct worker_options *options)
{
	resource_setup(token, worker, options);
	REST_ONLY(worker, 200, .route = ROUTE_login, .body = PIN_BODY);
}

void make_resource_key(struct worker_fixture *worker, const char *type, const char *label, const char *more)
{
	REST_ONLY(worker, 201, .route = ROUTE_key_generate,
		.body = text_of("{\"type\":\"%s\",\"label\":\"%s\"%s}", type, label, more));
}

void import_hmac_key(struct worker_fixture *worker, const char *label, const void *value, size_t len)
{
	const struct client client = {.worker = worker, .instance = {1}};
	json_int_t session = open_session(&client);
	expect(&client, "CKR_OK",
		"{\"CreateObject\":{\"session\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_SECRET_KEY\"},{\"CKA_KEY_"
		"TYPE\":\"CKK_GENERIC_SECRET\"},"
		"{\"CKA_TOKEN\":true},{\"CKA_PRIVATE\":true},{\"CKA_SIGN\":true},{\"CKA_LABEL\":\"%s\"},{\"CKA_ID\":\"%"
		"s\"},"
		"{\"CKA_VALUE\":\"%s\"}]}}",
		session, label, b64(label, strlen(label)), b64(value, len));
	expect(&client, "CKR_OK", "{\"CloseSession\":{\"session\":%lld}}", session);
}

json_t *json_at(const json_t *json, const char *path)
{
	char name[128];
	while (json != NULL && *path != '\0') {
		size_t len = strcspn(path, "/");
		snprintf(name, sizeof name, "%.*s", (int)len, path);
		json = json_is_array(json) ? json_array_get(json, strtoul(name, NULL, 10))
					   : json_object_get(json, name);
		path += len + (path[len] == '/');
	}
	return (json_t *)json;
}

const char *text_at(const json_t *json, const char *path)
{
	const char *text = json_string_value(json_at(json, path));
	return text ? text : "";
}

static char *turn(void)
{
	static char memory[TURNS][TURN_SIZE];
	static unsigned next;
	return memory[next++ % TURNS];
}

const char *b64(const void *data, size_t len)
{
	char *text = turn();
	cr_assert_lt(base64url_encoded_len(len), TURN_SIZE);
	base64url_encode(text, data, len);
	text[base64url_encoded_len(len)] = '\0';
	return text;
}

size_t bytes_at(const json_t *json, const char *path, unsigned char *out, size_t size)
{
	const char *text = text_at(json, path);
	size_t len;
	cr_assert_leq(base64url_decoded_max(strlen(text)), size);
	cr_assert(base64url_decode(out, &len, text, strlen(text)));
	return len;
}

const char *text_of(const char *format, ...)
{
	va_list arguments;
	char *out = turn();
	va_start(arguments, format);
	cr_assert_lt(vsnprintf(out, TURN_SIZE, format, arguments), TURN_SIZE);
	va_end(arguments);
	return out;
}

EVP_PKEY *public_key_of(struct worker_fixture *worker, const char *key)
{
	REST_AUTO struct rest rest = REST(
		worker, 200, .route = ROUTE_key_public, .key = key, .accept = "application/x-pem-file");
	BIO *pem = BIO_new_mem_buf(rest.body, (int)rest.body_len);
	EVP_PKEY *public_key = PEM_read_bio_PUBKEY(pem, NULL, NULL, NULL);
	BIO_free(pem);
	cr_assert_not_null(public_key);
	return public_key;
}

bool verifies(EVP_PKEY *key, const char *hash, bool pss, const void *data, size_t data_len,
	const unsigned char *signature, size_t len)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *context;
	cr_assert_eq(
		EVP_DigestVerifyInit(md, &context, hash != NULL ? EVP_get_digestbyname(hash) : NULL, NULL, key), 1);
	if (pss) {
		cr_assert_eq(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING), 1);
		cr_assert_eq(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST), 1);
	}
	bool good = EVP_DigestVerify(md, signature, len, data, data_len) == 1;
	EVP_MD_CTX_free(md);
	return good;
}

bool has_header(const struct rest *rest, const char *line)
{
	const char *at = strstr(rest->headers, line);
	return at != NULL && (at == rest->headers || at[-1] == '\n') && at[strlen(line)] == '\n';
}

size_t events_with(const struct rest *rest, const char *name, const char *value)
{
	size_t count = 0;
	for (size_t i = 0; i < json_array_size(rest->events); i++)
		count += strcmp(text_at(json_array_get(rest->events, i), name), value) == 0;
	return count;
}

size_t calls_of(const struct rest *rest, const char *function)
{
	size_t count = 0;
	for (size_t i = 0; i < json_array_size(rest->calls); i++)
		count += strcmp(json_string_value(json_array_get(rest->calls, i)), function) == 0;
	return count;
}
