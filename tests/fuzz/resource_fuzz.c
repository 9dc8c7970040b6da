/*
 * What the resource routes read that a client has written, on hostile text. The first byte says which reader: request
 * bodies by their schema, PKCS#11 URIs, the Accept header, percent-encoding, DER signatures.
 */
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "server/worker/resources/accept.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/ecdsa.h"
#include "server/common/escape.h"
#include "server/common/pkcs11_uri.h"

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* A body is taken, or refused with a problem that is itself acceptable JSON. */
static void try_body(enum schema_id schema, const char *text, size_t len, struct arena *arena)
{
	static struct request request;
	const struct worker_request message = {
		.body = {(const unsigned char *)text, len},
		.content_type = "application/json",
		.query = "",
		.accept = "",
		.trace = "",
	};
	const char *error;
	size_t offset;
	json_t *body = NULL;
	request = (struct request){.message = &message, .arena = arena};
	buffer_init(&request.reply.body, LIMIT_BODY);
	if (body_read(&request, schema, &body))
		check(json_is_object(body));
	else
		check(body == NULL && request.reply.status >= 400 &&
			json_validate((const char *)request.reply.body.data, request.reply.body.len, &error, &offset));
	body_done(&body);
	buffer_done(&request.reply.body);
}

/* What is decoded is not longer than what it was decoded from. */
static void try_uri(const char *text, struct arena *arena)
{
	struct pkcs11_uri uri;
	const char *error = NULL;
	if (!pkcs11_uri_parse(arena, text, &uri, &error)) {
		check(error != NULL);
		return;
	}
	check(uri.object.data != NULL || uri.id.data != NULL);
	check(uri.object.len + uri.id.len + uri.token.len <= strlen(text));
}

static void try_escape(const char *text, size_t len, struct arena *arena)
{
	BUFFER_AUTO struct buffer encoded;
	struct bytes decoded;
	buffer_init(&encoded, LIMIT_BODY);
	percent_encode(&encoded, text, len);
	check(percent_decode(arena, (const char *)encoded.data, encoded.len, &decoded));
	check(decoded.len == len && memcmp(decoded.data, text, len) == 0);
	if (percent_decode(arena, text, len, &decoded))
		check(decoded.len <= len);
}

/* A signature that is read is written back as the same DER. */
static void try_der(const char *text, size_t len, struct arena *arena)
{
	struct bytes raw, der;
	if (!ecdsa_der_to_raw(arena, (struct bytes){(const unsigned char *)text, len}, 32, &raw))
		return;
	check(raw.len == 64 && ecdsa_raw_to_der(arena, raw, &der) && der.len <= len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const offers[] = {"application/jwk+json", "application/x-pem-file"};
	struct arena arena;
	if (size == 0 || size > LIMIT_BODY / 4)
		return 0;
	arena_init(&arena, LIMIT_BODY_ARENA);
	const char *text = arena_copy(&arena, data + 1, size - 1);
	unsigned choice = data[0] % (SCHEMA_COUNT + 4);
	if (choice == SCHEMA_COUNT)
		try_uri(text, &arena);
	else if (choice == SCHEMA_COUNT + 1)
		check(accept_choose(text, offers, 2) < 2);
	else if (choice == SCHEMA_COUNT + 2)
		try_escape(text, size - 1, &arena);
	else if (choice == SCHEMA_COUNT + 3)
		try_der(text, size - 1, &arena);
	else if (schema_row((enum schema_id)choice) != NULL)
		try_body((enum schema_id)choice, text, size - 1, &arena);
	arena_done(&arena);
	return 0;
}
