#include "server/worker/resources/key_operation.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/codec.h"
#include "api/limits.h"
#include "api/names.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/key_cache.h"

enum {
	OUTPUT_SPARE = 1024
}; /* bytes beyond the input: RSA-8192, a tag, padding; a longer output costs a second call */

bool key_operation_hash(struct bytes input, unsigned char ret_sha256[SHA256_LEN])
{
	return EVP_Digest(input.data, input.len, ret_sha256, NULL, EVP_sha256(), NULL) == 1;
}

bool key_operation_possible(struct request *request, CK_MECHANISM_TYPE mechanism, CK_FLAGS flag)
{
	CK_MECHANISM_INFO info = {.flags = 0};
	const union wire_value v[] = {{.number = module_slot(request->worker)}, {.number = mechanism}, {.info = &info}};
	return invoke(request, CALL_GetMechanismInfo, v) == CKR_OK && (info.flags & flag) != 0;
}

/* The one call of an operation that gives bytes. */
static CK_RV run_once(struct use *use, const struct key_operation *operation, struct bytes *ret_output)
{
	struct request *request = use->request;
	CK_ULONG len = operation->input.len + OUTPUT_SPARE;
	for (int attempt = 0; attempt < 2; attempt++) {
		CK_ULONG room = len;
		unsigned char *out = arena_alloc(request->arena, room);
		if (out == NULL)
			return CKR_HOST_MEMORY;
		union wire_value v[] = {{.number = use->session},
			{.bytes = {(CK_BYTE *)operation->input.data, operation->input.len}}, {.buffer = {out, &len}}};
		CK_RV rv = invoke(request, operation->once, v);
		if (rv == CKR_OK && len > room)
			return CKR_DEVICE_ERROR;
		if (rv == CKR_OK)
			*ret_output = (struct bytes){out, len};
		if (rv != CKR_BUFFER_TOO_SMALL || len > LIMIT_OUTPUT)
			return rv;
	}
	return CKR_DEVICE_ERROR;
}

static CK_RV verify_once(struct use *use, const struct key_operation *operation)
{
	const union wire_value v[] = {{.number = use->session},
		{.bytes = {(CK_BYTE *)operation->input.data, operation->input.len}},
		{.bytes = {(CK_BYTE *)operation->signature.data, operation->signature.len}}};
	return invoke(use->request, CALL_Verify, v);
}

/* `ret_function` is the function that had the last word. */
static CK_RV run(struct use *use, const struct key_operation *operation, struct bytes *ret_output,
	enum call_id *ret_function, bool *ret_withheld)
{
	union wire_value init[] = {{.number = use->session}, {.mechanism = (CK_MECHANISM *)&operation->mechanism},
		{.number = operation->key->object}};
	unsigned login = login_epoch(use->request->worker);
	CK_RV rv = CKR_OK;
	if (use->context && operation->key->by_policy) {
		*ret_function = CALL_Login;
		rv = use_verify(use, login, &init[2].number, ret_withheld);
		init[0].number = use->session;
		if (rv != CKR_OK || *ret_withheld)
			return rv;
	}
	*ret_function = operation->init;
	rv = invoke(use->request, operation->init, init);
	if (rv == CKR_KEY_HANDLE_INVALID || rv == CKR_OBJECT_HANDLE_INVALID)
		key_cache_forget(operation->key->object);
	if (rv != CKR_OK)
		return rv;
	use->clean = false;
	if (use->context && !operation->key->by_policy) {
		*ret_function = CALL_Login;
		rv = use_authenticate(use, login, ret_withheld);
		if (rv != CKR_OK || *ret_withheld)
			return rv;
	}
	*ret_function = operation->once;
	rv = operation->once == CALL_Verify ? verify_once(use, operation) : run_once(use, operation, ret_output);
	use->request->signed_ = use->request->signed_ || operation->once == CALL_Sign;
	use->clean = rv == CKR_OK;
	return rv;
}

uint64_t key_operation_now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct event_key key_operation_names(const struct key *key)
{
	return (struct event_key){key_event_label(key), key->id.data, key->id.len, name_of(NAMES_CLASS, key->class)};
}

bool key_operation_record(struct use *use, const struct key_record *record, CK_RV rv)
{
	char scratch[24];
	const struct key *key = record->key;
	const struct event event = {
		.kind = AUDIT_KEY_USE,
		.function = record->function,
		.rv = rv,
		.mechanism = name_text(NAMES_MECHANISM, record->mechanism, scratch),
		.key_label = key_event_label(key),
		.key_id = key->id.data,
		.key_id_len = key->id.len,
		.key_class = name_of(NAMES_CLASS, key->class),
		.wrapped = record->wrapped,
		.made = record->made,
		.input_sha256 = record->sha256,
		.reauthenticated = use->context && use->pin_rv == CKR_OK,
		.latency_us = key_operation_now_us() - record->begun_us,
	};
	return answer_event(use->request, &event);
}

CK_RV key_operation_run(
	struct use *use, const struct key_operation *operation, struct bytes *ret_output, bool *ret_withheld)
{
	char function[40];
	enum call_id last = operation->init;
	const struct key_record record = {
		.key = operation->key,
		.mechanism = operation->mechanism.mechanism,
		.sha256 = operation->sha256,
		.function = function,
		.begun_us = key_operation_now_us(),
	};
	*ret_withheld = false;
	CK_RV rv = run(use, operation, ret_output, &last, ret_withheld);
	snprintf(function, sizeof function, "C_%s", call_row(last)->name);
	if (!*ret_withheld)
		*ret_withheld = !key_operation_record(use, &record, rv);
	return rv;
}
