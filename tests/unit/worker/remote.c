#include "tests/unit/worker/remote.h"

#include <criterion/criterion.h>
#include <dlfcn.h>

#include "api/codec.h"
#include "server/common/frame.h"

static const struct client *remote;

static void request_write(struct buffer *body, const struct call_row *row, const union wire_value v[])
{
	static const char before[] = "{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[";
	struct json_writer w;

	buffer_append(body, before, sizeof before - 1);
	json_writer_init(&w, body);
	cr_assert_eq(call_encode(&w, row, v), CKR_OK, "C_%s", row->name);
	buffer_append(body, "]}]}", sizeof "]}]}"); /* the NUL too */
}

/* The one result in {"groups":[{"results":[…]}]}. */
static CK_RV result_read(const struct answer *answer, const struct call_row *row, const union wire_value v[])
{
	struct arena arena ARENA_AUTO;
	struct json_reader in;
	char *text = json_dumps(
		json_array_get(
			json_object_get(json_array_get(json_object_get(answer->body, "groups"), 0), "results"), 0),
		JSON_COMPACT | JSON_PRESERVE_ORDER);

	cr_assert_not_null(text, "%.*s", (int)answer->raw.len, answer->raw.data);
	arena_init(&arena, FRAME_PAYLOAD_MAX);
	json_reader_init(&in, text, strlen(text), &arena);
	CK_RV rv = call_decode_result(&in, row, v);
	cr_assert_not(json_failed(&in), "%s", text);
	free(text);
	return rv;
}

static CK_RV remote_call(enum call_id id, const union wire_value v[])
{
	struct buffer body BUFFER_AUTO;

	buffer_init(&body, FRAME_PAYLOAD_MAX);
	request_write(&body, call_row(id), v);
	struct answer answer = client_post(remote, (const char *)body.data);
	cr_assert_eq(answer.status, 200, "%.*s", (int)answer.raw.len, answer.raw.data);
	CK_RV rv = result_read(&answer, call_row(id), v);
	answer_free(&answer);
	return rv;
}

#define CALL(name, place, permission, audit, operation, step, ...) \
	static CK_RV remote_##name(EACH(PARAM, __VA_ARGS__)) \
	{ \
		const union wire_value v[] = {EACH(VALUE, __VA_ARGS__)}; \
		return remote_call(CALL_##name, v); \
	}
#include "api/calls.def"

const CK_FUNCTION_LIST *remote_functions(const struct client *client)
{
	static const CK_FUNCTION_LIST functions = {
		.version = {2, 40},
#define CALL(name, ...) .C_##name = remote_##name,
#include "api/calls.def"
	};

	remote = client;
	return &functions;
}

const CK_FUNCTION_LIST *softhsm_functions(CK_SLOT_ID *ret_slot)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	CK_SLOT_ID slots[4];
	CK_C_GetFunctionList get;
	CK_FUNCTION_LIST *f = NULL;
	CK_ULONG count = 4;
	void *library = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);

	cr_assert_not_null(library, "%s", dlerror());
	void *symbol = dlsym(library, "C_GetFunctionList");
	memcpy(&get, &symbol, sizeof get);
	cr_assert_eq(get(&f), CKR_OK);
	cr_assert_eq(f->C_Initialize(&args), CKR_OK);
	cr_assert_eq(f->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
	/* The free one comes last. */
	*ret_slot = slots[0];
	return f;
}
