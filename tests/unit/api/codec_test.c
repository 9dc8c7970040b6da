#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "api/limits.h"
#include "tests/unit/api/codec_case.h"

/* What the application passes: everything NULL that may be, empty but there, or as usual. */
enum shape { SHAPE_NULL, SHAPE_EMPTY, SHAPE_USUAL, SHAPE_COUNT };

static CK_ULONG *number(struct codec_case *c, CK_ULONG value)
{
	CK_ULONG *at = guarded(c, sizeof(*at));

	*at = value;
	return at;
}

static size_t info_size(enum wire_kind kind)
{
	switch (kind) {
	case WIRE_INFO: return sizeof(CK_INFO);
	case WIRE_SLOT_INFO: return sizeof(CK_SLOT_INFO);
	case WIRE_TOKEN_INFO: return sizeof(CK_TOKEN_INFO);
	case WIRE_SESSION_INFO: return sizeof(CK_SESSION_INFO);
	case WIRE_MECHANISM_INFO: return sizeof(CK_MECHANISM_INFO);
	default: return 0;
	}
}

static CK_ATTRIBUTE *usual_template(struct codec_case *c)
{
	CK_ATTRIBUTE *items = guarded(c, 2 * sizeof(*items));
	CK_OBJECT_CLASS *class = guarded(c, sizeof(*class));

	*class = CKO_PRIVATE_KEY;
	items[0] = (CK_ATTRIBUTE){CKA_CLASS, class, sizeof(*class)};
	items[1] = (CK_ATTRIBUTE){CKA_LABEL, memcpy(guarded(c, 7), "release", 7), 7};
	return items;
}

static CK_ATTRIBUTE *usual_query(struct codec_case *c)
{
	CK_ATTRIBUTE *items = guarded(c, 2 * sizeof(*items));

	items[0] = (CK_ATTRIBUTE){CKA_ID, guarded(c, 20), 20};
	items[1] = (CK_ATTRIBUTE){CKA_LABEL, NULL, 0};
	return items;
}

static union wire_value input_value(struct codec_case *c, enum wire_kind kind, enum shape shape, size_t i)
{
	static const CK_ULONG numbers[] = {0, CK_UNAVAILABLE_INFORMATION, (UINT64_C(1) << 53) + 1};
	union wire_value value = {.number = 0};

	switch (kind) {
	case WIRE_BOOL: value.flag = shape == SHAPE_USUAL ? CK_TRUE : CK_FALSE; break;
	case WIRE_USER: value.number = shape == SHAPE_USUAL ? CKU_USER : 7; break;
	case WIRE_ULONG:
	case WIRE_SESSION:
	case WIRE_OBJECT: value.number = kind == WIRE_ULONG ? numbers[shape] : shape * 1000 + i; break;
	case WIRE_BYTES:
	case WIRE_PIN:
		if (shape != SHAPE_NULL)
			value.bytes.data = guarded(c, shape == SHAPE_EMPTY ? 0 : 33);
		value.bytes.len = shape == SHAPE_USUAL ? 33 : 0;
		break;
	case WIRE_LABEL:
		value.bytes.data = shape == SHAPE_NULL ? NULL : guarded(c, 32);
		value.bytes.len = shape == SHAPE_NULL ? 0 : 32;
		break;
	case WIRE_MECHANISM:
		if (shape != SHAPE_NULL) {
			value.mechanism = guarded(c, sizeof(CK_MECHANISM));
			*value.mechanism = (CK_MECHANISM){CKM_AES_CBC, NULL, 0};
		}
		if (shape == SHAPE_USUAL)
			*value.mechanism = (CK_MECHANISM){CKM_AES_CBC, guarded(c, 16), 16};
		break;
	case WIRE_TEMPLATE:
		if (shape != SHAPE_NULL)
			value.attributes.items = usual_template(c);
		value.attributes.count = shape == SHAPE_USUAL ? 2 : 0;
		break;
	case WIRE_QUERY:
		if (shape != SHAPE_NULL)
			value.attributes.items = usual_query(c);
		value.attributes.count = shape == SHAPE_USUAL ? 2 : 0;
		break;
	default: break;
	}
	return value;
}

static union wire_value argument(struct codec_case *c, enum wire_kind kind, enum shape shape, size_t i)
{
	static const CK_ULONG sizes[] = {0, 0, 40};
	CK_ULONG size = sizes[shape];
	union wire_value value = {.number = 0};

	switch (kind) {
	case WIRE_BUFFER:
		value.buffer.data = shape == SHAPE_NULL ? NULL : guarded(c, size);
		value.buffer.len = number(c, shape == SHAPE_NULL ? 4711 : size);
		break;
	case WIRE_FILL:
		value.bytes.data = shape == SHAPE_NULL ? NULL : guarded(c, size);
		value.bytes.len = size;
		break;
	case WIRE_LIST:
		value.list.items = shape == SHAPE_NULL ? NULL : guarded(c, size * sizeof(CK_ULONG));
		value.list.count = number(c, size);
		break;
	case WIRE_FOUND:
		value.found.items = guarded(c, size * sizeof(CK_ULONG));
		value.found.max = size;
		value.found.count = number(c, 99);
		break;
	case WIRE_NEW_SESSION:
	case WIRE_NEW_OBJECT:
	case WIRE_ULONG_OUT: value.number_out = number(c, 99); break;
	default:
		if (info_size(kind) > 0)
			value.info = guarded(c, info_size(kind));
		else
			value = input_value(c, kind, shape, i);
		break;
	}
	return value;
}

static void arguments(struct codec_case *c, const struct call_row *row, enum shape shape, union wire_value values[])
{
	for (size_t i = 0; i < row->argument_count; i++)
		values[i] = argument(c, row->arguments[i].kind, shape, i);
}

static bool same_bytes(const void *a, CK_ULONG a_len, const void *b, CK_ULONG b_len)
{
	return (a == NULL) == (b == NULL) && a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool same_template(const union wire_value *a, const union wire_value *b, bool values)
{
	if ((a->attributes.items == NULL) != (b->attributes.items == NULL) ||
		a->attributes.count != b->attributes.count)
		return false;
	for (CK_ULONG i = 0; i < a->attributes.count; i++) {
		const CK_ATTRIBUTE *x = &a->attributes.items[i], *y = &b->attributes.items[i];

		if (x->type != y->type || (x->pValue == NULL) != (y->pValue == NULL) || x->ulValueLen != y->ulValueLen)
			return false;
		if (values && !same_bytes(x->pValue, x->ulValueLen, y->pValue, y->ulValueLen))
			return false;
	}
	return true;
}

/* True if the worker got what the application passed. */
static bool same_input(enum wire_kind kind, const union wire_value *a, const union wire_value *b)
{
	switch (kind) {
	case WIRE_BOOL: return a->flag == b->flag;
	case WIRE_ULONG:
	case WIRE_USER:
	case WIRE_SESSION:
	case WIRE_OBJECT: return a->number == b->number;
	case WIRE_BYTES:
	case WIRE_PIN:
	case WIRE_LABEL: return same_bytes(a->bytes.data, a->bytes.len, b->bytes.data, b->bytes.len);
	case WIRE_MECHANISM:
		return a->mechanism == NULL ? b->mechanism == NULL
					    : a->mechanism->mechanism == b->mechanism->mechanism &&
						      same_bytes(a->mechanism->pParameter, a->mechanism->ulParameterLen,
							      b->mechanism->pParameter, b->mechanism->ulParameterLen);
	case WIRE_TEMPLATE: return same_template(a, b, true);
	case WIRE_QUERY: return same_template(a, b, false);
	case WIRE_BUFFER:
		return (a->buffer.data == NULL) == (b->buffer.data == NULL) &&
		       *b->buffer.len == (a->buffer.data == NULL ? 0 : *a->buffer.len);
	case WIRE_FILL: return (a->bytes.data == NULL) == (b->bytes.data == NULL) && a->bytes.len == b->bytes.len;
	case WIRE_FOUND: return a->found.max == b->found.max && b->found.items != NULL && b->found.count != NULL;
	case WIRE_LIST: return b->list.items != NULL && *b->list.count > 0;
	case WIRE_SLOT:
	case WIRE_NOTIFY: return b->number == 0;
	default: return b->number_out != NULL;
	}
}

Test(codec, every_call_reaches_the_worker_as_the_application_made_it)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		for (int shape = 0; shape < SHAPE_COUNT; shape++) {
			CODEC_CASE(c);
			const struct call_row *row = call_row((enum call_id)id);
			union wire_value values[CALL_ARGUMENTS_MAX];
			struct call call;

			arguments(&c, row, (enum shape)shape, values);
			encode_request(&c, row, values);
			call = decode_request(&c);
			cr_assert_eq(call.row, row);
			for (size_t i = 0; i < row->argument_count; i++) {
				cr_expect(same_input(row->arguments[i].kind, &values[i], &call.values[i]),
					"%s of %s in shape %d", row->arguments[i].name, row->name, shape);
				cr_expect_eq(call.from[i], -1);
			}
			cr_expect(guards_intact(&c));
		}
	}
}

/* Plays the module: fills every output to its capacity. */
static void module_fill(struct call *call)
{
	for (size_t i = 0; i < call->row->argument_count; i++) {
		union wire_value *value = &call->values[i];
		enum wire_kind kind = call->row->arguments[i].kind;

		if (kind == WIRE_BUFFER && value->buffer.data == NULL)
			*value->buffer.len = 1234;
		else if (kind == WIRE_BUFFER)
			memset(value->buffer.data, 0x11, *value->buffer.len);
		else if (kind == WIRE_FILL && value->bytes.data != NULL)
			memset(value->bytes.data, 0x22, value->bytes.len);
		else if (kind == WIRE_FOUND)
			*value->found.count = value->found.max;
		else if (kind == WIRE_LIST)
			*value->list.count = 3;
		else if (kind == WIRE_NEW_SESSION || kind == WIRE_NEW_OBJECT || kind == WIRE_ULONG_OUT)
			*value->number_out = 5000 + i;
		else if (info_size(kind) > 0)
			memset(value->info, '7', info_size(kind));
		for (CK_ULONG j = 0; kind == WIRE_FOUND && j < value->found.max; j++)
			value->found.items[j] = 100 + j;
		for (CK_ULONG j = 0; kind == WIRE_LIST && j < 3; j++)
			value->list.items[j] = 200 + j;
		for (CK_ULONG j = 0; kind == WIRE_QUERY && j < value->attributes.count; j++) {
			CK_ATTRIBUTE *item = &value->attributes.items[j];

			if (item->pValue == NULL)
				item->ulValueLen = 321;
			else
				memset(item->pValue, 0x33, item->ulValueLen);
		}
	}
}

static bool all(const void *data, size_t len, unsigned char byte)
{
	for (size_t i = 0; i < len; i++) {
		if (((const unsigned char *)data)[i] != byte)
			return false;
	}
	return true;
}

/* True if the application got what module_fill wrote. */
static bool filled(enum wire_kind kind, const union wire_value *value, size_t i)
{
	switch (kind) {
	case WIRE_BUFFER:
		return value->buffer.data == NULL ? *value->buffer.len == 1234
						  : all(value->buffer.data, *value->buffer.len, 0x11);
	case WIRE_FILL: return value->bytes.data == NULL || all(value->bytes.data, value->bytes.len, 0x22);
	case WIRE_FOUND:
		for (CK_ULONG j = 0; j < value->found.max; j++) {
			if (value->found.items[j] != 100 + j)
				return false;
		}
		return *value->found.count == value->found.max;
	case WIRE_LIST: return *value->list.count == 3;
	case WIRE_NEW_SESSION:
	case WIRE_NEW_OBJECT:
	case WIRE_ULONG_OUT: return *value->number_out == 5000 + i;
	case WIRE_QUERY:
		for (CK_ULONG j = 0; j < value->attributes.count; j++) {
			const CK_ATTRIBUTE *item = &value->attributes.items[j];

			if (item->pValue == NULL ? item->ulValueLen != 321 : !all(item->pValue, item->ulValueLen, 0x33))
				return false;
		}
		return true;
	default: return info_size(kind) == 0 || all(value->info, 2, '7');
	}
}

static bool has(const struct call_row *row, enum wire_kind kind)
{
	for (size_t i = 0; i < row->argument_count; i++) {
		if (row->arguments[i].kind == kind)
			return true;
	}
	return false;
}

Test(codec, every_output_reaches_the_application_as_the_module_wrote_it)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		for (int shape = 0; shape < SHAPE_COUNT; shape++) {
			CODEC_CASE(c);
			const struct call_row *row = call_row((enum call_id)id);
			bool too_small = shape == SHAPE_EMPTY && has(row, WIRE_LIST);
			union wire_value values[CALL_ARGUMENTS_MAX];
			struct call call;
			bool failed;

			arguments(&c, row, (enum shape)shape, values);
			encode_request(&c, row, values);
			call = decode_request(&c);
			module_fill(&call);
			encode_result(&c, &call, CKR_OK);
			cr_expect_eq(decode_result(&c, row, values, &failed), too_small ? CKR_BUFFER_TOO_SMALL : CKR_OK,
				"%s", row->name);
			cr_assert_not(failed, "%s: %.*s", row->name, (int)c.text.len, (const char *)c.text.data);
			for (size_t i = 0; i < row->argument_count; i++)
				cr_expect(filled(row->arguments[i].kind, &values[i], i), "%s of %s in shape %d",
					row->arguments[i].name, row->name, shape);
		}
	}
}

Test(codec, an_error_changes_nothing_of_the_application)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		CODEC_CASE(c);
		const struct call_row *row = call_row((enum call_id)id);
		union wire_value values[CALL_ARGUMENTS_MAX];
		struct call call;
		bool failed;

		arguments(&c, row, SHAPE_USUAL, values);
		encode_request(&c, row, values);
		call = decode_request(&c);
		module_fill(&call);
		encode_result(&c, &call, CKR_DEVICE_ERROR);
		expect_written(&c, "{\"rv\":\"CKR_DEVICE_ERROR\"}");
		cr_expect_eq(decode_result(&c, row, values, &failed), CKR_DEVICE_ERROR);
		cr_expect_not(failed);
		for (size_t i = 0; i < row->argument_count; i++) {
			enum wire_kind kind = row->arguments[i].kind;

			if (kind == WIRE_BUFFER)
				cr_expect(*values[i].buffer.len == 40 && all(values[i].buffer.data, 40, 0x5a));
			else if (kind == WIRE_NEW_OBJECT || kind == WIRE_NEW_SESSION || kind == WIRE_ULONG_OUT)
				cr_expect_eq(*values[i].number_out, 99);
			else if (kind == WIRE_FOUND)
				cr_expect_eq(*values[i].found.count, 99);
		}
	}
}

Test(codec, a_return_value_without_a_name_comes_back_as_its_number)
{
	CODEC_CASE(c);
	const struct call_row *row = call_row(CALL_Logout);
	union wire_value values[CALL_ARGUMENTS_MAX] = {{.number = 1}};
	struct call call;
	bool failed;

	encode_request(&c, row, values);
	call = decode_request(&c);
	encode_result(&c, &call, 0x80000007);
	expect_written(&c, "{\"rv\":\"0x80000007\"}");
	cr_expect_eq(decode_result(&c, row, values, &failed), 0x80000007);
	cr_expect_not(failed);
}

Test(codec, the_wire_form_is_as_documented)
{
	CODEC_CASE(c);
	CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
	CK_BYTE data[] = {0xfb, 0xff, 0x01}, signature[64];
	CK_ULONG len = sizeof(signature);
	union wire_value init[CALL_ARGUMENTS_MAX] = {{.number = 1}, {.mechanism = &mechanism}, {.number = 7}};
	union wire_value sign[CALL_ARGUMENTS_MAX] = {
		{.number = 1}, {.bytes = {data, 3}}, {.buffer = {signature, &len}}};

	encode_request(&c, call_row(CALL_SignInit), init);
	expect_written(&c, "{\"SignInit\":{\"session\":1,\"mechanism\":{\"mechanism\":\"CKM_ECDSA\"},\"key\":7}}");
	encode_request(&c, call_row(CALL_Sign), sign);
	expect_written(&c, "{\"Sign\":{\"session\":1,\"data\":\"-_8B\",\"signature\":64}}");
}

Test(codec, a_handle_may_refer_to_an_earlier_call)
{
	CODEC_CASE(c);
	struct call call;

	cr_assert(decode_text(
		&c, "{\"Login\":{\"session\":{\"from\":0},\"user_type\":\"CKU_USER\",\"pin\":\"MTIzNA\"}}", &call));
	cr_expect_eq(call.from[0], 0);
	cr_expect_eq(call.from[1], -1);
	cr_expect_eq(call.values[1].number, CKU_USER);
	cr_expect(same_bytes(call.values[2].bytes.data, call.values[2].bytes.len, "1234", 4));
	cr_expect_not(decode_text(&c, "{\"Logout\":{\"session\":{\"from\":32}}}", &call));
	cr_expect_not(decode_text(&c, "{\"Logout\":{\"session\":{\"from\":-1}}}", &call));
	cr_expect_not(decode_text(&c, "{\"Logout\":{\"session\":{\"from\":0,\"from\":0}}}", &call));
	cr_expect_not(decode_text(&c, "{\"Logout\":{\"session\":{}}}", &call));
}

Test(codec, members_come_in_any_order)
{
	CODEC_CASE(c);
	struct call call;

	cr_assert(decode_text(&c, "{\"Sign\":{\"signature\":16,\"data\":\"AA\",\"session\":3}}", &call));
	cr_expect_eq(call.values[0].number, 3);
	cr_expect_eq(call.values[1].bytes.len, 1);
	cr_expect_eq(*call.values[2].buffer.len, 16);
}

Test(codec, broken_requests_are_refused)
{
	static const char *const broken[] = {
		"",
		"null",
		"[]",
		"{}",
		"{\"Sign\":null}",
		"{\"Sign\":[]}",
		"{\"Unknown\":{}}",
		"{\"sign\":{}}",
		"{\"C_Sign\":{}}",
		"{\"Sign\":{}}",
		"{\"Sign\":{\"session\":1,\"data\":\"\"}}",
		"{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":1},\"Sign\":{\"session\":1,\"data\":\"\","
		"\"signature\":1}}",
		"{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":1,\"session\":1}}",
		"{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":1,\"extra\":1}}",
		"{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":1}} ,",
		"{\"Sign\":{\"session\":-1,\"data\":\"\",\"signature\":1}}",
		"{\"Sign\":{\"session\":1.5,\"data\":\"\",\"signature\":1}}",
		"{\"Sign\":{\"session\":null,\"data\":\"\",\"signature\":1}}",
		"{\"Sign\":{\"session\":\"one\",\"data\":\"\",\"signature\":1}}",
		"{\"Sign\":{\"session\":1,\"data\":\"?\",\"signature\":1}}",
		"{\"Sign\":{\"session\":1,\"data\":5,\"signature\":1}}",
		"{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":-1}}",
		"{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":\"AA\"}}",
		"{\"OpenSession\":{\"flags\":6,\"slot\":1}}",
		"{\"OpenSession\":{\"flags\":6,\"session\":1}}",
		"{\"GetSlotList\":{\"token_present\":1}}",
		"{\"InitToken\":{\"pin\":\"\",\"label\":\"AAAA\"}}",
		"{\"Login\":{\"session\":1,\"user_type\":\"CKO_DATA\",\"pin\":null}}",
		"{\"Login\":{\"session\":1,\"user_type\":1,\"pin\":null}}",
		"{\"FindObjects\":{\"session\":1,\"objects\":null}}",
		"{\"GenerateRandom\":{\"session\":1,\"random\":614401}}",
		"{\"GenerateRandom\":{\"session\":1,\"random\":\"AA\"}}",
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		CODEC_CASE(c);
		struct call call;

		cr_expect_not(decode_text(&c, broken[i], &call), "%s", broken[i]);
	}
}

/* Every prefix, and every request with one byte replaced, is refused or read; with the sanitizers on, nothing else happens. */
Test(codec, mutilated_requests_do_no_harm, .timeout = 60)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		CODEC_CASE(c);
		const struct call_row *row = call_row((enum call_id)id);
		union wire_value values[CALL_ARGUMENTS_MAX];
		struct call call;
		char text[4096];

		arguments(&c, row, SHAPE_USUAL, values);
		encode_request(&c, row, values);
		cr_assert_lt(c.text.len, sizeof(text));
		for (size_t cut = 0; cut < c.text.len; cut++) {
			memcpy(text, c.text.data, c.text.len);
			text[cut] = '\0';
			cr_expect_not(decode_text(&c, text, &call));
			for (const char *with = "\"{}[]:,0-nt\\\x80"; *with != '\0'; with++) {
				memcpy(text, c.text.data, c.text.len);
				text[c.text.len] = '\0';
				text[cut] = *with;
				if (decode_text(&c, text, &call))
					cr_assert_not_null(call.row);
				arena_reset(&c.arena);
			}
		}
	}
}

Test(codec, an_output_capacity_is_cut_to_its_ceiling)
{
	CODEC_CASE(c);
	struct call call;

	cr_assert(decode_text(
		&c, "{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":\"18446744073709551615\"}}", &call));
	cr_expect_eq(*call.values[2].buffer.len, LIMIT_OUTPUT);
	cr_assert(decode_text(&c, "{\"FindObjects\":{\"session\":1,\"objects\":9007199254740992}}", &call));
	cr_expect_eq(call.values[1].found.max, LIMIT_FOUND);
}

Test(codec, memory_of_a_request_is_bounded)
{
	CODEC_CASE(c);
	struct call call;
	const char *text = "{\"Sign\":{\"session\":1,\"data\":\"\",\"signature\":614400}}";
	size_t good = 0;

	while (good < 100 && decode_text(&c, text, &call))
		good++;
	cr_expect_geq(good, 9);
	cr_expect_lt(good, 11);
}

/* The arena is given less and less memory, so that every allocation fails once. */
Test(codec, a_request_that_the_memory_does_not_suffice_for_is_refused, .timeout = 60)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		CODEC_CASE(c);
		const struct call_row *row = call_row((enum call_id)id);
		union wire_value values[CALL_ARGUMENTS_MAX];
		struct json_reader in;
		struct call call;
		size_t needed;

		arguments(&c, row, SHAPE_USUAL, values);
		encode_request(&c, row, values);
		json_reader_init(&in, (const char *)c.text.data, c.text.len, &c.arena);
		cr_assert(call_decode(&in, &call));
		needed = c.arena.used;
		for (size_t limit = 0; limit < needed; limit += 16) {
			arena_done(&c.arena);
			arena_init(&c.arena, limit);
			json_reader_init(&in, (const char *)c.text.data, c.text.len, &c.arena);
			cr_expect_not(call_decode(&in, &call), "%s with %zu of %zu bytes", row->name, limit, needed);
			cr_expect(json_failed(&in));
		}
	}
}

Test(codec, an_answer_that_the_memory_does_not_suffice_for_is_a_general_error, .timeout = 60)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		CODEC_CASE(c);
		const struct call_row *row = call_row((enum call_id)id);
		union wire_value values[CALL_ARGUMENTS_MAX];
		struct call call;
		size_t needed;
		bool failed;

		arguments(&c, row, SHAPE_USUAL, values);
		encode_request(&c, row, values);
		call = decode_request(&c);
		module_fill(&call);
		encode_result(&c, &call, CKR_OK);
		arena_reset(&c.arena);
		cr_assert_eq(decode_result(&c, row, values, &failed), CKR_OK);
		needed = c.arena.used;
		for (size_t limit = 0; limit < needed; limit += 16) {
			arena_done(&c.arena);
			arena_init(&c.arena, limit);
			cr_expect_eq(decode_result(&c, row, values, &failed), CKR_GENERAL_ERROR);
			cr_expect(failed);
		}
	}
}

Test(codec, a_list_that_does_not_fit_gives_its_count)
{
	CODEC_CASE(c);
	const struct call_row *row = call_row(CALL_GetMechanismList);
	union wire_value values[CALL_ARGUMENTS_MAX];
	struct call call;
	bool failed;

	arguments(&c, row, SHAPE_USUAL, values);
	encode_request(&c, row, values);
	call = decode_request(&c);
	*call.values[1].list.count = 5000;
	encode_result(&c, &call, CKR_BUFFER_TOO_SMALL);
	expect_written(&c, "{\"rv\":\"CKR_BUFFER_TOO_SMALL\",\"mechanisms\":{\"length\":5000}}");
	cr_expect_eq(decode_result(&c, row, values, &failed), CKR_BUFFER_TOO_SMALL);
	cr_expect_not(failed);
	cr_expect_eq(*values[1].list.count, 5000);
}

Test(codec, broken_lengths_in_an_answer_are_a_general_error)
{
	static const char *const broken[] = {
		"{}", "{\"size\":1}", "{\"length\":1,\"length\":1}", "{\"length\":null}", "{\"length\":1,\"x\":1}"};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		CODEC_CASE(c);
		union wire_value values[CALL_ARGUMENTS_MAX];
		char text[128];
		bool failed;

		arguments(&c, call_row(CALL_Sign), SHAPE_USUAL, values);
		(void)snprintf(text, sizeof(text), "{\"rv\":\"CKR_BUFFER_TOO_SMALL\",\"signature\":%s}", broken[i]);
		cr_expect_eq(decode_result_text(&c, text, call_row(CALL_Sign), values, &failed), CKR_GENERAL_ERROR);
		cr_expect(failed, "%s", text);
		cr_expect_eq(*values[2].buffer.len, 40);
	}
}

Test(codec, a_pin_beyond_its_ceiling_is_refused_by_the_worker)
{
	CODEC_CASE(c);
	struct call call;
	char text[2 * LIMIT_PIN], pin[(LIMIT_PIN + 1) / 3 * 4 + 5] = {0};

	memset(pin, 'A', (LIMIT_PIN + 3) / 3 * 4);
	(void)snprintf(
		text, sizeof(text), "{\"Login\":{\"session\":1,\"user_type\":\"CKU_USER\",\"pin\":\"%s\"}}", pin);
	cr_expect_not(decode_text(&c, text, &call));
}

static CK_RV refusal(const struct call_row *row, const union wire_value values[])
{
	BUFFER_AUTO struct buffer out;
	struct json_writer w;
	CK_RV rv;

	buffer_init(&out, LIMIT_BODY);
	json_writer_init(&w, &out);
	rv = call_encode(&w, row, values);
	if (rv != CKR_OK)
		cr_expect_eq(out.len, 0, "%s wrote although it was refused", row->name);
	return rv;
}

Test(codec, a_missing_output_pointer_is_refused_by_the_client)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		CODEC_CASE(c);
		const struct call_row *row = call_row((enum call_id)id);
		union wire_value values[CALL_ARGUMENTS_MAX];

		for (size_t i = 0; i < row->argument_count; i++) {
			enum wire_kind kind = row->arguments[i].kind;

			arguments(&c, row, SHAPE_USUAL, values);
			if (kind == WIRE_BUFFER)
				values[i].buffer.len = NULL;
			else if (kind == WIRE_LIST)
				values[i].list.count = NULL;
			else if (kind == WIRE_FOUND)
				values[i].found.count = NULL;
			else if (kind == WIRE_NEW_SESSION || kind == WIRE_NEW_OBJECT || kind == WIRE_ULONG_OUT ||
				 info_size(kind) > 0)
				values[i].info = NULL;
			else
				continue;
			cr_expect_eq(
				refusal(row, values), CKR_ARGUMENTS_BAD, "%s of %s", row->arguments[i].name, row->name);
		}
	}
}

Test(codec, a_null_input_with_a_length_is_refused_by_the_client)
{
	CODEC_CASE(c);
	union wire_value values[CALL_ARGUMENTS_MAX];

	arguments(&c, call_row(CALL_Sign), SHAPE_USUAL, values);
	values[1].bytes.data = NULL;
	cr_expect_eq(refusal(call_row(CALL_Sign), values), CKR_ARGUMENTS_BAD);
	arguments(&c, call_row(CALL_CreateObject), SHAPE_USUAL, values);
	values[1].attributes.items = NULL;
	cr_expect_eq(refusal(call_row(CALL_CreateObject), values), CKR_ARGUMENTS_BAD);
	arguments(&c, call_row(CALL_GetAttributeValue), SHAPE_USUAL, values);
	values[2].attributes.items = NULL;
	cr_expect_eq(refusal(call_row(CALL_GetAttributeValue), values), CKR_ARGUMENTS_BAD);
	arguments(&c, call_row(CALL_FindObjects), SHAPE_USUAL, values);
	values[1].found.items = NULL;
	cr_expect_eq(refusal(call_row(CALL_FindObjects), values), CKR_ARGUMENTS_BAD);
}

Test(codec, a_null_pin_is_null_whatever_its_length)
{
	CODEC_CASE(c);
	union wire_value values[CALL_ARGUMENTS_MAX];
	struct call call;

	arguments(&c, call_row(CALL_Login), SHAPE_USUAL, values);
	values[2].bytes.data = NULL;
	values[2].bytes.len = 4;
	encode_request(&c, call_row(CALL_Login), values);
	call = decode_request(&c);
	cr_expect_null(call.values[2].bytes.data);
	cr_expect_eq(call.values[2].bytes.len, 0);
}

Test(codec, limits_are_the_same_on_both_sides)
{
	CODEC_CASE(c);
	union wire_value values[CALL_ARGUMENTS_MAX];
	struct call call;

	arguments(&c, call_row(CALL_Login), SHAPE_USUAL, values);
	values[2].bytes.data = guarded(&c, LIMIT_PIN);
	values[2].bytes.len = LIMIT_PIN;
	encode_request(&c, call_row(CALL_Login), values);
	call = decode_request(&c);
	cr_expect_eq(call.values[2].bytes.len, LIMIT_PIN);
	values[2].bytes.len = LIMIT_PIN + 1;
	cr_expect_eq(refusal(call_row(CALL_Login), values), CKR_PIN_LEN_RANGE);

	arguments(&c, call_row(CALL_SeedRandom), SHAPE_USUAL, values);
	values[1].bytes.data = guarded(&c, LIMIT_BYTES);
	values[1].bytes.len = LIMIT_BYTES;
	encode_request(&c, call_row(CALL_SeedRandom), values);
	call = decode_request(&c);
	cr_expect_eq(call.values[1].bytes.len, LIMIT_BYTES);
	values[1].bytes.len = LIMIT_BYTES + 1;
	cr_expect_eq(refusal(call_row(CALL_SeedRandom), values), CKR_DATA_LEN_RANGE);

	arguments(&c, call_row(CALL_GenerateRandom), SHAPE_USUAL, values);
	values[1].bytes.len = LIMIT_OUTPUT + 1;
	cr_expect_eq(refusal(call_row(CALL_GenerateRandom), values), CKR_DATA_LEN_RANGE);
}

Test(codec, a_buffer_too_small_gives_the_length_and_keeps_the_buffer)
{
	CODEC_CASE(c);
	const struct call_row *row = call_row(CALL_Sign);
	union wire_value values[CALL_ARGUMENTS_MAX];
	struct call call;
	bool failed;

	arguments(&c, row, SHAPE_USUAL, values);
	encode_request(&c, row, values);
	call = decode_request(&c);
	*call.values[2].buffer.len = 256;
	encode_result(&c, &call, CKR_BUFFER_TOO_SMALL);
	expect_written(&c, "{\"rv\":\"CKR_BUFFER_TOO_SMALL\",\"signature\":{\"length\":256}}");
	cr_expect_eq(decode_result(&c, row, values, &failed), CKR_BUFFER_TOO_SMALL);
	cr_expect_not(failed);
	cr_expect_eq(*values[2].buffer.len, 256);
	cr_expect(all(values[2].buffer.data, 40, 0x5a));
}

Test(codec, a_longer_output_than_the_callers_buffer_is_buffer_too_small)
{
	CODEC_CASE(c);
	const struct call_row *row = call_row(CALL_Sign);
	union wire_value values[CALL_ARGUMENTS_MAX];
	bool failed;

	arguments(&c, row, SHAPE_USUAL, values);
	*values[2].buffer.len = 2;
	cr_expect_eq(decode_result_text(&c, "{\"rv\":\"CKR_OK\",\"signature\":\"AAAA\"}", row, values, &failed),
		CKR_BUFFER_TOO_SMALL);
	cr_expect_not(failed);
	cr_expect_eq(*values[2].buffer.len, 3);
	cr_expect(all(values[2].buffer.data, 40, 0x5a));
}

Test(codec, a_module_that_claims_more_than_its_room_is_not_believed)
{
	CODEC_CASE(c);
	union wire_value values[CALL_ARGUMENTS_MAX];
	struct call call;

	arguments(&c, call_row(CALL_Sign), SHAPE_USUAL, values);
	encode_request(&c, call_row(CALL_Sign), values);
	call = decode_request(&c);
	*call.values[2].buffer.len = 1 << 20;
	encode_result(&c, &call, CKR_OK);
	expect_written(&c, "{\"rv\":\"CKR_GENERAL_ERROR\"}");

	arguments(&c, call_row(CALL_FindObjects), SHAPE_USUAL, values);
	encode_request(&c, call_row(CALL_FindObjects), values);
	call = decode_request(&c);
	*call.values[1].found.count = 41;
	cr_expect_eq(call_outputs_check(&call, CKR_OK), CKR_GENERAL_ERROR);
	cr_expect_eq(call_outputs_check(&call, CKR_DEVICE_ERROR), CKR_DEVICE_ERROR);
	encode_result(&c, &call, CKR_OK);
	expect_written(&c, "{\"rv\":\"CKR_GENERAL_ERROR\"}");
}

Test(codec, broken_answers_are_a_general_error_and_change_nothing)
{
	static const char *const broken[] = {
		"",
		"null",
		"[]",
		"{}",
		"{\"rv\":0}",
		"{\"rv\":\"CKR_NOTHING\"}",
		"{\"rv\":\"CKM_ECDSA\"}",
		"{\"public_key\":1,\"rv\":\"CKR_OK\"}",
		"{\"rv\":\"CKR_OK\"}",
		"{\"rv\":\"CKR_OK\",\"public_key\":1}",
		"{\"rv\":\"CKR_OK\",\"public_key\":1,\"private_key\":2,\"x\":1}",
		"{\"rv\":\"CKR_OK\",\"public_key\":1,\"public_key\":1,\"private_key\":2}",
		"{\"rv\":\"CKR_OK\",\"public_key\":1,\"private_key\":\"AA\"}",
		"{\"rv\":\"CKR_OK\",\"public_key\":1,\"private_key\":null}",
		"{\"rv\":\"CKR_OK\",\"public_key\":1,\"private_key\":2",
		"{\"rv\":\"CKR_OK\",\"rv\":\"CKR_OK\",\"public_key\":1,\"private_key\":2}",
		"{\"rv\":\"CKR_DEVICE_ERROR\",\"public_key\":1,\"private_key\":2}",
	};
	const struct call_row *row = call_row(CALL_GenerateKeyPair);

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		CODEC_CASE(c);
		union wire_value values[CALL_ARGUMENTS_MAX];
		bool failed;

		arguments(&c, row, SHAPE_USUAL, values);
		cr_expect_eq(decode_result_text(&c, broken[i], row, values, &failed), CKR_GENERAL_ERROR);
		cr_expect(failed, "%s", broken[i]);
		cr_expect_eq(*values[4].number_out, 99, "%s", broken[i]);
		cr_expect_eq(*values[5].number_out, 99, "%s", broken[i]);
	}
}

Test(codec, an_answer_of_another_length_than_asked_for_is_a_general_error)
{
	CODEC_CASE(c);
	union wire_value values[CALL_ARGUMENTS_MAX];
	bool failed;

	arguments(&c, call_row(CALL_GenerateRandom), SHAPE_USUAL, values);
	cr_expect_eq(decode_result_text(&c, "{\"rv\":\"CKR_OK\",\"random\":\"AAAA\"}", call_row(CALL_GenerateRandom),
			     values, &failed),
		CKR_GENERAL_ERROR);
	cr_expect(failed);
	cr_expect(all(values[1].bytes.data, 40, 0x5a));
	arguments(&c, call_row(CALL_FindObjects), SHAPE_EMPTY, values);
	cr_expect_eq(decode_result_text(
			     &c, "{\"rv\":\"CKR_OK\",\"objects\":[1]}", call_row(CALL_FindObjects), values, &failed),
		CKR_GENERAL_ERROR);
	cr_expect(failed);
}

Test(codec, every_call_is_found_by_its_name)
{
	for (int id = 0; id < CALL_COUNT; id++) {
		const struct call_row *row = call_row((enum call_id)id);

		cr_expect_eq(row->id, id);
		cr_expect_eq(call_row_by_name(row->name, strlen(row->name)), row);
	}
	cr_expect_null(call_row_by_name("", 0));
	cr_expect_null(call_row_by_name("Sig", 3));
	cr_expect_null(call_row_by_name("SignX", 5));
}

Test(codec, X15_a_slot_id_is_31_bits_of_fnv_1a)
{
	/* The published test vectors of FNV-1a, 32 bits, without the highest bit. */
	cr_expect_eq(slot_id_of("", 0), 0x811c9dc5 & 0x7fffffff);
	cr_expect_eq(slot_id_of("a", 1), 0xe40c292c & 0x7fffffff);
	cr_expect_eq(slot_id_of("foobar", 6), 0xbf9cf968 & 0x7fffffff);
}
