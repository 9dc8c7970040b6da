#include "tests/conformance/parity.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conformance/keys.h"

static void must(CK_RV rv, const char *what)
{
	if (rv == CKR_OK)
		return;
	fprintf(stderr, "parity: %s: 0x%lx\n", what, rv);
	exit(2);
}

/* clang-format off */
CK_RV world_call(struct world *w, enum call_id id, const union wire_value *v)
{
#define CALL(name, place, permission, audit, operation, step, ...) \
	case CALL_##name: return w->f->C_##name(EACH(PASS, __VA_ARGS__));
	switch (id) {
#include "api/calls.def"
	case CALL_COUNT: break;
	}
	return CKR_GENERAL_ERROR;
}
/* clang-format on */

static CK_SLOT_ID find_slot(struct world *w, const char *label)
{
	CK_SLOT_ID slots[64];
	CK_ULONG count = 64;

	must(w->f->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
	for (CK_ULONG i = 0; i < count; i++) {
		CK_TOKEN_INFO info;
		if (w->f->C_GetTokenInfo(slots[i], &info) == CKR_OK && strlen(label) <= sizeof(info.label) &&
			memcmp(info.label, label, strlen(label)) == 0)
			return slots[i];
	}
	fprintf(stderr, "parity: no token labelled %s\n", label);
	exit(2);
}

static void initialize(struct world *w)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};

	must(w->f->C_Initialize(&args), "C_Initialize");
	w->slot = find_slot(w, w->label);
}

void world_open(struct world *w, const char *module, const char *label, const char *pin, const char *so_pin)
{
	void *library = dlopen(module, RTLD_NOW);
	CK_C_GetFunctionList get = NULL;

	if (library != NULL)
		*(void **)&get = dlsym(library, "C_GetFunctionList");
	if (get == NULL) {
		fprintf(stderr, "parity: %s\n", dlerror());
		exit(2);
	}
	memset(w, 0, sizeof(*w));
	must(get(&w->f), "C_GetFunctionList");
	w->label = label;
	w->pin = pin;
	w->so_pin = so_pin;
	w->state = STATE_UNINITIALIZED;
}

#define ATTRIBUTE(type, value) \
	{ \
		type, (void *)(value), sizeof(value) \
	}

static const CK_BBOOL yes[] = {CK_TRUE}, no[] = {CK_FALSE};

/* Only called with the templates below, whose first attribute is the label. */
static void import(struct world *w, CK_ATTRIBUTE *attributes, CK_ULONG count)
{
	CK_OBJECT_HANDLE object;

	must(w->f->C_CreateObject(w->session, attributes, count, &object), "C_CreateObject");
}

static const CK_BYTE aes_value[32] = "parity harness: 32 bytes of AES";
static const CK_BYTE des3_value[24] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x10, 0x32, 0x54, 0x76, 0x98,
	0xba, 0xdc, 0xfe, 0x01, 0x02, 0x04, 0x07, 0x08, 0x0b, 0x0d, 0x0e};

static void import_secret(struct world *w, const char *label, CK_KEY_TYPE type, const void *value, CK_ULONG len)
{
	CK_OBJECT_CLASS class[] = {CKO_SECRET_KEY};
	CK_KEY_TYPE types[] = {type};
	CK_ATTRIBUTE a[] = {{CKA_LABEL, (void *)label, strlen(label)}, ATTRIBUTE(CKA_CLASS, class),
		ATTRIBUTE(CKA_KEY_TYPE, types), {CKA_VALUE, (void *)value, len}, ATTRIBUTE(CKA_TOKEN, yes),
		ATTRIBUTE(CKA_PRIVATE, yes), ATTRIBUTE(CKA_SENSITIVE, no), ATTRIBUTE(CKA_EXTRACTABLE, yes),
		ATTRIBUTE(CKA_ENCRYPT, yes), ATTRIBUTE(CKA_DECRYPT, yes), ATTRIBUTE(CKA_SIGN, yes),
		ATTRIBUTE(CKA_VERIFY, yes), ATTRIBUTE(CKA_WRAP, yes), ATTRIBUTE(CKA_UNWRAP, yes),
		ATTRIBUTE(CKA_DERIVE, yes)};
	import(w, a, sizeof(a) / sizeof(*a));
}

static void import_rsa(struct world *w)
{
	CK_OBJECT_CLASS public[] = {CKO_PUBLIC_KEY}, private[] = {CKO_PRIVATE_KEY};
	CK_KEY_TYPE type[] = {CKK_RSA};
	CK_ATTRIBUTE pub[] = {{CKA_LABEL, "rsa-public", 10}, ATTRIBUTE(CKA_CLASS, public),
		ATTRIBUTE(CKA_KEY_TYPE, type), ATTRIBUTE(CKA_TOKEN, yes), ATTRIBUTE(CKA_PRIVATE, no),
		ATTRIBUTE(CKA_ENCRYPT, yes), ATTRIBUTE(CKA_VERIFY, yes), ATTRIBUTE(CKA_WRAP, yes),
		ATTRIBUTE(CKA_MODULUS, RSA_MODULUS), ATTRIBUTE(CKA_PUBLIC_EXPONENT, RSA_PUBLIC_EXPONENT)};
	CK_ATTRIBUTE priv[] = {{CKA_LABEL, "rsa-private", 11}, ATTRIBUTE(CKA_CLASS, private),
		ATTRIBUTE(CKA_KEY_TYPE, type), ATTRIBUTE(CKA_TOKEN, yes), ATTRIBUTE(CKA_PRIVATE, yes),
		ATTRIBUTE(CKA_SENSITIVE, no), ATTRIBUTE(CKA_EXTRACTABLE, yes), ATTRIBUTE(CKA_DECRYPT, yes),
		ATTRIBUTE(CKA_SIGN, yes), ATTRIBUTE(CKA_UNWRAP, yes), ATTRIBUTE(CKA_MODULUS, RSA_MODULUS),
		ATTRIBUTE(CKA_PUBLIC_EXPONENT, RSA_PUBLIC_EXPONENT),
		ATTRIBUTE(CKA_PRIVATE_EXPONENT, RSA_PRIVATE_EXPONENT), ATTRIBUTE(CKA_PRIME_1, RSA_PRIME_1),
		ATTRIBUTE(CKA_PRIME_2, RSA_PRIME_2), ATTRIBUTE(CKA_EXPONENT_1, RSA_EXPONENT_1),
		ATTRIBUTE(CKA_EXPONENT_2, RSA_EXPONENT_2), ATTRIBUTE(CKA_COEFFICIENT, RSA_COEFFICIENT)};

	import(w, pub, sizeof(pub) / sizeof(*pub));
	import(w, priv, sizeof(priv) / sizeof(*priv));
}

static void import_ec(struct world *w)
{
	CK_OBJECT_CLASS public[] = {CKO_PUBLIC_KEY}, private[] = {CKO_PRIVATE_KEY};
	CK_KEY_TYPE type[] = {CKK_EC};
	CK_ATTRIBUTE pub[] = {{CKA_LABEL, "ec-public", 9}, ATTRIBUTE(CKA_CLASS, public), ATTRIBUTE(CKA_KEY_TYPE, type),
		ATTRIBUTE(CKA_TOKEN, yes), ATTRIBUTE(CKA_PRIVATE, no), ATTRIBUTE(CKA_VERIFY, yes),
		ATTRIBUTE(CKA_EC_PARAMS, EC_PARAMS), ATTRIBUTE(CKA_EC_POINT, EC_POINT)};
	CK_ATTRIBUTE priv[] = {{CKA_LABEL, "ec-private", 10}, ATTRIBUTE(CKA_CLASS, private),
		ATTRIBUTE(CKA_KEY_TYPE, type), ATTRIBUTE(CKA_TOKEN, yes), ATTRIBUTE(CKA_PRIVATE, yes),
		ATTRIBUTE(CKA_SENSITIVE, no), ATTRIBUTE(CKA_EXTRACTABLE, yes), ATTRIBUTE(CKA_SIGN, yes),
		ATTRIBUTE(CKA_DERIVE, yes), ATTRIBUTE(CKA_EC_PARAMS, EC_PARAMS), ATTRIBUTE(CKA_VALUE, EC_VALUE)};

	import(w, pub, sizeof(pub) / sizeof(*pub));
	import(w, priv, sizeof(priv) / sizeof(*priv));
}

static const char *const key_labels[KEY_COUNT] = {[KEY_AES] = "aes",
	[KEY_DES3] = "des3",
	[KEY_HMAC] = "hmac",
	[KEY_RSA_PUBLIC] = "rsa-public",
	[KEY_RSA_PRIVATE] = "rsa-private",
	[KEY_EC_PUBLIC] = "ec-public",
	[KEY_EC_PRIVATE] = "ec-private",
	[KEY_DATA] = "data"};

void world_import_keys(struct world *w)
{
	CK_OBJECT_CLASS data[] = {CKO_DATA};
	CK_ATTRIBUTE object[] = {{CKA_LABEL, "data", 4}, ATTRIBUTE(CKA_CLASS, data), ATTRIBUTE(CKA_TOKEN, yes),
		ATTRIBUTE(CKA_PRIVATE, no), {CKA_VALUE, "some data", 9}};

	initialize(w);
	must(w->f->C_OpenSession(w->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &w->session),
		"C_OpenSession");
	must(w->f->C_Login(w->session, CKU_USER, (CK_BYTE *)w->pin, strlen(w->pin)), "C_Login");
	import_secret(w, "aes", CKK_AES, aes_value, sizeof(aes_value));
	import_secret(w, "des3", CKK_DES3, des3_value, sizeof(des3_value));
	import_secret(w, "hmac", CKK_GENERIC_SECRET,
		"a key of sixty-four bytes for every HMAC, so that none is too short", 64);
	import_rsa(w);
	import_ec(w);
	import(w, object, sizeof(object) / sizeof(*object));
	must(w->f->C_Finalize(NULL), "C_Finalize");
}

static void find_keys(struct world *w)
{
	for (int i = 0; i < KEY_COUNT; i++) {
		CK_ATTRIBUTE label = {CKA_LABEL, (void *)key_labels[i], strlen(key_labels[i])};
		CK_ULONG count = 0;
		w->keys[i] = CK_INVALID_HANDLE;
		must(w->f->C_FindObjectsInit(w->keep, &label, 1), "C_FindObjectsInit");
		must(w->f->C_FindObjects(w->keep, &w->keys[i], 1, &count), "C_FindObjects");
		must(w->f->C_FindObjectsFinal(w->keep), "C_FindObjectsFinal");
	}
}

void world_enter(struct world *w, enum state state)
{
	const char *pin = state == STATE_SO ? w->so_pin : w->pin;

	if (w->state != STATE_UNINITIALIZED)
		w->f->C_Finalize(NULL);
	w->state = state;
	memset(w->keys, 0, sizeof(w->keys));
	if (state == STATE_UNINITIALIZED)
		return;
	initialize(w);
	must(w->f->C_OpenSession(w->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &w->keep), "C_OpenSession");
	if (state != STATE_PUBLIC)
		must(w->f->C_Login(w->keep, state == STATE_SO ? CKU_SO : CKU_USER, (CK_BYTE *)pin, strlen(pin)),
			"C_Login");
	find_keys(w);
}

static void make_objects(struct world *w)
{
	CK_OBJECT_CLASS data[] = {CKO_DATA};
	CK_ATTRIBUTE object[] = {ATTRIBUTE(CKA_CLASS, data), ATTRIBUTE(CKA_TOKEN, no), ATTRIBUTE(CKA_PRIVATE, no),
		{CKA_LABEL, "fresh", 5}, {CKA_VALUE, "fresh data", 10}};
	CK_ULONG count = sizeof(object) / sizeof(*object);

	must(w->f->C_CreateObject(w->session, object, count, &w->destroyed), "C_CreateObject");
	must(w->f->C_DestroyObject(w->session, w->destroyed), "C_DestroyObject");
	must(w->f->C_CreateObject(w->session, object, count, &w->fresh), "C_CreateObject");
}

/* Starts the row's own operation, or another one, with the row's baseline mechanism and key. */
static void start_operation(struct world *w, const struct call_row *row)
{
	enum operation operation = row->operation;

	if (w->state == STATE_OTHER_ACTIVE)
		operation = operation == OPERATION_DIGEST ? OPERATION_SIGN : OPERATION_DIGEST;
	for (enum call_id id = 0; id < CALL_COUNT; id++) {
		const struct call_row *init = call_row(id);
		struct scratch s;
		union wire_value v[CALL_ARGUMENTS_MAX];
		if (init->operation != operation || init->step != STEP_INIT)
			continue;
		memset(&s, 0, sizeof(s));
		for (size_t i = 0; i < init->argument_count; i++)
			(void)variant_fill(w, init, i, 0, &v[i], &s);
		(void)world_call(w, id, v); /* functions that the module lacks stay without an operation */
		return;
	}
}

void world_begin_case(struct world *w, const struct call_row *row)
{
	CK_FLAGS rw = CKF_SERIAL_SESSION | CKF_RW_SESSION;

	w->random = false;
	if (w->state == STATE_UNINITIALIZED)
		return;
	must(w->f->C_OpenSession(w->slot, rw, NULL, NULL, &w->closed), "C_OpenSession");
	must(w->f->C_CloseSession(w->closed), "C_CloseSession");
	must(w->f->C_OpenSession(w->slot, rw, NULL, NULL, &w->session), "C_OpenSession");
	w->read_only = CK_INVALID_HANDLE;
	if (w->state != STATE_SO)
		must(w->f->C_OpenSession(w->slot, CKF_SERIAL_SESSION, NULL, NULL, &w->read_only), "C_OpenSession");
	make_objects(w);
	if (w->state == STATE_ACTIVE || w->state == STATE_OTHER_ACTIVE)
		start_operation(w, row);
}

void world_end_case(struct world *w)
{
	if (w->state == STATE_UNINITIALIZED)
		return;
	w->f->C_CloseSession(w->session);
	if (w->read_only != CK_INVALID_HANDLE)
		w->f->C_CloseSession(w->read_only);
}
