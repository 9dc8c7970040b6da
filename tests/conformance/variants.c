/* The variants of every kind of argument (api/kinds.h) except mechanisms. */
#include "tests/conformance/parity.h"

#include <string.h>

static const CK_ULONG BOGUS = 0x7ffffff0; /* a handle nobody was given; fits 32 bits */

#define PICK(names) (number < sizeof(names) / sizeof(*(names)) ? (names)[number] : NULL)

static const char *session_variant(struct world *w, unsigned number, union wire_value *value)
{
	static const char *const names[] = {"read-write", "read-only", "closed", "zero", "bogus"};
	const CK_ULONG handles[] = {w->session, w->read_only, w->closed, 0, BOGUS};

	if (PICK(names) != NULL)
		value->number = handles[number];
	return PICK(names);
}

static bool is(const struct call_row *row, enum call_id id)
{
	return row->id == id;
}

enum key baseline_key(const struct call_row *row, size_t argument)
{
	switch (row->operation) {
	case OPERATION_ENCRYPT:
	case OPERATION_DECRYPT: return KEY_AES;
	case OPERATION_SIGN:
	case OPERATION_SIGN_RECOVER: return KEY_RSA_PRIVATE;
	case OPERATION_VERIFY:
	case OPERATION_VERIFY_RECOVER: return KEY_RSA_PUBLIC;
	default: break;
	}
	if (is(row, CALL_DeriveKey))
		return KEY_EC_PRIVATE;
	if (is(row, CALL_WrapKey) && argument == 3)
		return KEY_HMAC;
	return is(row, CALL_CopyObject) || is(row, CALL_GetObjectSize) || is(row, CALL_GetAttributeValue) ? KEY_DATA
													  : KEY_AES;
}

static const char *object_variant(
	struct world *w, const struct call_row *row, size_t argument, unsigned number, union wire_value *value)
{
	static const char *const changing[] = {"fresh", "zero", "bogus", "destroyed"};
	static const char *const names[] = {"baseline", "zero", "bogus", "destroyed", "fresh", "aes", "des3", "hmac",
		"rsa-public", "rsa-private", "ec-public", "ec-private", "data"};
	const CK_ULONG handles[] = {w->keys[baseline_key(row, argument)], 0, BOGUS, w->destroyed, w->fresh};

	if (is(row, CALL_DestroyObject) || is(row, CALL_SetAttributeValue)) {
		const CK_ULONG own[] = {w->fresh, 0, BOGUS, w->destroyed};
		if (PICK(changing) != NULL)
			value->number = own[number];
		return PICK(changing);
	}
	if (PICK(names) != NULL)
		value->number = number < 5 ? handles[number] : w->keys[number - 5];
	return PICK(names);
}

static const char *slot_variant(struct world *w, unsigned number, union wire_value *value)
{
	static const char *const names[] = {"token", "bogus", "maximum"};
	const CK_ULONG slots[] = {w->slot, 0x12345678, CK_UNAVAILABLE_INFORMATION};

	if (PICK(names) != NULL)
		value->number = slots[number];
	return PICK(names);
}

static const char *number_variant(const struct call_row *row, unsigned number, union wire_value *value)
{
	static const char *const names[] = {"baseline", "zero", "one", "two", "six", "maximum"};
	const CK_ULONG numbers[] = {is(row, CALL_OpenSession) ? CKF_SERIAL_SESSION | CKF_RW_SESSION : CKM_AES_CBC, 0, 1,
		2, 6, CK_UNAVAILABLE_INFORMATION};

	if (PICK(names) != NULL)
		value->number = numbers[number];
	return PICK(names);
}

static const char *user_variant(unsigned number, union wire_value *value)
{
	static const char *const names[] = {"user", "so", "context", "seven", "maximum"};
	const CK_ULONG users[] = {CKU_USER, CKU_SO, CKU_CONTEXT_SPECIFIC, 7, CK_UNAVAILABLE_INFORMATION};

	if (PICK(names) != NULL)
		value->number = users[number];
	return PICK(names);
}

static const char *pin_variant(
	struct world *w, const struct call_row *row, size_t argument, unsigned number, union wire_value *value)
{
	static const char *const names[] = {
		"right", "wrong", "so", "null", "empty", "short", "long", "null with length"};
	static const char overlong[300] = "123456789";
	const char *right = is(row, CALL_InitToken) ? w->so_pin : w->pin;
	const char *pins[] = {right, "not the pin", w->so_pin, NULL, "", "12", overlong, NULL};
	const CK_ULONG lens[] = {strlen(right), 11, strlen(w->so_pin), 0, 0, 2, sizeof(overlong), 4};

	(void)argument;
	if (PICK(names) != NULL) {
		value->bytes.data = (CK_BYTE *)pins[number];
		value->bytes.len = lens[number];
	}
	return PICK(names);
}

/* 32 zero bytes padded decrypt to garbage; a block of the baseline's own ciphertext would need a call. */
static const char *bytes_variant(unsigned number, union wire_value *value)
{
	static CK_BYTE data[4096];
	static const char *const names[] = {
		"32 bytes", "null", "null with length", "empty", "1 byte", "16 bytes", "256 bytes", "4096 bytes"};
	static const CK_ULONG lens[] = {32, 0, 16, 0, 1, 16, 256, 4096};

	if (PICK(names) == NULL)
		return NULL;
	memset(data, 0x5a, sizeof(data));
	value->bytes.data = number == 1 || number == 2 ? NULL : data;
	value->bytes.len = lens[number];
	return names[number];
}

static const char *buffer_variant(unsigned number, size_t argument, union wire_value *value, struct scratch *s)
{
	static const char *const names[] = {"ample", "query", "zero", "one", "15", "31", "255", "no length"};
	static const CK_ULONG lens[] = {CASE_BUFFER, 0, 0, 1, 15, 31, 255, 0};

	if (PICK(names) == NULL)
		return NULL;
	s->counts[argument] = lens[number];
	value->buffer.data = number == 1 ? NULL : s->output[argument];
	value->buffer.len = number == 7 ? NULL : &s->counts[argument];
	return names[number];
}

static const char *fill_variant(unsigned number, size_t argument, union wire_value *value, struct scratch *s)
{
	static const char *const names[] = {"16", "null", "zero", "1", "4096", "null with length"};
	static const CK_ULONG lens[] = {16, 0, 0, 1, 4096, 16};

	if (PICK(names) == NULL)
		return NULL;
	value->bytes.data = number == 1 || number == 5 ? NULL : s->output[argument];
	value->bytes.len = lens[number];
	return names[number];
}

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_OBJECT_CLASS class_data = CKO_DATA, class_secret = CKO_SECRET_KEY, class_public = CKO_PUBLIC_KEY,
		       class_private = CKO_PRIVATE_KEY, class_bogus = 0x7eee;
static CK_KEY_TYPE type_aes = CKK_AES, type_generic = CKK_GENERIC_SECRET, type_ec = CKK_EC, type_bogus = 0x7eee;
static CK_ULONG length_32 = 32, length_7 = 7;
static CK_BYTE curve[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

#define A(type, value) \
	{ \
		type, &(value), sizeof(value) \
	}
#define TEXT(type, text) \
	{ \
		type, (void *)(text), sizeof(text) - 1 \
	}

/* The template that succeeds, by what the row makes of it. */
static CK_ULONG baseline_template(const struct call_row *row, size_t argument, CK_ATTRIBUTE *out)
{
	const CK_ATTRIBUTE data[] = {A(CKA_CLASS, class_data), A(CKA_TOKEN, no), A(CKA_PRIVATE, no),
		TEXT(CKA_LABEL, "made"), TEXT(CKA_VALUE, "value")};
	const CK_ATTRIBUTE copy[] = {A(CKA_TOKEN, no), TEXT(CKA_LABEL, "copied")};
	const CK_ATTRIBUTE search[] = {A(CKA_CLASS, class_data)};
	const CK_ATTRIBUTE aes[] = {A(CKA_TOKEN, no), A(CKA_VALUE_LEN, length_32), A(CKA_ENCRYPT, yes),
		A(CKA_SENSITIVE, no), A(CKA_EXTRACTABLE, yes)};
	const CK_ATTRIBUTE secret[] = {A(CKA_CLASS, class_secret), A(CKA_KEY_TYPE, type_generic), A(CKA_TOKEN, no),
		A(CKA_SENSITIVE, no), A(CKA_EXTRACTABLE, yes), A(CKA_VALUE_LEN, length_32)};
	const CK_ATTRIBUTE unwrapped[] = {A(CKA_CLASS, class_secret), A(CKA_KEY_TYPE, type_generic), A(CKA_TOKEN, no),
		A(CKA_SENSITIVE, no), A(CKA_EXTRACTABLE, yes)};
	const CK_ATTRIBUTE public[] = {
		A(CKA_TOKEN, no), A(CKA_PRIVATE, no), A(CKA_VERIFY, yes), A(CKA_EC_PARAMS, curve)};
	const CK_ATTRIBUTE private[] = {A(CKA_TOKEN, no), A(CKA_PRIVATE, yes), A(CKA_SIGN, yes)};
	const struct {
		enum call_id id;
		size_t argument;
		const CK_ATTRIBUTE *attributes;
		size_t count;
	} rows[] = {{CALL_CopyObject, 2, copy, 2}, {CALL_SetAttributeValue, 2, copy + 1, 1},
		{CALL_FindObjectsInit, 1, search, 1}, {CALL_GenerateKey, 2, aes, 5}, {CALL_DeriveKey, 3, secret, 6},
		{CALL_UnwrapKey, 4, unwrapped, 5}, {CALL_GenerateKeyPair, 2, public, 4},
		{CALL_GenerateKeyPair, 3, private, 3}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (rows[i].id != row->id || rows[i].argument != argument)
			continue;
		memcpy(out, rows[i].attributes, rows[i].count * sizeof(*out));
		return rows[i].count;
	}
	memcpy(out, data, sizeof(data));
	return sizeof(data) / sizeof(*data);
}

struct extra {
	const char *name;
	CK_ATTRIBUTE attribute;
};

/* One attribute too many, wrong, or of a wrong shape, behind the baseline's. */
static const struct extra extras[] = {
	{"plus secret class", A(CKA_CLASS, class_secret)},
	{"plus public class", A(CKA_CLASS, class_public)},
	{"plus private class", A(CKA_CLASS, class_private)},
	{"plus bogus class", A(CKA_CLASS, class_bogus)},
	{"plus aes type", A(CKA_KEY_TYPE, type_aes)},
	{"plus ec type", A(CKA_KEY_TYPE, type_ec)},
	{"plus bogus type", A(CKA_KEY_TYPE, type_bogus)},
	{"plus label", TEXT(CKA_LABEL, "another label")},
	{"plus empty label", {CKA_LABEL, (void *)"", 0}},
	{"plus null label", {CKA_LABEL, NULL, 0}},
	{"plus label that is not UTF-8", TEXT(CKA_LABEL, "\xff\xfe")},
	{"plus id", TEXT(CKA_ID, "\x01\x02\x03")},
	{"plus private", A(CKA_PRIVATE, yes)},
	{"plus sensitive", A(CKA_SENSITIVE, yes)},
	{"plus always authenticate", A(CKA_ALWAYS_AUTHENTICATE, yes)},
	{"plus modifiable false", A(CKA_MODIFIABLE, no)},
	{"plus local", A(CKA_LOCAL, yes)},
	{"plus value", TEXT(CKA_VALUE, "0123456789abcdef")},
	{"plus odd value length", A(CKA_VALUE_LEN, length_7)},
	{"plus boolean of two bytes", TEXT(CKA_TOKEN, "\x00\x00")},
	{"plus class of one byte", TEXT(CKA_CLASS, "\x03")},
	{"plus date", TEXT(CKA_START_DATE, "20260101")},
	{"plus malformed date", TEXT(CKA_START_DATE, "2026")},
	{"plus vendor attribute", {CKA_VENDOR_DEFINED | 0x123, (void *)"v", 1}},
	{"plus unknown attribute", {0x7eee, (void *)"v", 1}},
};
enum { EXTRAS = sizeof(extras) / sizeof(*extras) };

static const char *template_variant(
	const struct call_row *row, size_t argument, unsigned number, union wire_value *value, struct scratch *s)
{
	CK_ATTRIBUTE *a = s->attributes[argument];
	CK_ULONG count = baseline_template(row, argument, a);

	value->attributes.items = a;
	value->attributes.count = count;
	if (number == 0)
		return "baseline";
	if (number <= EXTRAS) {
		a[count] = extras[number - 1].attribute;
		value->attributes.count++;
		return extras[number - 1].name;
	}
	number -= EXTRAS + 1;
	static const char *const names[] = {"null", "null with count", "empty", "without its first"};
	if (PICK(names) == NULL)
		return NULL;
	if (number <= 1)
		value->attributes.items = NULL;
	value->attributes.count = number == 1 ? 2 : 0;
	if (number == 3) {
		value->attributes.items = a + 1;
		value->attributes.count = count - 1;
	}
	return names[number];
}

static const char *query_variant(size_t argument, unsigned number, union wire_value *value, struct scratch *s)
{
	static const char *const names[] = {"class and label", "lengths", "too small", "value", "unknown attribute",
		"sensitive and label", "null", "null with count", "empty", "all booleans", "twice"};
	static const struct {
		CK_ATTRIBUTE_TYPE types[8];
		CK_ULONG count, capacity;
		bool null;
	} asked[] = {{{CKA_CLASS, CKA_LABEL}, 2, 512, false}, {{CKA_CLASS, CKA_LABEL, CKA_VALUE}, 3, 0, true},
		{{CKA_CLASS, CKA_LABEL}, 2, 1, false}, {{CKA_VALUE}, 1, 512, false},
		{{0x7eee, CKA_CLASS}, 2, 512, false}, {{CKA_SENSITIVE, CKA_LABEL}, 2, 512, false}, {{0}, 0, 0, true},
		{{0}, 2, 0, true}, {{0}, 0, 0, false},
		{{CKA_TOKEN, CKA_PRIVATE, CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE}, 5, 512, false},
		{{CKA_LABEL, CKA_LABEL}, 2, 512, false}};

	if (PICK(names) == NULL)
		return NULL;
	for (CK_ULONG i = 0; i < asked[number].count && i < 8; i++) {
		s->attributes[argument][i].type = asked[number].types[i];
		s->attributes[argument][i].pValue = asked[number].null ? NULL : s->values[argument][i];
		s->attributes[argument][i].ulValueLen = asked[number].capacity;
	}
	value->attributes.items = number == 6 || number == 7 ? NULL : s->attributes[argument];
	value->attributes.count = asked[number].count;
	return names[number];
}

static const char *list_variant(unsigned number, size_t argument, union wire_value *value, struct scratch *s)
{
	static const char *const names[] = {"ample", "query", "too small", "no count"};

	if (PICK(names) == NULL)
		return NULL;
	s->counts[argument] = number == 2 ? 0 : CASE_BUFFER / sizeof(CK_ULONG);
	value->list.items = number == 1 ? NULL : (CK_ULONG *)(void *)s->output[argument];
	value->list.count = number == 3 ? NULL : &s->counts[argument];
	return names[number];
}

static const char *found_variant(unsigned number, size_t argument, union wire_value *value, struct scratch *s)
{
	static const char *const names[] = {"ample", "one", "zero", "null", "no count"};
	static const CK_ULONG maxima[] = {64, 1, 0, 64, 64};

	if (PICK(names) == NULL)
		return NULL;
	value->found.items = number == 3 ? NULL : s->numbers[argument];
	value->found.max = maxima[number];
	value->found.count = number == 4 ? NULL : &s->counts[argument];
	return names[number];
}

static const char *number_out_variant(unsigned number, size_t argument, union wire_value *value, struct scratch *s)
{
	static const char *const names[] = {"given", "null"};

	if (PICK(names) != NULL)
		value->number_out = number == 0 ? s->numbers[argument] : NULL;
	return PICK(names);
}

static const char *info_variant(unsigned number, size_t argument, union wire_value *value, struct scratch *s)
{
	static const char *const names[] = {"given", "null"};

	if (PICK(names) != NULL)
		value->info = number == 0 ? s->output[argument] : NULL;
	return PICK(names);
}

static const char *bool_variant(unsigned number, union wire_value *value)
{
	static const char *const names[] = {"true", "false", "two"};

	value->flag = number == 0 ? CK_TRUE : number == 1 ? CK_FALSE : 2;
	return PICK(names);
}

static const char *label_variant(unsigned number, union wire_value *value)
{
	static CK_BYTE label[33] = "parity                          ",
		       other[33] = "label with \xc3\xa4                   ";
	static const char *const names[] = {"same", "other", "null"};
	CK_BYTE *const labels[] = {label, other, NULL};

	if (PICK(names) != NULL) {
		value->bytes.data = labels[number];
		value->bytes.len = 32;
	}
	return PICK(names);
}

static const char *notify_variant(unsigned number, union wire_value *value)
{
	value->notify.argument = NULL;
	value->notify.callback = NULL;
	return number == 0 ? "none" : NULL;
}

const char *variant_fill(struct world *w, const struct call_row *row, size_t argument, unsigned number,
	union wire_value *value, struct scratch *s)
{
	switch (row->arguments[argument].kind) {
	case WIRE_BOOL: return bool_variant(number, value);
	case WIRE_ULONG: return number_variant(row, number, value);
	case WIRE_USER: return user_variant(number, value);
	case WIRE_SLOT: return slot_variant(w, number, value);
	case WIRE_SESSION: return session_variant(w, number, value);
	case WIRE_OBJECT: return object_variant(w, row, argument, number, value);
	case WIRE_BYTES: return bytes_variant(number, value);
	case WIRE_PIN: return pin_variant(w, row, argument, number, value);
	case WIRE_LABEL: return label_variant(number, value);
	case WIRE_MECHANISM: return mechanism_fill(w, row, number, value, s);
	case WIRE_TEMPLATE: return template_variant(row, argument, number, value, s);
	case WIRE_QUERY: return query_variant(argument, number, value, s);
	case WIRE_NOTIFY: return notify_variant(number, value);
	case WIRE_BUFFER: return buffer_variant(number, argument, value, s);
	case WIRE_FILL: return fill_variant(number, argument, value, s);
	case WIRE_LIST: return list_variant(number, argument, value, s);
	case WIRE_FOUND: return found_variant(number, argument, value, s);
	case WIRE_NEW_SESSION:
	case WIRE_NEW_OBJECT:
	case WIRE_ULONG_OUT: return number_out_variant(number, argument, value, s);
	default: return info_variant(number, argument, value, s);
	}
}
