/*
 * The client module's side of the wire: bytes from a gateway that may be anyone's, through HTTP and the result codec into the
 * buffers of an application. The first byte chooses the call; the second how the bytes are cut into portions.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/codec.h"
#include "client-module/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BUFFER_LEN = 64, ATTRIBUTES = 3, HANDLES = 4, PATTERN = 0xA5 };

/* An application's output buffers, each allocated apart so that a byte too many is seen. */
struct application {
	CK_BYTE *bytes;
	CK_ULONG len, count, number;
	CK_OBJECT_HANDLE *handles;
	CK_ATTRIBUTE attributes[ATTRIBUTES];
	void *info;
};

static void application_init(struct application *a)
{
	*a = (struct application){.len = BUFFER_LEN, .count = HANDLES};
	a->bytes = malloc(BUFFER_LEN);
	a->handles = calloc(HANDLES, sizeof(*a->handles));
	a->info = malloc(sizeof(CK_TOKEN_INFO));
	memset(a->bytes, PATTERN, BUFFER_LEN);
	static const CK_ATTRIBUTE_TYPE TYPES[ATTRIBUTES] = {CKA_LABEL, CKA_KEY_TYPE, CKA_VENDOR_DEFINED + 1};
	for (int i = 0; i < ATTRIBUTES; i++) {
		a->attributes[i] = (CK_ATTRIBUTE){TYPES[i], i == 1 ? malloc(sizeof(CK_ULONG)) : malloc(BUFFER_LEN),
			i == 1 ? sizeof(CK_ULONG) : BUFFER_LEN};
	}
}

static void application_done(struct application *a)
{
	for (int i = 0; i < ATTRIBUTES; i++) {
		free(a->attributes[i].pValue);
	}
	free(a->bytes);
	free(a->handles);
	free(a->info);
}

static union wire_value application_value(struct application *a, enum wire_kind kind)
{
	switch (kind) {
	case WIRE_BUFFER: return (union wire_value){.buffer = {a->bytes, &a->len}};
	case WIRE_FILL: return (union wire_value){.bytes = {a->bytes, BUFFER_LEN}};
	case WIRE_FOUND: return (union wire_value){.found = {a->handles, HANDLES, &a->count}};
	case WIRE_LIST: return (union wire_value){.list = {a->handles, &a->count}};
	case WIRE_QUERY:
	case WIRE_TEMPLATE: return (union wire_value){.attributes = {a->attributes, ATTRIBUTES}};
	case WIRE_NEW_SESSION:
	case WIRE_NEW_OBJECT:
	case WIRE_ULONG_OUT: return (union wire_value){.number_out = &a->number};
	case WIRE_INFO:
	case WIRE_SLOT_INFO:
	case WIRE_TOKEN_INFO:
	case WIRE_SESSION_INFO:
	case WIRE_MECHANISM_INFO: return (union wire_value){.info = a->info};
	default: return (union wire_value){0};
	}
}

static void decode(enum call_id id, const struct buffer *body)
{
	const struct call_row *row = call_row(id);
	union wire_value values[CALL_ARGUMENTS_MAX] = {0};
	struct application application;
	application_init(&application);
	for (size_t i = 0; i < row->argument_count; i++) {
		values[i] = application_value(&application, row->arguments[i].kind);
	}
	struct arena arena;
	struct json_reader in;
	arena_init(&arena, LIMIT_BODY_ARENA);
	json_reader_init(&in, (const char *)body->data, body->len, &arena);
	CK_RV rv = call_decode_result(&in, row, values);
	if (json_failed(&in) && rv != CKR_GENERAL_ERROR) {
		abort();
	}
	if (application.len > BUFFER_LEN && rv == CKR_OK && application.bytes != NULL) {
		abort();
	}
	arena_done(&arena);
	application_done(&application);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2) {
		return 0;
	}
	size_t portion = (size_t)data[1] + 1;
	struct buffer body;
	struct http_answer answer;
	buffer_init(&body, HTTP_ANSWER_BODY_MAX);
	http_answer_init(&answer, &body);
	bool good = true;
	for (size_t at = 2; good && at < size; at += portion) {
		good = http_answer_read(&answer, data + at, size - at < portion ? size - at : portion);
	}
	if ((good && http_answer_end(&answer)) || answer.complete) {
		decode((enum call_id)(data[0] % CALL_COUNT), &body);
	}
	/* Most inputs are not HTTP: let the codec see those as they are. */
	if (!answer.complete) {
		buffer_reset(&body);
		buffer_append(&body, data + 2, size - 2);
		decode((enum call_id)(data[0] % CALL_COUNT), &body);
	}
	buffer_done(&body);
	return 0;
}
